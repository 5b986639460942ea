/*
 * What INIT makes of a processor, for VMX and SVM to put where each keeps the guest's registers. SDM Vol. 3A, "Processor
 * State After Reset", and APM Vol. 2, "Initial Processor State": the column for INIT. Memory, MSRs and the FPU stay.
 */
#ifndef ARCH_X86_RESET_H
#define ARCH_X86_RESET_H

#include "hv/cpu.h"

#define DR6_RESET UINT64_C(0xffff0ff0)
#define DR7_RESET UINT64_C(0x400)

struct reset_segment {
	uint16_t selector, access; /* as the descriptor's bits 40 to 47 */
	uint32_t limit;
	uint64_t base;
};

/* The registers that aren't here are 0. */
struct reset_state {
	struct reset_segment data, code, ldtr, tr, table; /* data: ES, SS, DS, FS, GS; table: GDTR, IDTR */
	uint64_t rip, rflags, dr6, dr7;
};

extern const struct reset_state reset_state;

/* What it makes of this CR0. */
uint64_t reset_cr0(uint64_t cr0);
/* The general-purpose registers, and DR0 to DR3, which are the guest's in root mode too. */
void reset_registers(struct cpu *cpu);

/* After INIT a SIPI sets only CS and RIP: "MP Initialization". */
struct reset_segment startup_code(uint64_t vector);
#define STARTUP_RIP 0

#endif
