/*
 * The partition and the guest's view of the global registers. pmi.c decides what an NMI means; emulated.c counts what
 * pmuvisor completes for the guest; host_event.c runs the host's counters.
 */
#include "pmu_private.h"

/*
 * SDM Vol. 3B, "Streamlined Freeze_LBR_On_PMI" and "Streamlined Freeze_PerfMon_On_PMI": frozen is a status, not a
 * control.
 */
static bool frozen(const struct pmu *pmu)
{
	return pmu->guest_status & PMU_STATUS_CTR_FROZEN;
}

uint64_t pmu_guest_freeze(struct cpu *cpu)
{
	return pmu_is_open(&cpu->pmu) ? cpu->ops->read(cpu, GUEST_FREEZE) : cpu->pmu.guest_freeze;
}

void pmu_update_gate(struct pmu *pmu)
{
	struct pmu_gate *gate = &pmu->gate;

	gate->open = pmu_is_open(pmu);
	gate->rdpmc_open = gate->open || pmu->rdpmc_direct;
	lbr_update_gate(pmu);
	/*
	 * With the host's counters running, a freeze by hardware would stop them for the guest's PMI, and the guest's
	 * for the host's: while closed it is done here, at the PMI.
	 */
	gate->freeze = gate->open ? pmu->guest_freeze : gate->records ? PMU_STATUS_LBR_FROZEN : 0;
	gate->nmi_exits = pmu->shared || gate->nmi_window;
	gate->host_ctrl = pmu->window ? 0 : pmu->host_in_host;
	if (!gate->open)
		gate->guest_ctrl = (frozen(pmu) ? 0 : pmu->guest_ctrl) | pmu->host_in_guest;
	gate->dirty = true;
}

/* The guest's status bits. */
static uint64_t statuses(const struct pmu *pmu)
{
	return pmu->guest | pmu->caps.clear_flags;
}

/* Those of them that are in the hardware even while closed: without them no record would come. */
static uint64_t stays(const struct pmu *pmu)
{
	return pmu->gate.pebs_enable | pmu->status_stays;
}

/* Those that the host uses itself. */
static uint64_t host_flags(const struct pmu *pmu)
{
	return pmu_freezes_for_host(pmu) ? PMU_STATUS_LBR_FROZEN : 0;
}

/*
 * Removes the guest's bits of `status` from the hardware, so that the next overflow is seen as new, but for those that
 * stay there. Returns them.
 */
uint64_t pmu_take_status(struct pmu *pmu, uint64_t status)
{
	uint64_t mine = status & statuses(pmu) & ~stays(pmu);

	if (mine)
		pmu->ops->clear_status(mine);
	return mine & ~host_flags(pmu);
}

void pmu_raise_status(struct pmu *pmu, uint64_t bits)
{
	uint64_t hardware = pmu_is_open(pmu) ? bits : bits & stays(pmu);

	if (hardware)
		pmu->ops->set_status(hardware);
	pmu->guest_status |= bits & ~hardware;
}

/*
 * Gives the global registers to the guest as they would be if it were alone. The caller has stopped the host's
 * counters.
 */
static void pmu_open(struct pmu *pmu)
{
	if (pmu->guest_status)
		pmu->ops->set_status(pmu->guest_status);
	pmu->gate.guest_ctrl = pmu->guest_ctrl;
	pmu->guest_status = 0;
	lvtpc_open(pmu);
}

/* Takes them back: what the guest left in the hardware, its freeze bits too, becomes its virtual state. */
static void pmu_close(struct cpu *cpu, uint64_t freeze)
{
	struct pmu *pmu = &cpu->pmu;
	uint64_t status = pmi_land(cpu), hidden = status & (pmu->host | (PMU_METRICS & ~pmu->controls));

	pmu->guest_freeze = freeze;
	pmu->guest_ctrl = pmu->gate.guest_ctrl & pmu->controls;
	pmu->guest_status = pmu_take_status(pmu, status);
	if (hidden) /* only the guest can have set these, while it could */
		pmu->ops->clear_status(hidden);
	lvtpc_close(pmu);
}

bool pmu_read_global(struct cpu *cpu, enum pmu_global reg, uint64_t *value)
{
	struct pmu *pmu = &cpu->pmu;

	*value = 0;
	switch (reg) {
	case PMU_CTRL: *value = pmu_guest_ctrl(pmu); return true;
	case PMU_STATUS:
		*value = pmu->guest_status | (pmu->ops->status() & statuses(pmu) & ~host_flags(pmu));
		return true;
	case PMU_INUSE: *value = pmu->ops->inuse(pmu->guest, pmu->gate.pebs_enable); return true;
	case PMU_STATUS_CLEAR:
	case PMU_STATUS_SET: return true;
	}
	return false;
}

static bool write_ctrl(struct cpu *cpu, uint64_t value)
{
	struct pmu *pmu = &cpu->pmu;

	if (value & ~pmu->controls)
		return false;
	if (value)
		pmu_counter_enabled(cpu);
	pmu->guest_ctrl = value;
	pmu_update_gate(pmu);
	return true;
}

/* Those of counters that it doesn't have are off from here on. */
void pmu_ctrl_written(struct pmu *pmu, uint64_t ctrl, uint64_t own)
{
	if (ctrl & ~(pmu->controls | own))
		pmu->stats.hidden_writes++;
	pmu->gate.guest_ctrl = ctrl & pmu->controls;
}

void pmu_counter_enabled(struct cpu *cpu)
{
	if (!pmu_is_open(&cpu->pmu))
		lvtpc_look(cpu);
}

/* A PMI under way needs the bit to be known as the guest's. */
static bool clear_status(struct cpu *cpu, uint64_t value)
{
	struct pmu *pmu = &cpu->pmu;

	if (value & ~statuses(pmu))
		return false;
	if (value & (pmu->guest | PMU_STATUS_PMI))
		pmi_land(cpu);
	pmu->guest_status &= ~value;
	value &= ~host_flags(pmu);
	if (value)
		pmu->ops->clear_status(value);
	pmu_update_gate(pmu);
	return true;
}

static bool set_status(struct pmu *pmu, uint64_t value)
{
	if (value & ~(pmu->guest | pmu->caps.set_flags))
		return false;
	pmu_raise_status(pmu, value);
	pmu_update_gate(pmu);
	return true;
}

bool pmu_write_global(struct cpu *cpu, enum pmu_global reg, uint64_t value)
{
	switch (reg) {
	case PMU_CTRL: return write_ctrl(cpu, value);
	case PMU_STATUS_CLEAR: return clear_status(cpu, value);
	case PMU_STATUS_SET: return set_status(&cpu->pmu, value);
	case PMU_STATUS:
	case PMU_INUSE: return false; /* read-only */
	}
	return false;
}

void pmu_write_freeze(struct cpu *cpu, uint64_t freeze)
{
	cpu->pmu.guest_freeze = freeze;
	lvtpc_refresh(cpu);
	pmu_update_gate(&cpu->pmu);
}

void pmu_window_end(struct cpu *cpu)
{
	struct pmu *pmu = &cpu->pmu;

	if (!pmu->window)
		return;
	pmu_close(cpu, pmu_guest_freeze(cpu));
	pmu->window = false;
	pmu->stats.paused_tsc += reg_rdtsc() - pmu->window_since;
	host_events_resume(cpu);
	pmu_update_gate(pmu);
}

static void window_begin(struct cpu *cpu)
{
	struct pmu *pmu = &cpu->pmu;

	host_events_pause(cpu);
	pmu_open(pmu);
	pmu->window = true;
	pmu->window_since = reg_rdtsc();
	pmu->stats.windows++;
}

/*
 * The NMI-window exit comes exactly at the IRET that ends the handler: SDM Vol. 3C, "NMI-window exiting". With a window
 * open that is where it closes.
 */
void pmu_nmi_injected(struct cpu *cpu)
{
	struct pmu *pmu = &cpu->pmu;

	if (pmu->shared && cpu->nmi.window && !pmu->window)
		window_begin(cpu);
	cpu->nmi.window = false;
	pmu->gate.nmi_window = pmu->window;
	pmu_update_gate(pmu);
}

static bool needs_sharing(const struct pmu *pmu)
{
	return pmu->host_in_guest || pmu->host_sampling;
}

/* The mode becomes shared, or direct. */
static void share(struct cpu *cpu, bool shared)
{
	struct pmu *pmu = &cpu->pmu;

	if (shared && !pmu->shared) {
		pmu_close(cpu, pmu_guest_freeze(cpu));
		pmu->shared = true;
	} else if (!shared && pmu->shared) {
		pmu->shared = false;
		pmu_open(pmu);
	}
	pmu_update_gate(pmu);
}

void pmu_host_enable(struct cpu *cpu, bool enable)
{
	struct pmu *pmu = &cpu->pmu;

	pmu_window_end(cpu);
	if (pmu->shared)
		pmi_land(cpu);
	if (enable)
		host_events_program(pmu);
	else
		host_events_clear(cpu);
	share(cpu, enable && needs_sharing(pmu));
}

void pmu_host_change_begin(struct cpu *cpu)
{
	pmu_window_end(cpu);
	host_events_stop_root(cpu);
}

void pmu_host_change_end(struct cpu *cpu)
{
	struct pmu *pmu = &cpu->pmu;

	if (pmu->shared && needs_sharing(pmu))
		lvtpc_refresh(cpu); /* the first that samples may have come, or the last have gone */
	share(cpu, needs_sharing(pmu));
}

/* SDM Vol. 3B, "Performance Metrics": a share of fixed counter 3's slots, so they go together. */
static void init_metrics(struct pmu *pmu)
{
	pmu->controls = pmu->guest;
	if (pmu->caps.metrics && pmu->guest & PMU_METRICS_COUNTER) {
		pmu->controls |= PMU_METRICS;
	} else {
		pmu->caps.clear_flags &= ~PMU_METRICS;
		pmu->caps.set_flags &= ~PMU_METRICS;
	}
}

bool pmu_init(struct cpu *cpu, const struct pmu_ops *ops, const struct hv_config *config)
{
	struct pmu *pmu = &cpu->pmu;
	unsigned nr_gp;

	if (!ops->ident(&pmu->caps))
		return false;
	pmu->ops = ops;
	nr_gp = pmu->caps.nr_gp;
	if (nr_gp)
		pmu->host = (BIT(nr_gp) - BIT(nr_gp - config->host_counters)) | (uint64_t)config->host_fixed << 32;
	pmu->guest = pmu->caps.counters & ~pmu->host;
	if (pmu->caps.nr_named)
		pmu->guest &= BIT(pmu->caps.nr_named) - 1;
	init_metrics(pmu);
	/* CondChgd: what can't be set can't be put back either. */
	pmu->status_stays = pmu->caps.clear_flags & ~pmu->caps.set_flags;
	pmu->gate.guest_ctrl = ops->enabled() & pmu->controls;
	ops->enable(0);
	pebs_init(pmu, config->pebs);
	lbr_init(pmu, config->lbr);
	host_events_init(pmu, config);
	host_events_program(pmu);
	pmu->shared = needs_sharing(pmu);
	pmu->rdpmc_direct = config->rdpmc == CONFIG_RDPMC_DIRECT || !pmu->shared;
	if (pmu->shared)
		pmu_close(cpu, 0); /* the guest starts with an empty DEBUGCTL */
	pmu_update_gate(pmu);
	return true;
}

void pmu_release(struct cpu *cpu)
{
	struct pmu *pmu = &cpu->pmu;

	pmu_host_enable(cpu, false);
	if (pmu->gate.pebs_active)
		pmu->ops->pebs_enable(pmu->gate.pebs_enable);
	pmu->ops->enable(pmu->gate.guest_ctrl);
}
