/* VMX's MSR bitmap: 1 = VM exit. SDM Vol. 3C, "MSR-Bitmap Address". */
#ifndef ARCH_X86_MSR_BITMAP_H
#define ARCH_X86_MSR_BITMAP_H

#include "guest.h"

struct vmx_msr_bitmap {
	uint8_t read_low[0x2000 / 8];
	uint8_t read_high[0x2000 / 8];
	uint8_t write_low[0x2000 / 8];
	uint8_t write_high[0x2000 / 8];
};
_Static_assert(sizeof(struct vmx_msr_bitmap) == 4096, "fills one page");

/* The trap of an MSR, in place of what it was. False for an MSR the bitmap does not cover: those always exit. */
bool vmx_msr_bitmap_set(struct vmx_msr_bitmap *bitmap, uint32_t msr, enum msr_trap trap);

#endif
