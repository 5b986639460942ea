/* SVM's map of MSRs that exit: APM Vol. 2, "MSR Intercepts". */
#ifndef ARCH_X86_MSR_PERMISSION_H
#define ARCH_X86_MSR_PERMISSION_H

#include "guest.h"

/* Three ranges of 2000H MSRs, two bits each: read, write. */
struct svm_msr_permission {
	uint8_t bits[3][0x800];
	uint8_t reserved[0x800];
};
_Static_assert(sizeof(struct svm_msr_permission) == 8192, "fills two pages");

/* The trap of an MSR, in place of what it was. False for an MSR the map does not cover: those always exit. */
bool svm_msr_permission_set(struct svm_msr_permission *map, uint32_t msr, enum msr_trap trap);

#endif
