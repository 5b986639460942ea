/*
 * refinement [--seed N] [--steps N] [--replay SEED] [--store FILE]: random plans until that many guest steps were
 * compared. Ends with a figure and a count that a script can read; at the first difference, with the shortest plan that
 * shows it. A replayed plan can be stored as the fuzzer's corpus has them.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "random.h"
#include "run.h"

#define DEFAULT_SEED  1
#define DEFAULT_STEPS 1000000

struct totals {
	uint64_t plans, steps, happened[NR_HAPPENINGS];
};

/* A run in which too little happened has tested nothing: one of each in so many steps. */
static const struct {
	const char *name;
	unsigned steps;
} expected[NR_HAPPENINGS] = {
	[HAPPENED_NMIS] = { "NMIs", 100 },
	[HAPPENED_INTERRUPTS] = { "interrupts for the guest", 1000 },
	[HAPPENED_WINDOWS] = { "windows", 300 },
	[HAPPENED_HOST_PMIS] = { "host PMIs", 300 },
	[HAPPENED_SWITCHES] = { "mode switches", 1000 },
	[HAPPENED_RECORDS] = { "PEBS records", 300 },
	[HAPPENED_BRANCHES] = { "branches in LBRs", 100 },
	[HAPPENED_CAPTURES] = { "captures", 1000 },
	[HAPPENED_FREEZES] = { "frozen steps", 100 },
	[HAPPENED_METRICS] = { "steps with metrics", 100 },
};

static bool run_seed(uint64_t seed, struct totals *totals)
{
	static struct plan plan;
	struct result result;

	plan_generate(&plan, seed);
	run_plan(&plan, &result);
	totals->plans++;
	totals->steps += result.steps;
	for (unsigned i = 0; i < NR_HAPPENINGS; i++)
		totals->happened[i] += result.happened[i];
	if (result.differs)
		report_difference(&plan, &result);
	return !result.differs;
}

static bool enough(const struct totals *totals)
{
	bool enough = true;

	for (unsigned i = 0; i < NR_HAPPENINGS; i++) {
		bool few = totals->happened[i] < totals->steps / expected[i].steps;

		printf("%10" PRIu64 " %s%s\n", totals->happened[i], expected[i].name,
		       few ? ": too few for a test" : "");
		enough &= !few;
	}
	return enough;
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

static const char *option(int argc, char **argv, const char *name)
{
	for (int i = 1; i + 1 < argc; i++) {
		if (!strcmp(argv[i], name))
			return argv[i + 1];
	}
	return NULL;
}

static uint64_t number(int argc, char **argv, const char *name, uint64_t otherwise)
{
	const char *value = option(argc, argv, name);

	return value ? strtoull(value, NULL, 0) : otherwise;
}

static bool store(uint64_t seed, const char *path)
{
	static struct plan plan;
	static uint8_t bytes[PLAN_MAX_BYTES];
	FILE *file = fopen(path, "w");
	size_t size;

	plan_generate(&plan, seed);
	size = plan_encode(&plan, bytes);
	return file && fwrite(bytes, 1, size, file) == size && !fclose(file);
}

int main(int argc, char **argv)
{
	uint64_t seed = number(argc, argv, "--seed", DEFAULT_SEED), replay = number(argc, argv, "--replay", 0);
	struct totals totals = { 0 };
	bool passed;

	if (replay && option(argc, argv, "--store"))
		return !store(replay, option(argc, argv, "--store"));
	if (replay)
		return !run_seed(replay, &totals);
	printf("seed %" PRIu64 "\n", seed);
	passed = run_until(seed, number(argc, argv, "--steps", DEFAULT_STEPS), &totals);
	printf("%10" PRIu64 " plans\n", totals.plans);
	passed &= enough(&totals);
	printf("refinement_steps %" PRIu64 "\n", totals.steps);
	return !passed;
}
