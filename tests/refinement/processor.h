/*
 * One logical processor as a guest's instruction finds it where nothing stops it: a PMU model, its local APIC's mode,
 * and the latch and the blocking of NMIs. The bare machine is one of these and nothing else; pmuvisor's has one under
 * it.
 */
#ifndef REFINEMENT_PROCESSOR_H
#define REFINEMENT_PROCESSOR_H

#include "plan.h"
#include "tests/machine/pmu_model.h"

struct processor {
	struct pmu_model *model;
	bool x2apic;
	bool nmi_latched, nmi_blocked;
	uint64_t clock;      /* time-stamp counter */
	uint64_t nmis;       /* taken by the guest */
	uint64_t interrupts; /* fixed ones, accepted by the APIC */
	unsigned vector;     /* of the last one */
	bool pmi_is_nmi;     /* the last one that the APIC accepted */
	bool lands;          /* what is under way arrives before the next instruction is counted */
};

/* What the guest got from a step. */
struct outcome {
	bool fault;       /* #GP(0) */
	bool exited;      /* pmuvisor completed it */
	uint64_t value;   /* read */
	uint32_t regs[4]; /* of CPUID */
};

void processor_start(struct processor *cpu, unsigned nr_gp, unsigned nr_fixed, bool x2apic);
void processor_stop(struct processor *cpu);

/* The instruction of one step, of CPUID's leaves only those of the PMU. */
void processor_execute(struct processor *cpu, const struct step *step, struct outcome *outcome);
/*
 * The same for an instruction that pmuvisor completes for its guest elsewhere: the time it takes is pmuvisor's, so here
 * it retires as an instruction but takes no cycle.
 */
void processor_execute_timeless(struct processor *cpu, const struct step *step, struct outcome *outcome);
/* PMIs to come arrive this many instructions after their overflow. The one that is under way arrives as it would. */
void processor_set_skid(struct processor *cpu, unsigned instructions);
bool processor_pmi_under_way(const struct processor *cpu);
/* What is under way arrives now. */
void processor_land(struct processor *cpu);
/* Between two instructions: takes an NMI that is due. */
void processor_boundary(struct processor *cpu);

/* One instruction, of `ticks` time-stamp counter ticks. */
void processor_retire(struct processor *cpu, unsigned cpl, unsigned ticks);
bool processor_rdmsr(struct processor *cpu, uint32_t msr, uint64_t *value);
bool processor_wrmsr(struct processor *cpu, uint32_t msr, uint64_t value);
void processor_interrupt(struct processor *cpu, unsigned vector);

#endif
