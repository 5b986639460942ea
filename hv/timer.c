#include "timer.h"
#include "arch/x86/reg.h"
#include "cpu.h"
#include "dump.h"
#include "guest_event.h"
#include "guest_page.h"

static void (*const handlers[TIMER_USERS])(struct cpu *cpu) = {
	[TIMER_DUMP] = dump_tick,
	[TIMER_GUEST_EVENTS] = guest_events_rotate,
	[TIMER_GUEST_PAGE] = guest_page_refresh,
};

static bool is_due(uint64_t due, uint64_t now)
{
	return due && now - due < BIT(63);
}

/* For the next of them. */
static void wait(struct cpu *cpu, uint64_t now)
{
	uint64_t next = 0;

	for (unsigned user = 0; user < TIMER_USERS; user++) {
		uint64_t due = cpu->timer.due[user], left = is_due(due, now) ? 1 : due - now;

		if (user == TIMER_DUMP)
			left += cpu->timer.patience;
		if (due && (!next || left < next))
			next = left;
	}
	cpu->ops->set_timer(cpu, next);
}

void timer_set(struct cpu *cpu, enum timer_user user, uint64_t ticks)
{
	uint64_t now = reg_rdtsc();

	cpu->timer.due[user] = ticks ? now + ticks : 0;
	if (!cpu->timer.ticking)
		wait(cpu, now);
}

bool timer_is_due(const struct cpu *cpu, enum timer_user user)
{
	return is_due(cpu->timer.due[user], reg_rdtsc());
}

void timer_tick_early(struct cpu *cpu, uint64_t patience)
{
	uint64_t now = reg_rdtsc();

	cpu->timer.ticking = true;
	for (unsigned user = 0; user < TIMER_USERS; user++) {
		if (!is_due(cpu->timer.due[user], now))
			continue;
		cpu->timer.due[user] = 0;
		handlers[user](cpu);
	}
	cpu->timer.ticking = false;
	cpu->timer.patience = patience;
	wait(cpu, now);
}

void timer_tick(struct cpu *cpu)
{
	timer_tick_early(cpu, 0);
}
