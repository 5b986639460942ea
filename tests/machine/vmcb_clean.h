/*
 * VMCB clean bits, judged: a processor may keep what a clean bit covers from one VMRUN to the next, so what changed in
 * memory meanwhile would be lost on it. This one keeps nothing, and says who would have lost something.
 */
#ifndef VMCB_CLEAN_H
#define VMCB_CLEAN_H

#include <stdbool.h>
#include <stdint.h>

#define VMCB_SIZE 4096

struct vmcb_clean {
	uint64_t address; /* of the VMCB that ran last; 0: none did */
	uint8_t as_left[VMCB_SIZE];
};

/* The processor has written the VMCB for the last time in a #VMEXIT. */
void vmcb_clean_left(struct vmcb_clean *clean, uint64_t address, const uint8_t *vmcb);
/* VMRUN: the bits that are set although the VMCB is another, or what they cover is not as it was left. */
uint32_t vmcb_clean_wrong(const struct vmcb_clean *clean, uint64_t address, const uint8_t *vmcb);

#endif
