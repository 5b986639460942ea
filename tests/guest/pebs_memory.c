/*
 * Records of memory accesses: the address, what answered, and how long it took.
 *
 * What the hardware does: the record of a load or store has the linear address of the instruction that caused it, a
 * code for the level of the memory hierarchy, and a latency; an event of loads slower than MSR_PEBS_LD_LAT counts just
 * those. What breaks: a hypervisor that swallows the threshold, loses the event to a counter that can't have it, or
 * disturbs the order of records. How the test tells: a loop whose every access is known, with the cache lines flushed
 * that shall miss; the period steps through its rows.
 */
#include "accesses.h"
#include "pebs_sampler.h"
#include "pmu.h"
#include "tap.h"
#include "trap.h"

const char test_title[] = "pebs_memory: address, source and latency of each sampled access";

#define ROUNDS      600
#define USR         PERFEVTSEL_USR
#define LOADS       UINT64_C(0x81d0) /* MEM_INST_RETIRED.ALL_LOADS */
#define STORES      UINT64_C(0x82d0) /* MEM_INST_RETIRED.ALL_STORES */
#define SLOW_LOADS  UINT64_C(0x01cd) /* MEM_TRANS_RETIRED.LOAD_LATENCY_GT_n */
#define SLOW_STORES UINT64_C(0x02cd) /* MEM_TRANS_RETIRED.STORE_SAMPLE */
#define COUNTER     2                /* one that has each of these, but for the last, on every processor */
#define MODEL_MASK  UINT32_C(0x0fff0ff0)
#define ICE_LAKE_SP UINT32_C(0x000606a0)

/* SDM Vol. 3B, "Data Source Encoding for Memory Info Group"; Lion Cove and later have codes of their own. */
static const uint64_t sources[NR_LEVELS] = { 0x1, 0x4, 0xa };
static const uint64_t sources_lion_cove[NR_LEVELS] = { 0x1, 0x8, 0x11 };
#define FORMAT_LION_COVE UINT64_C(0x600)
#define FORMAT_MASK      UINT64_C(0xf00)

static struct {
	unsigned kind; /* the rows that the event counts */
	unsigned last; /* the row of the last record; ACCESSES: there was none */
	unsigned per_level[NR_LEVELS];
	uint64_t latency[NR_LEVELS]; /* as the first record had it */
	unsigned wrong;
} seen;

static uint64_t source_of(uint32_t level)
{
	return (pmu.capabilities & FORMAT_MASK) < FORMAT_LION_COVE ? sources[level] : sources_lion_cove[level];
}

/* From Golden Cove on the instruction's latency and the cache's part of it are apart. */
static bool has_split_latency(void)
{
	return (cpuid(1, 0).eax & MODEL_MASK) != ICE_LAKE_SP;
}

static unsigned row_of(const struct pebs_basic *record)
{
	unsigned row = 0;

	while (row < ACCESSES && record->ip != (uint64_t)accesses_base + accesses_table[row].at)
		row++;
	return row;
}

static unsigned next_row(unsigned row)
{
	do
		row = (row + 1) % ACCESSES;
	while (!(accesses_table[row].kinds & seen.kind));
	return row;
}

static unsigned wrong_access(const struct access *access, const struct pebs_memory *memory)
{
	uint64_t cycles = memory->latency & 0xffff;
	unsigned wrong = 0;

	wrong += memory->address != (uint64_t)accesses_memory + access->address;
	wrong += memory->source != source_of(access->level);
	wrong += memory->latency != (has_split_latency() ? cycles << 32 | cycles : cycles);
	wrong += memory->tsx != 0;
	if (!seen.per_level[access->level]++)
		seen.latency[access->level] = cycles;
	return wrong + (cycles != seen.latency[access->level]);
}

static void note(const struct pebs_basic *record)
{
	unsigned row = row_of(record);

	seen.wrong += record->format != ds_record_format(pebs_sampler.config);
	if (row == ACCESSES || !(accesses_table[row].kinds & seen.kind)) {
		seen.wrong++;
		return;
	}
	seen.wrong += wrong_access(&accesses_table[row], (const struct pebs_memory *)(record + 1));
	seen.wrong += seen.last < ACCESSES && row != next_row(seen.last);
	seen.last = row;
}

static void begin(unsigned kind)
{
	seen.kind = kind;
	seen.last = ACCESSES;
	seen.wrong = 0;
	for (unsigned i = 0; i < NR_LEVELS; i++)
		seen.per_level[i] = 0;
	accesses_rounds = ROUNDS;
	wrmsr(MSR_PEBS_LD_LAT, 0);
	pebs_sampler_init(note);
}

/* So large a buffer that no PMI comes between two accesses: its handler would meet the caches too. */
static void run(unsigned counter, uint64_t event, uint64_t period)
{
	pebs_sampler_add(counter, event, USR, period);
	pebs_sampler_adaptive(PEBS_CFG_MEMORY);
	pebs_sampler_run(1000, accesses_loop);
}

/* The reload takes one event more: a distance of one more than a multiple of the rows is the next row each time. */
static void test_loads(void)
{
	begin(ACCESS_LOAD);
	run(COUNTER, LOADS, 4 * ACCESSES_LOADS);
	tap_equal(pebs_sampler.samples, (ACCESSES_LOADS * ROUNDS + 1) / (4 * ACCESSES_LOADS + 1), "loads: records");
	tap_equal(seen.wrong, 0, "loads: one row after the other, each as it should be");
	tap_check(seen.latency[LEVEL_FIRST] < seen.latency[LEVEL_LAST] &&
			  seen.latency[LEVEL_LAST] < seen.latency[LEVEL_MEMORY],
		  "loads: latencies %lu, %lu and %lu", seen.latency[LEVEL_FIRST], seen.latency[LEVEL_LAST],
		  seen.latency[LEVEL_MEMORY]);
}

static void test_stores(void)
{
	begin(ACCESS_STORE);
	run(COUNTER, STORES, 5 * ACCESSES_STORES);
	tap_equal(pebs_sampler.samples, ACCESSES_STORES * ROUNDS / (5 * ACCESSES_STORES + 1), "stores: records");
	tap_equal(seen.wrong, 0, "stores: one row after the other, each as it should be");
	tap_equal(pebs_sampler.pmis, 0, "stores: and no PMI");
}

static uint64_t count_slow(uint64_t threshold, uint64_t rounds)
{
	begin(ACCESS_LOAD);
	accesses_rounds = rounds;
	wrmsr(MSR_PEBS_LD_LAT, threshold);
	wrmsr(pmu_selector(COUNTER), SLOW_LOADS | USR | PERFEVTSEL_EN);
	wrmsr(MSR_IA32_PERF_GLOBAL_CTRL, BIT(COUNTER));
	user_run(accesses_loop);
	wrmsr(MSR_IA32_PERF_GLOBAL_CTRL, 0);
	return pmu_read(COUNTER);
}

/* Of each round, without records. The way in and out has loads too. */
static void test_count(const char *name, uint64_t threshold, uint64_t loads)
{
	uint64_t others = count_slow(threshold, 1) - loads;

	tap_equal(count_slow(threshold, ROUNDS) - others, loads * ROUNDS, "loads slower than %s", name);
}

/* The threshold is to be passed, not reached. */
static void test_thresholds(const uint64_t *latency)
{
	uint64_t first = latency[LEVEL_FIRST], last = latency[LEVEL_LAST], memory = latency[LEVEL_MEMORY];

	test_count("nothing", 0, ACCESSES_LOADS);
	test_count("the first cache", first, 2);
	test_count("just not the last cache", last - 1, 2);
	test_count("the last cache", last, 1);
	test_count("just not memory", memory - 1, 1);
	test_count("memory", memory, 0);
}

static void test_slow_loads(uint64_t threshold)
{
	begin(ACCESS_LOAD);
	wrmsr(MSR_PEBS_LD_LAT, threshold);
	run(COUNTER, SLOW_LOADS, 8);
	tap_equal(pebs_sampler.samples, seen.per_level[LEVEL_MEMORY], "slow loads: all records of memory");
	tap_equal(pebs_sampler.samples, ROUNDS / 9, "slow loads: a record of every ninth");
	wrmsr(MSR_PEBS_LD_LAT, 0);
}

/* The counter that has the event distributes precisely: no event is lost to the reload. */
static void test_slow_stores(void)
{
	begin(ACCESS_STORE);
	run(0, SLOW_STORES, 5 * ACCESSES_STORES + 1);
	if (has_split_latency()) {
		tap_equal(pebs_sampler.samples, ACCESSES_STORES * ROUNDS / (5 * ACCESSES_STORES + 1),
			  "stores by latency: records");
		tap_equal(seen.wrong, 0, "stores by latency: one row after the other, each as it should be");
	} else {
		tap_equal(pebs_sampler.samples, 0, "stores by latency: there is no such event");
	}
}

static void note_nothing(const struct pebs_basic *record)
{
	const struct pebs_memory *memory = (const struct pebs_memory *)(record + 1);

	seen.wrong += memory->address || memory->source || memory->latency || memory->tsx;
	seen.wrong += record->ip != (uint64_t)accesses_branch;
}

/* The accesses of an instruction are told for an event of accesses alone. */
static void test_other_event(void)
{
	begin(0);
	pebs_sampler_init(note_nothing);
	run(COUNTER, EVENT_BRANCHES, 10);
	tap_equal(pebs_sampler.samples, ROUNDS / 11, "branches: records");
	tap_equal(seen.wrong, 0, "branches: no address, no source, no latency");
}

void test_main(void)
{
	uint64_t latency[NR_LEVELS];

	pmu_init();
	if (!ds_has_pebs())
		tap_abort("there is no PEBS");
	test_loads();
	for (unsigned i = 0; i < NR_LEVELS; i++)
		latency[i] = seen.latency[i];
	test_stores();
	test_thresholds(latency);
	test_slow_loads(latency[LEVEL_LAST]);
	test_slow_stores();
	test_other_event();
}
