/*
 * From the firmware's hands into the test's. The only file of the library with EFI types in it.
 */
#include <efi.h>

#include "boot.h"
#include "apic.h"
#include "cpu.h"
#include "serial.h"
#include "tap.h"
#include "trap.h"

#define MAP_SIZE  65536
#define ARGS_MAX  256
#define ARGS_FILE L"\\guest.args"
#define PIC1_DATA 0x21
#define PIC2_DATA 0xa1

_Static_assert(EfiReservedMemoryType == BOOT_MEMORY_RESERVED, "boot.h has no EFI types");
_Static_assert(EfiConventionalMemory == BOOT_MEMORY_FREE, "boot.h has no EFI types");

EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system);

static EFI_GUID loaded_image_guid = EFI_LOADED_IMAGE_PROTOCOL_GUID;
static EFI_GUID file_system_guid = EFI_SIMPLE_FILE_SYSTEM_PROTOCOL_GUID;
static uint8_t memory_map[MAP_SIZE] __attribute__((aligned(8)));
static UINTN map_size, descriptor_size;
static char args[ARGS_MAX + 1];

/* The arguments come from a file, not from LoadOptions: a boot entry of the firmware has none. */
static void read_args(EFI_HANDLE image, EFI_BOOT_SERVICES *services)
{
	EFI_LOADED_IMAGE *loaded;
	EFI_SIMPLE_FILE_SYSTEM_PROTOCOL *volume;
	EFI_FILE_HANDLE root, file;
	UINTN size = ARGS_MAX;

	if (EFI_ERROR(services->HandleProtocol(image, &loaded_image_guid, (void **)&loaded)) ||
	    EFI_ERROR(services->HandleProtocol(loaded->DeviceHandle, &file_system_guid, (void **)&volume)) ||
	    EFI_ERROR(volume->OpenVolume(volume, &root)))
		return;
	if (!EFI_ERROR(root->Open(root, &file, ARGS_FILE, EFI_FILE_MODE_READ, 0))) {
		if (!EFI_ERROR(file->Read(file, &size, args)))
			args[size] = '\0';
		file->Close(file);
	}
	root->Close(root);
}

/* UEFI, "EFI_BOOT_SERVICES.ExitBootServices()": a stale key means that the map has changed, so ask again. */
static bool leave_firmware(EFI_HANDLE image, EFI_BOOT_SERVICES *services)
{
	UINT32 version;
	UINTN key;

	for (unsigned attempt = 0; attempt < 4; attempt++) {
		map_size = sizeof(memory_map);
		if (EFI_ERROR(services->GetMemoryMap(&map_size, (EFI_MEMORY_DESCRIPTOR *)memory_map, &key,
						     &descriptor_size, &version)))
			return false;
		if (!EFI_ERROR(services->ExitBootServices(image, key)))
			return true;
	}
	return false;
}

/* The firmware's timer would go on interrupting: the PICs are masked before ring 3 turns interrupts on. */
static void own_processor(void)
{
	asm volatile("cli" : : : "memory");
	out8(PIC1_DATA, 0xff);
	out8(PIC2_DATA, 0xff);
	paging_init();
	trap_init(0);
	apic_init();
}

EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system)
{
	read_args(image, system->BootServices);
	serial_init();
	tap_begin();
	if (boot_keeps_firmware) {
		test_main();
		return tap_conclude() ? EFI_SUCCESS : EFI_ABORTED;
	}
	if (!leave_firmware(image, system->BootServices))
		tap_abort("the firmware let go");
	own_processor();
	test_main();
	tap_end();
}

static uint64_t parse_number(const char *digits)
{
	uint64_t value = 0;

	for (; *digits >= '0' && *digits <= '9'; digits++)
		value = value * 10 + (uint64_t)(*digits - '0');
	return value;
}

/* Returns what follows `key=` in the arguments, or NULL. */
static const char *find_arg(const char *key)
{
	for (const char *word = args; *word; word++) {
		const char *k = key, *w = word;

		if (word != args && word[-1] != ' ')
			continue;
		while (*k && *k == *w)
			k++, w++;
		if (!*k && *w == '=')
			return w + 1;
	}
	return NULL;
}

uint64_t boot_number(const char *key, uint64_t otherwise)
{
	const char *value = find_arg(key);

	return value ? parse_number(value) : otherwise;
}

enum boot_mode boot_mode(void)
{
	const char *value = find_arg("mode");

	if (value && *value == 'd')
		return MODE_DIRECT;
	if (value && *value == 's')
		return MODE_SHARED;
	return MODE_BARE;
}

bool boot_memory(unsigned n, struct boot_range *range)
{
	const EFI_MEMORY_DESCRIPTOR *descriptor;

	if (!descriptor_size || (n + 1) * descriptor_size > map_size)
		return false;
	descriptor = (const EFI_MEMORY_DESCRIPTOR *)(memory_map + n * descriptor_size);
	range->type = descriptor->Type;
	range->base = descriptor->PhysicalStart;
	range->size = descriptor->NumberOfPages * EFI_PAGE_SIZE;
	return true;
}
