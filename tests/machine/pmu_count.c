/*
 * Counting: what one retired instruction does to the counters, and how long the model need not look.
 *
 * count_instruction() is the rule, one instruction at a time. Most counters only add the same amount for every
 * instruction; for those the model works out how many instructions may retire before one of them wraps (the budget),
 * lets the inline pmu_model_retire() count that down, and adds up afterwards (pmu_fold). The wrapping instruction
 * itself always goes through count_instruction().
 */
#include <string.h>

#include "pmu_private.h"

#define UNBOUNDED BIT(62)

static uint64_t read_clock(const struct pmu_model *model)
{
	return model->ops.tsc ? model->ops.tsc(model->opaque) : model->cycles;
}

/*
 * Reference cycles since the last instruction, on its account. SDM Vol. 3B, "Architectural Performance Monitoring
 * Version 2": at the rate of the time-stamp counter, not in HLT. The crystal clock is a 32nd of it, as if CPUID.15H
 * said so.
 */
#define CRYSTAL_SHIFT 5

static void add_reference_cycles(struct pmu_model *model)
{
	uint64_t now;

	model->cycles += pmu_signal_rates[SIGNAL_CORE_CYCLES];
	now = read_clock(model);
	model->signals[SIGNAL_TSC_CYCLES] = now - model->clock;
	model->signals[SIGNAL_CRYSTAL_CYCLES] = (now >> CRYSTAL_SHIFT) - (model->clock >> CRYSTAL_SHIFT);
	model->clock = now;
}

/*
 * SDM Vol. 3B, "Architectural Performance Monitoring Version 6", on EQ: the comparison is with "equal", and INV then
 * asks for what is below but not 0.
 */
static bool condition_holds(const struct pmu_counter *counter, uint64_t events)
{
	if (counter->equal)
		return counter->invert ? events && events < counter->cmask : events == counter->cmask;
	return (events >= counter->cmask) != counter->invert;
}

/*
 * SDM Vol. 3B, "Architectural Performance Monitoring Version 1" (IA32_PERFEVTSELx fields): a counter mask turns the
 * events of a cycle into one or none, INV reverses the comparison, and edge detect counts only when the condition
 * begins to hold. Without a counter mask INV means nothing. The model's cycle, for this, is one instruction. An
 * instruction of a class the counter does not select is a cycle in which the condition does not hold.
 */
static uint64_t qualify(struct pmu_counter *counter, enum pmu_privilege privilege, uint64_t events)
{
	bool before = counter->condition;

	if (!counter->counts[privilege])
		events = 0;
	else if (counter->cmask)
		events = condition_holds(counter, events);
	if (!counter->edge)
		return events;
	counter->condition = events != 0;
	return counter->condition && !before;
}

/*
 * SDM Vol. 3B, "Architectural Performance Monitoring Version 2": the status bit reports a wrap whether or not an
 * interrupt is enabled for it. Nothing reloads the counter: it goes on from the remainder. A further wrap interrupts
 * again, also with the status bit still set. Vol. 4, IA32_PERF_GLOBAL_STATUS, OVF_PERF_METRICS: "and a PMI is
 * triggered"; FIXED_CTR_CTRL is not asked.
 */
static bool add_events(struct pmu_model *model, unsigned i, uint64_t events)
{
	struct pmu_counter *counter = &model->counters[i];
	bool metrics = pmu_is_metrics_counter(model, i), pmi = counter->pmi || metrics;
	uint64_t sum = counter->value + events;

	counter->value = sum & pmu_counter_mask(model);
	if (sum == counter->value)
		return false;
	model->global_status |= BIT(pmu_status_bit(i)) | (metrics ? STATUS_PERF_METRICS : 0);
	counter->overflows++;
	counter->pmis += pmi;
	return pmi;
}

/* The counters that counted something, as in GLOBAL_STATUS; `*pmi`: one of them wrapped and has its PMI enabled. */
static uint64_t count_all(struct pmu_model *model, enum pmu_privilege privilege, bool *pmi)
{
	uint64_t counted = 0;

	for (unsigned n = 0; n < model->nr_on; n++) {
		unsigned i = model->on[n];
		struct pmu_counter *counter = &model->counters[i];
		uint64_t events = qualify(counter, privilege, model->signals[counter->signal]);

		*pmi |= add_events(model, i, events);
		counted |= events ? BIT(pmu_status_bit(i)) : 0;
	}
	return counted;
}

/*
 * Counters wrapping at the same instruction share one interrupt: the status bits are there for all of them when it
 * comes. If the instruction has a PEBS record, that comes first. (One that faulted may have left an interrupt behind.)
 */
static void count_instruction(struct pmu_model *model, enum pmu_privilege privilege)
{
	bool arrives = model->pmi_delay && --model->pmi_delay == 0;
	bool pmi = model->pebs.overflow_pmi;
	uint64_t armed = pmu_armed(model), counted;

	if (model->watches_clock)
		add_reference_cycles(model);
	counted = count_all(model, privilege, &pmi);
	model->pebs.overflow_pmi = pmu_armed(model) && pmu_trigger_pebs(model, armed, counted) && pmi;
	model->retired++;
	pmu_model_forget(model);
	if (pmi && !model->pebs.overflow_pmi)
		pmu_raise_pmi(model);
	if (arrives)
		pmu_deliver_pmi(model);
}

/*
 * The instructions retired since the last call, for counters that count every one of a class alike. None of them wraps.
 */
void pmu_fold(struct pmu_model *model)
{
	for (unsigned privilege = 0; privilege < NR_PRIVILEGES; privilege++) {
		uint64_t retired = model->granted[privilege] - model->hot.budget[privilege];

		model->granted[privilege] = model->hot.budget[privilege];
		model->retired += retired;
		for (unsigned n = 0; retired && n < model->nr_on; n++) {
			struct pmu_counter *counter = &model->counters[model->on[n]];

			if (counter->counts[privilege])
				counter->value += retired * pmu_signal_rates[counter->signal];
		}
	}
	pmu_settle_metrics(model);
}

/*
 * Instructions of one class until the counter wraps, the wrapping one included. A counter of both classes gives half of
 * them, rounded up, to each: short of exhausting one half, both together stay below the whole.
 */
static uint64_t counter_budget(const struct pmu_model *model, const struct pmu_counter *counter)
{
	uint64_t rate = pmu_signal_rates[counter->signal];
	uint64_t left = pmu_counter_mask(model) - counter->value + 1;
	uint64_t instructions;

	if (!rate)
		return UNBOUNDED;
	instructions = (left + rate - 1) / rate;
	return counter->counts[PRIVILEGE_OS] && counter->counts[PRIVILEGE_USR] ? (instructions + 1) / 2 : instructions;
}

static bool counter_needs_clock(const struct pmu_counter *counter)
{
	return counter->signal == SIGNAL_TSC_CYCLES || counter->signal == SIGNAL_CRYSTAL_CYCLES;
}

/* A counter that must see every instruction, also those that cause none of its events. */
static bool counter_needs_all(const struct pmu_counter *counter)
{
	return counter->cmask || counter->edge || counter_needs_clock(counter);
}

static bool counter_is_on(const struct pmu_counter *counter)
{
	return counter->counts[PRIVILEGE_OS] || counter->counts[PRIVILEGE_USR];
}

static uint64_t budget_of(const struct pmu_model *model, enum pmu_privilege privilege)
{
	uint64_t budget = UNBOUNDED;

	if (model->no_shortcuts || model->watches_all || model->pmi_delay || pmu_armed(model))
		return 1;
	for (unsigned n = 0; n < model->nr_on; n++) {
		const struct pmu_counter *counter = &model->counters[model->on[n]];
		uint64_t wanted = counter->counts[privilege] ? counter_budget(model, counter) : UNBOUNDED;

		if (wanted < budget)
			budget = wanted;
	}
	return budget;
}

static void grant(struct pmu_model *model)
{
	for (unsigned privilege = 0; privilege < NR_PRIVILEGES; privilege++)
		model->granted[privilege] = model->hot.budget[privilege] = budget_of(model, privilege);
}

/*
 * SDM Vol. 3B, "Architectural Performance Monitoring Version 4": a counter counts if its own enable, its GLOBAL_CTRL
 * bit and the class selection say so, and CTR_Frz is clear.
 */
static bool counter_enabled(const struct pmu_model *model, unsigned i)
{
	return (model->global_ctrl & BIT(pmu_status_bit(i))) && !(model->global_status & STATUS_CTR_FRZ);
}

static void configure_gp(struct pmu_model *model, unsigned n)
{
	struct pmu_counter *counter = &model->counters[n];
	uint64_t evtsel = model->evtsel[n];
	bool on = counter_enabled(model, n) && (evtsel & EVTSEL_EN) && pmu_amd_counts_here(model, evtsel);

	counter->signal = pmu_is_amd(model) ? pmu_amd_signal(evtsel) : pmu_event_signal(&model->caps, n, evtsel);
	counter->counts[PRIVILEGE_OS] = on && (evtsel & EVTSEL_OS);
	counter->counts[PRIVILEGE_USR] = on && (evtsel & EVTSEL_USR);
	counter->pmi = evtsel & EVTSEL_INT;
	counter->cmask = evtsel >> 24 & 0xff;
	counter->invert = evtsel & EVTSEL_INV;
	counter->equal = evtsel & EVTSEL_EQ;
	counter->edge = evtsel & EVTSEL_EDGE;
}

static void configure_fixed(struct pmu_model *model, unsigned m)
{
	struct pmu_counter *counter = &model->counters[PMU_MODEL_MAX_GP + m];
	bool on = counter_enabled(model, PMU_MODEL_MAX_GP + m);

	counter->signal = pmu_fixed_signal(m);
	counter->counts[PRIVILEGE_OS] = on && (model->fixed_ctr_ctrl & FIXED_OS(m));
	counter->counts[PRIVILEGE_USR] = on && (model->fixed_ctr_ctrl & FIXED_USR(m));
	counter->pmi = model->fixed_ctr_ctrl & FIXED_PMI(m);
}

/*
 * AMD's event lists, as in Linux' tools/perf/pmu-events: retired branches, taken branches and far transfers include
 * exceptions and interrupts.
 */
static bool counts_events(const struct pmu_model *model, enum pmu_signal signal)
{
	return pmu_is_amd(model) && (signal == SIGNAL_BRANCHES || signal == SIGNAL_TAKEN || signal == SIGNAL_FAR);
}

/* What the caller may keep to itself because nobody counts or records it. */
static void configure_hooks(struct pmu_model *model)
{
	bool clock = false;

	model->hot.records = pmu_lbr_enabled(model);
	model->hot.branches = model->hot.events = model->hot.records;
	model->hot.accesses = model->watches_all = model->watches_accesses = false;
	model->nr_on = 0;
	for (unsigned i = 0; i < NR_COUNTERS; i++) {
		struct pmu_counter *counter = &model->counters[i];
		enum pmu_signal signal = counter->signal;

		counter->condition &= counter_is_on(counter) && counter->edge;
		if (!counter_is_on(counter))
			continue;
		model->on[model->nr_on++] = (uint8_t)i;
		model->hot.branches |= signal >= SIGNAL_BRANCHES;
		model->hot.events |= counts_events(model, signal);
		model->hot.accesses |= signal >= SIGNAL_LLC_REFERENCES && signal <= SIGNAL_STORES;
		model->watches_accesses |= signal >= SIGNAL_LOADS && signal <= SIGNAL_STORES;
		model->watches_all |= counter_needs_all(counter);
		clock |= counter_needs_clock(counter);
	}
	if (clock && !model->watches_clock)
		model->clock = read_clock(model);
	model->watches_clock = clock;
}

void pmu_configure(struct pmu_model *model)
{
	pmu_settle_metrics(model);
	for (unsigned n = 0; n < model->caps.nr_gp; n++)
		configure_gp(model, n);
	for (unsigned m = 0; m < model->caps.nr_fixed; m++)
		configure_fixed(model, m);
	configure_hooks(model);
	pmu_configure_pebs(model);
	pmu_configure_metrics(model);
	grant(model);
}

/*
 * The inline pmu_model_retire() has taken this instruction off the budget: it stays off, but it is not for pmu_fold()
 * to add. The PMI may have changed the configuration and with it the budget.
 */
void pmu_model_retire_one(struct pmu_model *model, unsigned cpl)
{
	enum pmu_privilege privilege = cpl ? PRIVILEGE_USR : PRIVILEGE_OS;

	model->hot.budget[privilege]++;
	pmu_fold(model);
	model->granted[privilege] = --model->hot.budget[privilege];
	if (model->lbr.branching)
		pmu_lbr_retire(model);
	count_instruction(model, privilege);
	if (model->hot.budget[privilege] == 0)
		grant(model);
}

void pmu_count_event(struct pmu_model *model, unsigned cpl)
{
	enum pmu_privilege privilege = cpl ? PRIVILEGE_USR : PRIVILEGE_OS;
	bool pmi = false;

	pmu_fold(model);
	for (unsigned i = 0; i < NR_COUNTERS; i++)
		if (counts_events(model, model->counters[i].signal))
			pmi |= add_events(model, i, qualify(&model->counters[i], privilege, 1));
	if (pmi)
		pmu_raise_pmi(model);
}

void pmu_model_forget(struct pmu_model *model)
{
	memcpy(model->signals, pmu_signal_rates, sizeof(model->signals));
	model->lbr.branching = false;
	pmu_forget_accesses(model);
	model->hot.pending = false;
}

/*
 * A halted processor counts no cycles: the clock starts again where it is when the halt ends. A PMI under way reaches
 * it: nothing retires that it could wait for.
 */
void pmu_model_halted(struct pmu_model *model, bool halted)
{
	if (halted && model->pmi_delay) {
		model->pmi_delay = 0;
		pmu_deliver_pmi(model);
	}
	if (model->halted && !halted)
		model->clock = read_clock(model);
	model->halted = halted;
}

void pmu_model_no_shortcuts(struct pmu_model *model, bool on)
{
	pmu_fold(model);
	model->no_shortcuts = on;
	grant(model);
}
