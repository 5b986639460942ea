#include "pmu_private.h"

static enum pebs_offer offer(const struct pmu_caps *caps, enum config_pebs wanted)
{
	if (!caps->pebs)
		return PEBS_ABSENT;
	switch (wanted) {
	case CONFIG_PEBS_AUTO: return caps->pebs_ept_friendly ? PEBS_OFFERED : PEBS_UNSAFE;
	case CONFIG_PEBS_ON: return PEBS_OFFERED;
	case CONFIG_PEBS_OFF: break;
	}
	return PEBS_OFF;
}

static void set_enable(struct pmu *pmu, uint64_t enable)
{
	struct pmu_gate *gate = &pmu->gate;

	pmu->pebs.idle = 0;
	if (enable && !gate->pebs_active) {
		gate->pebs_active = true;
		pmu->pebs.stats.starts++;
	}
	gate->pebs_enable = enable;
	gate->dirty = true;
}

void pebs_init(struct pmu *pmu, enum config_pebs wanted)
{
	pmu->pebs.offer = offer(&pmu->caps, wanted);
	if (!pmu->caps.pebs)
		return;
	if (pmu->pebs.offer == PEBS_OFFERED)
		set_enable(pmu, pmu->ops->pebs_enabled() & pmu->guest);
	pmu->ops->pebs_enable(0);
}

void pebs_exited(struct pmu *pmu, uint64_t stored)
{
	struct pmu_gate *gate = &pmu->gate;
	uint64_t enable = stored & pmu->guest;

	pmu->pebs.stats.exits++;
	if (stored != enable)
		pmu->stats.hidden_writes++;
	if (stored != gate->pebs_enable) {
		gate->pebs_enable = enable;
		gate->dirty = true;
	}
	if (enable) {
		pmu->pebs.idle = 0;
	} else if (++pmu->pebs.idle == PEBS_IDLE_EXITS) {
		gate->pebs_active = false;
		gate->dirty = true;
	}
}

/*
 * While closed the status bits of armed counters are in the hardware, those of others in memory: what changes from one
 * to the other moves. Clearing the enable bit of an armed counter leaves an ordinary overflow, setting it on an
 * overflow arms it.
 */
static void move_status(struct pmu *pmu, uint64_t before)
{
	uint64_t disarmed = before & ~pmu->gate.pebs_enable, armed = pmu->guest_status & pmu->gate.pebs_enable;

	if (disarmed)
		pmu->guest_status |= pmu_take_status(pmu, pmu->ops->status() & disarmed);
	if (armed)
		pmu->ops->set_status(armed);
	pmu->guest_status &= ~armed;
}

bool pebs_write_enable(struct pmu *pmu, uint64_t value)
{
	uint64_t before = pmu->gate.pebs_enable;

	if (value & ~pmu->guest)
		return false;
	set_enable(pmu, value);
	if (!pmu_is_open(pmu))
		move_status(pmu, before);
	return true;
}

/* Where a record that faults is lost at best, it must not be able to meet a page that isn't there for the guest. */
bool pebs_accept_ds_area(struct pmu *pmu, enum guest_memory where)
{
	struct pebs_stats *stats = &pmu->pebs.stats;

	if (!pmu->caps.pebs_ept_friendly && (where == MEMORY_HIDDEN || where == MEMORY_UNKNOWN))
		return false;
	stats->ds_areas++;
	stats->ds_unmapped += where == MEMORY_UNMAPPED;
	stats->ds_hidden += where == MEMORY_HIDDEN;
	return true;
}
