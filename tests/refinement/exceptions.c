#include "exceptions.h"

#include "arch/x86/apic.h"
#include "arch/x86/msr.h"
#include "hardware.h"
#include "hv/pmu.h"

/*
 * Numbers are those of the deviations in docs/contract.md.
 *
 * 4: the status bits of host and guest lie in one register, and a PMI doesn't say whose it is. When a host PMI comes, a
 * guest counter whose status bit is set and that interrupts is taken for a cause. That is wrong where the bit is old,
 * of an overflow that didn't interrupt, and the guest has enabled the interrupt since without clearing it. Software
 * clears it.
 */
bool exception_stale_status(const struct processor *bare, const struct step *step)
{
	uint64_t status = 0, enabled = 0;

	if (step->kind != STEP_WRMSR)
		return false;
	if (pmu_model_rdmsr(bare->model, MSR_IA32_PERF_GLOBAL_STATUS, &status) != PMU_MODEL_DONE)
		pmu_model_rdmsr(bare->model, MSR_AMD_PERF_GLOBAL_STATUS, &status);
	if (plan_selected_by(step->index) >= 0 && step->value & PERFEVTSEL_INT)
		enabled = BIT(plan_selected_by(step->index));
	for (unsigned m = 0; step->index == MSR_IA32_FIXED_CTR_CTRL && m < PMU_MODEL_MAX_FIXED; m++)
		enabled |= step->value & FIXED_CTR_PMI << 4 * m ? BIT(32 + m) : 0;
	return status & enabled;
}

/*
 * 18: while its PMI is under way the guest takes back what shows that it is its own, by
 * disabling the interrupt, or by clearing the status where pmuvisor doesn't see it.
 */
bool exception_taken_back(const struct processor *bare, const struct step *step)
{
	if (!processor_pmi_under_way(bare) || step->kind != STEP_WRMSR)
		return false;
	return plan_selected_by(step->index) >= 0 || step->index == MSR_IA32_FIXED_CTR_CTRL ||
	       ((step->index == MSR_IA32_PERF_GLOBAL_STATUS_RESET || step->index == MSR_AMD_PERF_GLOBAL_STATUS_CLR) &&
		hardware_is_open());
}

static uint64_t peek(const struct processor *cpu, uint32_t msr)
{
	uint64_t value = 0;

	pmu_model_rdmsr(cpu->model, msr, &value);
	return value;
}

/* Counters that interrupt. */
static uint64_t interrupting(const struct processor *cpu)
{
	uint64_t fixed = peek(cpu, MSR_IA32_FIXED_CTR_CTRL), counters = 0;

	for (unsigned n = 0; n < PMU_MODEL_MAX_GP; n++) {
		uint32_t msr = n < 8 ? MSR_IA32_PERFEVTSEL0 + n : MSR_IA32_PMC_GP0_CFG_A + 4 * n;

		counters |= peek(cpu, msr) & PERFEVTSEL_INT ? BIT(n) : 0;
	}
	for (unsigned m = 0; m < PMU_MODEL_MAX_FIXED; m++)
		counters |= fixed & FIXED_CTR_PMI << 4 * m ? BIT(32 + m) : 0;
	return counters;
}

/* 23: a counter that has records and interrupts too. */
bool exception_record_and_pmi(const struct processor *bare, const struct step *step)
{
	uint64_t enable = peek(bare, MSR_IA32_PEBS_ENABLE);

	if (step->kind != STEP_WRMSR || !hardware_samples())
		return false;
	if (step->index == MSR_IA32_PEBS_ENABLE)
		return step->value & interrupting(bare);
	if (plan_selected_by(step->index) >= 0)
		return step->value & PERFEVTSEL_INT && enable & BIT(plan_selected_by(step->index));
	return step->index == MSR_IA32_FIXED_CTR_CTRL && enable >> 32;
}

/*
 * 28: what blocks NMIs in the guest can't be asked of SVM: where NMIs didn't exit before, pmuvisor takes the guest to be
 * outside of their handler.
 */
bool exception_blocking_unknown(const struct processor *bare, const struct step *step)
{
	return step->kind == STEP_HOST && bare->nmi_blocked && hardware_blocking_is_unknown();
}

static bool is_global(const struct step *step)
{
	return step->index == MSR_IA32_PERF_GLOBAL_STATUS || step->index == MSR_IA32_PERF_GLOBAL_CTRL ||
	       step->index == MSR_AMD_PERF_GLOBAL_STATUS || step->index == MSR_AMD_PERF_GLOBAL_CTL;
}

/* 1, as long as the guest has set some; 8: the times in the LBRs; 24: the last exception record. */
uint64_t exception_bits(const struct step *step, bool hidden_bits)
{
	if (step->kind != STEP_RDMSR)
		return 0;
	if (hidden_bits && is_global(step))
		return hardware_hidden();
	if (step->index - MSR_IA32_LER_FROM < 4 && hardware_shares_lbr())
		return BITS(63, 0);
	return plan_is_lbr_info(step->index) ? PLAN_LBR_TIME : 0;
}

static bool writes_hidden_bits(const struct step *step)
{
	return step->kind == STEP_WRMSR && step->value & hardware_hidden() &&
	       (step->index == MSR_AMD_PERF_GLOBAL_CTL || step->index == MSR_AMD_PERF_GLOBAL_STATUS_SET ||
		step->index == MSR_IA32_PERF_GLOBAL_CTRL || step->index == MSR_IA32_PERF_GLOBAL_STATUS_RESET ||
		step->index == MSR_IA32_PERF_GLOBAL_STATUS_SET);
}

/* 1: PEBS_ENABLE while open is the hardware's own, which takes the bits of hidden counters until the next exit. */
bool exception_hidden_pebs(const struct step *step)
{
	return step->kind == STEP_WRMSR && step->index == MSR_IA32_PEBS_ENABLE && hardware_is_open() &&
	       step->value & hardware_hidden();
}

/* What decides the next two is whether the registers are open, and that a PMI may change at the exit. */
bool exception_may_open(const struct step *step)
{
	return processor_pmi_under_way(hardware_processor()) && !hardware_is_open() &&
	       (step->kind == STEP_RDPMC || writes_hidden_bits(step));
}

/* 2: RDPMC is trapped for all counters or for none; where it isn't, hidden counters and metrics can be read. */
bool exception_rdpmc_hidden(const struct step *step, uint64_t guest_counters)
{
	uint32_t index = step->index & 0xffff, type = step->index >> 16;
	uint64_t counters = type == 0 ? guest_counters & BITS(31, 0) : guest_counters >> 32;

	if (step->kind != STEP_RDPMC || !hardware_rdpmc_is_open())
		return false;
	if (type == 0x2000)
		return !(guest_counters & PMU_METRICS_COUNTER);
	return (type == 0 || type == 0x4000) && !(index < 32 && counters & BIT(index));
}

/*
 * 1: while open, the global registers are the hardware's own, and those take the bits of hidden counters. The guest can
 * set them and read them back until they are closed; what it counts with them is its own instructions.
 */
bool exception_hidden_bits(const struct step *step)
{
	return writes_hidden_bits(step) && hardware_is_open();
}

/*
 * 5: the processor keeps one NMI, and so does pmuvisor while it is in root mode. An NMI from outside that strikes
 * together with a host PMI there is one with it, as on a bare machine with a PMI of the guest's own.
 */
bool exception_nmi_merges(const struct step *step)
{
	return step->kind == STEP_NMI;
}

/*
 * 3: in xAPIC mode LVTPC isn't trapped: after the guest has written something that doesn't let PMIs in as NMIs,
 * pmuvisor knows at its next periodic exit. Until then its PMIs are dropped, or come with the guest's vector, and a
 * freeze for the guest is missed.
 */
bool exception_lvtpc_gap(const struct processor *cpu, const struct step *step)
{
	return step->kind == STEP_WRITE_LVTPC && !cpu->x2apic && hardware_needs_lvtpc() &&
	       ((step->value & LVT_MODE) != LVT_NMI || step->value & LVT_MASKED);
}
