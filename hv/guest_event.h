/*
 * Events that the guest has opened, on host counters that the configuration left free: docs/guest-api.md. Each CPU has
 * its own, and all functions are called on it, in an exit. Where more are enabled than there are counters, they take
 * turns.
 */
#ifndef HV_GUEST_EVENT_H
#define HV_GUEST_EVENT_H

#include <stdbool.h>
#include <stdint.h>

#include "config.h"
#include "guest-api/pmuvisor.h"

struct guest_event {
	struct config_event config;
	bool tells;            /* its overflows are PMIs of the guest's */
	unsigned counter;      /* PMU_NO_COUNTER: it waits, or isn't enabled */
	uint64_t count;        /* these up to the last time it left a counter: events, */
	uint64_t overflows;    /* of its period, */
	uint64_t done;         /* events of the period that had begun, */
	uint64_t running;      /* TSC ticks on a counter that counted */
	uint64_t enabled;      /* TSC ticks enabled, up to the last time it was disabled */
	uint64_t since;        /* TSC: when it was enabled; */
	uint64_t on_since;     /* when it got its counter, */
	uint64_t paused_since; /* and for how long host counters had been paused then */
};

struct guest_events {
	uint64_t open, enabled; /* bitmaps */
	unsigned first;         /* whose turn it is */
	struct guest_event event[PMUVISOR_EVENTS];
};

/* What it has counted, now. */
struct guest_event_counts {
	uint64_t count, overflows;
	uint64_t enabled, running; /* TSC ticks */
};

struct cpu;

/* The calls; 0 or a PMUVISOR_E_*. `id` is set by the first. Of several events all are open, or nothing is done. */
int64_t guest_event_open(struct cpu *cpu, uint64_t config, uint64_t period, uint64_t *id);
int64_t guest_events_close(struct cpu *cpu, uint64_t events);
int64_t guest_events_enable(struct cpu *cpu, uint64_t events);
int64_t guest_events_disable(struct cpu *cpu, uint64_t events);
int64_t guest_events_reset(struct cpu *cpu, uint64_t events);
int64_t guest_event_read(struct cpu *cpu, uint64_t id, struct guest_event_counts *counts);

/* Of one that is open, `now` by the TSC. */
struct guest_event_counts guest_event_counts(struct cpu *cpu, unsigned id, uint64_t now);
/* How many can count at a time. */
unsigned guest_events_counters(const struct cpu *cpu);
/* The timer: whoever waits gets a turn. */
void guest_events_rotate(struct cpu *cpu);

#endif
