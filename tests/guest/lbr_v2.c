/*
 * AMD's last branch records: LBR v2 with its sixteen entries, and the one of DebugCtl.LBR.
 *
 * What the hardware does: every taken branch, exception and interrupt that LBR_SELECT does not suppress becomes entry
 * 0, and the others move up, until the recording is switched off or frozen by a PMI. What breaks: a hypervisor that
 * lets its own branches into the guest's stack, loses the stack when it switches it, or leaves a filter or a freeze
 * behind. How the test tells: code whose branches are known one by one, with instructions in it that exit, against the
 * whole stack.
 */
#include "apic.h"
#include "boot.h"
#include "branches.h"
#include "lbr.h"
#include "pmu.h"
#include "tap.h"
#include "trap.h"

const char test_title[] = "lbr_v2: every branch is recorded, none of anybody else's, and nothing while frozen";

#define MSR_LASTBRANCH_FROM 0x1db
#define ENTRIES             16
#define IP                  (BIT(58) - 1)
#define TO_VALID            BIT(63)
#define FROM_BITS           (IP | BIT(63))
#define TO_BITS             (IP | BIT(62) | BIT(63))
#define SELECT_BITS         UINT64_C(0x1ff)
#define NOT_KERNEL          BIT(0)
#define NOT_USER            BIT(1)
#define NOT_RET             BIT(5)
#define LOOP_ROUNDS         50
#define PERIOD              100 /* instructions until the PMI: in the midst of the loop */

static unsigned nr_nmis;
static uint64_t seen_from, seen_status;

static void on_nmi(struct trap_frame *frame __attribute__((unused)))
{
	nr_nmis++;
	seen_from = rdmsr(MSR_SAMP_BR_FROM(0));
	seen_status = rdmsr(pmu.global_status);
}

static uint64_t address(uint32_t offset)
{
	return (uint64_t)branches_base + offset;
}

static bool in_branches(uint64_t ip)
{
	return ip >= (uint64_t)branches_base && ip < (uint64_t)branches_end;
}

static void stop(void)
{
	wrmsr(MSR_DBG_EXTN_CFG, 0);
}

static void start(uint64_t select)
{
	stop();
	for (unsigned n = 0; n < ENTRIES; n++) {
		wrmsr(MSR_SAMP_BR_FROM(n), 0);
		wrmsr(MSR_SAMP_BR_TO(n), 0);
	}
	wrmsr(MSR_LBR_SELECT_V2, select);
	wrmsr(MSR_DBG_EXTN_CFG, DBG_EXTN_LBRV2EN);
}

static void record(uint64_t select, void (*code)(void))
{
	start(select);
	user_run(code);
	stop();
}

static bool is_entry(unsigned n, const struct branch *branch)
{
	uint64_t from = rdmsr(MSR_SAMP_BR_FROM(n)), to = rdmsr(MSR_SAMP_BR_TO(n));
	bool right = (from & IP) == address(branch->from) && to == (address(branch->to) | TO_VALID);

	if (!right)
		tap_note("entry %u: %lx to %lx, not %lx to %lx", n, from, to, address(branch->from),
			 address(branch->to));
	return right;
}

static unsigned length(const struct branch *table)
{
	unsigned n = 0;

	while (table[n].from || table[n].to)
		n++;
	return n;
}

static void test_registers(void)
{
	unsigned wrong = 0;

	wrmsr(MSR_LBR_SELECT_V2, UINT64_MAX);
	tap_equal(rdmsr(MSR_LBR_SELECT_V2), SELECT_BITS, "LBR_SELECT has nine bits");
	for (unsigned n = 0; n < ENTRIES; n++) {
		wrmsr(MSR_SAMP_BR_FROM(n), UINT64_MAX - BIT(n));
		wrmsr(MSR_SAMP_BR_TO(n), UINT64_MAX - BIT(n));
		wrong += rdmsr(MSR_SAMP_BR_FROM(n)) != (FROM_BITS & ~BIT(n));
		wrong += rdmsr(MSR_SAMP_BR_TO(n)) != (TO_BITS & ~BIT(n));
	}
	tap_equal(wrong, 0, "each entry keeps what is written, but for reserved bits");
}

/* As many of the newest as there are entries. */
static void test_kinds(void)
{
	unsigned n = length(branches_kinds_table), wrong = 0;

	record(NOT_KERNEL, branches_kinds);
	for (unsigned age = 0; age < n && age < ENTRIES; age++)
		wrong += !is_entry(age, &branches_kinds_table[n - 1 - age]);
	tap_equal(wrong, 0, "of %u branches the newest are there, in order, and none between", n);
}

static void test_loop(void)
{
	unsigned wrong = 0;

	branches_rounds = LOOP_ROUNDS;
	record(NOT_KERNEL, branches_loop);
	/* The last of the three is not taken in the end: entry 0 is the second. */
	for (unsigned age = 0; age < ENTRIES; age++)
		wrong += !is_entry(age,
				   &branches_loop_table[(2 * BRANCHES_LOOP + 1 - age % BRANCHES_LOOP) % BRANCHES_LOOP]);
	tap_equal(wrong, 0, "the stack is full of the loop's");
}

static unsigned entries_in_branches(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < ENTRIES; i++)
		n += in_branches(rdmsr(MSR_SAMP_BR_FROM(i)) & IP) && in_branches(rdmsr(MSR_SAMP_BR_TO(i)) & IP);
	return n;
}

static void test_rings(void)
{
	record(NOT_USER, branches_kinds);
	tap_equal(entries_in_branches(), 0, "without ring 3 there is none of its branches");
	tap_check(rdmsr(MSR_SAMP_BR_TO(0)) & TO_VALID, "but ring 0's");
	start(NOT_KERNEL);
	branches_kernel();
	stop();
	tap_equal(rdmsr(MSR_SAMP_BR_TO(0)), 0, "without ring 0 there is none of its branches");
}

static void test_off(void)
{
	start(0);
	stop();
	for (unsigned n = 0; n < ENTRIES; n++)
		wrmsr(MSR_SAMP_BR_TO(n), 0);
	user_run(branches_kinds);
	tap_equal(rdmsr(MSR_SAMP_BR_TO(0)), 0, "nothing is recorded while it is off");
}

/* DebugCtl[11]: the PMI's own delivery is not recorded any more, nor what follows, until the status bit is cleared. */
static void test_freeze(void)
{
	uint64_t newest;

	pmu_reset();
	nr_nmis = 0;
	trap_handle(VECTOR_NMI, on_nmi);
	apic_write(APIC_LVTPC, LVT_NMI);
	wrmsr(MSR_IA32_DEBUGCTL, DEBUGCTL_FREEZE_LBRS_ON_PMI);
	pmu_select(0, EVENT_INSTRUCTIONS | PERFEVTSEL_USR | PERFEVTSEL_INT | PERFEVTSEL_EN);
	pmu_write(0, pmu_preset(PERIOD));
	branches_rounds = LOOP_ROUNDS;
	pmu_enable(BIT(0));
	record(0, branches_loop);
	pmu_enable(0);
	newest = rdmsr(MSR_SAMP_BR_FROM(0));
	tap_equal(nr_nmis, 1, "freeze: one PMI");
	tap_equal(seen_status, BIT(0) | PERF_GLOBAL_STATUS_LBR_FRZ, "freeze: the handler sees the bit");
	tap_check(in_branches(seen_from & IP), "freeze: and the loop's branch as the newest");
	tap_equal(newest, seen_from, "freeze: it stays the newest");
	record(0, branches_kinds);
	tap_equal(rdmsr(MSR_SAMP_BR_TO(0)), 0, "freeze: still nothing is recorded");
	wrmsr(pmu.global_reset, BIT(0) | PERF_GLOBAL_STATUS_LBR_FRZ);
	record(NOT_KERNEL, branches_kinds);
	tap_check(in_branches(rdmsr(MSR_SAMP_BR_FROM(0)) & IP), "freeze: clearing the bit ends it");
	pmu_reset();
}

/* The one branch of DebugCtl.LBR: the INT 80H that ends ring 3 is followed by ring 0's own. */
static void test_last_branch(void)
{
	wrmsr(MSR_IA32_DEBUGCTL, DEBUGCTL_LBR);
	user_run(branches_kinds);
	wrmsr(MSR_IA32_DEBUGCTL, 0);
	tap_check(rdmsr(MSR_LASTBRANCH_FROM), "DebugCtl.LBR: there is a last branch");
	tap_check(!in_branches(rdmsr(MSR_LASTBRANCH_FROM)), "and it is ring 0's");
}

static void test_absent(void)
{
	uint64_t value;

	tap_check(rdmsr_guarded(MSR_DBG_EXTN_CFG, &value) == FAULT_GP, "without LBR v2 its enable bit faults");
	tap_check(rdmsr_guarded(MSR_LBR_SELECT_V2, &value) == FAULT_GP, "and LBR_SELECT");
	tap_check(rdmsr_guarded(MSR_SAMP_BR_FROM(0), &value) == FAULT_GP, "and an entry");
}

void test_main(void)
{
	const struct cpuid_regs leaf = cpuid(CPUID_PERFMON_V2, 0);

	pmu_init();
	if (!tap_check(pmu.amd, "the processor is AMD's"))
		return;
	test_last_branch();
	if (!(leaf.eax & BIT(1))) {
		test_absent();
		return;
	}
	tap_equal(leaf.ebx >> 4 & 0x3f, ENTRIES, "CPUID tells of sixteen entries");
	test_registers();
	test_kinds();
	test_loop();
	test_rings();
	test_off();
	test_freeze();
}
