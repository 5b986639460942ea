/*
 * The contract between the loader (boot/) and the resident image (hv/, arch/x86/): what lies where in the reserved
 * region, and what each tells the other. Both sides include this file; it holds no EFI type.
 *
 * The region is one physically contiguous block of EfiReservedMemoryType, mapped linearly:
 * virtual = HV_BASE + (physical - region_pa). In order, each part page aligned:
 *	the resident ELF's segments, at their p_vaddr	(permissions from p_flags)
 *	struct boot_info, the lists of processors and images (read-only for the resident)
 *	nr_cpus CPU areas of header.cpu_area_size	(RW, no execute; pages named in header.guard_pages not mapped)
 *	nr_cpus sample rings, if there are any		(RW, no execute)
 *	the EPT pools, nr_cpus times ept_pages pages	(RW, no execute)
 *	the page tables the loader built		(RW, no execute)
 */
#ifndef HV_BOOT_INFO_H
#define HV_BOOT_INFO_H

#include <stdbool.h>
#include <stdint.h>

#include "config.h"

#define HV_BASE       UINT64_C(0xffffffff80000000) /* in the top 2 GiB: the kernel code model reaches it */
#define HV_WINDOWS_VA UINT64_C(0xffffffffc0000000) /* two pages for each CPU, see struct hv_window */

#define SAMPLE_RING_SIZE (68 * 1024) /* bytes for each CPU, if the configuration asks for samples */

#define HV_IMAGE_MAGIC UINT64_C(0x524f534956554d50) /* "PMUVISOR" */

/* At HV_BASE: the first bytes of the resident image. */
struct image_header {
	uint64_t magic;
	uint64_t entry;         /* virtual: void hv_entry(struct handoff *) */
	uint64_t cpu_area_size; /* bytes, a multiple of 4096 */
	uint64_t guard_pages;   /* bitmap over the first 64 pages of a CPU area: never mapped */
	uint64_t stack_top;     /* offset in a CPU area: where its main stack starts, 16-byte aligned */
};

/* A processor as the firmware knows it. */
struct boot_processor {
	uint32_t number; /* the firmware's */
	uint32_t apic_id;
	bool enabled; /* the firmware lets it run */
};

/* An image the firmware had loaded when pmuvisor started, the guest's among them. */
struct boot_image {
	uint64_t base, size; /* physical address, bytes */
	char name[48];       /* no blank in it; empty: the firmware knows none */
	char guid[40];       /* of its file in a firmware volume; empty: it is from elsewhere */
};

/* What the loader tells the resident. */
struct boot_info {
	uint64_t magic;
	uint64_t region_pa, region_size; /* bytes */
	uint64_t cpu_areas;              /* virtual address of the first */
	uint64_t cpu_area_size;          /* bytes each */
	uint64_t sample_rings;           /* virtual address of the first, one for each CPU; 0: none */
	uint64_t ept_pools;              /* virtual address of the first */
	uint32_t ept_pages;              /* in each */
	uint32_t nr_cpus;
	uint64_t trampoline_pml4e; /* virtual address of the PML4 entry that maps the loader's trampoline */
	uint64_t tsc_hz;           /* measured by the loader */
	struct hv_config config;
	uint64_t images; /* virtual address of struct boot_image[nr_images]; they are listed only for samples */
	uint32_t nr_images;
	uint32_t nr_processors;
	/* All there are. The first nr_cpus of them are the CPUs pmuvisor runs on, by index: first the one that booted. */
	struct boot_processor processors[];
};

/*
 * The loader's alone, while its pages are still mapped: VMCALL with this in RCX and PMUVISOR_CALL_MAGIC in RAX makes
 * this CPU what it was before pmuvisor. It goes on in root mode at handoff->leave.
 */
#define HV_CALL_LEAVE UINT64_C(0x45564145)

/* One page with an entry of its own in the page tables, which the CPU it belongs to changes. Virtual addresses. */
struct hv_window {
	uint64_t page, entry;
	uint64_t flags; /* the entry without its address; the resident's */
};

/*
 * Passed on entry, in loader memory that the resident's page tables identity-map (one page, with boot/enter.asm's code
 * page): the firmware's processor state to come back to, as guest (success) or in root mode (refused).
 */
struct handoff {
	uint64_t cr3;        /* 00: the resident's page tables */
	uint64_t entry;      /* 08: image_header.entry */
	uint64_t stack_top;  /* 10: virtual, top of this CPU's main stack */
	uint64_t boot_info;  /* 18: virtual */
	uint64_t cpu;        /* 20: index of this CPU */
	uint64_t fw_cr3;     /* 28: saved by enter.asm, as is all that follows */
	uint64_t fw_rsp;     /* 30 */
	uint64_t fw_rip;     /* 38: where the guest begins: returns `result` from boot_enter() */
	uint64_t fw_rflags;  /* 40 */
	uint64_t leave;      /* 48: root-mode way back: jump here with this handoff in RDI and the firmware's CRs,
				 *     GDT, IDT and segments already restored except CR3 */
	uint64_t fw_tr_base; /* 50: the firmware's task segment, decoded by the loader; unused where TR is 0 */
	uint32_t fw_tr_limit, fw_tr_access; /* 58: access rights as the VMCS holds them */
	int64_t result;                     /* 60: 0, or why the resident refused; boot_enter() returns it */
	char why[CONFIG_ERROR_MAX];         /* 68: one sentence when result is not 0 */
	uint64_t vmmcall;                   /* hypercalls are VMMCALL, not VMCALL */
	struct hv_window apic;              /* strong UC (PCD|PWT): this CPU's local APIC */
	struct hv_window aperture;          /* read-only: where it looks at the guest's memory; at first the region's */
};

#endif
