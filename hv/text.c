#include "text.h"
#include "bits.h"

static void put(struct text *text, char c)
{
	if (text->at < text->end)
		*text->at++ = c;
}

void text_string(struct text *text, const char *string)
{
	while (*string)
		put(text, *string++);
}

static void digits(struct text *text, uint64_t number, unsigned base)
{
	char reversed[20]; /* 2^64 has 20 decimal digits */
	unsigned n = 0;

	do {
		reversed[n++] = "0123456789abcdef"[number % base];
		number /= base;
	} while (number);
	while (n)
		put(text, reversed[--n]);
}

void text_number(struct text *text, uint64_t number)
{
	digits(text, number, 10);
}

void text_hex(struct text *text, uint64_t number)
{
	text_string(text, "0x");
	digits(text, number, 16);
}

void text_name(struct text *text, const char *name, uint64_t number)
{
	put(text, ' ');
	text_string(text, name);
	put(text, ' ');
	text_number(text, number);
}

void text_percent(struct text *text, uint64_t part, uint64_t whole)
{
	uint64_t hundredths = whole / 10000 ? part / (whole / 10000) : 0;

	text_number(text, hundredths / 100);
	put(text, '.');
	put(text, (char)('0' + hundredths / 10 % 10));
	put(text, (char)('0' + hundredths % 10));
	put(text, '%');
}

void text_bits(struct text *text, uint64_t mask)
{
	if (!mask)
		text_string(text, "none");
	while (mask) {
		uint64_t first = (uint64_t)__builtin_ctzll(mask), last = first;

		while (last < 63 && mask & BIT(last + 1))
			last++;
		text_number(text, first);
		if (last > first) {
			put(text, '-');
			text_number(text, last);
		}
		mask &= ~BITS(last, first);
		if (mask)
			put(text, ',');
	}
}
