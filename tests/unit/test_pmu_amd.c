/* AMD's PMU, rule by rule: Zen 4 with PerfMonV2, Zen 3 without. */
#include <string.h>

#include "amd_fixture.h"

#define ONES 0xffffffffu

static uint64_t rdpmc(struct machine *machine, uint32_t ecx)
{
	uint64_t value = 0;

	assert_int_equal(pmu_model_rdpmc(machine->model, ecx, &value), PMU_MODEL_DONE);
	return value;
}

/* The old addresses reach the first four counters and their selectors. */
static void legacy_registers_are_aliases(void **state)
{
	struct machine *machine = *state;

	for (unsigned n = 0; n < 4; n++) {
		wr(machine, LEGACY_CTL0 + n, 0x4300c0 + n);
		wr(machine, LEGACY_CTR0 + n, 0x1000 + n);
		assert_int_equal(rd(machine, CTL(n)), 0x4300c0 + n);
		assert_int_equal(ctr(machine, n) & ~UINT64_C(0xff), 0x1000);
		wr(machine, CTL(n), n);
		assert_int_equal(rd(machine, LEGACY_CTL0 + n), n);
	}
}

static void six_counters(void **state)
{
	struct machine *machine = *state;

	for (unsigned n = 0; n < 6; n++)
		count(machine, n, INSTRUCTIONS | ALL, n);
	retire(machine, 3, 100);
	for (unsigned n = 0; n < 6; n++)
		assert_int_equal(ctr(machine, n), 100 + n);
}

static void fewer_counters(void **state)
{
	struct pmu_model_caps caps = pmu_model_zen4;
	struct machine *machine;

	(void)state;
	caps.nr_gp = 4;
	machine = machine_new(&caps);
	rd(machine, CTR(3));
	rd_faults(machine, CTR(4));
	rd_faults(machine, CTL(4));
	wr_faults(machine, CTL(5), 0);
	wr_faults(machine, CTR(5), 0);
	assert_int_equal(rd(machine, GLOBAL_CTL), BITS(3, 0));
	machine_free(machine);
}

/* Reserved bits are ignored, not faults: 19, 21, 39:36 and all above 41. */
static void selector_bits(void **state)
{
	struct machine *machine = *state;
	uint64_t reserved = BIT(19) | BIT(21) | BITS(39, 36) | BITS(63, 42);

	wr(machine, CTL(5), ~UINT64_C(0));
	assert_int_equal(rd(machine, CTL(5)), ~reserved);
	wr(machine, CTL(5), 0);
}

/* 48 bits, all of which can be written: no sign extension, and what is above is ignored. */
static void counter_bits(void **state)
{
	struct machine *machine = *state;

	wr(machine, CTR(0), UINT64_C(0xabcd8000ffff0001));
	assert_int_equal(ctr(machine, 0), UINT64_C(0x8000ffff0001));
	wr(machine, LEGACY_CTR0, UINT64_C(0xffffffff));
	assert_int_equal(ctr(machine, 0), UINT64_C(0xffffffff));
}

/* By number alone: no types, no fast mode, and nothing above the core counters. */
static void rdpmc_numbers(void **state)
{
	static const uint32_t faults[] = { 6, 9, 10, 15, 16, 0x40000000, 0x80000000, 0x20000000 };
	struct machine *machine = *state;
	uint64_t value;

	for (unsigned n = 0; n < 6; n++) {
		wr(machine, CTR(n), 0x123400 + n);
		assert_int_equal(rdpmc(machine, n), 0x123400 + n);
	}
	for (unsigned i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		assert_int_equal(pmu_model_rdpmc(machine->model, faults[i], &value), PMU_MODEL_GP);
}

/* At reset all counters are enabled in it: software older than PerfMonV2 gets on. */
static void global_ctl(void **state)
{
	struct machine *machine = *state;

	assert_int_equal(rd(machine, GLOBAL_CTL), ALL_SIX);
	wr(machine, GLOBAL_CTL, ~UINT64_C(0));
	assert_int_equal(rd(machine, GLOBAL_CTL), ALL_SIX);
	wr(machine, GLOBAL_CTL, BIT(1));
	count(machine, 0, INSTRUCTIONS | ALL, 0);
	count(machine, 1, INSTRUCTIONS | ALL, 0);
	count(machine, 2, INSTRUCTIONS | OS | USR, 0);
	retire(machine, 0, 10);
	assert_int_equal(ctr(machine, 0), 0);
	assert_int_equal(ctr(machine, 1), 10);
	assert_int_equal(ctr(machine, 2), 0);
}

/* Set by a wrap whether or not it interrupts; read-only, cleared and set by ones in the other two. */
static void global_status(void **state)
{
	struct machine *machine = *state;

	count(machine, 0, INSTRUCTIONS | ALL, MAX_48 - 4);
	count(machine, 5, INSTRUCTIONS | ALL | INT, MAX_48 - 4);
	retire(machine, 3, 4);
	assert_int_equal(rd(machine, STATUS), 0);
	retire(machine, 3, 3);
	assert_int_equal(rd(machine, STATUS), BIT(0) | BIT(5));
	assert_int_equal(machine->pmis, 1);
	assert_int_equal(ctr(machine, 0), 2);
	wr(machine, STATUS, 0);
	assert_int_equal(rd(machine, STATUS), BIT(0) | BIT(5));
	wr(machine, STATUS_CLR, BIT(5) | BITS(63, 60));
	assert_int_equal(rd(machine, STATUS), BIT(0));
	wr(machine, STATUS_SET, ~UINT64_C(0));
	assert_int_equal(rd(machine, STATUS), ALL_SIX | BIT(58) | BIT(59));
	assert_int_equal(rd(machine, STATUS_CLR), 0);
	assert_int_equal(rd(machine, STATUS_SET), 0);
	wr(machine, STATUS_CLR, ~UINT64_C(0));
	assert_int_equal(rd(machine, STATUS), 0);
	assert_int_equal(machine->pmis, 1);
}

/* DebugCtl[12] freezes all counters at the interrupt, until bit 59 is cleared; GlobalCtl stays. */
static void freeze_on_pmi(void **state)
{
	struct machine *machine = *state;

	wr(machine, DEBUGCTL, BIT(12));
	count(machine, 0, INSTRUCTIONS | ALL, 0);
	count(machine, 1, INSTRUCTIONS | ALL | INT, MAX_48 - 4);
	retire(machine, 3, 50);
	assert_int_equal(rd(machine, STATUS), BIT(1) | BIT(59));
	assert_int_equal(ctr(machine, 0), 5);
	assert_int_equal(rd(machine, GLOBAL_CTL), ALL_SIX);
	wr(machine, STATUS_CLR, BIT(59));
	retire(machine, 3, 50);
	assert_int_equal(ctr(machine, 0), 55);
}

static void debugctl_bits(void **state)
{
	struct machine *machine = *state;

	writable_bits(machine, DEBUGCTL, BIT(0) | BIT(1) | BITS(5, 2) | BIT(11) | BIT(12));
}

/* The APIC leaves LVTPC as it is: every wrap interrupts. */
static void lvtpc_is_not_masked(void **state)
{
	struct machine *machine = *state;

	for (unsigned i = 1; i <= 3; i++) {
		count(machine, 0, INSTRUCTIONS | ALL | INT, MAX_48);
		retire(machine, 3, 1);
		assert_int_equal(machine->pmis, i);
		assert_int_equal(pmu_model_read_lvtpc(machine->model), LVT_NMI);
	}
	pmu_model_write_lvtpc(machine->model, LVT_NMI | LVT_MASK);
	count(machine, 0, INSTRUCTIONS | ALL | INT, MAX_48);
	retire(machine, 3, 1);
	assert_int_equal(machine->pmis, 3);
	assert_int_equal(pmu_model_pmis_dropped(machine->model), 1);
}

/* The interrupt comes late; the status bit does not. */
static void late_pmi(void **state)
{
	struct pmu_model_caps caps = pmu_model_zen4;
	struct machine *machine;

	(void)state;
	caps.pmi_skid = 7;
	machine = machine_new(&caps);
	count(machine, 0, INSTRUCTIONS | ALL | INT, MAX_48 - 9);
	retire(machine, 3, 10);
	assert_int_equal(rd(machine, STATUS), BIT(0));
	assert_int_equal(machine->pmis, 0);
	retire(machine, 3, 20);
	assert_int_equal(machine->pmis, 1);
	assert_int_equal(machine->retired_at_pmi, 17);
	machine_free(machine);
}

/* Without PerfMonV2: the wrap shows in bit 47 of the counter alone. */
static void without_perfmon_v2(void **state)
{
	struct machine *machine = *state;

	for (uint32_t msr = STATUS; msr <= STATUS_SET; msr++) {
		rd_faults(machine, msr);
		wr_faults(machine, msr, 0);
	}
	writable_bits(machine, DEBUGCTL, BIT(0) | BIT(1) | BITS(5, 2));
	count(machine, 0, INSTRUCTIONS | ALL | INT, MAX_48 - 4);
	retire(machine, 0, 4);
	assert_true(ctr(machine, 0) & BIT(47));
	retire(machine, 0, 2);
	assert_int_equal(ctr(machine, 0), 1);
	assert_int_equal(machine->pmis, 1);
}

static void what_is_not_there(void **state)
{
	static const uint32_t absent[] = { 0xc001020c, 0xc001020f, 0xc0010230, 0xc001023b, 0xc0010240, 0xc0010247,
					   0xc0011030, 0xc001103d, 0xc1,       0x186,      0x309,      0x345,
					   0x38d,      0x38e,      0x38f,      0x390,      0x4c1 };
	struct machine *machine = *state;
	uint64_t value;

	for (unsigned i = 0; i < sizeof(absent) / sizeof(absent[0]); i++) {
		rd_faults(machine, absent[i]);
		wr_faults(machine, absent[i], 0);
	}
	assert_int_equal(pmu_model_rdmsr(machine->model, 0xc0010015, &value), PMU_MODEL_UNKNOWN);
	assert_int_equal(pmu_model_rdmsr(machine->model, 0x1a0, &value), PMU_MODEL_UNKNOWN);
}

/* Of a leaf that is full of ones. */
static void expect_leaf(struct machine *machine, uint32_t leaf, uint32_t eax, uint32_t ebx, uint32_t ecx)
{
	uint32_t regs[4] = { ONES, ONES, ONES, ONES };

	pmu_model_cpuid(machine->model, leaf, 0, regs);
	assert_int_equal(regs[0], eax);
	assert_int_equal(regs[1], ebx);
	assert_int_equal(regs[2], ecx);
}

static uint32_t highest_extended(struct machine *machine)
{
	uint32_t regs[4] = { 0x8000001f, 0, 0, 0 };

	pmu_model_cpuid(machine->model, 0x80000000, 0, regs);
	return regs[0];
}

#define NO_IBS_NB_PTSC_LLC ~(1u << 10 | 1u << 24 | 1u << 27 | 1u << 28)

static void cpuid_of_zen4(void **state)
{
	struct machine *machine = *state;

	assert_int_equal(highest_extended(machine), 0x80000022);
	expect_leaf(machine, 0x1, 0xa10f11, ONES, ONES);
	expect_leaf(machine, 0x80000001, 0xa10f11, ONES, NO_IBS_NB_PTSC_LLC);
	expect_leaf(machine, 0x80000008, ONES, ~(1u << 1 | 1u << 31), ONES);
	expect_leaf(machine, 0x8000001b, 0, 0, 0);
	expect_leaf(machine, 0x80000022, 7, 6 | 16 << 4, 0);
}

static void cpuid_of_zen3(void **state)
{
	struct machine *machine = *state;

	assert_int_equal(highest_extended(machine), 0x8000001f);
	expect_leaf(machine, 0x1, 0xa00f11, ONES, ONES);
	expect_leaf(machine, 0x80000022, 0, 0, 0);
}

static void events(void **state)
{
	static const struct {
		uint64_t event;
		unsigned jcc_taken, jcc_not, jmp, ret, far;
	} rows[] = {
		{ AMD_BRANCHES, 1, 1, 1, 1, 1 }, { AMD_TAKEN, 1, 0, 1, 1, 1 },
		{ AMD_FAR, 0, 0, 0, 0, 1 },      { 0x00c8, 0, 0, 0, 1, 0 },
		{ 0x00d1, 1, 1, 0, 0, 0 },       { INSTRUCTIONS, 1, 1, 1, 1, 1 },
		{ AMD_CYCLES, 2, 2, 2, 2, 2 },   { BIT(32) | 0x120, 1, 1, 1, 1, 1 },
		{ 0x0020, 0, 0, 0, 0, 0 },       { BIT(32) | 0x00c0, 0, 0, 0, 0, 0 },
		{ 0x003c, 0, 0, 0, 0, 0 },
	};
	struct machine *machine = *state;

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		count(machine, 2, rows[i].event | ALL, 0);
		branch(machine, PMU_MODEL_JCC, true, 1, 9);
		assert_int_equal(ctr(machine, 2), rows[i].jcc_taken);
		branch(machine, PMU_MODEL_JCC, false, 1, 2);
		assert_int_equal(ctr(machine, 2), rows[i].jcc_taken + rows[i].jcc_not);
		count(machine, 2, rows[i].event | ALL, 0);
		branch(machine, PMU_MODEL_JMP, true, 1, 9);
		assert_int_equal(ctr(machine, 2), rows[i].jmp);
		branch(machine, PMU_MODEL_RET, true, 1, 9);
		assert_int_equal(ctr(machine, 2), rows[i].jmp + rows[i].ret);
		count(machine, 2, rows[i].event | ALL, 0);
		branch(machine, PMU_MODEL_FAR, true, 1, 9);
		assert_int_equal(ctr(machine, 2), rows[i].far);
	}
}

static void memory_events(void **state)
{
	struct machine *machine = *state;

	count(machine, 0, 0x0129 | ALL, 0);
	count(machine, 1, 0x0229 | ALL, 0);
	count(machine, 2, 0xff60 | ALL, 0);
	count(machine, 3, 0x0964 | ALL, 0);
	pmu_model_access(machine->model, PMU_MODEL_LOAD | PMU_MODEL_STORE, 0x5000, 0x5000, 8);
	retire(machine, 3, 1);
	for (unsigned n = 0; n < 4; n++)
		assert_int_equal(ctr(machine, n), 1);
}

/* SYSCALL with a counter of user mode: no. SYSRET: yes. Intel's count where they execute. */
static void cpl_after(void **state)
{
	struct machine *intel = machine_new(&pmu_model_icelake), *machine = *state;

	assert_int_equal(pmu_model_counted_cpl(intel->model, 3, 0), 3);
	assert_int_equal(pmu_model_counted_cpl(machine->model, 3, 0), 0);
	assert_int_equal(pmu_model_counted_cpl(machine->model, 0, 3), 3);
	machine_free(intel);
}

/* Exceptions and interrupts are branches, taken, and far, in the CPL they lead to, and no instructions. */
static void delivered_events_count(void **state)
{
	static const uint64_t counted[] = { AMD_BRANCHES, AMD_TAKEN, AMD_FAR, INSTRUCTIONS, 0x00d1, AMD_CYCLES };
	struct machine *machine = *state;

	for (unsigned n = 0; n < 6; n++)
		count(machine, n, counted[n] | OS | EVTSEL_EN, 0);
	pmu_model_event(machine->model, transfer(0x1000, 3, 0x2000, 0));
	pmu_model_event(machine->model, transfer(0x1000, 3, 0x2000, 3));
	for (unsigned n = 0; n < 6; n++)
		assert_int_equal(ctr(machine, n), n < 3);
	count(machine, 0, AMD_BRANCHES | ALL | INT, MAX_48);
	pmu_model_event(machine->model, transfer(0x1000, 3, 0x2000, 0));
	assert_int_equal(machine->pmis, 1);
	assert_int_equal(rd(machine, STATUS), BIT(0));
}

/* What the faulting instruction had reported is still forgotten. */
static void faulting_branch_does_not_count(void **state)
{
	struct machine *machine = *state;

	count(machine, 0, AMD_BRANCHES | ALL, 0);
	pmu_model_branch(machine->model, PMU_MODEL_CALL, true, transfer(0x1000, 3, 0x2000, 3));
	pmu_model_event(machine->model, transfer(0x1000, 3, 0x3000, 0));
	pmu_model_abort(machine->model);
	retire(machine, 0, 1);
	assert_int_equal(ctr(machine, 0), 1);
}

/* The table of GuestOnly and HostOnly: four settings of a counter, in three modes. */
static void guest_only_and_host_only(void **state)
{
	static const uint64_t settings[4] = { 0, GUEST_ONLY, HOST_ONLY, GUEST_ONLY | HOST_ONLY };
	static const unsigned plain[4] = { 10, 0, 0, 0 }, host[4] = { 10, 0, 10, 10 }, guest[4] = { 10, 10, 0, 10 };
	const unsigned *const expected[3] = { plain, host, guest };
	const struct pmu_model_vmcb vmcb = { 0 };
	struct machine *machine = *state;

	for (unsigned mode = 0; mode < 3; mode++) {
		if (mode == 1)
			pmu_model_svme(machine->model, true);
		if (mode == 2)
			vmrun(machine, &vmcb, 0);
		for (unsigned n = 0; n < 4; n++)
			count(machine, n, INSTRUCTIONS | ALL | settings[n], 0);
		retire(machine, 3, 10);
		for (unsigned n = 0; n < 4; n++)
			assert_int_equal(ctr(machine, n), expected[mode][n]);
	}
}

/* The CPL filter holds besides. */
static void guest_only_by_cpl(void **state)
{
	const struct pmu_model_vmcb vmcb = { 0 };
	struct machine *machine = *state;

	pmu_model_svme(machine->model, true);
	vmrun(machine, &vmcb, 0);
	count(machine, 0, INSTRUCTIONS | EVTSEL_EN | USR | GUEST_ONLY, 0);
	retire(machine, 0, 5);
	retire(machine, 3, 7);
	assert_int_equal(ctr(machine, 0), 7);
}

static void without_svme_again(void **state)
{
	struct machine *machine = *state;

	pmu_model_svme(machine->model, true);
	count(machine, 0, INSTRUCTIONS | ALL | HOST_ONLY, 0);
	retire(machine, 0, 5);
	pmu_model_svme(machine->model, false);
	retire(machine, 0, 7);
	assert_int_equal(ctr(machine, 0), 5);
	assert_int_equal(rd(machine, CTL(0)), INSTRUCTIONS | ALL | HOST_ONLY);
}

/* VMRUN: an instruction and a taken far branch of the guest, in its CPL. #VMEXIT: an event of the host, no instruction. */
static void vmrun_and_exit_count(void **state)
{
	static const uint64_t counted[] = { INSTRUCTIONS, AMD_BRANCHES, AMD_TAKEN };
	struct pmu_model_vmcb vmcb = { 0 };
	struct machine *machine = *state;

	pmu_model_svme(machine->model, true);
	for (unsigned n = 0; n < 3; n++) {
		count(machine, n, counted[n] | EVTSEL_EN | USR | GUEST_ONLY, 0);
		count(machine, n + 3, counted[n] | EVTSEL_EN | OS | HOST_ONLY, 0);
	}
	for (unsigned i = 0; i < 10; i++) {
		vmrun(machine, &vmcb, 3);
		pmu_model_svm_exit(machine->model, &vmcb);
	}
	for (unsigned n = 0; n < 3; n++) {
		assert_int_equal(ctr(machine, n), 10);
		assert_int_equal(ctr(machine, n + 3), n ? 10 : 0);
	}
}

/* Neither changes a register of the counters', nor DebugCtl. */
static void transitions_keep_registers(void **state)
{
	struct pmu_model_vmcb vmcb = { .debugctl = BIT(1) };
	struct machine *machine = *state;

	pmu_model_svme(machine->model, true);
	wr(machine, GLOBAL_CTL, BIT(2));
	wr(machine, DEBUGCTL, BIT(11));
	vmrun(machine, &vmcb, 0);
	assert_int_equal(rd(machine, GLOBAL_CTL), BIT(2));
	assert_int_equal(rd(machine, DEBUGCTL), BIT(11));
	wr(machine, DEBUGCTL, BIT(12));
	pmu_model_svm_exit(machine->model, &vmcb);
	assert_int_equal(rd(machine, GLOBAL_CTL), BIT(2));
	assert_int_equal(rd(machine, DEBUGCTL), BIT(12));
	assert_int_equal(vmcb.debugctl, BIT(1));
}

static void reset_ends_all(void **state)
{
	const struct pmu_model_vmcb vmcb = { 0 };
	struct machine *machine = *state;

	pmu_model_svme(machine->model, true);
	vmrun(machine, &vmcb, 0);
	count(machine, 0, INSTRUCTIONS | ALL | INT, 5);
	wr(machine, GLOBAL_CTL, 0);
	pmu_model_reset(machine->model);
	assert_int_equal(rd(machine, CTL(0)), 0);
	assert_int_equal(ctr(machine, 0), 0);
	assert_int_equal(rd(machine, GLOBAL_CTL), ALL_SIX);
	count(machine, 0, INSTRUCTIONS | ALL | HOST_ONLY, 0);
	retire(machine, 0, 5);
	assert_int_equal(ctr(machine, 0), 0);
}

static uint64_t random_bits(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed * UINT64_C(0x2545f4914f6cdd1d) ^ *seed >> 29;
}

static void random_step(struct machine *machine, uint64_t choice)
{
	static const uint64_t selectors[] = { INSTRUCTIONS, AMD_CYCLES, AMD_BRANCHES, AMD_TAKEN };
	const uint64_t modes = choice & (OS | USR | INT | GUEST_ONLY | HOST_ONLY), value = choice >> 20 & 0xfff;
	struct pmu_model_vmcb vmcb = { 0 };

	switch (choice & 7) {
	case 0: count(machine, choice >> 8 & 3, selectors[value >> 4 & 3] | modes | EVTSEL_EN, MAX_48 - value); break;
	case 1: pmu_model_svme(machine->model, true); break;
	case 2:
		pmu_model_svme(machine->model, true);
		vmrun(machine, &vmcb, value & 3);
		break;
	case 3: pmu_model_svm_exit(machine->model, &vmcb); break;
	case 4: wr(machine, STATUS_CLR, value); break;
	case 5: branch(machine, PMU_MODEL_JMP, true, value, 5); break;
	case 6: pmu_model_event(machine->model, transfer(value, 3, 5, value & 3)); break;
	case 7: break;
	}
	retire(machine, choice & 1 ? 3 : 0, (unsigned)value % 200);
}

/* The model counts the same whether or not it looks at every instruction. */
static void shortcuts_change_nothing(void **state)
{
	struct machine *fast = *state, *slow = machine_new(&pmu_model_zen4);
	uint64_t seed = 0x5eed;

	pmu_model_no_shortcuts(slow->model, true);
	for (unsigned step = 0; step < 20000; step++) {
		uint64_t choice = random_bits(&seed);

		random_step(fast, choice);
		random_step(slow, choice);
		for (unsigned n = 0; n < 6; n++)
			assert_int_equal(ctr(fast, n), ctr(slow, n));
		assert_int_equal(rd(fast, STATUS), rd(slow, STATUS));
		assert_int_equal(fast->pmis, slow->pmis);
		assert_int_equal(fast->retired_at_pmi, slow->retired_at_pmi);
	}
	assert_true(fast->pmis > 100);
	machine_free(slow);
}

static void by_name(void **state)
{
	(void)state;
	assert_ptr_equal(pmu_model_named("zen3"), &pmu_model_zen3);
	assert_ptr_equal(pmu_model_named("zen4"), &pmu_model_zen4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ZEN3_TEST(legacy_registers_are_aliases),
		ZEN4_TEST(legacy_registers_are_aliases),
		ZEN3_TEST(six_counters),
		ZEN4_TEST(six_counters),
		cmocka_unit_test(fewer_counters),
		ZEN4_TEST(selector_bits),
		ZEN4_TEST(counter_bits),
		ZEN4_TEST(rdpmc_numbers),
		ZEN4_TEST(global_ctl),
		ZEN4_TEST(global_status),
		ZEN4_TEST(freeze_on_pmi),
		ZEN4_TEST(debugctl_bits),
		ZEN4_TEST(lvtpc_is_not_masked),
		cmocka_unit_test(late_pmi),
		ZEN3_TEST(without_perfmon_v2),
		ZEN3_TEST(what_is_not_there),
		ZEN4_TEST(what_is_not_there),
		ZEN4_TEST(cpuid_of_zen4),
		ZEN3_TEST(cpuid_of_zen3),
		ZEN4_TEST(events),
		ZEN4_TEST(memory_events),
		ZEN4_TEST(cpl_after),
		ZEN4_TEST(delivered_events_count),
		ZEN3_TEST(faulting_branch_does_not_count),
		ZEN3_TEST(guest_only_and_host_only),
		ZEN4_TEST(guest_only_and_host_only),
		ZEN4_TEST(guest_only_by_cpl),
		ZEN4_TEST(without_svme_again),
		ZEN4_TEST(vmrun_and_exit_count),
		ZEN4_TEST(transitions_keep_registers),
		ZEN4_TEST(reset_ends_all),
		ZEN4_TEST(shortcuts_change_nothing),
		cmocka_unit_test(by_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
