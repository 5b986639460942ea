#include "cpu.h"
#include "arch/x86/reg.h"
#include "sample.h"

#define READ_TRIES 4 /* a CPU publishes once in a dump; one that has stopped in the middle never ends */

static void fill_guest_events(struct cpu *cpu, struct report *report)
{
	unsigned n = 0;

	for_each_bit(id, cpu->guest_events.open) {
		const struct guest_event *event = &cpu->guest_events.event[id];

		report->guest_events[n++] = (struct report_guest_event){
			.id = (unsigned)id,
			.counter = event->counter,
			.config = event->config,
			.counts = guest_event_counts(cpu, (unsigned)id, report->tsc),
		};
	}
	report->nr_guest_events = n;
}

static void fill_figures(const struct cpu *cpu, uint64_t now, struct figures *figures)
{
	const struct pmu *pmu = &cpu->pmu;
	const struct sample_ring *ring = sample_ring_of(cpu);

	figures->cpu = cpu->counts;
	figures->pmu = pmu->stats;
	figures->pebs = pmu->pebs.stats;
	figures->root_ticks = cpu->time.root + now; /* it lacks the time of the entry to come */
	figures->all_ticks = now - cpu->time.started;
	figures->samples_taken = ring ? ring->taken : 0;
	figures->samples_lost = ring ? ring->lost : 0;
	for (unsigned i = 0; i < pmu->nr_events; i++) {
		figures->counts[i] = pmu_host_count(pmu, &pmu->events[i]);
		figures->overflows[i] = pmu->events[i].overflows;
	}
}

static void fill(struct cpu *cpu, struct report *report)
{
	const struct pmu *pmu = &cpu->pmu;

	report->tsc = reg_rdtsc();
	fill_figures(cpu, report->tsc, &report->figures);
	report->captures = pmu->lbr.captures;
	report->nr_branches = pmu->lbr.nr_branches < REPORT_BRANCHES ? pmu->lbr.nr_branches : REPORT_BRANCHES;
	for (unsigned i = 0; i < report->nr_branches; i++)
		report->branches[i] = pmu->lbr.branches[i];
	fill_guest_events(cpu, report);
}

void report_publish(struct cpu *cpu)
{
	struct report *report = &cpu->report;

	pmu_poll(cpu);
	__atomic_store_n(&report->sequence, report->sequence | 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	fill(cpu, report);
	__atomic_store_n(&report->sequence, report->sequence + 1, __ATOMIC_RELEASE);
}

void report_read(const struct cpu *cpu, struct report *copy)
{
	const struct report *report = &cpu->report;

	for (unsigned i = 0; i < READ_TRIES; i++) {
		uint64_t before = __atomic_load_n(&report->sequence, __ATOMIC_ACQUIRE);

		*copy = *report;
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (!(before & 1) && __atomic_load_n(&report->sequence, __ATOMIC_RELAXED) == before)
			return;
	}
}
