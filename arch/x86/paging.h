/*
 * Builds x86-64 page tables of 4 KiB pages, in memory given by the caller. It touches nothing but that memory, so the
 * loader uses it under the firmware's tables and host tests without any.
 */
#ifndef ARCH_X86_PAGING_H
#define ARCH_X86_PAGING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* SDM Vol. 3A, "Paging-Structure Entries" of 4-level paging. */
#define PTE_PRESENT  (UINT64_C(1) << 0)
#define PTE_WRITABLE (UINT64_C(1) << 1)
#define PTE_PWT      (UINT64_C(1) << 3)
#define PTE_PCD      (UINT64_C(1) << 4)
#define PTE_LARGE    (UINT64_C(1) << 7) /* a page of 1 GiB or 2 MiB, on levels 3 and 2 */
#define PTE_NX       (UINT64_C(1) << 63)
#define PTE_ADDRESS  UINT64_C(0x000ffffffffff000)

#define PAGING_LEVELS 4

enum paging_flags {
	PAGING_READ_ONLY = 0,
	PAGING_WRITABLE = 1 << 0,
	PAGING_EXECUTABLE = 1 << 1, /* never together with writable */
	PAGING_UNCACHED = 1 << 2,   /* strong UC, whatever the MTRRs say (with the PAT as it is after reset) */
};

/* Page tables under construction. `pool` is where the caller reaches the memory, `pool_pa` its physical address. */
struct paging {
	uint64_t *pool; /* page aligned; the first page becomes the PML4 */
	uint64_t pool_pa;
	size_t pool_pages, used;
};

/* Pages of tables that map `pages` pages in `ranges` separate ranges, at the very most. */
size_t paging_pool_pages(size_t pages, unsigned ranges);

/* Starts with an empty PML4. The pool's contents are overwritten. */
void paging_init(struct paging *paging, void *pool, uint64_t pool_pa, size_t pool_pages);

/*
 * Maps `size` bytes at `va` to `pa`, all multiples of 4096. False when the pool is empty, a page is mapped already, an
 * address is not canonical, or the range is to be both writable and executable; part of it may be mapped then.
 */
bool paging_map(struct paging *paging, uint64_t va, uint64_t pa, uint64_t size, unsigned flags);

/* Physical address of the entry that `va` uses in the PML4 (level 4) or a page table (level 1), 0 if there is none. */
uint64_t paging_entry(const struct paging *paging, uint64_t va, unsigned level);

#endif
