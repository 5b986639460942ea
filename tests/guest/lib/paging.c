#include "trap.h"
#include "cpu.h"

#define NR_GIB       4
#define ENTRIES      512
#define PAGE_PRESENT BIT(0)
#define PAGE_WRITE   BIT(1)
#define PAGE_USER    BIT(2)
#define PAGE_LARGE   BIT(7)
#define PAGE_OPEN    (PAGE_PRESENT | PAGE_WRITE | PAGE_USER)
#define SIZE_2M      UINT64_C(0x200000)

static uint64_t pml4[ENTRIES] __attribute__((aligned(4096)));
static uint64_t pdpt[ENTRIES] __attribute__((aligned(4096)));
static uint64_t directory[NR_GIB * ENTRIES] __attribute__((aligned(4096)));

/* Memory types are left to the MTRRs, as the firmware set them: the APIC page is uncached by them. */
void paging_init(void)
{
	pml4[0] = (uint64_t)pdpt | PAGE_OPEN;
	for (unsigned gib = 0; gib < NR_GIB; gib++)
		pdpt[gib] = (uint64_t)&directory[gib * ENTRIES] | PAGE_OPEN;
	for (unsigned i = 0; i < NR_GIB * ENTRIES; i++)
		directory[i] = i * SIZE_2M | PAGE_OPEN | PAGE_LARGE;
	/* Ring 0 must be able to run and read what is open to ring 3. */
	write_cr4(read_cr4() & ~(CR4_SMEP | CR4_SMAP));
	asm volatile("mov %0, %%cr3" : : "r"(pml4) : "memory");
}
