#include "loader.h"

#include "arch/x86/msr.h"
#include "arch/x86/reg.h"

/* Bare firmware leaves the register open; VMXON wants it locked. Only a reset undoes this. */
static void unlock_vmx(void)
{
	uint64_t control = reg_rdmsr(MSR_IA32_FEATURE_CONTROL);

	if (!(control & FEATURE_CONTROL_LOCK))
		reg_wrmsr(MSR_IA32_FEATURE_CONTROL, control | FEATURE_CONTROL_VMX | FEATURE_CONTROL_LOCK);
}

EFI_STATUS resident_start(struct loader *loader)
{
	uint64_t efer = reg_rdmsr(MSR_IA32_EFER);
	int64_t result;

	unlock_vmx();
	/* The resident's page tables use the no-execute bit, which is reserved while NXE is off. */
	reg_wrmsr(MSR_IA32_EFER, efer | EFER_NXE);
	result = boot_enter(loader->handoff);
	reg_wrmsr(MSR_IA32_EFER, efer);
	if (!result)
		return EFI_SUCCESS;
	CopyMem(loader->error, loader->handoff->why, sizeof(loader->error));
	return EFI_UNSUPPORTED;
}
