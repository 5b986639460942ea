/* PEBS in the PMU model: its registers, when a record falls due, and what is done with it. */
#include "pebs_fixture.h"

#define PERIOD 100

static void registers_have_their_bits(void **state)
{
	struct pebs_machine *pebs = *state;

	writable_bits(&pebs->machine, MSR_IA32_PEBS_ENABLE, BITS(7, 0) | BITS(35, 32));
	writable_bits(&pebs->machine, MSR_PEBS_DATA_CFG, UINT64_C(0xff00000f));
	writable_bits(&pebs->machine, MSR_PEBS_LD_LAT, 0xffff);
	writable_bits(&pebs->machine, MSR_PEBS_FRONTEND, 0x7fff17);
	wr(&pebs->machine, MSR_PEBS_DATA_CFG, UINT64_C(0x1f00000a));
	assert_int_equal(rd(&pebs->machine, MSR_PEBS_DATA_CFG), UINT64_C(0x1f00000a));
}

static void ds_area_is_canonical(void **state)
{
	struct machine *machine = *state;
	static const uint64_t good[] = { 0, 1, UINT64_C(0x7fffffffffff), UINT64_C(0xffff800000000000), UINT64_MAX };
	static const uint64_t bad[] = { BIT(47), BIT(48), BIT(63), UINT64_C(0xffff7fffffffffff) };

	for (unsigned i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		wr(machine, MSR_IA32_DS_AREA, good[i]);
		assert_int_equal(rd(machine, MSR_IA32_DS_AREA), good[i]);
	}
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		wr_faults(machine, MSR_IA32_DS_AREA, bad[i]);
}

static void data_cfg_is_ignored_without_a_pmu(void **state)
{
	struct pebs_machine *pebs = *state;

	wr(&pebs->machine, MSR_PEBS_DATA_CFG, PEBS_CFG_GPR);
	pebs->machine.model->misc_enable &= ~MISC_ENABLE_PERFMON;
	wr(&pebs->machine, MSR_PEBS_DATA_CFG, PEBS_CFG_MEMORY);
	assert_int_equal(rd(&pebs->machine, MSR_PEBS_DATA_CFG), PEBS_CFG_GPR);
	wr_faults(&pebs->machine, MSR_PEBS_DATA_CFG, BIT(4));
}

static void selectors_have_adaptive_record(void **state)
{
	struct machine *machine = *state;

	wr(machine, MSR_IA32_PERFEVTSEL0 + 7, EVTSEL_ADAPTIVE);
	wr(machine, MSR_IA32_FIXED_CTR_CTRL, BIT(32) | BIT(36) | BIT(40) | BIT(44));
	wr_faults(machine, MSR_IA32_FIXED_CTR_CTRL, BIT(33));
}

/* CPUID.01H: EDX[21] DS, ECX[2] DTES64, ECX[4] DS-CPL; MISC_ENABLE[12] PEBS unavailable, [11] BTS unavailable. */
static void announced(void **state)
{
	struct machine *machine = *state;
	uint32_t regs[4] = { 0 };

	pmu_model_cpuid(machine->model, 1, 0, regs);
	assert_int_equal(regs[3] & BIT(21), BIT(21));
	assert_int_equal(regs[2] & (BIT(2) | BIT(4)), BIT(2));
	assert_int_equal(rd(machine, MSR_IA32_MISC_ENABLE) & (BIT(11) | BIT(12)), BIT(11));
	wr_faults(machine, MSR_IA32_MISC_ENABLE, rd(machine, MSR_IA32_MISC_ENABLE) | BIT(12));
	assert_int_equal(rd(machine, MSR_IA32_PERF_CAPABILITIES) & 0x4fc0, 0x44c0);
}

static void absent_without_the_capability(void **state)
{
	struct pmu_model_caps caps = pmu_model_icelake;
	struct pebs_machine *pebs;
	uint32_t regs[4] = { UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX };

	(void)state;
	caps.perf_capabilities = PERF_CAP_FW_WRITE;
	pebs = pebs_new(&caps);
	rd_faults(&pebs->machine, MSR_IA32_PEBS_ENABLE);
	wr_faults(&pebs->machine, MSR_PEBS_DATA_CFG, 0);
	rd_faults(&pebs->machine, MSR_IA32_DS_AREA);
	wr_faults(&pebs->machine, MSR_IA32_PERFEVTSEL0, EVTSEL_ADAPTIVE);
	pmu_model_cpuid(pebs->machine.model, 1, 0, regs);
	assert_int_equal(regs[3] & BIT(21), 0);
	assert_int_equal(regs[2] & BIT(2), 0);
	assert_int_equal(rd(&pebs->machine, MSR_IA32_MISC_ENABLE) & BIT(12), BIT(12));
	pebs_free(pebs);
}

static void inuse_says_that_pebs_interrupts(void **state)
{
	struct machine *machine = *state;

	wr(machine, MSR_IA32_PEBS_ENABLE, BIT(33));
	assert_int_equal(rd(machine, MSR_IA32_PERF_GLOBAL_INUSE), BIT(63));
}

static void reset_clears_and_init_disables(void **state)
{
	struct machine *machine = *state;

	wr(machine, MSR_IA32_PEBS_ENABLE, 1);
	wr(machine, MSR_PEBS_DATA_CFG, 1);
	wr(machine, MSR_PEBS_LD_LAT, 7);
	pmu_model_init(machine->model);
	assert_int_equal(rd(machine, MSR_IA32_PEBS_ENABLE), 0);
	assert_int_equal(rd(machine, MSR_PEBS_DATA_CFG), 1);
	assert_int_equal(rd(machine, MSR_IA32_DS_AREA), DS_AREA);
	wr(machine, MSR_IA32_PEBS_ENABLE, 1);
	pmu_model_reset(machine->model);
	for (uint32_t msr = MSR_IA32_PEBS_ENABLE; msr <= MSR_PEBS_DATA_CFG; msr++)
		assert_int_equal(rd(machine, msr), 0);
	assert_int_equal(rd(machine, MSR_PEBS_LD_LAT), 0);
	assert_int_equal(rd(machine, MSR_IA32_DS_AREA), 0);
}

/* The wrap arms, the next event of the counter triggers: one occurrence late, and it is lost to the reload. */
static void precise_event_skids_by_one_event(void **state)
{
	struct pebs_machine *pebs = *state;

	sample(pebs, 1, BRANCHES | ALL, 2, PERIOD);
	run_branch(pebs);
	run_branch(pebs);
	assert_int_equal(status(pebs), BIT(1));
	run(pebs, 3, 10);
	assert_int_equal(records(pebs), 0);
	run_branch(pebs);
	assert_int_equal(records(pebs), 1);
	assert_int_equal(basic(pebs, 0, BASIC_IP), pebs_ip(pebs) - 4);
	assert_int_equal(basic(pebs, 0, BASIC_COUNTERS), BIT(1));
	assert_int_equal(basic(pebs, 0, BASIC_TSC), pebs->machine.tsc);
	assert_int_equal(basic(pebs, 0, BASIC_FORMAT), (uint64_t)BASIC_SIZE << 48);
	assert_int_equal(status(pebs), 0);
	assert_int_equal(pmc(&pebs->machine, 1), PRESET(PERIOD));
	assert_int_equal(pebs->machine.pmis, 0);
	assert_int_equal(pebs->due, 1);
}

static void period_is_one_more_than_the_reload(void **state)
{
	struct pebs_machine *pebs = *state;

	sample(pebs, 0, INSTRUCTIONS | ALL, PERIOD, PERIOD);
	run(pebs, 3, 10 * (PERIOD + 1));
	assert_int_equal(records(pebs), 10);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(basic(pebs, i, BASIC_IP), CODE + 4 * ((i + 1) * (PERIOD + 1) - 1));
}

/* An armed counter waits for events of its own class of privilege. */
static void precise_event_waits_for_its_privilege(void **state)
{
	struct pebs_machine *pebs = *state;

	sample(pebs, 0, INSTRUCTIONS | EVTSEL_EN | USR, 1, PERIOD);
	run(pebs, 3, 1);
	run(pebs, 0, 50);
	assert_int_equal(records(pebs), 0);
	run(pebs, 3, 1);
	assert_int_equal(basic(pebs, 0, BASIC_IP), CODE + 4 * 51);
}

/* Cycles are of no instruction: the one that wraps will do. */
static void other_event_triggers_at_once(void **state)
{
	struct pebs_machine *pebs = *state;

	sample(pebs, 0, CYCLES | ALL, 4, PERIOD);
	sample_fixed(pebs, 1, 8, PERIOD);
	run(pebs, 3, 2);
	assert_int_equal(records(pebs), 1);
	assert_int_equal(basic(pebs, 0, BASIC_IP), CODE + 4);
	run(pebs, 3, 2);
	assert_int_equal(records(pebs), 2);
	assert_int_equal(basic(pebs, 1, BASIC_COUNTERS), BIT(33));
}

/* Through a counter mask, inverted or by its edges an event is precise no more. */
static void qualified_event_is_not_precise(void **state)
{
	struct pebs_machine *pebs = *state;

	sample(pebs, 0, INSTRUCTIONS | ALL | CMASK(1), 3, PERIOD);
	run(pebs, 3, 3);
	assert_int_equal(records(pebs), 1);
	assert_int_equal(basic(pebs, 0, BASIC_IP), CODE + 4 * 2);
}

static void fixed_counter_0_is_distributed_precisely(void **state)
{
	struct pebs_machine *pebs = *state;

	sample_fixed(pebs, 0, PERIOD, PERIOD);
	run(pebs, 3, 3 * PERIOD);
	assert_int_equal(records(pebs), 3);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(basic(pebs, i, BASIC_IP), CODE + 4 * ((i + 1) * PERIOD - 1));
}

/* The general-purpose counter with PDist has it for branches, but not for all instructions. */
static void pdist_of_a_general_counter(void **state)
{
	struct pmu_model_caps caps = pmu_model_icelake;
	struct pebs_machine *pebs;

	(void)state;
	caps.pebs_pdist = BIT(0) | BIT(32);
	pebs = pebs_new(&caps);
	empty_buffer(pebs);
	sample(pebs, 0, BRANCHES | ALL, 2, PERIOD);
	sample(pebs, 1, BRANCHES | ALL, 2, PERIOD);
	run_branch(pebs);
	run_branch(pebs);
	assert_int_equal(records(pebs), 1);
	assert_int_equal(basic(pebs, 0, BASIC_IP), pebs_ip(pebs) - 4);
	wr(&pebs->machine, MSR_IA32_PEBS_ENABLE, 0);
	sample(pebs, 0, INSTRUCTIONS | ALL, 2, PERIOD);
	run(pebs, 3, 2);
	assert_int_equal(records(pebs), 1);
	run(pebs, 3, 1);
	assert_int_equal(records(pebs), 2);
	pebs_free(pebs);
}

static void counters_share_a_record(void **state)
{
	struct pebs_machine *pebs = *state;

	sample(pebs, 0, INSTRUCTIONS | ALL, 2, PERIOD);
	sample(pebs, 3, INSTRUCTIONS | ALL, 2, 2 * PERIOD);
	sample_fixed(pebs, 2, 3, 3 * PERIOD);
	run(pebs, 3, 3);
	assert_int_equal(records(pebs), 1);
	assert_int_equal(basic(pebs, 0, BASIC_COUNTERS), BIT(0) | BIT(3) | BIT(34));
	assert_int_equal(pmc(&pebs->machine, 0), PRESET(PERIOD));
	assert_int_equal(pmc(&pebs->machine, 3), PRESET(2 * PERIOD));
	assert_int_equal(rd(&pebs->machine, MSR_IA32_FIXED_CTR0 + 2), PRESET(3 * PERIOD));
	assert_int_equal(status(pebs), 0);
}

/* An armed counter is in whatever record comes, also if its own trigger has not. */
static void armed_counter_joins_the_record_of_another(void **state)
{
	struct pebs_machine *pebs = *state;

	sample(pebs, 1, BRANCHES | ALL, 1, PERIOD);
	sample(pebs, 0, INSTRUCTIONS | ALL, 3, PERIOD);
	run_branch(pebs);
	run(pebs, 3, 2);
	assert_int_equal(records(pebs), 0);
	run(pebs, 3, 1);
	assert_int_equal(basic(pebs, 0, BASIC_COUNTERS), BIT(0) | BIT(1));
}

static void reset_value_is_cut_to_the_width(void **state)
{
	struct pebs_machine *pebs = *state;

	sample(pebs, 0, CYCLES | ALL, 1, 0);
	set_ds(pebs, DS_GP, UINT64_C(0xabcd123456789abc));
	run(pebs, 3, 1);
	assert_int_equal(pmc(&pebs->machine, 0), UINT64_C(0x123456789abc));
}

/* Every counter finds its own slot: 40H + 8n and, in format 4, 80H + 8m. */
static void reset_slots(void **state)
{
	struct pebs_machine *pebs = *state;

	for (unsigned n = 0; n < 8; n++) {
		sample(pebs, n, CYCLES | ALL, 1, 0);
		set_ds(pebs, DS_GP + 8 * n, 0x1000 + n);
	}
	for (unsigned m = 0; m < 4; m++) {
		sample_fixed(pebs, m, 1, 0);
		set_ds(pebs, DS_FIXED + 8 * m, 0x2000 + m);
	}
	wr(&pebs->machine, MSR_IA32_FIXED_CTR0 + 2, 0); /* reference cycles: nothing says when it wraps */
	run(pebs, 3, 1);
	assert_int_equal(records(pebs), 1);
	for (unsigned n = 0; n < 8; n++)
		assert_int_equal(pmc(&pebs->machine, n), 0x1000 + n);
	for (unsigned m = 0; m < 4; m++)
		if (m != 2)
			assert_int_equal(rd(&pebs->machine, MSR_IA32_FIXED_CTR0 + m), 0x2000 + m);
}

/* From format 5 on the fixed counters' slots begin at 140H. */
static void reset_slots_of_format_6(void **state)
{
	struct pmu_model_caps caps = pmu_model_icelake;
	struct pebs_machine *pebs;

	(void)state;
	caps.perf_capabilities = (caps.perf_capabilities & ~UINT64_C(0xf00)) | 0x600;
	pebs = pebs_new(&caps);
	empty_buffer(pebs);
	sample_fixed(pebs, 1, 1, 0);
	set_ds(pebs, 0x140 + 8, 0x3000);
	run(pebs, 3, 1);
	assert_int_equal(rd(&pebs->machine, MSR_IA32_FIXED_CTR0 + 1), 0x3000);
	pebs_free(pebs);
}

/* INT is clear: the threshold interrupts all the same, when the index has reached it. */
static void threshold_interrupts(void **state)
{
	struct pebs_machine *pebs = *state;

	set_ds(pebs, DS_THRESHOLD, BUFFER + 2 * BASIC_SIZE);
	sample(pebs, 0, CYCLES | ALL, 2, 10);
	run(pebs, 3, 1);
	assert_int_equal(status(pebs), 0);
	run(pebs, 3, 5);
	assert_int_equal(records(pebs), 2);
	assert_int_equal(status(pebs), STATUS_OVF_BUF);
	assert_int_equal(pebs->machine.pmis, 1);
	assert_int_equal(pebs->machine.retired_at_pmi, 6);
	assert_int_equal(pmu_model_read_lvtpc(pebs->machine.model), LVT_NMI | LVT_MASK);
	wr(&pebs->machine, MSR_IA32_PERF_GLOBAL_STATUS_RESET, STATUS_OVF_BUF);
	assert_int_equal(status(pebs), 0);
}

static void threshold_freezes(void **state)
{
	struct pebs_machine *pebs = *state;

	set_ds(pebs, DS_THRESHOLD, BUFFER + BASIC_SIZE);
	wr(&pebs->machine, MSR_IA32_DEBUGCTL, DEBUGCTL_FREEZE_PERFMON_ON_PMI | DEBUGCTL_FREEZE_LBRS_ON_PMI);
	sample(pebs, 0, CYCLES | ALL, 2, 100);
	run(pebs, 3, 20);
	assert_int_equal(status(pebs), STATUS_OVF_BUF | STATUS_CTR_FRZ | STATUS_LBR_FRZ);
	assert_int_equal(pmc(&pebs->machine, 0), PRESET(100));
}

static void record_below_the_threshold_freezes_nothing(void **state)
{
	struct pebs_machine *pebs = *state;

	wr(&pebs->machine, MSR_IA32_DEBUGCTL, DEBUGCTL_FREEZE_PERFMON_ON_PMI);
	sample(pebs, 0, CYCLES | ALL, 2, 100);
	run(pebs, 3, 1);
	assert_int_equal(records(pebs), 1);
	assert_int_equal(status(pebs), 0);
}

/* Two interrupts, the buffer's first; the second finds LVTPC masked by the first. */
static void int_is_a_second_interrupt(void **state)
{
	struct pebs_machine *pebs = *state;
	struct pmu_model *model = pebs->machine.model;

	set_ds(pebs, DS_THRESHOLD, BUFFER + BASIC_SIZE);
	sample(pebs, 0, CYCLES | ALL | INT, 2, 100);
	retire(&pebs->machine, 3, 1);
	assert_int_equal(pebs->machine.pmis, 0); /* not before the record */
	assert_true(pmu_model_pebs_assist(model));
	assert_int_equal(pmu_model_pmis_delivered(model), 1);
	assert_int_equal(pmu_model_pmis_dropped(model), 1);
	assert_int_equal(pmu_model_pmis(model, 0), 1);
}

static void int_alone_is_one_interrupt(void **state)
{
	struct pebs_machine *pebs = *state;

	sample(pebs, 0, CYCLES | ALL | INT, 2, 100);
	run(pebs, 3, 10);
	assert_int_equal(records(pebs), 1);
	assert_int_equal(pebs->machine.pmis, 1);
	assert_int_equal(status(pebs), 0);
}

/* A counter without PEBS overflows as ever, also at the instruction that has another's record. */
static void other_counters_overflow_as_ever(void **state)
{
	struct pebs_machine *pebs = *state;

	sample(pebs, 0, CYCLES | ALL, 2, 100);
	start(&pebs->machine, 1, INSTRUCTIONS | ALL | INT, PRESET(1));
	run(pebs, 3, 5);
	assert_int_equal(records(pebs), 1);
	assert_int_equal(basic(pebs, 0, BASIC_COUNTERS), BIT(0));
	assert_int_equal(status(pebs), BIT(1));
	assert_int_equal(pmc(&pebs->machine, 1), 4);
	assert_int_equal(pebs->machine.pmis, 1);
}

/* Between wrap and record the status bit is there; with PEBS_ENABLE cleared it is an overflow like any other. */
static void disabling_leaves_an_overflow(void **state)
{
	struct pebs_machine *pebs = *state;

	sample(pebs, 1, BRANCHES | ALL, 1, PERIOD);
	run_branch(pebs);
	assert_int_equal(status(pebs), BIT(1));
	wr(&pebs->machine, MSR_IA32_PEBS_ENABLE, 0);
	run_branch(pebs);
	assert_int_equal(records(pebs), 0);
	assert_int_equal(status(pebs), BIT(1));
	assert_int_equal(pmc(&pebs->machine, 1), 1);
}

static void enabling_arms_again(void **state)
{
	struct pebs_machine *pebs = *state;

	sample(pebs, 1, BRANCHES | ALL, 1, PERIOD);
	run_branch(pebs);
	wr(&pebs->machine, MSR_IA32_PEBS_ENABLE, 0);
	run_branch(pebs);
	wr(&pebs->machine, MSR_IA32_PEBS_ENABLE, BIT(1));
	run(pebs, 3, 1);
	assert_int_equal(records(pebs), 0);
	run_branch(pebs);
	assert_int_equal(records(pebs), 1);
	assert_int_equal(status(pebs), 0);
}

/* The WRMSR that sets the bit is the first instruction that may trigger. */
static void status_set_arms(void **state)
{
	struct pebs_machine *pebs = *state;

	sample(pebs, 0, CYCLES | ALL, 0, PERIOD);
	wr(&pebs->machine, MSR_IA32_PERF_GLOBAL_STATUS_SET, BIT(0));
	run(pebs, 0, 1);
	assert_int_equal(records(pebs), 1);
	assert_int_equal(basic(pebs, 0, BASIC_IP), CODE);
	assert_int_equal(pmc(&pebs->machine, 0), PRESET(PERIOD));
	sample(pebs, 1, BRANCHES | ALL, 0, PERIOD);
	wr(&pebs->machine, MSR_IA32_PERF_GLOBAL_STATUS_SET, BIT(1));
	run(pebs, 0, 5);
	assert_int_equal(records(pebs), 1);
	run_branch(pebs);
	assert_int_equal(records(pebs), 2);
}

static void status_reset_disarms(void **state)
{
	struct pebs_machine *pebs = *state;

	sample(pebs, 1, BRANCHES | ALL, 1, PERIOD);
	run_branch(pebs);
	wr(&pebs->machine, MSR_IA32_PERF_GLOBAL_STATUS_RESET, BIT(1));
	run_branch(pebs);
	assert_int_equal(records(pebs), 0);
}

/* A stopped precise counter has no events; another kind's record is on its way all the same. */
static void stopped_counter(void **state)
{
	struct pebs_machine *pebs = *state;

	sample(pebs, 1, BRANCHES | ALL, 1, PERIOD);
	run_branch(pebs);
	wr(&pebs->machine, MSR_IA32_PERF_GLOBAL_CTRL, 0);
	run_branch(pebs);
	assert_int_equal(records(pebs), 0);
	wr(&pebs->machine, MSR_IA32_PERFEVTSEL0 + 1, CYCLES | ALL);
	run(pebs, 0, 1);
	assert_int_equal(records(pebs), 1);
}

static void full_buffer_drops_silently(void **state)
{
	struct pebs_machine *pebs = *state;

	set_ds(pebs, DS_THRESHOLD, BUFFER + BUFFER_SIZE);
	set_ds(pebs, DS_MAXIMUM, BUFFER + BASIC_SIZE);
	set_ds(pebs, DS_INDEX, BUFFER + BASIC_SIZE);
	sample(pebs, 0, CYCLES | ALL, 2, 10);
	run(pebs, 3, 1);
	assert_int_equal(ds(pebs, DS_INDEX), BUFFER + BASIC_SIZE);
	assert_int_equal(peek(pebs, BUFFER + BASIC_SIZE), 0);
	assert_int_equal(status(pebs), 0);
	assert_int_equal(pebs->machine.pmis, 0);
	assert_int_equal(pmc(&pebs->machine, 0), PRESET(10));
	assert_int_equal(pmu_model_records(pebs->machine.model).dropped, 1);
}

/* A record of more than what is left up to the maximum is not begun. */
static void record_needs_room(void **state)
{
	struct pebs_machine *pebs = *state;

	set_ds(pebs, DS_MAXIMUM, BUFFER + 2 * BASIC_SIZE - 8);
	sample(pebs, 0, CYCLES | ALL, 2, 2);
	run(pebs, 3, 4);
	assert_int_equal(records(pebs), 1);
	assert_int_equal(peek(pebs, BUFFER + BASIC_SIZE), 0);
	assert_int_equal(pmu_model_records(pebs->machine.model).written, 1);
	assert_int_equal(pmu_model_records(pebs->machine.model).dropped, 3);
}

static void out_of_bounds(uint64_t index)
{
	struct pebs_machine *pebs = pebs_new(&pmu_model_icelake);

	empty_buffer(pebs);
	set_ds(pebs, DS_INDEX, index);
	sample(pebs, 0, CYCLES | ALL, 2, 10);
	run(pebs, 3, 1);
	assert_int_equal(ds(pebs, DS_INDEX), index);
	assert_int_equal(status(pebs), STATUS_OVF_BUF);
	assert_int_equal(pebs->machine.pmis, 1);
	assert_int_equal(pmc(&pebs->machine, 0), 0); /* not reloaded */
	run(pebs, 3, 10);
	assert_int_equal(pmu_model_records(pebs->machine.model).written, 0);
	assert_int_equal(pmu_model_records(pebs->machine.model).dropped, 1);
	pebs_free(pebs);
}

static void index_outside_the_buffer(void **state)
{
	(void)state;
	out_of_bounds(BUFFER - 8);
	out_of_bounds(BUFFER + BUFFER_SIZE + 8);
}

/* Whichever access faults, the model is as before, and the record comes at the next event. */
static void fault_keeps_the_record(uint64_t byte, bool returns)
{
	struct pebs_machine *pebs = pebs_new(&pmu_model_icelake);
	jmp_buf unwind;

	empty_buffer(pebs);
	set_ds(pebs, DS_THRESHOLD, BUFFER + BASIC_SIZE);
	sample(pebs, 1, BRANCHES | ALL, 1, PERIOD);
	run_branch(pebs);
	pebs->fault = byte;
	pebs->unwind = returns ? NULL : &unwind;
	if (!returns && setjmp(unwind)) {
		pmu_model_abort(pebs->machine.model);
	} else {
		run_branch(pebs);
		assert_true(returns);
	}
	assert_int_equal(pebs->fault, 0);
	assert_int_equal(status(pebs), BIT(1));
	assert_int_equal(pmc(&pebs->machine, 1), 1);
	assert_int_equal(ds(pebs, DS_INDEX), BUFFER);
	assert_int_equal(pebs->machine.pmis, 0);
	run(pebs, 3, 3);
	assert_int_equal(records(pebs), 0);
	run_branch(pebs);
	assert_int_equal(records(pebs), 1);
	assert_int_equal(basic(pebs, 0, BASIC_IP), pebs_ip(pebs) - 4);
	assert_int_equal(status(pebs), STATUS_OVF_BUF);
	assert_int_equal(pmu_model_records(pebs->machine.model).retried, 1);
	assert_int_equal(pmu_model_records(pebs->machine.model).dropped, 0);
	pebs_free(pebs);
}

static void faults_keep_the_record(void **state)
{
	static const uint64_t bytes[] = { DS_AREA + DS_BASE, DS_AREA + DS_GP + 8, BUFFER, BUFFER + BASIC_SIZE - 1 };

	(void)state;
	for (unsigned i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++) {
		fault_keeps_the_record(bytes[i], true);
		fault_keeps_the_record(bytes[i], false);
	}
}

/* The next instruction will do, and the interrupt of an overflow that had to wait for the record is not lost. */
static void fault_of_another_event(void **state)
{
	struct pebs_machine *pebs = *state;

	sample(pebs, 0, CYCLES | ALL | INT, 2, PERIOD);
	pebs->fault = BUFFER;
	assert_false(run(pebs, 3, 1));
	assert_int_equal(pebs->machine.pmis, 0);
	assert_true(run(pebs, 3, 1));
	assert_int_equal(basic(pebs, 0, BASIC_IP), CODE + 4);
	assert_int_equal(pebs->machine.pmis, 1);
}

static void older_processor_loses_the_record(void **state)
{
	struct pmu_model_caps caps = pmu_model_icelake;
	struct pebs_machine *pebs;

	(void)state;
	caps.pebs_ept_friendly = false;
	pebs = pebs_new(&caps);
	empty_buffer(pebs);
	sample(pebs, 1, BRANCHES | ALL, 1, PERIOD);
	run_branch(pebs);
	pebs->fault = BUFFER;
	run_branch(pebs);
	assert_int_equal(status(pebs), 0);
	assert_int_equal(records(pebs), 0);
	run_branch(pebs);
	assert_int_equal(records(pebs), 0);
	assert_int_equal(pmu_model_records(pebs->machine.model).dropped, 1);
	assert_int_equal(pmu_model_records(pebs->machine.model).retried, 0);
	pebs_free(pebs);
}

/* PEBS_ENABLE left set across a VM exit: the record goes where root mode's tables say. */
static void record_written_in_root(void **state)
{
	struct pebs_machine *pebs = *state;
	struct pmu_model_vmcs vmcs = { .load_host_global_ctrl = true };

	sample(pebs, 1, BRANCHES | ALL, 1, PERIOD);
	run_branch(pebs);
	pmu_model_vmexit(pebs->machine.model, &vmcs);
	run(pebs, 0, 1);
	assert_int_equal(records(pebs), 1);
	assert_int_equal(basic(pebs, 0, BASIC_IP), CODE + 4);
	assert_int_equal(pmu_model_records(pebs->machine.model).in_root, 1);
}

/* Lists that clear PEBS_ENABLE on exit and set it on entry lose no record, and none is written in root mode. */
static void lists_carry_the_record_across_an_exit(void **state)
{
	struct pebs_machine *pebs = *state;
	struct pmu_model_vmcs vmcs = { .load_host_global_ctrl = true, .load_global_ctrl = true };

	sample(pebs, 1, BRANCHES | ALL, 1, PERIOD);
	run_branch(pebs);
	vmcs.guest_global_ctrl = rd(&pebs->machine, MSR_IA32_PERF_GLOBAL_CTRL);
	pmu_model_vmexit(pebs->machine.model, &vmcs);
	wr(&pebs->machine, MSR_IA32_PEBS_ENABLE, 0);
	run(pebs, 0, 10);
	run_branch(pebs);
	assert_int_equal(records(pebs), 0);
	pmu_model_vmentry(pebs->machine.model, &vmcs);
	wr(&pebs->machine, MSR_IA32_PEBS_ENABLE, BIT(1));
	run(pebs, 3, 3);
	assert_int_equal(records(pebs), 0);
	run_branch(pebs);
	assert_int_equal(records(pebs), 1);
	assert_int_equal(pmu_model_records(pebs->machine.model).in_root, 0);
}

/* What was not armed at the exit is no late record: a hypervisor may use PEBS itself. */
static void root_mode_may_sample(void **state)
{
	struct pebs_machine *pebs = *state;
	struct pmu_model_vmcs vmcs = { 0 };

	pmu_model_vmexit(pebs->machine.model, &vmcs);
	sample(pebs, 1, BRANCHES | ALL, 1, PERIOD);
	run_branch(pebs);
	run(pebs, 0, 5);
	assert_int_equal(records(pebs), 0);
	run_branch(pebs);
	assert_int_equal(records(pebs), 1);
}

/* An instruction that exits or faults triggers nothing. */
static void aborted_instruction_triggers_nothing(void **state)
{
	struct pebs_machine *pebs = *state;

	sample(pebs, 1, BRANCHES | ALL, 1, PERIOD);
	run_branch(pebs);
	pmu_model_branch(pebs->machine.model, PMU_MODEL_JMP, true, transfer(0, 3, 4, 3));
	pmu_model_abort(pebs->machine.model);
	run(pebs, 3, 2);
	assert_int_equal(records(pebs), 0);
}

static void nothing_due_touches_nothing(void **state)
{
	struct pebs_machine *pebs = *state;

	sample(pebs, 0, CYCLES | ALL, 20, PERIOD);
	run(pebs, 3, 9);
	assert_int_equal(pebs->accesses, 0);
	run(pebs, 3, 1);
	assert_int_equal(pebs->accesses, 4);
}

static struct pebs_machine *skidding(unsigned skid)
{
	struct pmu_model_caps caps = pmu_model_icelake;
	struct pebs_machine *pebs;

	caps.pmi_skid = skid;
	pebs = pebs_new(&caps);
	empty_buffer(pebs);
	return pebs;
}

/* The freeze and the status bit are there at once, the interrupt comes so many instructions later. */
static void interrupt_skids(void **state)
{
	struct pebs_machine *pebs = skidding(7);

	(void)state;
	wr(&pebs->machine, MSR_IA32_DEBUGCTL, DEBUGCTL_FREEZE_PERFMON_ON_PMI);
	start(&pebs->machine, 0, INSTRUCTIONS | ALL | INT, PRESET(10));
	run(pebs, 3, 10);
	assert_int_equal(status(pebs), BIT(0) | STATUS_CTR_FRZ);
	run(pebs, 0, 6);
	assert_int_equal(pebs->machine.pmis, 0);
	run(pebs, 3, 1);
	assert_int_equal(pebs->machine.pmis, 1);
	assert_int_equal(pmc(&pebs->machine, 0), 0);
	run(pebs, 3, 30);
	assert_int_equal(pebs->machine.pmis, 1);
	pebs_free(pebs);
}

static void overflows_in_the_skid_share_the_interrupt(void **state)
{
	struct pebs_machine *pebs = skidding(5);

	(void)state;
	start(&pebs->machine, 0, INSTRUCTIONS | ALL | INT, PRESET(10));
	start(&pebs->machine, 1, INSTRUCTIONS | ALL | INT, PRESET(13));
	run(pebs, 3, 15);
	assert_int_equal(pebs->machine.pmis, 1);
	assert_int_equal(status(pebs), BIT(0) | BIT(1));
	run(pebs, 3, 30);
	assert_int_equal(pebs->machine.pmis, 1);
	assert_int_equal(pmu_model_pmis_dropped(pebs->machine.model), 0);
	pebs_free(pebs);
}

static void buffer_interrupt_skids(void **state)
{
	struct pebs_machine *pebs = skidding(3);

	(void)state;
	set_ds(pebs, DS_THRESHOLD, BUFFER + BASIC_SIZE);
	sample(pebs, 0, CYCLES | ALL, 2, 1000);
	run(pebs, 3, 3);
	assert_int_equal(records(pebs), 1);
	assert_int_equal(pebs->machine.pmis, 0);
	run(pebs, 3, 1);
	assert_int_equal(pebs->machine.pmis, 1);
	pebs_free(pebs);
}

/* No instruction retires in a halt: the interrupt does not wait for one. */
static void halt_ends_the_skid(void **state)
{
	struct pebs_machine *pebs = skidding(100);

	(void)state;
	start(&pebs->machine, 0, INSTRUCTIONS | ALL | INT, PRESET(10));
	run(pebs, 3, 10);
	pmu_model_halted(pebs->machine.model, true);
	assert_int_equal(pebs->machine.pmis, 1);
	pmu_model_halted(pebs->machine.model, false);
	run(pebs, 3, 200);
	assert_int_equal(pebs->machine.pmis, 1);
	pebs_free(pebs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PEBS_TEST(registers_have_their_bits),
		PEBS_TEST(ds_area_is_canonical),
		PEBS_TEST(data_cfg_is_ignored_without_a_pmu),
		PEBS_TEST(selectors_have_adaptive_record),
		PEBS_TEST(announced),
		cmocka_unit_test(absent_without_the_capability),
		PEBS_TEST(inuse_says_that_pebs_interrupts),
		PEBS_TEST(reset_clears_and_init_disables),
		PEBS_TEST(precise_event_skids_by_one_event),
		PEBS_TEST(period_is_one_more_than_the_reload),
		PEBS_TEST(precise_event_waits_for_its_privilege),
		PEBS_TEST(other_event_triggers_at_once),
		PEBS_TEST(qualified_event_is_not_precise),
		PEBS_TEST(fixed_counter_0_is_distributed_precisely),
		cmocka_unit_test(pdist_of_a_general_counter),
		PEBS_TEST(counters_share_a_record),
		PEBS_TEST(armed_counter_joins_the_record_of_another),
		PEBS_TEST(reset_value_is_cut_to_the_width),
		PEBS_TEST(reset_slots),
		cmocka_unit_test(reset_slots_of_format_6),
		PEBS_TEST(threshold_interrupts),
		PEBS_TEST(threshold_freezes),
		PEBS_TEST(record_below_the_threshold_freezes_nothing),
		PEBS_TEST(int_is_a_second_interrupt),
		PEBS_TEST(int_alone_is_one_interrupt),
		PEBS_TEST(other_counters_overflow_as_ever),
		PEBS_TEST(disabling_leaves_an_overflow),
		PEBS_TEST(enabling_arms_again),
		PEBS_TEST(status_set_arms),
		PEBS_TEST(status_reset_disarms),
		PEBS_TEST(stopped_counter),
		PEBS_TEST(full_buffer_drops_silently),
		PEBS_TEST(record_needs_room),
		cmocka_unit_test(index_outside_the_buffer),
		cmocka_unit_test(faults_keep_the_record),
		PEBS_TEST(fault_of_another_event),
		cmocka_unit_test(older_processor_loses_the_record),
		PEBS_TEST(record_written_in_root),
		PEBS_TEST(lists_carry_the_record_across_an_exit),
		PEBS_TEST(root_mode_may_sample),
		PEBS_TEST(aborted_instruction_triggers_nothing),
		PEBS_TEST(nothing_due_touches_nothing),
		cmocka_unit_test(interrupt_skids),
		cmocka_unit_test(overflows_in_the_skid_share_the_interrupt),
		cmocka_unit_test(buffer_interrupt_skids),
		cmocka_unit_test(halt_ends_the_skid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
