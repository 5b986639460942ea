/*
 * Asking pmuvisor for something; see guest-api/pmuvisor.h. Under pmuvisor only.
 */
#ifndef GUEST_HYPERVISOR_H
#define GUEST_HYPERVISOR_H

#include <stdint.h>

#include "guest-api/pmuvisor.h"

/* The call with RCX and the arguments in `regs`, whether CPUID announces it or not. Returns RAX. */
int64_t hypervisor_call(struct pmuvisor_registers *regs);

/* Has the host's counts written to its serial console, and returns when they are out. */
void hypervisor_dump(void);
/* Has this processor's counts noted, for the dump that is being written or the one that begins with it. */
void hypervisor_publish(void);
/* Returns when no dump is being written. */
void hypervisor_wait(void);

#endif
