/*
 * The guest has its share of the counters, all of it and nothing else.
 *
 * What the hardware does: CPUID leaf 0AH says how many counters there are, and the registers of a counter beyond them
 * fault. What breaks: a hypervisor that keeps counters for itself must give the guest a PMU that is simply smaller:
 * the host's counters neither readable nor writable, nor visible in GLOBAL_CTRL, GLOBAL_STATUS or GLOBAL_INUSE. How
 * the test tells: it compares CPUID with `counters=` in its arguments (bare: all), and tries the registers on both
 * sides of the border.
 */
#include "boot.h"
#include "pmu.h"
#include "tap.h"
#include "trap.h"
#include "workload.h"

const char test_title[] = "partition: the guest's share of the counters, and no more";

#define HARDWARE_FIXED    4
#define PERF_CTL_COUNTERS 8 /* for AMD's registers there is room for so many */
#define HOST_DEFAULT      2
#define READS             5000
#define INUSE_PMI         BIT(63)
#define EVTSEL_RICH                                                                                                    \
	(UINT64_C(0x412e) | PERFEVTSEL_USR | PERFEVTSEL_OS | PERFEVTSEL_EDGE | PERFEVTSEL_INT | PERFEVTSEL_INV |       \
	 PERFEVTSEL_CMASK(3))

static void test_share(void)
{
	uint64_t counters = boot_number("counters", pmu.hardware_gp - (boot_mode() == MODE_BARE ? 0 : HOST_DEFAULT));
	uint64_t fixed = boot_number("fixed", pmu.amd ? 0 : HARDWARE_FIXED);

	tap_equal(pmu.nr_gp, counters, "CPUID has the share's general-purpose counters");
	tap_equal(pmu.fixed_mask, (BIT(fixed) - 1) << 32, "and its fixed counters");
	tap_equal(pmu.width, 48, "48 bits wide");
	tap_figure("counters_gp", pmu.nr_gp);
}

/* Before the test has written any of them: what the firmware left, less what is the host's. INUSE is Intel's alone. */
static void test_first_sight(void)
{
	uint64_t share = pmu.gp_mask | pmu.fixed_mask;

	if (pmu.global_ctrl) {
		tap_equal(rdmsr(pmu.global_ctrl) & ~share, 0, "GLOBAL_CTRL shows no other counter");
		tap_equal(rdmsr(pmu.global_status) & ~share, 0, "GLOBAL_STATUS shows no other counter");
	}
	if (!pmu.amd)
		tap_equal(rdmsr(MSR_IA32_PERF_GLOBAL_INUSE) & ~share, 0,
			  "GLOBAL_INUSE shows no other counter or its PMI");
}

/* The older register of a counter; 0: it has none. */
static uint32_t older(unsigned i)
{
	if (pmu.amd)
		return i < NR_LEGACY ? MSR_PERF_LEGACY_CTR0 + i : 0;
	return i < NR_OLD_GP ? MSR_IA32_PMC0 + i : 0;
}

static void test_inside(void)
{
	unsigned wrong = 0;

	for (unsigned i = 0; i < pmu.nr_gp; i++) {
		pmu_select(i, EVTSEL_RICH);
		wrong += rdmsr(pmu_selector(i)) != EVTSEL_RICH;
		pmu_write(i, pmu.value_mask ^ i);
		wrong += pmu_read(i) != (pmu.value_mask ^ i);
		wrong += older(i) && rdmsr(older(i)) != (pmu.value_mask ^ i);
	}
	tap_equal(wrong, 0, "counters and selectors keep what is written, edge, invert and counter mask too");
	if (!pmu.global_ctrl)
		return;
	wrmsr(pmu.global_ctrl, pmu.gp_mask | pmu.fixed_mask);
	tap_equal(rdmsr(pmu.global_ctrl), pmu.gp_mask | pmu.fixed_mask, "GLOBAL_CTRL keeps the whole share");
	wrmsr(pmu.global_ctrl, 0);
	tap_equal(rdmsr(pmu.global_ctrl), 0, "and none of it");
}

static bool out_of_reach(uint32_t msr)
{
	uint64_t value;
	bool right = rdmsr_guarded(msr, &value) == FAULT_GP && wrmsr_guarded(msr, 0) == FAULT_GP;

	if (!right)
		tap_note("MSR %x does not fault", msr);
	return right;
}

/* AMD: also what would be a seventh and an eighth. Without PerfCtrExtCore there are no such registers at all. */
static void test_outside_amd(void)
{
	bool right = true;

	for (unsigned i = pmu.legacy ? 0 : pmu.nr_gp; i < PERF_CTL_COUNTERS; i++) {
		right = out_of_reach(MSR_PERF_CTL0 + 2 * i) && out_of_reach(MSR_PERF_CTL0 + 2 * i + 1) && right;
		if (i >= pmu.nr_gp && older(i))
			right = out_of_reach(MSR_PERF_LEGACY_CTL0 + i) && out_of_reach(older(i)) && right;
	}
	tap_check(right, "the %u counters beyond the share are out of reach", pmu.hardware_gp - pmu.nr_gp);
}

/*
 * Bare the hardware has no counter beyond. Registers of the older kind beyond the eighth need not be the PMU's; those
 * of version 6 are in aliases.c.
 */
static void test_outside(void)
{
	bool right = true;

	if (pmu.amd) {
		test_outside_amd();
		return;
	}
	for (unsigned i = pmu.nr_gp; i < NR_OLD_GP; i++)
		right = out_of_reach(MSR_IA32_PERFEVTSEL0 + i) && out_of_reach(MSR_IA32_PMC0 + i) &&
			out_of_reach(MSR_IA32_A_PMC0 + i) && right;
	for (unsigned m = 0; m < HARDWARE_FIXED; m++) {
		if (!(pmu.fixed_mask & BIT(FIXED(m))))
			right = out_of_reach(MSR_IA32_FIXED_CTR0 + m) && right;
	}
	tap_check(right, "the %u counters beyond the share are out of reach", pmu.hardware_gp - pmu.nr_gp);
}

/* SDM Vol. 3B, "IA32_PERF_GLOBAL_INUSE MSR": worked out from the selectors. */
static void test_inuse(void)
{
	pmu_reset();
	tap_equal(rdmsr(MSR_IA32_PERF_GLOBAL_INUSE), 0, "nothing selected, nothing in use");
	wrmsr(pmu_selector(pmu.nr_gp - 1), EVENT_BRANCHES);
	tap_equal(rdmsr(MSR_IA32_PERF_GLOBAL_INUSE), BIT(pmu.nr_gp - 1), "a selected event is in use");
	wrmsr(MSR_IA32_FIXED_CTR_CTRL, FIXED_CTR_CTRL(0, FIXED_USR | FIXED_PMI));
	tap_equal(rdmsr(MSR_IA32_PERF_GLOBAL_INUSE), BIT(pmu.nr_gp - 1) | BIT(FIXED_INSTRUCTIONS) | INUSE_PMI,
		  "a fixed counter and its PMI too");
	pmu_reset();
}

/*
 * The host's counters run meanwhile, and overflow where it samples: none of it shows. Reading again and again, because
 * one of them may overflow in the very exit that answers the read.
 */
static void test_nothing_shows(void)
{
	uint64_t seen = 0;

	pmu_reset();
	work_rounds = 10000;
	user_run(work_loop);
	for (unsigned i = 0; i < READS; i++)
		seen |= rdmsr(pmu.global_status) | rdmsr(pmu.global_ctrl) |
			(pmu.amd ? 0 : rdmsr(MSR_IA32_PERF_GLOBAL_INUSE));
	tap_equal(seen, 0, "nothing of another owner shows while the guest's PMU is idle");
}

void test_main(void)
{
	pmu_detect();
	test_first_sight();
	pmu_init();
	test_share();
	test_inside();
	test_outside();
	if (!pmu.amd)
		test_inuse();
	if (pmu.global_status)
		test_nothing_shows();
}
