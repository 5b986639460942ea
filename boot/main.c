#include "loader.h"

#include "hv/sentence.h"

EFI_STATUS fail(struct loader *loader, EFI_STATUS status, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	sentence_v(loader->error, sizeof(loader->error), format, arguments);
	va_end(arguments);
	return status;
}

/* Everything that can go wrong is found out before the processor changes hands: first what the user can put right. */
static EFI_STATUS prepare(struct loader *loader)
{
	EFI_STATUS(*const steps[])
	(struct loader *) = {
		read_configuration, guest_find, check_machine, resident_open, guest_load, images_list, memory_prepare,
	};

	for (unsigned i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		EFI_STATUS status = steps[i](loader);

		if (EFI_ERROR(status))
			return status;
	}
	return EFI_SUCCESS;
}

static EFI_STATUS give_up(struct loader *loader, EFI_STATUS status)
{
	Print(L"pmuvisor: %a\n", loader->error);
	if (loader->guest)
		uefi_call_wrapper(BS->UnloadImage, 1, loader->guest);
	memory_release(loader);
	return status;
}

EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system_table);

EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system_table)
{
	static struct loader loader;
	EFI_STATUS status;

	InitializeLib(image, system_table);
	loader.image = image;
	status = uefi_call_wrapper(BS->HandleProtocol, 3, image, &LoadedImageProtocol, (void **)&loader.loaded);
	if (EFI_ERROR(status))
		return status;
	status = prepare(&loader);
	if (!EFI_ERROR(status))
		status = resident_start(&loader);
	if (EFI_ERROR(status))
		return give_up(&loader, status);
	return guest_start(&loader);
}
