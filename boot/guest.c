#include "loader.h"

#include "guest-api/pmuvisor.h"

#define DUMP_POLL_US 1000

/*
 * Without a guest in the configuration: the boot loader that would have come next. Vendors' own first, the path that
 * belongs to nobody last, since that is where a removable medium (such as pmuvisor's own) is started from.
 */
static const CHAR16 *const boot_loaders[] = {
	L"\\EFI\\debian\\shimx64.efi",
	L"\\EFI\\debian\\grubx64.efi",
	L"\\EFI\\ubuntu\\shimx64.efi",
	L"\\EFI\\ubuntu\\grubx64.efi",
	L"\\EFI\\fedora\\shimx64.efi",
	L"\\EFI\\redhat\\shimx64.efi",
	L"\\EFI\\centos\\shimx64.efi",
	L"\\EFI\\rocky\\shimx64.efi",
	L"\\EFI\\opensuse\\shim.efi",
	L"\\EFI\\arch\\grubx64.efi",
	L"\\EFI\\systemd\\systemd-bootx64.efi",
	L"\\EFI\\freebsd\\loader.efi",
	L"\\EFI\\Microsoft\\Boot\\bootmgfw.efi",
	L"\\EFI\\BOOT\\BOOTX64.EFI",
};

static bool is_loader_itself(const struct loader *loader, EFI_HANDLE volume, const CHAR16 *path)
{
	CHAR16 *own = loader->loaded->FilePath ? DevicePathToStr(loader->loaded->FilePath) : NULL;
	bool same = own && volume == loader->loaded->DeviceHandle && !StriCmp(own, (CHAR16 *)path);

	if (own)
		FreePool(own);
	return same;
}

static EFI_DEVICE_PATH *find_on_volume(const struct loader *loader, EFI_HANDLE volume, const CHAR16 **name)
{
	for (unsigned i = 0; i < sizeof(boot_loaders) / sizeof(boot_loaders[0]); i++) {
		*name = boot_loaders[i];
		if (file_exists(volume, *name) && !is_loader_itself(loader, volume, *name))
			return FileDevicePath(volume, (CHAR16 *)*name);
	}
	return NULL;
}

static EFI_STATUS find_boot_loader(struct loader *loader)
{
	EFI_HANDLE *volumes = NULL;
	const CHAR16 *name = NULL;
	UINTN n = 0;

	/* The loader's own volume comes first: what is installed beside it is meant. */
	loader->guest_path = find_on_volume(loader, loader->loaded->DeviceHandle, &name);
	if (!loader->guest_path)
		LibLocateHandle(ByProtocol, &FileSystemProtocol, NULL, &n, &volumes);
	for (UINTN i = 0; i < n && !loader->guest_path; i++)
		loader->guest_path = find_on_volume(loader, volumes[i], &name);
	if (volumes)
		FreePool(volumes);
	if (!loader->guest_path)
		return fail(loader, EFI_NOT_FOUND, "no guest is configured, and no volume holds a boot loader.");
	loader->guest_name = PoolPrint(L"%s", name);
	return EFI_SUCCESS;
}

EFI_STATUS guest_find(struct loader *loader)
{
	EFI_HANDLE volume = loader->loaded->DeviceHandle;

	if (!loader->config.guest[0])
		return find_boot_loader(loader);
	loader->guest_name = PoolPrint(L"%a", loader->config.guest);
	if (!loader->guest_name || !file_exists(volume, loader->guest_name))
		return fail(loader, EFI_NOT_FOUND, "guest: there is no file %s on the volume pmuvisor was loaded from.",
			    loader->config.guest);
	loader->guest_path = FileDevicePath(volume, loader->guest_name);
	return EFI_SUCCESS;
}

/* Arguments go to an EFI image as its load options, in UTF-16. */
static EFI_STATUS set_arguments(const struct loader *loader)
{
	EFI_LOADED_IMAGE *loaded;
	CHAR16 *arguments = PoolPrint(L"%a", loader->config.guest_args);
	EFI_STATUS status = uefi_call_wrapper(BS->HandleProtocol, 3, loader->guest, &LoadedImageProtocol,
					      (void **)&loaded);

	if (!arguments)
		return EFI_OUT_OF_RESOURCES;
	if (EFI_ERROR(status))
		return status;
	loaded->LoadOptions = arguments;
	loaded->LoadOptionsSize = (UINT32)StrSize(arguments);
	return EFI_SUCCESS;
}

/* Loading is the one full test of the image, so it happens while there is still a way back. */
EFI_STATUS guest_load(struct loader *loader)
{
	EFI_STATUS status = uefi_call_wrapper(BS->LoadImage, 6, FALSE, loader->image, loader->guest_path, NULL, 0,
					      &loader->guest);

	if (!EFI_ERROR(status) && loader->config.guest_args[0])
		status = set_arguments(loader);
	if (!EFI_ERROR(status))
		return EFI_SUCCESS;
	return fail(loader, status, "guest: the firmware refuses to load the image (status %u).",
		    (unsigned)(status & ~EFI_ERROR_MASK));
}

static void final_dump(void)
{
	UINT64 pending = hypercall(PMUVISOR_CALL_MAGIC, PMUVISOR_CALL_DUMP);

	while (pending) {
		uefi_call_wrapper(BS->Stall, 1, DUMP_POLL_US);
		pending = hypercall(PMUVISOR_CALL_MAGIC, PMUVISOR_CALL_PENDING);
	}
}

EFI_STATUS guest_start(struct loader *loader)
{
	CHAR16 *exit_data = NULL;
	UINTN exit_size = 0;
	EFI_STATUS status;

	Print(L"pmuvisor: running; starting %s\n", loader->guest_name);
	status = uefi_call_wrapper(BS->StartImage, 3, loader->guest, &exit_size, &exit_data);
	if (exit_data)
		FreePool(exit_data);
	final_dump();
	return status;
}
