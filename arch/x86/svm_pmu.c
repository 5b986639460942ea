/*
 * What an entry and an exit do for the counters, as neither does anything by itself: the global control register is
 * written where the two sides differ in it, and the entry isn't left in the guest's counts.
 */
#include "svm.h"
#include "cpuid.h"
#include "msr.h"

/* A counter that is one ahead must not be read, nor written, before the exit that puts it right. */
static void guard(struct svm_cpu *svm, uint64_t counters, enum msr_trap trap)
{
	for_each_bit(n, counters) {
		uint32_t msr = MSR_AMD_PERF_CTL0 + 2 * (uint32_t)n + 1;

		svm_msr_permission_set(&svm->msrs_open, msr, trap);
		svm_msr_permission_set(&svm->msrs_closed, msr, trap);
		if (n >= NR_LEGACY_COUNTERS)
			continue;
		msr = MSR_AMD_PERF_LEGACY_CTL0 + NR_LEGACY_COUNTERS + (uint32_t)n;
		svm_msr_permission_set(&svm->msrs_open, msr, trap);
		svm_msr_permission_set(&svm->msrs_closed, msr, trap);
	}
	vmcb_dirty(svm, CLEAN_BITMAPS);
}

static void unguard(struct cpu *cpu)
{
	struct svm_cpu *svm = svm_of(cpu);

	guard(svm, svm->guarded, TRAP_NEVER);
	svm->guarded = 0;
	if (cpu->pmu.gate.rdpmc_open)
		svm->vmcb.intercept1 &= (uint32_t)~INTERCEPT_RDPMC;
	vmcb_dirty(svm, CLEAN_INTERCEPTS);
}

/* While open, the guest writes the global control register itself. */
static void track_ctrl(struct cpu *cpu)
{
	struct pmu *pmu = &cpu->pmu;
	uint64_t ctrl = pmu->ops->enabled();

	if (ctrl & ~pmu->controls)
		pmu->stats.hidden_writes++;
	pmu->gate.guest_ctrl = ctrl & pmu->controls;
	if (pmu->gate.host_ctrl & ~ctrl)
		pmu->ops->enable(ctrl | pmu->gate.host_ctrl);
}

void svm_pmu_exited(struct cpu *cpu)
{
	struct svm_cpu *svm = svm_of(cpu);

	if (svm->open)
		track_ctrl(cpu);
	pmu_entered(cpu);
	if (svm->guarded)
		unguard(cpu);
}

/* Closed, the bits of both sides can stand side by side: each counter knows its own. */
void svm_pmu_entering(struct cpu *cpu)
{
	struct svm_cpu *svm = svm_of(cpu);
	const struct pmu *pmu = &cpu->pmu;
	uint64_t ctrl = pmu->gate.guest_ctrl | (pmu->gate.open ? 0 : pmu->gate.host_ctrl);

	svm->guarded = pmu_entering(cpu);
	if (svm->guarded) {
		guard(svm, svm->guarded, TRAP_BOTH);
		svm->vmcb.intercept1 |= (uint32_t)INTERCEPT_RDPMC;
		vmcb_dirty(svm, CLEAN_INTERCEPTS);
	}
	if (pmu->ops->enabled() != ctrl)
		pmu->ops->enable(ctrl);
}
