/* What makes plans, for its sources: generate.c, generate_records.c for PEBS and LBRs, generate_metrics.c. */
#ifndef REFINEMENT_GENERATE_PRIVATE_H
#define REFINEMENT_GENERATE_PRIVATE_H

#include "arch/x86/msr.h"
#include "plan.h"
#include "random.h"
#include "tests/machine/pmu_model.h"

#define WIDTH        48
#define STATUS_FLAGS (BITS(59, 58) | BITS(62, 61))
#define RESERVED     3 /* percent of writes with a bit that may be reserved */

struct generator {
	struct plan *plan;
	struct random random;
	uint64_t counters; /* the guest's */
	unsigned cpl;
	bool toggles; /* the host's events stop and start */
	bool arch_lbr;
};

static inline unsigned below(struct generator *g, unsigned n)
{
	return random_below(&g->random, n);
}

static inline bool percent(struct generator *g, unsigned n)
{
	return random_percent(&g->random, n);
}

static inline uint64_t any_bit(struct generator *g)
{
	return BIT(below(g, 64));
}

static inline uint64_t some_of(struct generator *g, uint64_t mask)
{
	switch (below(g, 4)) {
	case 0: return mask & random_next(&g->random);
	case 1: return mask & (random_next(&g->random) | random_next(&g->random));
	default: return mask;
	}
}

static inline uint64_t maybe_reserved(struct generator *g, uint64_t value)
{
	return percent(g, RESERVED) ? value ^ any_bit(g) : value;
}

/* generate.c */
void generate_step(struct generator *g, enum step_kind kind, uint32_t index, uint64_t value);
unsigned generate_gp(struct generator *g);
/* The counter's own register and its selector, at one of their addresses. */
uint32_t generate_counter(struct generator *g, unsigned n);
uint32_t generate_selector(struct generator *g, unsigned n);
uint64_t near_overflow(struct generator *g);

/* generate_records.c */
void generate_pebs(struct generator *g);
void generate_lbr(struct generator *g);
void generate_memory(struct generator *g);

/* generate_amd.c: a whole plan. */
void generate_amd(struct generator *g);

/* generate_metrics.c */
void generate_metrics(struct generator *g);

#endif
