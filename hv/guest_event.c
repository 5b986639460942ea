#include "guest_event.h"
#include "arch/x86/reg.h"
#include "cpu.h"
#include "text.h"
#include "timer.h"

#define ALL_EVENTS BITS(PMUVISOR_EVENTS - 1, 0)
#define MAX_PERIOD BITS(46, 0) /* a counter must not start in the lower half, where it would look overflowed */
#define TURN_MS    4
#define KNOWN_BITS                                                                                                     \
	(PMUVISOR_EVENT_SELECT | PMUVISOR_EVENT_UMASK | PMUVISOR_EVENT_NAME | PMUVISOR_EVENT_USER |                    \
	 PMUVISOR_EVENT_KERNEL | PMUVISOR_EVENT_GUEST | PMUVISOR_EVENT_HOST | PMUVISOR_EVENT_PMI)

/* SDM Vol. 3B, "Pre-defined Architectural Performance Events": what every vendor's code takes for these. */
static const struct {
	const char *name;
	uint8_t event, umask;
} named[] = {
	[PMUVISOR_NAME_INSTRUCTIONS] = { "instructions", 0xc0, 0x00 },
	[PMUVISOR_NAME_CYCLES] = { "cycles", 0x3c, 0x00 },
	[PMUVISOR_NAME_BRANCHES] = { "branches", 0xc4, 0x00 },
	[PMUVISOR_NAME_BRANCH_MISSES] = { "branch-misses", 0xc5, 0x00 },
	[PMUVISOR_NAME_LLC_MISSES] = { "llc-misses", 0x2e, 0x41 },
};

static bool parse_name(struct config_event *config, uint64_t word)
{
	struct text text = { config->name, config->name + sizeof(config->name) - 1 };
	uint64_t name = FIELD_GET(PMUVISOR_EVENT_NAME, word);

	config->event = (uint8_t)FIELD_GET(PMUVISOR_EVENT_SELECT, word);
	config->umask = (uint8_t)FIELD_GET(PMUVISOR_EVENT_UMASK, word);
	if (!name) {
		text_string(&text, "event=");
		text_hex(&text, config->event);
		text_string(&text, ",umask=");
		text_hex(&text, config->umask);
		return config->event; /* event 0 is how some tools spell fixed counters */
	}
	if (name >= ARRAY_SIZE(named) || config->event || config->umask)
		return false;
	text_string(&text, named[name].name);
	config->event = named[name].event;
	config->umask = named[name].umask;
	return true;
}

/* Otherwise handling one overflow could cause the next, and the guest would never run. */
static uint64_t least_period(const struct config_event *config)
{
	return config->host && config->kernel ? PMUVISOR_MIN_PERIOD_ROOT : PMUVISOR_MIN_PERIOD;
}

static int64_t parse(struct config_event *config, uint64_t word, uint64_t period)
{
	*config = (struct config_event){
		.user = word & PMUVISOR_EVENT_USER,
		.kernel = word & PMUVISOR_EVENT_KERNEL,
		.guest = word & PMUVISOR_EVENT_GUEST,
		.host = word & PMUVISOR_EVENT_HOST,
		.period = period,
	};
	if (word & ~KNOWN_BITS || !(config->user || config->kernel) || !(config->guest || config->host))
		return PMUVISOR_E_ARGUMENT;
	if (!parse_name(config, word))
		return PMUVISOR_E_EVENT;
	if (period ? period > MAX_PERIOD || period < least_period(config) : word & PMUVISOR_EVENT_PMI)
		return PMUVISOR_E_PERIOD;
	return 0;
}

/* Those that the configuration left to the guest. */
static uint64_t counters(const struct cpu *cpu)
{
	const struct pmu *pmu = &cpu->pmu;
	uint64_t left = pmu->host;

	for (unsigned i = 0; i < pmu->nr_events; i++)
		left &= ~BIT(pmu->events[i].counter);
	return left;
}

unsigned guest_events_counters(const struct cpu *cpu)
{
	return (unsigned)__builtin_popcountll(counters(cpu));
}

int64_t guest_event_open(struct cpu *cpu, uint64_t config, uint64_t period, uint64_t *id)
{
	struct guest_events *events = &cpu->guest_events;
	uint64_t closed = ALL_EVENTS & ~events->open;
	struct guest_event event = { .tells = config & PMUVISOR_EVENT_PMI, .counter = PMU_NO_COUNTER };
	int64_t error = parse(&event.config, config, period);

	if (error)
		return error;
	if (!closed)
		return PMUVISOR_E_FULL;
	if (pmu_host_counter_for(&cpu->pmu, &event.config, counters(cpu)) == PMU_NO_COUNTER)
		return PMUVISOR_E_COUNTERS;
	*id = (unsigned)__builtin_ctzll(closed);
	events->event[*id] = event;
	events->open |= BIT(*id);
	cpu->pmu.gate.dirty = true; /* for the page */
	return 0;
}

static uint64_t paused(const struct pmu *pmu, uint64_t now)
{
	return pmu->stats.paused_tsc + (pmu->window ? now - pmu->window_since : 0);
}

/* Ticks that it has counted since it got its counter. */
static uint64_t running(const struct cpu *cpu, const struct guest_event *event, uint64_t now)
{
	return now - event->on_since - (paused(&cpu->pmu, now) - event->paused_since);
}

static void take_off(struct cpu *cpu, struct guest_event *event, uint64_t now)
{
	struct pmu_host_event live;

	if (event->counter == PMU_NO_COUNTER)
		return;
	pmu_host_remove(&cpu->pmu, event->counter, &live, &event->done);
	event->counter = PMU_NO_COUNTER;
	event->count += live.total;
	event->overflows += live.overflows;
	event->running += running(cpu, event, now);
}

/* False: there is no counter for it among `*free`. */
static bool put_on(struct cpu *cpu, struct guest_event *event, uint64_t now, uint64_t *free)
{
	unsigned counter = pmu_host_counter_for(&cpu->pmu, &event->config, *free);

	if (counter == PMU_NO_COUNTER)
		return false;
	*free &= ~BIT(counter);
	pmu_host_add(&cpu->pmu, counter, &event->config, event->done, event->tells);
	event->counter = counter;
	event->on_since = now;
	event->paused_since = paused(&cpu->pmu, now);
	return true;
}

/* As many as there are counters for, from the one on whose turn it is. The next turn is the first one's that waits. */
static void schedule(struct cpu *cpu, uint64_t now)
{
	struct guest_events *events = &cpu->guest_events;
	unsigned first = events->first;
	uint64_t free, waiting = 0;

	for_each_bit(id, events->open)
		take_off(cpu, &events->event[id], now);
	free = pmu_host_free(&cpu->pmu);
	for (unsigned i = 0; i < PMUVISOR_EVENTS; i++) {
		unsigned id = (first + i) % PMUVISOR_EVENTS;

		if (!(events->enabled & BIT(id)) || put_on(cpu, &events->event[id], now, &free))
			continue;
		events->first = waiting ? events->first : id;
		waiting |= BIT(id);
	}
	timer_set(cpu, TIMER_GUEST_EVENTS, waiting ? cpu->boot->tsc_hz / 1000 * TURN_MS : 0);
}

/* Of `events`, only those that change. */
static void set_enabled(struct cpu *cpu, uint64_t enabled)
{
	struct guest_events *events = &cpu->guest_events;
	uint64_t now, on = enabled & ~events->enabled, off = events->enabled & ~enabled;

	if (!(on | off))
		return;
	pmu_host_change_begin(cpu);
	now = reg_rdtsc();
	for_each_bit(id, on)
		events->event[id].since = now;
	for_each_bit(id, off)
		events->event[id].enabled += now - events->event[id].since;
	events->enabled = enabled;
	schedule(cpu, now);
	pmu_host_change_end(cpu);
}

static bool are_open(const struct cpu *cpu, uint64_t events)
{
	return events && !(events & ~cpu->guest_events.open);
}

int64_t guest_events_enable(struct cpu *cpu, uint64_t events)
{
	if (!are_open(cpu, events))
		return PMUVISOR_E_ID;
	set_enabled(cpu, cpu->guest_events.enabled | events);
	return 0;
}

int64_t guest_events_disable(struct cpu *cpu, uint64_t events)
{
	if (!are_open(cpu, events))
		return PMUVISOR_E_ID;
	set_enabled(cpu, cpu->guest_events.enabled & ~events);
	return 0;
}

int64_t guest_events_close(struct cpu *cpu, uint64_t events)
{
	if (!are_open(cpu, events))
		return PMUVISOR_E_ID;
	set_enabled(cpu, cpu->guest_events.enabled & ~events);
	cpu->guest_events.open &= ~events;
	cpu->pmu.gate.dirty = true; /* for the page */
	return 0;
}

int64_t guest_events_reset(struct cpu *cpu, uint64_t events)
{
	uint64_t now;

	if (!are_open(cpu, events))
		return PMUVISOR_E_ID;
	pmu_host_change_begin(cpu);
	now = reg_rdtsc();
	for_each_bit(id, events) {
		struct guest_event *event = &cpu->guest_events.event[id];

		take_off(cpu, event, now);
		event->count = event->overflows = event->done = 0;
	}
	schedule(cpu, now);
	pmu_host_change_end(cpu);
	return 0;
}

struct guest_event_counts guest_event_counts(struct cpu *cpu, unsigned id, uint64_t now)
{
	const struct guest_event *event = &cpu->guest_events.event[id];
	struct guest_event_counts counts = {
		.count = event->count,
		.overflows = event->overflows,
		.enabled = event->enabled,
		.running = event->running,
	};

	if (cpu->guest_events.enabled & BIT(id))
		counts.enabled += now - event->since;
	if (event->counter != PMU_NO_COUNTER) {
		const struct pmu_host_event *live = pmu_host_event_on(&cpu->pmu, event->counter);

		counts.count += pmu_host_count(&cpu->pmu, live);
		counts.overflows += live->overflows;
		counts.running += running(cpu, event, now);
	}
	return counts;
}

int64_t guest_event_read(struct cpu *cpu, uint64_t id, struct guest_event_counts *counts)
{
	if (id >= PMUVISOR_EVENTS || !(cpu->guest_events.open & BIT(id)))
		return PMUVISOR_E_ID;
	if (cpu->guest_events.event[id].config.period)
		pmu_poll(cpu);
	*counts = guest_event_counts(cpu, (unsigned)id, reg_rdtsc());
	return 0;
}

/* Not in the middle of the guest's handling of its own PMI, which would find registers closed that were open. */
void guest_events_rotate(struct cpu *cpu)
{
	if (cpu->pmu.window) {
		timer_set(cpu, TIMER_GUEST_EVENTS, cpu->boot->tsc_hz / 1000);
		return;
	}
	pmu_host_change_begin(cpu);
	schedule(cpu, reg_rdtsc());
	pmu_host_change_end(cpu);
}
