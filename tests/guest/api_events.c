/*
 * Events that the guest opens on the host's counters: docs/guest-api.md.
 *
 * What the hardware does: nothing; these counters are the host's. What breaks: a count that has pmuvisor's instructions
 * in it, or lacks some of the guest's; an event that is on no counter for a while and doesn't say so; an overflow told
 * twice; and the guest's own counters, which know nothing of it and must go on. How the test tells: code of known
 * length, counted on both sides.
 */
#include <stddef.h>

#include "apic.h"
#include "boot.h"
#include "guest_event.h"
#include "pmu.h"
#include "smp.h"
#include "tap.h"
#include "trap.h"
#include "workload.h"
#include "guest-api/example.h"

const char test_title[] = "api_events: events opened by the guest";

#define ROUNDS      20000
#define LONG_ROUNDS 2000000
#define PERIOD      1000
#define VECTOR_TICK 0x60
#define TICK        20000
#define USER_GUEST  (PMUVISOR_EVENT_USER | PMUVISOR_EVENT_GUEST)
#define NAMED(name) PMUVISOR_EVENT_NAMED(PMUVISOR_NAME_##name)

static unsigned counters;

static void test_refusals(void)
{
	static const struct {
		const char *why;
		uint64_t config, period;
		int64_t error;
	} refused[] = {
		{ "no mode", PMUVISOR_EVENT_USER | NAMED(CYCLES), 0, PMUVISOR_E_ARGUMENT },
		{ "no privilege", PMUVISOR_EVENT_GUEST | NAMED(CYCLES), 0, PMUVISOR_E_ARGUMENT },
		{ "a bit that must be 0", USER_GUEST | NAMED(CYCLES) | BIT(63), 0, PMUVISOR_E_ARGUMENT },
		{ "event 0", USER_GUEST, 0, PMUVISOR_E_EVENT },
		{ "a name that is none", USER_GUEST | PMUVISOR_EVENT_NAMED(6), 0, PMUVISOR_E_EVENT },
		{ "a name and a number", USER_GUEST | NAMED(CYCLES) | 0xc0, 0, PMUVISOR_E_EVENT },
		{ "a short period", USER_GUEST | NAMED(CYCLES), PERIOD - 1, PMUVISOR_E_PERIOD },
		{ "a long period", USER_GUEST | NAMED(CYCLES), BIT(47), PMUVISOR_E_PERIOD },
		{ "a PMI without a period", USER_GUEST | NAMED(CYCLES) | PMUVISOR_EVENT_PMI, 0, PMUVISOR_E_PERIOD },
		{ "a short period in pmuvisor", PMUVISOR_EVENT_KERNEL | PMUVISOR_EVENT_HOST | NAMED(CYCLES), 9999,
		  PMUVISOR_E_PERIOD },
	};

	for (unsigned i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		tap_equal((uint64_t)event_call(PMUVISOR_CALL_OPEN, refused[i].config, refused[i].period, NULL),
			  (uint64_t)refused[i].error, "refused: %s", refused[i].why);
	tap_check(event_call(PMUVISOR_CALL_ENABLE, BIT(0), 0, NULL) == PMUVISOR_E_ID, "none is open");
	tap_check(event_call(PMUVISOR_CALL_READ, PMUVISOR_EVENTS, 0, NULL) == PMUVISOR_E_ID, "nor of that number");
}

static void test_no_counter(void)
{
	tap_check(event_call(PMUVISOR_CALL_OPEN, USER_GUEST | NAMED(CYCLES), 0, NULL) == PMUVISOR_E_COUNTERS,
		  "the host has left no counter, and says so");
	tap_check(PMUVISOR_E_IS_HOSTS(PMUVISOR_E_COUNTERS) && !PMUVISOR_E_IS_HOSTS(PMUVISOR_E_FULL),
		  "which isn't the guest's fault");
}

static void run(uint64_t events)
{
	event_do(PMUVISOR_CALL_ENABLE, events);
	user_run(work_loop);
	event_do(PMUVISOR_CALL_DISABLE, events);
}

static void test_counts(void)
{
	uint64_t user = event_open(USER_GUEST | NAMED(INSTRUCTIONS), 0);
	struct event_counts counts;

	work_rounds = ROUNDS;
	tap_equal(event_read(user).count, 0, "an event is opened with 0");
	user_run(work_loop);
	tap_equal(event_read(user).count, 0, "and disabled");
	run(BIT(user));
	counts = event_read(user);
	tap_equal(counts.count, WORK_LOOP_INSTRUCTIONS(ROUNDS), "instructions at user level");
	tap_check(counts.enabled && counts.running == counts.enabled, "all the time");
	run(BIT(user));
	tap_equal(event_read(user).count, 2 * WORK_LOOP_INSTRUCTIONS(ROUNDS), "enabled again it goes on");
	event_do(PMUVISOR_CALL_RESET, BIT(user));
	tap_equal(event_read(user).count, 0, "and is reset");
	event_do(PMUVISOR_CALL_CLOSE, BIT(user));
	tap_check(event_call(PMUVISOR_CALL_READ, user, 0, NULL) == PMUVISOR_E_ID, "closed, it is gone");
}

/* The guest's counter 0 and the event count the same; with a CPUID in each round the event lacks those. */
static void test_beside_the_guest_s(void)
{
	uint64_t event = event_open(USER_GUEST | 0xc0, 0), rounds = ROUNDS / 10;

	pmu_reset();
	pmu_select(0, EVENT_INSTRUCTIONS | PERFEVTSEL_USR | PERFEVTSEL_EN);
	work_rounds = rounds;
	pmu_enable(BIT(0));
	event_do(PMUVISOR_CALL_ENABLE, BIT(event));
	user_run(work_cpuid);
	event_do(PMUVISOR_CALL_DISABLE, BIT(event));
	pmu_enable(0);
	tap_equal(pmu_read(0), WORK_CPUID_INSTRUCTIONS(rounds), "the guest's counter has every instruction");
	tap_equal(event_read(event).count, WORK_CPUID_INSTRUCTIONS(rounds) - rounds,
		  "the event those that didn't exit");
	event_do(PMUVISOR_CALL_CLOSE, BIT(event));
}

/* Of pmuvisor's own work: CPUID costs some hundred instructions there, and none in the guest that it would count. */
static void test_root_mode(void)
{
	uint64_t event = event_open(PMUVISOR_EVENT_KERNEL | PMUVISOR_EVENT_HOST | NAMED(INSTRUCTIONS), 0);
	uint64_t few, many;

	event_do(PMUVISOR_CALL_ENABLE, BIT(event));
	few = event_read(event).count;
	for (unsigned i = 0; i < 100; i++)
		cpuid(0, 0);
	many = event_read(event).count;
	event_do(PMUVISOR_CALL_CLOSE, BIT(event));
	tap_check(many - few > 100 * 50 && many - few < 100 * 5000, "100 CPUIDs cost %lu instructions in pmuvisor",
		  many - few);
}

#define TOO_MANY (counters + 2)

static void on_tick(struct trap_frame *frame __attribute__((unused)))
{
	apic_eoi();
}

/* SVM has no timer: pmuvisor looks at the clock when the guest's own interrupts it. */
static void run_with_ticks(uint64_t events)
{
	trap_handle(VECTOR_TICK, on_tick);
	apic_write(APIC_TIMER_DIVIDE, TIMER_DIVIDE_BY_1);
	apic_write(APIC_LVT_TIMER, VECTOR_TICK | LVT_PERIODIC);
	apic_write(APIC_TIMER_COUNT, TICK);
	run(events);
	apic_write(APIC_LVT_TIMER, LVT_MASKED);
	apic_write(APIC_TIMER_COUNT, 0);
}

/* More than there are counters for: each has its turns, and says how long they were. */
static void test_turns(void)
{
	uint64_t all = 0, expected = WORK_LOOP_INSTRUCTIONS(LONG_ROUNDS), running = 0, enabled = 0;
	unsigned unfair = 0, wrong = 0;

	for (unsigned i = 0; i < TOO_MANY; i++)
		all |= BIT(event_open(USER_GUEST | NAMED(INSTRUCTIONS), 0));
	work_rounds = LONG_ROUNDS;
	(pmu.amd ? run_with_ticks : run)(all);
	for (uint64_t id = 0; all >> id; id++) {
		struct event_counts counts = event_read(id);
		uint64_t scaled = counts.running ? counts.count * counts.enabled / counts.running : 0;

		tap_note("event %lu: %lu events, %lu of %lu ticks", id, counts.count, counts.running, counts.enabled);
		unfair += counts.running >= counts.enabled || counts.running < counts.enabled / (4 * TOO_MANY);
		wrong += scaled < expected - expected / 4 || scaled > expected + expected / 4;
		running += counts.running;
		enabled = counts.enabled;
	}
	tap_equal(unfair, 0, "%u events on %u counters: each has its turns", TOO_MANY, counters);
	tap_equal(wrong, 0, "and what each would have counted, it says within a quarter");
	tap_check(running <= counters * enabled && running > counters * enabled - enabled / 2,
		  "the counters are in use nearly all the time: %lu of %lu ticks", running, counters * enabled);
	event_do(PMUVISOR_CALL_CLOSE, all);
}

static void test_full(void)
{
	uint64_t all = 0, open;

	for (unsigned i = 0; i < PMUVISOR_EVENTS; i++)
		all |= BIT(event_open(USER_GUEST | NAMED(CYCLES), 0));
	tap_equal(all, BIT(PMUVISOR_EVENTS) - 1, "so many events can be open");
	tap_check(event_call(PMUVISOR_CALL_OPEN, USER_GUEST | NAMED(CYCLES), 0, NULL) == PMUVISOR_E_FULL,
		  "and no more");
	tap_check(!event_call(PMUVISOR_CALL_QUERY, PMUVISOR_QUERY_OPEN, 0, &open) && open == all, "all of them are");
	event_do(PMUVISOR_CALL_CLOSE, all);
}

static uint64_t pmis;

static void on_pmi(struct trap_frame *frame __attribute__((unused)))
{
	pmis++;
	apic_write(APIC_LVTPC, LVT_NMI);
}

/* Each period's end is a PMI; with LVTPC masked they are only counted. AMD's counters have the handler's IRETs in them. */
static void test_pmis(void)
{
	uint64_t event = event_open(USER_GUEST | NAMED(INSTRUCTIONS) | PMUVISOR_EVENT_PMI, PERIOD);
	uint64_t work = WORK_LOOP_INSTRUCTIONS(ROUNDS), told;
	struct event_counts counts;

	work_rounds = ROUNDS;
	trap_handle(VECTOR_NMI, on_pmi);
	pmis = 0;
	apic_write(APIC_LVTPC, LVT_NMI);
	run(BIT(event));
	told = pmis;
	counts = event_read(event);
	apic_write(APIC_LVTPC, LVT_MASKED);
	tap_equal(counts.count, work + pmu.amd * told, "with a period nothing is lost");
	tap_equal(counts.overflows, counts.count / PERIOD, "it has ended that often");
	tap_equal(told, counts.overflows, "and been told each time");
	run(BIT(event));
	counts = event_read(event);
	tap_equal(counts.overflows, (2 * work + pmu.amd * told) / PERIOD, "with LVTPC masked it is counted");
	tap_equal(pmis, told, "and not told");
	event_do(PMUVISOR_CALL_CLOSE, BIT(event));
	event = event_open(USER_GUEST | NAMED(INSTRUCTIONS), PERIOD);
	apic_write(APIC_LVTPC, LVT_NMI);
	run(BIT(event));
	apic_write(APIC_LVTPC, LVT_MASKED);
	tap_equal(event_read(event).overflows, work / PERIOD, "without PMIs periods are counted too");
	tap_equal(pmis, told, "and not told");
	event_do(PMUVISOR_CALL_CLOSE, BIT(event));
}

#define CPUIDS 100

static void execute_cpuids(void)
{
	for (unsigned i = 0; i < CPUIDS; i++)
		cpuid(0, 0);
}

static void test_example(void)
{
	struct example_cost cost = { .exits = 0 };

	tap_check(!example_measure(execute_cpuids, &cost), "the example finds pmuvisor");
	tap_check(cost.exits >= CPUIDS && cost.exits < CPUIDS + 50, "100 CPUIDs: %lu exits", (uint64_t)cost.exits);
	tap_check(cost.root_ticks && cost.root_instructions > 50 * CPUIDS, "%lu ticks, %lu instructions in pmuvisor",
		  (uint64_t)cost.root_ticks, (uint64_t)cost.root_instructions);
}

#define SWITCHES 100

static uint64_t exits(void)
{
	uint64_t value = 0;

	event_call(PMUVISOR_CALL_STATISTIC, PMUVISOR_STAT_EXITS, 0, &value);
	return value;
}

/*
 * Stopping and starting the guest's counters in shared mode, by GLOBAL_CTRL, and by the enable bits of all its
 * selectors, which are the guest's without an exit but for AMD's: docs/guest-api.md, "GLOBAL_* without exits".
 */
static void test_stopping(void)
{
	uint64_t event = event_open(USER_GUEST | NAMED(CYCLES), 0), before, begin;

	event_do(PMUVISOR_CALL_ENABLE, BIT(event));
	before = exits();
	begin = rdtsc();
	for (unsigned i = 0; i < SWITCHES; i++)
		wrmsr(MSR_IA32_PERF_GLOBAL_CTRL, i & 1);
	tap_figure("api_stop_by_global_ctrl_ticks", (rdtsc() - begin) / SWITCHES);
	tap_check(exits() - before >= SWITCHES, "GLOBAL_CTRL: an exit each");
	before = exits();
	begin = rdtsc();
	for (unsigned i = 0; i < SWITCHES; i++) {
		for (unsigned n = 0; n < pmu.nr_gp; n++)
			wrmsr(MSR_IA32_PERFEVTSEL0 + n, EVENT_INSTRUCTIONS | PERFEVTSEL_USR | (i & 1) * PERFEVTSEL_EN);
	}
	tap_figure("api_stop_by_selectors_ticks", (rdtsc() - begin) / SWITCHES);
	tap_check(exits() - before < 10, "the enable bits of all selectors: none");
	event_do(PMUVISOR_CALL_CLOSE, BIT(event));
	pmu_reset();
}

static struct {
	uint64_t cpu, open, id;
	int64_t closing;
} other;

static void call_on_the_other(void)
{
	event_call(PMUVISOR_CALL_QUERY, PMUVISOR_QUERY_CPU, 0, &other.cpu);
	event_call(PMUVISOR_CALL_QUERY, PMUVISOR_QUERY_OPEN, 0, &other.open);
	other.closing = event_call(PMUVISOR_CALL_CLOSE, BIT(0), 0, NULL);
	event_call(PMUVISOR_CALL_OPEN, USER_GUEST | NAMED(CYCLES), 0, &other.id);
	event_call(PMUVISOR_CALL_CLOSE, BIT(other.id), 0, NULL);
}

/* Events are of the processor that opens them. */
static void test_other_processor(void)
{
	uint64_t event = event_open(USER_GUEST | NAMED(CYCLES), 0), open = 0;

	smp_start_all();
	smp_run(1, call_on_the_other);
	tap_check(smp_wait(1) && other.cpu == 1, "another processor calls");
	tap_check(event == 0 && !other.open && other.closing == PMUVISOR_E_ID, "it has not this one's events");
	tap_equal(other.id, 0, "but its own");
	tap_check(!event_call(PMUVISOR_CALL_QUERY, PMUVISOR_QUERY_OPEN, 0, &open) && open == BIT(event),
		  "and those here stay open");
	event_do(PMUVISOR_CALL_CLOSE, BIT(event));
}

/* Left open, with a count that the dump must have: tests/guest/judge.py compares. */
static void test_dump(void)
{
	uint64_t event = event_open(USER_GUEST | NAMED(BRANCHES), 0);

	work_rounds = ROUNDS;
	run(BIT(event));
	tap_equal(event_read(event).count, WORK_LOOP_BRANCHES(ROUNDS), "branches");
	tap_figure("api_event_dumped", event_read(event).count);
	hypervisor_dump();
}

void test_main(void)
{
	struct pmuvisor_leaf calls;

	if (!pmuvisor_find(&calls))
		tap_abort("this is not pmuvisor");
	pmu_init();
	counters = pmuvisor_cpuid(PMUVISOR_CPUID_EVENTS).ebx;
	tap_equal(counters, boot_number("counters", 0), "counters that the host has left");
	test_refusals();
	if (!counters) {
		test_no_counter();
		return;
	}
	test_counts();
	test_beside_the_guest_s();
	test_root_mode();
	test_turns();
	test_full();
	test_pmis();
	test_example();
	if (!pmu.amd)
		test_stopping();
	if (smp_processors() > 1)
		test_other_processor();
	test_dump();
}
