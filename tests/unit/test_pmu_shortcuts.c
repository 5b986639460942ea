/* The PMU model counts the same whether or not it looks at every instruction. */
#include "pebs_fixture.h"

/*
 * The same random program on two models, one of which looks at every instruction: everything a program can read, and
 * when every PMI comes, must be equal after every step.
 */
static uint64_t random_bits(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed * UINT64_C(0x2545f4914f6cdd1d) ^ *seed >> 29;
}

static const uint32_t observed[] = { 0xc1,  0xc2,  0xc3,  0xc4,  0xc5,  0xc6,  0xc7,  0xc8,  0x309,
				     0x30a, 0x30b, 0x30c, 0x186, 0x187, 0x188, 0x189, 0x18a, 0x18b,
				     0x18c, 0x18d, 0x1d9, 0x329, 0x38d, 0x38e, 0x38f, 0x392, 0x3f1 };

static void expect_same(struct pebs_machine *fast, struct pebs_machine *slow)
{
	for (unsigned i = 0; i < sizeof(observed) / sizeof(observed[0]); i++)
		assert_int_equal(rd(&fast->machine, observed[i]), rd(&slow->machine, observed[i]));
	assert_int_equal(fast->machine.pmis, slow->machine.pmis);
	assert_int_equal(fast->machine.retired_at_pmi, slow->machine.retired_at_pmi);
	assert_int_equal(pmu_model_read_lvtpc(fast->machine.model), pmu_model_read_lvtpc(slow->machine.model));
	assert_memory_equal(fast->memory, slow->memory, sizeof(fast->memory));
}

static uint64_t random_selector(uint64_t choice)
{
	static const uint64_t events[] = { 0x00c0, 0x00c0, 0x00c0, 0x003c, 0x003c, 0x01a4, 0x00c4,
					   0x11c4, 0x00c5, 0x4f2e, 0x412e, 0x013c, 0x81d0, 0x0000 };
	uint64_t selector = events[choice % 14] | (choice & (OS | USR | INT)) | EVTSEL_EN;

	if (choice >> 24 & 1) /* most counters are plain: that is what the shortcut is for */
		return selector;
	return selector | (choice & (EVTSEL_EDGE | EVTSEL_INV)) | CMASK(choice >> 26 & 1);
}

#define PEBS_BITS (BITS(7, 0) | BITS(35, 32))
#define CTRL_BITS (PEBS_BITS | BIT(48))

static void random_write(struct machine *machine, uint64_t choice)
{
	uint64_t value = choice >> 8;
	unsigned n = choice >> 4 & 7;

	switch (choice & 15) {
	case 0: wr(machine, MSR_IA32_PERF_GLOBAL_CTRL, value & CTRL_BITS); break;
	case 1: wr(machine, MSR_IA32_PERF_GLOBAL_CTRL, CTRL_BITS); break;
	case 2: wr(machine, MSR_IA32_FIXED_CTR_CTRL, value & (value & 0x10000 ? 0xb0bb : 0xbbbb)); break;
	case 3:
	case 4: wr(machine, MSR_IA32_PERF_GLOBAL_STATUS_RESET, value & STATUS_BITS); break;
	case 5:
		wr(machine, MSR_IA32_PERF_GLOBAL_STATUS_SET, value & STATUS_BITS & ~BIT(value >> 8 & 1 ? 59 : 58));
		break;
	case 6: wr(machine, MSR_IA32_DEBUGCTL, value & 0x1800); break;
	case 7: wr(machine, MSR_IA32_FIXED_CTR0 + n % 4, MAX_48 - value % 500); break;
	case 8:
	case 9: wr(machine, MSR_IA32_A_PMC0 + n, MAX_48 - value % 500); break;
	case 10:
	case 11: wr(machine, MSR_IA32_PERFEVTSEL0 + n, random_selector(value)); break;
	case 12: wr(machine, MSR_IA32_PERFEVTSEL0 + n, 0); break;
	case 13: wr(machine, MSR_IA32_PMC0 + n, value); break;
	case 14: wr(machine, MSR_IA32_PEBS_ENABLE, value & PEBS_BITS & value >> 16); break;
	default: pmu_model_write_lvtpc(machine->model, LVT_NMI); break;
	}
}

static void random_transition(struct machine *machine, uint64_t choice)
{
	struct pmu_model_vmcs vmcs = {
		.load_global_ctrl = choice & 1,
		.load_debugctl = choice & 2,
		.guest_global_ctrl = choice >> 8 & 0xff,
		.guest_debugctl = choice >> 16 & 0x1800,
		.load_host_global_ctrl = choice & 4,
		.host_global_ctrl = choice >> 32 & 0xff,
	};

	if (choice & 8)
		pmu_model_vmentry(machine->model, &vmcs);
	else
		pmu_model_vmexit(machine->model, &vmcs);
}

static void random_memory(struct machine *machine, uint64_t choice)
{
	uint64_t physical = choice >> 8 & 0x3ffff;

	if (choice & 4)
		pmu_model_clflush(machine->model, physical);
	pmu_model_access(machine->model, choice & 8 ? PMU_MODEL_STORE : PMU_MODEL_LOAD, physical, physical,
			 1 + (unsigned)(choice & 3) * 21);
	if (choice & 16)
		pmu_model_abort(machine->model);
}

static void random_halt(struct machine *machine, uint64_t choice)
{
	pmu_model_halted(machine->model, choice & 1);
	machine->tsc += choice >> 4 & 0x3ff;
}

/* What a PMI handler does: another period, everything cleared, an empty buffer, unmask. */
static void rearm(struct pebs_machine *pebs, uint64_t choice)
{
	struct machine *machine = &pebs->machine;

	set_ds(pebs, DS_INDEX, BUFFER);
	set_ds(pebs, DS_THRESHOLD, BUFFER + (choice >> 16 & 0xff));
	set_ds(pebs, DS_GP + (unsigned)(choice & 7) * 8, -(choice >> 32 & 0xff));
	wr(machine, MSR_IA32_PERF_GLOBAL_STATUS_RESET, STATUS_BITS);
	start(machine, choice & 7, random_selector(choice >> 3) | INT, MAX_48 - (choice >> 32) % 100);
	pmu_model_write_lvtpc(machine->model, LVT_NMI);
}

static void random_branch(struct pebs_machine *pebs, uint64_t choice)
{
	unsigned kind = (unsigned)(choice % (PMU_MODEL_INT + 1));

	pmu_model_branch(pebs->machine.model, (enum pmu_model_branch)kind, choice & 64,
			 transfer(choice >> 8 & 0x3f, 3, choice >> 16 & 3, 3));
	run(pebs, 3, 1);
}

static void random_step(struct pebs_machine *pebs, uint64_t choice)
{
	struct machine *machine = &pebs->machine;
	uint64_t argument = choice >> 5;
	unsigned cpl = argument & 3;

	switch (choice & 31) {
	case 0 ... 9: run(pebs, cpl, argument >> 2 & 0x7f); break;
	case 10 ... 15: random_branch(pebs, argument); break;
	case 16 ... 20: random_memory(machine, argument); break;
	case 21: random_transition(machine, argument); break;
	case 22: random_halt(machine, argument); break;
	case 23 ... 25: rearm(pebs, argument); break;
	default: random_write(machine, argument); break;
	}
}

static struct pebs_machine *subject(unsigned skid)
{
	struct pmu_model_caps caps = pmu_model_icelake;
	struct pebs_machine *pebs;

	caps.pmi_skid = skid;
	pebs = pebs_new(&caps);
	empty_buffer(pebs);
	return pebs;
}

static void shortcuts_change_nothing(void **state)
{
	uint64_t pmis = 0, written = 0;

	(void)state;
	for (unsigned program = 1; program <= 300; program++) {
		struct pebs_machine *fast = subject(program % 3 * 5), *slow = subject(program % 3 * 5);
		uint64_t seed = program * UINT64_C(0x9e3779b97f4a7c15);

		pmu_model_no_shortcuts(slow->machine.model, true);
		for (unsigned step = 0; step < 1000; step++) {
			uint64_t choice = random_bits(&seed);

			random_step(fast, choice);
			random_step(slow, choice);
			if (step % 8 == 0 || fast->machine.pmis != slow->machine.pmis)
				expect_same(fast, slow);
		}
		expect_same(fast, slow);
		pmis += pmu_model_pmis_delivered(fast->machine.model) + pmu_model_pmis_dropped(fast->machine.model);
		written += pmu_model_records(fast->machine.model).written;
		pebs_free(fast);
		pebs_free(slow);
	}
	assert_true(pmis > 5000); /* the programs do something */
	assert_true(written > 1000);
}

/* Without anything to count, or with a counter far from its end, an instruction costs the model no look. */
static void shortcuts_are_taken(void **state)
{
	struct machine *machine = *state;

	assert_true(pmu_model_hot_part(machine->model)->budget[0] > BIT(40));
	start(machine, 0, CYCLES | EVTSEL_EN | USR | INT, 0);
	assert_true(pmu_model_hot_part(machine->model)->budget[1] > BIT(40));
	assert_false(pmu_model_hot_part(machine->model)->branches);
	assert_false(pmu_model_hot_part(machine->model)->accesses);
	start(machine, 1, BRANCHES | EVTSEL_EN | USR, 0);
	assert_true(pmu_model_hot_part(machine->model)->branches);
	assert_true(pmu_model_hot_part(machine->model)->budget[1] > BIT(40));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shortcuts_change_nothing),
		MODEL_TEST(shortcuts_are_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
