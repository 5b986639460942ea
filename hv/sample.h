/*
 * Samples: where the overflows of the host's events with a period found the processor, one for each that came by an NMI.
 * Each CPU puts its own into a ring of its own, and whoever prints takes them out; neither waits for the other. What
 * finds the ring full is lost, and counted.
 */
#ifndef HV_SAMPLE_H
#define HV_SAMPLE_H

#include <stdbool.h>
#include <stdint.h>

#include "boot_info.h"
#include "lbr.h"

#define SAMPLE_HEAD 4 /* words that a sample takes, beside 2 for each of its branches */
#define SAMPLE_ENOUGH                                                                                                  \
	(64 * SAMPLE_HEAD) /* words in a ring that are worth sending: a frame of samples without branches */
#define SAMPLE_WORDS 8192  /* of a ring; a power of two */

/* One CPU's, in the region; the loader has cleared it. */
struct sample_ring {
	/* Written by the CPU itself. */
	uint64_t head;        /* words put in so far */
	uint64_t taken, lost; /* samples, since pmuvisor started */
	uint8_t pad_head[2048 - 3 * sizeof(uint64_t)];
	/* Written by who prints: away from the other part's cache line, and its neighbours. */
	uint64_t tail; /* words taken out so far */
	uint64_t sent; /* samples */
	uint8_t pad_tail[2048 - 2 * sizeof(uint64_t)];
	uint64_t words[SAMPLE_WORDS];
};
_Static_assert(sizeof(struct sample_ring) == SAMPLE_RING_SIZE, "the loader reserves this much for each CPU");

struct sample {
	uint64_t tsc;
	uint64_t rip;   /* the guest's; of a sample in root mode pmuvisor's */
	uint64_t cr3;   /* the guest's */
	unsigned event; /* of the configuration */
	bool root;
	unsigned cpl; /* the guest's; 0 in root mode */
	unsigned nr_branches;
};

struct cpu;

/* The ring of any CPU; NULL: no samples are kept. */
struct sample_ring *sample_ring_of(const struct cpu *cpu);
/* How many branches a sample has at most. */
unsigned sample_branches(const struct cpu *cpu);
/*
 * On the CPU itself: an NMI has come of these counters' overflows. `captured`: the LBRs have just been captured for it.
 */
void sample_take(struct cpu *cpu, uint64_t counters, bool captured);

/* Words in it. */
static inline uint64_t sample_waiting(const struct sample_ring *ring)
{
	return __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE) - __atomic_load_n(&ring->tail, __ATOMIC_RELAXED);
}

/* For one reader at a time: the oldest, and its branches, newest first. False: there is none. */
bool sample_peek(const struct sample_ring *ring, struct sample *sample, struct lbr_branch branches[LBR_MAX_ENTRIES]);
/* Takes out what sample_peek() has shown. */
void sample_drop(struct sample_ring *ring, const struct sample *sample);

#endif
