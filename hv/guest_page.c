#include "guest_page.h"
#include "arch/x86/reg.h"
#include "cpu.h"

#define RDPMC_FIXED  BIT(30) /* SDM Vol. 2B, "RDPMC"; AMD has none of these */
#define FIRST_FIXED  32u
#define MIN_TIME(hz) ((hz) / 1000)

static void begin(struct pmuvisor_page *page)
{
	__atomic_store_n(&page->sequence, page->sequence | 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
}

static void end(struct pmuvisor_page *page)
{
	__atomic_store_n(&page->sequence, page->sequence + 1, __ATOMIC_RELEASE);
}

int64_t guest_page_keep(struct cpu *cpu, uint64_t kept, uint64_t refresh, uint64_t *address)
{
	if (kept > 1 || (refresh && (!kept || refresh < MIN_TIME(cpu->boot->tsc_hz) || refresh & BIT(63))))
		return PMUVISOR_E_ARGUMENT;
	cpu->page.refresh = refresh;
	if (kept)
		begin(cpu->page.shown); /* what is in it may be old; the entry ends it */
	cpu->page.shown->version = kept ? PMUVISOR_PAGE_VERSION : 0;
	timer_set(cpu, TIMER_GUEST_PAGE, refresh);
	cpu->pmu.gate.dirty = true;
	*address = cpu->page.address;
	return 0;
}

void guest_page_refresh(struct cpu *cpu)
{
	timer_set(cpu, TIMER_GUEST_PAGE, cpu->page.refresh);
	cpu->pmu.gate.dirty = true;
}

/* In a window the counter is the guest's to read, but holds nothing. */
static uint32_t rdpmc_of(const struct pmu *pmu, unsigned counter)
{
	if (counter == PMU_NO_COUNTER || pmu->window || !pmu->gate.rdpmc_open)
		return 0;
	return 1 + (uint32_t)(counter < FIRST_FIXED ? counter : RDPMC_FIXED | (counter - FIRST_FIXED));
}

static uint32_t state_of(const struct cpu *cpu, unsigned id)
{
	bool has_counter = cpu->guest_events.event[id].counter != PMU_NO_COUNTER;

	return PMUVISOR_STATE_OPEN | (cpu->guest_events.enabled & BIT(id) ? PMUVISOR_STATE_ENABLED : 0) |
	       (has_counter && !cpu->pmu.window ? PMUVISOR_STATE_COUNTING : 0);
}

static uint64_t ahead_of(struct cpu *cpu, unsigned id)
{
	const struct guest_event *event = &cpu->guest_events.event[id];

	return event->counter == PMU_NO_COUNTER ? 0 : event->count + pmu_host_ahead(&cpu->pmu, event->counter);
}

static struct pmuvisor_page_event tell(struct cpu *cpu, unsigned id, uint64_t now)
{
	const struct guest_event *event = &cpu->guest_events.event[id];
	struct guest_event_counts counts = guest_event_counts(cpu, id, now);

	return (struct pmuvisor_page_event){
		.state = state_of(cpu, id),
		.rdpmc = rdpmc_of(&cpu->pmu, event->counter),
		.count = counts.count,
		.enabled = counts.enabled,
		.running = counts.running,
		.overflows = counts.overflows,
		.ahead = ahead_of(cpu, id),
	};
}

static void fill(struct cpu *cpu, struct pmuvisor_page *page)
{
	const struct pmuvisor_page_event none = { .state = 0 };

	page->tsc = reg_rdtsc();
	page->cpu = (uint32_t)cpu->id;
	page->width = cpu->pmu.caps.width;
	for (unsigned id = 0; id < PMUVISOR_EVENTS; id++)
		page->event[id] = cpu->guest_events.open & BIT(id) ? tell(cpu, id, page->tsc) : none;
}

void guest_page_publish(struct cpu *cpu)
{
	struct pmuvisor_page *page = cpu->page.shown;

	if (!page->version)
		return;
	begin(page);
	fill(cpu, page);
	end(page);
}

void guest_page_entering(struct cpu *cpu)
{
	struct pmuvisor_page *page = cpu->page.shown;

	if (!page->version)
		return;
	begin(page);
	for_each_bit(id, cpu->guest_events.open)
		page->event[id].ahead = ahead_of(cpu, (unsigned)id);
	end(page);
}
