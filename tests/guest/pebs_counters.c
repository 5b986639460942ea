/*
 * Records of format 6 with counters in them, and with the metrics.
 *
 * What the hardware does: PEBS_DATA_CFG names counters whose values go into each record, and the metrics, which the
 * record takes: they and their counter start again from 0. What breaks: a hypervisor that tells of its own counters, or
 * forbids the guest its own. How the test tells: one counter samples code of known length, so each record's values are
 * known; before format 6, and for counters that are not the guest's, the bits are reserved.
 */
#include "lbr.h"
#include "pebs_sampler.h"
#include "pmu.h"
#include "tap.h"
#include "workload.h"

const char test_title[] = "pebs_counters: counters and metrics in records, or reserved bits";

#define FORMAT_MASK     UINT64_C(0xf00)
#define FORMAT_COUNTERS UINT64_C(0x600)
#define ROUNDS          500
#define USR             PERFEVTSEL_USR
#define METRICS         BIT(48)
#define DISTANCE        100
#define STOPPED         UINT64_C(0x123456789)
#define WHOLE           255
#define ROUNDING        4 /* one for each fraction */
#define SAMPLING        2 /* the counters' roles */
#define ALL             1
#define BRANCHES        3
#define NONE            7
#define GP              (BIT(ALL) | BIT(SAMPLING) | BIT(BRANCHES) | BIT(NONE))
#define SAMPLES         (WORK_LOOP_INSTRUCTIONS(ROUNDS) / DISTANCE)

static unsigned wrong;
static uint64_t instructions; /* up to the last record */
static uint64_t slots;        /* of the first */

/* Of `count` instructions of work_loop: the first sets up, then come add, xor, call, ret, dec and jnz. */
static uint64_t branches_of(uint64_t count)
{
	uint64_t rounds = (count - 1) / WORK_LOOP_BODY, rest = (count - 1) % WORK_LOOP_BODY;

	return 3 * rounds + (rest >= 3) + (rest >= 4);
}

static void note_values(const struct pebs_basic *record)
{
	const struct pebs_counters *group = (const struct pebs_counters *)(record + 1);

	instructions += DISTANCE;
	wrong += record->format != ds_record_format(pebs_sampler.config) || group->gp != GP || group->fixed != 1 ||
		 group->metrics || group->reserved;
	wrong += group->values[0] != instructions;
	wrong += group->values[1] != 1; /* 0 armed it, 1 triggered, and then it is reloaded */
	wrong += group->values[2] != branches_of(instructions);
	wrong += group->values[3] != STOPPED;
	wrong += group->values[4] != instructions;
}

static void begin(void (*on_record)(const struct pebs_basic *record))
{
	wrong = 0;
	instructions = slots = 0;
	work_rounds = ROUNDS;
	pebs_sampler_init(on_record);
	pebs_sampler_add(SAMPLING, EVENT_INSTRUCTIONS, USR, DISTANCE - 1);
}

static void test_values(void)
{
	begin(note_values);
	pebs_sampler_adaptive(PEBS_CFG_COUNTERS | PEBS_CFG_GP(GP) | PEBS_CFG_FIXED(1));
	wrmsr(pmu_selector(ALL), EVENT_INSTRUCTIONS | USR | PERFEVTSEL_EN);
	wrmsr(pmu_selector(BRANCHES), EVENT_BRANCHES | USR | PERFEVTSEL_EN);
	pmu_write(NONE, STOPPED);
	wrmsr(MSR_IA32_FIXED_CTR_CTRL, FIXED_CTR_CTRL(0, FIXED_USR));
	pebs_sampler.others = BIT(ALL) | BIT(BRANCHES) | BIT(FIXED_INSTRUCTIONS);
	pebs_sampler_run(SAMPLES + 1, work_loop);
	tap_equal(pebs_sampler.samples, SAMPLES, "counters: records");
	tap_equal(wrong, 0, "counters: each with the values of its instruction");
}

static uint64_t sum(uint64_t metrics)
{
	uint64_t total = 0;

	for (unsigned i = 0; i < 4; i++)
		total += metrics >> 8 * i & 0xff;
	return total;
}

/* As many slots in each: they start again from 0. */
static void judge_metrics(const struct pebs_counters *group, unsigned at)
{
	uint64_t metrics = sum(group->values[at + 1]);

	slots = slots ? slots : group->values[at];
	wrong += group->metrics != PEBS_COUNTERS_METRICS || group->reserved;
	wrong += group->values[at] != slots || slots < DISTANCE;
	wrong += metrics < WHOLE - ROUNDING || metrics > WHOLE + ROUNDING;
}

static void note_metrics(const struct pebs_basic *record)
{
	const struct pebs_counters *group = (const struct pebs_counters *)(record + 1);

	wrong += record->format != ds_record_format(pebs_sampler.config) || group->gp || group->fixed;
	judge_metrics(group, 0);
}

static void measure_metrics(void)
{
	wrmsr(MSR_IA32_FIXED_CTR_CTRL, FIXED_CTR_CTRL(3, FIXED_USR));
	pmu_write(FIXED(3), 0);
	wrmsr(MSR_PERF_METRICS, 0);
	pebs_sampler.others = METRICS | BIT(FIXED(3));
}

static void test_metrics(unsigned records)
{
	begin(note_metrics);
	pebs_sampler_adaptive(PEBS_CFG_METRICS);
	measure_metrics();
	pebs_sampler_run(records, work_loop);
	tap_equal(pebs_sampler.samples, SAMPLES, "metrics, a PMI every %u: records", records);
	tap_equal(wrong, 0, "metrics, a PMI every %u: each of what was since the last", records);
}

#define NR_LBRS 4

/* Behind everything else. */
static void note_all(const struct pebs_basic *record)
{
	const struct pebs_memory *memory = (const struct pebs_memory *)(record + 1);
	const struct pebs_gprs *gprs = (const struct pebs_gprs *)(memory + 1);
	const struct pebs_xmms *xmms = (const struct pebs_xmms *)(gprs + 1);
	const struct pebs_lbr *lbrs = (const struct pebs_lbr *)(xmms + 1);
	const struct pebs_counters *group = (const struct pebs_counters *)(lbrs + NR_LBRS);

	wrong += record->format != ds_record_format(pebs_sampler.config) || group->gp != BIT(ALL) || group->fixed;
	wrong += gprs->rip < (uint64_t)work_loop || gprs->rip > (uint64_t)work_loop + 64;
	instructions += DISTANCE;
	wrong += group->values[0] != instructions;
	judge_metrics(group, 1);
}

static void test_all_groups(void)
{
	begin(note_all);
	pebs_sampler_adaptive(PEBS_CFG_MEMORY | PEBS_CFG_GPR | PEBS_CFG_XMM | PEBS_CFG_LBR | PEBS_CFG_LBRS(NR_LBRS) |
			      PEBS_CFG_COUNTERS | PEBS_CFG_GP(BIT(ALL)) | PEBS_CFG_METRICS);
	wrmsr(pmu_selector(ALL), EVENT_INSTRUCTIONS | USR | PERFEVTSEL_EN);
	measure_metrics();
	pebs_sampler.others |= BIT(ALL);
	lbr_init();
	lbr_start(LBR_USER | LBR_ALL_TYPES);
	pebs_sampler_run(1, work_loop);
	lbr_stop();
	tap_equal(pebs_sampler.samples, SAMPLES, "all groups: records");
	tap_equal(wrong, 0, "all groups: counters and metrics are the last");
}

static void faults(uint64_t bit, const char *name)
{
	wrmsr(MSR_PEBS_DATA_CFG, PEBS_CFG_GPR);
	tap_check(wrmsr_guarded(MSR_PEBS_DATA_CFG, bit) == FAULT_GP, "PEBS_DATA_CFG: %s faults", name);
	tap_equal(rdmsr(MSR_PEBS_DATA_CFG), PEBS_CFG_GPR, "and changes nothing");
}

void test_main(void)
{
	pmu_init();
	if (!ds_has_pebs())
		tap_abort("there is no PEBS");
	if ((pmu.capabilities & FORMAT_MASK) < FORMAT_COUNTERS) {
		faults(PEBS_CFG_COUNTERS, "before format 6 the group of counters");
		faults(PEBS_CFG_METRICS, "before format 6 the metrics");
		faults(PEBS_CFG_GP(1), "before format 6 a general-purpose counter");
		faults(PEBS_CFG_FIXED(1), "before format 6 a fixed counter");
		return;
	}
	test_values();
	test_metrics(1);
	test_metrics(3);
	test_all_groups();
	faults(PEBS_CFG_GP(BIT(pmu.nr_gp)), "the first counter that isn't there");
	faults(PEBS_CFG_FIXED(BIT(4)), "a fixed counter that isn't there");
}
