/*
 * The images the firmware has loaded: what its code is called, for whoever reads samples. UEFI specification, "EFI
 * Loaded Image Protocol"; of images from a firmware volume the name is in the file's user interface section: UEFI
 * Platform Initialization specification, Vol. 3, "EFI_FIRMWARE_VOLUME2_PROTOCOL.ReadSection()".
 */
#include "loader.h"

#define SECTION_USER_INTERFACE 0x15
#define NODE_MEDIA             0x04
#define NODE_FIRMWARE_FILE     0x06

struct firmware_volume {
	void *get_attributes, *set_attributes, *read_file;
	EFI_STATUS(EFIAPI *read_section)
	(const struct firmware_volume *volume, const EFI_GUID *file, UINT8 type, UINTN instance, void **buffer,
	 UINTN *size, UINT32 *authentication);
};

static EFI_GUID volume_guid = { 0x220e73b6, 0x6bdb, 0x4413, { 0x84, 0x05, 0xb9, 0x74, 0xb1, 0x08, 0x61, 0x9a } };

/* NULL: it is from elsewhere. */
static const EFI_GUID *firmware_file(const EFI_LOADED_IMAGE *loaded)
{
	const EFI_DEVICE_PATH *node = loaded->FilePath;

	if (!node || DevicePathType(node) != NODE_MEDIA || DevicePathSubType(node) != NODE_FIRMWARE_FILE)
		return NULL;
	return (const EFI_GUID *)(node + 1);
}

/* As one word of plain ASCII; `to` is zero. */
static void copy_text(char *to, size_t size, const CHAR16 *from)
{
	for (size_t i = 0; from[i] && i < size - 1; i++)
		to[i] = from[i] > ' ' && from[i] <= '~' ? (char)from[i] : '_';
}

static void name_from_volume(struct boot_image *image, const EFI_LOADED_IMAGE *loaded, const EFI_GUID *file)
{
	const struct firmware_volume *volume;
	void *name = NULL;
	UINTN size = 0;
	UINT32 authentication;
	CHAR16 guid[40];

	GuidToString(guid, (EFI_GUID *)file);
	copy_text(image->guid, sizeof(image->guid), guid);
	if (EFI_ERROR(uefi_call_wrapper(BS->HandleProtocol, 3, loaded->DeviceHandle, &volume_guid, (void **)&volume)) ||
	    EFI_ERROR(uefi_call_wrapper(volume->read_section, 7, volume, file, SECTION_USER_INTERFACE, 0, &name, &size,
					&authentication)))
		return;
	copy_text(image->name, sizeof(image->name), name);
	FreePool(name);
}

static void describe(struct boot_image *image, const EFI_LOADED_IMAGE *loaded)
{
	const EFI_GUID *file = firmware_file(loaded);
	CHAR16 *path;

	*image = (struct boot_image){ .base = (uint64_t)loaded->ImageBase, .size = loaded->ImageSize };
	if (file) {
		name_from_volume(image, loaded, file);
		return;
	}
	path = loaded->FilePath ? DevicePathToStr(loaded->FilePath) : NULL;
	if (path) {
		copy_text(image->name, sizeof(image->name), path);
		FreePool(path);
	}
}

EFI_STATUS images_list(struct loader *loader)
{
	EFI_HANDLE *handles = NULL;
	UINTN n = 0;

	if (!loader->config.samples)
		return EFI_SUCCESS;
	LibLocateHandle(ByProtocol, &LoadedImageProtocol, NULL, &n, &handles);
	loader->images = AllocatePool(n * sizeof(loader->images[0]));
	if (!loader->images)
		return fail(loader, EFI_OUT_OF_RESOURCES, "the firmware has no memory for the list of its images.");
	for (UINTN i = 0; i < n; i++) {
		EFI_LOADED_IMAGE *loaded;

		if (!EFI_ERROR(uefi_call_wrapper(BS->HandleProtocol, 3, handles[i], &LoadedImageProtocol,
						 (void **)&loaded)))
			describe(&loader->images[loader->nr_images++], loaded);
	}
	FreePool(handles);
	return EFI_SUCCESS;
}
