/* AMD's last branch records, rule by rule. */
#include <string.h>

#include "amd_fixture.h"

#define SELECT      0xc000010eu
#define EXTENSION   0xc000010fu
#define LBRV2EN     BIT(6)
#define FROM(n)     (0xc0010300u + 2 * (n))
#define TO(n)       (0xc0010301u + 2 * (n))
#define VALID       BIT(63)
#define BR_FROM     0x1dbu
#define BR_TO       0x1dcu
#define INT_FROM    0x1ddu
#define INT_TO      0x1deu
#define NOT_CPL_0   BIT(0)
#define NOT_CPL_123 BIT(1)

static void jump(struct machine *machine, uint64_t from, uint64_t to)
{
	branch(machine, PMU_MODEL_JMP, true, from, to);
}

static void event(struct machine *machine, uint64_t from, uint64_t to)
{
	pmu_model_event(machine->model, transfer(from, 3, to, 0));
}

static void expect(struct machine *machine, unsigned n, uint64_t from, uint64_t to)
{
	assert_int_equal(rd(machine, FROM(n)), from);
	assert_int_equal(rd(machine, TO(n)), to);
}

static void nothing_until_enabled(void **state)
{
	struct machine *machine = *state;

	jump(machine, 0x1000, 0x2000);
	event(machine, 0x2000, 0x3000);
	for (unsigned n = 0; n < 16; n++)
		expect(machine, n, 0, 0);
	wr(machine, EXTENSION, LBRV2EN);
	jump(machine, 0x1000, 0x2000);
	wr(machine, EXTENSION, 0);
	jump(machine, 0x5000, 0x6000);
	expect(machine, 0, 0x1000, 0x2000 | VALID);
	expect(machine, 1, 0, 0);
}

/* Entry 0 is the newest; the oldest of sixteen falls out. */
static void newest_first(void **state)
{
	struct machine *machine = *state;

	wr(machine, EXTENSION, LBRV2EN);
	for (unsigned i = 1; i <= 40; i++) {
		jump(machine, 0x1000 + i, 0x2000 + i);
		for (unsigned n = 0; n < 16; n++)
			expect(machine, n, n < i ? 0x1000 + i - n : 0, n < i ? (0x2000 + i - n) | VALID : 0);
	}
}

/* Addresses have 58 bits; the sign is not extended. */
static void kernel_addresses(void **state)
{
	struct machine *machine = *state;

	wr(machine, EXTENSION, LBRV2EN);
	jump(machine, UINT64_C(0xffffffff81000000), UINT64_C(0xffffffff82000000));
	expect(machine, 0, UINT64_C(0x03ffffff81000000), UINT64_C(0x03ffffff82000000) | VALID);
}

static void mispredictions(void **state)
{
	struct machine *machine = *state;

	wr(machine, EXTENSION, LBRV2EN);
	branch(machine, PMU_MODEL_JCC, true, 0x1000, 0x2000);
	for (unsigned i = 0; i < 4; i++)
		branch(machine, PMU_MODEL_JCC, true, 0x1000, 0x2000);
	expect(machine, 4, 0x1000 | BIT(63), 0x2000 | VALID);
	expect(machine, 0, 0x1000, 0x2000 | VALID);
}

static void untaken_and_aborted_branches(void **state)
{
	struct machine *machine = *state;

	wr(machine, EXTENSION, LBRV2EN);
	branch(machine, PMU_MODEL_JCC, false, 0x1000, 0x1002);
	pmu_model_branch(machine->model, PMU_MODEL_CALL, true, transfer(0x1000, 3, 0x2000, 3));
	pmu_model_abort(machine->model);
	retire(machine, 3, 1);
	expect(machine, 0, 0, 0);
}

/* A set bit suppresses its kind. */
static void select_suppresses_kinds(void **state)
{
	static const struct {
		enum pmu_model_branch kind;
		unsigned bit;
	} kinds[] = {
		{ PMU_MODEL_JCC, 2 },           { PMU_MODEL_CALL, 3 }, { PMU_MODEL_CALL_NEXT, 3 },
		{ PMU_MODEL_CALL_INDIRECT, 4 }, { PMU_MODEL_RET, 5 },  { PMU_MODEL_JMP_INDIRECT, 6 },
		{ PMU_MODEL_JMP, 7 },           { PMU_MODEL_FAR, 8 },  { PMU_MODEL_INT, 8 },
	};
	struct machine *machine = *state;

	wr(machine, EXTENSION, LBRV2EN);
	for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		wr(machine, SELECT, BIT(kinds[i].bit));
		branch(machine, kinds[i].kind, true, 0x7000 + i, 0x8000);
		assert_int_not_equal(rd(machine, FROM(0)) & 0xffff, 0x7000 + i);
		wr(machine, SELECT, BITS(8, 2) & ~BIT(kinds[i].bit));
		branch(machine, kinds[i].kind, true, 0x7000 + i, 0x8000);
		assert_int_equal(rd(machine, FROM(0)) & 0xffff, 0x7000 + i);
	}
}

static void select_suppresses_privilege(void **state)
{
	struct machine *machine = *state;

	wr(machine, EXTENSION, LBRV2EN);
	wr(machine, SELECT, NOT_CPL_0);
	event(machine, 0x1000, 0x2000);
	expect(machine, 0, 0, 0);
	jump(machine, 0x3000, 0x4000);
	expect(machine, 0, 0x3000, 0x4000 | VALID);
	wr(machine, SELECT, NOT_CPL_123);
	jump(machine, 0x5000, 0x6000);
	expect(machine, 0, 0x3000, 0x4000 | VALID);
	event(machine, 0x1000, 0x2000);
	expect(machine, 0, 0x1000, 0x2000 | VALID);
}

/* Bits without meaning are ignored. */
static void register_bits(void **state)
{
	struct machine *machine = *state;

	wr(machine, SELECT, ~UINT64_C(0));
	assert_int_equal(rd(machine, SELECT), 0x1ff);
	wr(machine, EXTENSION, ~UINT64_C(0));
	assert_int_equal(rd(machine, EXTENSION), LBRV2EN);
	for (unsigned n = 0; n < 16; n++) {
		wr(machine, FROM(n), ~UINT64_C(0));
		wr(machine, TO(n), ~UINT64_C(0));
		expect(machine, n, BITS(57, 0) | BIT(63), BITS(57, 0) | BIT(62) | BIT(63));
	}
}

/* DebugCtl[11]: the interrupt stops the recording, status bit 58 shows it and going on is clearing that. */
static void freeze_on_pmi(void **state)
{
	struct machine *machine = *state;

	wr(machine, EXTENSION, LBRV2EN);
	wr(machine, DEBUGCTL, BIT(11));
	count(machine, 0, INSTRUCTIONS | ALL | INT, MAX_48 - 1);
	jump(machine, 0x1000, 0x2000);
	jump(machine, 0x2000, 0x3000);
	jump(machine, 0x3000, 0x4000);
	assert_int_equal(rd(machine, STATUS), BIT(0) | BIT(58));
	expect(machine, 0, 0x2000, 0x3000 | VALID);
	wr(machine, STATUS_CLR, BIT(58));
	jump(machine, 0x4000, 0x5000);
	expect(machine, 0, 0x4000, 0x5000 | VALID);
}

/* The one of DebugCtl.LBR, with the one before the last event; nothing selects there. */
static void last_branch_and_last_event(void **state)
{
	struct machine *machine = *state;

	wr(machine, DEBUGCTL, BIT(0));
	jump(machine, 0x1000, 0x2000);
	assert_int_equal(rd(machine, BR_FROM), 0x1000);
	assert_int_equal(rd(machine, BR_TO), 0x2000);
	event(machine, 0x2004, 0x3000);
	assert_int_equal(rd(machine, BR_FROM), 0x2004);
	assert_int_equal(rd(machine, BR_TO), 0x3000);
	assert_int_equal(rd(machine, INT_FROM), 0x1000);
	assert_int_equal(rd(machine, INT_TO), 0x2000);
	for (uint32_t msr = BR_FROM; msr <= INT_TO; msr++)
		wr_faults(machine, msr, 0);
}

/* A debug exception switches it off, and is not recorded itself. */
static void debug_exception(void **state)
{
	struct machine *machine = *state;

	wr(machine, DEBUGCTL, BIT(0));
	jump(machine, 0x1000, 0x2000);
	pmu_model_debug_exception(machine->model);
	event(machine, 0x2004, 0x3000);
	assert_int_equal(rd(machine, DEBUGCTL), 0);
	assert_int_equal(rd(machine, BR_FROM), 0x1000);
}

static void zen3_has_no_stack(void **state)
{
	struct machine *machine = *state;

	rd_faults(machine, SELECT);
	rd_faults(machine, EXTENSION);
	wr_faults(machine, EXTENSION, LBRV2EN);
	for (unsigned n = 0; n < 16; n++) {
		rd_faults(machine, FROM(n));
		wr_faults(machine, TO(n), 0);
	}
}

/* Without LBR virtualization the stack and its registers are whoever's runs. */
static void shared_by_host_and_guest(void **state)
{
	struct pmu_model_vmcb vmcb = { .dbg_extn_cfg = 0 };
	struct machine *machine = *state;

	pmu_model_svme(machine->model, true);
	wr(machine, EXTENSION, LBRV2EN);
	vmrun(machine, &vmcb, 0);
	jump(machine, 0x1000, 0x2000);
	pmu_model_svm_exit(machine->model, &vmcb);
	expect(machine, 0, 0x1000, 0x2000 | VALID);
	assert_int_equal(vmcb.lbrs[0].from, 0);
}

/*
 * With it VMRUN loads the guest's, and #VMEXIT saves them. The host gets its DebugCtl and DebugExtnCtl again, but not
 * its stack and filter: APM Vol. 2, "Hardware Acceleration for LBR Virtualization".
 */
static void virtualized(void **state)
{
	struct pmu_model_vmcb vmcb = {
		.lbr_virtualization = true,
		.debugctl = BIT(11) | BIT(0),
		.dbg_extn_cfg = LBRV2EN,
		.lbr_select = BIT(5),
		.br_from = 0x77,
		.lbrs = { { 0x111, 0x222 | VALID } },
	};
	struct machine *machine = *state;

	pmu_model_svme(machine->model, true);
	wr(machine, EXTENSION, LBRV2EN);
	wr(machine, SELECT, BIT(2));
	jump(machine, 0xa000, 0xb000);
	vmrun(machine, &vmcb, 0);
	assert_int_equal(rd(machine, DEBUGCTL), BIT(11) | BIT(0));
	assert_int_equal(rd(machine, SELECT), BIT(5));
	expect(machine, 0, 0x111, 0x222 | VALID);
	jump(machine, 0x1000, 0x2000);
	expect(machine, 1, 0x111, 0x222 | VALID);
	wr(machine, SELECT, BIT(7));
	pmu_model_svm_exit(machine->model, &vmcb);
	expect(machine, 0, 0x1000, 0x2000 | VALID);
	assert_int_equal(rd(machine, DEBUGCTL), 0);
	assert_int_equal(rd(machine, EXTENSION), LBRV2EN);
	assert_int_equal(rd(machine, SELECT), BIT(7));
	assert_int_equal(vmcb.lbr_select, BIT(7));
	assert_int_equal(vmcb.br_from, 0x1000);
	assert_int_equal(vmcb.lbrs[0].from, 0x1000);
	assert_int_equal(vmcb.lbrs[0].to, 0x2000 | VALID);
	assert_int_equal(vmcb.lbrs[1].from, 0x111);
}

static void records_of_the_host_are_counted_apart(void **state)
{
	struct pmu_model_vmcb vmcb = { 0 };
	struct machine *machine = *state;

	wr(machine, EXTENSION, LBRV2EN);
	pmu_model_svme(machine->model, true);
	vmrun(machine, &vmcb, 0);
	pmu_model_svm_exit(machine->model, &vmcb);
	jump(machine, 0x1000, 0x2000);
	assert_int_equal(pmu_model_branches_recorded(machine->model, true), 1);
	assert_int_equal(pmu_model_branches_recorded(machine->model, false), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ZEN4_TEST(nothing_until_enabled),
		ZEN4_TEST(newest_first),
		ZEN4_TEST(kernel_addresses),
		ZEN4_TEST(mispredictions),
		ZEN4_TEST(untaken_and_aborted_branches),
		ZEN4_TEST(select_suppresses_kinds),
		ZEN4_TEST(select_suppresses_privilege),
		ZEN4_TEST(register_bits),
		ZEN4_TEST(freeze_on_pmi),
		ZEN3_TEST(last_branch_and_last_event),
		ZEN4_TEST(last_branch_and_last_event),
		ZEN4_TEST(debug_exception),
		ZEN3_TEST(zen3_has_no_stack),
		ZEN4_TEST(shared_by_host_and_guest),
		ZEN4_TEST(virtualized),
		ZEN4_TEST(records_of_the_host_are_counted_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
