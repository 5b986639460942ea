/*
 * What a benchmark needs and no guest can see: one processor's instructions, VM exits and MSR accesses. Plain C; the
 * glue reports, the text goes to the statistics file. All counts are from power-on.
 */
#ifndef STATS_H
#define STATS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct pmu_model;

#define STATS_EXIT_REASONS 0x404 /* SDM Vol. 3D, "VMX Basic Exit Reasons": up to 75; SVM's exit codes: up to 402H */
/* Counted one by one: those that SVM's permission map has, all PMU registers among them. */
#define STATS_MSR_RANGES 3
#define STATS_RANGE_MSRS 0x2000

/* What one processor sends another, or itself by a destination; with a shorthand once for each that it is for. */
enum stats_ipi { STATS_IPI_FIXED, STATS_IPI_NMI, STATS_IPI_INIT, STATS_IPI_STARTUP, STATS_IPIS };

enum stats_mode { STATS_OUTSIDE, STATS_ROOT, STATS_GUEST, STATS_MODES };

/* Fields without a function of their own are incremented in place. */
struct stats {
	uint64_t retired; /* instructions in any mode; first, because every instruction adds to it */

	uint64_t instructions[STATS_MODES]; /* up to mode_start */
	enum stats_mode mode;
	uint64_t mode_start; /* `retired` when `mode` was entered */

	uint64_t entries, failed_entries;
	uint64_t unclean_entries; /* VMRUNs with a VMCB clean bit for what had changed */
	uint64_t exits[STATS_EXIT_REASONS];
	unsigned reason;                                /* of the last exit */
	uint64_t root_instructions[STATS_EXIT_REASONS]; /* from the exit to the next entry, VMRESUME included */
	uint64_t root_msrs[STATS_EXIT_REASONS];
	uint64_t msrs_at_exit; /* root MSR accesses, total, at the last exit */

	uint64_t msrs[2]; /* RDMSR, WRMSR executed in root mode */
	uint64_t each_msr[2][STATS_MSR_RANGES][STATS_RANGE_MSRS];
	uint64_t vmreads, vmwrites; /* in root mode */
	uint64_t xsaves[2];         /* XSAVES, XRSTORS in root mode */
	uint64_t msr_area_loads, msr_area_stores;

	uint64_t nmis_raised; /* signalled to this processor */
	uint64_t nmis_merged; /* of these: when one was pending already, so that two became one */
	uint64_t nmis_taken;  /* delivered through the IDT or by a VM exit */

	uint64_t ipis_sent[STATS_IPIS], ipis_received[STATS_IPIS];
	uint64_t interrupts_merged; /* that reached the local APIC while the vector's last one still waited there */
	uint64_t interrupts_taken;  /* acknowledged */
	uint64_t inits_taken, startups_taken;
};

/* The processor enters `mode` now. VM entry and exit have calls of their own. */
void stats_mode(struct stats *stats, enum stats_mode mode);
void stats_vmentry(struct stats *stats);
/* `reason` as in the VMCS field, with bit 31 for a failed entry, or the VMCB's exit code. */
void stats_vmexit(struct stats *stats, uint32_t reason);
/* RDMSR or WRMSR executed, after the VMX intercept. */
void stats_msr(struct stats *stats, uint32_t msr, bool write);

/* XSAVES or XRSTORS executed, after the VMX intercept. */
void stats_xsaves(struct stats *stats, bool restore);

/*
 * All counts as `name value` lines, each name led by `prefix`; zeroes of long tables are left out.
 */
void stats_print(FILE *file, const char *prefix, const struct stats *stats, const struct pmu_model *model);

#endif
