/* Which VMCB clean bits are wrong: those whose fields have changed, and all of another VMCB's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "tests/machine/vmcb_clean.h"

#define ALL     0x7ffu
#define ADDRESS 0x5000

static struct vmcb_clean clean;
static uint8_t vmcb[VMCB_SIZE];

static void set_bits(uint32_t bits)
{
	memcpy(vmcb + 0xc0, &bits, sizeof(bits));
}

static int setup(void **state)
{
	(void)state;
	memset(&clean, 0, sizeof(clean));
	memset(vmcb, 0, sizeof(vmcb));
	set_bits(ALL);
	return 0;
}

static void the_first_entry_has_none(void **state)
{
	(void)state;
	assert_int_equal(vmcb_clean_wrong(&clean, ADDRESS, vmcb), ALL);
	set_bits(0);
	assert_int_equal(vmcb_clean_wrong(&clean, ADDRESS, vmcb), 0);
}

static void another_vmcb_has_none(void **state)
{
	(void)state;
	vmcb_clean_left(&clean, ADDRESS, vmcb);
	assert_int_equal(vmcb_clean_wrong(&clean, ADDRESS, vmcb), 0);
	assert_int_equal(vmcb_clean_wrong(&clean, ADDRESS + 0x1000, vmcb), ALL);
}

/* One field of each bit, and some that none covers: event injection, RIP, RSP, RAX, RFLAGS, the exit's own. */
static void changed_fields(void **state)
{
	static const struct {
		unsigned offset;
		uint32_t bits;
	} fields[] = {
		{ 0x00c, 1u << 0 }, { 0x050, 1u << 0 }, { 0x048, 1u << 1 }, { 0x058, 1u << 2 },  { 0x061, 1u << 3 },
		{ 0x0b0, 1u << 4 }, { 0x550, 1u << 5 }, { 0x4d1, 1u << 5 }, { 0x567, 1u << 6 },  { 0x488, 1u << 7 },
		{ 0x41f, 1u << 8 }, { 0x4cb, 1u << 8 }, { 0x640, 1u << 9 }, { 0x670, 1u << 10 }, { 0xb6f, 1u << 10 },
		{ 0x0a8, 0 },       { 0x578, 0 },       { 0x5d8, 0 },       { 0x5f8, 0 },        { 0x570, 0 },
		{ 0x05c, 0 },       { 0x068, 0 },       { 0x070, 0 },
	};

	(void)state;
	vmcb_clean_left(&clean, ADDRESS, vmcb);
	for (unsigned i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		vmcb[fields[i].offset] ^= 1;
		assert_int_equal(vmcb_clean_wrong(&clean, ADDRESS, vmcb), fields[i].bits);
		set_bits(ALL & ~fields[i].bits);
		assert_int_equal(vmcb_clean_wrong(&clean, ADDRESS, vmcb), 0);
		set_bits(ALL);
		vmcb[fields[i].offset] ^= 1;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(the_first_entry_has_none, setup),
		cmocka_unit_test_setup(another_vmcb_has_none, setup),
		cmocka_unit_test_setup(changed_fields, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
