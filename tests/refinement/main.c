/*
 * refinement [--seed N] [--steps N] [--replay SEED]: random plans until that many guest steps were compared. Ends
 * with a figure and a count that a script can read; at the first difference, with the shortest plan that shows it.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "random.h"
#include "run.h"

#define DEFAULT_SEED  1
#define DEFAULT_STEPS 1000000

struct totals {
	uint64_t plans, steps, nmis, interrupts, windows, host_pmis;
};

static void report(struct plan *plan, const struct result *result)
{
	struct result shortest;

	printf("difference in plan %#" PRIx64 " after step %u: %s\n", plan->seed, result->step, result->why);
	shrink_plan(plan);
	run_plan(plan, &shortest);
	plan_print(plan, stdout);
	printf("then: %s\n", shortest.why);
}

static bool run_seed(uint64_t seed, struct totals *totals)
{
	static struct plan plan;
	struct result result;

	plan_generate(&plan, seed);
	run_plan(&plan, &result);
	totals->plans++;
	totals->steps += result.steps;
	totals->nmis += result.nmis;
	totals->interrupts += result.interrupts;
	totals->windows += result.windows;
	totals->host_pmis += result.host_pmis;
	if (result.differs)
		report(&plan, &result);
	return !result.differs;
}

/* A run in which too little happened has tested nothing. */
static bool enough(const struct totals *totals)
{
	return totals->nmis > totals->steps / 100 && totals->interrupts > totals->steps / 1000 &&
	       totals->windows > totals->steps / 300 && totals->host_pmis > totals->steps / 300;
}

static bool run_until(uint64_t seed, uint64_t steps, struct totals *totals)
{
	struct random random = { seed };

	while (totals->steps < steps) {
		if (!run_seed(random_next(&random), totals))
			return false;
	}
	return true;
}

static uint64_t option(int argc, char **argv, const char *name, uint64_t otherwise)
{
	for (int i = 1; i + 1 < argc; i++) {
		if (!strcmp(argv[i], name))
			return strtoull(argv[i + 1], NULL, 0);
	}
	return otherwise;
}

int main(int argc, char **argv)
{
	uint64_t seed = option(argc, argv, "--seed", DEFAULT_SEED), replay = option(argc, argv, "--replay", 0);
	struct totals totals = { 0 };
	bool passed;

	if (replay)
		return !run_seed(replay, &totals);
	printf("seed %" PRIu64 "\n", seed);
	passed = run_until(seed, option(argc, argv, "--steps", DEFAULT_STEPS), &totals);
	printf("%" PRIu64 " plans: %" PRIu64 " NMIs and %" PRIu64 " interrupts for the guest, %" PRIu64
	       " windows, %" PRIu64 " host PMIs\n",
	       totals.plans, totals.nmis, totals.interrupts, totals.windows, totals.host_pmis);
	if (passed && !enough(&totals)) {
		printf("too little happened in them for a test\n");
		passed = false;
	}
	printf("refinement_steps %" PRIu64 "\n", totals.steps);
	return !passed;
}
