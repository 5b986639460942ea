/*
 * Starts the EFI images that \cases.txt names, one after the other: each line is a path and, after a blank, the command
 * line. Says what each returned. That it gets to its last line shows that each left the firmware in working order.
 */
#include <efi.h>
#include <efilib.h>

#define CASES_MAX 8192

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
		status = start(line, options);
		Print(L"[end %r]\n", status);
	}
	Print(L"[firmware alive]\n");
	uefi_call_wrapper(RT->ResetSystem, 4, EfiResetShutdown, EFI_SUCCESS, 0, NULL);
	return EFI_SUCCESS;
}
