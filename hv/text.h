/*
 * Text put together piece by piece into a buffer of the caller's; what doesn't fit is cut. No allocation, no varargs.
 */
#ifndef HV_TEXT_H
#define HV_TEXT_H

#include <stdint.h>

#define TEXT_LINE_MAX 192 /* the longest line of dump.c, but for frames, with every number at its largest */

struct text {
	char *at, *end;
};

void text_string(struct text *text, const char *string);
void text_number(struct text *text, uint64_t number);                 /* decimal */
void text_hex(struct text *text, uint64_t number);                    /* with 0x */
void text_name(struct text *text, const char *name, uint64_t number); /* " name number" */
/* In hexadecimal with this many digits, 16 at most. */
void text_digits(struct text *text, uint64_t number, unsigned n);
/* `part` of `whole` in percent with two decimals, without the sign; 0.00 of nothing. */
void text_hundredths(struct text *text, uint64_t part, uint64_t whole);
/* `part` of `whole` in percent with two decimals; 0.00% of nothing. */
void text_percent(struct text *text, uint64_t part, uint64_t whole);
/* A bit mask as ranges: "0-5,7"; "none" when empty. */
void text_bits(struct text *text, uint64_t mask);
/* A blank and the CRC-32C (RFC 3720, "CRC Algorithm") of what stands from `start` to here, in 8 digits. */
void text_checksum(struct text *text, const char *start);

#endif
