/*
 * kexec reboot|panic BASE END RSDP KERNEL INITRD COMMAND-LINE: starts the kernel now, or when this one panics.
 * kexec-tools and kexec_file_load(2) have all bytes checked first, which takes the test machine minutes; here nothing
 * is. Between BASE, at a large page's boundary, and END there is memory for it; after a panic the new kernel uses no
 * other but the first megabyte. RSDP is ACPI's, since the new kernel isn't told of EFI. See Linux'
 * Documentation/arch/x86/boot.rst.
 */
#include "sys.h"

#include <asm/bootparam.h>
#include <asm/fcntl.h>
#include <asm/unistd.h>
#include <linux/fs.h>
#include <linux/kexec.h>
#include <linux/mman.h>
#include <linux/reboot.h>

#define PAGE       4096
#define LARGE_PAGE (UINT64_C(1) << 21)
#define MEGABYTE   (UINT64_C(1) << 20)
#define SECTOR     512
#define ENTRY_64   0x200
#define LOADER     0xff /* none that has a number */
#define RAM        1

struct file {
	char *bytes;
	uint64_t size;
};

/* What lies at BASE. The kernel follows at the next large page's boundary, its initrd behind the room that it needs. */
struct front {
	struct boot_params params;
	char command_line[PAGE];
	unsigned char code[PAGE];
};
_Static_assert(sizeof(struct boot_params) == PAGE, "each begins a page");

struct plan {
	uint64_t base, kernel, initrd, end;
};

static long open_file(const char *path)
{
	long file = sys(__NR_open, (long)path, O_RDONLY, 0, 0, 0);

	if (file < 0)
		die("kexec: there is no such file");
	return file;
}

static struct file map_file(const char *path)
{
	long file = open_file(path);
	long size = sys(__NR_lseek, file, 0, SEEK_END, 0, 0);
	long bytes = sys(__NR_mmap, 0, size, PROT_READ, MAP_PRIVATE, file);

	if (size <= 0 || (bytes < 0 && bytes > -PAGE))
		die("kexec: a file can't be read");
	return (struct file){ (char *)bytes, (uint64_t)size };
}

static uint64_t round_up(uint64_t value, uint64_t unit)
{
	return (value + unit - 1) / unit * unit;
}

static struct plan make_plan(uint64_t base, const struct setup_header *header, uint64_t initrd_size)
{
	struct plan plan = { .base = base };

	plan.kernel = base + LARGE_PAGE;
	plan.initrd = round_up(plan.kernel + header->init_size, LARGE_PAGE);
	plan.end = round_up(plan.initrd + initrd_size, PAGE);
	return plan;
}

/* The memory map is as this kernel got it; what is missing then is the old kernel's. */
static void keep_only(struct boot_params *params, uint64_t first, uint64_t end)
{
	for (unsigned i = 0; i < params->e820_entries; i++) {
		struct boot_e820_entry *entry = &params->e820_table[i];
		uint64_t entry_end = entry->addr + entry->size;

		if (entry->type != RAM || entry->addr < MEGABYTE)
			continue;
		entry->size = 0;
		if (entry->addr <= first && end <= entry_end)
			*entry = (struct boot_e820_entry){ .addr = first, .size = end - first, .type = RAM };
	}
}

static void set_params(struct boot_params *params, const struct setup_header *header, const struct plan *plan,
		       uint64_t initrd_size, uint64_t rsdp)
{
	static const struct efi_info none;

	if (sys(__NR_read, open_file("/sys/kernel/boot_params/data"), (long)params, sizeof(*params), 0, 0) !=
	    sizeof(*params))
		die("kexec: the kernel does not tell what it was booted with");
	params->hdr = *header;
	params->efi_info = none;
	params->acpi_rsdp_addr = rsdp;
	params->hdr.type_of_loader = LOADER;
	params->hdr.ramdisk_image = (uint32_t)plan->initrd;
	params->hdr.ramdisk_size = (uint32_t)initrd_size;
	params->hdr.cmd_line_ptr = (uint32_t)(plan->base + offsetof(struct front, command_line));
}

/* mov rsi, PARAMS; mov rax, ENTRY; jmp rax */
static void write_code(unsigned char *code, uint64_t params, uint64_t entry)
{
	static const unsigned char text[] = { 0x48, 0xbe, [10] = 0x48, 0xb8, [20] = 0xff, 0xe0 };

	for (unsigned i = 0; i < sizeof(text); i++)
		code[i] = text[i];
	for (unsigned i = 0; i < 8; i++) {
		code[2 + i] = (unsigned char)(params >> 8 * i);
		code[12 + i] = (unsigned char)(entry >> 8 * i);
	}
}

static void load(const struct plan *plan, const struct front *front, const struct file *kernel,
		 const struct file *initrd, bool panic)
{
	uint64_t real_mode = (front->params.hdr.setup_sects + UINT64_C(1)) * SECTOR, size = kernel->size - real_mode;
	/* buf, bufsz, mem, memsz */
	const uint64_t segments[3][4] = {
		{ (uint64_t)front, sizeof(*front), plan->base, sizeof(*front) },
		{ (uint64_t)kernel->bytes + real_mode, size, plan->kernel, round_up(size, PAGE) },
		{ (uint64_t)initrd->bytes, initrd->size, plan->initrd, plan->end - plan->initrd },
	};

	if (sys(__NR_kexec_load, (long)(plan->base + offsetof(struct front, code)), 3, (long)segments,
		panic ? KEXEC_ON_CRASH : 0, 0))
		die("kexec: the kernel can't be loaded");
}

int main(int argc, char **argv)
{
	static struct front front;
	const struct setup_header *header;
	struct file kernel, initrd;
	struct plan plan;
	uint64_t end;
	bool panic;

	if (argc != 8 || text_length(argv[7]) >= PAGE)
		die("kexec: say reboot or panic, where, up to where, the RSDP's address, kernel, initrd, command line");
	panic = same(argv[1], "panic");
	kernel = map_file(argv[5]);
	initrd = map_file(argv[6]);
	header = (const void *)(kernel.bytes + offsetof(struct boot_params, hdr));
	plan = make_plan(parse_number(argv[2]), header, initrd.size);
	end = parse_number(argv[3]);
	if (plan.end > end)
		die("kexec: there is too little memory");
	set_params(&front.params, header, &plan, initrd.size, parse_number(argv[4]));
	if (panic)
		keep_only(&front.params, plan.base, end);
	for (size_t i = 0; argv[7][i]; i++)
		front.command_line[i] = argv[7][i];
	write_code(front.code, plan.base, plan.kernel + ENTRY_64);
	load(&plan, &front, &kernel, &initrd, panic);
	if (!panic)
		sys(__NR_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_KEXEC, 0, 0);
	return !panic;
}
