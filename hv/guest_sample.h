/*
 * Samples for the guest, with `samples = guest`: each CPU takes its own out of its ring, one at a call.
 * docs/guest-api.md.
 */
#ifndef HV_GUEST_SAMPLE_H
#define HV_GUEST_SAMPLE_H

#include <stdint.h>

#include "guest-api/pmuvisor.h"
#include "lbr.h"

struct cpu;

/* The branches of the sample that was taken last; newest first. */
struct guest_sample {
	unsigned nr_branches;
	struct lbr_branch branches[LBR_MAX_ENTRIES];
};

/* The calls: 0 and the values in the guest's registers, or a PMUVISOR_E_*. */
int64_t guest_sample_take(struct cpu *cpu);
int64_t guest_sample_branches(struct cpu *cpu);

#endif
