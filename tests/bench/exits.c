/*
 * What each guest action costs below the guest: loops of one action each, between marks in the machine's statistics.
 *
 * The machine counts exits by reason, and instructions and MSR accesses in root mode; no guest can see them. A line
 * `phase NAME MARK COUNT` says that COUNT actions lie between marks MARK and MARK + 1; tests/bench/figures.py subtracts
 * the phase `empty` and divides.
 */
#include "phase.h"
#include "pmu.h"
#include "sampler.h"
#include "tap.h"
#include "trap.h"
#include "workload.h"

const char test_title[] = "exits: the cost of each guest action";

#define ACTIONS 1000
#define PERIOD  2000

#define PHASE(name, action)                                                                                            \
	do {                                                                                                           \
		phase_begin();                                                                                         \
		for (unsigned i = 0; i < ACTIONS; i++) {                                                               \
			action;                                                                                        \
		}                                                                                                      \
		phase_end(name, ACTIONS);                                                                              \
	} while (0)

static void measure_intel(void)
{
	PHASE("rdmsr_legacy_counter", rdmsr(MSR_IA32_PMC0));
	PHASE("rdmsr_fixed_counter", rdmsr(MSR_IA32_FIXED_CTR0));
	PHASE("wrmsr_fixed_ctrl", wrmsr(MSR_IA32_FIXED_CTR_CTRL, FIXED_USR));
}

/* Reads of a selector that is off and of one that counts, which pmuvisor makes count in the guest alone. */
static void measure_amd(void)
{
	PHASE("rdmsr_legacy_counter", rdmsr(MSR_PERF_LEGACY_CTR0));
	PHASE("wrmsr_selector_on", wrmsr(pmu_selector(0), EVENT_INSTRUCTIONS | PERFEVTSEL_USR | PERFEVTSEL_EN));
	PHASE("rdmsr_selector_on", rdmsr(pmu_selector(0)));
	wrmsr(pmu_selector(0), 0);
}

static void measure_accesses(void)
{
	PHASE("empty", asm volatile(""));
	PHASE("cpuid", cpuid(0, 0));
	PHASE("rdpmc", rdpmc(0));
	PHASE("rdmsr_counter", rdmsr(pmu_counter(0)));
	PHASE("wrmsr_counter", wrmsr(pmu_counter(0), 1));
	PHASE("rdmsr_selector", rdmsr(pmu_selector(0)));
	PHASE("wrmsr_selector", wrmsr(pmu_selector(0), EVENT_INSTRUCTIONS | PERFEVTSEL_USR));
	if (pmu.amd)
		measure_amd();
	else
		measure_intel();
	if (pmu.global_ctrl) {
		PHASE("rdmsr_global_status", rdmsr(pmu.global_status));
		PHASE("rdmsr_global_ctrl", rdmsr(pmu.global_ctrl));
		PHASE("wrmsr_global_ctrl", wrmsr(pmu.global_ctrl, 0));
	}
	PHASE("rdtsc", rdtsc());
}

/* CPUID while a guest counter counts it: the emulated instruction has to be added. */
static void measure_counted_cpuid(void)
{
	pmu_reset();
	pmu_select(0, EVENT_INSTRUCTIONS | PERFEVTSEL_OS | PERFEVTSEL_EN);
	pmu_enable(BIT(0));
	PHASE("cpuid_counted", cpuid(0, 0));
	pmu_enable(0);
}

/* The same work first without and then with PMIs, so that the difference is theirs. */
static void measure_pmi(void)
{
	work_rounds = ACTIONS * PERIOD / WORK_LOOP_BODY;
	sampler_init(VECTOR_NMI);
	sampler_add(0, EVENT_INSTRUCTIONS, PERFEVTSEL_USR, 0);
	phase_begin();
	sampler_run(work_loop);
	phase_end("work", 1);
	sampler_init(VECTOR_NMI);
	sampler_add(0, EVENT_INSTRUCTIONS, PERFEVTSEL_USR, PERIOD);
	phase_begin();
	sampler_run(work_loop);
	phase_end("pmi", sampler.pmis);
	tap_equal(sampler.pmis, WORK_LOOP_INSTRUCTIONS(work_rounds) / PERIOD, "every PMI came");
}

void test_main(void)
{
	pmu_init();
	measure_accesses();
	measure_counted_cpuid();
	measure_pmi();
}
