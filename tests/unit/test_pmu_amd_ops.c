/*
 * pmuvisor's operations on AMD's PMU, with the model as the processor: what reaches the guest's selectors, what is
 * known of them without reading, which counters count an entry, and on Zen 3 the global registers that there are none
 * of.
 */
#include <asm/prctl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "amd_fixture.h"
#include "arch/x86/pmu_amd.h"
#include "arch/x86/reg.h"
#include "hv/cpu.h"

#define HOST  BITS(5, 4)
#define GUEST BITS(3, 0)
#define SIDES (GUEST_ONLY | HOST_ONLY)

/* Not of interest here. */
const struct lbr_ops lbr_amd;
struct guest_msrs {
	int none;
};
const struct guest_msrs guest_msrs_amd;

static struct machine *machine;
static struct cpu cpu;

uint64_t reg_rdmsr(uint32_t msr)
{
	return rd(machine, msr);
}

void reg_wrmsr(uint32_t msr, uint64_t value)
{
	wr(machine, msr, value);
}

void reg_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t regs[4])
{
	const uint32_t largest = 0x80000021;

	memset(regs, 0, 4 * sizeof(regs[0]));
	if (leaf == 0x80000000)
		regs[0] = largest;
	pmu_model_cpuid(machine->model, leaf, subleaf, regs);
}

static struct pmu *found(const struct pmu_model_caps *caps)
{
	machine = machine_new(caps);
	memset(&cpu, 0, sizeof(cpu));
	cpu.self = &cpu;
	assert_int_equal(syscall(SYS_arch_prctl, ARCH_SET_GS, &cpu), 0); /* where this_cpu() looks */
	pmu_model_svme(machine->model, true);
	assert_true(pmu_amd.ident(&cpu.pmu.caps));
	cpu.pmu.host = HOST;
	cpu.pmu.guest = GUEST;
	return &cpu.pmu;
}

static int zen4(void **state)
{
	*state = found(&pmu_model_zen4);
	return 0;
}

static int zen3(void **state)
{
	*state = found(&pmu_model_zen3);
	return 0;
}

static int end(void **state)
{
	(void)state;
	machine_free(machine);
	return 0;
}

static void what_zen_4_has(void **state)
{
	const struct pmu *pmu = *state;

	assert_int_equal(pmu->caps.version, 2);
	assert_int_equal(pmu->caps.nr_gp, 6);
	assert_int_equal(pmu->caps.counters, ALL_SIX);
	assert_int_equal(pmu->caps.width, 48);
	assert_int_equal(pmu->caps.nr_named, 0);
	assert_int_equal(pmu->caps.clear_flags, PMU_STATUS_LBR_FROZEN | PMU_STATUS_CTR_FROZEN);
	assert_true(pmu->caps.global);
	assert_false(pmu->caps.pmi_masks);
}

static void what_zen_3_has(void **state)
{
	const struct pmu *pmu = *state;

	assert_int_equal(pmu->caps.version, 1);
	assert_int_equal(pmu->caps.nr_gp, 6);
	assert_int_equal(pmu->caps.nr_named, 4);
	assert_int_equal(pmu->caps.clear_flags, 0);
	assert_false(pmu->caps.global);
	assert_false(pmu->caps.pmi_masks);
}

/* What is on counts in the guest alone, and the guest reads what it wrote. */
static void guest_s_selectors(void **state)
{
	struct pmu *pmu = *state;

	pmu_amd_write_selector(pmu, 1, INSTRUCTIONS | ALL);
	assert_int_equal(rd(machine, CTL(1)), INSTRUCTIONS | ALL | GUEST_ONLY);
	assert_int_equal(pmu_amd_read_selector(pmu, 1), INSTRUCTIONS | ALL);
	assert_int_equal(pmu->gate.disguised, BIT(1));
	assert_true(pmu->gate.dirty);
	pmu->gate.dirty = false;
	pmu_amd_write_selector(pmu, 1, AMD_CYCLES | ALL);
	assert_false(pmu->gate.dirty);
	pmu_amd_write_selector(pmu, 1, INSTRUCTIONS | USR | OS);
	assert_int_equal(rd(machine, CTL(1)), INSTRUCTIONS | USR | OS);
	assert_int_equal(pmu->gate.disguised, 0);
	assert_true(pmu->gate.dirty);
}

/* Without SVM, which the guest doesn't have, either bit stops the counter. */
static void a_side_stops_a_guest_s_counter(void **state)
{
	static const uint64_t sides[] = { GUEST_ONLY, HOST_ONLY, SIDES };
	struct pmu *pmu = *state;

	for (unsigned i = 0; i < 3; i++) {
		pmu_amd_write_selector(pmu, 0, INSTRUCTIONS | ALL | sides[i]);
		assert_int_equal(rd(machine, CTL(0)), INSTRUCTIONS | USR | OS);
		assert_int_equal(pmu_amd_read_selector(pmu, 0), INSTRUCTIONS | ALL | sides[i]);
		assert_int_equal(pmu->gate.disguised, BIT(0));
	}
}

static void reserved_bits_read_as_the_hardware_has_them(void **state)
{
	struct pmu *pmu = *state;

	pmu_amd_write_selector(pmu, 0, ~UINT64_C(0));
	assert_int_equal(pmu_amd_read_selector(pmu, 0),
			 SIDES | BITS(35, 24) | EVTSEL_INV | EVTSEL_EN | INT | BITS(18, 0));
}

static void expect_entries(struct pmu *pmu, uint64_t selector, bool kernel, bool user, bool instruction)
{
	pmu_amd_write_selector(pmu, 2, selector);
	assert_int_equal(pmu_amd.counts_entry(GUEST, false), kernel ? BIT(2) : 0);
	assert_int_equal(pmu_amd.counts_entry(GUEST, true), user ? BIT(2) : 0);
	assert_int_equal(pmu_amd.counts_entry(GUEST & ~BIT(2), false), 0);
	assert_int_equal(pmu_amd.counts_instructions(GUEST, false), kernel && instruction ? BIT(2) : 0);
	assert_int_equal(pmu_amd.counts_instructions(GUEST, true), user && instruction ? BIT(2) : 0);
}

static void which_counters_count_an_entry(void **state)
{
	struct pmu *pmu = *state;

	expect_entries(pmu, INSTRUCTIONS | ALL, true, true, true);
	expect_entries(pmu, INSTRUCTIONS | EVTSEL_EN | USR, false, true, true);
	expect_entries(pmu, INSTRUCTIONS | EVTSEL_EN | OS, true, false, true);
	expect_entries(pmu, INSTRUCTIONS | USR | OS, false, false, true);
	expect_entries(pmu, AMD_BRANCHES | ALL, true, true, false);
	expect_entries(pmu, AMD_TAKEN | ALL, true, true, false);
	expect_entries(pmu, AMD_FAR | ALL, true, true, false);
	expect_entries(pmu, AMD_CYCLES | ALL, false, false, false);
	expect_entries(pmu, INSTRUCTIONS | BIT(32) | ALL, false, false, false);
	expect_entries(pmu, INSTRUCTIONS | ALL | GUEST_ONLY, false, false, false); /* off, for the guest */
	expect_entries(pmu, INSTRUCTIONS | ALL | CMASK(1), true, true, true);
	expect_entries(pmu, INSTRUCTIONS | ALL | CMASK(2), false, false, true);
	expect_entries(pmu, INSTRUCTIONS | ALL | CMASK(2) | EVTSEL_INV, true, true, true);
	expect_entries(pmu, INSTRUCTIONS | ALL | CMASK(1) | EVTSEL_INV, false, false, true);
	expect_entries(pmu, INSTRUCTIONS | ALL | EVTSEL_EDGE, false, false, true);
}

static void which_counters_interrupt(void **state)
{
	struct pmu *pmu = *state;

	pmu_amd_write_selector(pmu, 3, INSTRUCTIONS | ALL | INT);
	assert_int_equal(pmu_amd.interrupting(ALL_SIX), BIT(3));
	assert_int_equal(pmu_amd.used(ALL_SIX), BIT(3));
	pmu_amd_write_selector(pmu, 3, 0);
	assert_int_equal(pmu_amd.interrupting(ALL_SIX), 0);
	assert_int_equal(pmu_amd.used(ALL_SIX), 0);
}

/* Names are Intel's numbers, for AMD's own; a number is taken as it is. */
static void host_s_selectors(void **state)
{
	struct config_event event = { .name = "branches", .event = 0xc4, .guest = true, .host = true, .user = true };

	(void)state;
	pmu_amd.program(5, &event);
	assert_int_equal(rd(machine, CTL(5)), AMD_BRANCHES | EVTSEL_EN | USR | SIDES);
	event = (struct config_event){ .name = "event", .event = 0xc4, .kernel = true, .host = true, .period = 9 };
	pmu_amd.program(5, &event);
	assert_int_equal(rd(machine, CTL(5)), AMD_TAKEN | EVTSEL_EN | OS | INT | HOST_ONLY);
	pmu_amd.program(5, NULL);
	assert_int_equal(rd(machine, CTL(5)), 0);
}

static void zen_4_s_global_registers(void **state)
{
	struct pmu *pmu = *state;

	pmu_amd.enable(BIT(5) | BIT(0));
	assert_int_equal(rd(machine, GLOBAL_CTL), BIT(5) | BIT(0));
	assert_int_equal(pmu->kept.ctrl, BIT(5) | BIT(0));
	wr(machine, GLOBAL_CTL, BIT(1)); /* the guest, while it is open */
	assert_int_equal(pmu_amd.enabled(), BIT(1));
	assert_int_equal(pmu->kept.ctrl, BIT(1));
	pmu_amd.set_status(BIT(2));
	assert_int_equal(rd(machine, STATUS), BIT(2));
	assert_int_equal(pmu_amd.status(), BIT(2));
	pmu_amd.clear_status(BIT(2));
	assert_int_equal(rd(machine, STATUS), 0);
}

static void host_event(unsigned n, uint64_t value)
{
	const struct config_event event = {
		.name = "instructions", .event = 0xc0, .kernel = true, .host = true, .period = 9
	};

	pmu_amd.write(n, value);
	pmu_amd.program(n, &event);
}

/* The guest's are its own to enable; each does so by its selector. */
static void zen_3_enables_by_selectors(void **state)
{
	struct pmu *pmu = *state;

	pmu_amd_write_selector(pmu, 0, INSTRUCTIONS | ALL);
	host_event(5, 0);
	pmu_amd.enable(0);
	assert_int_equal(rd(machine, CTL(0)), INSTRUCTIONS | ALL | GUEST_ONLY);
	assert_int_equal(rd(machine, CTL(5)), INSTRUCTIONS | OS | INT | HOST_ONLY);
	assert_int_equal(rd(machine, CTL(4)), 0);
	assert_int_equal(pmu_amd.enabled(), 0);
	pmu_amd.enable(ALL_SIX);
	assert_int_equal(rd(machine, CTL(5)), INSTRUCTIONS | EVTSEL_EN | OS | INT | HOST_ONLY);
	assert_int_equal(rd(machine, CTL(4)), 0); /* has no event */
	assert_int_equal(pmu_amd.enabled(), ALL_SIX);
}

/* Seen once, and for as long as nobody clears it. */
static void zen_3_sees_a_host_counter_wrap(void **state)
{
	(void)state;
	host_event(4, MAX_48 - 1);
	host_event(5, MAX_48 - 9);
	retire(machine, 0, 1);
	assert_int_equal(pmu_amd.status(), 0);
	retire(machine, 0, 2);
	assert_int_equal(pmu_amd.status(), BIT(4));
	pmu_amd.enable(0); /* stopped in between */
	assert_int_equal(pmu_amd.status(), BIT(4));
	pmu_amd.clear_status(BIT(4));
	assert_int_equal(pmu_amd.status(), 0);
	pmu_amd.enable(ALL_SIX);
	retire(machine, 0, 20);
	pmu_amd.enable(0);
	assert_int_equal(pmu_amd.status(), BIT(5));
	pmu_amd.write(5, MAX_48 - 5);
	pmu_amd.clear_status(BIT(5));
	assert_int_equal(pmu_amd.status(), 0);
}

static void in_the_guest(unsigned instructions)
{
	struct pmu_model_vmcb vmcb = { .debugctl = 0 };

	vmrun(machine, &vmcb, 3);
	retire(machine, 3, instructions);
	pmu_model_svm_exit(machine->model, &vmcb);
}

static void zen_3_sees_a_guest_s_counter_wrap(void **state)
{
	struct pmu *pmu = *state;

	wr(machine, CTR(2), MAX_48 - 10); /* without an exit */
	pmu_amd_write_selector(pmu, 2, INSTRUCTIONS | ALL | INT);
	in_the_guest(5);
	assert_int_equal(pmu_amd.status(), 0);
	in_the_guest(20);
	assert_int_equal(pmu_amd.status(), BIT(2));
	pmu_amd.clear_status(BIT(2));
	in_the_guest(5);
	assert_int_equal(pmu_amd.status(), 0);
}

/* What the guest writes while its counter is off is no overflow, and one that it has dealt with isn't one any more. */
static void zen_3_forgets_with_the_selector(void **state)
{
	struct pmu *pmu = *state;

	wr(machine, CTR(2), 1000);
	pmu_amd_write_selector(pmu, 2, INSTRUCTIONS | ALL | INT);
	assert_int_equal(pmu_amd.status(), 0);
	pmu_amd_write_selector(pmu, 2, INSTRUCTIONS | USR | OS | INT);
	wr(machine, CTR(2), 5);
	assert_int_equal(pmu_amd.status(), 0);
	pmu_amd_write_selector(pmu, 2, INSTRUCTIONS | ALL | INT);
	assert_int_equal(pmu_amd.status(), 0);
	wr(machine, CTR(2), MAX_48);
	pmu_amd.status();
	in_the_guest(5);
	assert_int_equal(pmu_amd.status(), BIT(2));
	pmu_amd_write_selector(pmu, 2, INSTRUCTIONS | USR | OS | INT);
	assert_int_equal(pmu_amd.status(), 0);
}

/* The guest has no register to find them in. */
static void zen_3_has_no_status_to_set(void **state)
{
	(void)state;
	pmu_amd.set_status(BIT(1));
	assert_int_equal(pmu_amd.status(), 0);
}

#define ON_ZEN4(name) cmocka_unit_test_setup_teardown(name, zen4, end)
#define ON_ZEN3(name) cmocka_unit_test_setup_teardown(name, zen3, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_ZEN4(what_zen_4_has),
		ON_ZEN3(what_zen_3_has),
		ON_ZEN4(guest_s_selectors),
		ON_ZEN4(a_side_stops_a_guest_s_counter),
		ON_ZEN4(reserved_bits_read_as_the_hardware_has_them),
		ON_ZEN4(which_counters_count_an_entry),
		ON_ZEN4(which_counters_interrupt),
		ON_ZEN4(host_s_selectors),
		ON_ZEN4(zen_4_s_global_registers),
		ON_ZEN3(zen_3_enables_by_selectors),
		ON_ZEN3(zen_3_sees_a_host_counter_wrap),
		ON_ZEN3(zen_3_sees_a_guest_s_counter_wrap),
		ON_ZEN3(zen_3_forgets_with_the_selector),
		ON_ZEN3(zen_3_has_no_status_to_set),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
