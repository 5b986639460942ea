#include "loader.h"

#include "arch/x86/descriptor.h"
#include "arch/x86/msr.h"
#include "arch/x86/reg.h"

#define DESCRIPTOR_IN_PAGES BIT(55)
#define DESCRIPTOR_ACCESS   UINT64_C(0xf0ff) /* of its bits from 40 */

/* Bare firmware leaves the register open; VMXON wants it locked. Only a reset undoes this. */
static void unlock_vmx(void)
{
	uint64_t control = reg_rdmsr(MSR_IA32_FEATURE_CONTROL);

	if (!(control & FEATURE_CONTROL_LOCK))
		reg_wrmsr(MSR_IA32_FEATURE_CONTROL, control | FEATURE_CONTROL_VMX | FEATURE_CONTROL_LOCK);
}

/*
 * The firmware's task segment, which only its descriptor describes: the resident can't read the firmware's GDT.
 * SDM Vol. 3A, "TSS Descriptor in 64-bit mode"; access rights as in Vol. 3C, "Guest Register State".
 */
static void save_task_segment(struct handoff *handoff)
{
	struct table_register gdt;
	uint16_t selector;

	table_store_gdt(&gdt);
	asm volatile("str %0" : "=r"(selector));
	if (!selector)
		return;

	const uint64_t *descriptor = (const uint64_t *)(gdt.base + (selector & ~7u));
	uint64_t low = descriptor[0];
	uint32_t limit = (uint32_t)(FIELD_GET(BITS(51, 48), low) << 16 | FIELD_GET(BITS(15, 0), low));

	handoff->fw_tr_base = descriptor[1] << 32 | FIELD_GET(BITS(63, 56), low) << 24 | FIELD_GET(BITS(39, 16), low);
	handoff->fw_tr_limit = low & DESCRIPTOR_IN_PAGES ? limit << 12 | 0xfff : limit;
	handoff->fw_tr_access = (uint32_t)(low >> 40 & DESCRIPTOR_ACCESS);
}

EFI_STATUS resident_start(struct loader *loader)
{
	uint64_t efer = reg_rdmsr(MSR_IA32_EFER);
	int64_t result;

	save_task_segment(loader->handoff);
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
