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

/* While open, the guest writes the global control register itself. */
static void track_ctrl(struct pmu *pmu)
{
	uint64_t ctrl = pmu->ops->enabled();

	if (ctrl & ~pmu->controls)
		pmu->stats.hidden_writes++;
	pmu->gate.guest_ctrl = ctrl & pmu->controls;
	if (pmu->gate.host_ctrl & ~ctrl)
		pmu->ops->enable(ctrl | pmu->gate.host_ctrl);
}

void svm_pmu_exited(struct cpu *cpu)
{
	struct pmu *pmu = &cpu->pmu;

	if (svm_of(cpu)->open && pmu->caps.global)
		track_ctrl(pmu);
	pmu->emulated = false;
	if (!(pmu->taken | pmu->ahead | pmu->suspended))
		return;
	pmu_entered(cpu);
	if (svm_of(cpu)->guarded)
		unguard(cpu);
}

void svm_pmu_not_entered(struct cpu *cpu)
{
	if (cpu->pmu.taken | cpu->pmu.ahead | cpu->pmu.suspended)
		pmu_not_entered(cpu);
	if (svm_of(cpu)->guarded)
		unguard(cpu);
}

/*
 * Each counter knows its side, so the bits of both can stand side by side; but not in a register that the guest reads
 * and writes itself.
 */
static uint64_t entry_ctrl(const struct pmu *pmu)
{
	const struct pmu_gate *gate = &pmu->gate;

	return gate->open && pmu->caps.global ? gate->guest_ctrl : gate->guest_ctrl | gate->host_ctrl;
}

void svm_pmu_entering(struct cpu *cpu)
{
	struct pmu *pmu = &cpu->pmu;
	uint64_t ctrl = entry_ctrl(pmu), ahead;

	if (pmu->kept.ctrl != ctrl)
		pmu->ops->enable(ctrl);
	if (!((pmu->kept.entries[0] | pmu->kept.entries[1]) & ctrl & pmu->guest))
		return;
	ahead = pmu_entering(cpu, svm_nmi_comes_first(svm_of(cpu)));
	if (ahead)
		guard(cpu, ahead);
}
