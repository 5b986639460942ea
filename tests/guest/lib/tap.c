#include <stdarg.h>

#include "tap.h"
#include "cpu.h"
#include "serial.h"
#include "tests/machine/ports.h"

#define MAX_DIGITS 20

extern const char ImageBase[];

static unsigned nr_checks, nr_failures;

static void put_string(const char *s)
{
	while (*s)
		serial_put(*s++);
}

static void put_number(uint64_t value, unsigned base)
{
	char digits[MAX_DIGITS + 1];
	unsigned n = MAX_DIGITS;

	digits[n] = '\0';
	do {
		digits[--n] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	put_string(digits + n);
}

static void put_signed(int value)
{
	if (value < 0)
		serial_put('-');
	put_number(value < 0 ? -(uint64_t)value : (uint64_t)value, 10);
}

/* Returns the last character of the conversion it printed. */
static const char *put_conversion(const char *format, va_list *args)
{
	bool is_long = *format == 'l';

	format += is_long;
	switch (*format) {
	case 'u': put_number(is_long ? va_arg(*args, uint64_t) : va_arg(*args, unsigned), 10); break;
	case 'x': put_number(is_long ? va_arg(*args, uint64_t) : va_arg(*args, unsigned), 16); break;
	case 'd': put_signed(va_arg(*args, int)); break;
	case 's': put_string(va_arg(*args, const char *)); break;
	default: serial_put(*format); break;
	}
	return format;
}

static void put_format(const char *format, va_list *args)
{
	for (; *format; format++) {
		if (*format == '%')
			format = put_conversion(format + 1, args);
		else
			serial_put(*format);
	}
}

static void put_verdict(bool passed)
{
	nr_checks++;
	nr_failures += !passed;
	put_string(passed ? "ok " : "not ok ");
	put_number(nr_checks, 10);
	put_string(" - ");
}

bool tap_check(bool passed, const char *format, ...)
{
	va_list args;

	put_verdict(passed);
	va_start(args, format);
	put_format(format, &args);
	va_end(args);
	serial_put('\n');
	return passed;
}

bool tap_equal(uint64_t got, uint64_t expected, const char *format, ...)
{
	va_list args;

	put_verdict(got == expected);
	va_start(args, format);
	put_format(format, &args);
	va_end(args);
	serial_put('\n');
	if (got != expected)
		tap_note("got %lu (%lx), expected %lu (%lx)", got, got, expected, expected);
	return got == expected;
}

void tap_note(const char *format, ...)
{
	va_list args;

	put_string("# ");
	va_start(args, format);
	put_format(format, &args);
	va_end(args);
	serial_put('\n');
}

void tap_figure(const char *name, uint64_t value)
{
	put_string(name);
	serial_put(' ');
	put_number(value, 10);
	serial_put('\n');
}

void tap_phase(const char *name, uint32_t mark, uint64_t actions)
{
	put_string("phase ");
	put_string(name);
	serial_put(' ');
	put_number(mark, 10);
	serial_put(' ');
	put_number(actions, 10);
	serial_put('\n');
}

/* The empty line keeps the firmware's last words, which end without one, off ours. */
void tap_begin(void)
{
	put_string("\nTAP version 13\n# ");
	put_string(test_title);
	serial_put('\n');
}

bool tap_conclude(void)
{
	if (nr_checks == 0)
		tap_check(false, "something was checked");
	put_string("1..");
	put_number(nr_checks, 10);
	serial_put('\n');
	serial_drain();
	return nr_failures == 0;
}

void tap_end(void)
{
	bool passed = tap_conclude();

	out8(MACHINE_PORT_EXIT, passed ? 0 : 1);
	for (;;)
		asm volatile("cli; hlt");
}

void tap_abort(const char *format, ...)
{
	va_list args;

	put_verdict(false);
	va_start(args, format);
	put_format(format, &args);
	va_end(args);
	serial_put('\n');
	tap_end();
}

uint64_t tap_image_base(void)
{
	return (uint64_t)ImageBase;
}
