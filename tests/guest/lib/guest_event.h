/*
 * Events that a guest opens through pmuvisor, see docs/guest-api.md: calls that a test can't go on without, and those
 * whose errors it wants.
 */
#ifndef GUEST_GUEST_EVENT_H
#define GUEST_GUEST_EVENT_H

#include <stdint.h>

#include "hypervisor.h"

struct event_counts {
	uint64_t count, enabled, running, overflows;
};

/* RAX of the call; RDX goes to `*value`, if that isn't NULL. */
int64_t event_call(uint64_t operation, uint64_t rdx, uint64_t rsi, uint64_t *value);

/* Its number. */
uint64_t event_open(uint64_t config, uint64_t period);
/* An operation on a bitmap of them. */
void event_do(uint64_t operation, uint64_t events);
struct event_counts event_read(uint64_t id);

#endif
