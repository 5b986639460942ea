/*
 * The loader: an EFI application that puts the resident image under the running machine, then starts the guest's image.
 * Functions that can fail return a status and leave one sentence in loader.error; main.c prints it.
 */
#ifndef BOOT_LOADER_H
#define BOOT_LOADER_H

#include <elf.h>
#include <stdbool.h>
#include <stdint.h>
#include <efi.h>
#include <efilib.h>

#include "arch/x86/paging.h"
#include "hv/boot_info.h"

/* The resident image as it lies in the loader, and where it goes. */
struct resident {
	const uint8_t *file;
	const Elf64_Phdr *segments;
	unsigned nr_segments;
	const struct image_header *header; /* the first bytes of the first segment */
	uint64_t size;                     /* bytes from HV_BASE, page aligned */
};

/* The block of reserved memory, laid out as hv/boot_info.h says. Offsets and sizes in bytes, page aligned. */
struct region {
	EFI_PHYSICAL_ADDRESS pa; /* 0: none */
	uint64_t size;
	uint64_t boot_info, images, cpu_areas, sample_rings, ept_pools, page_tables;
	unsigned ept_pages; /* in each pool */
};

struct mp_services;

/* The processors, and those of them that pmuvisor runs on: its CPUs, the first of this many. */
struct mp {
	struct mp_services *services; /* not asked for the one that booted */
	unsigned nr_cpus, nr_processors;
	struct boot_processor *processors; /* as struct boot_info has them */
};

struct loader {
	EFI_HANDLE image;
	EFI_LOADED_IMAGE *loaded;
	struct hv_config config;
	struct mp mp;
	struct resident resident;
	struct region region;
	bool region_in_use;        /* a processor went there and didn't come back */
	struct boot_image *images; /* what the firmware has loaded; none if not asked for */
	unsigned nr_images;
	struct paging paging;
	struct handoff *handoff;
	EFI_DEVICE_PATH *guest_path;
	EFI_HANDLE guest; /* loaded, not started */
	CHAR16 *guest_name;
	char error[CONFIG_ERROR_MAX];
};

EFI_STATUS __attribute__((format(printf, 3, 4)))
fail(struct loader *loader, EFI_STATUS status, const char *format, ...);

/* file.c. `path` counts from the root of the volume on `device`. */
EFI_STATUS file_read(EFI_HANDLE device, const CHAR16 *path, char **text, UINTN *length); /* free with FreePool() */
bool file_exists(EFI_HANDLE device, const CHAR16 *path);

/* conf.c: fills loader->config from pmuvisor.conf and the command line. */
EFI_STATUS read_configuration(struct loader *loader);

/* guest.c. find: is there an image? load: into memory, ready to start. start: returns when the guest's image does. */
EFI_STATUS guest_find(struct loader *loader);
EFI_STATUS guest_load(struct loader *loader);
EFI_STATUS guest_start(struct loader *loader);

/* images.c */
EFI_STATUS images_list(struct loader *loader);

/* mp.c */
typedef void(EFIAPI *mp_procedure)(void *argument);
EFI_STATUS mp_find(struct loader *loader);
/* Runs `procedure` on a CPU, and waits for it. It may not call the firmware. */
EFI_STATUS mp_run(const struct mp *mp, unsigned cpu, mp_procedure procedure, void *argument);
/* Makes `why` the loader's one sentence, with the CPU's name before it where there are several. */
void mp_blame(struct loader *loader, unsigned cpu, const char *why);

/* checks.c: can pmuvisor, configured like this, run on every CPU of this machine? Finds out the EPT pools' size. */
EFI_STATUS check_machine(struct loader *loader);

/* processor.c */
extern const struct cpu_registers processor;
uint64_t read_cr4(void);
/* As the guest. */
uint64_t hypercall(uint64_t magic, uint64_t operation);

/* resident.c */
EFI_STATUS resident_open(struct loader *loader);
void resident_copy(const struct resident *resident, uint8_t *to);
bool resident_map(const struct resident *resident, struct paging *paging, uint64_t pa);

/* memory.c: reserves and fills the region; gives it back. */
EFI_STATUS memory_prepare(struct loader *loader);
void memory_release(struct loader *loader);
/* Makes loader->handoff that of this CPU. */
void memory_hand_off(struct loader *loader, unsigned cpu);

/* start.c: goes under every CPU, or under none. On success the caller has become the guest. */
EFI_STATUS resident_start(struct loader *loader);

/* enter.asm: returns 0 as the guest, or handoff->result in root mode as before when the resident refused. */
int64_t boot_enter(struct handoff *handoff);
/* As the guest: returns in root mode, with pmuvisor no longer under this processor. */
int64_t boot_leave(struct handoff *handoff, uint64_t magic, uint64_t operation);
extern const uint8_t boot_enter_page[]; /* the page that holds both */

#endif
