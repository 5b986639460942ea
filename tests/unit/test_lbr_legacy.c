/* The registers of the older LBRs, played by an array: what is switched, and what can't be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/cpuid.h"
#include "arch/x86/msr.h"
#include "arch/x86/reg.h"
#include "hv/lbr.h"

#define DEPTH   32
#define NR_MSRS 0xe00
#define FORMAT  5
#define GUESTS  0x100000
#define HOSTS   0x200000

static uint64_t msrs[NR_MSRS];
static bool hidden_below; /* a hypervisor below has no LBRs */
static struct lbr lbr;

uint64_t reg_rdmsr(uint32_t msr)
{
	assert_in_range(msr, 0, NR_MSRS - 1);
	return msrs[msr];
}

bool reg_rdmsr_safe(uint32_t msr, uint64_t *value)
{
	*value = reg_rdmsr(msr);
	return !hidden_below;
}

void reg_wrmsr(uint32_t msr, uint64_t value)
{
	assert_false(msr == MSR_IA32_LER_FROM || msr == MSR_IA32_LER_FROM + 1); /* read-only */
	assert_in_range(msr, 0, NR_MSRS - 1);
	msrs[msr] = value;
}

void reg_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t regs[4])
{
	assert_true(leaf == CPUID_FEATURES && subleaf == 0);
	memset(regs, 0, 4 * sizeof(regs[0]));
	regs[2] = (uint32_t)CPUID_1_ECX_PDCM;
}

static int setup(void **state)
{
	(void)state;
	memset(msrs, 0, sizeof(msrs));
	lbr = (struct lbr){ .guests = true, .hosts = true };
	hidden_below = false;
	return 0;
}

/* Every register that is switched, with a value of its own. */
static void fill(uint64_t owner)
{
	msrs[MSR_LBR_SELECT] = owner | 1;
	msrs[MSR_LASTBRANCH_TOS] = owner == HOSTS ? 7 : 30;
	for (uint32_t i = 0; i < DEPTH; i++) {
		msrs[MSR_LASTBRANCH_0_FROM + i] = owner | 0x1000 | i;
		msrs[MSR_LASTBRANCH_0_TO + i] = owner | 0x2000 | i;
		msrs[MSR_LBR_INFO_0 + i] = owner | 0x3000 | i;
	}
}

static void expect(uint64_t owner)
{
	uint64_t found[NR_MSRS];

	memcpy(found, msrs, sizeof(found));
	fill(owner);
	assert_memory_equal(found, msrs, sizeof(found));
}

static void only_formats_with_info_are_known(void **state)
{
	(void)state;
	for (uint64_t format = 0; format < 64; format++) {
		msrs[MSR_IA32_PERF_CAPABILITIES] = format | BIT(13);
		lbr.caps = (struct lbr_caps){ 0 };
		assert_int_equal(lbr_legacy.ident(&lbr.caps), format == FORMAT || format == 7);
		assert_int_equal(lbr.caps.entries, format == FORMAT || format == 7 ? DEPTH : 0);
	}
	msrs[MSR_IA32_PERF_CAPABILITIES] = FORMAT;
	hidden_below = true;
	assert_false(lbr_legacy.ident(&lbr.caps));
}

static void the_whole_stack_is_switched(void **state)
{
	(void)state;
	fill(GUESTS);
	lbr_legacy.save(&lbr.guest_state, DEPTH);
	fill(HOSTS);
	lbr_legacy.load(&lbr.guest_state, DEPTH);
	expect(GUESTS);
}

static void the_host_s_begins_empty_and_unfiltered(void **state)
{
	struct lbr_branch branches[LBR_MAX_ENTRIES];

	(void)state;
	fill(GUESTS);
	lbr_legacy.save(&lbr.guest_state, DEPTH);
	assert_int_equal(msrs[MSR_LBR_SELECT], 0);
	assert_int_equal(lbr_legacy.read(branches, DEPTH), 0);
	msrs[MSR_LASTBRANCH_TOS] = 31;
	msrs[MSR_LASTBRANCH_0_FROM + 31] = HOSTS;
	assert_int_equal(lbr_legacy.read(branches, DEPTH), 1);
}

static void the_newest_are_read_first(void **state)
{
	struct lbr_branch branches[LBR_MAX_ENTRIES];

	(void)state;
	fill(HOSTS);
	assert_int_equal(lbr_legacy.read(branches, DEPTH), DEPTH);
	for (unsigned i = 0; i < DEPTH; i++) {
		assert_int_equal(branches[i].from, HOSTS | 0x1000 | (7 - i) % DEPTH);
		assert_int_equal(branches[i].to, HOSTS | 0x2000 | (7 - i) % DEPTH);
	}
	msrs[MSR_LASTBRANCH_0_FROM + 5] = 0;
	assert_int_equal(lbr_legacy.read(branches, DEPTH), 2);
}

static void recording_freezes_at_a_pmi(void **state)
{
	(void)state;
	lbr_legacy.record(true);
	assert_int_equal(msrs[MSR_IA32_DEBUGCTL], DEBUGCTL_LBR | DEBUGCTL_FREEZE_LBRS_ON_PMI);
	lbr_legacy.record(false);
	assert_int_equal(msrs[MSR_IA32_DEBUGCTL], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(only_formats_with_info_are_known, setup),
		cmocka_unit_test_setup(the_whole_stack_is_switched, setup),
		cmocka_unit_test_setup(the_host_s_begins_empty_and_unfiltered, setup),
		cmocka_unit_test_setup(the_newest_are_read_first, setup),
		cmocka_unit_test_setup(recording_freezes_at_a_pmi, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
