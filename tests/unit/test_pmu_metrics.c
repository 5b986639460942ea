/* PERF_METRICS in the PMU model. */
#include "pmu_fixture.h"

#define METRICS   BIT(48)
#define FIXED_3   BIT(35)
#define SLOTS_ON  (FIXED_OS(3) | FIXED_USR(3))
#define SLOTS_MSR (MSR_IA32_FIXED_CTR0 + 3)
#define RDPMC_ALL 0x20000000u

/* Both cleared, in the order of the manual; both on. */
static void measure(struct machine *machine)
{
	wr(machine, MSR_IA32_FIXED_CTR_CTRL, SLOTS_ON);
	wr(machine, SLOTS_MSR, 0);
	wr(machine, MSR_PERF_METRICS, 0);
	wr(machine, MSR_IA32_PERF_GLOBAL_CTRL, METRICS | FIXED_3);
}

static uint64_t sum(uint64_t metrics)
{
	uint64_t total = 0;

	for (unsigned i = 0; i < 4; i++)
		total += metrics >> 8 * i & 0xff;
	return total;
}

static void announced(void **state)
{
	struct machine *machine = *state;

	assert_true(rd(machine, MSR_IA32_PERF_CAPABILITIES) & PERF_CAP_METRICS);
	writable_bits(machine, MSR_PERF_METRICS, BITS(31, 0));
	wr(machine, MSR_IA32_PERF_GLOBAL_CTRL, METRICS);
	wr(machine, MSR_IA32_PERF_GLOBAL_STATUS_SET, METRICS);
	assert_int_equal(rd(machine, MSR_IA32_PERF_GLOBAL_STATUS), METRICS);
	wr(machine, MSR_IA32_PERF_GLOBAL_STATUS_RESET, METRICS);
	assert_int_equal(rd(machine, MSR_IA32_PERF_GLOBAL_STATUS), 0);
	wr_faults(machine, MSR_IA32_FIXED_CTR_CTRL, FIXED_METRICS_CLEAR_EN);
}

static void absent_without_the_capability(void **state)
{
	struct pmu_model_caps caps = pmu_model_icelake;
	struct machine *machine;
	uint64_t value;

	(void)state;
	caps.perf_capabilities &= ~PERF_CAP_METRICS;
	machine = machine_new(&caps);
	rd_faults(machine, MSR_PERF_METRICS);
	wr_faults(machine, MSR_PERF_METRICS, 0);
	wr_faults(machine, MSR_IA32_PERF_GLOBAL_CTRL, METRICS);
	wr_faults(machine, MSR_IA32_PERF_GLOBAL_STATUS_SET, METRICS);
	assert_int_equal(pmu_model_rdpmc(machine->model, RDPMC_ALL, &value), PMU_MODEL_GP);
	machine_free(machine);
}

static void fractions_are_of_255(void **state)
{
	struct machine *machine = *state;
	uint64_t value;

	measure(machine);
	assert_int_equal(rd(machine, MSR_PERF_METRICS), 0);
	retire(machine, 3, 1000);
	assert_int_equal(rd(machine, SLOTS_MSR), 10000);
	assert_int_equal(sum(rd(machine, MSR_PERF_METRICS)), 255);
	assert_int_equal(rd(machine, MSR_PERF_METRICS) >> 32, 0);
	assert_int_equal(pmu_model_rdpmc(machine->model, RDPMC_ALL, &value), PMU_MODEL_DONE);
	assert_int_equal(value, rd(machine, MSR_PERF_METRICS));
	assert_int_equal(pmu_model_rdpmc(machine->model, RDPMC_ALL + 1, &value), PMU_MODEL_GP);
}

/* The fractions are those that the topdown events count. */
static void fractions_agree_with_the_events(void **state)
{
	static const uint64_t events[] = { 0x02c2, 0x0073, 0x019c, 0x02a4 };
	struct machine *machine = machine_new(&pmu_model_arrow_lake);
	uint64_t metrics;

	(void)state;
	for (unsigned n = 0; n < 4; n++)
		start(machine, n, events[n] | ALL, 0);
	measure(machine);
	wr(machine, MSR_IA32_PERF_GLOBAL_CTRL, METRICS | FIXED_3 | 0xf);
	retire(machine, 3, 1000);
	metrics = rd(machine, MSR_PERF_METRICS);
	for (unsigned n = 0; n < 4; n++) {
		uint64_t expected = pmc(machine, n) * 255 / rd(machine, SLOTS_MSR);

		assert_in_range(metrics >> 8 * n & 0xff, expected, expected + 1);
	}
	machine_free(machine);
}

/* Each part of the second level is of one of the first: of retiring, bad speculation, frontend and backend bound. */
static void second_level(void **state)
{
	struct machine *machine = machine_new(&pmu_model_sapphire_rapids);
	uint64_t metrics;

	(void)state;
	writable_bits(machine, MSR_PERF_METRICS, BITS(63, 0));
	measure(machine);
	retire(machine, 3, 10);
	metrics = rd(machine, MSR_PERF_METRICS);
	for (unsigned i = 0; i < 4; i++)
		assert_in_range(metrics >> (32 + 8 * i) & 0xff, 1, metrics >> 8 * i & 0xff);
	machine_free(machine);
}

/* Either enable alone is not enough, nor while frozen. */
static void every_enable_is_needed(void **state)
{
	struct machine *machine = *state;

	measure(machine);
	wr(machine, MSR_IA32_PERF_GLOBAL_CTRL, METRICS);
	retire(machine, 3, 10);
	wr(machine, MSR_IA32_PERF_GLOBAL_CTRL, FIXED_3);
	retire(machine, 3, 10);
	wr(machine, MSR_IA32_PERF_GLOBAL_CTRL, METRICS | FIXED_3);
	wr(machine, MSR_IA32_PERF_GLOBAL_STATUS_SET, STATUS_CTR_FRZ);
	retire(machine, 3, 10);
	wr(machine, MSR_IA32_PERF_GLOBAL_STATUS_RESET, STATUS_CTR_FRZ);
	wr(machine, MSR_IA32_FIXED_CTR_CTRL, 0);
	retire(machine, 3, 10);
	assert_int_equal(rd(machine, MSR_PERF_METRICS), 0);
}

static void stopped_metrics_stay(void **state)
{
	struct machine *machine = *state;
	uint64_t metrics;

	measure(machine);
	retire(machine, 3, 10);
	wr(machine, MSR_IA32_PERF_GLOBAL_CTRL, 0);
	metrics = rd(machine, MSR_PERF_METRICS);
	assert_int_equal(sum(metrics), 255);
	wr(machine, MSR_PERF_METRICS, 0x12345678);
	retire(machine, 3, 10);
	assert_int_equal(rd(machine, MSR_PERF_METRICS), 0x12345678);
	wr(machine, MSR_IA32_PERF_GLOBAL_CTRL, METRICS | FIXED_3);
	assert_int_equal(rd(machine, MSR_PERF_METRICS), 0x12345678);
	retire(machine, 3, 1);
	assert_int_equal(rd(machine, MSR_PERF_METRICS), metrics);
}

/* Fixed counter 3 comes first. */
static void wrong_order_shows_nothing(void **state)
{
	struct machine *machine = *state;

	wr(machine, MSR_IA32_FIXED_CTR_CTRL, SLOTS_ON);
	wr(machine, MSR_PERF_METRICS, 0);
	wr(machine, SLOTS_MSR, 0);
	wr(machine, MSR_IA32_PERF_GLOBAL_CTRL, METRICS | FIXED_3);
	retire(machine, 3, 10);
	assert_int_equal(rd(machine, MSR_PERF_METRICS), 0);
	wr(machine, MSR_PERF_METRICS, 0);
	retire(machine, 3, 10);
	assert_int_equal(sum(rd(machine, MSR_PERF_METRICS)), 255);
}

static void overflow_has_a_bit_of_its_own(void **state)
{
	struct machine *machine = *state;

	measure(machine);
	wr(machine, SLOTS_MSR, MAX_48 - 15);
	retire(machine, 3, 2);
	assert_int_equal(rd(machine, MSR_IA32_PERF_GLOBAL_STATUS), METRICS | FIXED_3);
	assert_int_equal(machine->pmis, 1);
	wr(machine, MSR_IA32_PERF_GLOBAL_STATUS_RESET, METRICS | FIXED_3);
	wr(machine, MSR_IA32_PERF_GLOBAL_CTRL, FIXED_3);
	wr(machine, SLOTS_MSR, MAX_48 - 15);
	retire(machine, 3, 2);
	assert_int_equal(rd(machine, MSR_IA32_PERF_GLOBAL_STATUS), FIXED_3);
	assert_int_equal(machine->pmis, 1);
}

/* With RDPMC_METRICS_CLEAR a read takes both to 0, if FIXED_CTR_CTRL says so. */
static void rdpmc_clears(void **state)
{
	struct pmu_model_caps caps = pmu_model_icelake;
	struct machine *machine;
	uint64_t value;

	(void)state;
	caps.perf_capabilities |= PERF_CAP_METRICS_CLEAR;
	machine = machine_new(&caps);
	measure(machine);
	retire(machine, 3, 10);
	assert_int_equal(pmu_model_rdpmc(machine->model, RDPMC_ALL, &value), PMU_MODEL_DONE);
	assert_int_equal(rd(machine, SLOTS_MSR), 100);
	wr(machine, MSR_IA32_FIXED_CTR_CTRL, SLOTS_ON | FIXED_METRICS_CLEAR_EN);
	assert_int_equal(pmu_model_rdpmc(machine->model, RDPMC_ALL, &value), PMU_MODEL_DONE);
	assert_int_equal(sum(value), 255);
	assert_int_equal(rd(machine, SLOTS_MSR), 0);
	assert_int_equal(rd(machine, MSR_PERF_METRICS), 0);
	retire(machine, 3, 1);
	assert_int_equal(rd(machine, SLOTS_MSR), 10);
	assert_int_equal(sum(rd(machine, MSR_PERF_METRICS)), 255);
	machine_free(machine);
}

static void reset_clears(void **state)
{
	struct machine *machine = *state;

	measure(machine);
	retire(machine, 3, 10);
	pmu_model_reset(machine->model);
	assert_int_equal(rd(machine, MSR_PERF_METRICS), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		MODEL_TEST(announced),
		cmocka_unit_test(absent_without_the_capability),
		MODEL_TEST(fractions_are_of_255),
		cmocka_unit_test(fractions_agree_with_the_events),
		cmocka_unit_test(second_level),
		MODEL_TEST(every_enable_is_needed),
		MODEL_TEST(stopped_metrics_stay),
		MODEL_TEST(wrong_order_shows_nothing),
		MODEL_TEST(overflow_has_a_bit_of_its_own),
		cmocka_unit_test(rdpmc_clears),
		MODEL_TEST(reset_clears),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
