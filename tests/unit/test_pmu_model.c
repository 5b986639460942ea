/* The PMU model's CPUID, interrupt and VMX transitions, rule by rule. */
#include "pmu_fixture.h"

static void cpuid_of_ice_lake(void **state)
{
	struct machine *machine = *state;
	uint32_t regs[4] = { 1, 2, 3, 4 };

	pmu_model_cpuid(machine->model, 0x0a, 0, regs);
	assert_int_equal(regs[0], 0x08300805);
	assert_int_equal(regs[1], 0);
	assert_int_equal(regs[2], 0xf);
	assert_int_equal(regs[3], 0x8604);
}

static void cpuid_of_version_4(void **state)
{
	struct machine *machine = machine_new(&skylake);
	uint32_t regs[4] = { 1, 2, 3, 4 };

	(void)state;
	pmu_model_cpuid(machine->model, 0x0a, 0, regs);
	assert_int_equal(regs[0], 0x08300404);
	assert_int_equal(regs[1], 0);
	assert_int_equal(regs[2], 0);
	assert_int_equal(regs[3], 0x603);
	machine_free(machine);
}

static void cpuid_hides_what_is_missing(void **state)
{
	struct machine *machine = *state;
	uint32_t features[4] = { ~0u, ~0u, ~0u, ~0u }, none[4] = { 0, 0, 0, 0 }, extended[4] = { ~0u, ~0u, ~0u, ~0u };
	uint32_t lbr[4] = { ~0u, ~0u, ~0u, ~0u }, other[4] = { 1, 2, 3, 4 };

	pmu_model_cpuid(machine->model, 1, 0, features);
	assert_int_equal(features[2], ~(1u << 4)); /* DS-CPL */
	pmu_model_cpuid(machine->model, 1, 0, none);
	assert_int_equal(none[2], 1u << 15 | 1u << 2); /* PDCM, DTES64 */
	assert_int_equal(none[3], 1u << 21);           /* DS */
	pmu_model_cpuid(machine->model, 7, 0, extended);
	assert_int_equal(extended[1], ~(1u << 25)); /* Processor Trace */
	assert_int_equal(extended[3], ~(1u << 19)); /* architectural LBR */
	pmu_model_cpuid(machine->model, 7, 1, extended);
	assert_int_equal(extended[0], ~(1u << 8)); /* leaf 23H */
	pmu_model_cpuid(machine->model, 0x1c, 0, lbr);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(lbr[i], 0);
	pmu_model_cpuid(machine->model, 0x15, 0, other);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(other[i], i + 1);
}

/* `count` PMIs of one instruction each. */
static void overflow(struct machine *machine, unsigned count)
{
	while (count--) {
		start(machine, 0, INSTRUCTIONS | ALL | INT, MAX_48);
		retire(machine, 0, 1);
	}
}

static void lvtpc_register(void **state)
{
	struct machine *machine = *state;

	pmu_model_write_lvtpc(machine->model, ~0u);
	assert_int_equal(pmu_model_read_lvtpc(machine->model), 0x107ff);
	pmu_model_write_lvtpc(machine->model, 0x1020);
	assert_int_equal(pmu_model_read_lvtpc(machine->model), 0x20);
	pmu_model_reset_lvtpc(machine->model);
	assert_int_equal(pmu_model_read_lvtpc(machine->model), LVT_MASK);
}

static void delivery_sets_the_mask(void **state)
{
	struct machine *machine = *state;

	overflow(machine, 1);
	assert_int_equal(machine->pmis, 1);
	assert_int_equal(machine->mode, PMU_MODEL_NMI);
	assert_int_equal(pmu_model_read_lvtpc(machine->model), LVT_NMI | LVT_MASK);
}

static void masked_pmis_are_dropped(void **state)
{
	struct machine *machine = *state;

	overflow(machine, 3);
	assert_int_equal(machine->pmis, 1);
	assert_int_equal(pmu_model_pmis(machine->model, 0), 3);
	assert_int_equal(pmu_model_pmis_delivered(machine->model), 1);
	assert_int_equal(pmu_model_pmis_dropped(machine->model), 2);
}

static void unmasking_does_not_repeat(void **state)
{
	struct machine *machine = *state;

	overflow(machine, 2);
	pmu_model_write_lvtpc(machine->model, LVT_NMI);
	retire(machine, 0, 10);
	assert_int_equal(machine->pmis, 1);
	overflow(machine, 1);
	assert_int_equal(machine->pmis, 2);
}

static void delivery_modes(void **state)
{
	struct machine *machine = *state;

	for (unsigned mode = 0; mode < 8; mode++) {
		bool known = mode == PMU_MODEL_FIXED || mode == PMU_MODEL_SMI || mode == PMU_MODEL_NMI;
		unsigned before = machine->pmis;

		pmu_model_write_lvtpc(machine->model, mode << 8 | 0x42);
		overflow(machine, 1);
		assert_int_equal(machine->pmis - before, known);
		if (!known)
			continue;
		assert_int_equal(machine->mode, mode);
		assert_int_equal(machine->vector, 0x42);
	}
}

static void software_disabled_apic_drops(void **state)
{
	struct machine *machine = *state;

	pmu_model_apic_enabled(machine->model, false);
	pmu_model_write_lvtpc(machine->model, LVT_NMI);
	assert_int_equal(pmu_model_read_lvtpc(machine->model), LVT_NMI | LVT_MASK);
	overflow(machine, 1);
	pmu_model_apic_enabled(machine->model, true);
	assert_int_equal(pmu_model_read_lvtpc(machine->model), LVT_NMI | LVT_MASK);
	pmu_model_write_lvtpc(machine->model, LVT_NMI);
	retire(machine, 0, 10);
	assert_int_equal(machine->pmis, 0);
	assert_int_equal(pmu_model_pmis_dropped(machine->model), 1);
}

static void pmi_freezes_as_debugctl_says(void **state)
{
	static const uint64_t bits[][2] = {
		{ 0, 0 }, { BIT(11), BIT(58) }, { BIT(12), BIT(59) }, { BIT(11) | BIT(12), BIT(58) | BIT(59) }
	};
	struct machine *machine = *state;

	for (unsigned i = 0; i < 4; i++) {
		wr(machine, MSR_IA32_PERF_GLOBAL_STATUS_RESET, STATUS_BITS);
		wr(machine, MSR_IA32_DEBUGCTL, bits[i][0] | DEBUGCTL_LBR);
		overflow(machine, 1); /* the later ones find LVTPC masked, and freeze all the same */
		assert_int_equal(rd(machine, MSR_IA32_PERF_GLOBAL_STATUS), bits[i][1] | 1);
		assert_int_equal(rd(machine, MSR_IA32_DEBUGCTL), bits[i][0] | DEBUGCTL_LBR);
		assert_int_equal(rd(machine, MSR_IA32_PERF_GLOBAL_CTRL), 1);
	}
}

static void frozen_counters_stand_still(void **state)
{
	struct machine *machine = *state;

	wr(machine, MSR_IA32_DEBUGCTL, DEBUGCTL_FREEZE_PERFMON_ON_PMI);
	wr(machine, MSR_IA32_FIXED_CTR_CTRL, 3);
	start(machine, 5, INSTRUCTIONS | ALL, 0);
	start(machine, 0, INSTRUCTIONS | ALL | INT, MAX_48 - 9);
	wr(machine, MSR_IA32_PERF_GLOBAL_CTRL, BIT(0) | BIT(5) | BIT(32));
	retire(machine, 3, 100);
	assert_int_equal(pmc(machine, 0), 0);
	assert_int_equal(pmc(machine, 5), 10);
	assert_int_equal(rd(machine, MSR_IA32_FIXED_CTR0), 10);
	wr(machine, MSR_IA32_PERF_GLOBAL_STATUS_RESET, STATUS_CTR_FRZ);
	retire(machine, 3, 5);
	assert_int_equal(pmc(machine, 5), 15);
	wr(machine, MSR_IA32_PERF_GLOBAL_STATUS_SET, STATUS_CTR_FRZ);
	retire(machine, 3, 5);
	assert_int_equal(pmc(machine, 5), 15);
}

static void overflow_without_pmi_freezes_nothing(void **state)
{
	struct machine *machine = *state;

	wr(machine, MSR_IA32_DEBUGCTL, DEBUGCTL_FREEZE_PERFMON_ON_PMI | DEBUGCTL_FREEZE_LBRS_ON_PMI);
	start(machine, 0, INSTRUCTIONS | ALL, MAX_48);
	retire(machine, 0, 3);
	assert_int_equal(rd(machine, MSR_IA32_PERF_GLOBAL_STATUS), 1);
	assert_int_equal(pmc(machine, 0), 2);
}

static void vmentry_checks(void **state)
{
	const struct machine *machine = *state;
	struct pmu_model_vmcs bad = { .guest_global_ctrl = BIT(8),
				      .guest_debugctl = BIT(2),
				      .host_global_ctrl = BIT(36) };

	assert_true(pmu_model_vmentry_guest_ok(machine->model, &bad)); /* no control, no check */
	assert_true(pmu_model_vmentry_host_ok(machine->model, &bad));
	bad.load_host_global_ctrl = true;
	assert_false(pmu_model_vmentry_host_ok(machine->model, &bad));
	assert_true(pmu_model_vmentry_guest_ok(machine->model, &bad));
	bad.load_global_ctrl = true;
	assert_false(pmu_model_vmentry_guest_ok(machine->model, &bad));
	bad.load_global_ctrl = false;
	bad.load_debugctl = true;
	assert_false(pmu_model_vmentry_guest_ok(machine->model, &bad));
}

static void vm_transitions_without_controls(void **state)
{
	struct machine *machine = *state;
	struct pmu_model_vmcs vmcs = { .guest_global_ctrl = 2, .guest_debugctl = 1, .host_global_ctrl = 4 };

	wr(machine, MSR_IA32_DEBUGCTL, DEBUGCTL_BTF);
	wr(machine, MSR_IA32_PERF_GLOBAL_CTRL, 0x10);
	pmu_model_vmentry(machine->model, &vmcs);
	assert_int_equal(rd(machine, MSR_IA32_DEBUGCTL), DEBUGCTL_BTF);
	assert_int_equal(rd(machine, MSR_IA32_PERF_GLOBAL_CTRL), 0x10);
	pmu_model_vmexit(machine->model, &vmcs);
	assert_int_equal(rd(machine, MSR_IA32_DEBUGCTL), 0);
	assert_int_equal(rd(machine, MSR_IA32_PERF_GLOBAL_CTRL), 0x10);
	assert_int_equal(vmcs.guest_global_ctrl, 2);
	assert_int_equal(vmcs.guest_debugctl, 1);
}

static void vm_transitions_load_and_save(void **state)
{
	struct machine *machine = *state;
	struct pmu_model_vmcs vmcs = {
		.load_global_ctrl = true,
		.load_debugctl = true,
		.guest_global_ctrl = 1,
		.guest_debugctl = DEBUGCTL_FREEZE_WHILE_SMM,
		.save_global_ctrl = true,
		.save_debugctl = true,
		.load_host_global_ctrl = true,
		.host_global_ctrl = 0x80,
	};

	pmu_model_vmentry(machine->model, &vmcs);
	assert_int_equal(rd(machine, MSR_IA32_PERF_GLOBAL_CTRL), 1);
	assert_int_equal(rd(machine, MSR_IA32_DEBUGCTL), DEBUGCTL_FREEZE_WHILE_SMM);
	wr(machine, MSR_IA32_PERF_GLOBAL_CTRL, 3);
	wr(machine, MSR_IA32_DEBUGCTL, DEBUGCTL_BTF);
	pmu_model_vmexit(machine->model, &vmcs);
	assert_int_equal(vmcs.guest_global_ctrl, 3);
	assert_int_equal(vmcs.guest_debugctl, DEBUGCTL_BTF);
	assert_int_equal(rd(machine, MSR_IA32_PERF_GLOBAL_CTRL), 0x80);
	assert_int_equal(rd(machine, MSR_IA32_DEBUGCTL), 0);
}

/*
 * GLOBAL_CTRL changes with the transition: neither VMRESUME nor the exiting instruction is the guest's, nor the host's.
 */
static void guest_counter_counts_the_guest_only(void **state)
{
	struct machine *machine = *state;
	struct pmu_model_vmcs vmcs = {
		.load_global_ctrl = true,
		.guest_global_ctrl = 3,
		.load_host_global_ctrl = true,
		.host_global_ctrl = 2,
	};

	wr(machine, MSR_IA32_PERFEVTSEL0, INSTRUCTIONS | ALL);
	wr(machine, MSR_IA32_PERFEVTSEL0 + 1, BRANCHES | ALL);
	for (unsigned i = 0; i < 3; i++) {
		retire(machine, 0, 20);
		pmu_model_vmentry(machine->model, &vmcs);
		retire(machine, 3, 7);
		pmu_model_branch(machine->model, PMU_MODEL_FAR, true, transfer(0, 3, 0, 0));
		pmu_model_vmexit(machine->model, &vmcs);
	}
	retire(machine, 0, 20);
	assert_int_equal(pmc(machine, 0), 21);
	assert_int_equal(pmc(machine, 1), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		MODEL_TEST(cpuid_of_ice_lake),
		cmocka_unit_test(cpuid_of_version_4),
		MODEL_TEST(cpuid_hides_what_is_missing),
		MODEL_TEST(lvtpc_register),
		MODEL_TEST(delivery_sets_the_mask),
		MODEL_TEST(masked_pmis_are_dropped),
		MODEL_TEST(unmasking_does_not_repeat),
		MODEL_TEST(delivery_modes),
		MODEL_TEST(software_disabled_apic_drops),
		MODEL_TEST(pmi_freezes_as_debugctl_says),
		MODEL_TEST(frozen_counters_stand_still),
		MODEL_TEST(overflow_without_pmi_freezes_nothing),
		MODEL_TEST(vmentry_checks),
		MODEL_TEST(vm_transitions_without_controls),
		MODEL_TEST(vm_transitions_load_and_save),
		MODEL_TEST(guest_counter_counts_the_guest_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
