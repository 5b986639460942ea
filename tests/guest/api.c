/*
 * The guest API: docs/guest-api.md, from its guest's side.
 *
 * What the hardware does: VMCALL and VMMCALL are undefined outside of a hypervisor's guest. What breaks: a call that
 * another privilege gets answered, a statistic that isn't the one it is called. How the test tells: it does what the
 * statistics count, a known number of times.
 */
#include "boot.h"
#include "cpu.h"
#include "hypervisor.h"
#include "tap.h"
#include "trap.h"

const char test_title[] = "api: what a guest may ask of pmuvisor";

#define TIMES 100

static struct pmuvisor_leaf calls;

static int issue_guarded(struct pmuvisor_registers *regs)
{
	if (calls.ebx & PMUVISOR_FEATURE_VMMCALL)
		asm volatile(GUARD("vmmcall") : "+a"(regs->rax) : "c"(regs->rcx), "d"(regs->rdx) : "r11", "memory");
	else
		asm volatile(GUARD("vmcall") : "+a"(regs->rax) : "c"(regs->rcx), "d"(regs->rdx) : "r11", "memory");
	return (int)guard_vector;
}

static struct pmuvisor_registers query(uint64_t magic)
{
	return (struct pmuvisor_registers){ .rax = magic, .rcx = PMUVISOR_CALL_QUERY, .rdx = PMUVISOR_QUERY_CPU };
}

static int ring3_vector;

static void call_in_ring3(void)
{
	struct pmuvisor_registers regs = query(PMUVISOR_CALL_MAGIC);

	ring3_vector = issue_guarded(&regs);
	asm volatile(USER_EXIT);
}

static void test_undefined(void)
{
	struct pmuvisor_registers regs = query(PMUVISOR_CALL_MAGIC + 1);

	tap_check(issue_guarded(&regs) == FAULT_UD, "without the magic a call is undefined");
	user_run(call_in_ring3);
	tap_check(ring3_vector == FAULT_UD, "in ring 3 it is too");
}

/* RAX; what the call returns in RDX goes to `*value`. */
static int64_t ask(uint64_t operation, uint64_t argument, uint64_t *value)
{
	struct pmuvisor_registers regs = { .rcx = operation, .rdx = argument };
	int64_t status = pmuvisor_call(calls.ebx, &regs);

	*value = regs.rdx;
	return status;
}

static void test_errors(void)
{
	uint64_t value;

	tap_check(ask(1234, 5, &value) == PMUVISOR_E_OPERATION && value == 5, "an operation that is none");
	tap_check(ask(PMUVISOR_CALL_QUERY, 1234, &value) == PMUVISOR_E_ARGUMENT && value == 1234,
		  "a question that is none");
	tap_check(ask(PMUVISOR_CALL_STATISTIC, calls.ecx, &value) == PMUVISOR_E_ARGUMENT, "a statistic that is none");
	tap_check(ask(PMUVISOR_CALL_SAMPLE, 5, &value) == PMUVISOR_E_SAMPLES && value == 5,
		  "samples that the host keeps");
	tap_check(ask(PMUVISOR_CALL_BRANCHES, 0, &value) == PMUVISOR_E_ARGUMENT, "and the branches of one");
}

static uint64_t statistic(uint64_t number)
{
	uint64_t value = 0;

	if (ask(PMUVISOR_CALL_STATISTIC, number, &value))
		tap_abort("there is no statistic %lu", number);
	return value;
}

static void test_queries(void)
{
	uint64_t value;

	tap_check(!ask(PMUVISOR_CALL_QUERY, PMUVISOR_QUERY_CPU, &value) && value == 0, "this is CPU 0");
	tap_check(!ask(PMUVISOR_CALL_QUERY, PMUVISOR_QUERY_TSC_HZ, &value) && value > 1000000, "ticks in a second: %lu",
		  value);
	tap_check(!ask(PMUVISOR_CALL_QUERY, PMUVISOR_QUERY_SHARED, &value) && value == (boot_mode() == MODE_SHARED),
		  "the mode");
}

static void test_exits(void)
{
	uint64_t before = statistic(PMUVISOR_STAT_EXIT(PMUVISOR_EXIT_CPUID)),
		 emulated = statistic(PMUVISOR_STAT_EMULATED);

	for (unsigned i = 0; i < TIMES; i++)
		cpuid(0, 0);
	tap_equal(statistic(PMUVISOR_STAT_EXIT(PMUVISOR_EXIT_CPUID)) - before, TIMES, "exits of CPUID");
	tap_equal(statistic(PMUVISOR_STAT_EMULATED) - emulated, TIMES + 2, "and as many instructions emulated");
	before = statistic(PMUVISOR_STAT_EXIT(PMUVISOR_EXIT_HYPERCALL));
	tap_equal(statistic(PMUVISOR_STAT_EXIT(PMUVISOR_EXIT_HYPERCALL)) - before, 1, "asking is a call");
}

static void test_faults(void)
{
	uint64_t before = statistic(PMUVISOR_STAT_FAULTS);

	for (unsigned i = 0; i < TIMES; i++) {
		struct pmuvisor_registers regs = query(0);

		issue_guarded(&regs);
	}
	tap_equal(statistic(PMUVISOR_STAT_FAULTS) - before, TIMES, "faults");
}

/* Between two calls: all exits are those of one reason or another, and time passes in the guest, too. */
static void test_sums(void)
{
	uint64_t sum = 0, all = statistic(PMUVISOR_STAT_EXITS), ticks, root;

	for (unsigned reason = 0; reason <= PMUVISOR_EXIT_SIPI; reason++)
		sum += statistic(PMUVISOR_STAT_EXIT(reason));
	tap_check(sum >= all && sum <= statistic(PMUVISOR_STAT_EXITS),
		  "the exits of all reasons are all exits: %lu, %lu", sum, all);
	root = statistic(PMUVISOR_STAT_ROOT_TICKS);
	ticks = statistic(PMUVISOR_STAT_TICKS);
	for (unsigned i = 0; i < TIMES; i++)
		cpuid(0, 0);
	root = statistic(PMUVISOR_STAT_ROOT_TICKS) - root;
	ticks = statistic(PMUVISOR_STAT_TICKS) - ticks;
	tap_check(root && root < ticks, "time in pmuvisor: %lu of %lu ticks", root, ticks);
}

void test_main(void)
{
	bool found = pmuvisor_find(&calls);

	tap_equal(found, boot_mode() != MODE_BARE, "CPUID announces the calls");
	test_undefined();
	if (!found)
		return;
	tap_note("version %lx, %lu statistics", (uint64_t)calls.eax, (uint64_t)calls.ecx);
	test_errors();
	test_queries();
	test_exits();
	test_faults();
	test_sums();
}
