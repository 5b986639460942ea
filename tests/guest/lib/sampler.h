/*
 * Sampling as a profiler does it: counters with periods, and a PMI handler in the order Linux uses (global disable,
 * read status, acknowledge, reload, global enable, unmask LVTPC).
 */
#ifndef GUEST_SAMPLER_H
#define GUEST_SAMPLER_H

#include <stdbool.h>
#include <stdint.h>

#include "this_cpu.h"
#include "trap.h"

#define SAMPLER_MAX 64

/* Counters have the numbers of their GLOBAL_STATUS bits. */
struct sampler_state {
	uint64_t counters;             /* GLOBAL_CTRL while sampling */
	uint64_t period[SAMPLER_MAX];  /* 0: counts without sampling */
	uint64_t samples[SAMPLER_MAX]; /* overflows handled */
	uint64_t pmis;                 /* PMIs that found at least one status bit */
	uint64_t duplicates;           /* and those that found none, */
	uint64_t owed;                 /* but for so many, whose overflow another has handled before they came */
	uint64_t late;                 /* 1: they may come that late: `skid` among the arguments; 0: they may not */
	uint64_t strangers;            /* status bits of counters that don't sample, added up */
	uint64_t user_returns;         /* PMIs that ring 3 was interrupted by */
	uint32_t lvtpc;                /* what the handler writes to LVTPC at its end */
};
/* Each processor has one, and is meant where nothing else is said. */
extern struct sampler_state samplers[SMP_MAX];
#define sampler (samplers[this_cpu()])

/* Forgets the last run. LVTPC delivers an NMI, or, with a vector other than VECTOR_NMI, that vector. */
void sampler_init(unsigned vector);
/* The same without setting the vector's handler, which is all processors'. */
void sampler_clear(unsigned vector);
/* The PMI handler, for tests with an NMI handler of their own. */
void sampler_on_pmi(struct trap_frame *frame);
/* `rings`: PERFEVTSEL_USR, _OS or both. A fixed counter takes no event. `period` 0: only count. */
void sampler_add(unsigned counter, uint64_t event, uint64_t rings, uint64_t period);
/* Runs `work` in ring 3 with the counters on. */
void sampler_run(void (*work)(void));
void sampler_enable(void);
void sampler_disable(void);
/*
 * What a counter of ring 3 has of code with so many instructions, or branches: AMD's counts the IRETs of the PMIs too,
 * because an instruction belongs to the ring it leads to. The INT 80H that ends user_run() and the IRET that begins it
 * make no difference: each counts one of them.
 */
uint64_t sampler_user_events(uint64_t events);
/* Events since sampler_run(), by samples and what the counter holds: independent of skid. */
uint64_t sampler_total(unsigned counter);

#endif
