/*
 * The host's counters. Each event's count is `total` plus what its counter has advanced since it was last written, so
 * reading never disturbs counting; an event with a period starts that far below the wrap, one without half way up.
 */
#include "pmu_private.h"

static uint64_t width_mask(const struct pmu *pmu)
{
	return BITS(pmu->caps.width - 1, 0);
}

static void start_at(const struct pmu *pmu, struct pmu_host_event *event, uint64_t value)
{
	event->start = value & width_mask(pmu);
	pmu->ops->write(event->counter, event->start);
}

static uint64_t advanced(const struct pmu *pmu, const struct pmu_host_event *event, uint64_t now)
{
	return (now - event->start) & width_mask(pmu);
}

/* A fixed counter, if the host has the one that counts this event; otherwise the next general-purpose one. */
static unsigned choose_counter(const struct pmu *pmu, const struct config_event *event, uint64_t free)
{
	static const struct {
		uint8_t event, umask;
		unsigned counter;
	} fixed[] = {
		{ 0xc0, 0x00, 32 }, /* instructions retired */
		{ 0x3c, 0x00, 33 }, /* core cycles */
	};

	for (unsigned i = 0; i < ARRAY_SIZE(fixed); i++) {
		if (event->event == fixed[i].event && event->umask == fixed[i].umask && (free & BIT(fixed[i].counter)))
			return fixed[i].counter;
	}
	return (unsigned)__builtin_ctzll(free & BITS(pmu->caps.nr_gp - 1, 0));
}

void host_events_init(struct pmu *pmu, const struct hv_config *config)
{
	uint64_t free = pmu->host;

	for_each_bit(n, pmu->host)
		pmu->ops->program((unsigned)n, NULL);
	pmu->nr_events = pmu->host ? config->nr_events : 0;
	for (unsigned i = 0; i < pmu->nr_events; i++) {
		const struct config_event *event = &config->events[i];
		uint64_t bit;

		pmu->events[i].config = event;
		pmu->events[i].counter = choose_counter(pmu, event, free);
		bit = BIT(pmu->events[i].counter);
		free &= ~bit;
		pmu->host_in_guest |= event->guest ? bit : 0;
		pmu->host_in_host |= event->host ? bit : 0;
		pmu->host_sampling |= event->period ? bit : 0;
	}
}

void host_events_program(struct pmu *pmu)
{
	for (unsigned i = 0; i < pmu->nr_events; i++) {
		struct pmu_host_event *event = &pmu->events[i];

		start_at(pmu, event, event->config->period ? -event->config->period : BIT(pmu->caps.width - 1));
		pmu->ops->program(event->counter, event->config);
	}
}

/* Goes on from `value`, which lies past the wrap, towards the next multiple of the period. */
static void reload(const struct pmu *pmu, struct pmu_host_event *event, uint64_t value)
{
	uint64_t period = event->config->period;

	event->total += advanced(pmu, event, value);
	if (!period) {
		start_at(pmu, event, BIT(pmu->caps.width - 1));
		return;
	}
	event->overflows += 1 + value / period;
	start_at(pmu, event, value % period - period);
}

void host_events_overflowed(struct pmu *pmu, uint64_t counters)
{
	/* Events that count in root mode count now: nothing may be lost between reading and writing the counter. */
	if (counters & pmu->host_in_host)
		pmu->ops->enable(0);
	for (unsigned i = 0; i < pmu->nr_events; i++) {
		struct pmu_host_event *event = &pmu->events[i];

		if (counters & BIT(event->counter))
			reload(pmu, event, pmu->ops->read(event->counter));
	}
	pmu->ops->clear_status(counters | (pmu_freezes_for_host(pmu) ? PMU_STATUS_LBR_FROZEN : 0));
}

#define HELD_BACK BIT(40)

static void hold_back(const struct pmu *pmu, struct pmu_host_event *event)
{
	uint64_t value = pmu->ops->read(event->counter);

	event->start = (event->start - HELD_BACK) & width_mask(pmu);
	pmu->ops->write(event->counter, (value - HELD_BACK) & width_mask(pmu));
}

/* A period that has ended meanwhile ends now. */
static void let_go(const struct pmu *pmu, struct pmu_host_event *event)
{
	uint64_t value = pmu->ops->read(event->counter) + HELD_BACK;

	event->start = (event->start + HELD_BACK) & width_mask(pmu);
	if (value > width_mask(pmu))
		reload(pmu, event, value & width_mask(pmu));
	else
		pmu->ops->write(event->counter, value);
}

void host_events_hold(struct pmu *pmu, bool hold)
{
	if (pmu->held == hold)
		return;
	pmu->held = hold;
	for (unsigned i = 0; i < pmu->nr_events; i++) {
		if (pmu->events[i].config->period)
			(hold ? hold_back : let_go)(pmu, &pmu->events[i]);
	}
}

/*
 * Stops root counting, so that nothing is lost between reading a counter and writing it, and takes what has overflowed.
 */
static void drain(struct cpu *cpu)
{
	struct pmu *pmu = &cpu->pmu;
	uint64_t overflowed;

	if (pmu->host_in_host)
		pmu->ops->enable(0);
	host_events_hold(pmu, false);
	overflowed = pmi_land(cpu) & pmu->host;
	if (!overflowed)
		return;
	host_events_overflowed(pmu, overflowed);
	pmu->stats.host_late += (uint64_t)__builtin_popcountll(overflowed & pmu->host_sampling);
}

void host_events_clear(struct cpu *cpu)
{
	struct pmu *pmu = &cpu->pmu;

	drain(cpu);
	for (unsigned i = 0; i < pmu->nr_events; i++) {
		struct pmu_host_event *event = &pmu->events[i];

		event->total += advanced(pmu, event, pmu->ops->read(event->counter));
		pmu->ops->program(event->counter, NULL);
		start_at(pmu, event, 0);
	}
}

void host_events_pause(struct cpu *cpu)
{
	struct pmu *pmu = &cpu->pmu;

	drain(cpu);
	for (unsigned i = 0; i < pmu->nr_events; i++) {
		struct pmu_host_event *event = &pmu->events[i];

		event->paused_at = pmu->ops->read(event->counter);
		pmu->ops->write(event->counter, 0);
	}
}

void host_events_resume(struct pmu *pmu)
{
	for (unsigned i = 0; i < pmu->nr_events; i++)
		pmu->ops->write(pmu->events[i].counter, pmu->events[i].paused_at);
}

uint64_t pmu_host_count(const struct pmu *pmu, const struct pmu_host_event *event)
{
	uint64_t now = pmu->window ? event->paused_at : pmu->ops->read(event->counter);

	return event->total + advanced(pmu, event, now);
}
