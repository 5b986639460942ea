/*
 * What an entry and an exit do for the counters, as neither does anything by itself: the global control register is
 * written where the two sides differ in it, and the entry isn't left in the guest's counts.
 */
#include "svm.h"
#include "cpuid.h"
#include "msr.h"

/* Sets the guest's accesses to a selector or counter of its own, by both of their names if it has both. */
static void trap(struct cpu *cpu, unsigned n, bool counter, enum msr_trap open, enum msr_trap closed)
{
	const uint32_t names[] = {
		MSR_AMD_PERF_CTL0 + 2 * n + (counter ? 1 : 0),
		MSR_AMD_PERF_LEGACY_CTL0 + n + (counter ? NR_LEGACY_COUNTERS : 0),
	};
	struct svm_cpu *svm = svm_of(cpu);

	for (unsigned i = cpu->pmu.caps.global ? 0 : 1; i < (n < NR_LEGACY_COUNTERS ? 2 : 1); i++) {
		svm_msr_permission_set(&svm->msrs_open, names[i], open);
		svm_msr_permission_set(&svm->msrs_closed, names[i], closed);
	}
	vmcb_dirty(svm, CLEAN_BITMAPS);
}

/*
 * One that is ahead must not be read, nor written, before the exit that puts it right. Where no register has the
 * overflows, a write while it counts could hide one from pmuvisor: closed, it exits.
 */
static void trap_counters(struct cpu *cpu, uint64_t counters)
{
	struct svm_cpu *svm = svm_of(cpu);
	uint64_t watched = cpu->pmu.caps.global ? 0 : svm->disguised;

	for_each_bit(n, counters) {
		if (svm->guarded & BIT(n))
			trap(cpu, (unsigned)n, true, TRAP_BOTH, TRAP_BOTH);
		else
			trap(cpu, (unsigned)n, true, TRAP_NEVER, watched & BIT(n) ? TRAP_WRITE : TRAP_NEVER);
	}
}

/* Those that count are among them. */
void svm_apply_disguised(struct cpu *cpu, uint64_t disguised)
{
	struct svm_cpu *svm = svm_of(cpu);
	uint64_t changed = svm->disguised ^ disguised;

	svm->disguised = disguised;
	for_each_bit(n, changed) {
		enum msr_trap how = disguised & BIT(n) ? TRAP_BOTH : TRAP_WRITE;

		trap(cpu, (unsigned)n, false, how, how);
	}
	if (!cpu->pmu.caps.global)
		trap_counters(cpu, changed);
}

static void guard(struct cpu *cpu, uint64_t ahead)
{
	struct svm_cpu *svm = svm_of(cpu);

	svm->guarded = ahead;
	trap_counters(cpu, ahead);
	svm->vmcb.intercept1 |= (uint32_t)INTERCEPT_RDPMC;
	vmcb_dirty(svm, CLEAN_INTERCEPTS);
}

static void unguard(struct cpu *cpu)
{
	struct svm_cpu *svm = svm_of(cpu);
	uint64_t guarded = svm->guarded;

	svm->guarded = 0;
	trap_counters(cpu, guarded);
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
	if (svm_counting_entry(&cpu->pmu) & cpu->pmu.host_in_guest)
		cpu->pmu.entries[svm_of(cpu)->vmcb.cpl > 0]--;
	if (pmu_entry_counts(&cpu->pmu))
		pmu_not_entered(cpu);
	if (svm_of(cpu)->guarded)
		unguard(cpu);
}

void svm_pmu_ctrl_written(struct pmu *pmu, uint64_t ctrl)
{
	struct pmu_gate *gate = &pmu->gate;

	pmu_ctrl_written(pmu, ctrl, gate->host_ctrl);
	pmu->ops->enable(gate->guest_ctrl | gate->host_ctrl);
}

void svm_pmu_entering(struct cpu *cpu)
{
	uint64_t ahead = pmu_entering(cpu, svm_nmi_comes_first(svm_of(cpu)));

	if (ahead)
		guard(cpu, ahead);
}
