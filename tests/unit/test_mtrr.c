/*
 * Memory types: the manual's own example, each rule by itself, and random registers against a reference page by page.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/reg.h"
#include "mtrr_reference.h"

#define MIB        UINT64_C(0x100000)
#define ENABLED    UINT64_C(0x800)
#define WITH_FIXED UINT64_C(0x400)
#define VALID      UINT64_C(0x800)

static struct mtrrs mtrrs;
static uint64_t registers[0x300];

uint64_t reg_rdmsr(uint32_t msr)
{
	assert_in_range(msr, 0, 0x2ff);
	/* Those in between that the CPU hasn't: asking for them would be #GP. */
	assert_true(msr == 0xfe || msr == 0x2ff || registers[msr]);
	return registers[msr];
}

static int setup(void **state)
{
	(void)state;
	memset(&mtrrs, 0, sizeof(mtrrs));
	memset(registers, 0, sizeof(registers));
	mtrrs.default_type = ENABLED | MEMTYPE_WB;
	return 0;
}

static void add(uint64_t base, uint64_t mask)
{
	mtrrs.range[mtrrs.variable].base = base;
	mtrrs.range[mtrrs.variable].mask = mask;
	mtrrs.variable++;
}

/* The pages from `start` to `end` are of `type`, and `end` is where that ends. */
static void check(uint64_t start, uint64_t end, unsigned type)
{
	uint64_t pa = start, next;

	while (pa < end) {
		assert_int_equal(mtrr_type(&mtrrs, pa, 36, &next), type);
		assert_in_range(next, pa + 4096, end);
		pa = next;
	}
}

/* SDM Vol. 3A, "Example Base and Mask Calculations", 36 bits of physical address. */
static void example_of_the_manual(void **state)
{
	(void)state;
	mtrrs.default_type = ENABLED | MEMTYPE_UC;
	add(0x00000006, 0xffc000800);
	add(0x04000006, 0xffe000800);
	add(0x06000006, 0xfffc00800);
	add(0x04000000, 0xfffc00800);
	add(0x00f00000, 0xffff00800);
	add(0xa0000001, 0xfff800800);
	check(0, 15 * MIB, MEMTYPE_WB);
	check(15 * MIB, 16 * MIB, MEMTYPE_UC);
	check(16 * MIB, 64 * MIB, MEMTYPE_WB);
	check(64 * MIB, 68 * MIB, MEMTYPE_UC);
	check(68 * MIB, 100 * MIB, MEMTYPE_WB);
	check(100 * MIB, 0xa0000000, MEMTYPE_UC);
	check(0xa0000000, 0xa0800000, MEMTYPE_WC);
	check(0xa0800000, UINT64_C(1) << 36, MEMTYPE_UC);
}

static void disabled_is_uncached(void **state)
{
	(void)state;
	add(0 | MEMTYPE_WB, VALID | 0xfff000000);
	mtrrs.default_type = WITH_FIXED | MEMTYPE_WB;
	memset(mtrrs.fixed, MEMTYPE_WB, sizeof(mtrrs.fixed));
	check(0, UINT64_C(1) << 36, MEMTYPE_UC);
}

static void default_type_fills_the_rest(void **state)
{
	(void)state;
	mtrrs.default_type = ENABLED | MEMTYPE_WP;
	check(0, UINT64_C(1) << 36, MEMTYPE_WP);
	add(MIB | MEMTYPE_WB, 0xffff00000); /* not valid */
	check(0, UINT64_C(1) << 36, MEMTYPE_WP);
	mtrrs.range[0].mask |= VALID;
	check(0, MIB, MEMTYPE_WP);
	check(MIB, 2 * MIB, MEMTYPE_WB);
	check(2 * MIB, UINT64_C(1) << 36, MEMTYPE_WP);
}

static void fixed_ranges_win_below_one_mebibyte(void **state)
{
	(void)state;
	add(0 | MEMTYPE_UC, VALID | 0xfff000000);
	mtrrs.fixed[0] = UINT64_C(0x0605040106050401);
	mtrrs.fixed[1] = UINT64_C(0x0105040601050406);
	mtrrs.fixed[10] = UINT64_C(0x0504010605040106);
	check(0, 0x1000000, MEMTYPE_UC); /* they are there, but not enabled */
	mtrrs.default_type |= WITH_FIXED;
	check(0, 0x10000, MEMTYPE_WC);
	check(0x10000, 0x20000, MEMTYPE_WT);
	check(0x70000, 0x80000, MEMTYPE_WB);
	check(0x80000, 0x84000, MEMTYPE_WB);
	check(0x9c000, 0xa0000, MEMTYPE_WC);
	check(0xa0000, 0xf8000, MEMTYPE_UC);
	check(0xf8000, 0xf9000, MEMTYPE_WB);
	check(0xff000, 0x100000, MEMTYPE_WP);
	check(0x100000, 0x1000000, MEMTYPE_UC);
}

static void overlapping(uint64_t first, uint64_t second, unsigned expected)
{
	mtrrs.variable = 0;
	add(first, VALID | 0xffff00000);
	add(second, VALID | 0xffffff000);
	check(0, 4096, expected);
	check(4096, MIB, (unsigned)first);
	mtrrs.variable = 0;
	add(second, VALID | 0xffffff000);
	add(first, VALID | 0xffff00000);
	check(0, 4096, expected);
}

static void overlaps(void **state)
{
	(void)state;
	for (unsigned type = 0; type <= MEMTYPE_WB; type++)
		overlapping(type, MEMTYPE_UC, MEMTYPE_UC);
	overlapping(MEMTYPE_WB, MEMTYPE_WT, MEMTYPE_WT);
	overlapping(MEMTYPE_WC, MEMTYPE_WC, MEMTYPE_WC);
	overlapping(MEMTYPE_WB, MEMTYPE_WC, MEMTYPE_UC); /* undefined: nothing is safer */
	mtrrs.variable = 0;
	add(MEMTYPE_WB, VALID | 0xffff00000);
	add(MEMTYPE_WP, VALID | 0xffff00000);
	add(MEMTYPE_WB, VALID | 0xffff00000);
	check(0, MIB, MEMTYPE_UC);
}

/* SDM Vol. 3A, "Base and Mask Calculations": software may use masks with holes, and the range then repeats. */
static void masks_with_holes_repeat(void **state)
{
	(void)state;
	add(0x2000 | MEMTYPE_UC, VALID | 0xfffff2000);
	for (uint64_t pa = 0; pa < 0x10000; pa += 0x2000)
		check(pa, pa + 0x2000, pa & 0x2000 ? MEMTYPE_UC : MEMTYPE_WB);
	check(0x10000, MIB, MEMTYPE_WB);
}

/* The manual's test, "address AND mask = base AND mask", holds everywhere when the mask is 0. */
static void mask_of_nothing_covers_everything(void **state)
{
	(void)state;
	add(0x5000 | MEMTYPE_UC, VALID);
	check(0, UINT64_C(1) << 36, MEMTYPE_UC);
}

#define SMALL_BITS  25
#define SMALL_PAGES (1u << (SMALL_BITS - 12))

static void compare_every_page(void)
{
	static unsigned char type[SMALL_PAGES];
	uint64_t same_until = SMALL_PAGES, end;

	for (uint64_t page = 0; page < SMALL_PAGES; page++)
		type[page] = (unsigned char)reference_type(&mtrrs, page * 4096, SMALL_BITS);
	for (uint64_t page = SMALL_PAGES; page-- > 0;) {
		if (page + 1 < SMALL_PAGES && type[page] != type[page + 1])
			same_until = page + 1;
		assert_int_equal(mtrr_type(&mtrrs, page * 4096, SMALL_BITS, &end), type[page]);
		assert_int_equal(end % 4096, 0);
		assert_in_range(end, (page + 1) * 4096, same_until * 4096);
	}
}

static void random_sets_page_by_page(void **state)
{
	uint64_t seed = 1;

	(void)state;
	for (unsigned i = 0; i < 500; i++) {
		random_mtrrs(&mtrrs, SMALL_BITS, &seed);
		compare_every_page();
	}
}

static void random_masks_page_by_page(void **state)
{
	uint64_t seed = 2;

	(void)state;
	for (unsigned i = 0; i < 500; i++) {
		random_mtrrs(&mtrrs, SMALL_BITS, &seed);
		for (unsigned n = 0; n < mtrrs.variable; n += 2)
			mtrrs.range[n].mask &= random_number(&seed) | random_number(&seed) | VALID;
		compare_every_page();
	}
}

static void registers_are_read(void **state)
{
	(void)state;
	registers[0xfe] = 0x100 | 10; /* fixed ranges, ten variable ones */
	registers[0x2ff] = 0xc06;
	for (uint32_t i = 0; i < 20; i++)
		registers[0x200 + i] = 0x1000 + i;
	registers[0x250] = 0x50;
	registers[0x258] = 0x58;
	registers[0x259] = 0x59;
	for (uint32_t i = 0; i < 8; i++)
		registers[0x268 + i] = 0x68 + i;
	mtrr_read(&mtrrs);
	assert_int_equal(mtrrs.default_type, 0xc06);
	assert_int_equal(mtrrs.variable, 10);
	assert_int_equal(mtrrs.range[9].base, 0x1012);
	assert_int_equal(mtrrs.range[9].mask, 0x1013);
	assert_int_equal(mtrrs.fixed[0], 0x50);
	assert_int_equal(mtrrs.fixed[1], 0x58);
	assert_int_equal(mtrrs.fixed[2], 0x59);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(mtrrs.fixed[3 + i], 0x68 + i);
}

static void registers_not_there_are_not_read(void **state)
{
	(void)state;
	registers[0x2ff] = ENABLED | MEMTYPE_WB;
	mtrr_read(&mtrrs);
	assert_int_equal(mtrrs.variable, 0);
	check(0, UINT64_C(1) << 36, MEMTYPE_WB);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(example_of_the_manual, setup),
		cmocka_unit_test_setup(disabled_is_uncached, setup),
		cmocka_unit_test_setup(default_type_fills_the_rest, setup),
		cmocka_unit_test_setup(fixed_ranges_win_below_one_mebibyte, setup),
		cmocka_unit_test_setup(overlaps, setup),
		cmocka_unit_test_setup(masks_with_holes_repeat, setup),
		cmocka_unit_test_setup(mask_of_nothing_covers_everything, setup),
		cmocka_unit_test_setup(random_sets_page_by_page, setup),
		cmocka_unit_test_setup(random_masks_page_by_page, setup),
		cmocka_unit_test_setup(registers_are_read, setup),
		cmocka_unit_test_setup(registers_not_there_are_not_read, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
