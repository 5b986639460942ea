/* What the host's events should have counted, by adding up what retired: no counter, no reload, no pause in it. */
#ifndef REFINEMENT_TRUTH_H
#define REFINEMENT_TRUTH_H

#include "hv/pmu.h"
#include "processor.h"

struct truth {
	uint64_t counts[CONFIG_MAX_EVENTS];
	bool restarted; /* periods no longer began with the count */
};

/* Where an instruction retired: in the guest with the global registers closed or open to it, or in pmuvisor. */
enum truth_mode { TRUTH_CLOSED, TRUTH_OPEN, TRUTH_ROOT };

void truth_retired(struct truth *truth, const struct processor *cpu, const struct pmu *pmu, enum truth_mode mode,
		   unsigned cpl, bool branch);
/* An exception, an interrupt or #VMEXIT: to AMD's counters a branch of ring 0's. */
void truth_interrupted(struct truth *truth, const struct processor *cpu, const struct pmu *pmu, enum truth_mode mode);
/* Counts, and periods completed. `status`: the global status register, whose overflows are yet to be seen. */
void truth_check(const struct truth *truth, const struct pmu *pmu, uint64_t status);

#endif
