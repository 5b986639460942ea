/* Memory types by the manual's words, one address at a time, and random MTRRs: what mtrr.c and ept.c are judged by. */
#ifndef UNIT_MTRR_REFERENCE_H
#define UNIT_MTRR_REFERENCE_H

#include "arch/x86/mtrr.h"
#include "random.h"

#define REFERENCE_PAGE UINT64_C(4096)

/* SDM Vol. 3A, "Fixed Range MTRRs": 8 ranges of 64 KiB, 16 of 16 KiB, 64 of 4 KiB, a byte for each. */
static inline unsigned reference_fixed(const struct mtrrs *mtrrs, uint64_t pa)
{
	uint64_t end = 0;

	for (unsigned n = 0; n < 88; n++) {
		end += n < 8 ? 0x10000 : n < 24 ? 0x4000 : 0x1000;
		if (pa < end)
			return (unsigned)(mtrrs->fixed[n / 8] >> n % 8 * 8) & 0xff;
	}
	return MEMTYPE_UC;
}

/* SDM Vol. 3A, "MTRR Precedences". `types` has a bit for each type that matches. Undefined mixtures: the safe one. */
static inline unsigned reference_mixture(unsigned types)
{
	for (unsigned type = 0; type < 8; type++) {
		if (types == 1u << type)
			return type;
	}
	return types == (1u << MEMTYPE_WT | 1u << MEMTYPE_WB) ? MEMTYPE_WT : MEMTYPE_UC;
}

static inline unsigned reference_type(const struct mtrrs *mtrrs, uint64_t pa, unsigned physical_bits)
{
	uint64_t page_bits = (UINT64_C(1) << physical_bits) - REFERENCE_PAGE;
	unsigned types = 0;

	if (!(mtrrs->default_type & 0x800))
		return MEMTYPE_UC;
	if (mtrrs->default_type & 0x400 && pa < 0x100000)
		return reference_fixed(mtrrs, pa);
	for (unsigned i = 0; i < mtrrs->variable; i++) {
		uint64_t mask = mtrrs->range[i].mask & page_bits;

		if (mtrrs->range[i].mask & 0x800 && (pa & mask) == (mtrrs->range[i].base & mask))
			types |= 1u << (mtrrs->range[i].base & 0xff);
	}
	return types ? reference_mixture(types) : (unsigned)mtrrs->default_type & 0xff;
}

static inline uint64_t random_memtype(uint64_t *seed)
{
	static const uint64_t types[] = { MEMTYPE_UC, MEMTYPE_WC, MEMTYPE_WT, MEMTYPE_WP, MEMTYPE_WB, MEMTYPE_WB };

	return types[random_below(seed, sizeof(types) / sizeof(types[0]))];
}

/* A variable range: 2^n pages, aligned to its size. One in eight is not valid. */
static inline void random_range(struct mtrrs *mtrrs, unsigned i, unsigned physical_bits, uint64_t *seed)
{
	uint64_t width = (UINT64_C(1) << physical_bits) - 1;
	uint64_t size = REFERENCE_PAGE << random_below(seed, physical_bits - 11);
	uint64_t valid = random_below(seed, 8) ? 0x800 : 0;

	mtrrs->range[i].base = (random_number(seed) & width & ~(size - 1)) | random_memtype(seed);
	mtrrs->range[i].mask = (width & ~(size - 1)) | valid;
}

static inline void random_mtrrs(struct mtrrs *mtrrs, unsigned physical_bits, uint64_t *seed)
{
	mtrrs->default_type = random_memtype(seed) | (random_below(seed, 8) ? 0x800 : 0) | random_below(seed, 2) << 10;
	mtrrs->variable = (unsigned)random_below(seed, MTRR_MAX_VARIABLE + 1);
	for (unsigned i = 0; i < mtrrs->variable; i++)
		random_range(mtrrs, i, physical_bits, seed);
	for (unsigned i = 0; i < MTRR_FIXED; i++) {
		mtrrs->fixed[i] = 0;
		for (unsigned n = 0; n < 8; n++)
			mtrrs->fixed[i] |= random_memtype(seed) << 8 * n;
	}
}

#endif
