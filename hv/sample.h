/*
 * Samples: where the overflows of the host's events with a period found the processor, one for each that came by an
 * NMI. Each CPU puts its own into a ring of its own, and whoever prints takes them out; neither waits for the other.
 * What finds the ring full is lost, and counted.
 */
#ifndef HV_SAMPLE_H
#define HV_SAMPLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cpu.h"
#include "lbr.h"

#define SAMPLE_ENOUGH 64   /* slots in a ring that are worth sending: a frame of samples without branches */
#define SAMPLE_SLOTS  2048 /* of a ring; a power of two */

struct sample {
	uint64_t tsc;
	uint64_t rip;  /* the guest's; of a sample in root mode pmuvisor's */
	uint64_t cr3;  /* the guest's */
	uint8_t event; /* of the configuration */
	uint8_t cpl;   /* the guest's; 0 in root mode */
	bool root;
	uint8_t nr_branches; /* in the slots that follow, two in each, newest first */
};

union sample_slot {
	struct sample sample;
	struct lbr_branch branches[2];
};
_Static_assert(sizeof(union sample_slot) == 32, "nothing is wasted");

/* One CPU's, in the region; the loader has cleared it. */
struct sample_ring {
	/* Written by the CPU itself. */
	uint64_t head;        /* slots put in so far */
	uint64_t taken, lost; /* samples, since pmuvisor started */
	uint8_t pad_head[2048 - 3 * sizeof(uint64_t)];
	/* Written by who prints: away from the other part's cache line, and its neighbours. */
	uint64_t tail; /* slots taken out so far */
	uint64_t sent; /* samples */
	uint8_t pad_tail[2048 - 2 * sizeof(uint64_t)];
	union sample_slot slots[SAMPLE_SLOTS];
};
_Static_assert(sizeof(struct sample_ring) == SAMPLE_RING_SIZE, "the loader reserves this much for each CPU");

/* The ring of any CPU; NULL: no samples are kept. */
static inline struct sample_ring *sample_ring_of(const struct cpu *cpu)
{
	uint64_t rings = cpu->boot->sample_rings;

	return rings ? (struct sample_ring *)(rings + cpu->id * SAMPLE_RING_SIZE) : NULL;
}

/* How many branches a sample has at most. */
unsigned sample_branches(const struct cpu *cpu);
/*
 * On the CPU itself: an NMI has come of these counters' overflows. `captured`: the LBRs have just been captured for it.
 */
void sample_take(struct cpu *cpu, uint64_t counters, bool captured);

/* Slots in it. */
static inline uint64_t sample_waiting(const struct sample_ring *ring)
{
	return __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE) - __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE);
}

/* For one reader at a time: the oldest, where it lies; NULL: there is none. */
static inline const struct sample *sample_peek(const struct sample_ring *ring)
{
	return sample_waiting(ring) ? &ring->slots[ring->tail % SAMPLE_SLOTS].sample : NULL;
}

/* Of the oldest; 0 is its newest. */
static inline const struct lbr_branch *sample_branch(const struct sample_ring *ring, unsigned n)
{
	return &ring->slots[(ring->tail + 1 + n / 2) % SAMPLE_SLOTS].branches[n % 2];
}

/* Takes the oldest out. */
void sample_drop(struct sample_ring *ring);

#endif
