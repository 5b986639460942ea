/*
 * Calls at random, most of them hostile, as fast as they go; while the guest's own PMU interrupts, whose handler calls
 * too.
 *
 * What the hardware does: nothing. What breaks: a number that is believed, a window or an LVTPC left in the wrong
 * state, a counter of somebody else's. How the test tells: pmuvisor goes on, errors are among those there are, and
 * before and after, the guest's own counters and events count exactly.
 */
#include <stddef.h>

#include "apic.h"
#include "boot.h"
#include "guest_event.h"
#include "pmu.h"
#include "tap.h"
#include "trap.h"
#include "workload.h"

const char test_title[] = "api_storm: calls at random";

#define CALLS      30000
#define ROUNDS     5000
#define PERIOD     20011 /* of the guest's own PMIs */
#define USER_GUEST (PMUVISOR_EVENT_USER | PMUVISOR_EVENT_GUEST)
#define HV_LEAVE   0x45564145u /* the loader's own */
#define LONGEST    51200       /* ticks that a call may take: a millisecond */

static uint64_t seed = 1, calls, answered, strange, pmis, longest;

static uint64_t next(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/* Any number of bits. */
static uint64_t any(void)
{
	uint64_t value = next();

	return value >> next() % 64;
}

static void call_any(void)
{
	struct pmuvisor_registers regs = { .rcx = next() % 14, .rdx = any(), .rsi = any(), .rdi = any(), .rbx = any() };
	uint64_t begin;
	int64_t status;

	if (regs.rcx > PMUVISOR_CALL_PAGE)
		regs.rcx += PMUVISOR_CALL_SAMPLE - PMUVISOR_CALL_PAGE - 1;
	if (next() % 16 == 0)
		regs.rcx = any();
	if (regs.rcx == PMUVISOR_CALL_PAGE && next() % 2)
		regs.rdx = 1, regs.rsi = 0;
	if (regs.rcx == PMUVISOR_CALL_OPEN && next() % 2)
		regs.rdx = USER_GUEST | PMUVISOR_EVENT_NAMED(1 + next() % 5) | (next() & PMUVISOR_EVENT_HOST);
	if (regs.rcx == PMUVISOR_CALL_OPEN && next() % 2)
		regs.rsi = 10000 + next() % 10000;
	if (regs.rcx == PMUVISOR_CALL_DUMP || regs.rcx == HV_LEAVE)
		return; /* the one is for the serial line, the other isn't the guest's */
	begin = rdtsc();
	status = hypervisor_call(&regs);
	longest = rdtsc() - begin > longest ? rdtsc() - begin : longest;
	calls++;
	answered += status >= 0;
	strange += status < PMUVISOR_E_SAMPLES || (status < PMUVISOR_E_NONE && status > PMUVISOR_E_COUNTERS);
}

static void on_pmi(struct trap_frame *frame __attribute__((unused)))
{
	pmis++;
	call_any();
	pmu_write(0, pmu_preset(PERIOD));
	pmu_acknowledge(BIT(0));
	call_any();
	apic_write(APIC_LVTPC, LVT_NMI);
}

static void close_all(void)
{
	uint64_t open = 0;

	if (event_call(PMUVISOR_CALL_QUERY, PMUVISOR_QUERY_OPEN, 0, &open))
		tap_abort("it doesn't say what is open");
	while (open && event_call(PMUVISOR_CALL_CLOSE, open, 0, NULL) == PMUVISOR_E_BUSY)
		;
}

/* Counter 0 and an event, of known code. */
static void check_counts(const char *when)
{
	uint64_t event = event_open(USER_GUEST | 0xc0, 0);

	pmu_reset();
	work_rounds = ROUNDS;
	pmu_select(0, EVENT_INSTRUCTIONS | PERFEVTSEL_USR | PERFEVTSEL_EN);
	pmu_enable(BIT(0));
	event_do(PMUVISOR_CALL_ENABLE, BIT(event));
	user_run(work_loop);
	pmu_enable(0);
	tap_equal(pmu_read(0), WORK_LOOP_INSTRUCTIONS(ROUNDS), "%s the storm the guest's counter is exact", when);
	tap_equal(event_read(event).count, WORK_LOOP_INSTRUCTIONS(ROUNDS), "%s it an event is, too", when);
	event_do(PMUVISOR_CALL_CLOSE, BIT(event));
}

static void storm(uint64_t wanted)
{
	pmu_reset();
	trap_handle(VECTOR_NMI, on_pmi);
	apic_write(APIC_LVTPC, LVT_NMI);
	pmu_select(0, EVENT_INSTRUCTIONS | PERFEVTSEL_OS | PERFEVTSEL_INT | PERFEVTSEL_EN);
	pmu_write(0, pmu_preset(PERIOD));
	pmu_enable(BIT(0));
	while (calls < wanted)
		call_any();
	pmu_enable(0);
	apic_write(APIC_LVTPC, LVT_MASKED);
	close_all();
}

void test_main(void)
{
	struct pmuvisor_leaf leaf;
	uint64_t wanted = boot_number("calls", CALLS);

	if (!pmuvisor_find(&leaf))
		tap_abort("this is not pmuvisor");
	pmu_init();
	check_counts("before");
	storm(wanted);
	tap_check(calls >= wanted && answered > wanted / 20, "%lu calls, %lu of them answered", calls, answered);
	tap_equal(strange, 0, "every error is one that there is");
	tap_check(longest < LONGEST, "the longest took %lu ticks, with what came in between", longest);
	tap_check(pmis > wanted / 1000, "%lu PMIs meanwhile", pmis);
	check_counts("after");
	tap_figure("api_storm_calls", calls);
	tap_figure("api_storm_calls_answered", answered);
	tap_figure("api_storm_longest_ticks", longest);
}
