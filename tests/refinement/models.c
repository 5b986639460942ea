/* A plan's processors: the models of the test machine, whole and cut down to what the guest has. */
#include "arch/x86/cpuid.h"
#include "arch/x86/msr.h"
#include "hv/pmu.h"
#include "plan.h"
#include "tests/machine/pmu_model.h"

const struct pmu_model_caps *const plan_models[NR_PLAN_MODELS] = {
	&pmu_model_icelake, &pmu_model_sapphire_rapids, &pmu_model_arrow_lake, &pmu_model_zen4, &pmu_model_zen3,
};

bool plan_is_amd(const struct plan *plan)
{
	return plan->model >= NR_PLAN_MODELS_INTEL;
}

bool plan_has_globals(const struct plan *plan)
{
	return !plan_is_amd(plan) || plan_models[plan->model]->perfmon_v2;
}

uint32_t plan_status_msr(const struct plan *plan)
{
	return plan_is_amd(plan) ? MSR_AMD_PERF_GLOBAL_STATUS : MSR_IA32_PERF_GLOBAL_STATUS;
}

static uint32_t intel_counter_msr(unsigned n)
{
	if (n >= 32)
		return MSR_IA32_FIXED_CTR0 + n - 32;
	return n < 8 ? MSR_IA32_PMC0 + n : MSR_IA32_PMC_GP0_CTR + 4 * n;
}

uint32_t plan_counter_msr(const struct plan *plan, unsigned n)
{
	if (!plan_is_amd(plan))
		return intel_counter_msr(n);
	return plan_has_globals(plan) ? MSR_AMD_PERF_CTL0 + 1 + 2 * n
				      : MSR_AMD_PERF_LEGACY_CTL0 + NR_LEGACY_COUNTERS + n;
}

uint64_t plan_guest_counters(const struct plan *plan)
{
	const struct pmu_model_caps *caps = plan_models[plan->model];
	uint64_t fixed = (BIT(caps->nr_fixed) - 1) & ~(uint64_t)plan->config.host_fixed;

	uint64_t gp = BIT(caps->nr_gp - plan->config.host_counters) - 1;

	/* Without PerfMonV2 the guest has those that it can't help finding. */
	return (plan_has_globals(plan) ? gp : gp & (BIT(NR_LEGACY_COUNTERS) - 1)) | fixed << 32;
}

/* AMD's first four have an older address too. */
static int amd_selected_by(uint32_t msr)
{
	if (msr - MSR_AMD_PERF_LEGACY_CTL0 < NR_LEGACY_COUNTERS)
		return (int)(msr - MSR_AMD_PERF_LEGACY_CTL0);
	if (msr - MSR_AMD_PERF_CTL0 < 2 * CORE_COUNTERS && !(msr & 1))
		return (int)(msr - MSR_AMD_PERF_CTL0) / 2;
	return -1;
}

/* Version 6 has a second address for each: SDM Vol. 3B, "Architectural Performance Monitoring Version 6". */
int plan_selected_by(uint32_t msr)
{
	if (msr - MSR_IA32_PERFEVTSEL0 < 8)
		return (int)(msr - MSR_IA32_PERFEVTSEL0);
	if (msr - MSR_IA32_PMC_GP0_CFG_A < 4 * PMU_MODEL_MAX_GP && (msr - MSR_IA32_PMC_GP0_CFG_A) % 4 == 0)
		return (int)(msr - MSR_IA32_PMC_GP0_CFG_A) / 4;
	return amd_selected_by(msr);
}

bool plan_is_lbr_info(uint32_t msr)
{
	return msr == MSR_IA32_LER_INFO || msr - MSR_LBR_INFO_0 < 0x20 || msr - MSR_IA32_LBR_0_INFO < 0x20;
}

bool plan_has_pebs(const struct plan *plan)
{
	return plan->config.pebs != CONFIG_PEBS_OFF;
}

bool plan_has_lbr(const struct plan *plan)
{
	return plan->config.lbr != CONFIG_LBR_HOST;
}

void plan_bare_caps(const struct plan *plan, struct pmu_model_caps *caps)
{
	uint64_t counters = plan_guest_counters(plan);

	*caps = *plan_models[plan->model];
	caps->nr_gp = (unsigned)__builtin_popcountll(counters & BITS(31, 0));
	caps->nr_fixed = (unsigned)__builtin_popcountll(counters >> 32);
	caps->core_ext &= caps->perfmon_v2;
	if (!(counters & PMU_METRICS_COUNTER))
		caps->perf_capabilities &= ~PERF_CAP_METRICS;
	if (!plan_has_pebs(plan))
		caps->perf_capabilities &= ~PERF_CAP_PEBS;
	if (plan_has_lbr(plan))
		return;
	caps->perf_capabilities &= ~PERF_CAP_LBR_FMT;
	caps->lbr_depth = 0;
	caps->lbr_v2 = false;
	for (unsigned i = 0; i < ARRAY_SIZE(caps->arch_lbr); i++)
		caps->arch_lbr[i] = 0;
}
