/* Exits that are rare and that only VMX code can answer. */
#include "apic.h"
#include "guest.h"
#include "msr.h"
#include "reg.h"
#include "reset.h"
#include "vmx.h"

/* "Exit Qualification for Control-Register Accesses" */
#define CR_NUMBER BITS(3, 0)

void vmx_flush_ept(struct cpu *cpu)
{
	const uint64_t single_context = 1, pool_pa = vmx_of(cpu)->space.map.pool_pa;
	uint64_t descriptor[2] = { pool_pa | EPT_POINTER_WB | EPT_POINTER_WALK_4, 0 };

	asm volatile("invept %0, %1" : : "m"(descriptor), "r"(single_context) : "memory");
}

void vmx_remap(struct cpu *cpu)
{
	struct vmx_cpu *vmx = vmx_of(cpu);

	if (!guest_space_follow(cpu, &vmx->space))
		return;
	vmx->apic_trapped = false; /* the gate traps it again */
	cpu->pmu.gate.dirty = true;
	vmx_flush_ept(cpu);
}

void vmx_trap_apic(struct cpu *cpu, bool trapped)
{
	vmx_of(cpu)->apic_trapped = trapped;
	guest_space_trap_apic(cpu, &vmx_of(cpu)->space, trapped);
	vmx_flush_ept(cpu);
}

/*
 * The only bits that exit are those VMX forces and those that are hidden. In CR0 it is NE: the guest's own idea of it
 * lives in the read shadow, and with that corrected the instruction runs again without an exit, so the CPU does (and
 * counts) all the rest. In CR4 the guest asks for what its CPUID denies.
 */
static enum verdict control_register(uint64_t qualification)
{
	if (qualification & CR_NUMBER)
		return INJECT_GP;
	vmcs_write(VMCS_CR0_SHADOW, vmcs_read(VMCS_CR0_SHADOW) ^ CR0_NE);
	return RESUME;
}

/* "Information for VM Exits During Event Delivery" */
static void redeliver(void)
{
	uint64_t info = vmcs_read(VMCS_IDT_VECTORING_INFO);
	uint64_t blocking;

	if (!(info & INTERRUPTION_VALID))
		return;
	if ((info & INTERRUPTION_TYPE) == INTERRUPTION_NMI) {
		blocking = vmcs_read(VMCS_GUEST_INTERRUPTIBILITY);
		vmcs_write(VMCS_GUEST_INTERRUPTIBILITY, blocking & ~BLOCKING_BY_NMI);
	}
	vmcs_write(VMCS_ENTRY_ERROR_CODE, vmcs_read(VMCS_IDT_VECTORING_ERROR));
	vmcs_write(VMCS_ENTRY_INSTRUCTION_LENGTH, vmcs_read(VMCS_EXIT_INSTRUCTION_LENGTH));
	vmcs_write(VMCS_ENTRY_INTERRUPTION_INFO, info & ~BIT(12)); /* undefined there, reserved here */
}

/* A PEBS record belongs to no instruction and no event: whatever its exit came after is complete. */
void vmx_restore_event(uint64_t qualification)
{
	bool delivering = vmcs_read(VMCS_IDT_VECTORING_INFO) & INTERRUPTION_VALID;

	if (qualification & EPT_VIOLATION_ASYNCHRONOUS)
		return;
	if (!delivering && qualification & EPT_VIOLATION_NMI_UNBLOCKED) /* undefined during delivery */
		vmcs_write(VMCS_GUEST_INTERRUPTIBILITY, vmcs_read(VMCS_GUEST_INTERRUPTIBILITY) | BLOCKING_BY_NMI);
	redeliver();
}

/* A PEBS record goes to the page of ones too, when the processor tries it again after the entry. */
static enum verdict hidden_memory(struct cpu *cpu, const struct vm_exit *exit)
{
	if (!guest_space_touch_hidden(&vmx_of(cpu)->space, exit->address))
		return STOP;
	if (exit->detail & EPT_VIOLATION_ASYNCHRONOUS)
		cpu->pmu.pebs.stats.hidden_records++;
	else
		cpu->counts.hidden_touches++;
	return RESUME;
}

static void set_segment(enum vmcs_segment segment, struct reset_segment from)
{
	vmcs_write(VMCS_GUEST_SELECTOR(segment), from.selector);
	vmcs_write(VMCS_GUEST_BASE(segment), from.base);
	vmcs_write(VMCS_GUEST_LIMIT(segment), from.limit);
	vmcs_write(VMCS_GUEST_ACCESS(segment), from.access);
}

static void reset_segments(void)
{
	for (unsigned segment = SEGMENT_ES; segment <= SEGMENT_GS; segment++)
		set_segment(segment, reset_state.data);
	set_segment(SEGMENT_CS, reset_state.code);
	set_segment(SEGMENT_LDTR, reset_state.ldtr);
	set_segment(SEGMENT_TR, reset_state.tr);
	vmcs_write(VMCS_GUEST_GDTR_BASE, reset_state.table.base);
	vmcs_write(VMCS_GUEST_GDTR_LIMIT, reset_state.table.limit);
	vmcs_write(VMCS_GUEST_IDTR_BASE, reset_state.table.base);
	vmcs_write(VMCS_GUEST_IDTR_LIMIT, reset_state.table.limit);
}

static void reset_vmcs(void)
{
	uint64_t cr0 = reset_cr0(vmcs_read(VMCS_GUEST_CR0));

	reset_segments();
	vmcs_write(VMCS_GUEST_CR0, cr0 | vmcs_read(VMCS_CR0_MASK));
	vmcs_write(VMCS_CR0_SHADOW, cr0);
	vmcs_write(VMCS_GUEST_CR3, 0);
	vmcs_write(VMCS_GUEST_CR4, reg_rdmsr(MSR_IA32_VMX_CR4_FIXED0));
	vmcs_write(VMCS_CR4_SHADOW, 0);
	vmcs_write(VMCS_GUEST_EFER, 0);
	vmcs_write(VMCS_ENTRY_CONTROLS, vmcs_read(VMCS_ENTRY_CONTROLS) & ~ENTRY_IA32E);
	vmcs_write(VMCS_GUEST_DR7, reset_state.dr7);
	vmcs_write(VMCS_GUEST_RIP, reset_state.rip);
	vmcs_write(VMCS_GUEST_RSP, 0);
	vmcs_write(VMCS_GUEST_RFLAGS, reset_state.rflags);
	vmcs_write(VMCS_GUEST_INTERRUPTIBILITY, 0);
	vmcs_write(VMCS_GUEST_PENDING_DEBUG, 0);
}

/* Those that SVM has in its structure, and VMX in none. */
static void reset_cr2_and_dr6(void)
{
	asm volatile("mov %0, %%cr2; mov %1, %%dr6" : : "r"(UINT64_C(0)), "r"(reset_state.dr6));
}

/*
 * While no NMI exits, one that came in the guest's handler of another waits in the hardware, blocked until an IRET.
 * INIT forgets it, and pmu_reset() does so if it comes here.
 */
static void let_nmi_in(void)
{
	uint64_t scratch;

	asm volatile("mov %%rsp, %0\n\t"
		     "push %1\n\t"
		     "push %0\n\t"
		     "pushfq\n\t"
		     "push %2\n\t"
		     "lea 1f(%%rip), %0\n\t"
		     "push %0\n\t"
		     "iretq\n"
		     "1:"
		     : "=&r"(scratch)
		     : "i"(SELECTOR_DATA), "i"(SELECTOR_CODE)
		     : "memory", "cc");
}

/*
 * The boot processor starts over at the reset vector; the others wait for a SIPI. SDM Vol. 3A, "MP Initialization". The
 * hardware has done nothing of it ("INIT signals cause VM exits"), and a SIPI that comes before the entry is lost: so
 * nothing here takes long.
 */
static enum verdict init_signal(struct cpu *cpu)
{
	bool boot_processor = reg_rdmsr(MSR_IA32_APIC_BASE) & APIC_BASE_BSP;

	let_nmi_in();
	pmu_reset(cpu); /* first, so that an NMI which comes behind the INIT is kept */
	reset_registers(cpu);
	reset_vmcs();
	reset_cr2_and_dr6();
	vmcs_write(VMCS_GUEST_ACTIVITY, boot_processor ? ACTIVITY_ACTIVE : ACTIVITY_WAIT_SIPI);
	apic_reset();
	vmx_flush_ept(cpu); /* the TLB is emptied; entries of a VPID outlive the paging they came from */
	return RESUME;
}

static enum verdict startup_ipi(uint64_t vector)
{
	set_segment(SEGMENT_CS, startup_code(vector));
	vmcs_write(VMCS_GUEST_RIP, STARTUP_RIP);
	vmcs_write(VMCS_GUEST_ACTIVITY, ACTIVITY_ACTIVE);
	return RESUME;
}

enum verdict vmx_handle(struct cpu *cpu, const struct vm_exit *exit)
{
	switch ((unsigned)exit->reason) {
	case EXIT_CONTROL_REGISTER: return control_register(exit->detail);
	case EXIT_HIDDEN_MEMORY: return hidden_memory(cpu, exit);
	case EXIT_INIT: return init_signal(cpu);
	case EXIT_SIPI: return startup_ipi(exit->detail & 0xff);
	default: return STOP;
	}
}
