#include <stddef.h>

#include "guest_map.h"

#define ENTRIES  512
#define SHIFT_4K 12
#define SHIFT_2M 21
#define SHIFT_1G 30

static uint64_t *table_at(const struct guest_map *map, uint64_t entry)
{
	return map->pool + ((entry & MAP_ADDRESS) - map->pool_pa) / sizeof(uint64_t);
}

static uint64_t index_of(uint64_t pa, unsigned shift)
{
	return pa >> shift & (ENTRIES - 1);
}

/* The table below `entry`, made on first use; NULL when the pool is empty. */
static uint64_t *descend(struct guest_map *map, uint64_t *entry)
{
	uint64_t pa;

	if (*entry)
		return table_at(map, *entry);
	if (map->used == map->pages)
		return NULL;
	pa = map->pool_pa + map->used++ * PAGE_SIZE;
	*entry = pa | MAP_ALL_ACCESS;
	for (unsigned i = 0; i < ENTRIES; i++)
		table_at(map, pa)[i] = 0;
	return table_at(map, pa);
}

/* The entry for `pa` in the table of pages of 1 << `shift` bytes, with the tables above it. */
static uint64_t *entry_for(struct guest_map *map, uint64_t pa, unsigned shift)
{
	uint64_t *table = map->pool;

	for (unsigned level = 39; level > shift; level -= 9) {
		table = descend(map, &table[index_of(pa, level)]);
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

static uint64_t leaf_bits(const struct guest_map *map, unsigned memtype)
{
	return MAP_ALL_ACCESS | (map->memtype ? FIELD_PUT(map->memtype, memtype) : 0);
}

static bool map_range(struct guest_map *map, uint64_t pa, uint64_t end, unsigned memtype)
{
	while (pa < end) {
		unsigned shift = page_shift(pa, end);
		uint64_t *entry = entry_for(map, pa, shift);

		if (!entry)
			return false;
		*entry = pa | leaf_bits(map, memtype) | (shift > SHIFT_4K ? MAP_LEAF : 0);
		pa += BIT(shift);
	}
	return true;
}

static bool hide_region(struct guest_map *map)
{
	for (uint64_t pa = map->hidden_pa; pa < map->hidden_pa + map->hidden_size; pa += PAGE_SIZE) {
		uint64_t *entry = entry_for(map, pa, SHIFT_4K);

		if (!entry)
			return false;
		*entry = 0;
	}
	return true;
}

/* Replaces a large page by a table of smaller ones that map the same. */
static bool split(struct guest_map *map, uint64_t *entry, unsigned shift)
{
	uint64_t large = *entry, leaf = shift - 9 > SHIFT_4K ? MAP_LEAF : 0;
	uint64_t *table;

	*entry = 0;
	table = descend(map, entry);
	if (!table)
		return false;
	for (uint64_t i = 0; i < ENTRIES; i++)
		table[i] = (large & ~MAP_LEAF) | leaf | i << (shift - 9);
	return true;
}

static bool split_to_page(struct guest_map *map, uint64_t pa)
{
	for (unsigned shift = SHIFT_1G; shift > SHIFT_4K; shift -= 9) {
		uint64_t *entry = entry_for(map, pa, shift);

		if (!entry || (*entry & MAP_LEAF && !split(map, entry, shift)))
			return false;
	}
	return true;
}

/*
 * The type at `pa`, and in `*end` how far it reaches, at most to `limit` and up to the region. Neighbours of one type
 * are joined, or every boundary of a range that changes nothing would split a page.
 */
static unsigned type_until(const struct guest_map *map, const struct mtrrs *mtrrs, uint64_t pa, uint64_t limit,
			   uint64_t *end)
{
	unsigned memtype = mtrr_type(mtrrs, pa, map->physical_bits, end);
	uint64_t further;

	while (*end < limit && mtrr_type(mtrrs, *end, map->physical_bits, &further) == memtype)
		*end = further;
	if (*end > limit)
		*end = limit;
	if (map->hidden_pa > pa && map->hidden_pa < *end)
		*end = map->hidden_pa;
	return memtype;
}

bool guest_map_build(struct guest_map *map, const struct mtrrs *mtrrs)
{
	uint64_t limit = BIT(map->physical_bits < GUEST_MAP_MAX_BITS ? map->physical_bits : GUEST_MAP_MAX_BITS);
	uint64_t pa = 0, end;

	for (unsigned i = 0; i < ENTRIES; i++)
		map->pool[i] = 0;
	map->used = 1;
	while (pa < limit) {
		unsigned memtype = type_until(map, mtrrs, pa, limit, &end);

		if (pa == map->hidden_pa)
			end = pa + map->hidden_size;
		else if (!map_range(map, pa, end, memtype))
			return false;
		pa = end;
	}
	return hide_region(map) && split_to_page(map, map->apic_pa);
}

uint64_t *guest_map_page_entry(const struct guest_map *map, uint64_t pa)
{
	uint64_t *table = map->pool;

	for (unsigned level = 39; level > SHIFT_4K; level -= 9)
		table = table_at(map, table[index_of(pa, level)]);
	return &table[index_of(pa, SHIFT_4K)];
}

void guest_map_put(const struct guest_map *map, uint64_t pa, uint64_t page)
{
	*guest_map_page_entry(map, pa) = page | leaf_bits(map, MEMTYPE_WB);
}

void guest_map_show(const struct guest_map *map, uint64_t pa)
{
	*guest_map_page_entry(map, pa) = pa | (leaf_bits(map, MEMTYPE_WB) & ~MAP_WRITE);
}
