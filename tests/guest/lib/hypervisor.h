/*
 * Asking pmuvisor for something; see guest-api/pmuvisor.h.
 */
#ifndef GUEST_HYPERVISOR_H
#define GUEST_HYPERVISOR_H

/* Has the host's counts written to its serial console, and returns when they are out. Under pmuvisor only. */
void hypervisor_dump(void);
/* Has this processor's counts noted, for the dump that is being written or the one that begins with it. */
void hypervisor_publish(void);
/* Returns when no dump is being written. */
void hypervisor_wait(void);

#endif
