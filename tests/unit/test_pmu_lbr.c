/* Model-specific last branch records, and what both kinds share, rule by rule. */
#include "pmu_fixture.h"

#define RECORD       DEBUGCTL_LBR
#define NOT_CPL_0    BIT(0)
#define NOT_CPL_123  BIT(1)
#define NOT_JCC      BIT(2)
#define NOT_REL_CALL BIT(3)
#define NOT_IND_CALL BIT(4)
#define NOT_RET      BIT(5)
#define NOT_IND_JMP  BIT(6)
#define NOT_REL_JMP  BIT(7)
#define NOT_FAR      BIT(8)
#define CALL_STACK   (BIT(9) | NOT_JCC | NOT_IND_JMP | NOT_REL_JMP | NOT_FAR)

static unsigned tos(struct machine *machine)
{
	return (unsigned)rd(machine, MSR_LASTBRANCH_TOS);
}

/* The entry `age` branches before the newest. */
static struct pmu_lbr_entry entry(struct machine *machine, unsigned age)
{
	unsigned n = (tos(machine) - age) % 32;

	return (struct pmu_lbr_entry){
		.from = rd(machine, MSR_LASTBRANCH_0_FROM_IP + n),
		.to = rd(machine, MSR_LASTBRANCH_0_TO_IP + n),
		.info = rd(machine, MSR_LBR_INFO_0 + n),
	};
}

static void expect_entry(struct machine *machine, unsigned age, uint64_t from, uint64_t to)
{
	assert_int_equal(entry(machine, age).from, from);
	assert_int_equal(entry(machine, age).to, to);
}

static void jump(struct machine *machine, uint64_t from, uint64_t to)
{
	branch(machine, PMU_MODEL_JMP, true, from, to);
}

static void event(struct machine *machine, uint64_t from, uint64_t to)
{
	pmu_model_event(machine->model, transfer(from, 3, to, 0));
}

static void cpuid_and_format(void **state)
{
	struct machine *machine = *state;

	assert_int_equal(rd(machine, MSR_IA32_PERF_CAPABILITIES) & BITS(5, 0), 5);
}

static void nothing_is_recorded_until_enabled(void **state)
{
	struct machine *machine = *state;

	jump(machine, 0x1000, 0x2000);
	event(machine, 0x2000, 0x3000);
	assert_int_equal(tos(machine), 0);
	for (unsigned n = 0; n < 32; n++)
		assert_int_equal(rd(machine, MSR_LASTBRANCH_0_FROM_IP + n), 0);
	wr(machine, MSR_IA32_DEBUGCTL, RECORD);
	jump(machine, 0x1000, 0x2000);
	wr(machine, MSR_IA32_DEBUGCTL, 0);
	jump(machine, 0x5000, 0x6000);
	assert_int_equal(tos(machine), 1);
	expect_entry(machine, 0, 0x1000, 0x2000);
}

/* TOS goes on before the record is written, and wraps at 32. */
static void tos_wraps(void **state)
{
	struct machine *machine = *state;

	wr(machine, MSR_IA32_DEBUGCTL, RECORD);
	for (unsigned i = 1; i <= 70; i++) {
		jump(machine, 0x1000 + i, 0x2000 + i);
		assert_int_equal(tos(machine), i % 32);
	}
	for (unsigned age = 0; age < 32; age++)
		expect_entry(machine, age, 0x1000 + 70 - age, 0x2000 + 70 - age);
}

static void registers_keep_what_is_written(void **state)
{
	static const uint32_t stacks[] = { MSR_LASTBRANCH_0_FROM_IP, MSR_LASTBRANCH_0_TO_IP, MSR_LBR_INFO_0 };
	struct machine *machine = *state;

	for (unsigned i = 0; i < 3; i++)
		for (unsigned n = 0; n < 32; n++)
			wr(machine, stacks[i] + n, 0x100 * i + n);
	wr(machine, MSR_LASTBRANCH_TOS, 31);
	for (unsigned i = 0; i < 3; i++)
		for (unsigned n = 0; n < 32; n++)
			assert_int_equal(rd(machine, stacks[i] + n), 0x100 * i + n);
	assert_int_equal(tos(machine), 31);
	for (unsigned i = 0; i < 3; i++) {
		uint64_t value;

		assert_int_equal(pmu_model_rdmsr(machine->model, stacks[i] + 32, &value), PMU_MODEL_UNKNOWN);
	}
	pmu_model_reset(machine->model);
	assert_int_equal(rd(machine, MSR_LASTBRANCH_0_TO_IP + 3), 0);
	assert_int_equal(tos(machine), 0);
	assert_int_equal(rd(machine, MSR_LBR_SELECT), 0);
}

static void addresses_are_canonical(void **state)
{
	struct machine *machine = *state;

	wr(machine, MSR_LASTBRANCH_0_FROM_IP, UINT64_C(0xffff800000000000));
	wr_faults(machine, MSR_LASTBRANCH_0_FROM_IP, UINT64_C(0x0000800000000000));
	wr_faults(machine, MSR_LASTBRANCH_0_TO_IP, BIT(63));
	wr(machine, MSR_IA32_DEBUGCTL, RECORD);
	jump(machine, UINT64_C(0x0000fffffffff000), UINT64_C(0x00007fffffffffff));
	expect_entry(machine, 0, UINT64_C(0xfffffffffffff000), UINT64_C(0x00007fffffffffff));
}

static void reserved_bits(void **state)
{
	struct machine *machine = *state;

	writable_bits(machine, MSR_LBR_SELECT, BITS(9, 0));
	wr(machine, MSR_LASTBRANCH_TOS, 0x25);
	assert_int_equal(tos(machine), 5);
	wr(machine, MSR_LBR_INFO_0, ~UINT64_C(0));
	assert_int_equal(rd(machine, MSR_LBR_INFO_0), BITS(63, 61) | BITS(15, 0));
}

/* One branch of each kind; which of them were recorded is in the bits of the answer, by enum pmu_model_branch. */
static unsigned recorded(struct machine *machine, uint64_t select)
{
	unsigned kinds = 0;

	wr(machine, MSR_LBR_SELECT, select);
	for (unsigned kind = 0; kind <= PMU_MODEL_INT; kind++) {
		unsigned before = tos(machine);

		branch(machine, (enum pmu_model_branch)kind, true, 0x1000, 0x2000);
		kinds |= tos(machine) != before ? 1u << kind : 0;
	}
	return kinds;
}

static void filters_suppress_kinds(void **state)
{
	static const struct {
		uint64_t select;
		unsigned kinds;
	} filters[] = {
		{ NOT_JCC, 1 << PMU_MODEL_JCC },
		{ NOT_REL_CALL, 1 << PMU_MODEL_CALL | 1 << PMU_MODEL_CALL_NEXT },
		{ NOT_IND_CALL, 1 << PMU_MODEL_CALL_INDIRECT },
		{ NOT_RET, 1 << PMU_MODEL_RET },
		{ NOT_IND_JMP, 1 << PMU_MODEL_JMP_INDIRECT },
		{ NOT_REL_JMP, 1 << PMU_MODEL_JMP },
		{ NOT_FAR, 1 << PMU_MODEL_FAR | 1 << PMU_MODEL_INT },
	};
	struct machine *machine = *state;
	unsigned all = (2 << PMU_MODEL_INT) - 1;

	wr(machine, MSR_IA32_DEBUGCTL, RECORD);
	assert_int_equal(recorded(machine, 0), all);
	for (unsigned i = 0; i < sizeof(filters) / sizeof(filters[0]); i++) {
		assert_int_equal(recorded(machine, filters[i].select), all & ~filters[i].kinds);
		assert_int_equal(recorded(machine, 0x1fc & ~filters[i].select), filters[i].kinds);
	}
}

static void untaken_branches_are_not_recorded(void **state)
{
	struct machine *machine = *state;

	wr(machine, MSR_IA32_DEBUGCTL, RECORD);
	branch(machine, PMU_MODEL_JCC, false, 0x1000, 0x1002);
	assert_int_equal(tos(machine), 0);
}

/* A branch belongs to the class that it ends in. */
static void filters_suppress_privilege(void **state)
{
	static const unsigned cpls[][2] = { { 0, 0 }, { 0, 3 }, { 3, 0 }, { 3, 3 }, { 1, 1 }, { 2, 0 } };
	struct machine *machine = *state;

	wr(machine, MSR_IA32_DEBUGCTL, RECORD);
	for (uint64_t select = 0; select < 4; select++) {
		wr(machine, MSR_LBR_SELECT, select);
		for (unsigned i = 0; i < 6; i++) {
			unsigned from = cpls[i][0], to = cpls[i][1], before = tos(machine);
			bool suppressed = select & (to ? NOT_CPL_123 : NOT_CPL_0);

			pmu_model_branch(machine->model, PMU_MODEL_FAR, true, transfer(i, from, i, to));
			retire(machine, from, 1);
			pmu_model_event(machine->model, transfer(i, from, i, to));
			assert_int_equal(tos(machine), (before + (suppressed ? 0 : 2)) % 32);
		}
	}
}

static void events_are_recorded(void **state)
{
	struct machine *machine = *state;

	wr(machine, MSR_IA32_DEBUGCTL, RECORD);
	event(machine, 0x1234, 0x8000);
	assert_int_equal(tos(machine), 1);
	expect_entry(machine, 0, 0x1234, 0x8000);
	assert_int_equal(entry(machine, 0).info & LBR_INFO_MISPREDICTED, 0);
	wr(machine, MSR_LBR_SELECT, NOT_FAR);
	event(machine, 0x1234, 0x8000);
	assert_int_equal(tos(machine), 1);
}

/* An instruction that faults or exits after its branch was reported did not branch. */
static void aborted_branches_are_not_recorded(void **state)
{
	struct machine *machine = *state;

	wr(machine, MSR_IA32_DEBUGCTL, RECORD);
	pmu_model_branch(machine->model, PMU_MODEL_CALL, true, transfer(0x1000, 3, 0x2000, 3));
	pmu_model_abort(machine->model);
	retire(machine, 3, 2);
	assert_int_equal(tos(machine), 0);
}

static void call(struct machine *machine, uint64_t from, uint64_t to)
{
	branch(machine, PMU_MODEL_CALL, true, from, to);
}

static void ret(struct machine *machine, uint64_t from, uint64_t to)
{
	branch(machine, PMU_MODEL_RET, true, from, to);
}

static void call_stack_pushes_and_pops(void **state)
{
	struct machine *machine = *state;

	wr(machine, MSR_LBR_SELECT, CALL_STACK);
	wr(machine, MSR_IA32_DEBUGCTL, RECORD);
	call(machine, 0x100, 0x1000);
	branch(machine, PMU_MODEL_CALL_INDIRECT, true, 0x1010, 0x2000);
	jump(machine, 0x2000, 0x2020);
	branch(machine, PMU_MODEL_JCC, true, 0x2020, 0x2040);
	event(machine, 0x2050, 0x9000);
	assert_int_equal(tos(machine), 2);
	expect_entry(machine, 0, 0x1010, 0x2000);
	expect_entry(machine, 1, 0x100, 0x1000);
	ret(machine, 0x2060, 0x1012);
	assert_int_equal(tos(machine), 1);
	call(machine, 0x1020, 0x3000);
	expect_entry(machine, 0, 0x1020, 0x3000);
	ret(machine, 0x3000, 0x1025);
	ret(machine, 0x1030, 0x105);
	assert_int_equal(tos(machine), 0);
	ret(machine, 0x110, 0x10); /* out of the outermost */
	assert_int_equal(tos(machine), 31);
}

/* A return flushes the call's entry. */
static void popped_entries_are_empty(void **state)
{
	struct machine *machine = *state;

	wr(machine, MSR_LBR_SELECT, CALL_STACK);
	wr(machine, MSR_IA32_DEBUGCTL, RECORD);
	call(machine, 0x100, 0x1000);
	ret(machine, 0x1000, 0x105);
	assert_int_equal(rd(machine, MSR_LASTBRANCH_0_FROM_IP + 1), 0);
	assert_int_equal(rd(machine, MSR_LASTBRANCH_0_TO_IP + 1), 0);
}

static void call_of_the_next_instruction_is_not_pushed(void **state)
{
	struct machine *machine = *state;

	wr(machine, MSR_LBR_SELECT, CALL_STACK);
	wr(machine, MSR_IA32_DEBUGCTL, RECORD);
	branch(machine, PMU_MODEL_CALL_NEXT, true, 0x100, 0x105);
	assert_int_equal(tos(machine), 0);
	wr(machine, MSR_LBR_SELECT, 0);
	branch(machine, PMU_MODEL_CALL_NEXT, true, 0x100, 0x105);
	assert_int_equal(tos(machine), 1);
}

/* The stack is one of the selected class: the other's calls and returns do not touch it. */
static void call_stack_of_one_class(void **state)
{
	struct machine *machine = *state;

	wr(machine, MSR_LBR_SELECT, CALL_STACK | NOT_CPL_0);
	wr(machine, MSR_IA32_DEBUGCTL, RECORD);
	call(machine, 0x100, 0x1000);
	pmu_model_branch(machine->model, PMU_MODEL_CALL, true, transfer(0x8000, 0, 0x9000, 0));
	retire(machine, 0, 1);
	pmu_model_branch(machine->model, PMU_MODEL_RET, true, transfer(0x9000, 0, 0x8005, 0));
	retire(machine, 0, 2);
	assert_int_equal(tos(machine), 1);
	expect_entry(machine, 0, 0x100, 0x1000);
}

static void call_stack_needs_calls_and_returns_alone(void **state)
{
	static const uint64_t wrong[] = { BIT(9), CALL_STACK & ~NOT_JCC, CALL_STACK & ~NOT_FAR,
					  CALL_STACK | NOT_REL_CALL };
	struct machine *machine = *state;

	wr(machine, MSR_IA32_DEBUGCTL, RECORD);
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		unsigned before = tos(machine);

		wr(machine, MSR_LBR_SELECT, wrong[i]);
		ret(machine, 0x1000, 0x2000);
		assert_int_equal(tos(machine), before + 1);
	}
}

/* Two core cycles an instruction, from the last record, whatever was not recorded between; saturating. */
static void cycles_since_the_last_record(void **state)
{
	struct machine *machine = *state;

	wr(machine, MSR_IA32_DEBUGCTL, RECORD);
	jump(machine, 0x1000, 0x2000);
	retire(machine, 3, 9);
	jump(machine, 0x3000, 0x4000);
	assert_int_equal(entry(machine, 0).info, 20);
	retire(machine, 0, 4);
	event(machine, 0x5000, 0x6000);
	assert_int_equal(entry(machine, 0).info, 10);
	jump(machine, 0x6000, 0x7000);
	assert_int_equal(entry(machine, 0).info, 0);
	branch(machine, PMU_MODEL_JCC, false, 0x7000, 0x7002);
	wr(machine, MSR_IA32_DEBUGCTL, 0);
	jump(machine, 0x7010, 0x8000);
	wr(machine, MSR_IA32_DEBUGCTL, RECORD);
	jump(machine, 0x8000, 0x9000);
	assert_int_equal(entry(machine, 0).info, 6);
	retire(machine, 3, 40000);
	jump(machine, 0x9000, 0xa000);
	assert_int_equal(entry(machine, 0).info, 0xffff);
}

/* The bit is the predictor's: a loop's jump is unexpected at first, a return to another place than the call's always. */
static void mispredictions(void **state)
{
	struct machine *machine = *state;

	wr(machine, MSR_IA32_DEBUGCTL, RECORD);
	for (unsigned i = 0; i < 4; i++) {
		branch(machine, PMU_MODEL_JCC, true, 0x1000, 0xff0);
		assert_int_equal(entry(machine, 0).info >> 63, i < 2);
	}
	call(machine, 0x2000, 0x3000);
	ret(machine, 0x3000, 0x2005);
	assert_int_equal(entry(machine, 0).info >> 63, 0);
	call(machine, 0x2000, 0x3000);
	ret(machine, 0x3000, 0x4000);
	assert_int_equal(entry(machine, 0).info >> 63, 1);
}

/* The branch that made the counter wrap is the last one recorded. */
static void freeze_on_pmi(void **state)
{
	struct machine *machine = *state;

	wr(machine, MSR_IA32_DEBUGCTL, RECORD | DEBUGCTL_FREEZE_LBRS_ON_PMI);
	start(machine, 0, BRANCHES | ALL | INT, MAX_48 - 2);
	for (unsigned i = 1; i <= 6; i++)
		jump(machine, 0x1000 * i, 0x1000 * i + 0x100);
	event(machine, 0x7000, 0x8000);
	assert_int_equal(tos(machine), 3);
	expect_entry(machine, 0, 0x3000, 0x3100);
	assert_int_equal(rd(machine, MSR_IA32_DEBUGCTL), RECORD | DEBUGCTL_FREEZE_LBRS_ON_PMI);
	wr(machine, MSR_IA32_PERF_GLOBAL_STATUS_RESET, STATUS_LBR_FRZ);
	jump(machine, 0x9000, 0xa000);
	assert_int_equal(tos(machine), 4);
	wr(machine, MSR_IA32_PERF_GLOBAL_STATUS_SET, STATUS_LBR_FRZ);
	jump(machine, 0x9000, 0xa000);
	assert_int_equal(tos(machine), 4);
}

static void debug_exception_switches_off(void **state)
{
	struct machine *machine = *state;

	wr(machine, MSR_IA32_DEBUGCTL, RECORD | DEBUGCTL_FREEZE_LBRS_ON_PMI);
	pmu_model_debug_exception(machine->model);
	event(machine, 0x1000, 0x2000);
	jump(machine, 0x3000, 0x4000);
	assert_int_equal(rd(machine, MSR_IA32_DEBUGCTL), DEBUGCTL_FREEZE_LBRS_ON_PMI);
	assert_int_equal(tos(machine), 0);
}

/* The branch before the last exception or interrupt; INT n is one too. */
static void last_exception_record(void **state)
{
	struct machine *machine = *state;

	wr(machine, MSR_IA32_DEBUGCTL, RECORD);
	jump(machine, 0x1000, 0x2000);
	event(machine, 0x2010, 0x9000);
	assert_int_equal(rd(machine, MSR_LER_FROM_IP), 0x1000);
	assert_int_equal(rd(machine, MSR_LER_FROM_IP + 1), 0x2000);
	jump(machine, 0x9000, 0x9100);
	assert_int_equal(rd(machine, MSR_LER_FROM_IP), 0x1000);
	branch(machine, PMU_MODEL_INT, true, 0x9110, 0xa000);
	assert_int_equal(rd(machine, MSR_LER_FROM_IP), 0x9000);
	branch(machine, PMU_MODEL_FAR, true, 0xa000, 0x9112);
	wr(machine, MSR_IA32_DEBUGCTL, 0);
	event(machine, 0x9120, 0xb000);
	assert_int_equal(rd(machine, MSR_LER_FROM_IP), 0x9000);
	wr_faults(machine, MSR_LER_FROM_IP, 0);
	wr_faults(machine, MSR_LER_FROM_IP + 1, 0);
}

/* Every exit clears DEBUGCTL, so root mode leaves the stack alone; neither transition is a branch; injection is one. */
static void vm_transitions(void **state)
{
	struct machine *machine = *state;
	struct pmu_model_vmcs vmcs = { .load_debugctl = true, .guest_debugctl = RECORD, .save_debugctl = true };

	jump(machine, 0x1000, 0x2000);
	pmu_model_vmentry(machine->model, &vmcs);
	assert_int_equal(tos(machine), 0);
	event(machine, 0x5000, 0x6000);
	jump(machine, 0x6000, 0x7000);
	pmu_model_branch(machine->model, PMU_MODEL_FAR, true, transfer(0x7000, 3, 0x8000, 0));
	pmu_model_vmexit(machine->model, &vmcs);
	assert_int_equal(vmcs.guest_debugctl, RECORD);
	jump(machine, 0x9000, 0xa000);
	pmu_model_vmentry(machine->model, &vmcs);
	jump(machine, 0x7000, 0x7100);
	assert_int_equal(tos(machine), 3);
	expect_entry(machine, 2, 0x5000, 0x6000);
	expect_entry(machine, 1, 0x6000, 0x7000);
	expect_entry(machine, 0, 0x7000, 0x7100);
	assert_int_equal(pmu_model_branches_recorded(machine->model, false), 3);
	assert_int_equal(pmu_model_branches_recorded(machine->model, true), 0);
}

static void absent_registers_fault(void **state)
{
	static const uint32_t legacy[] = { 0x1c8, 0x1c9, 0x1dd, 0x1de, 0x680, 0x69f, 0x6c0, 0x6df, 0xdc0, 0xddf };
	static const uint32_t arch[] = { 0x1e0, 0x14ce, 0x14cf, 0x1200, 0x1500, 0x1600, 0x161f };
	struct machine *machine = *state, *none = machine_new(&skylake);

	for (unsigned i = 0; i < sizeof(legacy) / sizeof(legacy[0]); i++) {
		rd_faults(none, legacy[i]);
		wr_faults(none, legacy[i], 0);
	}
	for (unsigned i = 0; i < sizeof(arch) / sizeof(arch[0]); i++) {
		rd_faults(machine, arch[i]);
		wr_faults(machine, arch[i], 0);
	}
	machine_free(none);
}

/* For PEBS: newest first, whatever TOS is. */
static void newest_first(void **state)
{
	struct machine *machine = *state;
	struct pmu_lbr_entry got;

	wr(machine, MSR_IA32_DEBUGCTL, RECORD);
	for (unsigned i = 1; i <= 40; i++)
		jump(machine, i, i + 1);
	for (unsigned age = 0; age < 32; age++) {
		assert_true(pmu_lbr_entry(machine->model, age, &got));
		assert_int_equal(got.from, 40 - age);
	}
	assert_false(pmu_lbr_entry(machine->model, 32, &got));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		MODEL_TEST(cpuid_and_format),
		MODEL_TEST(nothing_is_recorded_until_enabled),
		MODEL_TEST(tos_wraps),
		MODEL_TEST(registers_keep_what_is_written),
		MODEL_TEST(addresses_are_canonical),
		MODEL_TEST(reserved_bits),
		MODEL_TEST(filters_suppress_kinds),
		MODEL_TEST(untaken_branches_are_not_recorded),
		MODEL_TEST(filters_suppress_privilege),
		MODEL_TEST(events_are_recorded),
		MODEL_TEST(aborted_branches_are_not_recorded),
		MODEL_TEST(call_stack_pushes_and_pops),
		MODEL_TEST(popped_entries_are_empty),
		MODEL_TEST(call_of_the_next_instruction_is_not_pushed),
		MODEL_TEST(call_stack_of_one_class),
		MODEL_TEST(call_stack_needs_calls_and_returns_alone),
		MODEL_TEST(cycles_since_the_last_record),
		MODEL_TEST(mispredictions),
		MODEL_TEST(freeze_on_pmi),
		MODEL_TEST(debug_exception_switches_off),
		MODEL_TEST(last_exception_record),
		MODEL_TEST(vm_transitions),
		MODEL_TEST(absent_registers_fault),
		MODEL_TEST(newest_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
