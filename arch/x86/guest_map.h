/*
 * The guest's identity map: every physical address is itself, except pmuvisor's own region. SDM Vol. 3C, "The Extended
 * Page Table Mechanism (EPT)"; APM Vol. 2, "Nested Paging". The entries of both have these bits alike: in EPT's they
 * are read, write and execute, in a nested page table's present, writable and user.
 */
#ifndef ARCH_X86_GUEST_MAP_H
#define ARCH_X86_GUEST_MAP_H

#include <stdbool.h>
#include <stdint.h>

#include "hv/bits.h"
#include "mtrr.h"

#define MAP_ALL_ACCESS BITS(2, 0)
#define MAP_WRITE      BIT(1)
#define MAP_LEAF       BIT(7) /* in a 1-GiB or 2-MiB entry */
#define MAP_ADDRESS    BITS(51, 12)

#define GUEST_MAP_MAX_BITS 48 /* what a page-walk of 4 reaches */

struct guest_map {
	uint64_t *pool; /* page aligned; the first page is the PML4 */
	uint64_t pool_pa;
	unsigned pages, used;
	unsigned physical_bits;
	/*
	 * Where an entry says the memory type. 0: nowhere, as the processor itself applies the MTRRs; no page has two
	 * of their types all the same.
	 */
	uint64_t memtype;
	uint64_t hidden_pa, hidden_size; /* the region: mapped by 4-KiB entries, none present */
	uint64_t apic_pa;                /* mapped by a 4-KiB entry, which may be taken away and given back */
};

/* Tables needed at most on a CPU with these. */
static inline unsigned guest_map_pool_pages(unsigned physical_bits, unsigned variable_mtrrs)
{
	unsigned bits = physical_bits < GUEST_MAP_MAX_BITS ? physical_bits : GUEST_MAP_MAX_BITS;
	unsigned pointers = bits > 39 ? 1u << (bits - 39) : 1;
	/*
	 * A boundary between types splits at most one 1-GiB and one 2-MiB page. Each variable range has two, the fixed
	 * ranges one below 1 MiB; the region has two and a page table for each 2 MiB of it; the APIC's page is one.
	 */
	unsigned boundaries = 2 * variable_mtrrs + 1 + 2 + 1;

	return 1 + pointers + 2 * boundaries + 16;
}

/* Builds the map from scratch. False: the pool is too small. */
bool guest_map_build(struct guest_map *map, const struct mtrrs *mtrrs);

/* The 4-KiB entry of a page in the hidden region, or of the APIC's. */
uint64_t *guest_map_page_entry(const struct guest_map *map, uint64_t pa);
/* Puts another page of memory in the place of such a page, for every access. */
void guest_map_put(const struct guest_map *map, uint64_t pa, uint64_t page);
/* Shows a page of the hidden region: it can be read. */
void guest_map_show(const struct guest_map *map, uint64_t pa);

#endif
