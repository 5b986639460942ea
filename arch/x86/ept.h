/*
 * The guest's identity map: every physical address is itself, with the MTRRs' memory type, except pmuvisor's own
 * region. SDM Vol. 3C, "The Extended Page Table Mechanism (EPT)".
 */
#ifndef ARCH_X86_EPT_H
#define ARCH_X86_EPT_H

#include <stdbool.h>
#include <stdint.h>

#include "hv/bits.h"
#include "mtrr.h"

#define EPT_READ           BIT(0)
#define EPT_WRITE          BIT(1)
#define EPT_EXEC           BIT(2)
#define EPT_RWX            (EPT_READ | EPT_WRITE | EPT_EXEC)
#define EPT_MEMTYPE        BITS(5, 3)
#define EPT_LEAF           BIT(7) /* in a 1-GiB or 2-MiB entry */
#define EPT_ADDRESS        BITS(51, 12)
#define EPT_POINTER_WB     6
#define EPT_POINTER_WALK_4 FIELD_PUT(BITS(5, 3), 3) /* page-walk length, less one */

#define EPT_MAX_BITS 48 /* what a page-walk of 4 reaches */

struct ept {
	uint64_t *pool; /* page aligned; the first page is the PML4 */
	uint64_t pool_pa;
	unsigned pages, used;
	unsigned physical_bits;
	uint64_t hidden_pa, hidden_size; /* the region: mapped by 4-KiB entries, none present */
	uint64_t apic_pa;                /* mapped by a 4-KiB entry, which may be taken away and given back */
};

/* Tables needed at most on a CPU with these. */
static inline unsigned ept_pool_pages(unsigned physical_bits, unsigned variable_mtrrs)
{
	unsigned bits = physical_bits < EPT_MAX_BITS ? physical_bits : EPT_MAX_BITS;
	unsigned pointers = bits > 39 ? 1u << (bits - 39) : 1;
	/*
	 * A boundary between types splits at most one 1-GiB and one 2-MiB page. Each variable range has two, the fixed
	 * ranges one below 1 MiB; the region has two and a page table for each 2 MiB of it; the APIC's page is one.
	 */
	unsigned boundaries = 2 * variable_mtrrs + 1 + 2 + 1;

	return 1 + pointers + 2 * boundaries + 16;
}

/* Builds the map from scratch. False: the pool is too small. */
bool ept_build(struct ept *ept, const struct mtrrs *mtrrs);

/* The 4-KiB entry of a page in the hidden region, or of the APIC's. */
uint64_t *ept_page_entry(const struct ept *ept, uint64_t pa);

#endif
