/*
 * Every register the PMU code reads or writes goes through here: the target's are instructions, host tests put their
 * own arch/x86/reg.h, backed by the PMU model, first in the include path.
 */
#ifndef ARCH_X86_REG_H
#define ARCH_X86_REG_H

#include <stdbool.h>
#include <stdint.h>

#include "arch/x86/paging.h"
#include "hv/boot_info.h"

/* The halves are in whole registers whose other half is 0: APM Vol. 3, "RDMSR", and so on. */
static inline uint64_t reg_rdmsr(uint32_t msr)
{
	uint64_t low, high;

	asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
	return high << 32 | low;
}

static inline void reg_wrmsr(uint32_t msr, uint64_t value)
{
	asm volatile("wrmsr" : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

static inline uint64_t reg_rdpmc(uint32_t counter)
{
	uint64_t low, high;

	asm volatile("rdpmc" : "=a"(low), "=d"(high) : "c"(counter));
	return high << 32 | low;
}

static inline uint64_t reg_rdtsc(void)
{
	uint64_t low, high;

	asm volatile("rdtsc" : "=a"(low), "=d"(high));
	return high << 32 | low;
}

static inline void reg_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t regs[4])
{
	asm volatile("cpuid" : "=a"(regs[0]), "=b"(regs[1]), "=c"(regs[2]), "=d"(regs[3]) : "a"(leaf), "c"(subleaf));
}

/*
 * An instruction that may fault: its fix-up makes the root-mode #GP handler (trap.c) go on at the end, with `fault`
 * still 1.
 */
#define REG_FIXUP(instruction)                                                                                         \
	"1:	" instruction "\n"                                                                                     \
	"	movl $0, %[fault]\n"                                                                                         \
	"2:\n"                                                                                                         \
	"	.pushsection .fixups, \"a\"\n"                                                                               \
	"	.quad 1b, 2b\n"                                                                                              \
	"	.popsection\n"

static inline bool reg_rdmsr_safe(uint32_t msr, uint64_t *value)
{
	uint32_t low = 0, high = 0, fault = 1;

	asm volatile(REG_FIXUP("rdmsr") : [fault] "+m"(fault), "+a"(low), "+d"(high) : "c"(msr));
	*value = (uint64_t)high << 32 | low;
	return !fault;
}

static inline bool reg_wrmsr_safe(uint32_t msr, uint64_t value)
{
	uint32_t fault = 1;

	asm volatile(REG_FIXUP("wrmsr")
		     : [fault] "+m"(fault)
		     : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
		     : "memory");
	return !fault;
}

static inline bool reg_xsetbv_safe(uint32_t xcr, uint64_t value)
{
	uint32_t fault = 1;

	asm volatile(REG_FIXUP("xsetbv")
		     : [fault] "+m"(fault)
		     : "c"(xcr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
		     : "memory");
	return !fault;
}

/* A supervisor component in an XSAVE area of the compacted format, 64-byte aligned. IA32_XSS must have it. */
static inline void reg_xsaves(void *area, uint64_t components)
{
	asm volatile("xsaves64 (%0)"
		     :
		     : "r"(area), "a"((uint32_t)components), "d"((uint32_t)(components >> 32))
		     : "memory");
}

static inline void reg_xrstors(const void *area, uint64_t components)
{
	asm volatile("xrstors64 (%0)"
		     :
		     : "r"(area), "a"((uint32_t)components), "d"((uint32_t)(components >> 32))
		     : "memory");
}

static inline void reg_invlpg(uint64_t address)
{
	asm volatile("invlpg (%0)" : : "r"(address) : "memory");
}

/* The window shows the page at `pa` from now on. */
static inline void reg_move_window(const struct hv_window *window, uint64_t pa)
{
	*(uint64_t *)window->entry = window->flags | (pa & PTE_ADDRESS);
	reg_invlpg(window->page);
}

/* Eight bytes of the guest's memory, through the window. `pa` is a multiple of 8. */
static inline uint64_t reg_read_physical(const struct hv_window *aperture, uint64_t pa)
{
	reg_move_window(aperture, pa);
	return *(volatile uint64_t *)(aperture->page + pa % 4096);
}

static inline uint32_t reg_read_xapic(const struct hv_window *apic, unsigned offset)
{
	return *(volatile uint32_t *)(apic->page + offset);
}

static inline void reg_write_xapic(const struct hv_window *apic, unsigned offset, uint32_t value)
{
	*(volatile uint32_t *)(apic->page + offset) = value;
}

#endif
