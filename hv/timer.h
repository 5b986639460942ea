/*
 * The one timer of each CPU, for several who wait. Their time is the TSC's, but the timer runs in the guest only: what
 * is due meanwhile comes late.
 */
#ifndef HV_TIMER_H
#define HV_TIMER_H

#include <stdint.h>

enum timer_user { TIMER_DUMP, TIMER_GUEST_EVENTS, TIMER_GUEST_PAGE, TIMER_USERS };

struct timer {
	uint64_t due[TIMER_USERS]; /* TSC; 0: it isn't waiting */
};

struct cpu;

/* From now on; 0: no longer. Once: whoever is due is called, and sets it again. */
void timer_set(struct cpu *cpu, enum timer_user user, uint64_t ticks);
/* A timer exit. */
void timer_tick(struct cpu *cpu);

#endif
