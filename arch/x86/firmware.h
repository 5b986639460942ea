/* The processor state the firmware runs in, kept across the switch to pmuvisor's own: the guest starts with it. */
#ifndef ARCH_X86_FIRMWARE_H
#define ARCH_X86_FIRMWARE_H

#include <stdint.h>

#include "descriptor.h"
#include "hv/boot_info.h"

struct firmware {
	uint64_t cr0, cr4, efer, pat;
	uint64_t fs_base, gs_base;
	struct table_register gdt, idt;
	uint16_t selectors[8]; /* in VMCS order: ES, CS, SS, DS, FS, GS, LDTR, TR */
};

void firmware_save(struct firmware *firmware);
/* Back to it, in root mode, with the reason in `handoff`. */
_Noreturn void firmware_return(const struct firmware *firmware, struct handoff *handoff);

#endif
