/* Exits that are rare and that only SVM code can answer. */
#include "svm.h"
#include "apic.h"
#include "guest.h"
#include "msr.h"
#include "platform.h"
#include "reg.h"
#include "reset.h"

#define MSR_WRITE 1 /* exit_info1 */

static void flush(struct svm_cpu *svm)
{
	svm->vmcb.tlb_control = svm->flush;
}

void svm_remap(struct cpu *cpu)
{
	struct svm_cpu *svm = svm_of(cpu);

	if (!guest_space_follow(cpu, &svm->space))
		return;
	svm->apic_page = APIC_OPEN; /* the gate traps it again */
	cpu->pmu.gate.dirty = true;
	flush(svm);
}

void svm_show_apic(struct cpu *cpu, enum svm_apic how)
{
	struct svm_cpu *svm = svm_of(cpu);

	svm->apic_page = how;
	if (how == APIC_LENT)
		guest_space_lend(cpu, &svm->space, APIC_ICR, apic_read(APIC_ICR));
	else
		guest_space_trap_apic(cpu, &svm->space, how == APIC_TRAPPED);
	flush(svm);
}

/* An NMI whose delivery was interrupted is still blocking others: nothing has to be undone for it. */
void svm_restore_event(struct svm_cpu *svm)
{
	if (svm->vmcb.exit_int_info & EVENT_VALID)
		svm->vmcb.event = svm->vmcb.exit_int_info;
}

static enum verdict hidden_memory(struct cpu *cpu, const struct vm_exit *exit)
{
	if (!guest_space_touch_hidden(&svm_of(cpu)->space, exit->address))
		return STOP;
	flush(svm_of(cpu)); /* the page may have been one to read */
	cpu->counts.hidden_touches++;
	return RESUME;
}

/* Which other bits this CPU has, it knows best: the value is tried in root mode, with what root mode needs. */
static bool is_efer(uint64_t value)
{
	uint64_t host = reg_rdmsr(MSR_IA32_EFER);
	bool accepted = reg_wrmsr_safe(MSR_IA32_EFER, value | host);

	reg_wrmsr(MSR_IA32_EFER, host);
	return accepted;
}

/* APM Vol. 2, "Extended Feature Enable Register": LME can't change under paging, and LMA is read-only. */
static enum verdict write_efer(struct svm_cpu *svm, uint64_t value)
{
	uint64_t before = svm->vmcb.efer;

	if (value & EFER_SVME || !is_efer(value))
		return INJECT_GP;
	if ((value ^ before) & EFER_LME && svm->vmcb.cr0 & CR0_PG)
		return INJECT_GP;
	svm->vmcb.efer = (value & ~EFER_LMA) | (before & EFER_LMA) | EFER_SVME;
	vmcb_dirty(svm, CLEAN_CR);
	return ADVANCE;
}

/* SVM needs a bit in it that the guest must not see. */
static enum verdict access_efer(struct cpu *cpu, uint64_t write)
{
	uint64_t value = (cpu->guest.rdx & BITS(31, 0)) << 32 | (uint32_t)cpu->guest.rax;

	if (write & MSR_WRITE)
		return write_efer(svm_of(cpu), value);
	value = cpu->ops->read(cpu, GUEST_EFER);
	cpu->guest.rax = (uint32_t)value;
	cpu->guest.rdx = value >> 32;
	return ADVANCE;
}

static struct vmcb_segment segment(struct reset_segment from)
{
	return (struct vmcb_segment){ from.selector, from.access, from.limit, from.base };
}

static void reset_segments(struct vmcb *vmcb)
{
	vmcb->es = vmcb->ss = vmcb->ds = vmcb->fs = vmcb->gs = segment(reset_state.data);
	vmcb->cs = segment(reset_state.code);
	vmcb->ldtr = segment(reset_state.ldtr);
	vmcb->tr = segment(reset_state.tr);
	vmcb->gdtr = vmcb->idtr = segment(reset_state.table);
}

static void reset_vmcb(struct vmcb *vmcb)
{
	reset_segments(vmcb);
	vmcb->cpl = 0;
	vmcb->cr0 = reset_cr0(vmcb->cr0);
	vmcb->cr2 = vmcb->cr3 = vmcb->cr4 = 0;
	vmcb->efer = EFER_SVME;
	vmcb->dr6 = reset_state.dr6;
	vmcb->dr7 = reset_state.dr7;
	vmcb->rip = reset_state.rip;
	vmcb->rsp = 0;
	vmcb->rflags = reset_state.rflags;
	vmcb->interrupt_shadow = 0;
	vmcb->event = 0;
}

/* The boot processor starts over at the reset vector; the others wait for a SIPI. */
static enum verdict init_signal(struct cpu *cpu)
{
	struct svm_cpu *svm = svm_of(cpu);
	uint32_t vector;

	if (platform_knows_loader(cpu))
		svm_leave_by_init(cpu);
	svm_nmi_reset(svm);
	pmu_reset(cpu); /* first, so that an NMI which comes behind the INIT is kept */
	reset_registers(cpu);
	reset_vmcb(&svm->vmcb);
	svm->stepping = svm->stepping_iret = false;
	svm->vmcb.intercept_exceptions = 0;
	svm_apic_forget(cpu);
	vmcb_dirty(svm, CLEAN_ALL);
	apic_reset();
	flush(svm);
	if (reg_rdmsr(MSR_IA32_APIC_BASE) & APIC_BASE_BSP) {
		svm_started(svm);
		return RESUME;
	}
	vector = svm_wait_for_sipi(cpu);
	svm->vmcb.cs = segment(startup_code(vector));
	svm->vmcb.rip = STARTUP_RIP;
	return RESUME;
}

enum verdict svm_handle(struct cpu *cpu, const struct vm_exit *exit)
{
	switch ((unsigned)exit->reason) {
	case EXIT_CONTROL_REGISTER: return access_efer(cpu, exit->detail);
	case EXIT_HIDDEN_MEMORY: return hidden_memory(cpu, exit);
	case EXIT_INIT: return init_signal(cpu);
	case EXIT_SIPI: return svm_write_icr(cpu);
	default: return STOP;
	}
}
