/*
 * What a CPU says of itself to the one that prints: its counters, which only it can read, its branches, and what
 * pmuvisor counted on it, all of one moment. It publishes at exits of its own; a reader waits for nobody and stops
 * nobody.
 */
#ifndef HV_REPORT_H
#define HV_REPORT_H

#include <stdint.h>

#include "config.h"
#include "exit.h"
#include "guest_event.h"
#include "lbr.h"
#include "pmu.h"

#define REPORT_BRANCHES 4

struct report_guest_event {
	unsigned id;
	unsigned counter; /* PMU_NO_COUNTER: none now */
	struct config_event config;
	struct guest_event_counts counts;
};

/* Since start. */
struct cpu_counts {
	uint64_t exits[EXIT_REASONS];
	uint64_t faults_injected;
	uint64_t hidden_touches; /* accesses to pmuvisor's own pages */
};

/* What several CPUs' add up to: everything in it is a uint64_t. */
struct figures {
	struct cpu_counts cpu;
	struct pmu_stats pmu;
	struct pebs_stats pebs;
	uint64_t root_ticks, all_ticks;
	uint64_t samples_taken, samples_lost;
	/* Of each event of the configuration. */
	uint64_t counts[CONFIG_MAX_EVENTS], overflows[CONFIG_MAX_EVENTS];
};

struct report {
	uint64_t sequence; /* odd while the rest changes */
	uint64_t tsc;      /* when it was published */
	struct figures figures;
	/* The newest of the host's last capture of branches. */
	struct lbr_branch branches[REPORT_BRANCHES];
	uint64_t nr_branches, captures;
	/* The guest's open events. */
	struct report_guest_event guest_events[PMUVISOR_EVENTS];
	uint64_t nr_guest_events;
};

struct cpu;

/* On the CPU itself. Overflows that no NMI announced are taken first. */
void report_publish(struct cpu *cpu);
/* Of any CPU: all of one publication, unless that CPU publishes far more often than the reader can copy. */
void report_read(const struct cpu *cpu, struct report *copy);

#endif
