/*
 * Starts the EFI images that \cases.txt names, one after the other: each line is a path and, after a blank, the command
 * line. Says what each returned. That it gets to its last line shows that each left the firmware in working order.
 *
 * A line "!crumble N" first makes processor N (the firmware's number) one that is like the others until pmuvisor is
 * about to go under it: its last MTRR divides all memory into pages. "!mend N" takes that back. "!disable N" makes it
 * one that the firmware has disabled. "!lose N" makes it one that doesn't come back from the second procedure that it
 * is given.
 */
#include <efi.h>
#include <efilib.h>

#define CASES_MAX 8192

#define MSR_MTRRCAP        0xfe
#define MSR_MTRR_PHYSBASE0 0x200
#define MTRRCAP_VARIABLE   0xff
#define PHYSMASK_VALID     0x800
#define EVERY_OTHER_PAGE   0x1000

/* PI Specification Vol. 2, "MP Services Protocol". */
#define MP_SERVICES_GUID                                                                                               \
	{                                                                                                              \
		0x3fdda605, 0xa76e, 0x4f46,                                                                            \
		{                                                                                                      \
			0xad, 0x29, 0x12, 0xf4, 0x53, 0x1b, 0x3d, 0x08                                                 \
		}                                                                                                      \
	}

struct mp_services;
typedef void(EFIAPI *mp_procedure)(void *);
typedef EFI_STATUS(EFIAPI *run_procedure)(struct mp_services *this, mp_procedure procedure, UINTN number,
					  EFI_EVENT wait, UINTN timeout_us, void *argument, BOOLEAN *finished);

struct mp_services {
	void *get_number_of_processors, *get_processor_info, *startup_all_aps;
	run_procedure startup_this_ap;
	void *switch_bsp;
	EFI_STATUS(EFIAPI *enable_disable_ap)
	(struct mp_services *this, UINTN number, BOOLEAN enable, UINT32 *health);
};

static EFI_HANDLE own_image;
static EFI_LOADED_IMAGE *own;

static EFI_STATUS read_cases(char *text, UINTN *length)
{
	EFI_FILE_HANDLE root = LibOpenRoot(own->DeviceHandle), file;
	EFI_STATUS status;

	if (!root)
		return EFI_NOT_FOUND;
	status = uefi_call_wrapper(root->Open, 5, root, &file, (CHAR16 *)L"\\cases.txt", EFI_FILE_MODE_READ, 0);
	if (EFI_ERROR(status))
		return status;
	return uefi_call_wrapper(file->Read, 3, file, length, text);
}

static EFI_STATUS start(char *path, char *options)
{
	EFI_DEVICE_PATH *device_path = FileDevicePath(own->DeviceHandle, PoolPrint(L"%a", path));
	EFI_LOADED_IMAGE *loaded;
	EFI_HANDLE image;
	EFI_STATUS status = uefi_call_wrapper(BS->LoadImage, 6, FALSE, own_image, device_path, NULL, 0, &image);

	if (EFI_ERROR(status))
		return status;
	uefi_call_wrapper(BS->HandleProtocol, 3, image, &LoadedImageProtocol, (void **)&loaded);
	loaded->LoadOptions = PoolPrint(L"%a", options);
	loaded->LoadOptionsSize = (UINT32)StrSize(loaded->LoadOptions);
	return uefi_call_wrapper(BS->StartImage, 3, image, NULL, NULL);
}

static UINT64 rdmsr(UINT32 msr)
{
	UINT32 low, high;

	asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
	return (UINT64)high << 32 | low;
}

static void wrmsr(UINT32 msr, UINT64 value)
{
	asm volatile("wrmsr" : : "c"(msr), "a"((UINT32)value), "d"((UINT32)(value >> 32)));
}

/* Of the type that uncovered memory has: nothing changes but the number of pieces. */
static void EFIAPI set_last_mtrr(void *mask)
{
	UINT32 last = MSR_MTRR_PHYSBASE0 + 2 * ((UINT32)(rdmsr(MSR_MTRRCAP) & MTRRCAP_VARIABLE) - 1);

	wrmsr(last, 0);
	wrmsr(last + 1, *(UINT64 *)mask);
}

static void EFIAPI never_return(void *argument __attribute__((unused)))
{
	for (;;)
		asm volatile("cli; hlt");
}

static run_procedure firmware_s;
static UINTN lost, procedures_left;

/* In the place of the firmware's, which finds out by itself that the time is over. */
/* NOLINTNEXTLINE(readability-function-size): so many parameters has the firmware's. */
static EFI_STATUS EFIAPI run_or_lose(struct mp_services *this, mp_procedure procedure, UINTN number, EFI_EVENT wait,
				     UINTN timeout_us, void *argument, BOOLEAN *finished)
{
	if (number == lost && !--procedures_left) {
		this->startup_this_ap = firmware_s;
		procedure = never_return;
	}
	return uefi_call_wrapper(firmware_s, 7, this, procedure, number, wait, timeout_us, argument, finished);
}

static void lose(struct mp_services *services, UINTN number)
{
	firmware_s = services->startup_this_ap;
	services->startup_this_ap = run_or_lose;
	lost = number;
	procedures_left = 2;
}

static EFI_STATUS change(const char *what, const char *digit)
{
	UINT64 mask = what[0] == 'c' ? EVERY_OTHER_PAGE | PHYSMASK_VALID : 0;
	UINTN number = (UINTN)(digit[0] - '0');
	EFI_GUID guid = MP_SERVICES_GUID;
	struct mp_services *services;
	EFI_STATUS status = uefi_call_wrapper(BS->LocateProtocol, 3, &guid, NULL, (void **)&services);

	if (EFI_ERROR(status))
		return status;
	if (what[0] == 'd')
		return uefi_call_wrapper(services->enable_disable_ap, 4, services, number, FALSE, NULL);
	if (what[0] == 'l') {
		lose(services, number);
		return EFI_SUCCESS;
	}
	if (!number) { /* this one: no other is asked to run it */
		set_last_mtrr(&mask);
		return EFI_SUCCESS;
	}
	return uefi_call_wrapper(services->startup_this_ap, 7, services, set_last_mtrr, number, NULL, 0, &mask, NULL);
}

/* Ends the text at the next `separator` and returns what follows it. */
static char *cut(char *text, char separator)
{
	while (*text && *text != separator)
		text++;
	if (*text)
		*text++ = '\0';
	return text;
}

EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system_table);

EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system_table)
{
	static char text[CASES_MAX + 1];
	UINTN length = CASES_MAX;
	EFI_STATUS status;

	InitializeLib(image, system_table);
	own_image = image;
	uefi_call_wrapper(BS->HandleProtocol, 3, image, &LoadedImageProtocol, (void **)&own);
	status = read_cases(text, &length);
	if (EFI_ERROR(status))
		return status;
	for (char *line = text, *next; *line; line = next) {
		next = cut(line, '\n');
		char *options = cut(line, ' ');

		Print(L"[begin %a]\n", line);
		status = line[0] == '!' ? change(line + 1, options) : start(line, options);
		Print(L"[end %r]\n", status);
	}
	Print(L"[firmware alive]\n");
	uefi_call_wrapper(RT->ResetSystem, 4, EfiResetShutdown, EFI_SUCCESS, 0, NULL);
	return EFI_SUCCESS;
}
