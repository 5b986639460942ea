/* The memory type the MTRRs give to each physical address. SDM Vol. 3A, "Memory Type Range Registers (MTRRs)". */
#ifndef ARCH_X86_MTRR_H
#define ARCH_X86_MTRR_H

#include <stdbool.h>
#include <stdint.h>

#define MEMTYPE_UC 0
#define MEMTYPE_WC 1
#define MEMTYPE_WT 4
#define MEMTYPE_WP 5
#define MEMTYPE_WB 6

#define MTRR_MAX_VARIABLE 16
#define MTRR_FIXED        11 /* registers, eight ranges each */
#define MTRR_FIXED_END    0x100000u

struct mtrrs {
	uint64_t default_type; /* IA32_MTRR_DEF_TYPE */
	unsigned variable;
	struct {
		uint64_t base, mask;
	} range[MTRR_MAX_VARIABLE];
	uint64_t fixed[MTRR_FIXED]; /* 64K, 16K, 16K, 4K x 8, in address order */
};

void mtrr_read(struct mtrrs *mtrrs);
bool mtrr_equal(const struct mtrrs *a, const struct mtrrs *b);

/*
 * The type of the page at `pa`, and in `*end` (exclusive) how far from `pa` on it is certainly the same; a multiple of
 * 4096. `physical_bits`: the CPU's physical address width.
 */
unsigned mtrr_type(const struct mtrrs *mtrrs, uint64_t pa, unsigned physical_bits, uint64_t *end);

#endif
