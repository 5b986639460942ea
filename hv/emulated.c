/*
 * An instruction that exits doesn't retire in the guest; when pmuvisor completes it, it counts as one retired
 * instruction in every guest counter that counts those. SDM Vol. 3B, "Pre-defined Architectural Performance Events":
 * "instructions retired" isn't incremented under VM-exit conditions.
 *
 * The count goes straight into the hardware's counter, so nothing is pending that a guest's write would have to discard
 * and no overflow is seen twice: a wrap made here has no hardware overflow, and a hardware overflow no wrap made here.
 */
#include "pmu_private.h"

/* While open, only the hardware knows: the guest may have set or cleared the freeze without an exit. */
static bool counters_frozen(const struct pmu *pmu)
{
	uint64_t status = pmu_is_open(pmu) ? pmu->ops->status() : pmu->guest_status;

	return status & PMU_STATUS_CTR_FROZEN;
}

/* Adds one to each of `counters`; returns those that wrapped. */
static uint64_t add_one(const struct pmu *pmu, uint64_t counters)
{
	uint64_t wrapped = 0;

	for_each_bit(n, counters) {
		uint64_t value = (pmu->ops->read((unsigned)n) + 1) & BITS(pmu->caps.width - 1, 0);

		pmu->ops->write((unsigned)n, value);
		if (!value)
			wrapped |= BIT(n);
	}
	return wrapped;
}

static void overflowed(struct cpu *cpu, uint64_t counters)
{
	struct pmu *pmu = &cpu->pmu;

	pmu_raise_status(pmu, counters);
	if (pmu->ops->interrupting(counters)) {
		if (!pmu_is_open(pmu))
			lvtpc_refresh(cpu); /* the guest may have unmasked it since the last exit */
		pmu->stats.guest_pmis_emulated++;
		guest_pmi(cpu);
		if (!pmu_is_open(pmu))
			lvtpc_settle(cpu);
	}
}

static __attribute__((noinline)) void count(struct cpu *cpu, uint64_t counters)
{
	struct pmu *pmu = &cpu->pmu;
	uint64_t wrapped;

	counters = pmu->ops->used(counters);
	if (!counters)
		return;
	counters = pmu->ops->counts_instructions(counters, cpu->ops->read(cpu, GUEST_CPL) > 0);
	if (!counters || counters_frozen(pmu))
		return;
	wrapped = add_one(pmu, counters);
	if (wrapped)
		overflowed(cpu, wrapped);
}

/* Where the entry counts as an instruction, it is counted as the one that was emulated. */
void pmu_emulated(struct cpu *cpu)
{
	struct pmu *pmu = &cpu->pmu;
	uint64_t counters;

	pmu->stats.emulated++;
	if (pmu->ops->counts_entry) {
		pmu->emulated = true;
		return;
	}
	counters = pmu_guest_ctrl(pmu) & pmu->guest;
	if (counters)
		count(cpu, counters);
}

/* A counter that stands at 0 can't go back without overflowing when the entry counts: it goes back at the exit. */
static uint64_t take_one(const struct pmu *pmu, uint64_t counters)
{
	uint64_t ahead = 0;

	for_each_bit(n, counters) {
		uint64_t value = pmu->ops->read((unsigned)n);

		if (value)
			pmu->ops->write((unsigned)n, value - 1);
		else
			ahead |= BIT(n);
	}
	return ahead;
}

/*
 * One that doesn't count at privilege level 0 is as good as off while the guest is there: it is off for that long, and
 * doesn't count the entry.
 */
static void suspend(struct pmu *pmu)
{
	pmu->suspended = pmu->ahead & ~pmu->ops->counts_entry(pmu->ahead, false);
	pmu->ahead &= ~pmu->suspended;
	if (pmu->suspended)
		pmu->ops->suspend(pmu->suspended, true);
}

uint64_t pmu_entering(struct cpu *cpu, bool to_kernel)
{
	struct pmu *pmu = &cpu->pmu;
	uint64_t counters = pmu_guest_ctrl(pmu) & pmu->guest;
	bool user = cpu->ops->read(cpu, GUEST_CPL) > 0;

	counters = pmu->ops->counts_entry(counters, user);
	if (pmu->emulated)
		counters &= ~pmu->ops->counts_instructions(counters, user);
	if (counters_frozen(pmu) || !counters)
		return 0;
	pmu->ahead = take_one(pmu, counters);
	pmu->taken = counters & ~pmu->ahead;
	if (to_kernel)
		suspend(pmu);
	return pmu->ahead;
}

static void entry_over(struct pmu *pmu)
{
	if (pmu->suspended)
		pmu->ops->suspend(pmu->suspended, false);
	pmu->ahead = pmu->taken = pmu->suspended = 0;
}

void pmu_entered(struct cpu *cpu)
{
	take_one(&cpu->pmu, cpu->pmu.ahead);
	entry_over(&cpu->pmu);
}

/* Nothing overflows: each was one more before. */
void pmu_not_entered(struct cpu *cpu)
{
	add_one(&cpu->pmu, cpu->pmu.taken);
	entry_over(&cpu->pmu);
}
