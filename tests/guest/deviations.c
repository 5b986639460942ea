/*
 * What a guest under pmuvisor sees that a bare one would not: docs/contract.md, "Known deviations", by number.
 *
 * What the hardware does: bits and indices of counters that are not there fault, and an instruction takes its own time.
 * Why it differs: open registers are the hardware's own, and that has the host's counters too. How the test tells: it
 * does each of these things and expects the deviation, in the mode that has it, and none in the others. A deviation
 * that is gone fails here, so that the list stays true.
 */
#include "apic.h"
#include "boot.h"
#include "pmu.h"
#include "tap.h"
#include "trap.h"
#include "workload.h"

const char test_title[] = "deviations: each is as the contract says, and where";

#define HOST_COUNTER                                                                                                   \
	(pmu.hardware_gp - 2) /* the lower of the two that the host keeps by default, for the first event */
#define HOST_SERIAL   0x2f8
#define DEBUGCTL_LBR  BIT(0)
#define DEBUGCTL_TR   BIT(6)
#define EXIT_TICKS    50 /* less than any exit takes, and more than a CPUID does */
#define MSR_MTRR_MASK 0x201
#define MTRR_VALID    BIT(11)
#define MTRR_HOLES    (BIT(20) | BIT(22))
#define HIDDEN_BIT    BIT(HOST_COUNTER)

static bool has_hidden_counter(void)
{
	return pmu.nr_gp <= HOST_COUNTER;
}

/* 1: the bits of the host's counters, while the global registers are open. */
static void test_hidden_bits(void)
{
	int expected = boot_mode() == MODE_DIRECT || !has_hidden_counter() ? NO_FAULT : FAULT_GP;

	tap_equal((uint64_t)wrmsr_guarded(MSR_IA32_PERF_GLOBAL_STATUS_SET, HIDDEN_BIT), (uint64_t)expected,
		  "1: STATUS_SET of a counter outside the share");
	tap_equal((uint64_t)wrmsr_guarded(MSR_IA32_PERF_GLOBAL_STATUS_RESET, HIDDEN_BIT), (uint64_t)expected,
		  "1: STATUS_RESET of one");
	tap_equal((uint64_t)wrmsr_guarded(MSR_IA32_PERF_GLOBAL_CTRL, HIDDEN_BIT), (uint64_t)expected,
		  "1: GLOBAL_CTRL with one");
	wrmsr(MSR_IA32_PERF_GLOBAL_CTRL, 0);
}

/* No exit may come between: nothing is printed until the end. */
static void test_falsified_count(void)
{
	uint64_t ctrl, before, after;

	wrmsr(MSR_IA32_PERF_GLOBAL_CTRL, HIDDEN_BIT);
	ctrl = rdmsr(MSR_IA32_PERF_GLOBAL_CTRL);
	before = rdpmc(HOST_COUNTER);
	for (unsigned i = 0; i < 100; i++)
		asm volatile("nop");
	after = rdpmc(HOST_COUNTER);
	cpuid(0, 0);
	tap_equal(rdmsr(MSR_IA32_PERF_GLOBAL_CTRL), 0, "1: the next exit removes it from GLOBAL_CTRL");
	tap_equal(ctrl, HIDDEN_BIT, "1: until then it reads back");
	tap_check(after - before >= 100, "1: and the host's counter counts the guest, which falsifies it");
}

static uint64_t host_counts(void)
{
	uint64_t before = rdpmc(HOST_COUNTER);

	cpuid(0, 0);
	return rdpmc(HOST_COUNTER) - before;
}

/* Not a guest's to see but by its RDPMC: in direct mode CTR_Frz is the hardware's, and stops all counters. */
static void test_frozen_host(void)
{
	uint64_t running = host_counts(), frozen;

	wrmsr(MSR_IA32_PERF_GLOBAL_STATUS_SET, PERF_GLOBAL_STATUS_CTR_FRZ);
	frozen = host_counts();
	wrmsr(MSR_IA32_PERF_GLOBAL_STATUS_RESET, PERF_GLOBAL_STATUS_CTR_FRZ);
	tap_check(running && !frozen && host_counts(), "a guest's freeze stops the host's counters too: %lu, %lu",
		  running, frozen);
}

static void test_rdpmc(void)
{
	bool open = boot_mode() == MODE_DIRECT || boot_number("rdpmc", 0);
	uint64_t value;

	tap_equal((uint64_t)rdpmc_guarded(HOST_COUNTER, &value),
		  (uint64_t)(open || !has_hidden_counter() ? NO_FAULT : FAULT_GP),
		  "2: RDPMC of a counter outside the share");
}

static bool window_ctrl_took, window_debugctl_took;
static uint64_t window_ctrl, window_status, window_rdpmc;

/* Registers and RDPMC are open here in every mode. */
static void on_pmi(struct trap_frame *frame __attribute__((unused)))
{
	wrmsr(MSR_IA32_PERF_GLOBAL_CTRL, 0);
	wrmsr(MSR_IA32_PERF_GLOBAL_STATUS_RESET, BIT(0));
	window_rdpmc = rdpmc(HOST_COUNTER);
	window_debugctl_took = wrmsr_guarded(MSR_IA32_DEBUGCTL, DEBUGCTL_TR) == NO_FAULT;
	window_ctrl_took = wrmsr_guarded(MSR_IA32_PERF_GLOBAL_CTRL, HIDDEN_BIT) == NO_FAULT;
	window_ctrl = rdmsr(MSR_IA32_PERF_GLOBAL_CTRL);
	wrmsr(MSR_IA32_PERF_GLOBAL_CTRL, 0);
	wrmsr(MSR_IA32_PERF_GLOBAL_STATUS_SET, HIDDEN_BIT);
	window_status = rdmsr(MSR_IA32_PERF_GLOBAL_STATUS);
}

static void test_window(void)
{
	pmu_reset();
	trap_handle(VECTOR_NMI, on_pmi);
	apic_write(APIC_LVTPC, LVT_NMI);
	wrmsr(MSR_IA32_PERFEVTSEL0, EVENT_INSTRUCTIONS | PERFEVTSEL_USR | PERFEVTSEL_INT | PERFEVTSEL_EN);
	pmu_write(0, pmu_preset(500));
	work_rounds = 1000;
	wrmsr(MSR_IA32_PERF_GLOBAL_CTRL, BIT(0));
	user_run(work_loop);
	tap_check(window_ctrl_took && window_ctrl == HIDDEN_BIT, "1: a handler's GLOBAL_CTRL takes a bit outside");
	tap_equal(window_status, HIDDEN_BIT, "1: so does its STATUS_SET");
	tap_check(window_debugctl_took, "19: and its DEBUGCTL takes branch trace");
	if (boot_mode() != MODE_SHARED)
		return;
	tap_equal(window_rdpmc, 0, "2: a handler's RDPMC of the host's counter reads 0");
	tap_equal(rdmsr(MSR_IA32_PERF_GLOBAL_STATUS), 0, "1: the handler's IRET removes what it set");
	tap_equal(rdmsr(MSR_IA32_DEBUGCTL), 0, "19: in DEBUGCTL too");
}

static void test_time(void)
{
	uint64_t begin = rdtsc(), ticks;

	cpuid(0, 0);
	ticks = rdtsc() - begin;
	tap_note("a CPUID took %lu ticks", ticks);
	tap_equal(ticks > EXIT_TICKS, boot_mode() != MODE_BARE, "8: the time-stamp counter shows an exit");
}

static void test_string_io(void)
{
	static const char text[] = "\r";

	asm volatile(GUARD("outsb") : : "S"(text), "d"(HOST_SERIAL) : "r11", "memory");
	tap_equal((uint64_t)guard_vector, (uint64_t)(boot_mode() == MODE_BARE ? NO_FAULT : FAULT_GP),
		  "9: OUTS to the port that pmuvisor keeps");
}

/* A range that is not valid does nothing, whatever its mask. */
static void test_mtrr(void)
{
	uint64_t before = rdmsr(MSR_MTRR_MASK);

	tap_equal((uint64_t)wrmsr_guarded(MSR_MTRR_MASK, (before & ~MTRR_VALID) | MTRR_HOLES),
		  (uint64_t)(boot_mode() == MODE_BARE ? NO_FAULT : FAULT_GP), "10: a range mask with holes");
	wrmsr(MSR_MTRR_MASK, before);
}

/* 19: while it doesn't exit, the register is the hardware's; `lbr=1` in the arguments: the host has the LBRs. */
static void test_debugctl(void)
{
	bool closed = boot_mode() == MODE_SHARED;

	tap_equal((uint64_t)wrmsr_guarded(MSR_IA32_DEBUGCTL, DEBUGCTL_TR), (uint64_t)(closed ? FAULT_GP : NO_FAULT),
		  "19: branch trace, which the processor doesn't announce");
	if (boot_number("lbr", 0)) {
		wrmsr(MSR_IA32_DEBUGCTL, DEBUGCTL_LBR);
		tap_equal(rdmsr(MSR_IA32_DEBUGCTL), closed ? 0 : DEBUGCTL_LBR, "19: the bit of hidden LBRs");
	}
	wrmsr(MSR_IA32_DEBUGCTL, 0);
}

void test_main(void)
{
	pmu_init();
	test_hidden_bits();
	if (boot_mode() == MODE_DIRECT) {
		test_falsified_count();
		test_frozen_host();
	}
	test_rdpmc();
	test_window();
	test_time();
	test_string_io();
	test_mtrr();
	test_debugctl();
}
