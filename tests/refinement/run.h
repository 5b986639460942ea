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

/* Takes from a plan that differs all that isn't needed for it to differ. */
void shrink_plan(struct plan *plan);

#endif
