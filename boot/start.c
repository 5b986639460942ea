#include "loader.h"

#include "arch/x86/descriptor.h"
#include "arch/x86/msr.h"
#include "arch/x86/reg.h"
#include "arch/x86/requirements.h"
#include "guest-api/pmuvisor.h"

#define DESCRIPTOR_IN_PAGES BIT(55)
#define DESCRIPTOR_ACCESS   UINT64_C(0xf0ff) /* of its bits from 40 */

/* Bare firmware leaves the register open; VMXON wants it locked. Only a reset undoes this. */
static void unlock_vmx(void)
{
	uint64_t control;

	if (processor_is_amd(&processor))
		return;
	control = reg_rdmsr(MSR_IA32_FEATURE_CONTROL);
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

static void EFIAPI start_here(void *argument)
{
	struct handoff *handoff = argument;
	uint64_t efer = reg_rdmsr(MSR_IA32_EFER);

	save_task_segment(handoff);
	unlock_vmx();
	/* The resident's page tables use the no-execute bit, which is reserved while NXE is off. */
	reg_wrmsr(MSR_IA32_EFER, efer | EFER_NXE);
	handoff->result = boot_enter(handoff);
	reg_wrmsr(MSR_IA32_EFER, efer);
}

/* The firmware's way to a CPU may be an INIT, and with SVM that has made it leave already: who would do isn't a guest. */
static bool has_left(void)
{
	char why[CONFIG_ERROR_MAX];

	return requirements_met(&processor, why);
}

static void EFIAPI leave_here(void *argument)
{
	uint64_t efer = reg_rdmsr(MSR_IA32_EFER);

	if (has_left())
		return;
	reg_wrmsr(MSR_IA32_EFER, efer | EFER_NXE);
	boot_leave(argument, PMUVISOR_CALL_MAGIC, HV_CALL_LEAVE);
	reg_wrmsr(MSR_IA32_EFER, efer);
}

static EFI_STATUS start_cpu(struct loader *loader, unsigned cpu)
{
	EFI_STATUS status;

	memory_hand_off(loader, cpu);
	status = mp_run(&loader->mp, cpu, start_here, loader->handoff);
	if (EFI_ERROR(status)) {
		loader->region_in_use = true;
		mp_blame(loader, cpu, "it did not come back from pmuvisor's start.");
		return status;
	}
	if (!loader->handoff->result)
		return EFI_SUCCESS;
	mp_blame(loader, cpu, loader->handoff->why);
	return EFI_UNSUPPORTED;
}

static void leave_cpu(struct loader *loader, unsigned cpu)
{
	memory_hand_off(loader, cpu);
	if (EFI_ERROR(mp_run(&loader->mp, cpu, leave_here, loader->handoff)))
		loader->region_in_use = true;
}

/*
 * This CPU comes last: until then it runs the firmware as before, and only the others have to be brought back if one
 * refuses.
 */
EFI_STATUS resident_start(struct loader *loader)
{
	unsigned cpu = loader->mp.nr_cpus;
	EFI_STATUS status = EFI_SUCCESS;

	while (cpu && !EFI_ERROR(status))
		status = start_cpu(loader, --cpu);
	while (EFI_ERROR(status) && ++cpu < loader->mp.nr_cpus)
		leave_cpu(loader, cpu);
	return status;
}
