#include "pmu_amd.h"
#include "cpu.h"
#include "pmu.h"

#define CPUID_FEATURES_AMD     0x80000001
#define ECX_PERF_CTR_EXT_CORE  BIT(23)
#define CPUID_PERFMON_V2       0x80000022
#define EAX_PERFMON_V2         BIT(0)
#define WIDTH                  48
#define HARDWARE_CORE_COUNTERS 6
#define EVENT_BRANCHES_AMD     UINT64_C(0x00c2)

static uint64_t wanted; /* counters whose selectors ask for them */
static uint64_t gate;   /* and those that pmu_enable() lets count */

static void detect_perfmon_v2(void)
{
	struct cpuid_regs leaf = cpuid(CPUID_PERFMON_V2, 0);

	if (!(leaf.eax & EAX_PERFMON_V2))
		return;
	pmu.nr_gp = leaf.ebx & 0xf;
	pmu.global_status = MSR_PERF_CNTR_GLOBAL_STATUS;
	pmu.global_ctrl = MSR_PERF_CNTR_GLOBAL_STATUS + 1;
	pmu.global_reset = MSR_PERF_CNTR_GLOBAL_STATUS + 2;
	pmu.global_set = MSR_PERF_CNTR_GLOBAL_STATUS + 3;
}

/* Without PerfMonV2 nothing but the family says how many there are: six since PerfCtrExtCore. */
void pmu_detect_amd(void)
{
	if (cpuid(CPUID_FEATURES_AMD, 0).ecx & ECX_PERF_CTR_EXT_CORE)
		pmu.nr_gp = HARDWARE_CORE_COUNTERS;
	if (cpuid(0x80000000, 0).eax >= CPUID_PERFMON_V2)
		detect_perfmon_v2();
	pmu.width = WIDTH;
	pmu.hardware_gp = HARDWARE_CORE_COUNTERS;
	pmu.gp_mask = BIT(pmu.nr_gp) - 1;
	pmu.branches = EVENT_BRANCHES_AMD;
}

void pmu_select_gated(unsigned n, uint64_t selector)
{
	wanted = selector & PERFEVTSEL_EN ? wanted | BIT(n) : wanted & ~BIT(n);
	wrmsr(pmu_selector(n), gate & BIT(n) ? selector : selector & ~PERFEVTSEL_EN);
}

/* Only what changes is written: a sampler's handler comes through here. */
void pmu_enable_gated(uint64_t counters)
{
	uint64_t changed = (gate ^ counters) & wanted;

	gate = counters;
	for (unsigned i = 0; i < pmu.nr_gp; i++)
		if (changed & BIT(i))
			wrmsr(pmu_selector(i), rdmsr(pmu_selector(i)) ^ PERFEVTSEL_EN);
}

uint64_t pmu_overflowed_gated(void)
{
	uint64_t overflowed = 0;

	for (unsigned i = 0; i < pmu.nr_gp; i++)
		if (wanted & BIT(i) && rdmsr(pmu_selector(i)) & PERFEVTSEL_INT && !(pmu_read(i) & BIT(WIDTH - 1)))
			overflowed |= BIT(i);
	return overflowed;
}
