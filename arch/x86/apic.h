/* The local APIC in either of its modes, as far as the PMU needs it. SDM Vol. 3A, "Local Vector Table". */
#ifndef ARCH_X86_APIC_H
#define ARCH_X86_APIC_H

#include <stdbool.h>
#include <stdint.h>

#include "hv/bits.h"

#define APIC_VERSION        0x030
#define APIC_TPR            0x080
#define APIC_EOI            0x0b0
#define APIC_LOGICAL_ID     0x0d0 /* the next two in xAPIC mode only */
#define APIC_LOGICAL_FORMAT 0x0e0
#define APIC_ISR            0x100
#define APIC_ISR_WORDS      8 /* of 32 vectors each, 16 bytes apart */
#define APIC_SPURIOUS       0x0f0
#define APIC_LVT_CMCI       0x2f0
#define APIC_ICR            0x300
#define APIC_ICR_HIGH       0x310
#define APIC_LVT_TIMER      0x320
#define APIC_LVT_THERMAL    0x330
#define APIC_LVTPC          0x340
#define APIC_LVT_LINT0      0x350
#define APIC_LVT_LINT1      0x360
#define APIC_LVT_ERROR      0x370
#define APIC_TIMER_INITIAL  0x380
#define APIC_TIMER_DIVIDE   0x3e0

#define VERSION_MAX_LVT BITS(23, 16)
#define VERSION_CMCI    6 /* from this on there is LVT_CMCI */
#define SPURIOUS_ENABLE 0x100u
#define SPURIOUS_RESET  0xffu /* the APIC is disabled by software */

#define LOGICAL_FLAT 0xffffffffu

#define LVT_VECTOR  0x000000ffu
#define LVT_MODE    0x00000700u
#define LVT_NMI     0x00000400u
#define LVT_PENDING 0x00001000u /* read-only */
#define LVT_MASKED  0x00010000u

/* Interrupt command register; in x2APIC mode the destination is in its upper half, else in ICR_HIGH[31:24]. */
#define ICR_VECTOR      0x000000ffu
#define ICR_MODE        0x00000700u
#define ICR_NMI         0x00000400u
#define ICR_INIT        0x00000500u
#define ICR_STARTUP     0x00000600u
#define ICR_LOGICAL     0x00000800u
#define ICR_ASSERT      0x00004000u
#define ICR_LEVEL       0x00008000u
#define ICR_SHORTHAND   0x000c0000u
#define ICR_SELF        0x00040000u
#define ICR_ALL         0x00080000u
#define ICR_OTHERS      0x000c0000u
#define ICR_DESTINATION BITS(31, 24) /* of ICR_HIGH */

/* What INIT does to the local APIC, but for LVTPC and what is on its way through it. */
void apic_reset(void);
/* Follows IA32_APIC_BASE, whose writes exit. */
bool apic_is_x2apic(void);
/* By software: from INIT until the guest enables it every LVT entry is masked, and can't be unmasked. */
bool apic_is_enabled(void);
uint32_t apic_read(unsigned offset);
void apic_write(unsigned offset, uint32_t value);
/* To the CPU with this APIC ID: ICR_NMI or ICR_INIT. The guest's destination for the next one stays. */
void apic_send(uint32_t apic_id, uint32_t mode);
/* A fixed interrupt to this CPU itself. */
void apic_self_ipi(uint32_t vector);

#endif
