/* Masks, not bitfields: one expression, one store, the same on the host and on the target. */
#ifndef HV_BITS_H
#define HV_BITS_H

#include <stdint.h>

#define BIT(n)                 (UINT64_C(1) << (n))
#define BITS(hi, lo)           ((BIT(hi) << 1) - BIT(lo)) /* BITS(63, 0) works: the shift wraps to 0 */
#define LOWEST_BIT(mask)       ((mask) & (~(mask) + 1))
#define FIELD_GET(mask, word)  (((word) & (mask)) / LOWEST_BIT(mask))
#define FIELD_PUT(mask, value) ((LOWEST_BIT(mask) * (uint64_t)(value)) & (mask))

/* for_each_bit(n, mask): n takes the number of each set bit, lowest first; the mask is evaluated once. */
/* NOLINTBEGIN(bugprone-macro-parentheses): a declaration takes no parentheses. */
#define for_each_bit(n, mask)                                                                                          \
	for (uint64_t left_ = (mask), n = 0; left_ && ((n = (uint64_t)__builtin_ctzll(left_)), 1); left_ &= left_ - 1)
/* NOLINTEND(bugprone-macro-parentheses) */

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define PAGE_SIZE     UINT64_C(4096)

#endif
