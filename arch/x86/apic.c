#include "apic.h"
#include "hv/cpu.h"
#include "paging.h"
#include "arch/x86/reg.h"

#define X2APIC_MSR(offset) (0x800 + ((offset) >> 4))
#define X2APIC_SELF_IPI    0x83f

bool apic_is_x2apic(void)
{
	return this_cpu()->x2apic;
}

uint32_t apic_read(unsigned offset)
{
	if (apic_is_x2apic())
		return (uint32_t)reg_rdmsr(X2APIC_MSR(offset));
	return reg_read_xapic(offset);
}

void apic_write(unsigned offset, uint32_t value)
{
	if (apic_is_x2apic())
		reg_wrmsr(X2APIC_MSR(offset), value);
	else
		reg_write_xapic(offset, value);
}

void apic_moved(uint64_t *pte, uint64_t page)
{
	*pte = (*pte & ~PTE_ADDRESS) | page;
	reg_invlpg(HV_APIC_VA);
}

/*
 * In xAPIC mode the guest may be between its two writes of an IPI of its own; the high half, which a self IPI
 * ignores, is left alone.
 */
void apic_self_ipi(uint32_t vector)
{
	if (apic_is_x2apic())
		reg_wrmsr(X2APIC_SELF_IPI, vector);
	else
		reg_write_xapic(APIC_ICR, ICR_SELF | vector);
}
