#include "fw_cfg.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_SIGNATURE   0x00
#define KEY_INTERFACE   0x01
#define KEY_NR_CPUS     0x05
#define KEY_MAX_CPUS    0x0f
#define KEY_DIRECTORY   0x19
#define KEY_FIRST_FILE  0x20
#define INTERFACE_PLAIN 1 /* without DMA */

/* The directory is big-endian; all other numbers are little-endian. */
struct entry {
	uint32_t size;
	uint16_t key;
	uint16_t reserved;
	char name[56];
};
_Static_assert(sizeof(struct entry) == 64, "fw_cfg.rst, \"File Directory (Key 0x0019, FW_CFG_FILE_DIR)\"");

static const char *const names[] = { "etc/table-loader", "etc/acpi/tables" };
#define NR_FILES (sizeof(names) / sizeof(names[0]))

static struct item {
	void *data;
	size_t size;
} files[NR_FILES];

static struct {
	uint32_t nr_entries;
	struct entry entries[NR_FILES];
} directory;

static uint32_t interface = INTERFACE_PLAIN;
static uint16_t cpus;
static struct item selected;
static size_t position;

static bool load(const char *directory_name, unsigned n)
{
	char path[4096];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", directory_name, names[n]);
	file = fopen(path, "rb");
	if (!file)
		return false;
	fseek(file, 0, SEEK_END);
	files[n].size = (size_t)ftell(file);
	rewind(file);
	files[n].data = malloc(files[n].size);
	if (!files[n].data || fread(files[n].data, 1, files[n].size, file) != files[n].size)
		files[n].size = 0;
	fclose(file);
	return files[n].size != 0;
}

const char *fw_cfg_init(const char *directory_name, unsigned nr_cpus)
{
	cpus = (uint16_t)nr_cpus;
	directory.nr_entries = htonl(NR_FILES);
	for (unsigned n = 0; n < NR_FILES; n++) {
		struct entry *entry = &directory.entries[n];

		if (!load(directory_name, n))
			return names[n];
		entry->size = htonl((uint32_t)files[n].size);
		entry->key = htons((uint16_t)(KEY_FIRST_FILE + n));
		snprintf(entry->name, sizeof(entry->name), "%s", names[n]);
	}
	return NULL;
}

static struct item item_of(uint16_t key)
{
	static char signature[] = { 'Q', 'E', 'M', 'U' };

	if (key >= KEY_FIRST_FILE && key < KEY_FIRST_FILE + NR_FILES)
		return files[key - KEY_FIRST_FILE];
	switch (key) {
	case KEY_SIGNATURE: return (struct item){ signature, sizeof(signature) };
	case KEY_INTERFACE: return (struct item){ &interface, sizeof(interface) };
	case KEY_NR_CPUS:
	case KEY_MAX_CPUS: return (struct item){ &cpus, sizeof(cpus) };
	case KEY_DIRECTORY: return (struct item){ &directory, sizeof(directory) };
	default: return (struct item){ NULL, 0 };
	}
}

void fw_cfg_select(uint16_t key)
{
	selected = item_of(key);
	position = 0;
}

uint8_t fw_cfg_read(void)
{
	const uint8_t *bytes = selected.data;

	return position < selected.size ? bytes[position++] : 0;
}
