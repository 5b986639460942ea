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

void text_digits(struct text *text, uint64_t number, unsigned n)
{
	while (n--)
		put(text, "0123456789abcdef"[number >> 4 * n & 15]);
}

void text_hundredths(struct text *text, uint64_t part, uint64_t whole)
{
	uint64_t hundredths = 0;

	if (whole)
		hundredths = whole < BIT(50) ? part * 10000 / whole : part / (whole / 10000);

	text_number(text, hundredths / 100);
	put(text, '.');
	put(text, (char)('0' + hundredths / 10 % 10));
	put(text, (char)('0' + hundredths % 10));
}

void text_percent(struct text *text, uint64_t part, uint64_t whole)
{
	text_hundredths(text, part, whole);
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

/* The instruction computes the sum of RFC 3720, "CRC Algorithm", but for what it begins and ends with. */
void text_checksum(struct text *text, const char *start)
{
	uint64_t sum = UINT32_MAX, eight;

	for (; text->at - start >= 8; start += 8) {
		__builtin_memcpy(&eight, start, 8);
		asm("crc32q %1, %0" : "+r"(sum) : "r"(eight));
	}
	for (; start < text->at; start++)
		asm("crc32b %1, %k0" : "+r"(sum) : "r"(*start));
	put(text, ' ');
	text_digits(text, (uint32_t)~sum, 8);
}
