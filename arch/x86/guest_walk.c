#include "guest_walk.h"
#include "cpuid.h"
#include "guest.h"
#include "msr.h"
#include "paging.h"
#include "arch/x86/reg.h"

#define CR4_LA57 BIT(12)

struct walk {
	uint64_t table;        /* physical address of the next table; at the end, of the memory itself */
	unsigned levels;       /* left */
	uint64_t address_mask; /* of the processor's physical addresses */
	bool write_protect;
};

static uint64_t physical_mask(void)
{
	uint32_t regs[4];

	reg_cpuid(CPUID_ADDRESS_SIZES, 0, regs);
	return BITS((regs[0] & 0xff) - 1, 0);
}

static bool is_hidden(const struct boot_info *boot, uint64_t pa)
{
	return pa - boot->region_pa < boot->region_size;
}

/* SDM Vol. 3A, "Paging-Structure Entries" of 4-level and 5-level paging: address bits beyond the processor's fault. */
static bool follow(struct walk *walk, uint64_t entry, unsigned level, uint64_t linear)
{
	unsigned shift = 12 + 9 * (level - 1);
	bool page = level == 1 || (level <= 3 && entry & PTE_LARGE);
	uint64_t in_page = page ? BITS(shift - 1, 0) : 0;

	if (!(entry & PTE_PRESENT) || (!(entry & PTE_WRITABLE) && walk->write_protect) ||
	    entry & PTE_ADDRESS & ~walk->address_mask)
		return false;
	walk->table = (entry & PTE_ADDRESS & ~in_page) | (linear & in_page);
	walk->levels = page ? 0 : level - 1;
	return true;
}

static bool is_canonical(uint64_t linear, unsigned levels)
{
	uint64_t top = linear >> (11 + 9 * levels);

	return top == 0 || top == BITS(52 - 9 * levels, 0);
}

/* Where it leads is in walk->table. */
static enum guest_memory walk_to(const struct cpu *cpu, struct walk *walk, uint64_t linear)
{
	if (walk->levels && !is_canonical(linear, walk->levels))
		return MEMORY_UNMAPPED;
	while (walk->levels) {
		unsigned level = walk->levels;
		uint64_t index = linear >> (12 + 9 * (level - 1)) & 0x1ff;

		if (is_hidden(cpu->boot, walk->table))
			return MEMORY_HIDDEN;
		if (!follow(walk, reg_read_physical(&cpu->aperture, walk->table + 8 * index), level, linear))
			return MEMORY_UNMAPPED;
	}
	return is_hidden(cpu->boot, walk->table) ? MEMORY_HIDDEN : MEMORY_WRITABLE;
}

static enum guest_memory worse(enum guest_memory a, enum guest_memory b)
{
	return a > b ? a : b;
}

/* A walk in long mode. */
static struct walk walk_from_top(struct cpu *cpu, bool write_protect)
{
	struct walk walk = { .address_mask = physical_mask(), .write_protect = write_protect };

	walk.levels = cpu->ops->read(cpu, GUEST_CR4) & CR4_LA57 ? 5 : 4;
	walk.table = cpu->ops->read(cpu, GUEST_CR3) & PTE_ADDRESS & walk.address_mask;
	return walk;
}

enum guest_memory guest_memory_at(struct cpu *cpu, uint64_t linear, uint64_t size)
{
	uint64_t cr0 = cpu->ops->read(cpu, GUEST_CR0), last = linear + size - 1;
	struct walk walk, first;

	if (!(cr0 & CR0_PG)) {
		bool hidden = is_hidden(cpu->boot, linear) || is_hidden(cpu->boot, last);

		return hidden ? MEMORY_HIDDEN : MEMORY_WRITABLE;
	}
	if (!(cpu->ops->read(cpu, GUEST_EFER) & EFER_LMA))
		return MEMORY_UNKNOWN;
	walk = walk_from_top(cpu, cr0 & CR0_WP);
	first = walk;
	return worse(walk_to(cpu, &first, linear), walk_to(cpu, &walk, last));
}

bool guest_read_byte(struct cpu *cpu, uint64_t linear, uint8_t *byte)
{
	struct walk walk = { .table = linear };

	if (cpu->ops->read(cpu, GUEST_CR0) & CR0_PG) {
		if (!(cpu->ops->read(cpu, GUEST_EFER) & EFER_LMA))
			return false;
		walk = walk_from_top(cpu, false);
	}
	if (walk_to(cpu, &walk, linear) != MEMORY_WRITABLE)
		return false;
	*byte = (uint8_t)(reg_read_physical(&cpu->aperture, walk.table & ~UINT64_C(7)) >> 8 * (walk.table & 7));
	return true;
}
