/*
 * The instructions that C has no words for, and the guarded ones: those that a test expects to fault.
 */
#ifndef GUEST_CPU_H
#define GUEST_CPU_H

#include <stdbool.h>
#include <stdint.h>

#define BIT(n) (UINT64_C(1) << (n))

#define MSR_IA32_APIC_BASE       0x01b
#define APIC_BASE_X2APIC         BIT(10)
#define APIC_BASE_ENABLE         BIT(11)
#define MSR_IA32_FEATURE_CONTROL 0x03a
#define MSR_IA32_MISC_ENABLE     0x1a0
#define MISC_ENABLE_PERFMON      BIT(7)
#define MISC_ENABLE_NO_BTS       BIT(11)
#define MISC_ENABLE_NO_PEBS      BIT(12)
#define MSR_IA32_VMX_BASIC       0x480
#define MSR_IA32_VMX_VMFUNC      0x491

#define MSR_IA32_GS_BASE 0xc0000101

#define CR0_PG      BIT(31)
#define CR0_WP      BIT(16)
#define CR0_NE      BIT(5)
#define CR0_PE      BIT(0)
#define CR4_PCE     BIT(8)
#define CR4_VMXE    BIT(13)
#define CR4_OSXSAVE BIT(18)
#define CR4_SMEP    BIT(20)
#define CR4_SMAP    BIT(21)

#define RFLAGS_IF BIT(9)

/* Exception vectors a guarded instruction may report. */
#define NO_FAULT (-1)
#define FAULT_UD 6
#define FAULT_GP 13

struct cpuid_regs {
	uint32_t eax, ebx, ecx, edx;
};

static inline struct cpuid_regs cpuid(uint32_t leaf, uint32_t subleaf)
{
	struct cpuid_regs regs;

	asm volatile("cpuid"
		     : "=a"(regs.eax), "=b"(regs.ebx), "=c"(regs.ecx), "=d"(regs.edx)
		     : "a"(leaf), "c"(subleaf));
	return regs;
}

static inline uint64_t rdmsr(uint32_t msr)
{
	uint32_t low, high;

	asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr) : "memory");
	return (uint64_t)high << 32 | low;
}

static inline void wrmsr(uint32_t msr, uint64_t value)
{
	asm volatile("wrmsr" : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

static inline uint64_t rdpmc(uint32_t index)
{
	uint32_t low, high;

	asm volatile("rdpmc" : "=a"(low), "=d"(high) : "c"(index) : "memory");
	return (uint64_t)high << 32 | low;
}

static inline uint64_t rdtsc(void)
{
	uint32_t low, high;

	asm volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
	return (uint64_t)high << 32 | low;
}

static inline uint64_t read_cr0(void)
{
	uint64_t value;

	asm volatile("mov %%cr0, %0" : "=r"(value) : : "memory");
	return value;
}

static inline uint64_t read_cr3(void)
{
	uint64_t value;

	asm volatile("mov %%cr3, %0" : "=r"(value) : : "memory");
	return value;
}

static inline uint64_t read_cr4(void)
{
	uint64_t value;

	asm volatile("mov %%cr4, %0" : "=r"(value) : : "memory");
	return value;
}

static inline void write_cr4(uint64_t value)
{
	asm volatile("mov %0, %%cr4" : : "r"(value) : "memory");
}

static inline void out8(uint16_t port, uint8_t value)
{
	asm volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline void out32(uint16_t port, uint32_t value)
{
	asm volatile("outl %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline uint8_t in8(uint16_t port)
{
	uint8_t value;

	asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
	return value;
}

/*
 * Guarded instructions: each returns NO_FAULT, or the vector of the exception that the instruction took (its error code
 * is in guard_error). Outputs are only written when nothing faulted.
 */
extern uint64_t guard_resume; /* where the handler continues; 0: an exception is a failure of the test */
extern int64_t guard_vector;
extern uint64_t guard_error;

#define GUARD(instruction)                                                                                             \
	"leaq 1f(%%rip), %%r11\n\t"                                                                                    \
	"movq $-1, guard_vector(%%rip)\n\t"                                                                            \
	"movq %%r11, guard_resume(%%rip)\n\t" instruction "\n"                                                         \
	"1:\tmovq $0, guard_resume(%%rip)"

static inline int rdmsr_guarded(uint32_t msr, uint64_t *value)
{
	uint32_t low = 0, high = 0;

	asm volatile(GUARD("rdmsr") : "+a"(low), "+d"(high) : "c"(msr) : "r11", "memory");
	if (guard_vector == NO_FAULT)
		*value = (uint64_t)high << 32 | low;
	return (int)guard_vector;
}

static inline int wrmsr_guarded(uint32_t msr, uint64_t value)
{
	asm volatile(GUARD("wrmsr") : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "r11", "memory");
	return (int)guard_vector;
}

static inline int rdpmc_guarded(uint32_t index, uint64_t *value)
{
	uint32_t low = 0, high = 0;

	asm volatile(GUARD("rdpmc") : "+a"(low), "+d"(high) : "c"(index) : "r11", "memory");
	if (guard_vector == NO_FAULT)
		*value = (uint64_t)high << 32 | low;
	return (int)guard_vector;
}

static inline int xsetbv_guarded(uint32_t index, uint64_t value)
{
	asm volatile(GUARD("xsetbv")
		     :
		     : "c"(index), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
		     : "r11", "memory");
	return (int)guard_vector;
}

static inline int write_cr0_guarded(uint64_t value)
{
	asm volatile(GUARD("mov %0, %%cr0") : : "r"(value) : "r11", "memory");
	return (int)guard_vector;
}

static inline int write_cr4_guarded(uint64_t value)
{
	asm volatile(GUARD("mov %0, %%cr4") : : "r"(value) : "r11", "memory");
	return (int)guard_vector;
}

#endif
