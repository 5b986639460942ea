/*
 * The one timer of each CPU, for several who wait. Their time is the TSC's, but the timer runs in the guest only: what
 * is due meanwhile comes late.
 */
#ifndef HV_TIMER_H
#define HV_TIMER_H

#include <stdbool.h>
#include <stdint.h>

enum timer_user { TIMER_DUMP, TIMER_GUEST_EVENTS, TIMER_GUEST_PAGE, TIMER_USERS };

struct timer {
	uint64_t due[TIMER_USERS]; /* TSC; 0: it isn't waiting */
	uint64_t patience;         /* so many ticks later the timer itself exits for TIMER_DUMP */
	bool ticking;              /* those that are due are being called; then the timer is set */
};

struct cpu;

/* From now on; 0: no longer. Once: whoever is due is called, and sets it again. */
void timer_set(struct cpu *cpu, enum timer_user user, uint64_t ticks);
/* A timer exit. */
void timer_tick(struct cpu *cpu);
bool timer_is_due(const struct cpu *cpu, enum timer_user user);
/*
 * Another exit, with more like it to come: who is due need not wait for one of the timer's. For the next dump the timer
 * itself exits `patience` ticks late only.
 */
void timer_tick_early(struct cpu *cpu, uint64_t patience);

#endif
