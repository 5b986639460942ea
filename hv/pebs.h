/*
 * The guest's PEBS (processor event-based sampling). The host has none, so the registers are all the guest's. What is
 * decided here: whether the guest has it, which counters it may use, and when PEBS_ENABLE is switched.
 *
 * A record that is due when the guest exits would be written in root mode, to the guest's linear address but through
 * pmuvisor's page tables. So PEBS_ENABLE is 0 there: the exit itself stores and clears it, the entry loads it. An
 * overflow whose record is still to come ("armed") is the status bit and the enable bit together, and that bit stays in
 * the hardware's status register: the record is written when the entry has loaded PEBS_ENABLE. SDM Vol. 3B,
 * "Processor Event Based Sampling Facility".
 */
#ifndef HV_PEBS_H
#define HV_PEBS_H

#include <stdbool.h>
#include <stdint.h>

#include "config.h"

enum pebs_offer {
	PEBS_ABSENT, /* the processor has none that pmuvisor knows */
	PEBS_OFFERED,
	PEBS_OFF,    /* by configuration */
	PEBS_UNSAFE, /* by itself: a record that meets a page it may not write is lost, or worse */
};

/* What the guest's page tables and pmuvisor's map say of memory that records go to. */
enum guest_memory {
	MEMORY_WRITABLE,
	MEMORY_UNMAPPED, /* or read-only */
	MEMORY_HIDDEN,   /* pmuvisor's; or the way there leads through it */
	MEMORY_UNKNOWN,  /* 32-bit paging, which isn't looked at */
};

/* PEBS_ENABLE isn't switched any more after this many exits in a row that found it 0. */
#define PEBS_IDLE_EXITS 64

struct pebs_stats {
	uint64_t starts;                 /* times that switching PEBS_ENABLE began */
	uint64_t exits;                  /* that switched it */
	uint64_t ds_areas;               /* writes of DS_AREA, */
	uint64_t ds_unmapped, ds_hidden; /* and of these what each pointed at */
	uint64_t hidden_records;         /* exits of records on their way to pmuvisor's memory */
};

struct pebs {
	enum pebs_offer offer;
	unsigned idle; /* exits in a row that found PEBS_ENABLE 0 */
	struct pebs_stats stats;
};

struct pmu;

static inline bool pebs_is_used(const struct pebs *pebs)
{
	return pebs->stats.starts || pebs->stats.ds_areas || pebs->stats.hidden_records;
}

/* Takes PEBS_ENABLE over from the firmware; the partition is made. */
void pebs_init(struct pmu *pmu, enum config_pebs wanted);
/* The vendor calls it after each exit that stored PEBS_ENABLE and cleared it, with what was stored. */
void pebs_exited(struct pmu *pmu, uint64_t stored);
/* The guest's WRMSR of PEBS_ENABLE, where it exits. False: #GP. */
bool pebs_write_enable(struct pmu *pmu, uint64_t value);
/* May DS_AREA point there? If so it is counted. */
bool pebs_accept_ds_area(struct pmu *pmu, enum guest_memory where);

#endif
