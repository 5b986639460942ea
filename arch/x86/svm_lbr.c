/*
 * The guest's DEBUGCTL, and the host's records of the guest. Where the CPU switches them ("LBR Virtualization" in APM
 * Vol. 2) they are in the VMCB; where not, there are no LBRs but the one of DEBUGCTL, and the register is the guest's.
 */
#include "svm.h"
#include "guest.h"
#include "msr.h"
#include "reg.h"

uint64_t svm_read_debugctl(const struct svm_cpu *svm)
{
	return svm->lbr ? svm->vmcb.debugctl : reg_rdmsr(MSR_IA32_DEBUGCTL);
}

void svm_write_debugctl(struct cpu *cpu, uint64_t value)
{
	struct svm_cpu *svm = svm_of(cpu);

	if (!svm->lbr) {
		reg_wrmsr(MSR_IA32_DEBUGCTL, value);
		return;
	}
	svm->vmcb.debugctl = value;
	vmcb_dirty(svm, CLEAN_LBR);
}

/* From opening to closing the freeze bits are the guest's; while closed they are in struct pmu, and these are ours. */
void svm_apply_debugctl(struct cpu *cpu, const struct pmu_gate *gate)
{
	struct svm_cpu *svm = svm_of(cpu);

	if (!pmu_debugctl_changes(gate, svm->open, svm->freeze, svm->records))
		return;
	svm_write_debugctl(cpu, (svm_read_debugctl(svm) & ~DEBUGCTL_FREEZE) | freeze_debugctl(gate->freeze));
	if (!cpu->pmu.lbr.guests)
		svm->vmcb.debug_extension = gate->records ? DBG_EXTN_CFG_LBR : 0;
	svm->freeze = gate->freeze;
	svm->records = gate->records;
}
