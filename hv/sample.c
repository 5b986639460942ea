#include "sample.h"
#include "arch/x86/reg.h"
#include "cpu.h"
#include "dump.h"

/* With so many branches. */
static unsigned sample_slots(unsigned branches)
{
	return 1 + (branches + 1) / 2;
}

unsigned sample_branches(const struct cpu *cpu)
{
	unsigned wanted = cpu->boot->config.sample_branches, most = cpu->pmu.lbr.caps.entries;

	if (!cpu->pmu.lbr.hosts)
		return 0;
	return wanted < most ? wanted : most;
}

static uint8_t branches_of(const struct cpu *cpu)
{
	unsigned most = sample_branches(cpu), captured = cpu->pmu.lbr.nr_branches;

	return (uint8_t)(captured < most ? captured : most);
}

static __attribute__((noinline)) void put_branches(struct sample_ring *ring, const struct lbr_branch *branches,
						   unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		ring->slots[(ring->head + 1 + i / 2) % SAMPLE_SLOTS].branches[i % 2] = branches[i];
}

/*
 * An overflow of an event that counts the guest alone belongs to the guest, even if its NMI came so late that it struck
 * in root mode.
 */
static void locate(struct cpu *cpu, struct sample *sample, bool counts_root)
{
	sample->root = counts_root && cpu->nmi.root_rip;
	sample->rip = sample->root ? cpu->nmi.root_rip : cpu->ops->read(cpu, GUEST_RIP);
	sample->cpl = sample->root ? 0 : (uint8_t)cpu->ops->read(cpu, GUEST_CPL);
	sample->cr3 = cpu->ops->read(cpu, GUEST_CR3);
}

static __attribute__((noinline)) void put(struct cpu *cpu, struct sample_ring *ring, unsigned event, bool captured)
{
	struct sample *sample = &ring->slots[ring->head % SAMPLE_SLOTS].sample;
	unsigned branches = captured ? branches_of(cpu) : 0, slots = sample_slots(branches);

	if (SAMPLE_SLOTS - sample_waiting(ring) < slots) {
		ring->lost++;
		return;
	}
	sample->tsc = reg_rdtsc();
	sample->event = (uint8_t)event;
	sample->nr_branches = (uint8_t)branches;
	locate(cpu, sample, cpu->pmu.host_in_host & BIT(cpu->pmu.events[event].counter));
	if (branches)
		put_branches(ring, cpu->pmu.lbr.branches, branches);
	ring->taken++;
	__atomic_store_n(&ring->head, ring->head + slots, __ATOMIC_RELEASE);
}

void sample_take(struct cpu *cpu, uint64_t counters, bool captured)
{
	struct sample_ring *ring = sample_ring_of(cpu);

	if (!ring)
		return;
	for (unsigned i = 0; i < cpu->pmu.nr_events; i++) {
		if (counters & BIT(cpu->pmu.events[i].counter))
			put(cpu, ring, i, captured);
	}
	if (sample_waiting(ring) >= SAMPLE_ENOUGH)
		dump_samples_wait(cpu);
}

void sample_drop(struct sample_ring *ring)
{
	unsigned slots = sample_slots(sample_peek(ring)->nr_branches);

	ring->sent++;
	__atomic_store_n(&ring->tail, ring->tail + slots, __ATOMIC_RELEASE);
}
