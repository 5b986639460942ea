#include "apic.h"
#include "hv/cpu.h"
#include "msr.h"
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
	return reg_read_xapic(&this_cpu()->apic, offset);
}

void apic_write(unsigned offset, uint32_t value)
{
	if (apic_is_x2apic())
		reg_wrmsr(X2APIC_MSR(offset), value);
	else
		reg_write_xapic(&this_cpu()->apic, offset, value);
}

bool apic_is_enabled(void)
{
	return apic_read(APIC_SPURIOUS) & SPURIOUS_ENABLE;
}

void apic_send(uint32_t apic_id, uint32_t mode)
{
	uint32_t guests;

	if (apic_is_x2apic()) {
		reg_wrmsr(MSR_X2APIC_ICR, (uint64_t)apic_id << 32 | ICR_ASSERT | mode);
		return;
	}
	guests = apic_read(APIC_ICR_HIGH);
	apic_write(APIC_ICR_HIGH, (uint32_t)FIELD_PUT(ICR_DESTINATION, apic_id));
	apic_write(APIC_ICR, ICR_ASSERT | mode);
	apic_write(APIC_ICR_HIGH, guests);
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
		reg_write_xapic(&this_cpu()->apic, APIC_ICR, ICR_SELF | vector);
}

/* What is in service ends, as many interrupts as there are: else the guest would take no other of their priority. */
static void end_interrupts(void)
{
	for (unsigned i = 0; i < APIC_ISR_WORDS; i++)
		for (uint32_t bits = apic_read(APIC_ISR + 0x10 * i); bits; bits &= bits - 1)
			apic_write(APIC_EOI, 0);
}

/*
 * SDM Vol. 3A, "Local APIC State After an INIT Reset". Disabled by software it delivers nothing; requests that it holds
 * already can't be taken back.
 */
void apic_reset(void)
{
	static const uint16_t entries[] = {
		APIC_LVT_TIMER, APIC_LVT_THERMAL, APIC_LVT_LINT0, APIC_LVT_LINT1, APIC_LVT_ERROR,
	};

	for (unsigned i = 0; i < ARRAY_SIZE(entries); i++)
		apic_write(entries[i], LVT_MASKED);
	if (FIELD_GET(VERSION_MAX_LVT, apic_read(APIC_VERSION)) >= VERSION_CMCI)
		apic_write(APIC_LVT_CMCI, LVT_MASKED);
	apic_write(APIC_TIMER_INITIAL, 0);
	apic_write(APIC_TIMER_DIVIDE, 0);
	apic_write(APIC_TPR, 0);
	if (!apic_is_x2apic()) { /* there it follows from the ID */
		apic_write(APIC_LOGICAL_ID, 0);
		apic_write(APIC_LOGICAL_FORMAT, LOGICAL_FLAT);
	}
	end_interrupts();
	apic_write(APIC_SPURIOUS, SPURIOUS_RESET);
}
