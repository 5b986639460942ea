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

/* `n` bytes, 3 at most, as 4 characters; those without a bit of them are padding. */
static void base64_group(struct text *text, const uint8_t *bytes, unsigned n)
{
	static const char alphabet[64] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	unsigned word = (unsigned)bytes[0] << 16;

	word |= n > 1 ? (unsigned)bytes[1] << 8 : 0;
	word |= n > 2 ? bytes[2] : 0;
	put(text, alphabet[word >> 18]);
	put(text, alphabet[word >> 12 & 63]);
	put(text, n > 1 ? alphabet[word >> 6 & 63] : '=');
	put(text, n > 2 ? alphabet[word & 63] : '=');
}

void text_base64(struct text *text, const uint8_t *bytes, unsigned size)
{
	for (; size >= 3; size -= 3, bytes += 3)
		base64_group(text, bytes, 3);
	if (size)
		base64_group(text, bytes, size);
}

void text_checksum(struct text *text, const char *start)
{
	/* Of each half byte; the polynomial is 0xedb88320. */
	static const uint32_t table[16] = {
		0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
		0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
	};
	uint32_t sum = UINT32_MAX;

	for (; start < text->at; start++) {
		sum ^= (uint8_t)*start;
		sum = table[sum & 15] ^ sum >> 4;
		sum = table[sum & 15] ^ sum >> 4;
	}
	put(text, ' ');
	for (unsigned digit = 8; digit--;)
		put(text, "0123456789abcdef"[~sum >> 4 * digit & 15]);
}
