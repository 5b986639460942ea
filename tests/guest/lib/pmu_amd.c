#include "pmu_amd.h"
#include "cpu.h"
#include "pmu.h"
#include "this_cpu.h"

#define CPUID_FEATURES_AMD     0x80000001
#define ECX_PERF_CTR_EXT_CORE  BIT(23)
#define EAX_PERFMON_V2         BIT(0)
#define WIDTH                  48
#define HARDWARE_CORE_COUNTERS 6
#define LEGACY_COUNTERS        4
#define EVENT_BRANCHES_AMD     UINT64_C(0x00c2)

static uint64_t wanted[SMP_MAX]; /* counters whose selectors ask for them */
static uint64_t gate[SMP_MAX];   /* and those that pmu_enable() lets count */

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

/* Without PerfMonV2 nothing else says how many there are: six with PerfCtrExtCore, four of old without. */
void pmu_detect_amd(void)
{
	pmu.legacy = !(cpuid(CPUID_FEATURES_AMD, 0).ecx & ECX_PERF_CTR_EXT_CORE);
	pmu.nr_gp = pmu.legacy ? LEGACY_COUNTERS : HARDWARE_CORE_COUNTERS;
	if (cpuid(0x80000000, 0).eax >= CPUID_PERFMON_V2)
		detect_perfmon_v2();
	pmu.width = WIDTH;
	pmu.hardware_gp = HARDWARE_CORE_COUNTERS;
	pmu.gp_mask = BIT(pmu.nr_gp) - 1;
	pmu.branches = EVENT_BRANCHES_AMD;
}

static uint64_t enabled(uint64_t selector, bool on)
{
	return on ? selector | PERFEVTSEL_EN : selector & ~PERFEVTSEL_EN;
}

void pmu_select_gated(unsigned n, uint64_t selector)
{
	uint64_t *mine = &wanted[this_cpu()];

	*mine = selector & PERFEVTSEL_EN ? *mine | BIT(n) : *mine & ~BIT(n);
	wrmsr(pmu_selector(n), enabled(selector, selector & PERFEVTSEL_EN && gate[this_cpu()] & BIT(n)));
}

/*
 * One counter after the other: two of them may count a few instructions apart if an NMI comes between. What its handler
 * does here may come in the midst of what it interrupted, so nothing is left out because it seems done already.
 */
void pmu_enable_gated(uint64_t counters)
{
	gate[this_cpu()] = counters;
	for (uint64_t left = wanted[this_cpu()]; left; left &= left - 1) {
		unsigned i = (unsigned)__builtin_ctzl(left);

		wrmsr(pmu_selector(i), enabled(rdmsr(pmu_selector(i)), counters & BIT(i)));
	}
}

uint64_t pmu_overflowed_gated(void)
{
	uint64_t overflowed = 0;

	for (unsigned i = 0; i < pmu.nr_gp; i++)
		if (wanted[this_cpu()] & BIT(i) && rdmsr(pmu_selector(i)) & PERFEVTSEL_INT &&
		    !(pmu_read(i) & BIT(WIDTH - 1)))
			overflowed |= BIT(i);
	return overflowed;
}
