/*
 * NMIs for the guest. With virtual NMIs (APM Vol. 2, "NMI Virtualization") the processor knows when the guest can take
 * one. Without, this code does: the guest blocks others from the injection to the IRET, which exits before it executes.
 *
 * What shared code calls the NMI window's exit is here that of the IRET: nothing but the IRET itself comes between the
 * two. Only when another NMI waits, the IRET is stepped over first.
 */
#include "svm.h"

static bool has_taken(const struct svm_cpu *svm)
{
	return svm->vnmi ? svm->vmcb.int_ctl & V_NMI_MASK : svm->nmi_masked;
}

/* Pending, it comes after the instruction in whose shadow it waits. */
static bool is_handling(const struct svm_cpu *svm)
{
	return has_taken(svm) || (svm->vnmi && svm->vmcb.int_ctl & V_NMI_PENDING);
}

/*
 * While a step is under way its end comes first. A fault that was about to be injected can come again after the NMI, as
 * its instruction does; any other event can't.
 */
bool svm_nmi_blocked(struct cpu *cpu)
{
	const struct svm_cpu *svm = svm_of(cpu);

	if (svm->stepping || is_handling(svm))
		return true;
	if (svm->vnmi)
		return false;
	return svm->vmcb.interrupt_shadow & SHADOW_INTERRUPTS || (svm->vmcb.event & EVENT_VALID && !svm->faulting);
}

void svm_nmi_inject(struct cpu *cpu)
{
	struct svm_cpu *svm = svm_of(cpu);

	if (svm->vnmi) {
		svm->vmcb.int_ctl |= V_NMI_PENDING;
		vmcb_dirty(svm, CLEAN_INT_CTL);
	} else {
		svm->vmcb.event = VECTOR_NMI | EVENT_NMI | EVENT_VALID;
		svm->nmi_masked = true;
		svm->iret_begun = false;
	}
	cpu->pmu.gate.dirty = true; /* the IRET exits */
}

/* Nothing else tells when it can be taken: the end of a shadow, but not of what would take the trap flag with it. */
static bool needs_step(const struct svm_cpu *svm, const struct pmu_gate *gate)
{
	return gate->nmi_window && !is_handling(svm) && !(svm->vmcb.event & EVENT_VALID);
}

static bool needs_iret(const struct svm_cpu *svm, const struct pmu_gate *gate)
{
	if (svm->stepping)
		return false;
	if (gate->nmi_window)
		return true;
	return !svm->vnmi && svm->nmi_masked && !svm->iret_begun;
}

/*
 * An injected NMI blocks no other, but for virtual ones, and those want the intercept. No interrupt comes before an
 * access to the APIC's page that is stepped: its handler would find the page as that access alone is to find it, and
 * write EOI where nobody looks for it.
 */
uint32_t svm_apply_nmi(struct svm_cpu *svm, const struct pmu_gate *gate)
{
	bool exits = gate->nmi_exits || is_handling(svm), apic = gate->step || svm->apic_step;

	if ((apic || needs_step(svm, gate)) && !svm->stepping)
		svm_step_begin(svm);
	svm_hold_interrupts(svm, apic);
	if (svm->vnmi && exits != svm->nmi_exits) {
		svm->vmcb.int_ctl ^= V_NMI_ENABLE;
		vmcb_dirty(svm, CLEAN_INT_CTL);
	}
	svm->nmi_exits = exits;
	svm->nmi_watched = svm->iret_begun || (exits && !gate->nmi_exits);
	exits |= svm->apic_step || !svm->init_redirected; /* svm_startup.c */
	return (uint32_t)((exits ? INTERCEPT_NMI : 0) | (needs_iret(svm, gate) ? INTERCEPT_IRET : 0));
}

/* The IRET that has exited is done when the guest is anywhere else. Then NMIs need not exit for its sake any longer. */
void svm_nmi_exited(struct cpu *cpu)
{
	struct svm_cpu *svm = svm_of(cpu);

	if (svm->iret_begun && svm->vmcb.rip != svm->iret_rip) {
		svm->nmi_masked = false;
		svm->iret_begun = false;
	}
	cpu->pmu.gate.dirty |= !is_handling(svm);
}

bool svm_nmi_iret(struct cpu *cpu)
{
	struct svm_cpu *svm = svm_of(cpu);

	if (!needs_iret(svm, &cpu->pmu.gate))
		return false;
	cpu->pmu.gate.dirty = true; /* it doesn't exit again */
	if (cpu->nmi.pending) {
		cpu->counts.exits[EXIT_STEP]++;
		svm_step_iret(svm);
		return false;
	}
	svm->iret_begun = !svm->vnmi;
	svm->iret_rip = svm->vmcb.rip;
	return true;
}

/* Not when the instruction in whose shadow it waits does. */
bool svm_nmi_comes_first(const struct svm_cpu *svm)
{
	const struct vmcb *vmcb = &svm->vmcb;
	bool injected = (vmcb->event & (EVENT_VALID | EVENT_TYPE)) == (EVENT_VALID | EVENT_NMI);
	bool pending = svm->vnmi && (vmcb->int_ctl & (V_NMI_PENDING | V_NMI_MASK)) == V_NMI_PENDING &&
		       !(vmcb->interrupt_shadow & SHADOW_INTERRUPTS);

	return vmcb->intercept1 & INTERCEPT_IRET && (injected || pending);
}

void svm_nmi_reset(struct svm_cpu *svm)
{
	svm->nmi_masked = false;
	svm->iret_begun = false;
	svm->vmcb.int_ctl &= (uint32_t) ~(V_NMI_PENDING | V_NMI_MASK);
}
