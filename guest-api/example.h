/*
 * What a guest's kernel needs to know what a piece of its own work costs under pmuvisor: how often it leaves the guest,
 * for how long, and how many instructions pmuvisor executes meanwhile. For CPL 0, with nothing but the header; the
 * caller stays on one CPU. This file may be taken by anyone, for any purpose.
 */
#ifndef PMUVISOR_EXAMPLE_H
#define PMUVISOR_EXAMPLE_H

#include "pmuvisor.h"

struct example_cost {
	pmuvisor_u64 exits, root_ticks;
	pmuvisor_u64 root_instructions; /* 0 if the host has left no counter */
};

static inline pmuvisor_u64 example_statistic(pmuvisor_u32 features, pmuvisor_u64 number)
{
	struct pmuvisor_registers regs = { 0, PMUVISOR_CALL_STATISTIC, number, 0, 0, 0 };

	return pmuvisor_call(features, &regs) ? 0 : regs.rdx;
}

/* Operations on one event: its count, or with PMUVISOR_CALL_OPEN its number, of which `what` says what it counts. */
static inline pmuvisor_s64 example_event(pmuvisor_u32 features, pmuvisor_u64 operation, pmuvisor_u64 what)
{
	struct pmuvisor_registers regs = { 0, operation, what, 0, 0, 0 };
	pmuvisor_s64 error = pmuvisor_call(features, &regs);

	return error ? error : (pmuvisor_s64)regs.rdx;
}

/* This CPU's page, where linear addresses are physical ones, as in firmware. Elsewhere it has to be mapped. */
static inline const volatile struct pmuvisor_page *example_page(pmuvisor_u32 features)
{
	struct pmuvisor_registers regs = { 0, PMUVISOR_CALL_PAGE, 1, 0, 0, 0 };

	return pmuvisor_call(features, &regs) ? 0 : (const volatile struct pmuvisor_page *)regs.rdx;
}

/* An event's count: without a call, where the page has it. */
static inline pmuvisor_u64 example_count(pmuvisor_u32 features, const volatile struct pmuvisor_page *page,
					 pmuvisor_u32 event)
{
	struct pmuvisor_counts counts;

	if (page && pmuvisor_page_read(page, event, 1, &counts) == 1)
		return counts.count;
	return (pmuvisor_u64)example_event(features, PMUVISOR_CALL_READ, event);
}

/*
 * 0, or there is no pmuvisor. The exits and ticks have those of asking in them, some few; so have the instructions
 * where the page doesn't tell them.
 */
static inline int example_measure(void (*work)(void), struct example_cost *cost)
{
	const pmuvisor_u64 pmuvisors_instructions = PMUVISOR_EVENT_NAMED(PMUVISOR_NAME_INSTRUCTIONS) |
						    PMUVISOR_EVENT_HOST | PMUVISOR_EVENT_KERNEL;
	const volatile struct pmuvisor_page *page;
	struct pmuvisor_leaf calls;
	pmuvisor_s64 event;

	if (!pmuvisor_find(&calls))
		return -1;
	page = example_page(calls.ebx);
	event = example_event(calls.ebx, PMUVISOR_CALL_OPEN, pmuvisors_instructions);
	if (event >= 0)
		example_event(calls.ebx, PMUVISOR_CALL_ENABLE, 1ull << event);
	cost->exits = example_statistic(calls.ebx, PMUVISOR_STAT_EXITS);
	cost->root_ticks = example_statistic(calls.ebx, PMUVISOR_STAT_ROOT_TICKS);
	cost->root_instructions = event < 0 ? 0 : example_count(calls.ebx, page, (pmuvisor_u32)event);
	work();
	if (event >= 0)
		cost->root_instructions = example_count(calls.ebx, page, (pmuvisor_u32)event) - cost->root_instructions;
	cost->root_ticks = example_statistic(calls.ebx, PMUVISOR_STAT_ROOT_TICKS) - cost->root_ticks;
	cost->exits = example_statistic(calls.ebx, PMUVISOR_STAT_EXITS) - cost->exits;
	if (event >= 0)
		example_event(calls.ebx, PMUVISOR_CALL_CLOSE, 1ull << event);
	return 0;
}

#endif
