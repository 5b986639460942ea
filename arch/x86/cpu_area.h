/* What the loader maps for each CPU: its stacks, between pages that are never mapped, and its state. */
#ifndef ARCH_X86_CPU_AREA_H
#define ARCH_X86_CPU_AREA_H

#include <stddef.h>

#include "descriptor.h"
#include "firmware.h"
#include "hv/cpu.h"
#include "svm.h"
#include "vmx.h"

#define STACK_PAGES 4

/*
 * An overflowing stack runs into the guard page below it. NMI, #DF and #MC may strike on any stack: each has its own.
 */
struct cpu_area {
	uint8_t guard_main[PAGE_SIZE];
	uint8_t stack[STACK_PAGES * PAGE_SIZE];
	uint8_t guard_nmi[PAGE_SIZE];
	uint8_t nmi_stack[PAGE_SIZE];
	uint8_t guard_df[PAGE_SIZE];
	uint8_t df_stack[PAGE_SIZE];
	uint8_t guard_mc[PAGE_SIZE];
	uint8_t mc_stack[PAGE_SIZE];
	uint8_t guard_state[PAGE_SIZE];
	_Alignas(PAGE_SIZE) struct cpu cpu;
	struct descriptors descriptors;
	struct firmware firmware;                      /* to start the guest with, or to go back to */
	_Alignas(PAGE_SIZE) struct pmuvisor_page page; /* the guest may read it */
	_Alignas(PAGE_SIZE) union {
		struct vmx_cpu vmx;
		struct svm_cpu svm;
	} vendor;
};
_Static_assert(sizeof(struct cpu_area) % PAGE_SIZE == 0, "CPU areas lie side by side, in pages");

static inline struct cpu_area *cpu_area(struct cpu *cpu)
{
	return (struct cpu_area *)((uintptr_t)cpu - offsetof(struct cpu_area, cpu));
}

#define GUARD_BIT(member) BIT(offsetof(struct cpu_area, member) / PAGE_SIZE)
#define CPU_AREA_GUARDS                                                                                                \
	(GUARD_BIT(guard_main) | GUARD_BIT(guard_nmi) | GUARD_BIT(guard_df) | GUARD_BIT(guard_mc) |                    \
	 GUARD_BIT(guard_state))

#endif
