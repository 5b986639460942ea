/* The parts of the test that have files of their own. */
#ifndef MACHINE_VMX_H
#define MACHINE_VMX_H

/* Outside VMX: the local APIC can be disabled and enabled again. */
void apic_base_cycle(void);
/* What wakes a guest whose activity state is HLT, and how the exit records it. */
void halted_guests(void);
/* An INIT that arrives in root mode is kept until the next VM entry. */
void init_is_latched(void);

#endif
