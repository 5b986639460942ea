/*
 * The inside of the machine under pmuvisor: its guest's side (hardware.c), VMX (vmx.c), the processor in root mode
 * (root.c) and what pmuvisor is given besides its PMU code (resident.c).
 */
#ifndef REFINEMENT_HARDWARE_PRIVATE_H
#define REFINEMENT_HARDWARE_PRIVATE_H

#include "arch/x86/guest.h"
#include "hardware.h"
#include "hv/cpu.h"
#include "hv/sample.h"
#include "truth.h"

#define ROOT_RIP UINT64_C(0x7f000000) /* where all of root mode runs */

#define NR_MSRS 0x2000

/* The two kinds of virtualization. */
struct world {
	/* Once pmuvisor is there: enters for the first time. */
	void (*start)(const struct plan *plan);
	/* From the guest through pmuvisor and back. EXIT_NMI_WINDOW where there is none: an IRET. */
	void (*exit)(enum exit_reason reason);
	/* An instruction has been executed that nothing stopped. NULL: that means nothing here. */
	void (*executed)(const struct step *step);
	/* Between two instructions, when nothing exits any more. NULL: as on the bare processor. */
	void (*boundary)(void);
	bool (*traps)(uint32_t msr, enum msr_trap access);
};
extern const struct world world_vmx, world_svm;

struct hardware {
	struct processor guest; /* and while in root mode, the processor all the same */
	struct cpu cpu;         /* pmuvisor's */
	const struct world *world;
	uint32_t status_msr; /* the global status */
	uint8_t traps_open[NR_MSRS], traps_closed[NR_MSRS];
	/* The VMCS, and what arch/x86/vmx.c remembers of it. */
	struct pmu_model_vmcs vmcs;
	struct pmu_gate applied;
	uint64_t stored_pebs, xss;
	bool saves_ctrl, inject_nmi, inject_fault, step_done;
	bool iret_exits, shadow; /* of SVM: an NMI has to wait for one instruction */
	bool virtual_nmis;       /* the processor's blocking is the guest's alone */
	bool injected;           /* the NMI that the guest handles was: it blocks no physical one */
	/* Root mode. */
	bool entering, quiet, root_nmi_blocked;
	bool host_enabled;
	uint64_t switches; /* between the modes, so far */
	const struct step *step;
	enum verdict verdict;
	unsigned exits; /* since the last step began */
	/* PMIs that reached the guest's LVTPC without pmuvisor, of all signals so far. */
	uint64_t own_pmis, signals, dropped;
	struct arrivals at_commit, at_retirement;
	bool overtaken; /* a PMI arrived with the last instruction, which sent the next */
	bool skids;
	struct truth truth;
	struct boot_info boot; /* of varying size */
};
extern struct hardware hw;

/* hardware.c: looks whether a PMI has arrived. To be called after each instruction, in the guest and in root mode. */
void hardware_note_pmi(void);

/* SVM's: physical NMIs are blocked. */
bool hardware_blocks_nmis(void);

/* root.c: what pmuvisor's own instructions do. */
void root_boundary(void);
void root_retire(void);
/* As many as the step says, beside its register accesses. */
void root_instructions(void);

/* resident.c */
void resident_start(const struct plan *plan);
/* pmuvisor has answered an exit. */
void resident_carry_out(enum verdict verdict);

/* svm.c: gives pmuvisor SVM as its vendor's. */
void svm_world_prepare(struct cpu *cpu);

#endif
