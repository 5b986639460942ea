/* Runs a plan on both machines and compares all a guest could see. */
#ifndef REFINEMENT_RUN_H
#define REFINEMENT_RUN_H

#include "plan.h"

/* What happened, so that a test of nothing is noticed. */
enum happening {
	HAPPENED_NMIS, /* to the guest */
	HAPPENED_INTERRUPTS,
	HAPPENED_WINDOWS,
	HAPPENED_HOST_PMIS,
	HAPPENED_SWITCHES, /* from direct to shared mode and back */
	HAPPENED_RECORDS,  /* of PEBS */
	HAPPENED_BRANCHES, /* in the guest's LBRs */
	HAPPENED_CAPTURES, /* of the host's */
	HAPPENED_FREEZES,  /* steps with anything frozen, */
	HAPPENED_METRICS,  /* and with metrics to read */
	NR_HAPPENINGS,
};

struct result {
	bool differs;
	unsigned step;  /* the one after which they differ */
	unsigned steps; /* guest steps compared */
	char why[200];
	uint64_t happened[NR_HAPPENINGS];
};

void run_plan(const struct plan *plan, struct result *result);

/* Prints the difference, and the shortest plan that shows it: takes from this one all that isn't needed for it. */
void report_difference(struct plan *plan, const struct result *result);

#endif
