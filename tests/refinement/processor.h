/*
 * One logical processor as a guest's instruction finds it where nothing stops it: a PMU model, its local APIC's mode,
 * and the latch and the blocking of NMIs. The bare machine is one of these and nothing else; pmuvisor's has one under
 * it.
 */
#ifndef REFINEMENT_PROCESSOR_H
#define REFINEMENT_PROCESSOR_H

#include "plan.h"
#include "tests/machine/pmu_model.h"

/* Where the guest's debug store can be: all the memory that it has. */
#define PROCESSOR_MEMORY      UINT64_C(0x100000)
#define PROCESSOR_MEMORY_SIZE 4096u
/* Of every instruction, in bytes. */
#define PROCESSOR_INSTRUCTION 16u

struct processor {
	struct pmu_model *model;
	bool x2apic;
	bool nmi_latched, nmi_blocked;
	uint64_t rip; /* of the instruction being executed, or next to be */
	uint8_t memory[PROCESSOR_MEMORY_SIZE];
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

void processor_start(struct processor *cpu, const struct pmu_model_caps *caps, bool x2apic);
void processor_stop(struct processor *cpu);

/* The instruction of one step, of CPUID's leaves only those of the PMU. */
void processor_execute(struct processor *cpu, const struct step *step, struct outcome *outcome);
/*
 * The same for an instruction that pmuvisor completes for its guest elsewhere: the time it takes is pmuvisor's, so here
 * it retires as an instruction but takes no cycle.
 */
void processor_execute_timeless(struct processor *cpu, const struct step *step, struct outcome *outcome);
/* One instruction that takes no cycle. */
void processor_retire_timeless(struct processor *cpu, unsigned cpl);
/* For what VM entry injects, or bare the processor takes by itself: the LBRs record it. */
void processor_event(struct processor *cpu);
/* PMIs to come arrive this many instructions after their overflow. The one that is under way arrives as it would. */
void processor_set_skid(struct processor *cpu, unsigned instructions);
bool processor_pmi_under_way(const struct processor *cpu);
/* What is under way arrives now. */
void processor_land(struct processor *cpu);
/* Between two instructions: takes an NMI that is due. */
void processor_boundary(struct processor *cpu);

/* What the LBR stack holds, but for the times. */
bool processor_same_lbr(const struct processor *a, const struct processor *b);

/* debug_store.c: how the PMU writes records. */
bool debug_store_read(void *cpu, uint64_t linear, void *data, unsigned size);
bool debug_store_write(void *cpu, uint64_t linear, const void *data, unsigned size);
void debug_store_registers(void *cpu, struct pmu_model_regs *regs);

/* One instruction, of `ticks` time-stamp counter ticks. */
void processor_retire(struct processor *cpu, unsigned cpl, unsigned ticks);
bool processor_rdmsr(struct processor *cpu, uint32_t msr, uint64_t *value);
bool processor_wrmsr(struct processor *cpu, uint32_t msr, uint64_t value);
void processor_interrupt(struct processor *cpu, unsigned vector);

#endif
