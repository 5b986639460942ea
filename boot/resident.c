#include "loader.h"

#include "hv/bits.h"

/* embed.asm */
extern const uint8_t resident_file[], resident_file_end[];

static bool is_executable_for_us(const Elf64_Ehdr *elf)
{
	return (size_t)(resident_file_end - resident_file) > sizeof(*elf) &&
	       !CompareMem(elf->e_ident, ELFMAG, SELFMAG) && elf->e_ident[EI_CLASS] == ELFCLASS64 &&
	       elf->e_machine == EM_X86_64 && elf->e_type == ET_EXEC && elf->e_phentsize == sizeof(Elf64_Phdr);
}

static bool is_loaded(const Elf64_Phdr *segment)
{
	return segment->p_type == PT_LOAD && segment->p_memsz;
}

static uint64_t segment_pages(const Elf64_Phdr *segment)
{
	return (segment->p_memsz + PAGE_SIZE - 1) / PAGE_SIZE;
}

static bool measure(struct resident *resident)
{
	for (unsigned i = 0; i < resident->nr_segments; i++) {
		const Elf64_Phdr *segment = &resident->segments[i];

		if (!is_loaded(segment))
			continue;
		if (segment->p_vaddr < HV_BASE || segment->p_vaddr % PAGE_SIZE || segment->p_filesz > segment->p_memsz)
			return false;
		if (segment->p_vaddr == HV_BASE)
			resident->header = (const void *)(resident->file + segment->p_offset);
		if (segment->p_vaddr - HV_BASE + segment_pages(segment) * PAGE_SIZE > resident->size)
			resident->size = segment->p_vaddr - HV_BASE + segment_pages(segment) * PAGE_SIZE;
	}
	return resident->header;
}

static bool header_is_sound(const struct resident *resident)
{
	const struct image_header *header = resident->header;

	return header->magic == HV_IMAGE_MAGIC && header->entry - HV_BASE < resident->size && header->cpu_area_size &&
	       header->cpu_area_size % PAGE_SIZE == 0 && header->stack_top <= header->cpu_area_size &&
	       header->stack_top % 16 == 0;
}

EFI_STATUS resident_open(struct loader *loader)
{
	struct resident *resident = &loader->resident;
	const Elf64_Ehdr *elf = (const void *)resident_file;

	if (!is_executable_for_us(elf))
		return fail(loader, EFI_LOAD_ERROR, "the resident image is no x86-64 program.");
	*resident = (struct resident){
		.file = resident_file,
		.segments = (const void *)(resident_file + elf->e_phoff),
		.nr_segments = elf->e_phnum,
	};
	if (!measure(resident) || !header_is_sound(resident))
		return fail(loader, EFI_LOAD_ERROR, "the resident image is not laid out as agreed.");
	return EFI_SUCCESS;
}

void resident_copy(const struct resident *resident, uint8_t *to)
{
	for (unsigned i = 0; i < resident->nr_segments; i++) {
		const Elf64_Phdr *segment = &resident->segments[i];

		if (is_loaded(segment))
			CopyMem(to + (segment->p_vaddr - HV_BASE), resident->file + segment->p_offset,
				segment->p_filesz);
	}
}

/* paging_map() itself refuses a segment that is both writable and executable. */
bool resident_map(const struct resident *resident, struct paging *paging, uint64_t pa)
{
	bool ok = true;

	for (unsigned i = 0; i < resident->nr_segments && ok; i++) {
		const Elf64_Phdr *segment = &resident->segments[i];
		unsigned flags = (segment->p_flags & PF_W ? PAGING_WRITABLE : 0) |
				 (segment->p_flags & PF_X ? PAGING_EXECUTABLE : 0);

		if (is_loaded(segment))
			ok = paging_map(paging, segment->p_vaddr, pa + (segment->p_vaddr - HV_BASE),
					segment_pages(segment) * PAGE_SIZE, flags);
	}
	return ok;
}
