/* Switches SVM on for this CPU, and off. */
#include "cpu_area.h"
#include "cpuid.h"
#include "guest.h"
#include "msr.h"
#include "reg.h"
#include "svm.h"

/* FS, GS, LDTR, TR and the MSRs of SYSCALL and SYSENTER. */
static void vmsave(uint64_t pa)
{
	asm volatile("vmsave %0" : : "a"(pa) : "memory");
}

static void vmload(uint64_t pa)
{
	asm volatile("vmload %0" : : "a"(pa) : "memory");
}

/* CR4 is built anew, as in VMX: what the firmware has on would bind root mode too. */
static void set_control_registers(const struct firmware *firmware)
{
	asm volatile("mov %0, %%cr0" : : "r"(firmware->cr0 | CR0_WP));
	asm volatile("mov %0, %%cr4" : : "r"(CR4_PAE | CR4_MCE | CR4_OSXSAVE));
	reg_wrmsr(MSR_IA32_EFER, reg_rdmsr(MSR_IA32_EFER) | EFER_SVME);
}

static void ident(struct svm_cpu *svm)
{
	uint32_t regs[4];

	reg_cpuid(CPUID_SVM, 0, regs);
	svm->next_rip = regs[3] & CPUID_SVM_EDX_NEXT_RIP;
	svm->lbr = regs[3] & CPUID_SVM_EDX_LBR;
	svm->vnmi = regs[3] & CPUID_SVM_EDX_VNMI;
	svm->flush = regs[3] & CPUID_SVM_EDX_FLUSH_ASID ? TLB_FLUSH_ASID : TLB_FLUSH_ALL;
}

/* The guest has none, so it couldn't stop what the firmware has started. */
static void stop_ibs(void)
{
	uint32_t regs[4];

	reg_cpuid(CPUID_EXTENDED, 0, regs);
	if (!(regs[2] & CPUID_EXTENDED_ECX_IBS))
		return;
	reg_wrmsr(MSR_AMD_IBS_FETCH_CTL, 0);
	reg_wrmsr(MSR_AMD_IBS_OP_CTL, 0);
}

int svm_cpu_init(struct cpu *cpu, struct handoff *handoff)
{
	struct svm_cpu *svm = svm_of(cpu);
	const struct firmware *firmware = &cpu_area(cpu)->firmware;

	if (guest_space_init(cpu, &svm->space, 0, handoff))
		return -1;
	ident(svm);
	stop_ibs();
	set_control_registers(firmware);
	reg_wrmsr(MSR_IA32_PAT, PAT_POWER_UP); /* nested page tables have their types from it */
	reg_wrmsr(MSR_AMD_VM_HSAVE_PA, hv_pa(svm->host_save));
	reg_wrmsr(MSR_AMD_VM_CR, reg_rdmsr(MSR_AMD_VM_CR) | VM_CR_INIT_REDIRECTION);
	svm->init_redirected = reg_rdmsr(MSR_AMD_VM_CR) & VM_CR_INIT_REDIRECTION;
	vmsave(hv_pa(&svm->host));
	svm_set_timer(cpu, 0);
	svm_setup(cpu, handoff, firmware);
	svm_startup_init(cpu);
	return 0;
}

/* What exits load for root mode becomes the guest's again; firmware_return() does the rest. */
void svm_cpu_leave(struct cpu *cpu)
{
	struct firmware *firmware = &cpu_area(cpu)->firmware;
	struct svm_cpu *svm = svm_of(cpu);
	struct vmcb_segment gs = svm->vmcb.gs;

	firmware->cr0 = svm->vmcb.cr0;
	firmware->cr4 = svm->vmcb.cr4;
	firmware->gs_base = gs.base;
	/* Until the return this CPU is still at GS:0, and has its own task. */
	svm->vmcb.gs = svm->host.gs;
	svm->vmcb.tr = svm->host.tr;
	vmload(hv_pa(&svm->vmcb));
	reg_wrmsr(MSR_IA32_PAT, svm->vmcb.pat);
	if (svm->lbr)
		reg_wrmsr(MSR_IA32_DEBUGCTL, svm->vmcb.debugctl);
	if (cpu->pmu.lbr.guests)
		reg_wrmsr(MSR_AMD_DBG_EXTN_CFG, svm->vmcb.debug_extension);
	reg_wrmsr(MSR_AMD_VM_CR, reg_rdmsr(MSR_AMD_VM_CR) & ~VM_CR_INIT_REDIRECTION);
	reg_wrmsr(MSR_IA32_EFER, reg_rdmsr(MSR_IA32_EFER) & ~EFER_SVME);
}
