#include "platform.h"
#include "cpu_area.h"
#include "cpuid.h"
#include "firmware.h"
#include "msr.h"

extern const struct hv_ops vmx_ops, svm_ops;

_Noreturn void hv_main(struct handoff *handoff);

/* The first bytes of the image. */
const struct image_header image_header __attribute__((section(".header"))) = {
	.magic = HV_IMAGE_MAGIC,
	.entry = (uintptr_t)hv_main,
	.cpu_area_size = sizeof(struct cpu_area),
	.guard_pages = CPU_AREA_GUARDS,
	.stack_top = offsetof(struct cpu_area, stack) + sizeof(((struct cpu_area *)0)->stack),
};

static uint64_t address_mask(void)
{
	uint32_t regs[4];

	reg_cpuid(CPUID_ADDRESS_SIZES, 0, regs);
	return BITS((regs[0] & 0xff) - 1, 0);
}

/* Of its entry nothing but the address ever changes. */
static struct hv_window window(const struct hv_window *given)
{
	return (struct hv_window){ given->page, given->entry, *(const uint64_t *)given->entry & ~PTE_ADDRESS };
}

struct cpu *platform_init(struct handoff *handoff)
{
	const struct boot_info *boot = (const struct boot_info *)handoff->boot_info;
	struct cpu_area *area = (struct cpu_area *)(boot->cpu_areas + handoff->cpu * sizeof(*area));
	struct cpu *cpu = &area->cpu;

	firmware_save(&area->firmware);
	cpu->self = cpu;
	cpu->id = handoff->cpu;
	cpu->boot = boot;
	cpu->vendor = (struct vendor_cpu *)&area->vendor;
	cpu->x2apic = reg_rdmsr(MSR_IA32_APIC_BASE) & APIC_BASE_X2APIC;
	cpu->address_mask = address_mask();
	cpu->apic = window(&handoff->apic);
	cpu->aperture = window(&handoff->aperture);
	cpu->apic_page = reg_rdmsr(MSR_IA32_APIC_BASE) & APIC_BASE_ADDRESS;
	reg_move_window(&cpu->apic, cpu->apic_page);
	reg_wrmsr(MSR_IA32_GS_BASE, (uintptr_t)cpu);
	cpu->page = (struct guest_page){ .shown = &area->page, .address = hv_pa(&area->page) };
	descriptors_init(area);
	descriptors_load(&area->descriptors);
	return cpu;
}

_Noreturn void platform_leave(struct cpu *cpu, struct handoff *handoff)
{
	handoff->result = -1;
	firmware_return(&cpu_area(cpu)->firmware, handoff);
}

/* The loader's page tables end here; what the TLB still holds of them is never used. */
void platform_forget_loader(struct cpu *cpu)
{
	*(uint64_t *)cpu->boot->trampoline_pml4e = 0;
}

bool platform_knows_loader(const struct cpu *cpu)
{
	return *(const volatile uint64_t *)cpu->boot->trampoline_pml4e;
}

/* The loader has seen to it that there are two. */
static bool is_intel(void)
{
	uint32_t regs[4];

	reg_cpuid(CPUID_VENDOR, 0, regs);
	return regs[1] == CPUID_0_EBX_INTEL;
}

const struct hv_ops *platform_ops(void)
{
	return is_intel() ? &vmx_ops : &svm_ops;
}

const struct pmu_ops *platform_pmu(void)
{
	return is_intel() ? &pmu_intel : &pmu_amd;
}
