#include "loader.h"

#define FILE_SIZE_MAX (64 * 1024) /* of text files, all the loader reads itself */

static EFI_STATUS open_file(EFI_HANDLE device, const CHAR16 *path, EFI_FILE_HANDLE *file)
{
	EFI_FILE_HANDLE root = device ? LibOpenRoot(device) : NULL;
	EFI_STATUS status;

	if (!root)
		return EFI_NOT_FOUND;
	status = uefi_call_wrapper(root->Open, 5, root, file, (CHAR16 *)path, EFI_FILE_MODE_READ, 0);
	uefi_call_wrapper(root->Close, 1, root);
	return status;
}

EFI_STATUS file_read(EFI_HANDLE device, const CHAR16 *path, char **text, UINTN *length)
{
	EFI_FILE_HANDLE file;
	EFI_STATUS status = open_file(device, path, &file);

	if (EFI_ERROR(status))
		return status;
	*length = FILE_SIZE_MAX;
	*text = AllocatePool(FILE_SIZE_MAX);
	status = *text ? uefi_call_wrapper(file->Read, 3, file, length, *text) : EFI_OUT_OF_RESOURCES;
	if (!EFI_ERROR(status) && *length == FILE_SIZE_MAX)
		status = EFI_BAD_BUFFER_SIZE;
	if (EFI_ERROR(status) && *text)
		FreePool(*text);
	uefi_call_wrapper(file->Close, 1, file);
	return status;
}

bool file_exists(EFI_HANDLE device, const CHAR16 *path)
{
	EFI_FILE_HANDLE file;
	EFI_FILE_INFO *info;
	bool is_file;

	if (EFI_ERROR(open_file(device, path, &file)))
		return false;
	info = LibFileInfo(file);
	is_file = info && !(info->Attribute & EFI_FILE_DIRECTORY);
	if (info)
		FreePool(info);
	uefi_call_wrapper(file->Close, 1, file);
	return is_file;
}
