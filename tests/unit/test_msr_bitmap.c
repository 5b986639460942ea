/* VMX's MSR bitmap, all of its bytes: SDM Vol. 3C, "MSR-Bitmap Address". */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/msr_bitmap.h"

static struct vmx_msr_bitmap bitmap;
static uint8_t expected[4096];

static int setup(void **state)
{
	(void)state;
	memset(&bitmap, 0, sizeof(bitmap));
	memset(expected, 0, sizeof(expected));
	return 0;
}

static void check(void)
{
	assert_memory_equal(&bitmap, expected, sizeof(expected));
}

static void first_and_last_of_each_part(void **state)
{
	(void)state;
	assert_true(vmx_msr_bitmap_set(&bitmap, 0, TRAP_READ));
	expected[0] = 0x01;
	check();
	assert_true(vmx_msr_bitmap_set(&bitmap, 0x1fff, TRAP_READ));
	expected[1023] = 0x80;
	check();
	assert_true(vmx_msr_bitmap_set(&bitmap, 0xc0000000, TRAP_READ));
	expected[1024] = 0x01;
	check();
	assert_true(vmx_msr_bitmap_set(&bitmap, 0xc0001fff, TRAP_READ));
	expected[2047] = 0x80;
	check();
	assert_true(vmx_msr_bitmap_set(&bitmap, 0, TRAP_WRITE));
	expected[0] = 0;
	expected[2048] = 0x01;
	check();
	assert_true(vmx_msr_bitmap_set(&bitmap, 0x1fff, TRAP_WRITE));
	expected[1023] = 0;
	expected[3071] = 0x80;
	check();
	assert_true(vmx_msr_bitmap_set(&bitmap, 0xc0000000, TRAP_WRITE));
	expected[1024] = 0;
	expected[3072] = 0x01;
	check();
	assert_true(vmx_msr_bitmap_set(&bitmap, 0xc0001fff, TRAP_WRITE));
	expected[2047] = 0;
	expected[4095] = 0x80;
	check();
}

static void both_directions(void **state)
{
	(void)state;
	assert_true(vmx_msr_bitmap_set(&bitmap, 0x38f, TRAP_BOTH));
	expected[0x38f / 8] = expected[2048 + 0x38f / 8] = 0x80;
	check();
	assert_true(vmx_msr_bitmap_set(&bitmap, 0x38e, TRAP_NEVER));
	check();
	assert_true(vmx_msr_bitmap_set(&bitmap, 0x38f, TRAP_NEVER));
	expected[0x38f / 8] = expected[2048 + 0x38f / 8] = 0;
	check();
}

static void all_of_them_fill_the_page(void **state)
{
	(void)state;
	for (uint32_t msr = 0; msr < 0x2000; msr++) {
		assert_true(vmx_msr_bitmap_set(&bitmap, msr, TRAP_BOTH));
		assert_true(vmx_msr_bitmap_set(&bitmap, 0xc0000000 + msr, TRAP_BOTH));
	}
	memset(expected, 0xff, sizeof(expected));
	check();
}

static void others_always_exit(void **state)
{
	static const uint32_t outside[] = { 0x2000, 0x40000000, 0xbfffffff, 0xc0002000, 0xffffffff };

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(outside); i++)
		assert_false(vmx_msr_bitmap_set(&bitmap, outside[i], TRAP_BOTH));
	check();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(first_and_last_of_each_part, setup),
		cmocka_unit_test_setup(both_directions, setup),
		cmocka_unit_test_setup(all_of_them_fill_the_page, setup),
		cmocka_unit_test_setup(others_always_exit, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
