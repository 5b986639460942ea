/*
 * The host's counters. Each event's count is `total` plus what its counter has advanced since it was last written, so
 * reading never disturbs counting; an event with a period starts that far below the wrap, one without half way up.
 *
 * Where entries into the guest count, they are no events and are taken off: what is known is how many there were. They
 * bring a counter to its wrap before the period is over; then it goes on with what is left of that.
 */
#include "pmu_private.h"

static uint64_t width_mask(const struct pmu *pmu)
{
	return BITS(pmu->caps.width - 1, 0);
}

/* Into the guest, as far as this counter has counted them. */
static uint64_t entries(const struct pmu *pmu, const struct pmu_host_event *event)
{
	return (event->counts_entry[0] ? pmu->entries[0] : 0) + (event->counts_entry[1] ? pmu->entries[1] : 0);
}

static void start_at(const struct pmu *pmu, struct pmu_host_event *event, uint64_t value)
{
	event->start = value & width_mask(pmu);
	event->entered = entries(pmu, event);
	pmu->ops->write(event->counter, event->start);
}

static uint64_t advanced(const struct pmu *pmu, const struct pmu_host_event *event, uint64_t now)
{
	return (now - event->start - (entries(pmu, event) - event->entered)) & width_mask(pmu);
}

/* A fixed counter, if the host has the one that counts this event; otherwise the next general-purpose one. */
unsigned pmu_host_counter_for(const struct pmu *pmu, const struct config_event *event, uint64_t free)
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
	free &= BIT(pmu->caps.nr_gp) - 1;
	return free ? (unsigned)__builtin_ctzll(free) : PMU_NO_COUNTER;
}

/* What the counters do together. */
static void summarize(struct pmu *pmu)
{
	pmu->host_in_guest = pmu->host_in_host = pmu->host_sampling = 0;
	for (unsigned i = 0; i < pmu->nr_live; i++) {
		const struct config_event *config = pmu->events[i].config;
		uint64_t bit = BIT(pmu->events[i].counter);

		pmu->host_in_guest |= config->guest ? bit : 0;
		pmu->host_in_host |= config->host ? bit : 0;
		pmu->host_sampling |= config->period ? bit : 0;
	}
}

uint64_t pmu_host_free(const struct pmu *pmu)
{
	uint64_t free = pmu->host;

	for (unsigned i = 0; i < pmu->nr_live; i++)
		free &= ~BIT(pmu->events[i].counter);
	return free;
}

void host_events_init(struct pmu *pmu, const struct hv_config *config)
{
	for_each_bit(n, pmu->host)
		pmu->ops->program((unsigned)n, NULL);
	pmu->nr_events = pmu->host ? config->nr_events : 0;
	for (pmu->nr_live = 0; pmu->nr_live < pmu->nr_events; pmu->nr_live++) {
		const struct config_event *event = &config->events[pmu->nr_live];
		unsigned counter = pmu_host_counter_for(pmu, event, pmu_host_free(pmu));

		if (counter == PMU_NO_COUNTER)
			break; /* no configuration that config_fits() has accepted */
		pmu->events[pmu->nr_live] = (struct pmu_host_event){ .config = event, .counter = counter };
	}
	summarize(pmu);
}

/* Half way up, so that it doesn't wrap within years, or so far below the wrap that it ends the period. */
static void start(const struct pmu *pmu, struct pmu_host_event *event, uint64_t done)
{
	uint64_t period = event->config->period, bit = BIT(event->counter);

	event->left = period - done;
	start_at(pmu, event, period ? done - period : BIT(pmu->caps.width - 1));
	pmu->ops->program(event->counter, event->config);
	for (unsigned user = 0; pmu->ops->counts_entry && user < 2; user++)
		event->counts_entry[user] = event->config->guest && pmu->ops->counts_entry(bit, user);
	event->entered = entries(pmu, event);
}

void host_events_program(struct pmu *pmu)
{
	for (unsigned i = 0; i < pmu->nr_live; i++)
		start(pmu, &pmu->events[i], 0);
}

static bool counts_next_entry(struct cpu *cpu, const struct pmu_host_event *event)
{
	return cpu->pmu.ops->counts_entry && event->counts_entry[cpu->ops->read(cpu, GUEST_CPL) > 0];
}

/* Opened by the guest, whose page tells of it. */
static bool is_guests(const struct pmu *pmu, const struct pmu_host_event *event)
{
	return event >= pmu->events + pmu->nr_events;
}

static void end_period(struct pmu *pmu, struct pmu_host_event *event, uint64_t beyond)
{
	uint64_t period = event->config->period;

	event->overflows += 1 + beyond / period;
	event->left = period - beyond % period;
	pmu->told |= event->tells;
	pmu->gate.dirty |= is_guests(pmu, event);
}

/* Goes on from `value`, which lies past the wrap, towards the next multiple of the period. */
static void reload(struct cpu *cpu, struct pmu_host_event *event, uint64_t value)
{
	struct pmu *pmu = &cpu->pmu;
	uint64_t counted = advanced(pmu, event, value);

	event->total += counted;
	if (!event->config->period) {
		start_at(pmu, event, BIT(pmu->caps.width - 1));
		return;
	}
	if (counted >= event->left)
		end_period(pmu, event, counted - event->left);
	else
		event->left -= counted;
	start_at(pmu, event, -event->left - counts_next_entry(cpu, event));
}

uint64_t host_events_ended(const struct pmu *pmu, uint64_t counters)
{
	for (unsigned i = 0; i < pmu->nr_live; i++) {
		const struct pmu_host_event *event = &pmu->events[i];

		if (counters & BIT(event->counter) && entries(pmu, event) != event->entered &&
		    advanced(pmu, event, pmu->ops->read(event->counter)) < event->left)
			counters &= ~BIT(event->counter);
	}
	return counters;
}

/* Of two such, the PMI of each would bring on the other's, and the guest would get nowhere: they are reloaded together. */
static bool next_entry_wraps(struct cpu *cpu, const struct pmu_host_event *event)
{
	return event->config->period && counts_next_entry(cpu, event) &&
	       cpu->pmu.ops->read(event->counter) == width_mask(&cpu->pmu);
}

void host_events_overflowed(struct cpu *cpu, uint64_t counters)
{
	struct pmu *pmu = &cpu->pmu;

	/* Events that count in root mode count now: nothing may be lost between reading and writing the counter. */
	if (counters & pmu->host_in_host)
		pmu->ops->enable(0);
	for (unsigned i = 0; i < pmu->nr_live; i++) {
		struct pmu_host_event *event = &pmu->events[i];

		if (counters & BIT(event->counter) || next_entry_wraps(cpu, event))
			reload(cpu, event, pmu->ops->read(event->counter));
	}
	pmu->ops->clear_status(counters | (pmu_freezes_for_host(pmu) ? PMU_STATUS_LBR_FROZEN : 0));
}

#define HELD_BACK BIT(40)

static void hold_back(struct cpu *cpu, struct pmu_host_event *event)
{
	struct pmu *pmu = &cpu->pmu;
	uint64_t value = pmu->ops->read(event->counter);

	event->start = (event->start - HELD_BACK) & width_mask(pmu);
	pmu->ops->write(event->counter, (value - HELD_BACK) & width_mask(pmu));
}

/* A period that has ended meanwhile ends now. */
static void let_go(struct cpu *cpu, struct pmu_host_event *event)
{
	struct pmu *pmu = &cpu->pmu;
	uint64_t value = pmu->ops->read(event->counter) + HELD_BACK;

	event->start = (event->start + HELD_BACK) & width_mask(pmu);
	if (value > width_mask(pmu))
		reload(cpu, event, value & width_mask(pmu));
	else
		pmu->ops->write(event->counter, value);
}

void host_events_hold(struct cpu *cpu, bool hold)
{
	struct pmu *pmu = &cpu->pmu;

	if (pmu->held == hold)
		return;
	pmu->held = hold;
	for (unsigned i = 0; i < pmu->nr_live; i++) {
		if (pmu->events[i].config->period)
			(hold ? hold_back : let_go)(cpu, &pmu->events[i]);
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
	host_events_hold(cpu, false);
	overflowed = pmi_land(cpu) & pmu->host;
	if (!overflowed)
		return;
	host_events_overflowed(cpu, overflowed);
	pmu->stats.host_late += (uint64_t)__builtin_popcountll(overflowed & pmu->host_sampling);
}

void host_events_clear(struct cpu *cpu)
{
	struct pmu *pmu = &cpu->pmu;

	drain(cpu);
	for (unsigned i = 0; i < pmu->nr_live; i++) {
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
	for (unsigned i = 0; i < pmu->nr_live; i++) {
		struct pmu_host_event *event = &pmu->events[i];

		event->paused_at = pmu->ops->read(event->counter);
		pmu->ops->write(event->counter, 0);
	}
}

/* The entry to come isn't of the level that the one was which a period was set up for. */
void host_events_resume(struct cpu *cpu)
{
	struct pmu *pmu = &cpu->pmu;

	for (unsigned i = 0; i < pmu->nr_live; i++) {
		struct pmu_host_event *event = &pmu->events[i];

		if (event->config->period && pmu->ops->counts_entry)
			reload(cpu, event, event->paused_at);
		else
			pmu->ops->write(event->counter, event->paused_at);
	}
}

uint64_t pmu_host_count(const struct pmu *pmu, const struct pmu_host_event *event)
{
	uint64_t now = pmu->window ? event->paused_at : pmu->ops->read(event->counter);

	return event->total + advanced(pmu, event, now);
}

uint64_t pmu_host_ahead(struct pmu *pmu, unsigned counter)
{
	const struct pmu_host_event *event = pmu_host_event_on(pmu, counter);
	unsigned rest = 64 - pmu->caps.width;

	return event->total - (uint64_t)((int64_t)(event->start << rest) >> rest) -
	       (entries(pmu, event) - event->entered);
}

void host_events_stop_root(struct cpu *cpu)
{
	drain(cpu);
}

void pmu_host_add(struct pmu *pmu, unsigned counter, const struct config_event *config, uint64_t done, bool tells)
{
	struct pmu_host_event *event = &pmu->events[pmu->nr_live++];

	*event = (struct pmu_host_event){ .config = config, .counter = counter, .tells = tells };
	start(pmu, event, done);
	summarize(pmu);
}

struct pmu_host_event *pmu_host_event_on(struct pmu *pmu, unsigned counter)
{
	for (unsigned i = 0; i < pmu->nr_live; i++) {
		if (pmu->events[i].counter == counter)
			return &pmu->events[i];
	}
	return NULL;
}

void pmu_host_remove(struct pmu *pmu, unsigned counter, struct pmu_host_event *event, uint64_t *done)
{
	struct pmu_host_event *live = pmu_host_event_on(pmu, counter);
	uint64_t counted = advanced(pmu, live, pmu->ops->read(counter)), period = live->config->period;

	live->total += counted;
	*done = period ? period - live->left + counted : 0;
	pmu->ops->program(counter, NULL);
	start_at(pmu, live, 0);
	*event = *live;
	*live = pmu->events[--pmu->nr_live];
	summarize(pmu);
}
