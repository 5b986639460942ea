/*
 * Memory accesses: the caches they meet, the events they cause, and what a PEBS record says of them.
 */
#include <string.h>

#include "pmu_private.h"

/*
 * Two caches. The first is direct-mapped, 512 lines: what it holds is no LLC reference. The last-level cache has 1024
 * sets of 8 ways of 128-byte sectors, least recently used out first; a sector is two lines, as if every miss fetched
 * its neighbour too. They learn only while somebody counts accesses, and CLFLUSH empties both always.
 */
#define LINE_SHIFT   6
#define SECTOR_SHIFT 7

static uint64_t *llc_set(struct pmu_cache *cache, uint64_t sector)
{
	return cache->llc[sector % LLC_SETS];
}

static unsigned find_way(const uint64_t *tags, uint64_t tag)
{
	unsigned way = 0;

	while (way < LLC_WAYS && tags[way] != tag)
		way++;
	return way;
}

/* Whether the sector was there; it is now, as the most recently used. */
static bool llc_hit(struct pmu_cache *cache, uint64_t sector)
{
	uint64_t *tags = llc_set(cache, sector);
	unsigned way = find_way(tags, sector + 1);
	bool hit = way < LLC_WAYS;

	memmove(tags + 1, tags, (hit ? way : LLC_WAYS - 1) * sizeof(*tags));
	tags[0] = sector + 1;
	return hit;
}

/* The latencies are plausible and fixed. Each is longer than the one before, so that a threshold selects. */
static unsigned latency_of(enum pmu_source source)
{
	switch (source) {
	case SOURCE_NONE: break;
	case SOURCE_L1: return 5;
	case SOURCE_L3: return 42;
	case SOURCE_LOCAL_MEMORY: return 200;
	}
	return 0;
}

static enum pmu_source access_line(struct pmu_model *model, uint64_t line)
{
	uint64_t *first = &model->cache.first[line % FIRST_LINES];
	bool hit;

	if (*first == line + 1)
		return SOURCE_L1;
	*first = line + 1;
	hit = llc_hit(&model->cache, line >> (SECTOR_SHIFT - LINE_SHIFT));
	model->signals[SIGNAL_LLC_REFERENCES]++;
	model->signals[SIGNAL_LLC_MISSES] += !hit;
	model->hot.pending = true;
	return hit ? SOURCE_L3 : SOURCE_LOCAL_MEMORY;
}

static enum pmu_source farthest(enum pmu_source a, enum pmu_source b)
{
	return latency_of(a) > latency_of(b) ? a : b;
}

/*
 * An instruction may access memory more than once; the record is of its first load or store. Its TLB misses and locks
 * are not known here.
 */
static void note(struct pmu_access *first, uint64_t linear, enum pmu_source source)
{
	if (first->source == SOURCE_NONE)
		*first = (struct pmu_access){ linear, source, latency_of(source) };
}

static void note_load(struct pmu_model *model, uint64_t linear, enum pmu_source source)
{
	note(&model->load, linear, source);
	model->signals[SIGNAL_LOADS]++;
	model->signals[SIGNAL_SLOW_LOADS] += latency_of(source) > model->pebs.latency;
	model->hot.pending = true;
}

static void note_store(struct pmu_model *model, uint64_t linear, enum pmu_source source)
{
	note(&model->store, linear, source);
	model->signals[SIGNAL_STORES]++;
	model->hot.pending = true;
}

void pmu_model_count_access(struct pmu_model *model, unsigned kinds, uint64_t linear, uint64_t physical, unsigned size)
{
	uint64_t last = (physical + size - 1) >> LINE_SHIFT;
	enum pmu_source source = SOURCE_NONE;

	/* A store allocates like a load. */
	for (uint64_t line = physical >> LINE_SHIFT; line <= last; line++)
		source = farthest(source, access_line(model, line));
	if (!model->watches_accesses)
		return;
	if (kinds & PMU_MODEL_LOAD)
		note_load(model, linear, source);
	if (kinds & PMU_MODEL_STORE)
		note_store(model, linear, source);
}

void pmu_forget_accesses(struct pmu_model *model)
{
	memset(&model->load, 0, sizeof(model->load));
	memset(&model->store, 0, sizeof(model->store));
}

void pmu_model_clflush(struct pmu_model *model, uint64_t physical)
{
	uint64_t line = physical >> LINE_SHIFT, sector = physical >> SECTOR_SHIFT;
	uint64_t *first = &model->cache.first[line % FIRST_LINES];
	uint64_t *tags = llc_set(&model->cache, sector);
	unsigned way = find_way(tags, sector + 1);

	if (*first == line + 1)
		*first = 0;
	if (way == LLC_WAYS)
		return;
	memmove(tags + way, tags + way + 1, (LLC_WAYS - 1 - way) * sizeof(*tags));
	tags[LLC_WAYS - 1] = 0;
}
