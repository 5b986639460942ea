#include "guest_walk.h"
#include "guest.h"
#include "msr.h"
#include "paging.h"
#include "arch/x86/reg.h"

#define CR4_LA57 BIT(12)

#define LOWEST_SHIFT  12 /* of the last level's tables, */
#define LARGEST_SHIFT 30 /* and of those whose entries may be pages themselves */

static enum guest_memory kind_of(const struct boot_info *boot, uint64_t pa)
{
	return pa - boot->region_pa < boot->region_size ? MEMORY_HIDDEN : MEMORY_WRITABLE;
}

static bool is_canonical(uint64_t linear, unsigned bits)
{
	int64_t top = (int64_t)linear >> (bits - 1);

	return top == 0 || top == -1;
}

static bool is_page(uint64_t entry, unsigned shift)
{
	return shift == LOWEST_SHIFT || (entry & PTE_LARGE && shift <= LARGEST_SHIFT);
}

/*
 * In long mode, by entries that have all of `needed`. SDM Vol. 3A, "Paging-Structure Entries" of 4-level and 5-level
 * paging: address bits beyond the processor's fault.
 */
static enum guest_memory translate(struct cpu *cpu, uint64_t linear, uint64_t needed, uint64_t *pa)
{
	unsigned bits = cpu->ops->read(cpu, GUEST_CR4) & CR4_LA57 ? 57 : 48;
	uint64_t table = cpu->ops->read(cpu, GUEST_CR3) & PTE_ADDRESS & cpu->address_mask;
	uint64_t checked = needed | (PTE_ADDRESS & ~cpu->address_mask);
	const struct hv_window aperture = cpu->aperture;
	const struct boot_info *boot = cpu->boot;

	if (!is_canonical(linear, bits))
		return MEMORY_UNMAPPED;
	for (unsigned shift = bits - 9; kind_of(boot, table) != MEMORY_HIDDEN; shift -= 9) {
		uint64_t entry = reg_read_physical(&aperture, table + 8 * (linear >> shift & 0x1ff));

		if ((entry & checked) != needed)
			return MEMORY_UNMAPPED;
		table = entry & PTE_ADDRESS;
		if (is_page(entry, shift)) {
			uint64_t in_page = BIT(shift) - 1;

			*pa = (table & ~in_page) | (linear & in_page);
			return kind_of(boot, *pa);
		}
	}
	return MEMORY_HIDDEN;
}

/* Where `linear` leads to. */
static enum guest_memory find(struct cpu *cpu, uint64_t linear, uint64_t needed, uint64_t *pa)
{
	if (cpu->ops->read(cpu, GUEST_EFER) & EFER_LMA)
		return translate(cpu, linear, needed, pa);
	if (cpu->ops->read(cpu, GUEST_CR0) & CR0_PG)
		return MEMORY_UNKNOWN;
	*pa = linear;
	return kind_of(cpu->boot, linear);
}

static enum guest_memory worse(enum guest_memory a, enum guest_memory b)
{
	return a > b ? a : b;
}

enum guest_memory guest_memory_at(struct cpu *cpu, uint64_t linear, uint64_t size)
{
	uint64_t needed = PTE_PRESENT | (cpu->ops->read(cpu, GUEST_CR0) & CR0_WP ? PTE_WRITABLE : 0), pa;

	return worse(find(cpu, linear, needed, &pa), find(cpu, linear + size - 1, needed, &pa));
}

int guest_byte_at(struct cpu *cpu, uint64_t linear)
{
	uint64_t pa;

	if (find(cpu, linear, PTE_PRESENT, &pa) != MEMORY_WRITABLE)
		return -1;
	return (uint8_t)(reg_read_physical(&cpu->aperture, pa & ~UINT64_C(7)) >> 8 * (pa & 7));
}
