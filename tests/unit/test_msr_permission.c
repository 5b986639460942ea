/* SVM's map of MSRs, all of its bytes: APM Vol. 2, "MSR Intercepts". */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/msr_permission.h"

static struct svm_msr_permission map;
static uint8_t expected[8192];

static int setup(void **state)
{
	(void)state;
	memset(&map, 0, sizeof(map));
	memset(expected, 0, sizeof(expected));
	return 0;
}

static void check(void)
{
	assert_memory_equal(&map, expected, sizeof(expected));
}

static void first_and_last_of_each_range(void **state)
{
	static const struct {
		uint32_t msr;
		unsigned byte;
		uint8_t read, write;
	} msrs[] = {
		{ 0x00000000, 0x0000, 0x01, 0x02 }, { 0x00001fff, 0x07ff, 0x40, 0x80 },
		{ 0xc0000000, 0x0800, 0x01, 0x02 }, { 0xc0001fff, 0x0fff, 0x40, 0x80 },
		{ 0xc0010000, 0x1000, 0x01, 0x02 }, { 0xc0011fff, 0x17ff, 0x40, 0x80 },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(msrs); i++) {
		assert_true(svm_msr_permission_set(&map, msrs[i].msr, TRAP_READ));
		expected[msrs[i].byte] = msrs[i].read;
		check();
		assert_true(svm_msr_permission_set(&map, msrs[i].msr, TRAP_WRITE));
		expected[msrs[i].byte] = msrs[i].write;
		check();
	}
}

static void neighbours_stay(void **state)
{
	(void)state;
	assert_true(svm_msr_permission_set(&map, 0xc0010201, TRAP_BOTH));
	assert_true(svm_msr_permission_set(&map, 0xc0010202, TRAP_READ));
	expected[0x1000 + 0x80] = 0x1c;
	check();
	assert_true(svm_msr_permission_set(&map, 0xc0010201, TRAP_NEVER));
	expected[0x1000 + 0x80] = 0x10;
	check();
}

static void all_of_them_leave_the_last_quarter(void **state)
{
	(void)state;
	for (uint32_t msr = 0; msr < 0x2000; msr++) {
		assert_true(svm_msr_permission_set(&map, msr, TRAP_BOTH));
		assert_true(svm_msr_permission_set(&map, 0xc0000000 + msr, TRAP_BOTH));
		assert_true(svm_msr_permission_set(&map, 0xc0010000 + msr, TRAP_BOTH));
	}
	memset(expected, 0xff, 0x1800);
	check();
}

static void others_always_exit(void **state)
{
	static const uint32_t outside[] = { 0x2000, 0x40000000, 0xbfffffff, 0xc0002000, 0xc0012000, 0xffffffff };

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(outside); i++)
		assert_false(svm_msr_permission_set(&map, outside[i], TRAP_BOTH));
	check();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(first_and_last_of_each_range, setup),
		cmocka_unit_test_setup(neighbours_stay, setup),
		cmocka_unit_test_setup(all_of_them_leave_the_last_quarter, setup),
		cmocka_unit_test_setup(others_always_exit, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
