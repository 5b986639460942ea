/* Puts this CPU into VMX operation with a VMCS of its own. */
#include "cpu_area.h"
#include "cpuid.h"
#include "firmware.h"
#include "guest.h"
#include "hv/sentence.h"
#include "msr.h"
#include "reg.h"

static bool vmxon(uint64_t pa)
{
	bool failed;

	asm volatile("vmxon %[pa]" : "=@ccbe"(failed) : [pa] "m"(pa) : "memory");
	return !failed;
}

static bool vmclear(uint64_t pa)
{
	bool failed;

	asm volatile("vmclear %[pa]" : "=@ccbe"(failed) : [pa] "m"(pa) : "memory");
	return !failed;
}

static bool vmptrld(uint64_t pa)
{
	bool failed;

	asm volatile("vmptrld %[pa]" : "=@ccbe"(failed) : [pa] "m"(pa) : "memory");
	return !failed;
}

#define REFUSE(handoff, text) (sentence((handoff)->why, sizeof((handoff)->why), text), -1)

/*
 * CR4 is built anew: what the firmware has on (CET, say, or LASS) would bind root mode too. OSXSAVE for XSETBV, MCE
 * so that a machine check is a trap, and what VMX operation forces.
 */
static void set_control_registers(const struct firmware *firmware)
{
	uint64_t cr0 = (firmware->cr0 | reg_rdmsr(MSR_IA32_VMX_CR0_FIXED0)) & reg_rdmsr(MSR_IA32_VMX_CR0_FIXED1);
	uint64_t cr4 = (CR4_PAE | CR4_MCE | CR4_OSXSAVE | reg_rdmsr(MSR_IA32_VMX_CR4_FIXED0)) &
		       reg_rdmsr(MSR_IA32_VMX_CR4_FIXED1);

	asm volatile("mov %0, %%cr0" : : "r"(cr0 | CR0_WP));
	asm volatile("mov %0, %%cr4" : : "r"(cr4));
}

static void init_regions(struct vmx_cpu *vmx)
{
	uint32_t revision = (uint32_t)(reg_rdmsr(MSR_IA32_VMX_BASIC) & VMX_BASIC_REVISION);

	vmx->vmxon.revision = revision;
	vmx->vmcs.revision = revision;
	vmx->timer_shift = (unsigned)(reg_rdmsr(MSR_IA32_VMX_MISC) & VMX_MISC_TIMER_RATE);
}

int vmx_cpu_init(struct cpu *cpu, struct handoff *handoff)
{
	struct vmx_cpu *vmx = vmx_of(cpu);
	const struct firmware *firmware = &cpu_area(cpu)->firmware;

	init_regions(vmx);
	if (guest_space_init(cpu, &vmx->space, EPT_MEMTYPE, handoff))
		return -1;
	set_control_registers(firmware);
	if (!vmxon(hv_pa(&vmx->vmxon)))
		return REFUSE(handoff, "VMXON failed although the processor and the firmware allow VMX.");
	if (!vmclear(hv_pa(&vmx->vmcs)) || !vmptrld(hv_pa(&vmx->vmcs))) {
		asm volatile("vmxoff");
		return REFUSE(handoff, "the processor did not take pmuvisor's VMCS.");
	}
	vmx_flush_ept(cpu);
	vmx_setup(cpu, handoff, firmware);
	return 0;
}

/* What exits load for root mode, or clear, becomes the guest's again; firmware_return() does the rest. */
void vmx_cpu_leave(struct cpu *cpu)
{
	struct firmware *firmware = &cpu_area(cpu)->firmware;

	firmware->cr0 = cpu->ops->read(cpu, GUEST_CR0);
	firmware->cr4 = cpu->ops->read(cpu, GUEST_CR4);
	firmware->gs_base = vmcs_read(VMCS_GUEST_BASE(SEGMENT_GS));
	reg_wrmsr(MSR_IA32_FS_BASE, vmcs_read(VMCS_GUEST_BASE(SEGMENT_FS)));
	reg_wrmsr(MSR_IA32_PAT, vmcs_read(VMCS_GUEST_PAT));
	reg_wrmsr(MSR_IA32_DEBUGCTL, vmcs_read(VMCS_GUEST_DEBUGCTL));
	reg_wrmsr(MSR_IA32_SYSENTER_CS, vmcs_read(VMCS_GUEST_SYSENTER_CS));
	reg_wrmsr(MSR_IA32_SYSENTER_ESP, vmcs_read(VMCS_GUEST_SYSENTER_ESP));
	reg_wrmsr(MSR_IA32_SYSENTER_EIP, vmcs_read(VMCS_GUEST_SYSENTER_EIP));
	asm volatile("vmxoff");
}
