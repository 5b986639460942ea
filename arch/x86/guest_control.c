/* Instructions that always exit and that pmuvisor does for the guest. */
#include "guest.h"
#include "reg.h"

/*
 * XCR0 is the guest's alone, and the CPU knows best which values it takes. Processors differ in whether the check of
 * the privilege level comes before the exit.
 */
enum verdict guest_xsetbv(struct cpu *cpu)
{
	uint64_t value = (cpu->guest.rdx & BITS(31, 0)) << 32 | (uint32_t)cpu->guest.rax;

	if (cpu->ops->read(cpu, GUEST_CPL) != 0)
		return INJECT_GP;
	return reg_xsetbv_safe((uint32_t)cpu->guest.rcx, value) ? ADVANCE : INJECT_GP;
}

/* Written back first: the caches hold pmuvisor's memory too. */
enum verdict guest_invd(struct cpu *cpu)
{
	(void)cpu;
	asm volatile("wbinvd" : : : "memory");
	return ADVANCE;
}
