/*
 * Starts \vmlinuz with the text of \cmdline.txt as its command line: what pmuvisor.efi does with `guest` and
 * `guest-args`, without pmuvisor. A kernel with an EFI stub takes its command line only from its starter, and firmware
 * that boots the removable-media path passes none.
 */
#include <efi.h>
#include <efilib.h>

#define KERNEL      L"\\vmlinuz"
#define CMDLINE     L"\\cmdline.txt"
#define CMDLINE_MAX 1024

static UINTN read_cmdline(EFI_HANDLE volume, CHAR8 text[CMDLINE_MAX])
{
	EFI_FILE_HANDLE root = LibOpenRoot(volume);
	EFI_FILE_HANDLE file;
	UINTN size = CMDLINE_MAX;

	if (!root || EFI_ERROR(root->Open(root, &file, CMDLINE, EFI_FILE_MODE_READ, 0)))
		return 0;
	if (EFI_ERROR(file->Read(file, &size, text)))
		size = 0;
	file->Close(file);
	root->Close(root);
	return size;
}

/* Load options of a kernel are UCS-2 and end with a zero. A line feed at the end of the file is the editor's. */
static void pass_cmdline(EFI_LOADED_IMAGE *kernel, const CHAR8 *text, UINTN size)
{
	static CHAR16 options[CMDLINE_MAX + 1];

	while (size && text[size - 1] == '\n')
		size--;
	for (UINTN i = 0; i < size; i++)
		options[i] = text[i];
	options[size] = 0;
	kernel->LoadOptions = options;
	kernel->LoadOptionsSize = (UINT32)((size + 1) * sizeof(CHAR16));
}

EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system);
EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system)
{
	static CHAR8 text[CMDLINE_MAX];
	EFI_LOADED_IMAGE *self, *options;
	EFI_DEVICE_PATH *path;
	EFI_HANDLE kernel;
	EFI_STATUS status;
	UINTN size;

	InitializeLib(image, system);
	BS->HandleProtocol(image, &LoadedImageProtocol, (void **)&self);
	size = read_cmdline(self->DeviceHandle, text);
	path = FileDevicePath(self->DeviceHandle, KERNEL);
	status = BS->LoadImage(FALSE, image, path, NULL, 0, &kernel);
	if (EFI_ERROR(status)) {
		Print(L"start: %s can't be loaded: %r\n", KERNEL, status);
		return status;
	}
	BS->HandleProtocol(kernel, &LoadedImageProtocol, (void **)&options);
	pass_cmdline(options, text, size);
	status = BS->StartImage(kernel, NULL, NULL);
	Print(L"start: %s returned: %r\n", KERNEL, status);
	return status;
}
