/*
 * Delta debugging: drop ever smaller pieces of the plan, then make what is left simpler, as long as it still differs.
 */
#include <inttypes.h>
#include <string.h>

#include "run.h"

static bool differs(const struct plan *plan)
{
	struct result result;

	run_plan(plan, &result);
	return result.differs;
}

/* Keeps `candidate` if it still differs. */
static bool keep(struct plan *plan, const struct plan *candidate)
{
	if (!differs(candidate))
		return false;
	*plan = *candidate;
	return true;
}

static bool drop(struct plan *plan, unsigned first, unsigned count)
{
	struct plan candidate = *plan;

	memmove(candidate.steps + first, candidate.steps + first + count,
		(candidate.nr_steps - first - count) * sizeof(candidate.steps[0]));
	candidate.nr_steps -= count;
	return keep(plan, &candidate);
}

static bool drop_steps(struct plan *plan)
{
	bool dropped = false;

	for (unsigned count = plan->nr_steps / 2; count; count /= 2) {
		for (unsigned first = 0; first + count <= plan->nr_steps;) {
			if (drop(plan, first, count))
				dropped = true;
			else
				first += count;
		}
	}
	return dropped;
}

static void simplify_step(struct plan *plan, unsigned i)
{
	struct plan candidate = *plan;

	candidate.steps[i].root = 0;
	keep(plan, &candidate);
	candidate = *plan;
	candidate.steps[i].late = false;
	keep(plan, &candidate);
	candidate = *plan;
	candidate.steps[i].cpl = 0;
	keep(plan, &candidate);
	for (candidate = *plan; plan->steps[i].kind == STEP_RETIRE && plan->steps[i].value > 1;) {
		candidate.steps[i].value--;
		if (!keep(plan, &candidate))
			break;
	}
}

static bool drop_event(struct plan *plan)
{
	for (unsigned i = 0; i < plan->config.nr_events; i++) {
		struct plan candidate = *plan;
		struct hv_config *config = &candidate.config;

		memmove(config->events + i, config->events + i + 1,
			(config->nr_events - i - 1) * sizeof(config->events[0]));
		config->nr_events--;
		if (keep(plan, &candidate))
			return true;
	}
	return false;
}

/* Takes from a plan that differs all that isn't needed for it to differ. */
static void shrink_plan(struct plan *plan)
{
	struct result result;

	run_plan(plan, &result);
	if (!result.differs)
		return;
	if (plan->nr_steps > result.step + 2)
		plan->nr_steps = result.step + 2; /* an NMI may be late for the next */
	while (drop_steps(plan) || drop_event(plan))
		;
	for (unsigned i = 0; i < plan->nr_steps; i++)
		simplify_step(plan, i);
}

void report_difference(struct plan *plan, const struct result *result)
{
	struct result shortest;

	printf("difference in plan %#" PRIx64 " after step %u: %s\n", plan->seed, result->step, result->why);
	shrink_plan(plan);
	run_plan(plan, &shortest);
	plan_print(plan, stdout);
	printf("then: %s\n", shortest.why);
}
