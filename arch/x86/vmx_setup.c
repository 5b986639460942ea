/* Fills the VMCS: controls, host state, and the firmware as the guest. Flat on purpose. */
#include "cpu_area.h"
#include "cpuid.h"
#include "firmware.h"
#include "guest.h"
#include "hv/stop.h"
#include "msr.h"
#include "reg.h"
#include "reset.h"

#define PIN_WANTED   PIN_PREEMPTION_TIMER
#define PROC_WANTED  (PROC_IO_BITMAPS | PROC_MSR_BITMAPS | PROC_SECONDARY)
#define PROC2_WANTED (PROC2_EPT | PROC2_UNRESTRICTED)
/* Without these the guest would get #UD for instructions its CPUID announces. */
#define PROC2_IF_ANY (PROC2_RDTSCP | PROC2_INVPCID | PROC2_XSAVES | PROC2_USER_WAIT | PROC2_VPID)
#define EXIT_WANTED                                                                                                    \
	(EXIT_SAVE_DEBUG | EXIT_HOST_64 | EXIT_LOAD_PERF_GLOBAL_CTRL | EXIT_SAVE_PAT | EXIT_LOAD_PAT |                 \
	 EXIT_SAVE_EFER | EXIT_LOAD_EFER | EXIT_SAVE_PREEMPTION_TIMER)
#define EXIT_IF_ANY  (EXIT_SAVE_PERF_GLOBAL_CTRL | EXIT_CLEAR_LBR_CTL)
#define ENTRY_WANTED (ENTRY_LOAD_DEBUG | ENTRY_IA32E | ENTRY_LOAD_PERF_GLOBAL_CTRL | ENTRY_LOAD_PAT | ENTRY_LOAD_EFER)

#define VPID_GUEST 1

#define ACCESS_CODE_64 0xa09b /* 64-bit, executing, accessed */
#define ACCESS_DATA    0xc093
#define ACCESS_TSS     0x008b /* busy */

extern const uint8_t vmx_exit[];

/* Low half: must be 1; high half: may be 1. The loader has checked what pmuvisor can't do without. */
static uint64_t allowed(uint32_t msr, uint64_t wanted)
{
	uint64_t capability = reg_rdmsr(msr);

	return (wanted | (capability & BITS(31, 0))) & capability >> 32;
}

static void setup_controls(struct vmx_cpu *vmx)
{
	uint64_t exits = allowed(MSR_IA32_VMX_TRUE_EXIT_CTLS, EXIT_WANTED | EXIT_IF_ANY);
	uint64_t entry = allowed(MSR_IA32_VMX_TRUE_ENTRY_CTLS, ENTRY_WANTED | ENTRY_LOAD_LBR_CTL);
	uint64_t proc2 = allowed(MSR_IA32_VMX_PROCBASED_CTLS2, PROC2_WANTED | PROC2_IF_ANY);

	vmx->saves_ctrl = exits & EXIT_SAVE_PERF_GLOBAL_CTRL;
	vmx->pin = allowed(MSR_IA32_VMX_TRUE_PINBASED_CTLS, PIN_WANTED);
	vmx->proc = allowed(MSR_IA32_VMX_TRUE_PROCBASED_CTLS, PROC_WANTED);
	vmcs_write(VMCS_PIN_CONTROLS, vmx->pin);
	vmcs_write(VMCS_PROC_CONTROLS, vmx->proc);
	vmcs_write(VMCS_PROC_CONTROLS2, proc2);
	vmcs_write(VMCS_EXIT_CONTROLS, exits);
	vmcs_write(VMCS_ENTRY_CONTROLS, entry);
	/* VMCLEAR promises no values: whatever an entry looks at is written. "Initializing a VMCS" */
	vmcs_write(VMCS_EXCEPTION_BITMAP, 0);
	vmcs_write(VMCS_PAGE_FAULT_MASK, 0);
	vmcs_write(VMCS_PAGE_FAULT_MATCH, 0);
	vmcs_write(VMCS_CR3_TARGET_COUNT, 0);
	if (proc2 & PROC2_XSAVES) /* fields that only CPUs with the control have */
		vmcs_write(VMCS_XSS_EXITING_BITMAP, 0);
	if (proc2 & PROC2_VPID)
		vmcs_write(VMCS_VPID, VPID_GUEST);
	if (entry & ENTRY_LOAD_LBR_CTL)
		vmcs_write(VMCS_GUEST_LBR_CTL, 0);
	vmx_msr_area_init(&vmx->msrs);
	vmcs_write(VMCS_ENTRY_INTERRUPTION_INFO, 0);
	vmcs_write(VMCS_LINK_POINTER, BITS(63, 0));
}

static void trap_msr(void *bitmap, uint32_t msr, enum msr_trap trap)
{
	vmx_msr_bitmap_set(bitmap, msr, trap);
}

/* The guest must not reach pmuvisor's UART; every other port is its own. */
static void setup_bitmaps(struct cpu *cpu)
{
	struct vmx_cpu *vmx = vmx_of(cpu);
	unsigned port = cpu->boot->config.serial_port;

	guest_msr_traps(&cpu->pmu, true, trap_msr, &vmx->bitmap_open);
	guest_msr_traps(&cpu->pmu, false, trap_msr, &vmx->bitmap_closed);
	if (port)
		vmx->io_bitmap[port / 8] = 0xff; /* eight ports, at a multiple of eight */
	vmcs_write(VMCS_IO_BITMAP_A, hv_pa(vmx->io_bitmap));
	vmcs_write(VMCS_IO_BITMAP_B, hv_pa(vmx->io_bitmap + PAGE_SIZE));
	vmcs_write(VMCS_MSR_BITMAP, hv_pa(&vmx->bitmap_closed));
	vmcs_write(VMCS_EPT_POINTER, vmx->space.map.pool_pa | EPT_POINTER_WB | EPT_POINTER_WALK_4);
}

static void setup_host(struct cpu *cpu)
{
	struct cpu_area *area = cpu_area(cpu);
	uint64_t value;

	asm volatile("mov %%cr0, %0" : "=r"(value));
	vmcs_write(VMCS_HOST_CR0, value);
	asm volatile("mov %%cr3, %0" : "=r"(value));
	vmcs_write(VMCS_HOST_CR3, value);
	asm volatile("mov %%cr4, %0" : "=r"(value));
	vmcs_write(VMCS_HOST_CR4, value);
	vmcs_write(VMCS_HOST_ES_SELECTOR, SELECTOR_DATA);
	vmcs_write(VMCS_HOST_CS_SELECTOR, SELECTOR_CODE);
	vmcs_write(VMCS_HOST_SS_SELECTOR, SELECTOR_DATA);
	vmcs_write(VMCS_HOST_DS_SELECTOR, SELECTOR_DATA);
	vmcs_write(VMCS_HOST_FS_SELECTOR, 0);
	vmcs_write(VMCS_HOST_GS_SELECTOR, 0);
	vmcs_write(VMCS_HOST_TR_SELECTOR, SELECTOR_TSS);
	vmcs_write(VMCS_HOST_FS_BASE, 0);
	vmcs_write(VMCS_HOST_GS_BASE, (uintptr_t)cpu);
	vmcs_write(VMCS_HOST_TR_BASE, (uintptr_t)&area->descriptors.tss);
	vmcs_write(VMCS_HOST_GDTR_BASE, (uintptr_t)area->descriptors.gdt);
	vmcs_write(VMCS_HOST_IDTR_BASE, (uintptr_t)area->descriptors.idt);
	vmcs_write(VMCS_HOST_SYSENTER_CS, 0);
	vmcs_write(VMCS_HOST_SYSENTER_ESP, 0);
	vmcs_write(VMCS_HOST_SYSENTER_EIP, 0);
	vmcs_write(VMCS_HOST_PAT, PAT_POWER_UP);
	vmcs_write(VMCS_HOST_EFER, EFER_LME | EFER_LMA | EFER_NXE);
	vmcs_write(VMCS_HOST_PERF_GLOBAL_CTRL, 0);
	vmcs_write(VMCS_HOST_RSP, (uintptr_t)area->stack + sizeof(area->stack));
	vmcs_write(VMCS_HOST_RIP, (uintptr_t)vmx_exit);
}

static void setup_segment(enum vmcs_segment segment, uint64_t selector, uint64_t base, uint64_t limit, uint64_t access)
{
	vmcs_write(VMCS_GUEST_SELECTOR(segment), selector);
	vmcs_write(VMCS_GUEST_BASE(segment), base);
	vmcs_write(VMCS_GUEST_LIMIT(segment), limit);
	vmcs_write(VMCS_GUEST_ACCESS(segment), access);
}

/* UEFI runs in flat 64-bit segments (UEFI Specification, "x64 Platforms"), so their descriptors need no decoding. */
static void setup_guest_segments(const struct handoff *handoff, const struct firmware *firmware)
{
	const uint16_t *selectors = firmware->selectors;
	bool has_tr = selectors[SEGMENT_TR];

	for (unsigned segment = SEGMENT_ES; segment <= SEGMENT_GS; segment++)
		setup_segment(segment, selectors[segment], 0, BITS(31, 0), ACCESS_DATA);
	setup_segment(SEGMENT_CS, selectors[SEGMENT_CS], 0, BITS(31, 0), ACCESS_CODE_64);
	vmcs_write(VMCS_GUEST_BASE(SEGMENT_FS), firmware->fs_base);
	vmcs_write(VMCS_GUEST_BASE(SEGMENT_GS), firmware->gs_base);
	setup_segment(SEGMENT_LDTR, 0, 0, 0, SEGMENT_UNUSABLE);
	/* VMX wants a task segment even where the firmware has loaded none. */
	setup_segment(SEGMENT_TR, selectors[SEGMENT_TR], has_tr ? handoff->fw_tr_base : 0,
		      has_tr ? handoff->fw_tr_limit : sizeof(struct tss) - 1,
		      has_tr ? handoff->fw_tr_access : ACCESS_TSS);
	vmcs_write(VMCS_GUEST_GDTR_BASE, firmware->gdt.base);
	vmcs_write(VMCS_GUEST_GDTR_LIMIT, firmware->gdt.limit);
	vmcs_write(VMCS_GUEST_IDTR_BASE, firmware->idt.base);
	vmcs_write(VMCS_GUEST_IDTR_LIMIT, firmware->idt.limit);
}

static void setup_guest_control_registers(const struct handoff *handoff, const struct firmware *firmware)
{
	/* "Restrictions on Guest Control Registers": an unrestricted guest may clear PE and PG all the same. */
	uint64_t cr0_forced = reg_rdmsr(MSR_IA32_VMX_CR0_FIXED0) & ~(CR0_PE | CR0_PG);
	uint64_t cr4_forced = reg_rdmsr(MSR_IA32_VMX_CR4_FIXED0);

	vmcs_write(VMCS_GUEST_CR0, firmware->cr0 | cr0_forced);
	vmcs_write(VMCS_CR0_MASK, cr0_forced);
	vmcs_write(VMCS_CR0_SHADOW, firmware->cr0);
	vmcs_write(VMCS_GUEST_CR3, handoff->fw_cr3);
	vmcs_write(VMCS_GUEST_CR4, firmware->cr4 | cr4_forced);
	vmcs_write(VMCS_CR4_MASK, cr4_forced | CR4_VMXE | CR4_SMXE);
	vmcs_write(VMCS_CR4_SHADOW, firmware->cr4);
}

static void setup_guest(const struct handoff *handoff, const struct firmware *firmware)
{
	setup_guest_segments(handoff, firmware);
	setup_guest_control_registers(handoff, firmware);
	vmcs_write(VMCS_GUEST_EFER, firmware->efer);
	vmcs_write(VMCS_GUEST_PAT, firmware->pat);
	vmcs_write(VMCS_GUEST_DEBUGCTL, 0);
	vmcs_write(VMCS_GUEST_PERF_GLOBAL_CTRL, 0);
	vmcs_write(VMCS_GUEST_DR7, DR7_RESET);
	vmcs_write(VMCS_GUEST_RSP, handoff->fw_rsp);
	vmcs_write(VMCS_GUEST_RIP, handoff->fw_rip);
	vmcs_write(VMCS_GUEST_RFLAGS, handoff->fw_rflags);
	vmcs_write(VMCS_GUEST_SYSENTER_CS, reg_rdmsr(MSR_IA32_SYSENTER_CS));
	vmcs_write(VMCS_GUEST_SYSENTER_ESP, reg_rdmsr(MSR_IA32_SYSENTER_ESP));
	vmcs_write(VMCS_GUEST_SYSENTER_EIP, reg_rdmsr(MSR_IA32_SYSENTER_EIP));
	vmcs_write(VMCS_GUEST_INTERRUPTIBILITY, 0);
	vmcs_write(VMCS_GUEST_ACTIVITY, ACTIVITY_ACTIVE);
	vmcs_write(VMCS_GUEST_PENDING_DEBUG, 0);
}

void vmx_setup(struct cpu *cpu, const struct handoff *handoff, const struct firmware *firmware)
{
	setup_controls(vmx_of(cpu));
	setup_bitmaps(cpu);
	setup_host(cpu);
	setup_guest(handoff, firmware);
}
