/* The local APIC in either of its modes, as far as the PMU needs it. SDM Vol. 3A, "Local Vector Table". */
#ifndef ARCH_X86_APIC_H
#define ARCH_X86_APIC_H

#include <stdbool.h>
#include <stdint.h>

#define APIC_ICR      0x300
#define APIC_LVTPC    0x340
#define APIC_ICR_HIGH 0x310

#define LVT_VECTOR  0x000000ffu
#define LVT_MODE    0x00000700u
#define LVT_NMI     0x00000400u
#define LVT_PENDING 0x00001000u /* read-only */
#define LVT_MASKED  0x00010000u

#define ICR_SELF 0x00040000u

/* Follows IA32_APIC_BASE, whose writes exit. */
bool apic_is_x2apic(void);
uint32_t apic_read(unsigned offset);
void apic_write(unsigned offset, uint32_t value);
/* IA32_APIC_BASE names another page: the page-table entry behind HV_APIC_VA follows. */
void apic_moved(uint64_t *pte, uint64_t page);
/* A fixed interrupt to this CPU itself. */
void apic_self_ipi(uint32_t vector);

#endif
