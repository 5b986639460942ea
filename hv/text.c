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

static const char base64[64] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* Three bytes as four characters. */
static char *base64_group(char *at, unsigned word)
{
	at[0] = base64[word >> 18];
	at[1] = base64[word >> 12 & 63];
	at[2] = base64[word >> 6 & 63];
	at[3] = base64[word & 63];
	return at + 4;
}

void text_base64(struct text *text, const uint8_t *bytes, unsigned size)
{
	if (text->end - text->at < (size + 2) / 3 * 4)
		return;
	for (; size >= 3; size -= 3, bytes += 3)
		text->at = base64_group(text->at, (unsigned)bytes[0] << 16 | (unsigned)bytes[1] << 8 | bytes[2]);
	if (!size)
		return;
	text->at = base64_group(text->at, (unsigned)bytes[0] << 16 | (size > 1 ? (unsigned)bytes[1] << 8 : 0));
	text->at[-1] = '=';
	text->at[-2] = size > 1 ? text->at[-2] : '=';
}

/* What a byte makes of the sum is what its bits make of it. The polynomial is 0xedb88320. */
#define SUM_BIT(n, bit, sum) ((n) >> (bit)&1 ? UINT32_C(sum) : 0)
#define SUM_1(n)                                                                                                       \
	(SUM_BIT(n, 0, 0x77073096) ^ SUM_BIT(n, 1, 0xee0e612c) ^ SUM_BIT(n, 2, 0x076dc419) ^                           \
	 SUM_BIT(n, 3, 0x0edb8832) ^ SUM_BIT(n, 4, 0x1db71064) ^ SUM_BIT(n, 5, 0x3b6e20c8) ^                           \
	 SUM_BIT(n, 6, 0x76dc4190) ^ SUM_BIT(n, 7, 0xedb88320))
#define SUM_4(n)  SUM_1(n), SUM_1((n) + 1), SUM_1((n) + 2), SUM_1((n) + 3)
#define SUM_16(n) SUM_4(n), SUM_4((n) + 4), SUM_4((n) + 8), SUM_4((n) + 12)
#define SUM_64(n) SUM_16(n), SUM_16((n) + 16), SUM_16((n) + 32), SUM_16((n) + 48)

void text_checksum(struct text *text, const char *start)
{
	static const uint32_t sums[256] = { SUM_64(0), SUM_64(64), SUM_64(128), SUM_64(192) };
	uint32_t sum = UINT32_MAX;

	for (; start < text->at; start++)
		sum = sums[(uint8_t)sum ^ (uint8_t)*start] ^ sum >> 8;
	put(text, ' ');
	text_digits(text, (uint32_t)~sum, 8);
}
