/* A small generator with a known sequence: SplitMix64, so that a seed means the same run everywhere. */
#ifndef REFINEMENT_RANDOM_H
#define REFINEMENT_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

struct random {
	uint64_t state;
};

static inline uint64_t random_next(struct random *random)
{
	uint64_t z = random->state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

/* 0 .. n - 1 */
static inline unsigned random_below(struct random *random, unsigned n)
{
	return (unsigned)(random_next(random) % n);
}

static inline bool random_percent(struct random *random, unsigned percent)
{
	return random_below(random, 100) < percent;
}

#define random_pick(random, list) (list)[random_below(random, sizeof(list) / sizeof((list)[0]))]

#endif
