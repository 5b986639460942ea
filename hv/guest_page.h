/*
 * The page in which a CPU tells its guest what its events have counted: struct pmuvisor_page, docs/guest-api.md. It
 * lies in the CPU's area, and the guest can read it there. pmuvisor writes it and believes nothing in it.
 */
#ifndef HV_GUEST_PAGE_H
#define HV_GUEST_PAGE_H

#include <stdint.h>

#include "guest-api/pmuvisor.h"

struct guest_page {
	struct pmuvisor_page *shown;
	uint64_t address; /* physical */
	uint64_t refresh; /* TSC ticks between two of its versions, at most; 0: it changes when an event does */
};

struct cpu;

/* The call; 0 or a PMUVISOR_E_*. */
int64_t guest_page_keep(struct cpu *cpu, uint64_t kept, uint64_t refresh, uint64_t *address);
/* Before an entry for which anything has changed: the gate is dirty. */
void guest_page_publish(struct cpu *cpu);
/* Before an entry that counters of the host's count: what is ahead of those changes with it. */
void guest_page_entering(struct cpu *cpu);
/* The timer: the page is old enough. */
void guest_page_refresh(struct cpu *cpu);

#endif
