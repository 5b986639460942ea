/* The parts of the test that have files of their own. */
#ifndef MACHINE_VMX_H
#define MACHINE_VMX_H

#include "world.h"

/* A reserved bit in a guest field fails the entry if `control` would load it, and only then. */
void reserved_guest(enum vmcs_field field, uint64_t control, uint64_t bit, const char *name);
/* Which branches are recorded: the guest's, injected events, and root mode's only if no control says otherwise. */
void lbr_transitions(void);
/* A PEBS record that an exit overtakes, and one that exits itself. */
void pebs_transitions(void);
/* Where there is five-level paging, a guest may have it and the host not. */
void five_level_guest(void);
/* Outside VMX: the local APIC can be disabled and enabled again. */
void apic_base_cycle(void);
/* What wakes a guest whose activity state is HLT, and how the exit records it. */
void halted_guests(void);
/* An INIT that arrives in root mode is kept until the next VM entry. */
void init_is_latched(void);

#endif
