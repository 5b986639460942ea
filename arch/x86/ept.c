#include <stddef.h>

#include "ept.h"

#define ENTRIES  512
#define SHIFT_4K 12
#define SHIFT_2M 21
#define SHIFT_1G 30

static uint64_t *table_at(const struct ept *ept, uint64_t entry)
{
	return ept->pool + ((entry & EPT_ADDRESS) - ept->pool_pa) / sizeof(uint64_t);
}

static uint64_t index_of(uint64_t pa, unsigned shift)
{
	return pa >> shift & (ENTRIES - 1);
}

/* The table below `entry`, made on first use; NULL when the pool is empty. */
static uint64_t *descend(struct ept *ept, uint64_t *entry)
{
	uint64_t pa;

	if (*entry)
		return table_at(ept, *entry);
	if (ept->used == ept->pages)
		return NULL;
	pa = ept->pool_pa + ept->used++ * PAGE_SIZE;
	*entry = pa | EPT_RWX;
	for (unsigned i = 0; i < ENTRIES; i++)
		table_at(ept, pa)[i] = 0;
	return table_at(ept, pa);
}

/* The entry for `pa` in the table of pages of 1 << `shift` bytes, with the tables above it. */
static uint64_t *entry_for(struct ept *ept, uint64_t pa, unsigned shift)
{
	uint64_t *table = ept->pool;

	for (unsigned level = 39; level > shift; level -= 9) {
		table = descend(ept, &table[index_of(pa, level)]);
		if (!table)
			return NULL;
	}
	return &table[index_of(pa, shift)];
}

/* The largest page that starts at `pa` and ends by `end`. */
static unsigned page_shift(uint64_t pa, uint64_t end)
{
	for (unsigned shift = SHIFT_1G; shift > SHIFT_4K; shift -= 9) {
		if (!(pa & (BIT(shift) - 1)) && end - pa >= BIT(shift))
			return shift;
	}
	return SHIFT_4K;
}

static bool map_range(struct ept *ept, uint64_t pa, uint64_t end, unsigned memtype)
{
	while (pa < end) {
		unsigned shift = page_shift(pa, end);
		uint64_t *entry = entry_for(ept, pa, shift);

		if (!entry)
			return false;
		*entry = pa | FIELD_PUT(EPT_MEMTYPE, memtype) | EPT_RWX | (shift > SHIFT_4K ? EPT_LEAF : 0);
		pa += BIT(shift);
	}
	return true;
}

static bool hide_region(struct ept *ept)
{
	for (uint64_t pa = ept->hidden_pa; pa < ept->hidden_pa + ept->hidden_size; pa += PAGE_SIZE) {
		uint64_t *entry = entry_for(ept, pa, SHIFT_4K);

		if (!entry)
			return false;
		*entry = 0;
	}
	return true;
}

/* Replaces a large page by a table of smaller ones that map the same. */
static bool split(struct ept *ept, uint64_t *entry, unsigned shift)
{
	uint64_t large = *entry, leaf = shift - 9 > SHIFT_4K ? EPT_LEAF : 0;
	uint64_t *table;

	*entry = 0;
	table = descend(ept, entry);
	if (!table)
		return false;
	for (uint64_t i = 0; i < ENTRIES; i++)
		table[i] = (large & ~EPT_LEAF) | leaf | i << (shift - 9);
	return true;
}

static bool split_to_page(struct ept *ept, uint64_t pa)
{
	for (unsigned shift = SHIFT_1G; shift > SHIFT_4K; shift -= 9) {
		uint64_t *entry = entry_for(ept, pa, shift);

		if (!entry || (*entry & EPT_LEAF && !split(ept, entry, shift)))
			return false;
	}
	return true;
}

/*
 * The type at `pa`, and in `*end` how far it reaches, at most to `limit` and up to the region. Neighbours of one type
 * are joined, or every boundary of a range that changes nothing would split a page.
 */
static unsigned type_until(const struct ept *ept, const struct mtrrs *mtrrs, uint64_t pa, uint64_t limit, uint64_t *end)
{
	unsigned memtype = mtrr_type(mtrrs, pa, ept->physical_bits, end);
	uint64_t further;

	while (*end < limit && mtrr_type(mtrrs, *end, ept->physical_bits, &further) == memtype)
		*end = further;
	if (*end > limit)
		*end = limit;
	if (ept->hidden_pa > pa && ept->hidden_pa < *end)
		*end = ept->hidden_pa;
	return memtype;
}

bool ept_build(struct ept *ept, const struct mtrrs *mtrrs)
{
	uint64_t limit = BIT(ept->physical_bits < EPT_MAX_BITS ? ept->physical_bits : EPT_MAX_BITS);
	uint64_t pa = 0, end;

	for (unsigned i = 0; i < ENTRIES; i++)
		ept->pool[i] = 0;
	ept->used = 1;
	while (pa < limit) {
		unsigned memtype = type_until(ept, mtrrs, pa, limit, &end);

		if (pa == ept->hidden_pa)
			end = pa + ept->hidden_size;
		else if (!map_range(ept, pa, end, memtype))
			return false;
		pa = end;
	}
	return hide_region(ept) && split_to_page(ept, ept->apic_pa);
}

uint64_t *ept_page_entry(const struct ept *ept, uint64_t pa)
{
	uint64_t *table = ept->pool;

	for (unsigned level = 39; level > SHIFT_4K; level -= 9)
		table = table_at(ept, table[index_of(pa, level)]);
	return &table[index_of(pa, SHIFT_4K)];
}
