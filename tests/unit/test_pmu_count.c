/* What the PMU model counts: selection, qualification, events, overflow. */
#include "pmu_fixture.h"

static void load(struct machine *machine, uint64_t physical, unsigned size)
{
	pmu_model_access(machine->model, PMU_MODEL_LOAD, physical, physical, size);
	retire(machine, 3, 1);
}

static void class_selection(void **state)
{
	static const uint64_t counted[4] = { 0, 2 + 3 + 4, 10, 10 + 2 + 3 + 4 }; /* by OS << 1 | USR */
	struct machine *machine = *state;

	for (unsigned i = 0; i < 4; i++)
		start(machine, i, INSTRUCTIONS | EVTSEL_EN | (i & 1 ? USR : 0) | (i & 2 ? OS : 0), 0);
	wr(machine, MSR_IA32_FIXED_CTR_CTRL, 0x0021 | 0x3000);
	wr(machine, MSR_IA32_PERF_GLOBAL_CTRL, 0xf | UINT64_C(0xf) << 32);
	retire(machine, 0, 10);
	for (unsigned cpl = 1; cpl < 4; cpl++)
		retire(machine, cpl, cpl + 1);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(pmc(machine, i), counted[i]);
	assert_int_equal(rd(machine, MSR_IA32_FIXED_CTR0), 10);
	assert_int_equal(rd(machine, MSR_IA32_FIXED_CTR0 + 1), 2 * 9);
	assert_int_equal(rd(machine, MSR_IA32_FIXED_CTR0 + 2), 0);
	assert_int_equal(rd(machine, MSR_IA32_FIXED_CTR0 + 3), 10 * 19);
}

/* The selector's EN, the GLOBAL_CTRL bit: each alone is not enough. */
static void every_enable_is_needed(void **state)
{
	struct machine *machine = *state;

	start(machine, 0, INSTRUCTIONS | OS | USR, 0);
	start(machine, 1, INSTRUCTIONS | ALL, 0);
	start(machine, 2, INSTRUCTIONS | ALL, 0);
	wr(machine, MSR_IA32_FIXED_CTR_CTRL, 0x3);
	wr(machine, MSR_IA32_PERF_GLOBAL_CTRL, BIT(0) | BIT(2) | BIT(33));
	retire(machine, 3, 5);
	assert_int_equal(pmc(machine, 0), 0);
	assert_int_equal(pmc(machine, 1), 0);
	assert_int_equal(pmc(machine, 2), 5);
	assert_int_equal(rd(machine, MSR_IA32_FIXED_CTR0), 0);
	assert_int_equal(rd(machine, MSR_IA32_FIXED_CTR0 + 1), 0);
}

/* As hardware does it, one of the two: here the WRMSR that enables. */
static void enabling_wrmsr_counts_and_disabling_does_not(void **state)
{
	struct machine *machine = *state;

	wr(machine, MSR_IA32_PERFEVTSEL0, INSTRUCTIONS | ALL);
	wr(machine, MSR_IA32_PERF_GLOBAL_CTRL, 1);
	retire(machine, 0, 1); /* that WRMSR */
	retire(machine, 0, 10);
	wr(machine, MSR_IA32_PERF_GLOBAL_CTRL, 0);
	retire(machine, 0, 1);
	assert_int_equal(pmc(machine, 0), 11);
	wr(machine, MSR_IA32_PERF_GLOBAL_CTRL, 1);
	wr(machine, MSR_IA32_PERFEVTSEL0, 0);
	retire(machine, 0, 1);
	wr(machine, MSR_IA32_PERFEVTSEL0, INSTRUCTIONS | ALL);
	retire(machine, 0, 3);
	wr(machine, MSR_IA32_PERFEVTSEL0, INSTRUCTIONS | OS | USR);
	retire(machine, 0, 1);
	assert_int_equal(pmc(machine, 0), 14);
}

static void write_to_a_running_counter_holds_at_once(void **state)
{
	struct machine *machine = *state;

	start(machine, 0, INSTRUCTIONS | ALL | INT, MAX_48 - 99);
	retire(machine, 3, 99);
	wr(machine, MSR_IA32_PMC0, 0);
	retire(machine, 3, 50);
	assert_int_equal(pmc(machine, 0), 50);
	assert_int_equal(rd(machine, MSR_IA32_PERF_GLOBAL_STATUS), 0);
	wr(machine, MSR_IA32_A_PMC0, MAX_48);
	assert_int_equal(rd(machine, MSR_IA32_PERF_GLOBAL_STATUS), 0);
	retire(machine, 3, 1);
	assert_int_equal(rd(machine, MSR_IA32_PERF_GLOBAL_STATUS), 1);
	assert_int_equal(machine->pmis, 1);
}

/* One branch of each kind, a JCC each way; the rows are umask of C4H and how many of these it counts. */
static void branch_kinds(void **state)
{
	static const unsigned rows[][2] = { { 0x00, 8 }, { 0x01, 1 }, { 0x02, 2 }, { 0x08, 1 }, { 0x10, 1 },
					    { 0x11, 2 }, { 0x20, 6 }, { 0x40, 1 }, { 0x80, 2 } };
	struct machine *machine = *state;

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		start(machine, 0, BRANCHES | rows[i][0] << 8 | ALL, 0);
		branch(machine, PMU_MODEL_JCC, true, 0x100, 0x200);
		branch(machine, PMU_MODEL_JCC, false, 0x100, 0x102);
		branch(machine, PMU_MODEL_JMP, true, 0x100, 0x200);
		branch(machine, PMU_MODEL_JMP_INDIRECT, true, 0x100, 0x200);
		branch(machine, PMU_MODEL_CALL, true, 0x100, 0x200);
		branch(machine, PMU_MODEL_CALL_INDIRECT, true, 0x100, 0x200);
		branch(machine, PMU_MODEL_RET, true, 0x200, 0x105);
		branch(machine, PMU_MODEL_FAR, true, 0x100, 0x200);
		retire(machine, 3, 10);
		assert_int_equal(pmc(machine, 0), rows[i][1]);
	}
}

static void unknown_events_count_nothing(void **state)
{
	static const uint64_t unknown[] = { 0x0000, 0x0300, 0x02c0, 0x023c, 0x04c4, 0x02c5, 0xffff };
	struct machine *machine = *state;

	for (unsigned i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
		start(machine, i, unknown[i] | ALL, 0);
	branch(machine, PMU_MODEL_JCC, true, 0x100, 0x200);
	load(machine, 0x1000, 8);
	for (unsigned i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
		assert_int_equal(pmc(machine, i), 0);
}

static void loop_mispredicts_at_its_ends(void **state)
{
	struct machine *machine = *state;

	start(machine, 0, UINT64_C(0x00c5) | ALL, 0);
	start(machine, 1, UINT64_C(0x11c5) | ALL, 0);
	for (unsigned i = 0; i < 1000; i++)
		branch(machine, PMU_MODEL_JCC, i < 999, 0x100, 0x80);
	assert_int_equal(pmc(machine, 0), 3);
	branch(machine, PMU_MODEL_JMP_INDIRECT, true, 0x300, 0x500);
	branch(machine, PMU_MODEL_JMP_INDIRECT, true, 0x300, 0x500);
	branch(machine, PMU_MODEL_JMP_INDIRECT, true, 0x300, 0x600);
	assert_int_equal(pmc(machine, 0), 5);
	assert_int_equal(pmc(machine, 1), 3);
}

static void returns_are_predicted_by_their_calls(void **state)
{
	struct machine *machine = *state;

	start(machine, 0, UINT64_C(0x00c5) | ALL, 0);
	for (unsigned depth = 0; depth < 16; depth++)
		branch(machine, PMU_MODEL_CALL, true, 0x1000 + 0x100 * depth, 0x1100 + 0x100 * depth);
	for (unsigned depth = 16; depth--;)
		branch(machine, PMU_MODEL_RET, true, 0x9000, 0x1005 + 0x100 * depth);
	assert_int_equal(pmc(machine, 0), 0);
	branch(machine, PMU_MODEL_CALL, true, 0x1000, 0x2000);
	branch(machine, PMU_MODEL_RET, true, 0x2000, 0x3000);
	assert_int_equal(pmc(machine, 0), 1);
}

static void start_llc(struct machine *machine)
{
	start(machine, 0, UINT64_C(0x4f2e) | ALL, 0);
	start(machine, 1, UINT64_C(0x412e) | ALL, 0);
}

static void expect_llc(struct machine *machine, uint64_t references, uint64_t misses)
{
	assert_int_equal(pmc(machine, 0), references);
	assert_int_equal(pmc(machine, 1), misses);
}

static void cache_hits_and_misses(void **state)
{
	struct machine *machine = *state;

	start_llc(machine);
	load(machine, 0x1000, 8);
	expect_llc(machine, 1, 1);
	load(machine, 0x1038, 8); /* same line */
	expect_llc(machine, 1, 1);
	load(machine, 0x103c, 8); /* into the next line, same sector */
	expect_llc(machine, 2, 1);
	load(machine, 0x107f, 2); /* into the next sector */
	expect_llc(machine, 3, 2);
}

static void clflush_makes_a_miss(void **state)
{
	struct machine *machine = *state;

	start_llc(machine);
	for (unsigned i = 0; i < 10; i++) {
		load(machine, 0x1000, 8);
		pmu_model_clflush(machine->model, 0x1000);
	}
	expect_llc(machine, 10, 10);
	pmu_model_clflush(machine->model, 0x5000);
	expect_llc(machine, 10, 10);
}

/* Sectors of one set of eight ways, all of whose lines share one place in the first cache. */
#define SAME_SET(i) ((uint64_t)(i) << 17)

static void llc_replaces_the_least_recently_used(void **state)
{
	struct machine *machine = *state;

	start_llc(machine);
	for (unsigned i = 0; i < 8; i++)
		load(machine, SAME_SET(i), 1);
	load(machine, SAME_SET(1), 1);
	load(machine, SAME_SET(0), 1);
	expect_llc(machine, 10, 8);
	load(machine, SAME_SET(8), 1); /* puts 2 out */
	load(machine, SAME_SET(1), 1);
	load(machine, SAME_SET(0), 1);
	expect_llc(machine, 13, 9);
	load(machine, SAME_SET(2), 1);
	expect_llc(machine, 14, 10);
}

static void clflush_in_a_full_set(void **state)
{
	struct machine *machine = *state;

	start_llc(machine);
	for (unsigned i = 0; i < 8; i++)
		load(machine, SAME_SET(i), 1);
	pmu_model_clflush(machine->model, SAME_SET(1));
	pmu_model_clflush(machine->model, SAME_SET(0));
	load(machine, SAME_SET(0), 1);
	load(machine, SAME_SET(7), 1);
	expect_llc(machine, 10, 9);
}

static void reference_cycles_follow_the_tsc(void **state)
{
	struct machine *machine = *state;

	wr(machine, MSR_IA32_FIXED_CTR_CTRL, 0x300);
	start(machine, 0, UINT64_C(0x013c) | ALL, 0);
	wr(machine, MSR_IA32_PERF_GLOBAL_CTRL, BIT(0) | BIT(34));
	retire(machine, 3, 100);
	machine->tsc += 900;
	retire(machine, 3, 24);
	assert_int_equal(rd(machine, MSR_IA32_FIXED_CTR0 + 2), 1024);
	assert_int_equal(pmc(machine, 0), 32);
	pmu_model_halted(machine->model, true);
	machine->tsc += 1000000;
	pmu_model_halted(machine->model, false);
	retire(machine, 3, 1);
	assert_int_equal(rd(machine, MSR_IA32_FIXED_CTR0 + 2), 1025);
}

/* Time before the counter was enabled is not its. */
static void reference_cycles_start_when_enabled(void **state)
{
	struct machine *machine = *state;

	machine->tsc = 12345;
	wr(machine, MSR_IA32_FIXED_CTR_CTRL, 0x300);
	wr(machine, MSR_IA32_PERF_GLOBAL_CTRL, BIT(34));
	retire(machine, 3, 7);
	assert_int_equal(rd(machine, MSR_IA32_FIXED_CTR0 + 2), 7);
}

static void aborted_instruction_leaves_nothing(void **state)
{
	struct machine *machine = *state;

	start(machine, 2, BRANCHES | ALL, 0);
	start_llc(machine);
	pmu_model_branch(machine->model, PMU_MODEL_JCC, true, transfer(0x100, 0, 0x200, 0));
	pmu_model_access(machine->model, PMU_MODEL_STORE, 0x1000, 0x1000, 8);
	pmu_model_abort(machine->model);
	retire(machine, 3, 1);
	assert_int_equal(pmc(machine, 2), 0);
	expect_llc(machine, 0, 0);
}

/* Of four instructions: no branch, a branch, two branches' worth of misses, nothing. */
static void counter_mask(void **state)
{
	static const struct {
		uint64_t selector, expected;
	} rows[] = {
		{ 0x4f2e, 3 },
		{ 0x4f2e | EVTSEL_INV, 3 }, /* without CMASK, INV means nothing */
		{ 0x4f2e | CMASK(1), 2 },
		{ 0x4f2e | CMASK(2), 1 },
		{ 0x4f2e | CMASK(3), 0 },
		{ 0x4f2e | CMASK(1) | EVTSEL_INV, 2 },
		{ 0x4f2e | CMASK(2) | EVTSEL_INV, 3 },
		{ 0x00c0 | CMASK(2), 0 },
		{ 0x00c0 | CMASK(2) | EVTSEL_INV, 4 },
	};
	struct machine *machine = *state;

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t page = UINT64_C(0x100000) * (i + 1);

		start(machine, 0, rows[i].selector | ALL, 0);
		retire(machine, 3, 1);
		load(machine, page, 8);
		load(machine, page + 0x13c, 8);
		retire(machine, 3, 1);
		assert_int_equal(pmc(machine, 0), rows[i].expected);
	}
}

static void edge_counts_beginnings(void **state)
{
	struct machine *machine = *state;

	start(machine, 0, BRANCHES | CMASK(1) | EVTSEL_EDGE | ALL, 0);
	start(machine, 1, BRANCHES | CMASK(1) | EVTSEL_EDGE | EVTSEL_INV | ALL, 0);
	start(machine, 2, BRANCHES | EVTSEL_EDGE | ALL, 0);
	for (unsigned i = 0; i < 4; i++) {
		retire(machine, 3, 2);
		branch(machine, PMU_MODEL_JMP, true, 0, 0);
		branch(machine, PMU_MODEL_JMP, true, 0, 0);
	}
	assert_int_equal(pmc(machine, 0), 4);
	assert_int_equal(pmc(machine, 1), 4);
	assert_int_equal(pmc(machine, 2), 4);
}

/* The class is part of the condition: an edge of user-mode instructions is an entry to user mode. */
static void edge_of_a_class_counts_entries_to_it(void **state)
{
	struct machine *machine = *state;

	start(machine, 0, INSTRUCTIONS | CMASK(1) | EVTSEL_EDGE | EVTSEL_EN | USR, 0);
	start(machine, 1, BRANCHES | CMASK(1) | EVTSEL_INV | EVTSEL_EN | USR, 0);
	for (unsigned i = 0; i < 5; i++) {
		retire(machine, 0, 3);
		retire(machine, 3, 3);
	}
	assert_int_equal(pmc(machine, 0), 5);
	assert_int_equal(pmc(machine, 1), 15);
}

static void overflow_sets_status_with_and_without_int(void **state)
{
	struct machine *machine = *state;

	for (unsigned n = 0; n < 8; n++)
		start(machine, n, INSTRUCTIONS | ALL | (n % 2 ? INT : 0), MAX_48 - n);
	for (unsigned n = 0; n < 8; n++) {
		pmu_model_write_lvtpc(machine->model, LVT_NMI);
		retire(machine, 3, 1);
		assert_int_equal(rd(machine, MSR_IA32_PERF_GLOBAL_STATUS), BITS(n, 0));
		assert_int_equal(machine->pmis, (n + 1) / 2);
		assert_int_equal(pmu_model_overflows(machine->model, n), 1);
		assert_int_equal(pmu_model_pmis(machine->model, n), n % 2);
	}
	assert_int_equal(pmc(machine, 0), 7);
}

static void fixed_counter_overflow(void **state)
{
	struct machine *machine = *state;

	wr(machine, MSR_IA32_FIXED_CTR_CTRL, 0x333b);
	for (unsigned m = 0; m < 4; m++)
		wr(machine, MSR_IA32_FIXED_CTR0 + m, MAX_48);
	wr(machine, MSR_IA32_PERF_GLOBAL_CTRL, UINT64_C(0xf) << 32);
	retire(machine, 3, 1);
	assert_int_equal(rd(machine, MSR_IA32_PERF_GLOBAL_STATUS), UINT64_C(0xf) << 32);
	assert_int_equal(machine->pmis, 1);
	assert_int_equal(pmu_model_pmis(machine->model, 32), 1);
	assert_int_equal(pmu_model_pmis(machine->model, 33), 0);
	assert_int_equal(pmu_model_overflows(machine->model, 33), 1);
}

/* A wrap by more than one keeps the remainder: nothing is lost, nothing reloads. */
static void overflow_keeps_the_remainder(void **state)
{
	struct machine *machine = *state;

	start(machine, 0, UINT64_C(0x01a4) | ALL, MAX_48 - 2);
	retire(machine, 3, 1);
	assert_int_equal(pmc(machine, 0), 7);
	retire(machine, 3, 1);
	assert_int_equal(pmc(machine, 0), 17);
}

static void status_stays_and_a_second_wrap_interrupts_again(void **state)
{
	struct machine *machine = *state;

	for (unsigned i = 1; i < 4; i++) {
		pmu_model_write_lvtpc(machine->model, LVT_NMI);
		start(machine, 0, INSTRUCTIONS | ALL | INT, MAX_48);
		retire(machine, 3, 5);
		assert_int_equal(rd(machine, MSR_IA32_PERF_GLOBAL_STATUS), 1);
		assert_int_equal(machine->pmis, i);
	}
	wr(machine, MSR_IA32_PERF_GLOBAL_STATUS_RESET, 1);
	assert_int_equal(rd(machine, MSR_IA32_PERF_GLOBAL_STATUS), 0);
}

static void simultaneous_overflows_share_one_pmi(void **state)
{
	struct machine *machine = *state;

	start(machine, 0, INSTRUCTIONS | ALL | INT, MAX_48 - 3);
	start(machine, 7, INSTRUCTIONS | ALL | INT, MAX_48 - 3);
	wr(machine, MSR_IA32_FIXED_CTR_CTRL, 0xb);
	wr(machine, MSR_IA32_FIXED_CTR0, MAX_48 - 3);
	wr(machine, MSR_IA32_PERF_GLOBAL_CTRL, BIT(0) | BIT(7) | BIT(32));
	retire(machine, 3, 10);
	assert_int_equal(machine->pmis, 1);
	assert_int_equal(pmu_model_pmis_dropped(machine->model), 0);
	assert_int_equal(rd(machine, MSR_IA32_PERF_GLOBAL_STATUS), BIT(0) | BIT(7) | BIT(32));
}

/* Skid 0: before the retirement of the overflowing instruction is over. Periods around the halving of the budget. */
static void pmi_comes_with_the_overflowing_instruction(void **state)
{
	struct machine *machine = *state;

	for (unsigned period = 1; period < 200; period++) {
		pmu_model_write_lvtpc(machine->model, LVT_NMI);
		machine->retired = 0;
		start(machine, 0, INSTRUCTIONS | ALL | INT, MAX_48 - period + 1);
		for (unsigned i = 0; i < period + 10; i++)
			retire(machine, i * period % 7 < 3 ? 0 : 3, 1);
		assert_int_equal(machine->retired_at_pmi, period);
		assert_int_equal(pmc(machine, 0), 10);
	}
	assert_int_equal(machine->pmis, 199);
}

/*
 * The loop kvm-unit-tests measures: ten instructions and one branch, a million times, with 17 instructions and two
 * branches around it, of which one of the two WRMSRs of GLOBAL_CTRL. Exact for every counter; preset so, it ends at
 * exactly 1.
 */
#define LOOPS 1000000

static void measured_loop(struct machine *machine)
{
	retire(machine, 0, 14);
	for (unsigned i = 0; i < LOOPS; i++) {
		uint64_t address = UINT64_C(0x10000000) + i * 64;

		pmu_model_access(machine->model, PMU_MODEL_LOAD, address, address, 8);
		retire(machine, 0, 9);
		pmu_model_branch(machine->model, PMU_MODEL_JCC, i < LOOPS - 1, transfer(0x1000, 0, 0xff0, 0));
		retire(machine, 0, 1);
	}
	for (unsigned i = 0; i < 2; i++) {
		pmu_model_branch(machine->model, PMU_MODEL_JMP, true, transfer(0x1010, 0, 0x1020, 0));
		retire(machine, 0, 1);
	}
	pmu_model_clflush(machine->model, 0x10000000);
	retire(machine, 0, 1);
	wr(machine, MSR_IA32_PERF_GLOBAL_CTRL, 0);
	retire(machine, 0, 1);
}

static void kvm_unit_tests_loop(void **state)
{
	static const uint64_t events[8] = { 0x00c0, 0x00c4, 0x003c, 0x4f2e, 0x412e, 0x00c5, 0x013c, 0x01a4 };
	struct machine *machine = *state;

	for (unsigned n = 0; n < 8; n++)
		start(machine, n, events[n] | ALL, 0);
	measured_loop(machine);
	assert_int_equal(pmc(machine, 0), 10 * LOOPS + 17);
	assert_int_equal(pmc(machine, 1), LOOPS + 2);
	assert_in_range(pmc(machine, 2), LOOPS, 50 * LOOPS);
	assert_in_range(pmc(machine, 3), 1, 5 * LOOPS / 2);
	assert_in_range(pmc(machine, 4), 1, LOOPS);
	assert_in_range(pmc(machine, 5), 1, LOOPS / 10);
}

static void kvm_unit_tests_overflow(void **state)
{
	struct machine *machine = *state;

	wr(machine, MSR_IA32_FIXED_CTR_CTRL, 0xb);
	wr(machine, MSR_IA32_FIXED_CTR0, MAX_48 - (10 * LOOPS + 17) + 2);
	start(machine, 0, INSTRUCTIONS | ALL | INT, 1 - (UINT64_C(10) * LOOPS + 17));
	start(machine, 1, BRANCHES | ALL, 1 - (UINT64_C(1) * LOOPS + 2));
	wr(machine, MSR_IA32_PERF_GLOBAL_CTRL, 3 | BIT(32));
	measured_loop(machine);
	assert_int_equal(pmc(machine, 0), 1);
	assert_int_equal(pmc(machine, 1), 1);
	assert_int_equal(rd(machine, MSR_IA32_FIXED_CTR0), 1);
	assert_int_equal(rd(machine, MSR_IA32_PERF_GLOBAL_STATUS), 3 | BIT(32));
	assert_int_equal(machine->pmis, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		MODEL_TEST(class_selection),
		MODEL_TEST(every_enable_is_needed),
		MODEL_TEST(enabling_wrmsr_counts_and_disabling_does_not),
		MODEL_TEST(write_to_a_running_counter_holds_at_once),
		MODEL_TEST(branch_kinds),
		MODEL_TEST(unknown_events_count_nothing),
		MODEL_TEST(loop_mispredicts_at_its_ends),
		MODEL_TEST(returns_are_predicted_by_their_calls),
		MODEL_TEST(cache_hits_and_misses),
		MODEL_TEST(clflush_makes_a_miss),
		MODEL_TEST(clflush_in_a_full_set),
		MODEL_TEST(llc_replaces_the_least_recently_used),
		MODEL_TEST(reference_cycles_follow_the_tsc),
		MODEL_TEST(reference_cycles_start_when_enabled),
		MODEL_TEST(aborted_instruction_leaves_nothing),
		MODEL_TEST(counter_mask),
		MODEL_TEST(edge_counts_beginnings),
		MODEL_TEST(edge_of_a_class_counts_entries_to_it),
		MODEL_TEST(overflow_sets_status_with_and_without_int),
		MODEL_TEST(fixed_counter_overflow),
		MODEL_TEST(overflow_keeps_the_remainder),
		MODEL_TEST(status_stays_and_a_second_wrap_interrupts_again),
		MODEL_TEST(simultaneous_overflows_share_one_pmi),
		MODEL_TEST(pmi_comes_with_the_overflowing_instruction),
		MODEL_TEST(kvm_unit_tests_loop),
		MODEL_TEST(kvm_unit_tests_overflow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
