/* Intel VMX: what one CPU needs for it, and the VMCS access that vmx*.c share. SDM Vol. 3C. */
#ifndef ARCH_X86_VMX_H
#define ARCH_X86_VMX_H

#include <stdbool.h>

#include "guest_space.h"
#include "firmware.h"
#include "hv/cpu.h"
#include "msr_bitmap.h"
#include "vmcs.h"
#include "vmx_msr_area.h"

struct vmx_region { /* "Format of the VMCS Region" */
	uint32_t revision;
	uint32_t abort;
	uint8_t data[PAGE_SIZE - 8];
};
_Static_assert(sizeof(struct vmx_region) == PAGE_SIZE, "one page is the most a CPU may ask for");

/* Page aligned; zero at first. */
struct vmx_cpu {
	struct vmx_region vmxon, vmcs;
	struct vmx_msr_bitmap bitmap_open, bitmap_closed;
	uint8_t io_bitmap[2 * PAGE_SIZE];
	struct guest_space space;
	struct vmx_msr_area msrs;
	uint64_t pin, proc;             /* the controls as last written */
	uint64_t guest_ctrl, host_ctrl; /* PERF_GLOBAL_CTRL as last written */
	uint64_t freeze;                /* DEBUGCTL's freeze bits as last written, as PMU_STATUS_*_FROZEN */
	bool records;                   /* whether the LBRs record for the host, as last written */
	bool open, apic_trapped;        /* the traps as last set */
	bool more_at_exit;              /* the next exit switches PEBS_ENABLE or LBRs: one look for both */
	bool pebs_active;               /* PEBS_ENABLE is in the MSR lists, and is not trapped while open */
	bool saves_ctrl;                /* the exit control that saves PERF_GLOBAL_CTRL exists: no MSR list needed */
	unsigned timer_shift;           /* VMX-preemption timer: TSC ticks >> this */
};

static inline struct vmx_cpu *vmx_of(const struct cpu *cpu)
{
	return (struct vmx_cpu *)cpu->vendor;
}

_Noreturn void vmx_access_failed(const char *what, enum vmcs_field field);

/* A VMREAD or VMWRITE that fails is a bug of ours: it stops here, and no caller has an error path. */
static inline uint64_t vmcs_read(enum vmcs_field field)
{
	uint64_t value;
	bool failed;

	asm volatile("vmread %[field], %[value]"
		     : "=@ccbe"(failed), [value] "=r"(value)
		     : [field] "r"((uint64_t)field));
	if (__builtin_expect(failed, 0))
		vmx_access_failed("VMREAD", field);
	return value;
}

static inline void vmcs_write(enum vmcs_field field, uint64_t value)
{
	bool failed;

	asm volatile("vmwrite %[value], %[field]"
		     : "=@ccbe"(failed)
		     : [field] "r"((uint64_t)field), [value] "r"(value));
	if (__builtin_expect(failed, 0))
		vmx_access_failed("VMWRITE", field);
}

/* vmx_setup.c: fills the VMCS with this CPU's controls, host state, and the firmware's state as the guest's. */
void vmx_setup(struct cpu *cpu, const struct handoff *handoff, const struct firmware *firmware);

/* vmx_start.c: VMXON and a VMCS of this CPU's own. */
int vmx_cpu_init(struct cpu *cpu, struct handoff *handoff);
void vmx_cpu_leave(struct cpu *cpu);

/* vmx_event.c: exits that only VMX code can answer. */
enum verdict vmx_handle(struct cpu *cpu, const struct vm_exit *exit);
void vmx_remap(struct cpu *cpu);
/* Forgets the translations of this map, also those of an earlier user of VMX. */
void vmx_flush_ept(struct cpu *cpu);
void vmx_trap_apic(struct cpu *cpu, bool trapped);
/* An EPT violation in the middle of delivering an event, or of an IRET: the event and the blocking are put back. */
void vmx_restore_event(uint64_t qualification);

/* vmx_entry.asm: enters the guest for the first time and after each exit, with these calls in between. */
_Noreturn void vmx_enter(struct cpu *cpu);
void vmx_exited(struct cpu *cpu, bool entered);
_Noreturn void vmx_entry_failed(struct cpu *cpu);

#endif
