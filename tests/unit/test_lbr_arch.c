/*
 * The architectural LBRs' registers and their state component, played by a depth and one entry: what is saved and
 * loaded, with which XSS, and what the host begins with.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/cpuid.h"
#include "arch/x86/msr.h"
#include "arch/x86/reg.h"
#include "arch/x86/vmcs.h"
#include "hv/lbr.h"

#define GUESTS_XSS BIT(11)
#define GUESTS     0x1000
#define HOSTS      0x2000

/* SDM Vol. 1, "XSAVE Area": the header's first words, and the component behind it. */
#define XSTATE_BV(area) ((uint64_t *)((uint8_t *)(area) + 512))[0]
#define XCOMP_BV(area)  ((uint64_t *)((uint8_t *)(area) + 512))[1]
#define ENTRY_0(area)   ((uint64_t *)((uint8_t *)(area) + 576))[5]

static struct {
	uint64_t xss, debugctl, control, depth;
	uint64_t from[LBR_MAX_ENTRIES];
} hardware;
static uint32_t offered; /* leaf 7, EDX */
static uint32_t entry_controls, exit_controls, xsaves_components;
static struct lbr_state state;

uint64_t reg_rdmsr(uint32_t msr)
{
	if (msr - MSR_IA32_LBR_0_FROM < LBR_MAX_ENTRIES)
		return hardware.from[msr - MSR_IA32_LBR_0_FROM];
	if (msr - MSR_IA32_LBR_0_TO < LBR_MAX_ENTRIES)
		return hardware.from[msr - MSR_IA32_LBR_0_TO] + 1;
	switch (msr) {
	case MSR_IA32_XSS: return hardware.xss;
	case MSR_IA32_LBR_DEPTH: return hardware.depth;
	case MSR_IA32_VMX_TRUE_ENTRY_CTLS: return (uint64_t)entry_controls << 32;
	case MSR_IA32_VMX_TRUE_EXIT_CTLS: return (uint64_t)exit_controls << 32;
	default: fail_msg("RDMSR %#x", msr); return 0;
	}
}

void reg_wrmsr(uint32_t msr, uint64_t value)
{
	switch (msr) {
	case MSR_IA32_XSS: hardware.xss = value; break;
	case MSR_IA32_DEBUGCTL: hardware.debugctl = value; break;
	case MSR_IA32_LBR_CTL: hardware.control = value; break;
	case MSR_IA32_LBR_DEPTH:
		hardware.depth = value;
		memset(hardware.from, 0, sizeof(hardware.from));
		break;
	default: fail_msg("WRMSR %#x", msr);
	}
}

void reg_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t regs[4])
{
	memset(regs, 0, 4 * sizeof(regs[0]));
	if (leaf == CPUID_EXTENDED_FEATURES && subleaf == 0)
		regs[3] = offered;
	if (leaf == CPUID_XSAVE && subleaf == 1) {
		regs[0] = (uint32_t)CPUID_XSAVE_1_EAX_XSAVES;
		regs[2] = xsaves_components;
	}
}

static void check_area(const void *area, uint64_t components)
{
	assert_int_equal((uintptr_t)area % 64, 0);
	assert_int_equal(components, XSTATE_LBR);
	assert_true(hardware.xss & XSTATE_LBR);
	assert_int_equal(hardware.control, 0);
}

void reg_xsaves(void *area, uint64_t components)
{
	uint8_t *end = (uint8_t *)area + 576 + 808;

	check_area(area, components);
	assert_true((uint8_t *)area >= state.bytes && end <= state.bytes + sizeof(state.bytes));
	XSTATE_BV(area) = XSTATE_LBR;
	XCOMP_BV(area) = BIT(63) | XSTATE_LBR;
	ENTRY_0(area) = hardware.from[0];
}

void reg_xrstors(const void *area, uint64_t components)
{
	check_area(area, components);
	assert_int_equal(XCOMP_BV(area), BIT(63) | XSTATE_LBR);
	memset(hardware.from, 0, sizeof(hardware.from));
	if (XSTATE_BV(area) & XSTATE_LBR)
		hardware.from[0] = ENTRY_0(area);
}

static int setup(void **unused)
{
	(void)unused;
	memset(&state, 0, sizeof(state));
	memset(&hardware, 0, sizeof(hardware));
	hardware.depth = 32;
	hardware.xss = GUESTS_XSS;
	offered = (uint32_t)CPUID_7_EDX_ARCH_LBR;
	entry_controls = (uint32_t)ENTRY_LOAD_LBR_CTL;
	exit_controls = (uint32_t)EXIT_CLEAR_LBR_CTL;
	xsaves_components = (uint32_t)XSTATE_LBR;
	return 0;
}

static struct lbr_caps identified(void)
{
	struct lbr_caps caps = { 0 };

	assert_true(lbr_arch.ident(&caps));
	return caps;
}

static void switchable_with_both_controls_and_xsaves(void **unused)
{
	struct lbr_caps caps = identified();

	(void)unused;
	assert_int_equal(caps.entries, 32);
	assert_true(caps.switchable);
	entry_controls = 0;
	assert_false(identified().switchable);
	setup(NULL);
	exit_controls = 0;
	assert_false(identified().switchable);
	setup(NULL);
	xsaves_components = 0;
	assert_false(identified().switchable);
	offered = 0;
	assert_false(lbr_arch.ident(&caps));
}

static void the_guest_s_come_back(void **unused)
{
	(void)unused;
	hardware.depth = 8;
	hardware.from[0] = GUESTS;
	lbr_arch.save(&state, 32);
	hardware.from[0] = HOSTS;
	hardware.from[1] = HOSTS;
	lbr_arch.load(&state, 32);
	assert_int_equal(hardware.from[0], GUESTS);
	assert_int_equal(hardware.from[1], 0);
	assert_int_equal(hardware.depth, 8);
}

static void the_host_s_begin_empty(void **unused)
{
	struct lbr_branch branches[LBR_MAX_ENTRIES];

	(void)unused;
	hardware.from[0] = GUESTS;
	lbr_arch.save(&state, 32);
	assert_int_equal(lbr_arch.read(branches, 32), 0);
}

static void xss_is_the_guest_s_again(void **unused)
{
	(void)unused;
	lbr_arch.save(&state, 32);
	assert_int_equal(hardware.xss, GUESTS_XSS);
	lbr_arch.load(&state, 32);
	assert_int_equal(hardware.xss, GUESTS_XSS);
	hardware.xss = GUESTS_XSS | XSTATE_LBR;
	lbr_arch.save(&state, 32);
	lbr_arch.load(&state, 32);
	assert_int_equal(hardware.xss, GUESTS_XSS | XSTATE_LBR);
}

static void no_more_than_the_guest_s_depth_is_read(void **unused)
{
	struct lbr_branch branches[LBR_MAX_ENTRIES];

	(void)unused;
	for (unsigned i = 0; i < LBR_MAX_ENTRIES; i++)
		hardware.from[i] = HOSTS + 2 * i;
	assert_int_equal(lbr_arch.read(branches, 32), 32);
	hardware.depth = 8;
	assert_int_equal(lbr_arch.read(branches, 32), 8);
	assert_int_equal(branches[7].from, HOSTS + 14);
	assert_int_equal(branches[7].to, HOSTS + 15);
	hardware.from[3] = 0;
	assert_int_equal(lbr_arch.read(branches, 32), 3);
}

static void recording_freezes_at_a_pmi(void **unused)
{
	(void)unused;
	lbr_arch.record(true);
	assert_int_equal(hardware.control, lbr_arch.control);
	assert_int_equal(hardware.debugctl, DEBUGCTL_FREEZE_LBRS_ON_PMI);
	lbr_arch.record(false);
	assert_int_equal(hardware.control, 0);
	assert_int_equal(hardware.debugctl, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(switchable_with_both_controls_and_xsaves, setup),
		cmocka_unit_test_setup(the_guest_s_come_back, setup),
		cmocka_unit_test_setup(the_host_s_begin_empty, setup),
		cmocka_unit_test_setup(xss_is_the_guest_s_again, setup),
		cmocka_unit_test_setup(no_more_than_the_guest_s_depth_is_read, setup),
		cmocka_unit_test_setup(recording_freezes_at_a_pmi, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
