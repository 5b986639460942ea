#include "apic.h"
#include "cpu.h"

#define APIC_PAGE       UINT64_C(0xfee00000)
#define X2APIC_MSR(reg) (0x800 + ((reg) >> 4))
#define SPURIOUS_VECTOR 0xff

static bool x2apic;

uint32_t apic_read(unsigned offset)
{
	if (x2apic)
		return (uint32_t)rdmsr(X2APIC_MSR(offset));
	return *(volatile uint32_t *)(APIC_PAGE + offset);
}

void apic_write(unsigned offset, uint32_t value)
{
	if (x2apic)
		wrmsr(X2APIC_MSR(offset), value);
	else
		*(volatile uint32_t *)(APIC_PAGE + offset) = value;
}

static void enable_masked(void)
{
	static const uint16_t lvt[] = { APIC_LVT_TIMER, APIC_LVT_THERMAL, APIC_LVTPC,
					APIC_LVT_LINT0, APIC_LVT_LINT1,   APIC_LVT_ERROR };

	apic_write(APIC_SVR, SVR_ENABLE | SPURIOUS_VECTOR);
	for (unsigned i = 0; i < sizeof(lvt) / sizeof(lvt[0]); i++)
		apic_write(lvt[i], LVT_MASKED);
}

void apic_init(void)
{
	x2apic = rdmsr(MSR_IA32_APIC_BASE) & APIC_BASE_X2APIC;
	enable_masked();
}

void apic_init_other(void)
{
	if (x2apic)
		apic_enter_x2apic();
	enable_masked();
}

void apic_eoi(void)
{
	apic_write(APIC_EOI, 0);
}

void apic_send(uint32_t id, uint32_t icr)
{
	if (x2apic) {
		wrmsr(X2APIC_MSR(APIC_ICR_LOW), (uint64_t)id << 32 | icr);
		return;
	}
	apic_write(APIC_ICR_HIGH, id << 24);
	apic_write(APIC_ICR_LOW, icr);
	while (apic_read(APIC_ICR_LOW) & ICR_PENDING)
		;
}

/* The shorthand for self knows only fixed interrupts. SDM Vol. 3A, "Valid Combinations for the ... ICR". */
void apic_self_nmi(void)
{
	uint32_t id = apic_read(APIC_ID);

	apic_send(x2apic ? id : id >> 24, ICR_NMI);
}

void apic_enter_x2apic(void)
{
	wrmsr(MSR_IA32_APIC_BASE, rdmsr(MSR_IA32_APIC_BASE) | APIC_BASE_ENABLE | APIC_BASE_X2APIC);
	x2apic = true;
}
