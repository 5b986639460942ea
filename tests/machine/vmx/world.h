/*
 * The smallest virtual machine: its guest is a few instructions in the caller's own address space, with its segments
 * and tables, in ring 0. For tests of what VM entries and exits do to the rest of the processor.
 */
#ifndef MACHINE_VMX_WORLD_H
#define MACHINE_VMX_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "arch/x86/vmcs.h"

#define PROC_INTERRUPT_WINDOW       (UINT64_C(1) << 2)
#define PIN_EXTERNAL_INTERRUPT      (UINT64_C(1) << 0)
#define VMCS_EXIT_MSR_LOAD_ADDRESS  ((enum vmcs_field)0x2008)
#define VMCS_ENTRY_MSR_LOAD_ADDRESS ((enum vmcs_field)0x200a)
#define RFLAGS_FIXED                UINT64_C(2)

/* SDM Vol. 3C, "VM-Instruction Error Numbers" */
#define ERROR_HOST_STATE 8
/* SDM Vol. 3D, "VMX Basic Exit Reasons" */
#define ENTRY_FAILED            UINT64_C(0x80000000)
#define REASON_INTERRUPT        1
#define REASON_INIT             3
#define REASON_INTERRUPT_WINDOW 7
#define REASON_NMI_WINDOW       8
#define REASON_RDPMC            15
#define REASON_VMCALL           18
#define REASON_GUEST_STATE      (ENTRY_FAILED | 33)
#define REASON_MSR_LOAD         (ENTRY_FAILED | 34)

struct world_exit {
	bool entered;      /* false: the instruction failed, with `error` */
	uint64_t error;    /* VM-instruction error */
	uint64_t reason;   /* as in the VMCS field */
	uint64_t rax, rdx; /* the guest's */
};

struct msr_entry {
	uint32_t index, reserved;
	uint64_t value;
};
_Static_assert(sizeof(struct msr_entry) == 16, "SDM Vol. 3C, \"VM-Entry Controls for MSRs\"");

uint64_t vmread(enum vmcs_field field);
void vmwrite(enum vmcs_field field, uint64_t value);

/* Enters VMX operation. False: this processor has none, or the firmware locked it off. */
bool world_init(void);
/* A new VMCS: no exits beyond the mandatory ones, MSR bitmap and all addresses clear, guest at `code`, IF = 0. */
void world_new(void (*code)(void));
/* Sets bits of a control; what the processor doesn't allow stays clear, so that the caller may ask. */
uint64_t world_control(enum vmcs_field field, uint64_t bits);
/* Whether the processor allows `bits` of it to be 1. */
bool world_allows(enum vmcs_field field, uint64_t bits);
/* One entry and the exit that follows, whatever it is. */
struct world_exit world_run(void);

#endif
