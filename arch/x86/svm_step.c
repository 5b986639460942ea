/*
 * Single steps by the trap flag, where SVM has neither a monitor trap nor an NMI window. The flag is the guest's own
 * otherwise: what it had is put back, and a trap that it asked for itself is passed on.
 */
#include "svm.h"

#define DR6_BS       BIT(14)
#define EXCEPTION_DB BIT(1)

void svm_step_begin(struct svm_cpu *svm)
{
	svm->stepping = true;
	svm->stepped_from = svm->vmcb.rflags;
	svm->vmcb.rflags |= RFLAGS_TF;
	svm->vmcb.intercept_exceptions |= (uint32_t)EXCEPTION_DB;
	vmcb_dirty(svm, CLEAN_INTERCEPTS);
}

/*
 * Root mode's flag, which is clear, then holds for them: APM Vol. 2, "Virtualizing RFLAGS.IF". An interrupt shadow
 * would do as well, but QEMU 7.2 enters without it (helper_vmrun() of target/i386/tcg/sysemu/svm_helper.c).
 */
void svm_hold_interrupts(struct svm_cpu *svm, bool held)
{
	if (held == !!(svm->vmcb.int_ctl & V_INTR_MASKING))
		return;
	svm->vmcb.int_ctl ^= V_INTR_MASKING;
	vmcb_dirty(svm, CLEAN_INT_CTL);
}

/* IRET loads its own flags: nothing of ours is left in them. */
static void step_end(struct svm_cpu *svm)
{
	svm->stepping = false;
	svm->vmcb.intercept_exceptions &= (uint32_t)~EXCEPTION_DB;
	vmcb_dirty(svm, CLEAN_INTERCEPTS);
	if (svm->stepping_iret || svm->stepped_from & RFLAGS_TF)
		return;
	svm->vmcb.rflags &= ~RFLAGS_TF;
	svm->vmcb.dr6 &= ~DR6_BS;
	vmcb_dirty(svm, CLEAN_DR);
}

/* The guest was stepping itself, or has hit a breakpoint of its own. */
static bool is_guests(const struct svm_cpu *svm)
{
	return svm->stepped_from & RFLAGS_TF || svm->vmcb.dr6 & BITS(3, 0);
}

bool svm_stepped(struct cpu *cpu, struct vm_exit *exit)
{
	struct svm_cpu *svm = svm_of(cpu);
	const struct pmu_gate *gate = &cpu->pmu.gate;
	bool iret = svm->stepping_iret, apic = svm->apic_step;

	step_end(svm);
	if (is_guests(svm))
		svm->vmcb.event = VECTOR_DB | EVENT_EXCEPTION | EVENT_VALID;
	svm->stepping_iret = false;
	if (iret)
		svm->nmi_masked = false; /* a virtual one isn't any more */
	if (apic)
		svm_apic_accessed(cpu);
	cpu->pmu.gate.dirty = true;
	exit->reason = iret || !gate->step ? EXIT_NMI_WINDOW : EXIT_STEP;
	if (!apic || iret || gate->step || (gate->nmi_window && !svm_nmi_blocked(cpu)))
		return true;
	cpu->counts.exits[EXIT_STEP]++;
	return false;
}

/* The exit comes before the IRET, which ends the blocking when it is done. */
void svm_step_iret(struct svm_cpu *svm)
{
	svm->stepping_iret = true;
	svm_step_begin(svm);
}

/* The instruction to be stepped has been completed otherwise, or faults: nobody is to find the flag in a frame. */
void svm_step_cancel(struct cpu *cpu)
{
	struct svm_cpu *svm = svm_of(cpu);
	uint64_t dr6 = svm->vmcb.dr6;

	step_end(svm);
	svm->vmcb.dr6 = dr6;
	cpu->pmu.gate.dirty = true;
}
