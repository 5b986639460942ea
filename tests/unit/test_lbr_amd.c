/* The registers of AMD's LBRs, played by an array: what is there, what is read of them, and where the host's begin. */
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

#define ENTRIES     16
#define VALID       BIT(63)
#define SPECULATIVE BIT(62)

static uint64_t debugctl, select, extension, entries[2 * ENTRIES];
static uint32_t largest, features, depth, svm;
static struct lbr_caps caps;
static struct lbr_state state_area;

static uint64_t *msr_at(uint32_t msr)
{
	switch (msr) {
	case 0x1d9: return &debugctl;
	case 0xc000010e: return &select;
	case 0xc000010f: return &extension;
	}
	assert_in_range(msr, 0xc0010300, 0xc001031f);
	return &entries[msr - 0xc0010300];
}

uint64_t reg_rdmsr(uint32_t msr)
{
	return *msr_at(msr);
}

void reg_wrmsr(uint32_t msr, uint64_t value)
{
	*msr_at(msr) = value;
}

void reg_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t regs[4])
{
	assert_int_equal(subleaf, 0);
	memset(regs, 0, 4 * sizeof(regs[0]));
	switch (leaf) {
	case 0x80000000: regs[0] = largest; break;
	case 0x8000000a: regs[3] = svm; break;
	case 0x80000022:
		regs[0] = features;
		regs[1] = depth << 4 | 6;
		break;
	default: fail();
	}
}

/* A Zen 4. */
static int setup(void **state)
{
	(void)state;
	memset(entries, 0, sizeof(entries));
	debugctl = select = extension = 0;
	largest = 0x80000022;
	features = 7;
	depth = ENTRIES;
	svm = BIT(1);
	caps = (struct lbr_caps){ 0 };
	return 0;
}

static void only_where_cpuid_says(void **state)
{
	(void)state;
	assert_true(lbr_amd.ident(&caps));
	assert_int_equal(caps.entries, ENTRIES);
	assert_true(caps.switchable);
	features = 5;
	assert_false(lbr_amd.ident(&caps));
	features = 7;
	largest = 0x80000021; /* Zen 3, whatever the leaf then says */
	assert_false(lbr_amd.ident(&caps));
}

/* They are nobody's then. */
static void only_where_vmrun_switches_them(void **state)
{
	(void)state;
	svm = ~(uint32_t)BIT(1);
	assert_true(lbr_amd.ident(&caps));
	assert_false(caps.switchable);
	svm = BIT(1);
	depth = ENTRIES + 1; /* the VMCB has no room */
	assert_true(lbr_amd.ident(&caps));
	assert_false(caps.switchable);
}

static void recording_stops_at_a_pmi(void **state)
{
	(void)state;
	lbr_amd.record(true);
	assert_int_equal(debugctl, BIT(11));
	assert_int_equal(extension, BIT(6));
	lbr_amd.record(false);
	assert_int_equal(debugctl | extension, 0);
}

static unsigned read_all(struct lbr_branch branches[LBR_MAX_ENTRIES])
{
	return lbr_amd.read(branches, ENTRIES);
}

static void fill(void)
{
	for (uint64_t i = 0; i < ENTRIES; i++) {
		entries[2 * i] = 0x1000 + i;
		entries[2 * i + 1] = VALID | (0x2000 + i);
	}
}

static void newest_first(void **state)
{
	struct lbr_branch branches[LBR_MAX_ENTRIES];

	(void)state;
	fill();
	assert_int_equal(read_all(branches), ENTRIES);
	for (uint64_t i = 0; i < ENTRIES; i++) {
		assert_int_equal(branches[i].from, 0x1000 + i);
		assert_int_equal(branches[i].to, 0x2000 + i);
	}
}

static void addresses_are_canonical(void **state)
{
	struct lbr_branch branches[LBR_MAX_ENTRIES];

	(void)state;
	entries[0] = BIT(63) | (BITS(57, 0) & UINT64_C(0xffffffff80001000)); /* mispredicted */
	entries[1] = VALID | SPECULATIVE | (BITS(57, 0) & UINT64_C(0xffffffff80002000));
	assert_int_equal(read_all(branches), 1);
	assert_int_equal(branches[0].from, UINT64_C(0xffffffff80001000));
	assert_int_equal(branches[0].to, UINT64_C(0xffffffff80002000));
}

static void what_was_only_speculated_is_left_out(void **state)
{
	struct lbr_branch branches[LBR_MAX_ENTRIES];

	(void)state;
	fill();
	entries[3] = SPECULATIVE | 0x2001;
	entries[9] = 0;
	assert_int_equal(read_all(branches), 3);
	assert_int_equal(branches[0].from, 0x1000);
	assert_int_equal(branches[1].from, 0x1002);
	assert_int_equal(branches[2].from, 0x1003);
}

/* One branch, which pushes the guest's entries down. */
static void push(uint64_t from, uint64_t to)
{
	memmove(&entries[2], &entries[0], sizeof(entries) - 2 * sizeof(entries[0]));
	entries[0] = from;
	entries[1] = VALID | to;
}

static void the_host_s_begin_empty_and_unfiltered(void **state)
{
	struct lbr_branch branches[LBR_MAX_ENTRIES];

	(void)state;
	fill();
	select = 0x1f;
	lbr_amd.save(&state_area, ENTRIES);
	assert_int_equal(select, 0);
	assert_int_equal(read_all(branches), 0);
	push(0x77, 0x88);
	assert_int_equal(read_all(branches), 1);
	assert_int_equal(branches[0].from, 0x77);
	for (unsigned i = 0; i < ENTRIES; i++)
		push(0x99, 0xaa);
	assert_int_equal(read_all(branches), ENTRIES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(only_where_cpuid_says, setup),
		cmocka_unit_test_setup(only_where_vmrun_switches_them, setup),
		cmocka_unit_test_setup(recording_stops_at_a_pmi, setup),
		cmocka_unit_test_setup(newest_first, setup),
		cmocka_unit_test_setup(addresses_are_canonical, setup),
		cmocka_unit_test_setup(what_was_only_speculated_is_left_out, setup),
		cmocka_unit_test_setup(the_host_s_begin_empty_and_unfiltered, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
