/*
 * Sampling by PEBS as a profiler does it: the processor reloads the counters, and the PMI handler empties the buffer.
 */
#ifndef GUEST_PEBS_SAMPLER_H
#define GUEST_PEBS_SAMPLER_H

#include <stdint.h>

#include "ds.h"

/* Counters have the numbers of their GLOBAL_STATUS bits. */
struct pebs_sampler {
	uint64_t counters; /* PEBS_ENABLE and GLOBAL_CTRL while sampling */
	uint64_t others;   /* also in GLOBAL_CTRL */
	uint64_t config;   /* PEBS_DATA_CFG; 0: basic records */
	uint64_t samples;  /* records seen */
	uint64_t pmis;     /* NMIs that found the buffer's status bit */
	uint64_t armed;    /* NMIs that found none but those of counters that still owe a record */
	uint64_t strays;   /* NMIs that found nothing, or another status bit */
	/* Called for every record, in order; `config` says what is behind the basic group. May be NULL. */
	void (*on_record)(const struct pebs_basic *record);
};
extern struct pebs_sampler pebs_sampler;

/* Forgets the last run. LVTPC delivers an NMI. */
void pebs_sampler_init(void (*on_record)(const struct pebs_basic *record));
/*
 * `rings`: PERFEVTSEL_USR, _OS or both, and more bits of PERFEVTSELx (_INT). A fixed counter takes no event. The
 * counter wraps after `period` events, the first time and after each record.
 */
void pebs_sampler_add(unsigned counter, uint64_t event, uint64_t rings, uint64_t period);
/* Every record has the groups of PEBS_DATA_CFG. After the counters have been added. */
void pebs_sampler_adaptive(uint64_t config);
/* The buffer interrupts when it holds so many records, of at least the size that all have. */
void pebs_sampler_enable(unsigned records);
/* And takes what is left in the buffer. */
void pebs_sampler_disable(void);
/* Runs `work` in ring 3 with the counters on. */
void pebs_sampler_run(unsigned records, void (*work)(void));

#endif
