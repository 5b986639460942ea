#include "mtrr.h"
#include "msr.h"
#include "arch/x86/reg.h"

static const uint32_t fixed_msrs[MTRR_FIXED] = {
	MSR_IA32_MTRR_FIX64K_00000,    MSR_IA32_MTRR_FIX16K_80000,    MSR_IA32_MTRR_FIX16K_80000 + 1,
	MSR_IA32_MTRR_FIX4K_C0000,     MSR_IA32_MTRR_FIX4K_C0000 + 1, MSR_IA32_MTRR_FIX4K_C0000 + 2,
	MSR_IA32_MTRR_FIX4K_C0000 + 3, MSR_IA32_MTRR_FIX4K_C0000 + 4, MSR_IA32_MTRR_FIX4K_C0000 + 5,
	MSR_IA32_MTRR_FIX4K_C0000 + 6, MSR_IA32_MTRR_FIX4K_C0000 + 7,
};

void mtrr_read(struct mtrrs *mtrrs)
{
	uint64_t cap = reg_rdmsr(MSR_IA32_MTRRCAP);

	mtrrs->default_type = reg_rdmsr(MSR_IA32_MTRR_DEF_TYPE);
	mtrrs->variable = (unsigned)(cap & MTRRCAP_VARIABLE);
	if (mtrrs->variable > MTRR_MAX_VARIABLE)
		mtrrs->variable = MTRR_MAX_VARIABLE;
	for (unsigned i = 0; i < mtrrs->variable; i++) {
		mtrrs->range[i].base = reg_rdmsr(MSR_IA32_MTRR_PHYSBASE0 + 2 * i);
		mtrrs->range[i].mask = reg_rdmsr(MSR_IA32_MTRR_PHYSBASE0 + 2 * i + 1);
	}
	for (unsigned i = 0; i < MTRR_FIXED; i++)
		mtrrs->fixed[i] = cap & MTRRCAP_FIXED ? reg_rdmsr(fixed_msrs[i]) : 0;
}

bool mtrr_equal(const struct mtrrs *a, const struct mtrrs *b)
{
	bool equal = a->default_type == b->default_type && a->variable == b->variable;

	for (unsigned i = 0; i < a->variable && equal; i++)
		equal = a->range[i].base == b->range[i].base && a->range[i].mask == b->range[i].mask;
	for (unsigned i = 0; i < MTRR_FIXED && equal; i++)
		equal = a->fixed[i] == b->fixed[i];
	return equal;
}

/* Eight types in each register; ranges of 64, 16 and 4 KiB in this order. SDM Vol. 3A, "Fixed Range MTRRs". */
static unsigned fixed_type(const struct mtrrs *mtrrs, uint64_t pa, uint64_t *end)
{
	unsigned shift = pa < 0x80000 ? 16 : pa < 0xc0000 ? 14 : 12;
	uint64_t start = pa < 0x80000 ? 0 : pa < 0xc0000 ? 0x80000 : 0xc0000;
	unsigned reg = pa < 0x80000 ? 0 : pa < 0xc0000 ? 1 : 3;
	uint64_t n = (pa - start) >> shift;

	*end = start + ((n + 1) << shift);
	return mtrrs->fixed[reg + n / 8] >> 8 * (n % 8) & 0xff;
}

/* SDM Vol. 3A, "MTRR Precedences": UC wins; WT wins over WB; any other mixture is undefined, and taken as UC here. */
static unsigned combine(unsigned a, unsigned b)
{
	if (a == b)
		return a;
	if ((a == MEMTYPE_WT && b == MEMTYPE_WB) || (a == MEMTYPE_WB && b == MEMTYPE_WT))
		return MEMTYPE_WT;
	return MEMTYPE_UC;
}

/*
 * Does the range cover `pa`? Lowers `*end` to where that may change next. A mask with holes repeats its range: then
 * only the next multiple of its lowest bit is certain. A mask of 0 covers all there is.
 */
static bool range_covers(uint64_t base, uint64_t mask, uint64_t width, uint64_t pa, uint64_t *end)
{
	uint64_t step = mask ? LOWEST_BIT(mask) : width + 1;
	uint64_t first = base & mask, change;
	bool covers = (pa & mask) == first;

	if (mask != (width & ~(step - 1)) || covers)
		change = (pa & ~(step - 1)) + step;
	else
		change = pa < first ? first : *end;
	if (change < *end)
		*end = change;
	return covers;
}

static unsigned variable_type(const struct mtrrs *mtrrs, uint64_t pa, uint64_t width, uint64_t *end)
{
	unsigned type = 0;
	bool found = false;

	for (unsigned i = 0; i < mtrrs->variable; i++) {
		uint64_t mask = mtrrs->range[i].mask & MTRR_ADDRESS & width;
		unsigned this = mtrrs->range[i].base & MTRR_PHYSBASE_TYPE;

		if (!(mtrrs->range[i].mask & MTRR_PHYSMASK_VALID) ||
		    !range_covers(mtrrs->range[i].base, mask, width, pa, end))
			continue;
		type = found ? combine(type, this) : this;
		found = true;
	}
	return found ? type : (unsigned)(mtrrs->default_type & MTRR_DEF_TYPE_TYPE);
}

unsigned mtrr_type(const struct mtrrs *mtrrs, uint64_t pa, unsigned physical_bits, uint64_t *end)
{
	*end = BIT(physical_bits);
	if (!(mtrrs->default_type & MTRR_DEF_TYPE_ENABLE))
		return MEMTYPE_UC;
	if (mtrrs->default_type & MTRR_DEF_TYPE_FIXED_ENABLE) {
		if (pa < MTRR_FIXED_END)
			return fixed_type(mtrrs, pa, end);
	}
	return variable_type(mtrrs, pa, BIT(physical_bits) - 1, end);
}
