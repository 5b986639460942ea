/* Runs a plan on both machines and compares all a guest could see. */
#ifndef REFINEMENT_RUN_H
#define REFINEMENT_RUN_H

#include "plan.h"

struct result {
	bool differs;
	unsigned step;  /* the one after which they differ */
	unsigned steps; /* guest steps compared */
	char why[200];
	uint64_t nmis, interrupts, windows, host_pmis; /* so that a test of nothing is noticed */
};

void run_plan(const struct plan *plan, struct result *result);

/* Prints the difference, and the shortest plan that shows it: takes from this one all that isn't needed for it. */
void report_difference(struct plan *plan, const struct result *result);

#endif
