/*
 * Cores of two kinds in one package: performance cores with even numbers, efficient ones with odd numbers.
 *
 * What breaks: a hypervisor that takes the first processor's PMU for everybody's offers counters that are not there, or
 * hides some that are. How the test tells: each processor says what it has, in leaves 0AH, 1AH and 23H; counts known
 * work with all of it at once; and faults on what only the other kind has.
 */
#include "cpu.h"
#include "boot.h"
#include "pmu.h"
#include "smp.h"
#include "tap.h"
#include "trap.h"
#include "workload.h"

const char test_title[] = "hybrid: each core has its own counters";

#define ROUNDS           1000
#define FEATURES_LEAF    7
#define FEATURE_HYBRID   BIT(15)
#define PMU_LEAF         0x0a
#define CORE_LEAF        0x1a
#define CORE_PERFORMANCE 0x40
#define CORE_EFFICIENT   0x20

static struct look {
	struct pmu pmu;
	struct cpuid_regs leaf_0a;
	unsigned kind;
	bool hybrid;
	uint64_t counted, wrong; /* counters with the work's instructions, and others */
	int beyond_msr, beyond_rdpmc, beyond_enable;
} looks[SMP_MAX];

/* All general-purpose counters count the same work. */
static void count_with_all(struct look *look)
{
	pmu_reset();
	for (unsigned n = 0; n < pmu.nr_gp; n++)
		pmu_select(n, EVENT_INSTRUCTIONS | PERFEVTSEL_USR | PERFEVTSEL_EN);
	wrmsr(MSR_IA32_FIXED_CTR_CTRL, FIXED_CTR_CTRL(0, FIXED_USR));
	pmu_enable(pmu.gp_mask | BIT(FIXED_INSTRUCTIONS));
	user_run(work_loop);
	pmu_enable(0);
	for (unsigned n = 0; n <= pmu.nr_gp; n++) {
		uint64_t value = pmu_read(n < pmu.nr_gp ? n : FIXED_INSTRUCTIONS);

		if (value == WORK_LOOP_INSTRUCTIONS(ROUNDS))
			look->counted |= BIT(n);
		else
			look->wrong = value;
	}
	pmu_reset();
}

/* The counter after the last one: its register, its number for RDPMC, its bit in GLOBAL_CTRL. */
static void reach_beyond(struct look *look)
{
	uint64_t value;

	look->beyond_msr = rdmsr_guarded(MSR_IA32_PMC_GP0_CTR + 4 * pmu.nr_gp, &value);
	look->beyond_rdpmc = rdpmc_guarded(pmu.nr_gp, &value);
	look->beyond_enable = wrmsr_guarded(MSR_IA32_PERF_GLOBAL_CTRL, BIT(pmu.nr_gp));
}

/* One at a time: the library's `pmu`, and its guards, are everybody's. */
static void look_around(void)
{
	struct look *look = &looks[this_cpu()];

	pmu_init();
	look->pmu = pmu;
	look->leaf_0a = cpuid(PMU_LEAF, 0);
	look->kind = cpuid(CORE_LEAF, 0).eax >> 24;
	look->hybrid = cpuid(FEATURES_LEAF, 0).edx & FEATURE_HYBRID;
	count_with_all(look);
	reach_beyond(look);
}

/* What the machine has, less what a host keeps. */
static void judge(unsigned n)
{
	const struct look *look = &looks[n];
	bool efficient = n % 2 == 1;
	unsigned host_gp = (unsigned)boot_number("host-counters", 0), nr_gp = (efficient ? 8 : 10) - host_gp;
	uint64_t fixed = (efficient ? 0x7 : 0xf) & ~boot_number("host-fixed", 0);

	tap_check(look->hybrid, "processor %u: it is in a hybrid package", n);
	tap_equal(look->kind, efficient ? CORE_EFFICIENT : CORE_PERFORMANCE, "its kind");
	tap_equal(look->pmu.nr_gp, nr_gp, "its general-purpose counters");
	tap_equal(look->pmu.fixed_mask >> 32, fixed, "its fixed counters");
	tap_check(look->leaf_0a.eax == looks[0].leaf_0a.eax && look->leaf_0a.ebx == looks[0].leaf_0a.ebx &&
			  look->leaf_0a.ecx == looks[0].leaf_0a.ecx && look->leaf_0a.edx == looks[0].leaf_0a.edx,
		  "leaf 0AH is everybody's");
	tap_equal(look->counted, BIT(nr_gp + 1) - 1, "each of its counters counts the work, the last wrong one %lu",
		  look->wrong);
	tap_equal((uint64_t)look->beyond_msr, FAULT_GP, "the next counter's register faults");
	if (boot_mode() == MODE_DIRECT)
		return; /* deviations 1 and 2 in docs/contract.md: there the host's are within reach of these two */
	tap_equal((uint64_t)look->beyond_rdpmc, FAULT_GP, "its RDPMC faults");
	tap_equal((uint64_t)look->beyond_enable, FAULT_GP, "its bit of GLOBAL_CTRL faults");
}

void test_main(void)
{
	work_rounds = ROUNDS;
	tap_equal(smp_start_all(), boot_number("cpus", 0), "processors that run");
	look_around();
	for (unsigned n = 1; n < smp_processors(); n++) {
		smp_run(n, look_around);
		tap_check(smp_wait(n), "processor %u has looked around", n);
	}
	for (unsigned n = 0; n < smp_processors(); n++)
		judge(n);
}
