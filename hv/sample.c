#include "sample.h"
#include "arch/x86/reg.h"
#include "cpu.h"
#include "dump.h"

/* The last word of the head. */
#define INFO_EVENT    BITS(7, 0)
#define INFO_CPL      BITS(9, 8)
#define INFO_ROOT     BIT(10)
#define INFO_BRANCHES BITS(23, 16)

struct sample_ring *sample_ring_of(const struct cpu *cpu)
{
	const struct boot_info *boot = cpu->boot;

	return boot->sample_rings ? (struct sample_ring *)(boot->sample_rings + cpu->id * SAMPLE_RING_SIZE) : NULL;
}

unsigned sample_branches(const struct cpu *cpu)
{
	unsigned wanted = cpu->boot->config.sample_branches, most = cpu->pmu.lbr.caps.entries;

	if (!cpu->pmu.lbr.hosts)
		return 0;
	return wanted < most ? wanted : most;
}

static void put_word(struct sample_ring *ring, uint64_t *head, uint64_t word)
{
	ring->words[(*head)++ % SAMPLE_WORDS] = word;
}

static void put(struct sample_ring *ring, const struct sample *sample, const struct lbr_branch *branches)
{
	uint64_t head = ring->head, used = head - __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE);

	if (SAMPLE_WORDS - used < SAMPLE_HEAD + 2 * sample->nr_branches) {
		ring->lost++;
		return;
	}
	put_word(ring, &head, sample->tsc);
	put_word(ring, &head, sample->rip);
	put_word(ring, &head, sample->cr3);
	put_word(ring, &head,
		 FIELD_PUT(INFO_EVENT, sample->event) | FIELD_PUT(INFO_CPL, sample->cpl) |
			 (sample->root ? INFO_ROOT : 0) | FIELD_PUT(INFO_BRANCHES, sample->nr_branches));
	for (unsigned i = 0; i < sample->nr_branches; i++) {
		put_word(ring, &head, branches[i].from);
		put_word(ring, &head, branches[i].to);
	}
	ring->taken++;
	__atomic_store_n(&ring->head, head, __ATOMIC_RELEASE);
}

/*
 * An overflow of an event that counts the guest alone belongs to the guest, even if its NMI came so late that it struck
 * in root mode.
 */
static void locate(struct cpu *cpu, struct sample *sample, bool counts_root)
{
	sample->root = counts_root && cpu->nmi.root_rip;
	sample->rip = sample->root ? cpu->nmi.root_rip : cpu->ops->read(cpu, GUEST_RIP);
	sample->cpl = sample->root ? 0 : (unsigned)cpu->ops->read(cpu, GUEST_CPL);
}

static unsigned branches_of(const struct cpu *cpu)
{
	unsigned most = sample_branches(cpu), captured = cpu->pmu.lbr.nr_branches;

	return captured < most ? captured : most;
}

void sample_take(struct cpu *cpu, uint64_t counters, bool captured)
{
	struct sample_ring *ring = sample_ring_of(cpu);
	const struct pmu *pmu = &cpu->pmu;
	struct sample sample;

	if (!ring)
		return;
	sample.tsc = reg_rdtsc();
	sample.cr3 = cpu->ops->read(cpu, GUEST_CR3);
	sample.nr_branches = captured ? branches_of(cpu) : 0;
	for (unsigned i = 0; i < pmu->nr_events; i++) {
		uint64_t counter = BIT(pmu->events[i].counter);

		if (!(counters & counter))
			continue;
		sample.event = i;
		locate(cpu, &sample, pmu->host_in_host & counter);
		put(ring, &sample, pmu->lbr.branches);
	}
	if (sample_waiting(ring) >= SAMPLE_ENOUGH)
		dump_samples_wait(cpu);
}

static uint64_t word_at(const struct sample_ring *ring, uint64_t place)
{
	return ring->words[(ring->tail + place) % SAMPLE_WORDS];
}

bool sample_peek(const struct sample_ring *ring, struct sample *sample, struct lbr_branch branches[LBR_MAX_ENTRIES])
{
	uint64_t info;

	if (__atomic_load_n(&ring->head, __ATOMIC_ACQUIRE) == ring->tail)
		return false;
	info = word_at(ring, SAMPLE_HEAD - 1);
	sample->tsc = word_at(ring, 0);
	sample->rip = word_at(ring, 1);
	sample->cr3 = word_at(ring, 2);
	sample->event = (unsigned)FIELD_GET(INFO_EVENT, info);
	sample->cpl = (unsigned)FIELD_GET(INFO_CPL, info);
	sample->root = info & INFO_ROOT;
	sample->nr_branches = (unsigned)FIELD_GET(INFO_BRANCHES, info);
	for (unsigned i = 0; i < sample->nr_branches; i++) {
		branches[i].from = word_at(ring, SAMPLE_HEAD + 2 * i);
		branches[i].to = word_at(ring, SAMPLE_HEAD + 2 * i + 1);
	}
	return true;
}

void sample_drop(struct sample_ring *ring, const struct sample *sample)
{
	ring->sent++;
	__atomic_store_n(&ring->tail, ring->tail + SAMPLE_HEAD + 2 * sample->nr_branches, __ATOMIC_RELEASE);
}
