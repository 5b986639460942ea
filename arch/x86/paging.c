#include "paging.h"

#define ENTRIES   512
#define PAGE_SIZE UINT64_C(4096)

size_t paging_pool_pages(size_t pages, unsigned ranges)
{
	/* Per range and level: a table for each started span of entries, and one more for a start inside a span. */
	size_t total = 1, tables = pages;

	for (unsigned level = 1; level < PAGING_LEVELS; level++) {
		tables = (tables + ENTRIES - 1) / ENTRIES;
		total += tables + 2 * ranges;
	}
	return total;
}

static uint64_t *table_at(const struct paging *paging, uint64_t pa)
{
	return paging->pool + (pa - paging->pool_pa) / sizeof(uint64_t);
}

/* An empty table from the pool; its physical address, or 0. */
static uint64_t new_table(struct paging *paging)
{
	if (paging->used == paging->pool_pages)
		return 0;

	uint64_t pa = paging->pool_pa + paging->used++ * PAGE_SIZE;
	uint64_t *table = table_at(paging, pa);

	for (unsigned i = 0; i < ENTRIES; i++)
		table[i] = 0;
	return pa;
}

void paging_init(struct paging *paging, void *pool, uint64_t pool_pa, size_t pool_pages)
{
	*paging = (struct paging){ .pool = pool, .pool_pa = pool_pa, .pool_pages = pool_pages };
	new_table(paging);
}

static bool is_canonical(uint64_t va)
{
	uint64_t top = va >> 47;

	return top == 0 || top == 0x1ffff;
}

static unsigned entry_index(uint64_t va, unsigned level)
{
	return (unsigned)(va >> (12 + 9 * (level - 1))) % ENTRIES;
}

/* The entry of `va` in its page table, with the tables above it made as needed; null when the pool is empty. */
static uint64_t *page_entry(struct paging *paging, uint64_t va)
{
	uint64_t *table = paging->pool;

	for (unsigned level = PAGING_LEVELS; level > 1; level--) {
		uint64_t *entry = &table[entry_index(va, level)];

		if (!*entry) {
			uint64_t pa = new_table(paging);

			if (!pa)
				return NULL;
			/* The page's own entry alone decides what may be done with it. */
			*entry = pa | PTE_PRESENT | PTE_WRITABLE;
		}
		table = table_at(paging, *entry & PTE_ADDRESS);
	}
	return &table[entry_index(va, 1)];
}

static uint64_t entry_flags(unsigned flags)
{
	return PTE_PRESENT | (flags & PAGING_WRITABLE ? PTE_WRITABLE : 0) | (flags & PAGING_EXECUTABLE ? 0 : PTE_NX) |
	       (flags & PAGING_UNCACHED ? PTE_PCD | PTE_PWT : 0);
}

bool paging_map(struct paging *paging, uint64_t va, uint64_t pa, uint64_t size, unsigned flags)
{
	if ((va | pa | size) % PAGE_SIZE || ((pa + size - 1) & ~(PTE_ADDRESS | (PAGE_SIZE - 1))))
		return false;
	if ((flags & PAGING_WRITABLE) && (flags & PAGING_EXECUTABLE))
		return false;
	for (uint64_t offset = 0; offset < size; offset += PAGE_SIZE) {
		uint64_t *entry = is_canonical(va + offset) ? page_entry(paging, va + offset) : NULL;

		if (!entry || *entry)
			return false;
		*entry = (pa + offset) | entry_flags(flags);
	}
	return true;
}

uint64_t paging_entry(const struct paging *paging, uint64_t va, unsigned level)
{
	uint64_t table = paging->pool_pa;

	for (unsigned l = PAGING_LEVELS; l > level; l--) {
		uint64_t entry = table_at(paging, table)[entry_index(va, l)];

		if (!entry)
			return 0;
		table = entry & PTE_ADDRESS;
	}
	return table + entry_index(va, level) * sizeof(uint64_t);
}
