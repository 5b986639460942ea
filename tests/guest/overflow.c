/*
 * What a wrap leaves behind: the counter, its status bit, and the freeze if one was asked for.
 *
 * What the hardware does: a counter that wraps goes on from 0; its GLOBAL_STATUS bit is set whether or not a PMI was
 * asked for; only GLOBAL_STATUS_RESET clears it. With DEBUGCTL.FREEZE_PERFMON_ON_PMI a wrap that asks for a PMI sets
 * CTR_FRZ, and all counters stand still until that bit is cleared. What breaks: status bits that merging drops or
 * invents; a freeze that stops the host's counters too, or one that comes late. How the test tells: presets around code
 * of known length, and reads afterwards. LVTPC is masked except where an NMI is wanted.
 */
#include "apic.h"
#include "boot.h"
#include "pmu.h"
#include "tap.h"
#include "trap.h"
#include "workload.h"

const char test_title[] = "overflow: counters, status bits and freezing";

#define ROUNDS 2000
#define TOTAL  WORK_LOOP_INSTRUCTIONS(ROUNDS)
#define SEL    (EVENT_INSTRUCTIONS | PERFEVTSEL_USR | PERFEVTSEL_EN)

static unsigned nr_nmis;
static uint64_t status_in_nmi;

static void on_nmi(struct trap_frame *frame __attribute__((unused)))
{
	nr_nmis++;
	status_in_nmi = pmu_overflowed();
}

static void run(uint64_t counters)
{
	work_rounds = ROUNDS;
	pmu_enable(counters);
	user_run(work_loop);
	pmu_enable(0);
}

static uint64_t fixed(void)
{
	return pmu.fixed_mask & BIT(FIXED_INSTRUCTIONS);
}

/* Odd counters ask for a PMI: the status bit must not care. */
static void test_status(void)
{
	unsigned wrong = 0;

	pmu_reset();
	for (unsigned i = 0; i < pmu.nr_gp; i++) {
		pmu_select(i, SEL | (i & 1 ? PERFEVTSEL_INT : 0));
		pmu_write(i, pmu_preset(1 + 1000 * i));
	}
	if (fixed()) {
		wrmsr(MSR_IA32_FIXED_CTR_CTRL, FIXED_CTR_CTRL(0, FIXED_USR));
		pmu_write(FIXED_INSTRUCTIONS, pmu_preset(TOTAL - 1));
	}
	run(pmu.gp_mask | fixed());
	for (unsigned i = 0; i < pmu.nr_gp; i++)
		wrong += pmu_read(i) != TOTAL - 1 - 1000 * i;
	tap_equal(wrong, 0, "each counter went on from 0");
	if (fixed())
		tap_equal(pmu_read(FIXED_INSTRUCTIONS), 1,
			  "the fixed counter too: preset one short, it holds exactly 1");
	if (pmu.global_status)
		tap_equal(rdmsr(pmu.global_status), pmu.gp_mask | fixed(),
			  "each has its status bit, with and without a PMI asked for");
}

/* Continues with every status bit set. */
static void test_reset_and_set(void)
{
	uint64_t all = pmu.gp_mask | fixed();

	wrmsr(pmu.global_reset, 0);
	tap_equal(rdmsr(pmu.global_status), all, "RESET of nothing clears nothing");
	pmu_write(0, 0);
	pmu_select(0, 0);
	tap_equal(rdmsr(pmu.global_status), all, "rewriting a counter and its selector leaves its bit");
	wrmsr(pmu.global_reset, BIT(1) | fixed());
	tap_equal(rdmsr(pmu.global_status), all & ~(BIT(1) | fixed()), "RESET clears what it names");
	wrmsr(pmu.global_set, BIT(1));
	tap_equal(rdmsr(pmu.global_status), pmu.gp_mask, "SET sets what it names and keeps the rest");
	wrmsr(pmu.global_reset, pmu.gp_mask);
	tap_equal(rdmsr(pmu.global_status), 0, "all cleared");
}

/* A status bit that software sets is no overflow: nobody is interrupted. */
static void test_set_is_silent(void)
{
	pmu_reset();
	nr_nmis = 0;
	apic_write(APIC_LVTPC, LVT_NMI);
	pmu_select(0, SEL | PERFEVTSEL_INT);
	wrmsr(pmu.global_set, BIT(0));
	run(BIT(0));
	tap_equal(nr_nmis, 0, "SET interrupts nobody");
	tap_equal(pmu_read(0), TOTAL, "and stops nothing");
	apic_write(APIC_LVTPC, LVT_NMI | LVT_MASKED);
}

static void wrap_at(uint64_t events, uint64_t value, uint64_t status)
{
	pmu_reset();
	pmu_select(0, SEL);
	pmu_write(0, pmu_preset(events));
	run(BIT(0));
	tap_equal(pmu_read(0), value, "preset to wrap at event %lu of %lu: the counter", events, TOTAL);
	if (pmu.global_status)
		tap_equal(rdmsr(pmu.global_status), status, "and its status bit");
}

/* A preset by the legacy register: 32 bits, sign-extended. */
static void test_legacy_preset(void)
{
	pmu_reset();
	pmu_select(0, SEL);
	wrmsr(MSR_IA32_PMC0, UINT64_C(0x00000000fffffff0));
	run(BIT(0));
	tap_equal(pmu_read(0), TOTAL - 16, "a legacy preset of -16 wraps at the 16th event");
	pmu_reset();
	pmu_select(0, SEL);
	wrmsr(MSR_IA32_A_PMC0, UINT64_C(0x00000000fffffff0));
	run(BIT(0));
	tap_equal(pmu_read(0), UINT64_C(0xfffffff0) + TOTAL, "a full-width one of the same bits does not");
	tap_equal(rdmsr(pmu.global_status), 0, "nor is there a status bit");
}

/* AMD's older registers are the same ones: all 48 bits can be written, and nothing is extended. */
static void test_legacy_alias(void)
{
	pmu_reset();
	pmu_select(0, SEL);
	wrmsr(MSR_PERF_LEGACY_CTR0, UINT64_C(0x00000000fffffff0));
	run(BIT(0));
	tap_equal(pmu_read(0), UINT64_C(0xfffffff0) + TOTAL, "a preset of 32 bits by the legacy register stays one");
	wrmsr(MSR_PERF_LEGACY_CTR0, pmu_preset(16));
	run(BIT(0));
	tap_equal(rdmsr(MSR_PERF_LEGACY_CTR0), TOTAL - 16, "one of 48 bits wraps at the 16th event");
}

/* The overflowing instruction is an emulated one, with nobody to interrupt. */
static void test_emulated(void)
{
	pmu_reset();
	pmu_select(0, SEL);
	pmu_select(1, SEL);
	pmu_write(0, pmu_preset(3)); /* MOV, XOR, CPUID */
	pmu_write(1, pmu_preset(4));
	work_rounds = 1;
	pmu_enable(BIT(0) | BIT(1));
	user_run(work_cpuid);
	pmu_enable(0);
	tap_equal(pmu_read(0), WORK_CPUID_INSTRUCTIONS(1) - 3, "a CPUID wraps the counter");
	tap_equal(pmu_read(1), WORK_CPUID_INSTRUCTIONS(1) - 4, "or fills it up for the next instruction to wrap");
	if (pmu.global_status)
		tap_equal(rdmsr(pmu.global_status), BIT(0) | BIT(1), "each has its status bit");
}

static void freeze_setup(uint64_t interrupt, uint32_t lvtpc)
{
	pmu_reset();
	nr_nmis = 0;
	status_in_nmi = 0;
	apic_write(APIC_LVTPC, lvtpc);
	wrmsr(MSR_IA32_DEBUGCTL, DEBUGCTL_FREEZE_PERFMON_ON_PMI);
	pmu_select(0, SEL | interrupt);
	pmu_select(1, SEL);
	pmu_write(0, pmu_preset(1000));
	run(BIT(0) | BIT(1));
}

/*
 * Both counters stop at the same instruction: that of the overflow, or some later one on a processor with skid. SDM
 * Vol. 3B, "IA32_PERF_GLOBAL_STATUS MSR": with version 4 the freeze leaves GLOBAL_CTRL alone.
 */
static void test_freeze(uint32_t lvtpc, unsigned nmis, const char *name)
{
	uint64_t frozen = PERF_GLOBAL_STATUS_CTR_FRZ | BIT(0);

	freeze_setup(PERFEVTSEL_INT, lvtpc);
	tap_equal(nr_nmis, nmis, "%s: NMIs", name);
	tap_equal(rdmsr(pmu.global_status), frozen, "%s: frozen, with the cause", name);
	tap_equal(pmu_read(1) - pmu_read(0), 1000, "%s: all counters stopped together", name);
	tap_check(pmu_read(1) < TOTAL, "%s: and before the end", name);
	if (nmis)
		tap_equal(status_in_nmi, frozen, "%s: the handler saw it", name);
	run(BIT(0) | BIT(1));
	tap_equal(pmu_read(1) - pmu_read(0), 1000, "%s: still frozen in the next run", name);
	tap_check(pmu_read(1) < TOTAL, "%s: and nothing counted", name);
	wrmsr(pmu.global_reset, frozen);
	pmu_write(1, 0);
	run(BIT(1));
	tap_equal(pmu_read(1), TOTAL, "%s: RESET lets them go on", name);
}

static void test_no_freeze(void)
{
	freeze_setup(0, LVT_NMI);
	tap_equal(rdmsr(pmu.global_status), BIT(0), "no PMI asked for: no freeze");
	tap_equal(pmu_read(1), TOTAL, "and nothing stopped");
	tap_equal(nr_nmis, 0, "nor was there an NMI");
}

/* Software may set CTR_FRZ itself. */
static void test_freeze_by_set(void)
{
	pmu_reset();
	pmu_select(0, SEL);
	wrmsr(pmu.global_set, PERF_GLOBAL_STATUS_CTR_FRZ);
	run(BIT(0));
	tap_equal(pmu_read(0), 0, "CTR_FRZ set by software stops counting");
	wrmsr(pmu.global_reset, PERF_GLOBAL_STATUS_CTR_FRZ);
	run(BIT(0));
	tap_equal(pmu_read(0), TOTAL, "and cleared lets it go on");
}

static void test_global_registers(void)
{
	test_reset_and_set();
	test_set_is_silent();
	test_freeze(LVT_NMI, 1, "freeze, NMI");
	test_freeze(LVT_NMI | LVT_MASKED, 0, "freeze, LVTPC masked");
	test_no_freeze();
	test_freeze_by_set();
}

void test_main(void)
{
	pmu_init();
	trap_handle(VECTOR_NMI, on_nmi);
	test_status();
	if (pmu.global_status)
		test_global_registers();
	wrap_at(TOTAL - 1, 1, BIT(0));
	wrap_at(TOTAL, 0, BIT(0));
	wrap_at(TOTAL + 1, pmu.value_mask, 0);
	if (pmu.amd)
		test_legacy_alias();
	else
		test_legacy_preset();
	test_emulated();
}
