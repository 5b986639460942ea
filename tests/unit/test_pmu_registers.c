/* The PMU model's registers, rule by rule. */
#include "pmu_fixture.h"

static const struct pmu_model_caps with_pebs = {
	.version = 5,
	.nr_gp = 8,
	.nr_fixed = 4,
	.width = 48,
	.perf_capabilities = PERF_CAP_FW_WRITE | PERF_CAP_PEBS_BASELINE,
};

static void other_registers_are_not_ours(void **state)
{
	static const uint32_t msrs[] = { 0x10,  0xc0,  0xc9,  0x185, 0x18e, 0x308, 0x30d,
					 0x38c, 0x393, 0x4c0, 0x4c9, 0x6a0, 0x834 };
	struct machine *machine = *state;
	uint64_t value;

	for (unsigned i = 0; i < sizeof(msrs) / sizeof(msrs[0]); i++) {
		assert_int_equal(pmu_model_rdmsr(machine->model, msrs[i], &value), PMU_MODEL_UNKNOWN);
		assert_int_equal(pmu_model_wrmsr(machine->model, msrs[i], 0), PMU_MODEL_UNKNOWN);
	}
}

/* A counter the processor lacks has neither counter nor selector nor alias. */
static void missing_counters_fault(void **state)
{
	struct machine *machine = machine_new(&skylake);

	(void)state;
	for (unsigned n = 4; n < 8; n++) {
		rd_faults(machine, MSR_IA32_PMC0 + n);
		wr_faults(machine, MSR_IA32_PMC0 + n, 0);
		rd_faults(machine, MSR_IA32_PERFEVTSEL0 + n);
		wr_faults(machine, MSR_IA32_PERFEVTSEL0 + n, 0);
	}
	rd_faults(machine, MSR_IA32_FIXED_CTR0 + 3);
	wr_faults(machine, MSR_IA32_FIXED_CTR0 + 3, 0);
	rd_faults(machine, MSR_IA32_A_PMC0); /* no full-width writes */
	wr_faults(machine, MSR_IA32_A_PMC0, 0);
	writable_bits(machine, MSR_IA32_PERF_GLOBAL_CTRL, BITS(3, 0) | BITS(34, 32));
	machine_free(machine);
}

static void model_specific_registers_keep_what_is_written(void **state)
{
	struct machine *machine = *state;
	static const struct {
		uint32_t first, count;
	} kept[] = { { 0x1a6, 2 } };

	for (unsigned i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		for (uint32_t msr = kept[i].first; msr < kept[i].first + kept[i].count; msr++)
			wr(machine, msr, msr * UINT64_C(0x100010001));
	for (unsigned i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		for (uint32_t msr = kept[i].first; msr < kept[i].first + kept[i].count; msr++)
			assert_int_equal(rd(machine, msr), msr * UINT64_C(0x100010001));
	pmu_model_reset(machine->model);
	assert_int_equal(rd(machine, 0x1a6), 0);
}

static void evtsel_reserved_bits_fault(void **state)
{
	struct machine *machine = *state;

	for (unsigned n = 0; n < 8; n++)
		writable_bits(machine, MSR_IA32_PERFEVTSEL0 + n, (BITS(31, 0) & ~EVTSEL_ANY) | EVTSEL_ADAPTIVE);
}

static void evtsel_bits_that_come_with_features(void **state)
{
	struct machine *old = machine_new(&skylake), *pebs = machine_new(&with_pebs);

	(void)state;
	writable_bits(old, MSR_IA32_PERFEVTSEL0, BITS(31, 0));
	writable_bits(pebs, MSR_IA32_PERFEVTSEL0, (BITS(31, 0) & ~EVTSEL_ANY) | EVTSEL_ADAPTIVE);
	writable_bits(pebs, MSR_IA32_FIXED_CTR_CTRL, 0xbbbb | UINT64_C(0x1111) << 32);
	writable_bits(old, MSR_IA32_FIXED_CTR_CTRL, 0xfff);
	machine_free(old);
	machine_free(pebs);
}

static void evtsel_reads_back(void **state)
{
	struct machine *machine = *state;

	wr(machine, MSR_IA32_PERFEVTSEL0 + 7, 0xffdfffff);
	assert_int_equal(rd(machine, MSR_IA32_PERFEVTSEL0 + 7), 0xffdfffff);
	assert_int_equal(rd(machine, MSR_IA32_PERFEVTSEL0 + 6), 0);
}

static void legacy_write_extends_the_sign(void **state)
{
	struct machine *machine = *state;

	for (unsigned n = 0; n < 8; n++) {
		wr(machine, MSR_IA32_PMC0 + n, UINT64_C(0xffffff0123456789));
		assert_int_equal(rd(machine, MSR_IA32_PMC0 + n), 0x23456789);
		assert_int_equal(rd(machine, MSR_IA32_A_PMC0 + n), 0x23456789);
		wr(machine, MSR_IA32_PMC0 + n, 0x80000000 + n);
		assert_int_equal(rd(machine, MSR_IA32_A_PMC0 + n), UINT64_C(0xffff80000000) + n);
	}
}

static void full_width_write(void **state)
{
	struct machine *machine = *state;

	for (unsigned n = 0; n < 8; n++) {
		writable_bits(machine, MSR_IA32_A_PMC0 + n, MAX_48);
		wr(machine, MSR_IA32_A_PMC0 + n, MAX_48 - n);
		assert_int_equal(rd(machine, MSR_IA32_PMC0 + n), MAX_48 - n);
	}
}

static void fixed_counter_write(void **state)
{
	struct machine *machine = *state;

	for (unsigned m = 0; m < 4; m++) {
		writable_bits(machine, MSR_IA32_FIXED_CTR0 + m, MAX_48);
		wr(machine, MSR_IA32_FIXED_CTR0 + m, MAX_48 - m);
		assert_int_equal(rd(machine, MSR_IA32_FIXED_CTR0 + m), MAX_48 - m);
	}
}

static void fixed_ctr_ctrl_reserved_bits_fault(void **state)
{
	writable_bits(*state, MSR_IA32_FIXED_CTR_CTRL, 0xbbbb | UINT64_C(0x1111) << 32);
}

static void global_ctrl_reserved_bits_fault(void **state)
{
	writable_bits(*state, MSR_IA32_PERF_GLOBAL_CTRL, 0xff | UINT64_C(0xf) << 32 | BIT(48));
}

static void global_status_is_read_only(void **state)
{
	struct machine *machine = *state;

	wr_faults(machine, MSR_IA32_PERF_GLOBAL_STATUS, 0);
	wr(machine, MSR_IA32_PERF_GLOBAL_STATUS_SET, 1);
	wr_faults(machine, MSR_IA32_PERF_GLOBAL_STATUS, 1);
}

static void status_reset_and_set_reserved_bits_fault(void **state)
{
	writable_bits(*state, MSR_IA32_PERF_GLOBAL_STATUS_RESET, STATUS_BITS | BIT(63));
	writable_bits(*state, MSR_IA32_PERF_GLOBAL_STATUS_SET, STATUS_BITS);
}

static void status_set_and_reset_act_on_ones(void **state)
{
	struct machine *machine = *state;

	for (unsigned bit = 0; bit < 64; bit++) {
		if (!(STATUS_BITS & BIT(bit)))
			continue;
		wr(machine, MSR_IA32_PERF_GLOBAL_STATUS_SET, BIT(bit));
		assert_int_equal(rd(machine, MSR_IA32_PERF_GLOBAL_STATUS), STATUS_BITS & BITS(bit, 0));
		assert_int_equal(rd(machine, MSR_IA32_PERF_GLOBAL_STATUS_SET), 0);
		assert_int_equal(rd(machine, MSR_IA32_PERF_GLOBAL_STATUS_RESET), 0);
	}
	for (unsigned bit = 0; bit < 63; bit++) {
		if (!(STATUS_BITS & BIT(bit)))
			continue;
		wr(machine, MSR_IA32_PERF_GLOBAL_STATUS_RESET, BIT(bit));
		assert_int_equal(rd(machine, MSR_IA32_PERF_GLOBAL_STATUS), STATUS_BITS & ~BITS(bit, 0));
	}
	assert_int_equal(machine->pmis, 0);
}

static void inuse_follows_the_selectors(void **state)
{
	struct machine *machine = *state;

	wr_faults(machine, MSR_IA32_PERF_GLOBAL_INUSE, 0);
	assert_int_equal(rd(machine, MSR_IA32_PERF_GLOBAL_INUSE), 0);
	wr(machine, MSR_IA32_PERFEVTSEL0 + 3, 0xff00);
	assert_int_equal(rd(machine, MSR_IA32_PERF_GLOBAL_INUSE), 0);
	wr(machine, MSR_IA32_PERFEVTSEL0 + 3, 0x80);
	assert_int_equal(rd(machine, MSR_IA32_PERF_GLOBAL_INUSE), BIT(3));
	wr(machine, MSR_IA32_FIXED_CTR_CTRL, 0x1020);
	assert_int_equal(rd(machine, MSR_IA32_PERF_GLOBAL_INUSE), BIT(3) | BIT(33) | BIT(35));
	wr(machine, MSR_IA32_FIXED_CTR_CTRL, 0x800);
	assert_int_equal(rd(machine, MSR_IA32_PERF_GLOBAL_INUSE), BIT(3) | BIT(63));
	wr(machine, MSR_IA32_FIXED_CTR_CTRL, 0);
	wr(machine, MSR_IA32_PERFEVTSEL0 + 3, INT);
	assert_int_equal(rd(machine, MSR_IA32_PERF_GLOBAL_INUSE), BIT(63));
}

static void reset_values(void **state)
{
	struct machine *machine = *state;

	for (unsigned n = 0; n < 8; n++)
		start(machine, n, INSTRUCTIONS | ALL, 100 + n);
	wr(machine, MSR_IA32_FIXED_CTR_CTRL, 0xbbbb);
	wr(machine, MSR_IA32_DEBUGCTL, DEBUGCTL_FREEZE_PERFMON_ON_PMI);
	wr(machine, MSR_IA32_PERF_GLOBAL_STATUS_SET, BIT(62));
	retire(machine, 0, 10);
	pmu_model_reset(machine->model);
	for (unsigned n = 0; n < 8; n++) {
		assert_int_equal(pmc(machine, n), 0);
		assert_int_equal(rd(machine, MSR_IA32_PERFEVTSEL0 + n), 0);
	}
	assert_int_equal(rd(machine, MSR_IA32_FIXED_CTR_CTRL), 0);
	assert_int_equal(rd(machine, MSR_IA32_PERF_GLOBAL_STATUS), 0);
	assert_int_equal(rd(machine, MSR_IA32_PERF_GLOBAL_CTRL), 0xff);
	assert_int_equal(rd(machine, MSR_IA32_DEBUGCTL), 0);
	assert_int_equal(pmu_model_read_lvtpc(machine->model), LVT_MASK);
}

static void perf_capabilities_is_read_only(void **state)
{
	struct machine *machine = *state;

	assert_int_equal(rd(machine, MSR_IA32_PERF_CAPABILITIES), 0xe4c5);
	wr_faults(machine, MSR_IA32_PERF_CAPABILITIES, PERF_CAP_FW_WRITE);
}

/* Linux takes a clear bit 0 for a processor without fast strings, and a set bit 11 or 12 for one without BTS or PEBS. */
static void misc_enable(void **state)
{
	struct machine *machine = *state;
	uint64_t reset = rd(machine, MSR_IA32_MISC_ENABLE);

	assert_int_equal(reset & (BIT(0) | BIT(7) | BIT(11) | BIT(12) | BIT(22) | BIT(34)), BIT(0) | BIT(7) | BIT(11));
	wr_faults(machine, MSR_IA32_MISC_ENABLE, reset ^ BIT(11));
	wr_faults(machine, MSR_IA32_MISC_ENABLE, reset ^ BIT(12));
	wr(machine, MSR_IA32_MISC_ENABLE, reset ^ BIT(7));
	assert_int_equal(rd(machine, MSR_IA32_MISC_ENABLE), reset);
	wr(machine, MSR_IA32_MISC_ENABLE, reset ^ (BIT(0) | BIT(22)));
	assert_int_equal(rd(machine, MSR_IA32_MISC_ENABLE), reset ^ (BIT(0) | BIT(22)));
}

static void debugctl_reserved_bits_fault(void **state)
{
	writable_bits(*state, MSR_IA32_DEBUGCTL, BIT(0) | BIT(1) | BIT(6) | BITS(14, 11));
}

static void rdpmc_selects_by_type(void **state)
{
	struct machine *machine = *state;
	uint64_t value;

	for (unsigned n = 0; n < 8; n++) {
		wr(machine, MSR_IA32_A_PMC0 + n, MAX_48 - n);
		assert_int_equal(pmu_model_rdpmc(machine->model, n, &value), PMU_MODEL_DONE);
		assert_int_equal(value, MAX_48 - n);
	}
	for (unsigned m = 0; m < 4; m++) {
		wr(machine, MSR_IA32_FIXED_CTR0 + m, MAX_48 - 100 - m);
		assert_int_equal(pmu_model_rdpmc(machine->model, 0x40000000 + m, &value), PMU_MODEL_DONE);
		assert_int_equal(value, MAX_48 - 100 - m);
	}
}

static void rdpmc_of_nothing_faults(void **state)
{
	static const uint32_t bad[] = { 8,          64,         0xffff,     0x10000,   0x20000001,
					0x40000004, 0x40010000, 0x80000000, 0xffffffff };
	struct machine *machine = *state;
	uint64_t value;

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(pmu_model_rdpmc(machine->model, bad[i], &value), PMU_MODEL_GP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		MODEL_TEST(other_registers_are_not_ours),
		cmocka_unit_test(missing_counters_fault),
		MODEL_TEST(model_specific_registers_keep_what_is_written),
		MODEL_TEST(evtsel_reserved_bits_fault),
		cmocka_unit_test(evtsel_bits_that_come_with_features),
		MODEL_TEST(evtsel_reads_back),
		MODEL_TEST(legacy_write_extends_the_sign),
		MODEL_TEST(full_width_write),
		MODEL_TEST(fixed_counter_write),
		MODEL_TEST(fixed_ctr_ctrl_reserved_bits_fault),
		MODEL_TEST(global_ctrl_reserved_bits_fault),
		MODEL_TEST(global_status_is_read_only),
		MODEL_TEST(status_reset_and_set_reserved_bits_fault),
		MODEL_TEST(status_set_and_reset_act_on_ones),
		MODEL_TEST(inuse_follows_the_selectors),
		MODEL_TEST(reset_values),
		MODEL_TEST(perf_capabilities_is_read_only),
		MODEL_TEST(misc_enable),
		MODEL_TEST(debugctl_reserved_bits_fault),
		MODEL_TEST(rdpmc_selects_by_type),
		MODEL_TEST(rdpmc_of_nothing_faults),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
