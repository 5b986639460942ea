/* Exits that are rare and that only VMX code can answer. */
#include "apic.h"
#include "cpuid.h"
#include "guest.h"
#include "msr.h"
#include "reg.h"
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

static void set_real_mode_segment(enum vmcs_segment segment, uint64_t selector, uint64_t base, uint64_t access)
{
	vmcs_write(VMCS_GUEST_SELECTOR(segment), selector);
	vmcs_write(VMCS_GUEST_BASE(segment), base);
	vmcs_write(VMCS_GUEST_LIMIT(segment), 0xffff);
	vmcs_write(VMCS_GUEST_ACCESS(segment), access);
}

/* SDM Vol. 3A, "Processor State After Reset": the column for INIT. Memory, MSRs, the FPU and CR0.CD/NW stay. */
static void reset_segments(void)
{
	for (unsigned segment = SEGMENT_ES; segment <= SEGMENT_GS; segment++)
		set_real_mode_segment(segment, 0, 0, REAL_MODE_DATA);
	set_real_mode_segment(SEGMENT_CS, 0xf000, 0xffff0000, REAL_MODE_CODE);
	set_real_mode_segment(SEGMENT_LDTR, 0, 0, REAL_MODE_LDT);
	set_real_mode_segment(SEGMENT_TR, 0, 0, REAL_MODE_TSS);
	vmcs_write(VMCS_GUEST_GDTR_BASE, 0);
	vmcs_write(VMCS_GUEST_GDTR_LIMIT, 0xffff);
	vmcs_write(VMCS_GUEST_IDTR_BASE, 0);
	vmcs_write(VMCS_GUEST_IDTR_LIMIT, 0xffff);
}

static void reset_registers(struct cpu *cpu)
{
	uint64_t forced0 = vmcs_read(VMCS_CR0_MASK), forced4 = reg_rdmsr(MSR_IA32_VMX_CR4_FIXED0);
	uint32_t regs[4];

	reg_cpuid(CPUID_FEATURES, 0, regs);
	cpu->guest = (struct regs){ .rdx = regs[0] };
	vmcs_write(VMCS_GUEST_CR0, 0x10 | forced0);
	vmcs_write(VMCS_CR0_SHADOW, 0x10);
	vmcs_write(VMCS_GUEST_CR3, 0);
	vmcs_write(VMCS_GUEST_CR4, forced4);
	vmcs_write(VMCS_CR4_SHADOW, 0);
	vmcs_write(VMCS_GUEST_EFER, 0);
	vmcs_write(VMCS_ENTRY_CONTROLS, vmcs_read(VMCS_ENTRY_CONTROLS) & ~ENTRY_IA32E);
	vmcs_write(VMCS_GUEST_DR7, 0x400);
	vmcs_write(VMCS_GUEST_RIP, 0xfff0);
	vmcs_write(VMCS_GUEST_RSP, 0);
	vmcs_write(VMCS_GUEST_RFLAGS, 2);
	vmcs_write(VMCS_GUEST_INTERRUPTIBILITY, 0);
	vmcs_write(VMCS_GUEST_PENDING_DEBUG, 0);
}

/* Those that are in no VMCS. */
static void reset_debug_registers(void)
{
	const uint64_t zero = 0, dr6 = 0xffff0ff0;

	asm volatile("mov %0, %%cr2; mov %0, %%dr0; mov %0, %%dr1; mov %0, %%dr2; mov %0, %%dr3" : : "r"(zero));
	asm volatile("mov %0, %%dr6" : : "r"(dr6));
}

/*
 * While no NMI exits, one that came in the guest's handler of another waits in the hardware, blocked until an IRET. INIT
 * forgets it, and pmu_reset() does so if it comes here.
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
	reset_segments();
	reset_registers(cpu);
	reset_debug_registers();
	vmcs_write(VMCS_GUEST_ACTIVITY, boot_processor ? ACTIVITY_ACTIVE : ACTIVITY_WAIT_SIPI);
	apic_reset();
	vmx_flush_ept(cpu); /* the TLB is emptied; entries of a VPID outlive the paging they came from */
	return RESUME;
}

static enum verdict startup_ipi(uint64_t vector)
{
	set_real_mode_segment(SEGMENT_CS, vector << 8, vector << 12, REAL_MODE_CODE);
	vmcs_write(VMCS_GUEST_RIP, 0);
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
