/*
 * What an entry and an exit do for the counters, as neither does anything by itself: the global control register is
 * written where the two sides differ in it, and the entry isn't left in the guest's counts.
 */
#include "svm.h"
#include "cpuid.h"
#include "msr.h"

static void trap(struct svm_cpu *svm, uint32_t msr, enum msr_trap trap)
{
	svm_msr_permission_set(&svm->msrs_open, msr, trap);
	svm_msr_permission_set(&svm->msrs_closed, msr, trap);
	vmcb_dirty(svm, CLEAN_BITMAPS);
}

/* The guest's selectors and counters, by both of their names if the guest has both: what has none goes on trapping. */
static void trap_selectors(struct cpu *cpu, uint64_t counters, enum msr_trap how)
{
	for_each_bit(n, counters) {
		if (cpu->pmu.caps.global)
			trap(svm_of(cpu), MSR_AMD_PERF_CTL0 + 2 * (uint32_t)n, how);
		if (n < NR_LEGACY_COUNTERS)
			trap(svm_of(cpu), MSR_AMD_PERF_LEGACY_CTL0 + (uint32_t)n, how);
	}
}

static void trap_counters(struct cpu *cpu, uint64_t counters, enum msr_trap how)
{
	for_each_bit(n, counters) {
		if (cpu->pmu.caps.global)
			trap(svm_of(cpu), MSR_AMD_PERF_CTL0 + 2 * (uint32_t)n + 1, how);
		if (n < NR_LEGACY_COUNTERS)
			trap(svm_of(cpu), MSR_AMD_PERF_LEGACY_CTL0 + NR_LEGACY_COUNTERS + (uint32_t)n, how);
	}
}

void svm_apply_disguised(struct cpu *cpu, uint64_t disguised)
{
	struct svm_cpu *svm = svm_of(cpu);

	trap_selectors(cpu, disguised & ~svm->disguised, TRAP_BOTH);
	trap_selectors(cpu, svm->disguised & ~disguised, TRAP_WRITE);
	svm->disguised = disguised;
}

/* A counter that is one ahead must not be read, nor written, before the exit that puts it right. */
static void guard(struct cpu *cpu, uint64_t ahead)
{
	struct svm_cpu *svm = svm_of(cpu);

	trap_counters(cpu, ahead, TRAP_BOTH);
	svm->guarded = ahead;
	svm->vmcb.intercept1 |= (uint32_t)INTERCEPT_RDPMC;
	vmcb_dirty(svm, CLEAN_INTERCEPTS);
}

static void unguard(struct cpu *cpu)
{
	struct svm_cpu *svm = svm_of(cpu);

	trap_counters(cpu, svm->guarded, TRAP_NEVER);
	svm->guarded = 0;
	if (cpu->pmu.gate.rdpmc_open)
		svm->vmcb.intercept1 &= (uint32_t)~INTERCEPT_RDPMC;
	vmcb_dirty(svm, CLEAN_INTERCEPTS);
}

void svm_pmu_entered(struct cpu *cpu)
{
	pmu_entered(cpu);
	if (svm_of(cpu)->guarded)
		unguard(cpu);
}

void svm_pmu_not_entered(struct cpu *cpu)
{
	if (pmu_entry_counts(&cpu->pmu))
		pmu_not_entered(cpu);
	if (svm_of(cpu)->guarded)
		unguard(cpu);
}

void svm_pmu_ctrl_written(struct pmu *pmu, uint64_t ctrl)
{
	struct pmu_gate *gate = &pmu->gate;

	if (ctrl & ~(pmu->controls | gate->host_ctrl))
		pmu->stats.hidden_writes++;
	gate->guest_ctrl = ctrl & pmu->controls;
	pmu->ops->enable(gate->guest_ctrl | gate->host_ctrl);
}

void svm_pmu_entering(struct cpu *cpu)
{
	uint64_t ahead = pmu_entering(cpu, svm_nmi_comes_first(svm_of(cpu)));

	if (ahead)
		guard(cpu, ahead);
}
