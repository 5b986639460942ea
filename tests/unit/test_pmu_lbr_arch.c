/* Architectural last branch records, rule by rule: where they differ from the model-specific ones. */
#include <string.h>

#include "pmu_fixture.h"

#define EN         LBR_CTL_EN
#define COND       BIT(16)
#define REL_JMP    BIT(17)
#define IND_JMP    BIT(18)
#define REL_CALL   BIT(19)
#define IND_CALL   BIT(20)
#define RET        BIT(21)
#define OTHER      BIT(22)
#define RECORD     (EN | LBR_CTL_OS | LBR_CTL_USR | LBR_CTL_TYPES)
#define CALL_STACK (EN | LBR_CTL_USR | LBR_CTL_CALL_STACK | REL_CALL | IND_CALL | RET)

#define FROM(i) (MSR_IA32_LBR_0_FROM_IP + (i))
#define TO(i)   (MSR_IA32_LBR_0_TO_IP + (i))
#define INFO(i) (MSR_IA32_LBR_0_INFO + (i))

static int setup_arch(void **state)
{
	*state = machine_new(&pmu_model_sapphire_rapids);
	return 0;
}

static void jump(struct machine *machine, uint64_t from, uint64_t to)
{
	branch(machine, PMU_MODEL_JMP, true, from, to);
}

static bool is_empty(struct machine *machine, unsigned i)
{
	return !rd(machine, FROM(i)) && !rd(machine, TO(i)) && !rd(machine, INFO(i));
}

static void expect_entry(struct machine *machine, unsigned i, uint64_t from, uint64_t to)
{
	assert_int_equal(rd(machine, FROM(i)), from);
	assert_int_equal(rd(machine, TO(i)), to);
}

static void cpuid_enumerates(void **state)
{
	struct machine *machine = *state;
	uint32_t leaf[4] = { 1, 1, 1, 1 }, features[4] = { 0 };

	pmu_model_cpuid(machine->model, 0x1c, 0, leaf);
	assert_int_equal(leaf[0], 0x4000000b);
	assert_int_equal(leaf[1], 7);
	assert_int_equal(leaf[2], 7); /* no event logging */
	assert_int_equal(leaf[3], 0);
	pmu_model_cpuid(machine->model, 7, 0, features);
	assert_int_equal(features[3] & BIT(19), BIT(19));
	assert_int_equal(rd(machine, MSR_IA32_PERF_CAPABILITIES) & BITS(5, 0), 0x3f);
}

static void reset_values(void **state)
{
	struct machine *machine = *state;

	wr(machine, MSR_IA32_LBR_DEPTH, 8);
	wr(machine, MSR_IA32_LBR_CTL, RECORD);
	jump(machine, 0x1000, 0x2000);
	pmu_model_reset(machine->model);
	assert_int_equal(rd(machine, MSR_IA32_LBR_CTL), 0);
	assert_int_equal(rd(machine, MSR_IA32_LBR_DEPTH), 32);
	for (unsigned i = 0; i < 32; i++)
		assert_true(is_empty(machine, i));
}

/* Entry 0 is the newest, and everything moves up one. */
static void records_shift(void **state)
{
	struct machine *machine = *state;

	wr(machine, MSR_IA32_LBR_CTL, RECORD);
	for (unsigned i = 1; i <= 40; i++) {
		jump(machine, 0x1000 + i, 0x2000 + i);
		expect_entry(machine, 0, 0x1000 + i, 0x2000 + i);
	}
	for (unsigned i = 0; i < 32; i++)
		expect_entry(machine, i, 0x1000 + 40 - i, 0x2000 + 40 - i);
}

static void ctl_reserved_bits_fault(void **state)
{
	writable_bits(*state, MSR_IA32_LBR_CTL, BITS(3, 0) | BITS(22, 16));
}

/* Without the CPUID feature its bits are reserved. */
static void ctl_bits_come_with_features(void **state)
{
	struct pmu_model_caps caps = pmu_model_sapphire_rapids;
	struct machine *machine;

	(void)state;
	caps.arch_lbr[1] = 0;
	machine = machine_new(&caps);
	writable_bits(machine, MSR_IA32_LBR_CTL, EN);
	machine_free(machine);
}

static void depth_takes_what_cpuid_lists(void **state)
{
	struct machine *machine = *state;

	for (uint64_t depth = 0; depth < 200; depth++) {
		if (depth == 8 || depth == 16 || depth == 32)
			wr(machine, MSR_IA32_LBR_DEPTH, depth);
		else
			wr_faults(machine, MSR_IA32_LBR_DEPTH, depth);
	}
	wr_faults(machine, MSR_IA32_LBR_DEPTH, BIT(32) | 8);
}

static void depth_limits_the_entries(void **state)
{
	struct machine *machine = *state;
	uint64_t value;

	wr(machine, MSR_IA32_LBR_DEPTH, 16);
	wr(machine, MSR_IA32_LBR_CTL, RECORD);
	for (unsigned i = 1; i <= 20; i++)
		jump(machine, i, i + 1);
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(rd(machine, FROM(i)), 20 - i);
	for (unsigned i = 16; i < 64; i++) {
		rd_faults(machine, FROM(i));
		wr_faults(machine, TO(i), 0);
		wr_faults(machine, INFO(i), 0);
	}
	assert_int_equal(pmu_model_rdmsr(machine->model, FROM(64), &value), PMU_MODEL_UNKNOWN);
}

/* Also with the depth it has; LER and CTL stay. */
static void depth_write_empties(void **state)
{
	struct machine *machine = *state;

	wr(machine, MSR_LER_FROM_IP, 0x1234);
	wr(machine, MSR_IA32_LBR_CTL, RECORD);
	for (unsigned i = 1; i <= 40; i++)
		jump(machine, i, i + 1);
	wr(machine, MSR_IA32_LBR_DEPTH, 32);
	for (unsigned i = 0; i < 32; i++)
		assert_true(is_empty(machine, i));
	assert_int_equal(rd(machine, MSR_LER_FROM_IP), 0x1234);
	assert_int_equal(rd(machine, MSR_IA32_LBR_CTL), RECORD);
}

/* No write of an entry or of LER faults: addresses become canonical, undefined bits of INFO are lost. */
static void writes_do_not_fault(void **state)
{
	static const uint32_t addresses[] = { FROM(3), TO(3), MSR_LER_FROM_IP, MSR_LER_FROM_IP + 1 };
	static const uint32_t infos[] = { INFO(3), MSR_IA32_LER_INFO };
	struct machine *machine = *state;

	for (unsigned i = 0; i < 4; i++) {
		wr(machine, addresses[i], UINT64_C(0xff00123456789abc));
		assert_int_equal(rd(machine, addresses[i]), UINT64_C(0x0000123456789abc));
		wr(machine, addresses[i], UINT64_C(0x0000f23456789abc));
		assert_int_equal(rd(machine, addresses[i]), UINT64_C(0xfffff23456789abc));
	}
	for (unsigned i = 0; i < 2; i++) {
		wr(machine, infos[i], ~UINT64_C(0));
		assert_int_equal(rd(machine, infos[i]), BITS(63, 56) | BITS(15, 0));
	}
}

static const struct {
	enum pmu_model_branch kind;
	uint64_t bit;
	unsigned type;
} kinds[] = {
	{ PMU_MODEL_JCC, COND, 0 },      { PMU_MODEL_JMP_INDIRECT, IND_JMP, 1 },
	{ PMU_MODEL_JMP, REL_JMP, 2 },   { PMU_MODEL_CALL_INDIRECT, IND_CALL, 3 },
	{ PMU_MODEL_CALL, REL_CALL, 4 }, { PMU_MODEL_CALL_NEXT, REL_CALL, 4 },
	{ PMU_MODEL_RET, RET, 5 },       { PMU_MODEL_FAR, OTHER, 8 },
	{ PMU_MODEL_INT, OTHER, 8 },
};
#define NR_KINDS (sizeof(kinds) / sizeof(kinds[0]))

/* Here a one records. */
static void filters_select_kinds(void **state)
{
	struct machine *machine = *state;

	for (unsigned bit = 16; bit <= 22; bit++) {
		for (unsigned i = 0; i < NR_KINDS; i++) {
			wr(machine, MSR_IA32_LBR_DEPTH, 32);
			wr(machine, MSR_IA32_LBR_CTL, EN | LBR_CTL_USR | BIT(bit));
			branch(machine, kinds[i].kind, true, 0x1000, 0x2000);
			assert_int_equal(!is_empty(machine, 0), kinds[i].bit == BIT(bit));
		}
	}
}

static void info_tells_the_type(void **state)
{
	struct machine *machine = *state;

	wr(machine, MSR_IA32_LBR_CTL, RECORD);
	for (unsigned i = 0; i < NR_KINDS; i++) {
		branch(machine, kinds[i].kind, true, 0x1000, 0x2000);
		assert_int_equal(rd(machine, INFO(0)) >> 56 & 0xf, kinds[i].type);
	}
	pmu_model_event(machine->model, transfer(0x1000, 3, 0x2000, 0));
	assert_int_equal(rd(machine, INFO(0)) >> 56 & 0xf, 8);
}

/* The class at the end decides; where it began is hidden if that class is not recorded. */
static void filters_select_privilege(void **state)
{
	struct machine *machine = *state;

	for (unsigned rings = 0; rings < 4; rings++) {
		for (unsigned from = 0; from < 4; from += 3) {
			for (unsigned to = 0; to < 4; to += 3) {
				bool from_selected = rings & (from ? 2 : 1), to_selected = rings & (to ? 2 : 1);

				wr(machine, MSR_IA32_LBR_DEPTH, 32);
				wr(machine, MSR_IA32_LBR_CTL, EN | LBR_CTL_TYPES | rings << 1);
				pmu_model_branch(machine->model, PMU_MODEL_FAR, true, transfer(0x10, from, 0x20, to));
				retire(machine, from, 1);
				assert_int_equal(rd(machine, FROM(0)), !to_selected    ? 0
								       : from_selected ? 0x10
										       : ~UINT64_C(0));
				assert_int_equal(rd(machine, TO(0)), to_selected ? 0x20 : 0);
			}
		}
	}
}

/* The first record has nothing to count from. */
static void cycles_are_valid_from_the_second_on(void **state)
{
	struct machine *machine = *state;

	wr(machine, MSR_IA32_LBR_CTL, RECORD);
	retire(machine, 3, 5);
	jump(machine, 0x1000, 0x2000);
	assert_int_equal(rd(machine, INFO(0)), UINT64_C(2) << 56);
	retire(machine, 3, 5);
	jump(machine, 0x1000, 0x2000);
	assert_int_equal(rd(machine, INFO(0)), UINT64_C(2) << 56 | LBR_INFO_CYCLES_VALID | 12);
	wr(machine, MSR_IA32_LBR_DEPTH, 32);
	jump(machine, 0x1000, 0x2000);
	assert_int_equal(rd(machine, INFO(0)), UINT64_C(2) << 56);
}

static void mispredictions(void **state)
{
	struct machine *machine = *state;

	wr(machine, MSR_IA32_LBR_CTL, RECORD);
	branch(machine, PMU_MODEL_JCC, true, 0x1000, 0x2000);
	assert_int_equal(rd(machine, INFO(0)) >> 63, 1);
}

static void call_stack_pops(void **state)
{
	struct machine *machine = *state;

	wr(machine, MSR_IA32_LBR_DEPTH, 8);
	wr(machine, MSR_IA32_LBR_CTL, CALL_STACK);
	for (unsigned i = 1; i <= 8; i++)
		branch(machine, PMU_MODEL_CALL, true, 0x100 * i, 0x100 * i + 0x80);
	branch(machine, PMU_MODEL_JMP, true, 0x1000, 0x2000);
	branch(machine, PMU_MODEL_CALL_NEXT, true, 0x2000, 0x2005);
	branch(machine, PMU_MODEL_RET, true, 0x900, 0x805);
	expect_entry(machine, 0, 0x700, 0x780);
	expect_entry(machine, 6, 0x100, 0x180);
	assert_true(is_empty(machine, 7));
}

static void other_call_stack_selections_push(void **state)
{
	static const uint64_t wrong[] = { CALL_STACK | COND, CALL_STACK & ~REL_CALL, CALL_STACK | OTHER };
	struct machine *machine = *state;

	for (unsigned i = 0; i < 3; i++) {
		wr(machine, MSR_IA32_LBR_DEPTH, 32);
		wr(machine, MSR_IA32_LBR_CTL, wrong[i]);
		branch(machine, PMU_MODEL_RET, true, 0x1000, 0x2000);
		expect_entry(machine, 0, 0x1000, 0x2000);
	}
}

static void freeze_on_pmi(void **state)
{
	struct machine *machine = *state;

	wr(machine, MSR_IA32_DEBUGCTL, DEBUGCTL_FREEZE_LBRS_ON_PMI);
	wr(machine, MSR_IA32_LBR_CTL, RECORD);
	start(machine, 0, BRANCHES | ALL | INT, MAX_48 - 2);
	for (unsigned i = 1; i <= 6; i++)
		jump(machine, i, i + 1);
	assert_int_equal(rd(machine, FROM(0)), 3);
	assert_int_equal(rd(machine, MSR_IA32_LBR_CTL), RECORD);
	wr(machine, MSR_IA32_PERF_GLOBAL_STATUS_RESET, STATUS_LBR_FRZ);
	jump(machine, 9, 10);
	assert_int_equal(rd(machine, FROM(0)), 9);
}

/* It can be written, reads 0 and does nothing. */
static void debugctl_enables_nothing(void **state)
{
	struct machine *machine = *state;
	struct pmu_model_vmcs vmcs = { .load_debugctl = true, .guest_debugctl = DEBUGCTL_LBR | DEBUGCTL_BTF };

	wr(machine, MSR_IA32_DEBUGCTL, DEBUGCTL_LBR | DEBUGCTL_BTF);
	assert_int_equal(rd(machine, MSR_IA32_DEBUGCTL), DEBUGCTL_BTF);
	assert_true(pmu_model_vmentry_guest_ok(machine->model, &vmcs));
	pmu_model_vmentry(machine->model, &vmcs);
	assert_int_equal(rd(machine, MSR_IA32_DEBUGCTL), DEBUGCTL_BTF);
	wr(machine, MSR_IA32_LBR_CTL, RECORD & ~EN);
	jump(machine, 0x1000, 0x2000);
	assert_true(is_empty(machine, 0));
}

static void debug_exception_switches_off(void **state)
{
	struct machine *machine = *state;

	wr(machine, MSR_IA32_LBR_CTL, RECORD);
	pmu_model_debug_exception(machine->model);
	pmu_model_event(machine->model, transfer(0x1000, 3, 0x2000, 0));
	assert_int_equal(rd(machine, MSR_IA32_LBR_CTL), RECORD & ~EN);
	assert_true(is_empty(machine, 0));
}

static void last_event_record(void **state)
{
	struct machine *machine = *state;

	wr(machine, MSR_IA32_LBR_CTL, RECORD);
	jump(machine, 0x1000, 0x2000);
	pmu_model_event(machine->model, transfer(0x2000, 3, 0x9000, 0));
	assert_int_equal(rd(machine, MSR_LER_FROM_IP), 0x1000);
	assert_int_equal(rd(machine, MSR_LER_FROM_IP + 1), 0x2000);
	assert_int_equal(rd(machine, MSR_IA32_LER_INFO) >> 56 & 0xf, 2);
}

/* Without the two controls the stack goes on recording through the transitions, which are no branches themselves. */
static void transitions_change_nothing_by_default(void **state)
{
	struct machine *machine = *state;
	struct pmu_model_vmcs vmcs = { 0 };

	wr(machine, MSR_IA32_LBR_CTL, RECORD);
	jump(machine, 1, 2);
	pmu_model_vmentry(machine->model, &vmcs);
	jump(machine, 3, 4);
	pmu_model_vmexit(machine->model, &vmcs);
	assert_int_equal(vmcs.guest_lbr_ctl, RECORD);
	jump(machine, 5, 6);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(rd(machine, FROM(i)), 5 - 2 * i);
	assert_true(is_empty(machine, 3));
	assert_int_equal(pmu_model_branches_recorded(machine->model, false), 3);
	assert_int_equal(pmu_model_branches_recorded(machine->model, true), 1);
}

static void controls_load_and_clear(void **state)
{
	struct machine *machine = *state;
	struct pmu_model_vmcs vmcs = { .load_lbr_ctl = true, .clear_lbr_ctl = true, .guest_lbr_ctl = RECORD };

	pmu_model_vmentry(machine->model, &vmcs);
	assert_int_equal(rd(machine, MSR_IA32_LBR_CTL), RECORD);
	wr(machine, MSR_IA32_LBR_CTL, RECORD & ~OTHER);
	jump(machine, 1, 2);
	pmu_model_vmexit(machine->model, &vmcs);
	assert_int_equal(vmcs.guest_lbr_ctl, RECORD & ~OTHER);
	assert_int_equal(rd(machine, MSR_IA32_LBR_CTL), 0);
	jump(machine, 3, 4);
	expect_entry(machine, 0, 1, 2);
}

static void entry_checks_reserved_bits(void **state)
{
	struct machine *machine = *state;

	for (unsigned bit = 0; bit < 64; bit++) {
		struct pmu_model_vmcs vmcs = { .load_lbr_ctl = true, .guest_lbr_ctl = BIT(bit) };

		assert_int_equal(pmu_model_vmentry_guest_ok(machine->model, &vmcs),
				 !!(BIT(bit) & (BITS(3, 0) | BITS(22, 16))));
		vmcs.load_lbr_ctl = false;
		assert_true(pmu_model_vmentry_guest_ok(machine->model, &vmcs));
	}
}

/* SDM Vol. 1, "Architectural LBR State": CTL, DEPTH, LER, then FROM, TO, INFO of each entry. */
static void xsave_layout(void **state)
{
	struct machine *machine = *state;
	uint64_t image[PMU_MODEL_LBR_XSAVE_SIZE / 8];

	memset(image, 0xee, sizeof(image));
	wr(machine, MSR_IA32_LBR_DEPTH, 16);
	wr(machine, MSR_IA32_LBR_CTL, COND);
	wr(machine, MSR_LER_FROM_IP, 1);
	wr(machine, MSR_LER_FROM_IP + 1, 2);
	wr(machine, MSR_IA32_LER_INFO, 3);
	for (unsigned i = 0; i < 16; i++) {
		wr(machine, FROM(i), 0x100 + i);
		wr(machine, TO(i), 0x200 + i);
		wr(machine, INFO(i), 0x300 + i);
	}
	assert_int_equal(pmu_model_lbr_xsave(machine->model, image), 0x28 + 16 * 24);
	assert_int_equal(image[0], COND);
	assert_int_equal(image[1], 16);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(image[2 + i], i + 1);
	for (unsigned i = 0; i < 16 * 3; i++)
		assert_int_equal(image[5 + i], 0x100 * (i % 3 + 1) + i / 3);
	for (unsigned i = 5 + 16 * 3; i < sizeof(image) / 8; i++)
		assert_int_equal(image[i], UINT64_C(0xeeeeeeeeeeeeeeee));
}

static void xrstor_gives_back(void **state)
{
	struct machine *machine = *state;
	uint64_t image[PMU_MODEL_LBR_XSAVE_SIZE / 8], again[PMU_MODEL_LBR_XSAVE_SIZE / 8];

	wr(machine, MSR_IA32_LBR_CTL, RECORD);
	for (unsigned i = 1; i <= 45; i++)
		jump(machine, i, i + 1);
	pmu_model_event(machine->model, transfer(0x1000, 3, 0x2000, 0));
	assert_int_equal(pmu_model_lbr_xsave(machine->model, image), sizeof(image));
	pmu_model_lbr_xinit(machine->model);
	assert_int_equal(rd(machine, MSR_IA32_LBR_CTL), 0);
	assert_int_equal(rd(machine, MSR_LER_FROM_IP), 0);
	assert_true(is_empty(machine, 0));
	assert_true(pmu_model_lbr_xrstor(machine->model, image));
	pmu_model_lbr_xsave(machine->model, again);
	assert_memory_equal(image, again, sizeof(image));
	jump(machine, 0x100, 0x200); /* it records again */
	expect_entry(machine, 0, 0x100, 0x200);
	expect_entry(machine, 1, 0x1000, 0x2000);
}

static void xrstor_of_another_depth_empties(void **state)
{
	struct machine *machine = *state;
	uint64_t image[PMU_MODEL_LBR_XSAVE_SIZE / 8];

	wr(machine, MSR_IA32_LBR_CTL, RECORD);
	jump(machine, 1, 2);
	pmu_model_event(machine->model, transfer(3, 3, 4, 0));
	pmu_model_lbr_xsave(machine->model, image);
	wr(machine, MSR_IA32_LBR_CTL, 0);
	wr(machine, MSR_IA32_LBR_DEPTH, 16);
	wr(machine, FROM(2), 5);
	wr(machine, MSR_LER_FROM_IP, 6);
	assert_true(pmu_model_lbr_xrstor(machine->model, image));
	assert_int_equal(rd(machine, MSR_IA32_LBR_DEPTH), 16);
	assert_int_equal(rd(machine, MSR_IA32_LBR_CTL), RECORD);
	assert_int_equal(rd(machine, MSR_LER_FROM_IP), 1);
	for (unsigned i = 0; i < 16; i++)
		assert_true(is_empty(machine, i));
}

static void xrstor_of_reserved_bits_faults(void **state)
{
	struct machine *machine = *state;
	uint64_t image[PMU_MODEL_LBR_XSAVE_SIZE / 8] = { 0, BIT(32) | 32 };

	wr(machine, FROM(0), 5);
	assert_false(pmu_model_lbr_xrstor(machine->model, image));
	image[0] = BIT(4);
	image[1] = 32;
	assert_false(pmu_model_lbr_xrstor(machine->model, image));
	assert_int_equal(rd(machine, FROM(0)), 5);
}

static void initial_state(void **state)
{
	static const uint32_t msrs[] = { MSR_IA32_LBR_CTL, MSR_LER_FROM_IP, MSR_IA32_LER_INFO, FROM(31), INFO(0) };
	struct machine *machine = *state;

	wr(machine, MSR_IA32_LBR_DEPTH, 32);
	assert_false(pmu_model_lbr_in_use(machine->model));
	for (unsigned i = 0; i < sizeof(msrs) / sizeof(msrs[0]); i++) {
		wr(machine, msrs[i], EN);
		assert_true(pmu_model_lbr_in_use(machine->model));
		wr(machine, msrs[i], 0);
		assert_false(pmu_model_lbr_in_use(machine->model));
	}
}

#define ARCH_TEST(name) cmocka_unit_test_setup_teardown(name, setup_arch, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ARCH_TEST(cpuid_enumerates),
		ARCH_TEST(reset_values),
		ARCH_TEST(records_shift),
		ARCH_TEST(ctl_reserved_bits_fault),
		cmocka_unit_test(ctl_bits_come_with_features),
		ARCH_TEST(depth_takes_what_cpuid_lists),
		ARCH_TEST(depth_limits_the_entries),
		ARCH_TEST(depth_write_empties),
		ARCH_TEST(writes_do_not_fault),
		ARCH_TEST(filters_select_kinds),
		ARCH_TEST(info_tells_the_type),
		ARCH_TEST(filters_select_privilege),
		ARCH_TEST(cycles_are_valid_from_the_second_on),
		ARCH_TEST(mispredictions),
		ARCH_TEST(call_stack_pops),
		ARCH_TEST(other_call_stack_selections_push),
		ARCH_TEST(freeze_on_pmi),
		ARCH_TEST(debugctl_enables_nothing),
		ARCH_TEST(debug_exception_switches_off),
		ARCH_TEST(last_event_record),
		ARCH_TEST(transitions_change_nothing_by_default),
		ARCH_TEST(controls_load_and_clear),
		ARCH_TEST(entry_checks_reserved_bits),
		ARCH_TEST(xsave_layout),
		ARCH_TEST(xrstor_gives_back),
		ARCH_TEST(xrstor_of_another_depth_empties),
		ARCH_TEST(xrstor_of_reserved_bits_faults),
		ARCH_TEST(initial_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
