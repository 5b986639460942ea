/*
 * The page-table builder, judged by a page walk written the other way round: from the manual's figure, entry by
 * entry.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/paging.h"

#define POOL_PA    UINT64_C(0x123456000)
#define POOL_PAGES 16
#define HIGH       UINT64_C(0xffffff8000000000)
#define LAST_PAGE  UINT64_C(0xfffffffffffff000)

static struct paging paging;
static uint64_t *pool;

static int setup(void **state)
{
	(void)state;
	pool = aligned_alloc(4096, POOL_PAGES * 4096);
	memset(pool, 0xee, POOL_PAGES * 4096);
	paging_init(&paging, pool, POOL_PA, POOL_PAGES);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free(pool);
	return 0;
}

/* The page-table entry of `va`, 0 where the walk ends early. */
static uint64_t walk(uint64_t va)
{
	uint64_t entry = POOL_PA;

	for (int shift = 39; shift >= 12; shift -= 9) {
		uint64_t table = entry & UINT64_C(0x000ffffffffff000);

		assert_in_range(table, POOL_PA, POOL_PA + POOL_PAGES * 4096 - 1);
		entry = pool[(table - POOL_PA) / 8 + (va >> shift & 511)];
		if (!(entry & 1))
			return 0;
		/* Tables must not take away what a page allows: present, writable, executable, cached. */
		if (shift > 12)
			assert_int_equal(entry & ~UINT64_C(0x000ffffffffff000), 3);
	}
	return entry;
}

static void nothing_is_mapped_at_first(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 512; i++)
		assert_int_equal(pool[i], 0);
	assert_int_equal(paging.used, 1);
}

static void flags_become_entry_bits(void **state)
{
	(void)state;
	assert_true(paging_map(&paging, HIGH, 0x1000, 4096, PAGING_READ_ONLY));
	assert_true(paging_map(&paging, HIGH + 4096, 0x7000, 4096, PAGING_WRITABLE));
	assert_true(paging_map(&paging, HIGH + 8192, 0x9000, 4096, PAGING_EXECUTABLE));
	assert_true(paging_map(&paging, HIGH + 12288, 0xfee00000, 4096, PAGING_WRITABLE | PAGING_UNCACHED));
	assert_int_equal(walk(HIGH), UINT64_C(0x8000000000001001));
	assert_int_equal(walk(HIGH + 4096), UINT64_C(0x8000000000007003));
	assert_int_equal(walk(HIGH + 8192), UINT64_C(0x0000000000009001));
	assert_int_equal(walk(HIGH + 12288), UINT64_C(0x80000000fee0001b));
	assert_int_equal(walk(HIGH + 16384), 0);
	assert_int_equal(paging.used, 4);
}

static void ranges_cross_tables(void **state)
{
	uint64_t va = HIGH + UINT64_C(0x3ffff000); /* last page below 1 GiB: the next needs a new directory */

	(void)state;
	assert_true(paging_map(&paging, va, 0x40000000, 514 * 4096, PAGING_WRITABLE));
	assert_int_equal(walk(va - 4096), 0);
	for (uint64_t i = 0; i < 514; i++)
		assert_int_equal(walk(va + i * 4096), (UINT64_C(0x40000000) + i * 4096) | PTE_NX | 3);
	assert_int_equal(walk(va + 514 * 4096), 0);
	assert_true(paging_map(&paging, LAST_PAGE, 0, 4096, PAGING_READ_ONLY));
	assert_int_equal(walk(LAST_PAGE), PTE_NX | 1);
}

static void wrong_ranges_are_refused(void **state)
{
	(void)state;
	assert_false(paging_map(&paging, HIGH, 0x1000, 4096, PAGING_WRITABLE | PAGING_EXECUTABLE));
	assert_false(paging_map(&paging, HIGH + 1, 0x1000, 4096, 0));
	assert_false(paging_map(&paging, HIGH, 0x1008, 4096, 0));
	assert_false(paging_map(&paging, HIGH, 0x1000, 100, 0));
	assert_false(paging_map(&paging, UINT64_C(0x800000000000), 0x1000, 4096, 0));
	assert_false(paging_map(&paging, UINT64_C(0x7ffffffff000), 0x1000, 8192, 0));
	assert_false(paging_map(&paging, HIGH, UINT64_C(0x000ffffffffff000), 8192, 0));
	assert_int_equal(walk(HIGH), 0);
}

static void a_page_is_mapped_once(void **state)
{
	(void)state;
	assert_true(paging_map(&paging, HIGH, 0x1000, 4096, PAGING_EXECUTABLE));
	assert_false(paging_map(&paging, HIGH, 0x2000, 4096, PAGING_WRITABLE));
	assert_int_equal(walk(HIGH), 0x1001);
}

static void pool_runs_dry(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < 5; i++) /* three tables each */
		assert_true(paging_map(&paging, i << 39, 0x1000, 4096, 0));
	assert_false(paging_map(&paging, UINT64_C(5) << 39, 0x1000, 4096, 0));
	assert_int_equal(paging.used, POOL_PAGES);
	assert_int_equal(walk(UINT64_C(4) << 39), PTE_NX | 0x1001);
}

static void pool_estimate_is_enough(void **state)
{
	(void)state;
	/* The worst case: each range starts with the last entry of every table on its way. */
	assert_true(paging_pool_pages(3 * 514, 3) >= 1 + 3 * (2 + 2 + 3));
	assert_true(paging_pool_pages(1, 1) >= 4);
	assert_true(paging_pool_pages(4096, 1) < 32);
}

static void entries_are_found(void **state)
{
	uint64_t va = HIGH + UINT64_C(0x7f000000) + 5 * 4096;

	(void)state;
	assert_int_equal(paging_entry(&paging, va, 1), 0);
	assert_true(paging_map(&paging, va, 0xfee00000, 4096, PAGING_UNCACHED));
	assert_int_equal(paging_entry(&paging, va, 4), POOL_PA + 511 * 8);
	assert_int_equal(paging_entry(&paging, 0, 4), POOL_PA);
	assert_int_equal(pool[(paging_entry(&paging, va, 1) - POOL_PA) / 8], walk(va));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nothing_is_mapped_at_first, setup, teardown),
		cmocka_unit_test_setup_teardown(flags_become_entry_bits, setup, teardown),
		cmocka_unit_test_setup_teardown(ranges_cross_tables, setup, teardown),
		cmocka_unit_test_setup_teardown(wrong_ranges_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(a_page_is_mapped_once, setup, teardown),
		cmocka_unit_test_setup_teardown(pool_runs_dry, setup, teardown),
		cmocka_unit_test_setup_teardown(pool_estimate_is_enough, setup, teardown),
		cmocka_unit_test_setup_teardown(entries_are_found, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
