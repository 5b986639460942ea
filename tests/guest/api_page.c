/*
 * The page in which pmuvisor tells what the guest's events have counted: docs/guest-api.md.
 *
 * What the hardware does: RDPMC reads the host's counters where it doesn't exit. What breaks: a count that is not what
 * the call says, or from two moments at once; a counter that is read while it holds something else, or not at all; a
 * page that costs exits. How the test tells: it asks the page and the call in turn, while events are put on counters
 * and taken off them, in a PMI's handler and from another processor.
 */
#include <stddef.h>

#include "apic.h"
#include "boot.h"
#include "cpu.h"
#include "guest_event.h"
#include "smp.h"
#include "tap.h"
#include "trap.h"
#include "workload.h"
#include "guest-api/example.h"

const char test_title[] = "api_page: what events have counted, without a call";

#define ROUNDS      2000
#define LONG_ROUNDS 200000
#define TIMES       1000
#define PERIOD      1000
#define OFTEN       200 /* that another processor looks */
#define USER_GUEST  (PMUVISOR_EVENT_USER | PMUVISOR_EVENT_GUEST)
#define NAMED(name) PMUVISOR_EVENT_NAMED(PMUVISOR_NAME_##name)

static const volatile struct pmuvisor_page *page;
static uint64_t millisecond; /* in TSC ticks */
static bool live;            /* RDPMC doesn't exit */
static bool has_timer;       /* of its own: where it hasn't, exits are waited for */

static int64_t keep(uint64_t kept, uint64_t refresh)
{
	uint64_t address = 0;
	int64_t error = event_call(PMUVISOR_CALL_PAGE, kept, refresh, &address);

	if (!error)
		page = (const volatile struct pmuvisor_page *)address;
	return error;
}

static int read_page(uint64_t event, struct pmuvisor_counts *counts)
{
	return pmuvisor_page_read(page, (pmuvisor_u32)event, 1, counts);
}

static uint64_t ask(uint64_t operation, uint64_t argument)
{
	uint64_t value = 0;

	if (event_call(operation, argument, 0, &value))
		tap_abort("call %lu of %lu is refused", operation, argument);
	return value;
}

static void test_keeping(void)
{
	struct pmuvisor_counts counts;

	tap_check(keep(2, 0) == PMUVISOR_E_ARGUMENT, "refused: a bit that must be 0");
	tap_check(keep(0, 2 * millisecond) == PMUVISOR_E_ARGUMENT, "a page that isn't kept, and refreshed");
	tap_check(keep(1, millisecond - 1) == PMUVISOR_E_ARGUMENT, "one that is refreshed too often");
	tap_check(keep(1, BIT(63)) == PMUVISOR_E_ARGUMENT, "or never in this life");
	tap_check(!keep(1, 0) && (uint64_t)page % sizeof(*page) == 0, "a page is kept");
	tap_check(page->version == PMUVISOR_PAGE_VERSION && page->cpu == 0 && page->width == 48, "it is this CPU's");
	tap_check(read_page(0, &counts) == 1 && !counts.count && !page->event[0].state, "no event is open");
	tap_check(!keep(0, 0) && read_page(0, &counts) == -1, "kept no longer, it says so");
	tap_check(!keep(1, 0) && read_page(0, &counts) == 1, "and kept again");
}

/* The call between two looks at the page: its numbers are none but theirs, or lie between. */
static bool agrees(uint64_t event)
{
	struct pmuvisor_counts first, second;
	int before = read_page(event, &first), after;
	struct event_counts now = event_read(event);

	after = read_page(event, &second);
	return before >= 0 && after >= 0 && first.enabled <= now.enabled && now.enabled <= second.enabled &&
	       first.running <= now.running && now.running <= second.running && first.count <= now.count &&
	       (!before || first.count == now.count) && (!after || second.count == now.count) &&
	       first.overflows <= now.overflows;
}

static void test_counts(void)
{
	uint64_t event = event_open(USER_GUEST | NAMED(INSTRUCTIONS), 0);
	struct pmuvisor_counts counts;

	work_rounds = ROUNDS;
	tap_check(page->event[event].state == PMUVISOR_STATE_OPEN, "an event is open");
	event_do(PMUVISOR_CALL_ENABLE, BIT(event));
	user_run(work_loop);
	tap_equal((uint64_t)read_page(event, &counts), live, "while it counts, its count is that of the moment");
	tap_check(!live || (counts.count >= WORK_LOOP_INSTRUCTIONS(ROUNDS) && counts.enabled), "%lu instructions",
		  (uint64_t)counts.count);
	tap_check(agrees(event), "as the call says");
	event_do(PMUVISOR_CALL_DISABLE, BIT(event));
	tap_check(read_page(event, &counts) == 1 && counts.count >= WORK_LOOP_INSTRUCTIONS(ROUNDS) &&
			  counts.count < WORK_LOOP_INSTRUCTIONS(ROUNDS) + 100,
		  "disabled, it is exact");
	tap_check(agrees(event) && counts.enabled == event_read(event).enabled, "to the tick");
	event_do(PMUVISOR_CALL_RESET, BIT(event));
	tap_check(read_page(event, &counts) == 1 && !counts.count, "and reset");
	event_do(PMUVISOR_CALL_CLOSE, BIT(event));
	tap_check(!page->event[event].state && !page->event[event].enabled, "closed, nothing is left of it");
}

/* The other privilege. What is counted of the loop is the way into it and out of it. */
static void test_kernel(void)
{
	uint64_t event = event_open(PMUVISOR_EVENT_KERNEL | PMUVISOR_EVENT_GUEST | NAMED(INSTRUCTIONS), 0);
	uint64_t counted;

	event_do(PMUVISOR_CALL_ENABLE, BIT(event));
	user_run(work_loop);
	event_do(PMUVISOR_CALL_DISABLE, BIT(event));
	counted = page->event[event].count;
	tap_check(counted && counted < WORK_LOOP_INSTRUCTIONS(ROUNDS) / 10, "of the kernel it counts %lu instructions",
		  counted);
	event_do(PMUVISOR_CALL_CLOSE, BIT(event));
}

/* Of pmuvisor's own work, which stands still in the guest. */
static void test_root_mode(void)
{
	uint64_t event = event_open(PMUVISOR_EVENT_KERNEL | PMUVISOR_EVENT_HOST | NAMED(INSTRUCTIONS), 0);
	struct pmuvisor_counts before, after;
	int now;

	event_do(PMUVISOR_CALL_ENABLE, BIT(event));
	read_page(event, &before);
	for (unsigned i = 0; i < 100; i++)
		cpuid(0, 0);
	now = read_page(event, &after);
	tap_equal((uint64_t)now, live, "pmuvisor's instructions are there, too");
	tap_check(!live || (after.count - before.count > 100 * 50 && after.count - before.count < 100 * 5000),
		  "100 CPUIDs cost %lu", (uint64_t)(after.count - before.count));
	event_do(PMUVISOR_CALL_CLOSE, BIT(event));
}

static void test_cost(void)
{
	uint64_t event = event_open(USER_GUEST | NAMED(INSTRUCTIONS), 0), exits, begin;
	struct pmuvisor_counts counts;

	event_do(PMUVISOR_CALL_ENABLE, BIT(event));
	exits = ask(PMUVISOR_CALL_STATISTIC, PMUVISOR_STAT_EXITS);
	begin = rdtsc();
	for (unsigned i = 0; i < TIMES; i++)
		read_page(event, &counts);
	tap_figure("api_read_by_page_ticks", (rdtsc() - begin) / TIMES);
	exits = ask(PMUVISOR_CALL_STATISTIC, PMUVISOR_STAT_EXITS) - exits;
	tap_check(exits < TIMES / 20, "%u looks at the page: %lu exits", TIMES, exits);
	begin = rdtsc();
	for (unsigned i = 0; i < TIMES; i++)
		event_read(event);
	tap_figure("api_read_by_call_ticks", (rdtsc() - begin) / TIMES);
	event_do(PMUVISOR_CALL_CLOSE, BIT(event));
}

static unsigned counting(uint64_t events)
{
	unsigned n = 0;

	for (uint64_t id = 0; events >> id; id++)
		n += (page->event[id].state & PMUVISOR_STATE_COUNTING) != 0;
	return n;
}

/* More events than counters: those whose turn it is, and for how long each had its own. */
static void test_turns(void)
{
	uint64_t counters = pmuvisor_cpuid(PMUVISOR_CPUID_EVENTS).ebx, all = 0;
	unsigned wrong = 0, others = 0;
	struct pmuvisor_counts counts;

	for (unsigned i = 0; i < counters + 2; i++)
		all |= BIT(event_open(USER_GUEST | NAMED(INSTRUCTIONS), 0));
	event_do(PMUVISOR_CALL_ENABLE, all);
	work_rounds = LONG_ROUNDS;
	for (unsigned i = 0; i < 10; i++) {
		user_run(work_loop);
		cpuid(0, 0);
		others += counting(all) != counters;
		for (uint64_t id = 0; all >> id; id++)
			wrong += !agrees(id);
	}
	event_do(PMUVISOR_CALL_DISABLE, all);
	tap_equal(others, 0, "so many count as there are counters");
	tap_equal(wrong, 0, "at each turn the page says what the call says");
	for (uint64_t id = 0; all >> id; id++)
		wrong += read_page(id, &counts) != 1 || !counts.running || counts.running >= counts.enabled;
	tap_equal(wrong, 0, "and each has counted for a part of the time");
	event_do(PMUVISOR_CALL_CLOSE, all);
}

/* With nothing happening. Where pmuvisor has no timer of its own, exits must give it the occasion. */
static unsigned changes(unsigned milliseconds)
{
	uint64_t begin = rdtsc(), last = page->tsc;
	unsigned n = 0;

	while (rdtsc() - begin < milliseconds * millisecond) {
		if (!has_timer)
			cpuid(0, 0);
		n += page->tsc != last;
		last = page->tsc;
	}
	return n;
}

static void test_refresh(void)
{
	uint64_t event = event_open(PMUVISOR_EVENT_KERNEL | PMUVISOR_EVENT_GUEST | NAMED(INSTRUCTIONS), 0), first;
	unsigned n;

	event_do(PMUVISOR_CALL_ENABLE, BIT(event));
	keep(1, 2 * millisecond);
	first = page->event[event].count;
	n = changes(20);
	tap_check(n >= 8, "each 2 ms it is written anew: %u times in 20 ms", n);
	tap_check(page->event[event].count > first, "with what has been counted meanwhile");
	keep(1, 0);
	tap_check(live ? changes(20) <= 1 : changes(20) <= n, "or only when something changes");
	event_do(PMUVISOR_CALL_CLOSE, BIT(event));
}

static uint64_t pmi_event;
static unsigned pmis, moving, disagreeing;

/* The host's counters are paused, and the page knows. */
static void on_pmi(struct trap_frame *frame __attribute__((unused)))
{
	struct pmuvisor_counts first, second;
	struct event_counts called;

	pmis++;
	moving += read_page(pmi_event, &first) != 1 || page->event[pmi_event].state & PMUVISOR_STATE_COUNTING;
	called = event_read(pmi_event);
	read_page(pmi_event, &second);
	moving += first.count != second.count || first.running != second.running || first.enabled >= second.enabled;
	disagreeing += first.count != called.count || first.running != called.running ||
		       first.overflows != called.overflows;
	apic_write(APIC_LVTPC, LVT_NMI);
}

static void test_window(void)
{
	uint64_t windows = ask(PMUVISOR_CALL_STATISTIC, PMUVISOR_STAT_WINDOWS);
	uint64_t paused = ask(PMUVISOR_CALL_STATISTIC, PMUVISOR_STAT_PAUSED_TICKS);
	uint64_t noticed = ask(PMUVISOR_CALL_STATISTIC, PMUVISOR_STAT_PMIS_HOST);
	struct event_counts counts;

	pmi_event = event_open(USER_GUEST | NAMED(INSTRUCTIONS) | PMUVISOR_EVENT_PMI, PERIOD);
	work_rounds = ROUNDS;
	trap_handle(VECTOR_NMI, on_pmi);
	apic_write(APIC_LVTPC, LVT_NMI);
	event_do(PMUVISOR_CALL_ENABLE, BIT(pmi_event));
	user_run(work_loop);
	tap_check(agrees(pmi_event), "after %u PMIs the page is right", pmis);
	event_do(PMUVISOR_CALL_DISABLE, BIT(pmi_event));
	apic_write(APIC_LVTPC, LVT_MASKED);
	tap_check(pmis >= WORK_LOOP_INSTRUCTIONS(ROUNDS) / PERIOD, "%u PMIs", pmis);
	tap_equal(moving, 0, "in their handler nothing counts");
	tap_equal(disagreeing, 0, "and the page says what the call says");
	counts = event_read(pmi_event);
	tap_equal(page->event[pmi_event].overflows, counts.overflows, "and so it does of periods");
	tap_check(ask(PMUVISOR_CALL_STATISTIC, PMUVISOR_STAT_PMIS_HOST) - noticed >= pmis, "by the statistics, too");
	tap_equal(ask(PMUVISOR_CALL_STATISTIC, PMUVISOR_STAT_WINDOWS) - windows, pmis, "each was a window");
	paused = ask(PMUVISOR_CALL_STATISTIC, PMUVISOR_STAT_PAUSED_TICKS) - paused;
	tap_equal(paused, counts.enabled - counts.running, "in which the event lost the time that the host lost");
	event_do(PMUVISOR_CALL_CLOSE, BIT(pmi_event));
}

static struct {
	unsigned looks, versions, torn;
	bool stop;
} watched;

/* Two events that do everything together, in one version of the page. */
static void watch(void)
{
	uint32_t last = 0;

	while (!__atomic_load_n(&watched.stop, __ATOMIC_RELAXED)) {
		uint32_t sequence = __atomic_load_n(&page->sequence, __ATOMIC_ACQUIRE);
		uint64_t count = page->event[0].count, enabled = page->event[0].enabled;
		bool equal = count == page->event[1].count && enabled == page->event[1].enabled;

		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (sequence & 1 || page->sequence != sequence)
			continue;
		watched.looks++;
		watched.torn += !equal;
		watched.versions += sequence != last;
		last = sequence;
	}
}

static void test_other_looks(void)
{
	uint64_t both = BIT(event_open(USER_GUEST | 0xc4, 0));

	both |= BIT(event_open(USER_GUEST | 0xc4, 0));
	work_rounds = 10;
	smp_run(1, watch);
	for (unsigned i = 0; i < OFTEN || watched.versions < OFTEN / 4; i++) {
		event_do(PMUVISOR_CALL_ENABLE, both);
		user_run(work_loop);
		event_do(PMUVISOR_CALL_DISABLE, both);
	}
	__atomic_store_n(&watched.stop, true, __ATOMIC_RELAXED);
	tap_check(smp_wait(1) && watched.looks, "another processor looks, %u times", watched.looks);
	tap_equal(watched.torn, 0, "and sees each of %u versions whole", watched.versions);
	event_do(PMUVISOR_CALL_CLOSE, both);
}

static struct {
	uint64_t address;
	uint32_t cpu, state;
	int status;
} other;

static void open_there(void)
{
	event_call(PMUVISOR_CALL_PAGE, 1, 0, &other.address);
	event_do(PMUVISOR_CALL_ENABLE, BIT(event_open(USER_GUEST | NAMED(CYCLES), 0)));
}

static void look_there(void)
{
	const volatile struct pmuvisor_page *own = (const volatile struct pmuvisor_page *)other.address;
	struct pmuvisor_counts counts;

	other.status = pmuvisor_page_read(own, 0, 1, &counts);
	other.state = own->event[0].state;
	other.cpu = own->cpu;
}

/* Each has its own, which an INIT leaves alone as it does events. */
static void test_other_s(void)
{
	smp_run(1, open_there);
	tap_check(smp_wait(1) && other.address && other.address != (uint64_t)page, "another processor has its own");
	tap_check(smp_start(1), "it is started anew");
	smp_run(1, look_there);
	tap_check(smp_wait(1) && other.cpu == 1 && other.status == live, "after the INIT its page is still kept");
	tap_equal(other.state, 7, "with its events");
}

/* The example knows it too. */
static void execute_cpuids(void)
{
	for (unsigned i = 0; i < 100; i++)
		cpuid(0, 0);
}

static void test_example(void)
{
	struct example_cost cost = { .exits = 0 };

	tap_check(!example_measure(execute_cpuids, &cost), "the example finds pmuvisor");
	tap_check(cost.root_instructions > 100 * 50, "100 CPUIDs: %lu instructions", (uint64_t)cost.root_instructions);
}

/* Reading it was all that was offered. */
static void test_writing(void)
{
	uint64_t hidden = ask(PMUVISOR_CALL_STATISTIC, PMUVISOR_STAT_HIDDEN), event;
	struct pmuvisor_counts counts;

	*(volatile uint32_t *)(uintptr_t)&page->sequence = 1;
	tap_equal(ask(PMUVISOR_CALL_STATISTIC, PMUVISOR_STAT_HIDDEN) - hidden, 1, "a write meets hidden memory");
	tap_check(page->version == UINT32_MAX && read_page(0, &counts) == -1, "and the page is ones from then on");
	event = event_open(USER_GUEST | NAMED(INSTRUCTIONS), 0);
	event_do(PMUVISOR_CALL_ENABLE, BIT(event));
	user_run(work_loop);
	event_do(PMUVISOR_CALL_DISABLE, BIT(event));
	tap_check(event_read(event).count >= WORK_LOOP_INSTRUCTIONS(work_rounds), "pmuvisor goes on");
}

void test_main(void)
{
	struct pmuvisor_leaf calls;

	if (!pmuvisor_find(&calls))
		tap_abort("this is not pmuvisor");
	live = boot_mode() == MODE_DIRECT || boot_number("rdpmc", 0);
	has_timer = !(calls.ebx & PMUVISOR_FEATURE_VMMCALL);
	millisecond = ask(PMUVISOR_CALL_QUERY, PMUVISOR_QUERY_TSC_HZ) / 1000;
	test_keeping();
	test_counts();
	test_kernel();
	test_root_mode();
	test_cost();
	test_turns();
	test_refresh();
	test_window();
	test_example();
	if (smp_processors() > 1) {
		smp_start_all();
		test_other_looks();
		test_other_s();
	}
	test_writing();
}
