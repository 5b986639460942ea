/* What is in a PEBS record: the groups of PEBS_DATA_CFG, memory accesses and their latency. */
#include "pebs_fixture.h"

#define ADAPTIVE    (ALL | EVTSEL_ADAPTIVE)
#define SLOW_LOADS  UINT64_C(0x01cd)
#define SLOW_STORES UINT64_C(0x02cd)
#define LOADS       UINT64_C(0x81d0)
#define STORES      UINT64_C(0x82d0)
#define ADDRESS     UINT64_C(0x7f0000001234)
/* Data sources before Lion Cove. */
#define DATA_L1     0x1
#define DATA_L3     0x4
#define DATA_MEMORY 0xa

/* Offsets with the groups before. */
#define MEMORY_AT 0x20
#define GPR_AT    0x40
#define XMM_AT    0xd0
#define LBR_AT    0x1d0

static void take_record(struct pebs_machine *pebs, uint64_t selector, uint64_t cfg)
{
	wr(&pebs->machine, MSR_PEBS_DATA_CFG, cfg);
	sample(pebs, 0, selector, 2, 1000);
	run(pebs, 3, 1);
}

static uint64_t field(const struct pebs_machine *pebs, unsigned offset)
{
	return peek(pebs, BUFFER + offset);
}

static void expect_format(const struct pebs_machine *pebs, uint64_t cfg, uint64_t size)
{
	assert_int_equal(field(pebs, 0), size << 48 | (cfg & BITS(47, 0)));
	assert_int_equal(ds(pebs, DS_INDEX), BUFFER + size);
}

/* PEBS_DATA_CFG speaks for the counters that ask for it. */
static void basic_unless_adaptive(void **state)
{
	struct pebs_machine *pebs = *state;

	take_record(pebs, CYCLES | ALL, PEBS_CFG_GPR);
	expect_format(pebs, 0, BASIC_SIZE);
	assert_int_equal(field(pebs, BASIC_SIZE), 0);
}

static void adaptive_without_groups_is_basic(void **state)
{
	struct pebs_machine *pebs = *state;

	take_record(pebs, CYCLES | ADAPTIVE, 0);
	expect_format(pebs, 0, BASIC_SIZE);
}

/* One of the counters of a record suffices. */
static void adaptive_fixed_counter(void **state)
{
	struct pebs_machine *pebs = *state;

	wr(&pebs->machine, MSR_PEBS_DATA_CFG, PEBS_CFG_GPR);
	sample(pebs, 0, CYCLES | ALL, 2, 1000);
	sample_fixed(pebs, 1, 2, 1000);
	wr(&pebs->machine, MSR_IA32_FIXED_CTR_CTRL, rd(&pebs->machine, MSR_IA32_FIXED_CTR_CTRL) | FIXED_ADAPTIVE(1));
	run(pebs, 3, 1);
	expect_format(pebs, PEBS_CFG_GPR, BASIC_SIZE + 144);
	assert_int_equal(field(pebs, BASIC_COUNTERS), BIT(0) | BIT(33));
}

static void expect_gprs(const struct pebs_machine *pebs, unsigned at)
{
	assert_int_equal(field(pebs, at), 0x246);
	assert_int_equal(field(pebs, at + 8), pebs_ip(pebs));
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(field(pebs, at + 16 + 8 * i), UINT64_C(0x1111111111111111) * i);
}

static void expect_xmms(const struct pebs_machine *pebs, unsigned at)
{
	for (unsigned i = 0; i < 16; i++) {
		assert_int_equal(field(pebs, at + 16 * i), 0x100 + i);
		assert_int_equal(field(pebs, at + 16 * i + 8), 0x200 + i);
	}
}

/* Branch `i` of a test. */
static uint64_t from(unsigned i)
{
	return 0x1000 + 0x10 * i;
}

static void record_branches(struct pebs_machine *pebs, unsigned count)
{
	wr(&pebs->machine, MSR_IA32_DEBUGCTL, DEBUGCTL_LBR);
	for (unsigned i = 0; i < count; i++) {
		pmu_model_branch(pebs->machine.model, PMU_MODEL_JMP, true, transfer(from(i), 3, from(i + 1), 3));
		run(pebs, 3, 1);
	}
}

/* The newest first; the third field is INFO, which counts cycles: two for the branch. */
static void expect_lbrs(const struct pebs_machine *pebs, unsigned at, unsigned newest, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		assert_int_equal(field(pebs, at + 24 * i), from(newest - i));
		assert_int_equal(field(pebs, at + 24 * i + 8), from(newest - i + 1));
		assert_int_equal(field(pebs, at + 24 * i + 16), 2);
	}
}

static void gprs(void **state)
{
	struct pebs_machine *pebs = *state;

	take_record(pebs, CYCLES | ADAPTIVE, PEBS_CFG_GPR);
	expect_format(pebs, PEBS_CFG_GPR, BASIC_SIZE + 144);
	expect_gprs(pebs, 0x20);
}

static void xmms(void **state)
{
	struct pebs_machine *pebs = *state;

	take_record(pebs, CYCLES | ADAPTIVE, PEBS_CFG_XMM);
	expect_format(pebs, PEBS_CFG_XMM, BASIC_SIZE + 256);
	expect_xmms(pebs, 0x20);
}

static void lbrs(void **state)
{
	struct pebs_machine *pebs = *state;
	uint64_t cfg = PEBS_CFG_GPR | PEBS_CFG_LBR | 2 << 24;

	record_branches(pebs, 40);
	wr(&pebs->machine, MSR_IA32_DEBUGCTL, 0);
	take_record(pebs, CYCLES | ADAPTIVE, cfg);
	expect_format(pebs, cfg, 0xb0 + 3 * 24);
	expect_lbrs(pebs, 0xb0, 39, 3);
}

static void all_groups(void **state)
{
	struct pebs_machine *pebs = *state;
	uint64_t cfg = PEBS_CFG_MEMORY | PEBS_CFG_GPR | PEBS_CFG_XMM | PEBS_CFG_LBR | 31 << 24;

	record_branches(pebs, 40);
	wr(&pebs->machine, MSR_IA32_DEBUGCTL, 0);
	take_record(pebs, CYCLES | ADAPTIVE, cfg);
	expect_format(pebs, cfg, 0x4d0);
	assert_int_equal(field(pebs, MEMORY_AT), 0);
	expect_gprs(pebs, GPR_AT);
	expect_xmms(pebs, XMM_AT);
	expect_lbrs(pebs, LBR_AT, 39, 32);
}

/* More entries than the stack has: the record holds what there is, and says so. */
static void lbrs_beyond_the_stack(void **state)
{
	struct pebs_machine *pebs = *state;

	take_record(pebs, CYCLES | ADAPTIVE, PEBS_CFG_LBR | UINT64_C(255) << 24);
	expect_format(pebs, PEBS_CFG_LBR | 31 << 24, BASIC_SIZE + 32 * 24);
}

static void lbrs_beyond_the_chosen_depth(void **state)
{
	struct pebs_machine *pebs = pebs_new(&pmu_model_sapphire_rapids);

	(void)state;
	empty_buffer(pebs);
	wr(&pebs->machine, MSR_IA32_LBR_DEPTH, 8);
	take_record(pebs, CYCLES | ADAPTIVE, PEBS_CFG_LBR | 15 << 24);
	expect_format(pebs, PEBS_CFG_LBR | 7 << 24, BASIC_SIZE + 8 * 24);
	pebs_free(pebs);
}

/* A record with the event's second occurrence after the wrap. */
static void sample_memory_on(struct pebs_machine *pebs, unsigned counter, uint64_t event)
{
	wr(&pebs->machine, MSR_PEBS_DATA_CFG, PEBS_CFG_MEMORY);
	sample(pebs, counter, event | ADAPTIVE, 1, 1000);
}

static void sample_memory(struct pebs_machine *pebs, uint64_t event)
{
	sample_memory_on(pebs, 1, event);
}

static void expect_access(const struct pebs_machine *pebs, uint64_t address, uint64_t source, uint64_t latency)
{
	expect_format(pebs, PEBS_CFG_MEMORY, BASIC_SIZE + 32);
	assert_int_equal(field(pebs, MEMORY_AT), address);
	assert_int_equal(field(pebs, MEMORY_AT + 8), source);
	assert_int_equal(field(pebs, MEMORY_AT + 16), latency);
	assert_int_equal(field(pebs, MEMORY_AT + 24), 0);
}

static void load_from_memory(void **state)
{
	struct pebs_machine *pebs = *state;

	sample_memory(pebs, LOADS);
	run_access(pebs, PMU_MODEL_LOAD, 1, 0x1000);
	run_access(pebs, PMU_MODEL_LOAD, ADDRESS, 0x20000);
	expect_access(pebs, ADDRESS, DATA_MEMORY, 200);
	assert_int_equal(field(pebs, BASIC_IP), pebs_ip(pebs) - 4);
}

static void load_from_the_first_cache(void **state)
{
	struct pebs_machine *pebs = *state;

	sample_memory(pebs, LOADS);
	run_access(pebs, PMU_MODEL_LOAD, 1, 0x1000);
	run_access(pebs, PMU_MODEL_LOAD, ADDRESS, 0x1008);
	expect_access(pebs, ADDRESS, DATA_L1, 5);
}

/* Two lines of one sector: what fetched the first fetched the second into the last cache. */
static void load_from_the_last_cache(void **state)
{
	struct pebs_machine *pebs = *state;

	sample_memory(pebs, LOADS);
	run_access(pebs, PMU_MODEL_LOAD, 1, 0x1000);
	run_access(pebs, PMU_MODEL_LOAD, ADDRESS, 0x1040);
	expect_access(pebs, ADDRESS, DATA_L3, 42);
}

static void first_of_several_loads(void **state)
{
	struct pebs_machine *pebs = *state;

	sample_memory(pebs, LOADS);
	run_access(pebs, PMU_MODEL_LOAD, 1, 0x1000);
	pmu_model_access(pebs->machine.model, PMU_MODEL_STORE, 2, 0x1000, 8);
	pmu_model_access(pebs->machine.model, PMU_MODEL_LOAD, ADDRESS, 0x1000, 8);
	pmu_model_access(pebs->machine.model, PMU_MODEL_LOAD, 3, 0x1000, 8);
	run(pebs, 3, 1);
	expect_access(pebs, ADDRESS, DATA_L1, 5);
}

static void store(void **state)
{
	struct pebs_machine *pebs = *state;

	sample_memory(pebs, STORES);
	run_access(pebs, PMU_MODEL_STORE, 1, 0x1000);
	run_access(pebs, PMU_MODEL_LOAD, 2, 0x1000);
	run_access(pebs, PMU_MODEL_STORE, ADDRESS, 0x1000);
	expect_access(pebs, ADDRESS, DATA_L1, 5);
}

/* A read-modify-write counts as a load and as a store. */
static void read_modify_write(void **state)
{
	struct pebs_machine *pebs = *state;

	start(&pebs->machine, 2, LOADS | ALL, 0);
	start(&pebs->machine, 3, STORES | ALL, 0);
	run_access(pebs, PMU_MODEL_LOAD | PMU_MODEL_STORE, ADDRESS, 0x1000);
	assert_int_equal(pmc(&pebs->machine, 2), 1);
	assert_int_equal(pmc(&pebs->machine, 3), 1);
}

/* Nothing of the accesses of an instruction whose record is another event's. */
static void no_address_for_other_events(void **state)
{
	struct pebs_machine *pebs = *state;

	start(&pebs->machine, 2, LOADS | ALL, 0);
	sample_memory(pebs, CYCLES);
	run_access(pebs, PMU_MODEL_LOAD, ADDRESS, 0x1000);
	expect_access(pebs, 0, 0, 0);
}

static void aborted_access_is_forgotten(void **state)
{
	struct pebs_machine *pebs = *state;

	sample_memory(pebs, LOADS);
	run_access(pebs, PMU_MODEL_LOAD, 1, 0x1000);
	pmu_model_access(pebs->machine.model, PMU_MODEL_LOAD, 2, 0x1000, 8);
	pmu_model_abort(pebs->machine.model);
	run_access(pebs, PMU_MODEL_LOAD, ADDRESS, 0x1000);
	expect_access(pebs, ADDRESS, DATA_L1, 5);
}

/* Latencies 200, 5 and 42: only those above the threshold count. */
static void threshold_selects_loads(void **state)
{
	static const struct {
		uint64_t threshold, counted;
	} cases[] = { { 0, 3 }, { 5, 2 }, { 41, 2 }, { 42, 1 }, { 199, 1 }, { 200, 0 }, { 0xffff, 0 } };

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pebs_machine *pebs = pebs_new(&pmu_model_icelake);

		wr(&pebs->machine, MSR_PEBS_LD_LAT, cases[i].threshold);
		start(&pebs->machine, 1, SLOW_LOADS | ALL, 0);
		run_access(pebs, PMU_MODEL_LOAD, ADDRESS, 0x1000);
		run_access(pebs, PMU_MODEL_LOAD, ADDRESS, 0x1000);
		run_access(pebs, PMU_MODEL_LOAD, ADDRESS, 0x1040);
		run_access(pebs, PMU_MODEL_STORE, ADDRESS, 0x20000);
		assert_int_equal(pmc(&pebs->machine, 1), cases[i].counted);
		pebs_free(pebs);
	}
}

static void slow_load(void **state)
{
	struct pebs_machine *pebs = *state;

	wr(&pebs->machine, MSR_PEBS_LD_LAT, 100);
	sample_memory(pebs, SLOW_LOADS);
	run_access(pebs, PMU_MODEL_LOAD, 1, 0x1000);
	run_access(pebs, PMU_MODEL_LOAD, 2, 0x1000);
	assert_int_equal(ds(pebs, DS_INDEX), BUFFER);
	run_access(pebs, PMU_MODEL_LOAD, ADDRESS, 0x20000);
	expect_access(pebs, ADDRESS, DATA_MEMORY, 200);
}

/* From Golden Cove on stores are sampled too, and the field has the instruction's latency and the cache's apart. */
static void store_latency(void **state)
{
	struct pebs_machine *pebs = pebs_new(&pmu_model_sapphire_rapids);

	(void)state;
	empty_buffer(pebs);
	start(&pebs->machine, 1, STORES | ALL, 0);
	run_access(pebs, PMU_MODEL_STORE, 1, 0x1000);
	sample_memory_on(pebs, 0, SLOW_STORES); /* with PDist: of the store that wraps */
	run_access(pebs, PMU_MODEL_STORE, ADDRESS, 0x1000);
	expect_access(pebs, ADDRESS, DATA_L1, 5 | UINT64_C(5) << 32);
	pebs_free(pebs);
}

/* Lion Cove has other codes. */
static void sources_of_lion_cove(void **state)
{
	static const struct {
		uint64_t physical, source, latency;
	} cases[] = { { 0x1008, 0x1, 5 }, { 0x1040, 0x8, 42 }, { 0x20000, 0x11, 200 } };

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pebs_machine *pebs = pebs_new(&pmu_model_arrow_lake);

		empty_buffer(pebs);
		sample_memory_on(pebs, 2, SLOW_LOADS);
		run_access(pebs, PMU_MODEL_LOAD, 1, 0x1000);
		run_access(pebs, PMU_MODEL_LOAD, ADDRESS, cases[i].physical);
		expect_access(pebs, ADDRESS, cases[i].source, cases[i].latency | cases[i].latency << 32);
		pebs_free(pebs);
	}
}

static void expect_counters(const struct pmu_model_caps *caps, uint64_t event, unsigned kind, uint64_t counters)
{
	struct pebs_machine *pebs = pebs_new(caps);

	for (unsigned n = 0; n < 8; n++)
		start(&pebs->machine, n, event | ALL, 0);
	run_access(pebs, kind, ADDRESS, 0x1000);
	for (unsigned n = 0; n < 8; n++)
		assert_int_equal(pmc(&pebs->machine, n), counters >> n & 1);
	pebs_free(pebs);
}

static void some_counters_sample_latency(void **state)
{
	(void)state;
	expect_counters(&pmu_model_icelake, SLOW_LOADS, PMU_MODEL_LOAD, 0xff);
	expect_counters(&pmu_model_sapphire_rapids, SLOW_LOADS, PMU_MODEL_LOAD, 0xfe);
	expect_counters(&pmu_model_sapphire_rapids, SLOW_STORES, PMU_MODEL_STORE, 0x1);
	expect_counters(&pmu_model_arrow_lake, SLOW_LOADS, PMU_MODEL_LOAD, 0xfc);
	expect_counters(&pmu_model_arrow_lake, SLOW_STORES, PMU_MODEL_STORE, 0x3);
	expect_counters(&pmu_model_arrow_lake, LOADS, PMU_MODEL_LOAD, 0xff);
}

static void no_store_latency_before(void **state)
{
	struct pebs_machine *pebs = *state;

	start(&pebs->machine, 0, SLOW_STORES | ALL, 0);
	run_access(pebs, PMU_MODEL_STORE, ADDRESS, 0x1000);
	assert_int_equal(pmc(&pebs->machine, 0), 0);
}

/* Format 6: a header of four fields of 32 bits, then the values in order. */
static void counters(void **state)
{
	struct pebs_machine *pebs = pebs_new(&pmu_model_arrow_lake);
	uint64_t cfg = PEBS_CFG_COUNTERS | BIT(32 + 2) | BIT(32 + 9) | BIT(48 + 1);

	(void)state;
	empty_buffer(pebs);
	writable_bits(&pebs->machine, MSR_PEBS_DATA_CFG, UINT64_C(0xff00003f) | BITS(41, 32) | BITS(51, 48));
	start(&pebs->machine, 2, INSTRUCTIONS | ALL, 100);
	wr(&pebs->machine, 0x1900 + 4 * 9, 0x999);
	wr(&pebs->machine, MSR_IA32_FIXED_CTR0 + 1, 0x111);
	take_record(pebs, CYCLES | ADAPTIVE, cfg);
	expect_format(pebs, cfg, BASIC_SIZE + 16 + 3 * 8);
	assert_int_equal(field(pebs, 0x20), BIT(2) | BIT(9) | BIT(32 + 1));
	assert_int_equal(field(pebs, 0x28), 0);
	assert_int_equal(field(pebs, 0x30), 101);
	assert_int_equal(field(pebs, 0x38), 0x999);
	assert_int_equal(field(pebs, 0x40), 0x111);
	pebs_free(pebs);
}

/* Slots and metrics are cleared with it, so that each record tells of what was since the last. */
static void metrics(void **state)
{
	struct pebs_machine *pebs = pebs_new(&pmu_model_arrow_lake);
	struct machine *machine = &pebs->machine;

	(void)state;
	empty_buffer(pebs);
	wr(machine, MSR_IA32_FIXED_CTR_CTRL, FIXED_OS(3) | FIXED_USR(3));
	wr(machine, MSR_IA32_PERF_GLOBAL_CTRL, BIT(35) | BIT(48));
	run(pebs, 3, 9);
	take_record(pebs, CYCLES | ADAPTIVE, PEBS_CFG_METRICS);
	expect_format(pebs, PEBS_CFG_METRICS, BASIC_SIZE + 16 + 2 * 8);
	assert_int_equal(field(pebs, 0x20), 0);
	assert_int_equal(field(pebs, 0x28), 3);
	assert_int_equal(field(pebs, 0x30), 100);
	assert_int_not_equal(field(pebs, 0x38), 0);
	assert_int_equal(rd(machine, MSR_IA32_FIXED_CTR0 + 3), 0);
	assert_int_equal(rd(machine, MSR_PERF_METRICS), 0);
	run(pebs, 3, 1);
	assert_int_equal(rd(machine, MSR_PERF_METRICS), field(pebs, 0x38));
	pebs_free(pebs);
}

/* If the slots are sampled too, they are cleared, reloaded, and tell of nothing until they count again. */
static void metrics_of_the_sampled_counter(void **state)
{
	struct pebs_machine *pebs = pebs_new(&pmu_model_arrow_lake);
	struct machine *machine = &pebs->machine;

	(void)state;
	empty_buffer(pebs);
	wr(machine, MSR_PEBS_DATA_CFG, PEBS_CFG_METRICS);
	wr(machine, MSR_IA32_PEBS_ENABLE, BIT(35));
	wr(machine, MSR_IA32_FIXED_CTR0 + 3, PRESET(10));
	wr(machine, MSR_PERF_METRICS, 0);
	set_ds(pebs, 0x140 + 8 * 3, PRESET(1000));
	wr(machine, MSR_IA32_FIXED_CTR_CTRL, FIXED_OS(3) | FIXED_USR(3) | FIXED_ADAPTIVE(3));
	wr(machine, MSR_IA32_PERF_GLOBAL_CTRL, BIT(35) | BIT(48));
	run(pebs, 3, 1);
	expect_format(pebs, PEBS_CFG_METRICS, BASIC_SIZE + 16 + 2 * 8);
	assert_int_equal(rd(machine, MSR_IA32_FIXED_CTR0 + 3), PRESET(1000));
	assert_int_equal(rd(machine, MSR_PERF_METRICS), 0);
	run(pebs, 3, 1);
	assert_int_not_equal(rd(machine, MSR_PERF_METRICS), 0);
	pebs_free(pebs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PEBS_TEST(basic_unless_adaptive),
		PEBS_TEST(adaptive_without_groups_is_basic),
		PEBS_TEST(adaptive_fixed_counter),
		PEBS_TEST(gprs),
		PEBS_TEST(xmms),
		PEBS_TEST(lbrs),
		PEBS_TEST(all_groups),
		PEBS_TEST(lbrs_beyond_the_stack),
		cmocka_unit_test(lbrs_beyond_the_chosen_depth),
		PEBS_TEST(load_from_memory),
		PEBS_TEST(load_from_the_first_cache),
		PEBS_TEST(load_from_the_last_cache),
		PEBS_TEST(first_of_several_loads),
		PEBS_TEST(store),
		PEBS_TEST(read_modify_write),
		PEBS_TEST(no_address_for_other_events),
		PEBS_TEST(aborted_access_is_forgotten),
		cmocka_unit_test(threshold_selects_loads),
		PEBS_TEST(slow_load),
		cmocka_unit_test(store_latency),
		PEBS_TEST(no_store_latency_before),
		cmocka_unit_test(sources_of_lion_cove),
		cmocka_unit_test(some_counters_sample_latency),
		cmocka_unit_test(counters),
		cmocka_unit_test(metrics),
		cmocka_unit_test(metrics_of_the_sampled_counter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
