/* Text in a caller's buffer: each kind of piece, and that nothing is ever written behind the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "hv/text.h"

static char buffer[TEXT_LINE_MAX];
static struct text text;

static int setup(void **state)
{
	(void)state;
	memset(buffer, '#', sizeof(buffer));
	text = (struct text){ buffer, buffer + sizeof(buffer) };
	return 0;
}

/* What was written since the last time is `expected`. */
static void check(const char *expected)
{
	size_t length = (size_t)(text.at - buffer);

	assert_int_equal(length, strlen(expected));
	assert_memory_equal(buffer, expected, length);
	assert_int_equal(buffer[length], '#');
	setup(NULL);
}

static void numbers(void **state)
{
	(void)state;
	text_number(&text, 0);
	check("0");
	text_number(&text, 1234567890);
	check("1234567890");
	text_number(&text, UINT64_MAX);
	check("18446744073709551615");
	text_hex(&text, 0);
	check("0x0");
	text_hex(&text, UINT64_C(0xfedcba9876543210));
	check("0xfedcba9876543210");
	text_name(&text, "overflows", 7);
	check(" overflows 7");
}

static void percentages(void **state)
{
	(void)state;
	text_percent(&text, 0, 0);
	check("0.00%");
	text_percent(&text, 5, 9999);
	check("0.05%");
	text_percent(&text, 330663, 330663);
	check("100.00%");
	text_percent(&text, 12345, 1000000);
	check("1.23%");
	text_percent(&text, 70000, 1000000);
	check("7.00%");
	text_percent(&text, 1000000, 1000000);
	check("100.00%");
	text_percent(&text, UINT64_MAX / 2, UINT64_MAX);
	check("50.00%");
}

static void fixed_digits(void **state)
{
	(void)state;
	text_digits(&text, 0xc4, 4);
	check("00c4");
	text_digits(&text, UINT64_MAX - 1, 16);
	check("fffffffffffffffe");
	text_hundredths(&text, 12345, 1000000);
	check("1.23");
}

static void bit_masks(void **state)
{
	(void)state;
	text_bits(&text, 0);
	check("none");
	text_bits(&text, 1);
	check("0");
	text_bits(&text, 0xbf);
	check("0-5,7");
	text_bits(&text, UINT64_C(0x8000000000000005));
	check("0,2,63");
	text_bits(&text, UINT64_C(0xc000000000000000));
	check("62-63");
	text_bits(&text, UINT64_MAX);
	check("0-63");
}

/* The value that every description of this sum gives for these nine digits. */
static void checksum(void **state)
{
	const char *start;

	(void)state;
	text_checksum(&text, text.at);
	check(" 00000000");
	text_string(&text, "left out ");
	start = text.at;
	text_string(&text, "123456789");
	text_checksum(&text, start);
	check("left out 123456789 e3069283");
}

static void pieces_follow_each_other(void **state)
{
	(void)state;
	text_string(&text, "");
	text_string(&text, "a b");
	text_name(&text, "c", 1);
	text_string(&text, "\n");
	check("a b c 1\n");
}

static void what_does_not_fit_is_cut(void **state)
{
	char small[6] = "#####";

	(void)state;
	text = (struct text){ small, small + 4 };
	text_string(&text, "ab");
	text_number(&text, 123);
	text_hex(&text, 1);
	text_bits(&text, 1);
	assert_ptr_equal(text.at, small + 4);
	assert_memory_equal(small, "ab12#", 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(numbers, setup),
		cmocka_unit_test_setup(percentages, setup),
		cmocka_unit_test_setup(fixed_digits, setup),
		cmocka_unit_test_setup(bit_masks, setup),
		cmocka_unit_test_setup(checksum, setup),
		cmocka_unit_test_setup(pieces_follow_each_other, setup),
		cmocka_unit_test_setup(what_does_not_fit_is_cut, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
