#include "guest_space.h"
#include "cpu_area.h"
#include "hv/sentence.h"
#include "hv/stop.h"
#include "reg.h"

/* With each CPU's page for the guest in it. */
static bool build(const struct boot_info *boot, struct guest_space *space)
{
	if (!guest_map_build(&space->map, &space->mtrrs))
		return false;
	for (uint64_t i = 0; i < boot->nr_cpus; i++) {
		const struct cpu_area *area = (const struct cpu_area *)(boot->cpu_areas + i * sizeof(*area));

		guest_map_show(&space->map, hv_pa(&area->page));
	}
	return true;
}

int guest_space_init(struct cpu *cpu, struct guest_space *space, uint64_t memtype, struct handoff *handoff)
{
	const struct boot_info *boot = cpu->boot;
	struct guest_map *map = &space->map;

	map->pool = (uint64_t *)(boot->ept_pools + cpu->id * boot->ept_pages * PAGE_SIZE);
	map->pool_pa = hv_pa(map->pool);
	map->pages = boot->ept_pages;
	map->physical_bits = (unsigned)__builtin_popcountll(cpu->address_mask);
	map->memtype = memtype;
	map->hidden_pa = boot->region_pa;
	map->hidden_size = boot->region_size;
	map->apic_pa = cpu->apic_page;
	for (unsigned i = 0; i < sizeof(space->decoy); i++)
		space->decoy[i] = 0xff;
	mtrr_read(&space->mtrrs);
	if (build(boot, space))
		return 0;
	sentence(handoff->why, sizeof(handoff->why),
		 "the MTRRs divide memory into more pieces than pmuvisor has page tables for.");
	return -1;
}

bool guest_space_follow(struct cpu *cpu, struct guest_space *space)
{
	struct mtrrs mtrrs;

	mtrr_read(&mtrrs);
	if (space->map.apic_pa == cpu->apic_page && mtrr_equal(&mtrrs, &space->mtrrs))
		return false;
	space->mtrrs = mtrrs;
	space->map.apic_pa = cpu->apic_page;
	if (!build(cpu->boot, space))
		stop(cpu, "the MTRRs ask for more page tables than there are:", space->map.pages);
	return true;
}

void guest_space_trap_apic(struct cpu *cpu, struct guest_space *space, bool trapped)
{
	uint64_t *entry = guest_map_page_entry(&space->map, cpu->apic_page);

	*entry = trapped ? *entry & ~MAP_ALL_ACCESS : *entry | MAP_ALL_ACCESS;
}

static volatile uint32_t *in_decoy(struct guest_space *space, unsigned offset)
{
	return (volatile uint32_t *)(uintptr_t)&space->decoy[offset];
}

void guest_space_lend(struct cpu *cpu, struct guest_space *space, unsigned offset, uint32_t value)
{
	space->lent = *guest_map_page_entry(&space->map, cpu->apic_page);
	*in_decoy(space, offset) = value;
	guest_map_put(&space->map, cpu->apic_page, hv_pa(space->decoy));
}

uint32_t guest_space_take_back(struct cpu *cpu, struct guest_space *space, unsigned offset)
{
	uint32_t value = *in_decoy(space, offset);

	*in_decoy(space, offset) = UINT32_MAX;
	*guest_map_page_entry(&space->map, cpu->apic_page) = space->lent;
	return value;
}

bool guest_space_touch_hidden(struct guest_space *space, uint64_t pa)
{
	if (pa - space->map.hidden_pa >= space->map.hidden_size)
		return false;
	guest_map_put(&space->map, pa, hv_pa(space->decoy));
	return true;
}
