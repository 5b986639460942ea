#include "loader.h"

#include "arch/x86/reg.h"
#include "arch/x86/requirements.h"

static struct cpuid read_cpuid(uint32_t leaf, uint32_t subleaf)
{
	uint32_t regs[4];

	reg_cpuid(leaf, subleaf, regs);
	return (struct cpuid){ regs[0], regs[1], regs[2], regs[3] };
}

static uint64_t read_msr(uint32_t msr)
{
	return reg_rdmsr(msr);
}

uint64_t read_cr4(void)
{
	uint64_t value;

	asm volatile("mov %%cr4, %0" : "=r"(value));
	return value;
}

uint64_t hypercall(uint64_t magic, uint64_t operation)
{
	if (processor_is_amd(&processor))
		asm volatile("vmmcall" : "+a"(magic) : "c"(operation) : "memory");
	else
		asm volatile("vmcall" : "+a"(magic) : "c"(operation) : "memory");
	return magic;
}

const struct cpu_registers processor = { read_cpuid, read_msr };
