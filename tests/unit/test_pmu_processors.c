/* The PMU model's three processors: what CPUID says of each, and what version 6 adds. */
#include "pmu_fixture.h"

#define GP_CTR(n)   (MSR_IA32_PMC_GP0_CTR + 4 * (n))
#define GP_CFG_A(n) (GP_CTR(n) + 1)
#define FX_CTR(m)   (MSR_IA32_PMC_FX0_CTR + 4 * (m))
#define ONES        0xffffffffu

static int setup_arrow_lake(void **state)
{
	*state = machine_new(&pmu_model_arrow_lake);
	return 0;
}

#define VERSION_6_TEST(name) cmocka_unit_test_setup_teardown(name, setup_arrow_lake, teardown)

struct answer {
	uint32_t leaf, subleaf, regs[4];
};

/* Of a leaf that the emulator has filled with ones. */
static void check_cpuid(const struct pmu_model_caps *caps, const struct answer *expected, size_t n)
{
	struct machine *machine = machine_new(caps);

	for (size_t i = 0; i < n; i++) {
		uint32_t regs[4] = { ONES, ONES, ONES, ONES };

		pmu_model_cpuid(machine->model, expected[i].leaf, expected[i].subleaf, regs);
		for (unsigned reg = 0; reg < 4; reg++)
			assert_int_equal(regs[reg], expected[i].regs[reg]);
	}
	machine_free(machine);
}

static uint32_t highest_leaf(const struct pmu_model_caps *caps)
{
	struct machine *machine = machine_new(caps);
	uint32_t regs[4] = { 0x16, 0, 0, 0 };

	pmu_model_cpuid(machine->model, 0, 0, regs);
	machine_free(machine);
	return regs[0];
}

static void cpuid_of_sapphire_rapids(void **state)
{
	static const struct answer expected[] = {
		{ 0x0a, 0, { 0x08300805, 0, 0xf, 0x8604 } },
		{ 0x1c, 0, { 0x4000000b, 0x7, 0x7, 0 } },
		{ 0x07, 0, { ONES, ~(1u << 25), ONES, ONES } },
		{ 0x07, 1, { ~(1u << 8), ONES, ONES, ONES } },
		{ 0x23, 0, { 0, 0, 0, 0 } },
	};

	(void)state;
	check_cpuid(&pmu_model_sapphire_rapids, expected, sizeof(expected) / sizeof(expected[0]));
	assert_int_equal(highest_leaf(&pmu_model_sapphire_rapids), 0x1c);
	assert_int_equal(highest_leaf(&pmu_model_icelake), 0x16);
}

/* As in the dump that pmu_caps.c names, but for the LBR inserts event (bit 12) and the logging of events in LBRs. */
static void cpuid_of_arrow_lake(void **state)
{
	static const struct answer expected[] = {
		{ 0x0a, 0, { 0x0c300806, 0x280, 0x7, 0x8603 } },
		{ 0x1c, 0, { 0x4000000b, 0x7, 0x7, 0 } },
		{ 0x07, 1, { ONES, ONES, ONES, ONES } },
		{ 0x23, 0, { 0xb, 0x3, 0, 0 } },
		{ 0x23, 1, { 0x3ff, 0xf, 0, 0 } },
		{ 0x23, 2, { 0, 0, 0, 0 } },
		{ 0x23, 3, { 0xdff, 0, 0, 0 } },
		{ 0x23, 4, { 0, 0, 0, 0 } },
	};

	(void)state;
	check_cpuid(&pmu_model_arrow_lake, expected, sizeof(expected) / sizeof(expected[0]));
	assert_int_equal(highest_leaf(&pmu_model_arrow_lake), 0x23);
}

/* Leaf 0AH is the same in every core of the package; others tell them apart. */
static void cpuid_of_a_hybrid_package(void **state)
{
	static const struct answer performance[] = {
		{ 0x07, 0, { ONES, ~(1u << 25), ONES, ONES } },
		{ 0x0a, 0, { 0x0c300806, 0x280, 0x7, 0x8603 } },
		{ 0x1a, 0, { 0x40000000, 0, 0, 0 } },
		{ 0x23, 1, { 0x3ff, 0xf, 0, 0 } },
		{ 0x23, 3, { 0xdff, 0, 0, 0 } },
	};
	static const struct answer efficient[] = {
		{ 0x07, 0, { ONES, ~(1u << 25), ONES, ONES } },
		{ 0x0a, 0, { 0x0c300806, 0x280, 0x7, 0x8603 } },
		{ 0x1a, 0, { 0x20000003, 0, 0, 0 } },
		{ 0x23, 1, { 0xff, 0x7, 0, 0 } },
		{ 0x23, 3, { 0xd7f, 0, 0, 0 } },
	};
	struct pmu_model_caps p = pmu_model_arrow_lake, e = pmu_model_arrow_lake_e;

	(void)state;
	p.hybrid = e.hybrid = true;
	check_cpuid(&p, performance, sizeof(performance) / sizeof(performance[0]));
	check_cpuid(&e, efficient, sizeof(efficient) / sizeof(efficient[0]));
}

static void processors_have_names(void **state)
{
	(void)state;
	assert_ptr_equal(pmu_model_named("icelake"), &pmu_model_icelake);
	assert_ptr_equal(pmu_model_named("sapphire_rapids"), &pmu_model_sapphire_rapids);
	assert_ptr_equal(pmu_model_named("arrow_lake"), &pmu_model_arrow_lake);
	assert_ptr_equal(pmu_model_named("arrow_lake_e"), &pmu_model_arrow_lake_e);
	assert_null(pmu_model_named("arrow"));
}

/* One register with two names, whichever is written. */
static void both_names(struct machine *machine, uint32_t one, uint32_t other)
{
	wr(machine, one, 0x5300c0);
	assert_int_equal(rd(machine, other), 0x5300c0);
	wr(machine, other, 0x5100c4);
	assert_int_equal(rd(machine, one), 0x5100c4);
	wr(machine, one, 0);
}

static void every_register_of_the_block(void **state)
{
	struct machine *machine = *state;

	for (unsigned n = 0; n < 8; n++) {
		both_names(machine, MSR_IA32_A_PMC0 + n, GP_CTR(n));
		both_names(machine, MSR_IA32_PERFEVTSEL0 + n, GP_CFG_A(n));
	}
	for (unsigned m = 0; m < 4; m++)
		both_names(machine, MSR_IA32_FIXED_CTR0 + m, FX_CTR(m));
	for (uint32_t offset = 0; offset < 0x100; offset++) {
		uint32_t msr = MSR_IA32_PMC_GP0_CTR + offset;
		bool gp = offset < 4 * 10 && offset % 4 < 2;
		bool fixed = offset >= 0x80 && offset < 0x90 && offset % 4 == 0;

		if (gp || fixed) {
			rd(machine, msr);
		} else {
			rd_faults(machine, msr);
			wr_faults(machine, msr, 0);
		}
	}
}

static void block_takes_full_width(void **state)
{
	struct machine *machine = *state;

	for (unsigned n = 0; n < 10; n++) {
		writable_bits(machine, GP_CTR(n), MAX_48);
		writable_bits(machine, GP_CFG_A(n),
			      (BITS(31, 0) & ~EVTSEL_ANY) | BIT(36) | BITS(47, 40) |
				      (pmu_has(machine->model, PERF_CAP_PEBS_BASELINE) ? EVTSEL_ADAPTIVE : 0));
	}
	for (unsigned m = 0; m < 4; m++)
		writable_bits(machine, FX_CTR(m), MAX_48);
}

static void block_faults_before_version_6(void **state)
{
	struct machine *machine = *state;

	for (uint32_t msr = MSR_IA32_PMC_GP0_CTR; msr < MSR_IA32_PMC_GP0_CTR + 0x100; msr++) {
		rd_faults(machine, msr);
		wr_faults(machine, msr, 0);
	}
	writable_bits(machine, MSR_IA32_PERFEVTSEL0,
		      (BITS(31, 0) & ~EVTSEL_ANY) |
			      (pmu_has(machine->model, PERF_CAP_PEBS_BASELINE) ? EVTSEL_ADAPTIVE : 0));
}

/* The ninth and tenth counter have no older registers, and count, overflow and interrupt all the same. */
static void ten_counters(void **state)
{
	struct machine *machine = *state;
	uint64_t value;

	for (unsigned n = 8; n < 10; n++) {
		assert_int_equal(pmu_model_rdmsr(machine->model, MSR_IA32_PERFEVTSEL0 + n, &value), PMU_MODEL_UNKNOWN);
		assert_int_equal(pmu_model_rdmsr(machine->model, MSR_IA32_A_PMC0 + n, &value), PMU_MODEL_UNKNOWN);
		wr(machine, GP_CFG_A(n), INSTRUCTIONS | ALL | INT);
		wr(machine, GP_CTR(n), MAX_48 - n);
		wr(machine, MSR_IA32_PERF_GLOBAL_CTRL, BIT(n));
		assert_int_equal(rd(machine, MSR_IA32_PERF_GLOBAL_INUSE) & BIT(n), BIT(n));
		retire(machine, 0, 20);
		assert_int_equal(rd(machine, MSR_IA32_PERF_GLOBAL_STATUS), BIT(n));
		assert_int_equal(pmu_model_rdpmc(machine->model, n, &value), PMU_MODEL_DONE);
		assert_int_equal(value, 20 - n - 1);
		assert_int_equal(machine->pmis, n - 7);
		pmu_model_write_lvtpc(machine->model, LVT_NMI);
		wr(machine, MSR_IA32_PERF_GLOBAL_STATUS_RESET, BIT(n));
	}
	assert_int_equal(pmu_model_rdpmc(machine->model, 10, &value), PMU_MODEL_GP);
	wr_faults(machine, MSR_IA32_PERF_GLOBAL_CTRL, BIT(10));
	pmu_model_reset(machine->model);
	assert_int_equal(rd(machine, MSR_IA32_PERF_GLOBAL_CTRL), BITS(9, 0));
}

static uint64_t counted(struct machine *machine, uint64_t selector, unsigned branches)
{
	start(machine, 0, selector | ALL, 0);
	for (unsigned i = 0; i < branches; i++)
		branch(machine, PMU_MODEL_JMP, true, 0x1000, 0x2000);
	retire(machine, 3, 5);
	wr(machine, MSR_IA32_PERFEVTSEL0, 0);
	return pmc(machine, 0);
}

/* Of ten instructions five are branches: five cycles with one event, five with none. */
static void equal_counter_masks(void **state)
{
	struct machine *machine = *state;

	assert_int_equal(counted(machine, BRANCHES | EVTSEL_EQ, 5), 5); /* without a mask as without EQ */
	assert_int_equal(counted(machine, BRANCHES | EVTSEL_EQ | CMASK(1), 5), 5);
	assert_int_equal(counted(machine, BRANCHES | EVTSEL_EQ | CMASK(2), 5), 0);
	assert_int_equal(counted(machine, CYCLES | EVTSEL_EQ | CMASK(1), 5), 0); /* two cycles each */
	assert_int_equal(counted(machine, CYCLES | EVTSEL_EQ | CMASK(2), 5), 10);
	assert_int_equal(counted(machine, CYCLES | CMASK(1), 5), 10);
	assert_int_equal(counted(machine, BRANCHES | EVTSEL_INV | CMASK(2), 5), 10);            /* none is below two, */
	assert_int_equal(counted(machine, BRANCHES | EVTSEL_EQ | EVTSEL_INV | CMASK(2), 5), 5); /* but doesn't count */
	assert_int_equal(counted(machine, BRANCHES | EVTSEL_EQ | EVTSEL_INV | CMASK(1), 5), 0);
}

static void extended_unit_masks(void **state)
{
	struct machine *machine = *state;

	assert_int_equal(counted(machine, INSTRUCTIONS, 0), 5);
	for (unsigned bit = 40; bit < 48; bit++)
		assert_int_equal(counted(machine, INSTRUCTIONS | BIT(bit), 0), 0);
}

/* The four ways a slot goes are all slots. */
static void topdown_events(void **state)
{
	static const uint64_t parts[] = { 0x02a4, 0x0073, 0x019c, 0x02c2 };
	struct machine *machine = *state;
	uint64_t sum = 0;

	for (unsigned i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		uint64_t part = counted(machine, parts[i], 0);

		assert_int_not_equal(part, 0);
		sum += part;
	}
	assert_int_equal(sum, counted(machine, 0x01a4, 0));
}

/* 3CH/01H: the crystal's rate, a 32nd of the time-stamp counter's, on Ice Lake alone. */
static void reference_cycles(void **state)
{
	static const struct {
		const struct pmu_model_caps *caps;
		uint64_t rate;
	} processors[] = { { &pmu_model_icelake, 1 },
			   { &pmu_model_sapphire_rapids, 32 },
			   { &pmu_model_arrow_lake, 32 } };

	(void)state;
	for (unsigned i = 0; i < sizeof(processors) / sizeof(processors[0]); i++) {
		struct machine *machine = machine_new(processors[i].caps);

		start(machine, 0, 0x013c | ALL, 0);
		retire(machine, 0, 32 * 100);
		assert_int_equal(pmc(machine, 0), 100 * processors[i].rate);
		machine_free(machine);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cpuid_of_sapphire_rapids),
		cmocka_unit_test(cpuid_of_arrow_lake),
		cmocka_unit_test(cpuid_of_a_hybrid_package),
		cmocka_unit_test(processors_have_names),
		VERSION_6_TEST(every_register_of_the_block),
		VERSION_6_TEST(block_takes_full_width),
		MODEL_TEST(block_faults_before_version_6),
		VERSION_6_TEST(ten_counters),
		VERSION_6_TEST(equal_counter_masks),
		VERSION_6_TEST(extended_unit_masks),
		VERSION_6_TEST(topdown_events),
		cmocka_unit_test(reference_cycles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
