/* The guest's map, judged by a walk written from the manual's figures and by the reference for memory types. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/guest_map.h"
#include "arch/x86/reg.h"
#include "arch/x86/vmcs.h"
#include "mtrr_reference.h"

#define PAGE    UINT64_C(0x1000)
#define MIB     UINT64_C(0x100000)
#define GIB     UINT64_C(0x40000000)
#define POOL_PA UINT64_C(0x7654321000)
#define POINTS  256

static struct mtrrs mtrrs;
static struct guest_map map;
static uint64_t limit;
static uint64_t points[POINTS]; /* in order: where anything may change */
static unsigned nr_points;

/* mtrr_read() is linked, and not called. */
uint64_t reg_rdmsr(uint32_t msr)
{
	fail_msg("MSR %x is read", msr);
	return 0;
}

static void build(unsigned physical_bits, unsigned pages)
{
	free(map.pool);
	map.physical_bits = physical_bits;
	map.pages = pages;
	map.pool_pa = POOL_PA;
	map.pool = aligned_alloc(PAGE, pages * PAGE);
	assert_non_null(map.pool);
	memset(map.pool, 0xee, pages * PAGE);
	limit = BIT(physical_bits < 48 ? physical_bits : 48);
	assert_true(guest_map_build(&map, &mtrrs));
	assert_in_range(map.used, 1, pages);
}

static int setup(void **state)
{
	(void)state;
	memset(&mtrrs, 0, sizeof(mtrrs));
	memset(&map, 0, sizeof(map));
	mtrrs.default_type = 0x800 | MEMTYPE_WB;
	map.memtype = EPT_MEMTYPE;
	map.hidden_pa = 0x7f000000;
	map.hidden_size = 2 * MIB;
	map.apic_pa = 0xfee00000;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free(map.pool);
	return 0;
}

/* The entry that maps `pa`, 0 if none does, and the size of its page. SDM Vol. 3C, "EPT Translation Mechanism". */
static uint64_t walk(uint64_t pa, uint64_t *size)
{
	uint64_t entry = POOL_PA;

	for (int shift = 39; shift >= 12; shift -= 9) {
		uint64_t table = entry & UINT64_C(0x000ffffffffff000);

		assert_in_range(table, POOL_PA, POOL_PA + (map.used - 1) * PAGE);
		entry = map.pool[(table - POOL_PA) / 8 + (pa >> shift & 511)];
		*size = UINT64_C(1) << shift;
		if (!(entry & 7) || shift == 12 || entry & 0x80)
			break;
		/* Tables must not take away what a page allows, and their other bits are reserved. */
		assert_int_equal(entry & ~UINT64_C(0x000ffffffffff000), 7);
	}
	return entry;
}

static bool is_hidden(uint64_t pa)
{
	return pa >= map.hidden_pa && pa < map.hidden_pa + map.hidden_size;
}

static int compare_points(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void add_point(uint64_t pa)
{
	if (pa < limit && nr_points < POINTS)
		points[nr_points++] = pa;
}

/* Contiguous ranges only. */
static void find_points(void)
{
	nr_points = 0;
	add_point(0);
	for (uint64_t pa = 0; pa <= 0x100000; pa += pa < 0x80000 ? 0x10000 : pa < 0xc0000 ? 0x4000 : 0x1000)
		add_point(pa);
	for (unsigned i = 0; i < mtrrs.variable; i++) {
		uint64_t mask = mtrrs.range[i].mask & ~UINT64_C(0xfff);

		add_point(mtrrs.range[i].base & mask);
		add_point((mtrrs.range[i].base & mask) + BIT(map.physical_bits) - mask);
	}
	add_point(map.hidden_pa);
	add_point(map.hidden_pa + map.hidden_size);
	add_point(map.apic_pa);
	add_point(map.apic_pa + PAGE);
	qsort(points, nr_points, sizeof(points[0]), compare_points);
}

/* Is all from `start` on of one type, nothing of it hidden, and the APIC's page not in it? */
static bool is_uniform(uint64_t start, uint64_t size)
{
	unsigned type = reference_type(&mtrrs, start, map.physical_bits);

	if (is_hidden(start) || start + size > limit || map.apic_pa - start < size)
		return false;
	for (unsigned i = 0; i < nr_points; i++) {
		if (points[i] - start < size &&
		    (is_hidden(points[i]) || reference_type(&mtrrs, points[i], map.physical_bits) != type))
			return false;
	}
	return true;
}

static uint64_t expected_size(uint64_t pa)
{
	if (is_uniform(pa & ~(GIB - 1), GIB))
		return GIB;
	return is_uniform(pa & ~(2 * MIB - 1), 2 * MIB) ? 2 * MIB : PAGE;
}

static void check_address(uint64_t pa)
{
	uint64_t size, entry = walk(pa, &size), type;

	if (pa >= limit)
		return;
	if (is_hidden(pa)) {
		assert_int_equal(entry, 0);
		assert_int_equal(size, PAGE);
		return;
	}
	type = reference_type(&mtrrs, pa, map.physical_bits);
	assert_int_equal(size, expected_size(pa));
	assert_int_equal(entry, (pa & ~(size - 1)) | (map.memtype ? type << 3 : 0) | 7 | (size > PAGE ? 0x80 : 0));
}

static void check_map(uint64_t *seed)
{
	find_points();
	for (unsigned i = 0; i < nr_points; i++) {
		check_address(points[i]);
		check_address(points[i] - PAGE);
		check_address(points[i] + PAGE);
		check_address(points[i] ^ random_below(seed, GIB));
	}
	for (unsigned i = 0; i < 64; i++)
		check_address(random_number(seed) & (limit - 1));
	for (uint64_t pa = map.hidden_pa; pa < map.hidden_pa + map.hidden_size; pa += PAGE)
		check_address(pa);
	check_address(limit - 1);
}

static void all_of_one_type(void **state)
{
	uint64_t seed = 1;

	(void)state;
	build(36, guest_map_pool_pages(36, 0));
	check_map(&seed);
	/* PML4, one PDPT, and for the region and the APIC's page a PD each and a page table each. */
	assert_int_equal(map.used, 1 + 1 + 2 + 2);
}

/* What a processor reaches beyond four levels is left out, and no table is made twice for it. */
static void widths(void **state)
{
	static const unsigned widths[] = { 36, 39, 40, 46, 48, 52 };
	uint64_t seed = 2;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(widths); i++) {
		build(widths[i], guest_map_pool_pages(widths[i], 0));
		check_map(&seed);
		assert_int_equal(map.used, 1 + (limit > 512 * GIB ? limit / (512 * GIB) : 1) + 4);
	}
}

static void fixed_ranges_split_the_first_pages_only(void **state)
{
	uint64_t seed = 3;

	(void)state;
	mtrrs.default_type |= 0x400;
	memset(mtrrs.fixed, MEMTYPE_WB, sizeof(mtrrs.fixed));
	mtrrs.fixed[2] = 0; /* A0000H to BFFFFH: uncached */
	build(39, guest_map_pool_pages(39, 10));
	check_map(&seed);
	assert_int_equal(map.used, 1 + 1 + 4 + 2);
}

/* Each boundary in a 1-GiB page of its own, the region across one more: the most tables there can be. */
static void worst_case_fits(void **state)
{
	uint64_t seed = 4;

	(void)state;
	mtrrs.default_type |= 0x400;
	memset(mtrrs.fixed, MEMTYPE_UC, sizeof(mtrrs.fixed));
	mtrrs.variable = MTRR_MAX_VARIABLE;
	for (uint64_t i = 0; i < MTRR_MAX_VARIABLE; i++) {
		mtrrs.range[i].base = ((2 * i + 10) * GIB + (2 * i + 1) * MIB) | MEMTYPE_UC;
		mtrrs.range[i].mask = (BIT(46) - PAGE) | 0x800;
	}
	map.hidden_pa = 100 * GIB - 9 * MIB;
	map.hidden_size = 20 * MIB;
	map.apic_pa = 99 * GIB + 7 * MIB; /* moved, as the guest may */
	build(46, guest_map_pool_pages(46, MTRR_MAX_VARIABLE));
	check_map(&seed);
	assert_int_equal(map.used, 1 + 128 + 2 + 2 * MTRR_MAX_VARIABLE + (2 + 11) + 1);
}

static void place_region(uint64_t *seed)
{
	map.hidden_size = PAGE * (1 + random_below(seed, 24 * MIB / PAGE));
	map.hidden_pa = PAGE * (512 + random_below(seed, (4 * GIB - 64 * MIB) / PAGE));
	do {
		map.apic_pa = random_below(seed, 2) ? 0xfee00000 : PAGE * random_below(seed, BIT(36) / PAGE);
	} while (is_hidden(map.apic_pa));
}

static void random_sets(void **state)
{
	static const unsigned widths[] = { 36, 39, 42, 46, 52 };
	uint64_t seed = 5;

	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		unsigned bits = widths[random_below(&seed, ARRAY_SIZE(widths))];

		random_mtrrs(&mtrrs, bits, &seed);
		place_region(&seed);
		build(bits, guest_map_pool_pages(bits, mtrrs.variable));
		check_map(&seed);
	}
}

/* Split where types meet, and none said: APM Vol. 2, "MTRRs and Page Size" and "Combining Memory Types, MTRRs". */
static void nested_page_tables(void **state)
{
	map.memtype = 0;
	random_sets(state);
}

/* The guest changes its MTRRs: the same pages, used again. */
static void built_again(void **state)
{
	uint64_t seed = 6;

	(void)state;
	for (unsigned i = 0; i < 50; i++) {
		random_mtrrs(&mtrrs, 40, &seed);
		if (!i)
			build(40, guest_map_pool_pages(40, MTRR_MAX_VARIABLE));
		assert_true(guest_map_build(&map, &mtrrs));
		check_map(&seed);
	}
}

static void pool_too_small(void **state)
{
	uint64_t needed, *small;

	(void)state;
	build(36, 100);
	needed = map.used;
	for (map.pages = 1; map.pages < needed; map.pages++) {
		small = aligned_alloc(PAGE, map.pages * PAGE);
		free(map.pool);
		map.pool = small;
		assert_false(guest_map_build(&map, &mtrrs));
		assert_int_equal(map.used, map.pages);
	}
	build(36, (unsigned)needed);
}

static void entries_are_found(void **state)
{
	uint64_t last = map.hidden_pa + map.hidden_size - PAGE;
	uint64_t size;

	(void)state;
	build(36, guest_map_pool_pages(36, 0));
	*guest_map_page_entry(&map, map.hidden_pa) = 0x111007;
	*guest_map_page_entry(&map, last) = 0x222007;
	assert_int_equal(walk(map.hidden_pa, &size), 0x111007);
	assert_int_equal(walk(last, &size), 0x222007);
	guest_map_put(&map, last, 0x333000);
	assert_int_equal(walk(last, &size), 0x333000 | MEMTYPE_WB << 3 | 7);
	assert_int_equal(*guest_map_page_entry(&map, map.apic_pa), 0xfee00000 | MEMTYPE_WB << 3 | 7);
}

static void a_shown_page_is_to_read(void **state)
{
	uint64_t page = map.hidden_pa + 3 * PAGE, size;

	(void)state;
	build(36, guest_map_pool_pages(36, 0));
	guest_map_show(&map, page);
	assert_int_equal(walk(page, &size), page | MEMTYPE_WB << 3 | 5);
	assert_int_equal(walk(page - PAGE, &size), 0);
	assert_int_equal(walk(page + PAGE, &size), 0);
	assert_true(guest_map_build(&map, &mtrrs));
	assert_int_equal(walk(page, &size), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(all_of_one_type, setup, teardown),
		cmocka_unit_test_setup_teardown(widths, setup, teardown),
		cmocka_unit_test_setup_teardown(fixed_ranges_split_the_first_pages_only, setup, teardown),
		cmocka_unit_test_setup_teardown(worst_case_fits, setup, teardown),
		cmocka_unit_test_setup_teardown(random_sets, setup, teardown),
		cmocka_unit_test_setup_teardown(nested_page_tables, setup, teardown),
		cmocka_unit_test_setup_teardown(built_again, setup, teardown),
		cmocka_unit_test_setup_teardown(pool_too_small, setup, teardown),
		cmocka_unit_test_setup_teardown(entries_are_found, setup, teardown),
		cmocka_unit_test_setup_teardown(a_shown_page_is_to_read, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
