#include "loader.h"

#define CONF_NAME    "pmuvisor.conf"
#define COMMAND_LINE "command line"

/* The path of the file beside the loader, in pool memory; null if the loader came from no volume. */
static CHAR16 *path_beside(const struct loader *loader, const char *name)
{
	CHAR16 *path = loader->loaded->FilePath ? DevicePathToStr(loader->loaded->FilePath) : NULL;
	CHAR16 *beside;
	UINTN length;

	if (!path)
		return NULL;
	for (length = StrLen(path); length && path[length - 1] != '\\'; length--)
		;
	path[length] = '\0';
	beside = PoolPrint(L"%s%s%a", length ? L"" : L"\\", path, name);
	FreePool(path);
	return beside;
}

static EFI_STATUS read_file(struct loader *loader)
{
	CHAR16 *path = path_beside(loader, CONF_NAME);
	EFI_STATUS status = EFI_SUCCESS;
	UINTN length;
	char *text;

	if (!path)
		return EFI_SUCCESS;
	status = file_read(loader->loaded->DeviceHandle, path, &text, &length);
	FreePool(path);
	/* Without the file the defaults stand. */
	if (status == EFI_NOT_FOUND)
		return EFI_SUCCESS;
	if (EFI_ERROR(status))
		return fail(loader, status, CONF_NAME ": the file can't be read.");
	if (config_parse(&loader->config, CONF_NAME, text, length, loader->error))
		status = EFI_INVALID_PARAMETER;
	FreePool(text);
	return status;
}

/* The load options as ASCII in pool memory. Null: there are none, or no text, which some boot managers leave there. */
static char *command_line(const EFI_LOADED_IMAGE *loaded, UINTN *length)
{
	const CHAR16 *options = loaded->LoadOptions;
	UINTN max = options ? loaded->LoadOptionsSize / sizeof(CHAR16) : 0;
	char *text = max ? AllocatePool(max) : NULL;

	for (*length = 0; text && *length < max && options[*length]; ++*length) {
		CHAR16 c = options[*length];

		if (c > '~' || (c < ' ' && c != '\t')) {
			FreePool(text);
			return NULL;
		}
		text[*length] = (char)c;
	}
	return text;
}

EFI_STATUS read_configuration(struct loader *loader)
{
	EFI_STATUS status;
	UINTN length;
	char *words;

	config_defaults(&loader->config);
	status = read_file(loader);
	words = command_line(loader->loaded, &length);
	if (!words)
		return status;
	if (!EFI_ERROR(status) && config_parse_words(&loader->config, COMMAND_LINE, words, length, loader->error))
		status = EFI_INVALID_PARAMETER;
	FreePool(words);
	return status;
}
