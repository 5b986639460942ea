#include "firmware.h"
#include "msr.h"
#include "reg.h"

#define SELECTOR_OF(register)                                                                                          \
	({                                                                                                             \
		uint16_t selector_;                                                                                    \
		asm volatile("mov %%" register ", %0" : "=r"(selector_));                                              \
		selector_;                                                                                             \
	})

static uint64_t read_cr0(void)
{
	uint64_t value;

	asm volatile("mov %%cr0, %0" : "=r"(value));
	return value;
}

static uint64_t read_cr4(void)
{
	uint64_t value;

	asm volatile("mov %%cr4, %0" : "=r"(value));
	return value;
}

void firmware_save(struct firmware *firmware)
{
	firmware->cr0 = read_cr0();
	firmware->cr4 = read_cr4();
	firmware->efer = reg_rdmsr(MSR_IA32_EFER);
	firmware->pat = reg_rdmsr(MSR_IA32_PAT);
	firmware->fs_base = reg_rdmsr(MSR_IA32_FS_BASE);
	firmware->gs_base = reg_rdmsr(MSR_IA32_GS_BASE);
	table_store_gdt(&firmware->gdt);
	table_store_idt(&firmware->idt);
	firmware->selectors[0] = SELECTOR_OF("es");
	firmware->selectors[1] = SELECTOR_OF("cs");
	firmware->selectors[2] = SELECTOR_OF("ss");
	firmware->selectors[3] = SELECTOR_OF("ds");
	firmware->selectors[4] = SELECTOR_OF("fs");
	firmware->selectors[5] = SELECTOR_OF("gs");
	asm volatile("sldt %0" : "=r"(firmware->selectors[6]));
	asm volatile("str %0" : "=r"(firmware->selectors[7]));
}

_Noreturn void firmware_return(const struct firmware *firmware, struct handoff *handoff)
{
	reg_wrmsr(MSR_IA32_GS_BASE, firmware->gs_base);
	asm volatile("mov %0, %%cr4" : : "r"(firmware->cr4));
	asm volatile("mov %0, %%cr0" : : "r"(firmware->cr0));
	/* The loader's code behind `leave` has its page tables, descriptor tables and segments back. */
	asm volatile("jmp *%[leave]" : : [leave] "r"(handoff->leave), "D"(handoff) : "memory");
	__builtin_unreachable();
}
