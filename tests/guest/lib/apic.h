/*
 * The local APIC, in xAPIC or x2APIC mode.
 */
#ifndef GUEST_APIC_H
#define GUEST_APIC_H

#include <stdint.h>

/* Register offsets in the xAPIC page. SDM Vol. 3A, "Local APIC Register Address Map". */
#define APIC_ID           0x020
#define APIC_TPR          0x080
#define APIC_LDR          0x0d0
#define APIC_EOI          0x0b0
#define APIC_SVR          0x0f0
#define SVR_ENABLE        0x100
#define APIC_ISR          0x100
#define APIC_ICR_LOW      0x300
#define APIC_ICR_HIGH     0x310
#define ICR_SELF          0x40000
#define ICR_NMI           0x400
#define ICR_INIT          0x500
#define ICR_STARTUP       0x600 /* with the number of a page below 1 MiB as its vector */
#define ICR_ASSERT        0x4000
#define ICR_PENDING       0x1000
#define APIC_LVT_TIMER    0x320
#define APIC_LVT_THERMAL  0x330
#define APIC_LVTPC        0x340
#define APIC_LVT_LINT0    0x350
#define APIC_LVT_LINT1    0x360
#define APIC_LVT_ERROR    0x370
#define APIC_REGISTERS    0x40 /* at offsets of 16 bytes each */
#define APIC_TIMER_COUNT  0x380
#define APIC_TIMER_DIVIDE 0x3e0
#define TIMER_DIVIDE_BY_1 0xb
#define LVT_MASKED        0x10000
#define LVT_NMI           0x400
#define LVT_PERIODIC      0x20000 /* the timer's */

/* Enables the APIC with every LVT entry masked. */
void apic_init(void);

uint32_t apic_read(unsigned offset);
void apic_write(unsigned offset, uint32_t value);
void apic_eoi(void);
/* On another processor: the same, in the mode in which the first one is. */
void apic_init_other(void);
/* An interprocessor interrupt; `icr` is the register's low half. Returns when it has left. */
void apic_send(uint32_t id, uint32_t icr);
/* An NMI to this processor. */
void apic_self_nmi(void);
/* From xAPIC to x2APIC; there is no way back short of a reset. */
void apic_enter_x2apic(void);

#endif
