#include "loader.h"

#include "hv/bits.h"
#include "arch/x86/reg.h"
#include "arch/x86/requirements.h"

#define NR_RANGES       4 /* mapped apart from each other: region, windows, trampoline, handoff */
#define NR_WINDOWS      2 /* of each CPU: its APIC's and the aperture */
#define GUARD_PAGES_MAX 64
#define TSC_MEASURE_US  20000

/* The page that changes hands, with one CPU at a time. In the loader's own image it shares a PML4 entry with the trampoline's code. */
static _Alignas(4096) union {
	struct handoff handoff;
	uint8_t page[PAGE_SIZE];
} handoff_page;

static uint64_t whole_pages(uint64_t size)
{
	return (size + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
}

/* Lays one part behind the last. Returns where it starts. */
static uint64_t append(struct region *region, uint64_t size)
{
	uint64_t start = region->size;

	region->size += whole_pages(size);
	return start;
}

static void lay_out(struct region *region, const struct loader *loader)
{
	const struct resident *resident = &loader->resident;
	const struct mp *mp = &loader->mp;
	uint64_t mapped;

	region->size = resident->size;
	region->boot_info = append(region, sizeof(struct boot_info) + mp->nr_processors * sizeof(mp->processors[0]));
	region->images = append(region, loader->nr_images * sizeof(loader->images[0]));
	region->cpu_areas = append(region, mp->nr_cpus * resident->header->cpu_area_size);
	region->sample_rings = append(region, loader->config.samples ? mp->nr_cpus * SAMPLE_RING_SIZE : 0);
	region->ept_pools = append(region, mp->nr_cpus * region->ept_pages * PAGE_SIZE);
	mapped = region->size / PAGE_SIZE + mp->nr_cpus * NR_WINDOWS;
	/* The tables map themselves too, which is one table more at most: counted as a range. */
	region->page_tables = append(region, paging_pool_pages(mapped, NR_RANGES + 1) * PAGE_SIZE);
}

static EFI_STATUS reserve(struct loader *loader)
{
	struct region *region = &loader->region;
	EFI_STATUS status = uefi_call_wrapper(BS->AllocatePages, 4, AllocateAnyPages, EfiReservedMemoryType,
					      region->size / PAGE_SIZE, &region->pa);

	if (EFI_ERROR(status))
		region->pa = 0;
	return status;
}

void memory_release(struct loader *loader)
{
	if (loader->region.pa && !loader->region_in_use)
		uefi_call_wrapper(BS->FreePages, 2, loader->region.pa, loader->region.size / PAGE_SIZE);
}

static bool map_part(struct loader *loader, uint64_t start, uint64_t end, unsigned flags)
{
	return paging_map(&loader->paging, HV_BASE + start, loader->region.pa + start, end - start, flags);
}

/* Guard pages stay holes: a stack that grows into one faults instead of eating its neighbour. */
static bool map_cpu_areas(struct loader *loader)
{
	const struct image_header *header = loader->resident.header;
	bool ok = true;

	for (uint64_t page = 0; page < loader->mp.nr_cpus * header->cpu_area_size / PAGE_SIZE && ok; page++) {
		uint64_t in_area = page % (header->cpu_area_size / PAGE_SIZE);
		uint64_t start = loader->region.cpu_areas + page * PAGE_SIZE;

		if (in_area >= GUARD_PAGES_MAX || !(header->guard_pages & BIT(in_area)))
			ok = map_part(loader, start, start + PAGE_SIZE, PAGING_WRITABLE);
	}
	return ok;
}

/* The way in and out: these pages have the same address on both sides. */
static bool map_trampoline(struct loader *loader)
{
	uint64_t code = (uint64_t)boot_enter_page, handoff = (uint64_t)&handoff_page;

	return paging_map(&loader->paging, code, code, PAGE_SIZE, PAGING_EXECUTABLE) &&
	       paging_map(&loader->paging, handoff, handoff, PAGE_SIZE, PAGING_WRITABLE);
}

static uint64_t window_va(unsigned cpu, unsigned window)
{
	return HV_WINDOWS_VA + (cpu * NR_WINDOWS + window) * PAGE_SIZE;
}

static bool map_windows(struct loader *loader)
{
	bool ok = true;

	for (unsigned cpu = 0; cpu < loader->mp.nr_cpus && ok; cpu++) {
		ok = paging_map(&loader->paging, window_va(cpu, 0), 0, PAGE_SIZE, PAGING_WRITABLE | PAGING_UNCACHED) &&
		     paging_map(&loader->paging, window_va(cpu, 1), loader->region.pa, PAGE_SIZE, PAGING_READ_ONLY);
	}
	return ok;
}

static bool build_page_tables(struct loader *loader)
{
	const struct region *region = &loader->region;
	uint64_t pool = region->pa + region->page_tables;

	paging_init(&loader->paging, (void *)pool, pool, (region->size - region->page_tables) / PAGE_SIZE);
	return resident_map(&loader->resident, &loader->paging, region->pa) &&
	       map_part(loader, region->boot_info, region->cpu_areas, PAGING_READ_ONLY) && map_cpu_areas(loader) &&
	       map_part(loader, region->sample_rings, region->size, PAGING_WRITABLE) && map_windows(loader) &&
	       map_trampoline(loader);
}

/* The entry of `va` at `level`, as the resident will address it. */
static uint64_t entry_in_region(const struct loader *loader, uint64_t va, unsigned level)
{
	return HV_BASE + (paging_entry(&loader->paging, va, level) - loader->region.pa);
}

/* By the firmware's clock: good to about a percent, and used for no count. */
static uint64_t measure_tsc(void)
{
	uint64_t start = reg_rdtsc();

	uefi_call_wrapper(BS->Stall, 1, TSC_MEASURE_US);
	return (reg_rdtsc() - start) * (1000000 / TSC_MEASURE_US);
}

static void fill_boot_info(const struct loader *loader)
{
	const struct region *region = &loader->region;
	struct boot_info *info = (struct boot_info *)(region->pa + region->boot_info);

	*info = (struct boot_info){
		.magic = HV_IMAGE_MAGIC,
		.region_pa = region->pa,
		.region_size = region->size,
		.cpu_areas = HV_BASE + region->cpu_areas,
		.cpu_area_size = loader->resident.header->cpu_area_size,
		.sample_rings = loader->config.samples ? HV_BASE + region->sample_rings : 0,
		.ept_pools = HV_BASE + region->ept_pools,
		.ept_pages = region->ept_pages,
		.nr_cpus = loader->mp.nr_cpus,
		.trampoline_pml4e = entry_in_region(loader, (uint64_t)boot_enter_page, PAGING_LEVELS),
		.tsc_hz = measure_tsc(),
		.config = loader->config,
		.images = HV_BASE + region->images,
		.nr_images = loader->nr_images,
		.nr_processors = loader->mp.nr_processors,
	};
	CopyMem((void *)(region->pa + region->images), loader->images, loader->nr_images * sizeof(loader->images[0]));
	CopyMem(info->processors, loader->mp.processors, info->nr_processors * sizeof(info->processors[0]));
}

static struct hv_window window(const struct loader *loader, uint64_t va)
{
	return (struct hv_window){ .page = va, .entry = entry_in_region(loader, va, 1) };
}

void memory_hand_off(struct loader *loader, unsigned cpu)
{
	const struct image_header *header = loader->resident.header;

	loader->handoff = &handoff_page.handoff;
	*loader->handoff = (struct handoff){
		.cr3 = loader->paging.pool_pa,
		.entry = header->entry,
		.stack_top = HV_BASE + loader->region.cpu_areas + cpu * header->cpu_area_size + header->stack_top,
		.boot_info = HV_BASE + loader->region.boot_info,
		.cpu = cpu,
		.vmmcall = processor_is_amd(&processor),
		.apic = window(loader, window_va(cpu, 0)),
		.aperture = window(loader, window_va(cpu, 1)),
	};
}

EFI_STATUS memory_prepare(struct loader *loader)
{
	EFI_STATUS status;

	lay_out(&loader->region, loader);
	status = reserve(loader);
	if (EFI_ERROR(status))
		return fail(loader, status, "the firmware has no %u KiB of memory to spare.",
			    (unsigned)(loader->region.size / 1024));
	ZeroMem((void *)loader->region.pa, loader->region.size);
	resident_copy(&loader->resident, (uint8_t *)loader->region.pa);
	if (!build_page_tables(loader))
		return fail(loader, EFI_LOAD_ERROR, "the resident image can't be mapped.");
	fill_boot_info(loader);
	return EFI_SUCCESS;
}
