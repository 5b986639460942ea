/*
 * The events: which selector names which signal, and what causes the signals.
 *
 * Instructions, branches and their kinds are exact. The rest stands in for a microarchitecture: simple, plausible, and
 * the same on every run.
 *
 * Cycles: an instruction takes two core cycles of five slots each, whatever it does; four of the ten slots retire, and
 * the others are lost in a fixed way. Reference cycles are those of the caller's time-stamp counter, which an
 * instruction need not advance by two.
 */
#include <string.h>

#include "pmu_private.h"

#define CYCLES_PER_INSTRUCTION 2
#define SLOTS_PER_CYCLE        5 /* the width of Ice Lake's allocation; of the others as well */

/*
 * SDM Vol. 3B, "Pre-defined Architectural Performance Events"; the others from Intel's published event lists of Ice
 * Lake and Sapphire Rapids. An unknown code counts nothing and never faults.
 */
static const struct {
	uint8_t event, umask;
	enum pmu_signal signal;
} selectors[] = {
	{ 0xc0, 0x00, SIGNAL_INSTRUCTIONS },
	{ 0x3c, 0x00, SIGNAL_CORE_CYCLES },
	{ 0x3c, 0x01, SIGNAL_CRYSTAL_CYCLES },
	{ 0x2e, 0x4f, SIGNAL_LLC_REFERENCES },
	{ 0x2e, 0x41, SIGNAL_LLC_MISSES },
	{ 0xa4, 0x01, SIGNAL_SLOTS },
	{ 0xc4, 0x00, SIGNAL_BRANCHES },
	{ 0xc4, 0x01, SIGNAL_COND_TAKEN },
	{ 0xc4, 0x02, SIGNAL_NEAR_CALLS },
	{ 0xc4, 0x08, SIGNAL_NEAR_RETURNS },
	{ 0xc4, 0x10, SIGNAL_COND_NOT_TAKEN },
	{ 0xc4, 0x11, SIGNAL_COND },
	{ 0xc4, 0x20, SIGNAL_NEAR_TAKEN },
	{ 0xc4, 0x40, SIGNAL_FAR },
	{ 0xc4, 0x80, SIGNAL_INDIRECT },
	{ 0xc5, 0x00, SIGNAL_MISPREDICTED },
	{ 0xc5, 0x11, SIGNAL_MISPREDICTED_COND },
	{ 0xcd, 0x01, SIGNAL_SLOW_LOADS },
	{ 0xcd, 0x02, SIGNAL_STORES },
	{ 0xd0, 0x81, SIGNAL_LOADS },
	{ 0xd0, 0x82, SIGNAL_STORES },
	{ 0xa4, 0x02, SIGNAL_SLOTS_BACKEND },
	{ 0x73, 0x00, SIGNAL_SLOTS_BAD_SPECULATION },
	{ 0x9c, 0x01, SIGNAL_SLOTS_FRONTEND },
	{ 0xc2, 0x02, SIGNAL_SLOTS_RETIRING },
};

/* SDM Vol. 3B, "Architectural Performance Monitoring Version 2". */
static const enum pmu_signal fixed_signals[PMU_MODEL_MAX_FIXED] = {
	SIGNAL_INSTRUCTIONS,
	SIGNAL_CORE_CYCLES,
	SIGNAL_TSC_CYCLES,
	SIGNAL_SLOTS,
};

const uint64_t pmu_signal_rates[NR_SIGNALS] = {
	[SIGNAL_INSTRUCTIONS] = 1,
	[SIGNAL_CORE_CYCLES] = CYCLES_PER_INSTRUCTION,
	[SIGNAL_SLOTS] = CYCLES_PER_INSTRUCTION * SLOTS_PER_CYCLE,
	[SIGNAL_SLOTS_RETIRING] = 4,
	[SIGNAL_SLOTS_BAD_SPECULATION] = 1,
	[SIGNAL_SLOTS_FRONTEND] = 2,
	[SIGNAL_SLOTS_BACKEND] = 3,
};

/*
 * Latency is sampled by some counters only; in the others the event counts nothing. None of the events has an extended
 * unit mask (UMASK2).
 */
static bool event_missing(const struct pmu_model_caps *caps, unsigned n, uint64_t evtsel)
{
	if (evtsel & EVTSEL_UMASK2)
		return true;
	switch (evtsel & 0xffff) {
	case 0x01cd: return !(caps->pebs_load_latency & BIT(n));
	case 0x02cd: return !(caps->pebs_store_latency & BIT(n));
	default: return false;
	}
}

enum pmu_signal pmu_event_signal(const struct pmu_model_caps *caps, unsigned n, uint64_t evtsel)
{
	unsigned event = evtsel & 0xff, umask = evtsel >> 8 & 0xff;

	if (event_missing(caps, n, evtsel))
		return SIGNAL_NONE;
	if (event == 0x3c && umask == 0x01 && caps->reference_is_tsc)
		return SIGNAL_TSC_CYCLES;
	for (unsigned i = 0; i < sizeof(selectors) / sizeof(selectors[0]); i++)
		if (selectors[i].event == event && selectors[i].umask == umask)
			return selectors[i].signal;
	return SIGNAL_NONE;
}

enum pmu_signal pmu_fixed_signal(unsigned fixed)
{
	return fixed_signals[fixed];
}

/*
 * Conditional branches: a two-bit saturating counter per branch address, not taken at first, so that a loop costs a
 * miss or two when it starts and one when it ends. Like the caches below, the predictor learns only while somebody
 * counts or the branches are recorded.
 */
static bool jcc_predicted(struct pmu_predictor *predictor, uint64_t from, bool taken)
{
	uint8_t *state = &predictor->jccs[from % PREDICTOR_JCCS];
	bool predicted = *state >= 2;

	if (taken && *state < 3)
		++*state;
	else if (!taken && *state > 0)
		--*state;
	return predicted == taken;
}

/* Indirect jumps and calls: to where they went last time. */
static bool target_predicted(struct pmu_predictor *predictor, uint64_t from, uint64_t to)
{
	uint64_t *target = &predictor->targets[from % PREDICTOR_TARGETS];
	bool predicted = *target == to;

	*target = to;
	return predicted;
}

static void push_return(struct pmu_predictor *predictor, uint64_t call)
{
	predictor->top = (predictor->top + 1) % PREDICTOR_RETURNS;
	predictor->returns[predictor->top] = call;
}

/* Returns: to behind the call on top of a small stack. The stack holds the call itself, of 2 to 15 bytes. */
static bool return_predicted(struct pmu_predictor *predictor, uint64_t to)
{
	uint64_t call = predictor->returns[predictor->top];

	predictor->top = (predictor->top + PREDICTOR_RETURNS - 1) % PREDICTOR_RETURNS;
	return to - call >= 2 && to - call <= 15;
}

/* Direct jumps and calls are always predicted, and far branches are not the predictor's business. */
static bool branch_predicted(struct pmu_predictor *predictor, enum pmu_model_branch kind, bool taken, uint64_t from,
			     uint64_t to)
{
	switch (kind) {
	case PMU_MODEL_JCC: return jcc_predicted(predictor, from, taken);
	case PMU_MODEL_JMP_INDIRECT: return target_predicted(predictor, from, to);
	case PMU_MODEL_CALL_NEXT:
	case PMU_MODEL_CALL: push_return(predictor, from); return true;
	case PMU_MODEL_CALL_INDIRECT: push_return(predictor, from); return target_predicted(predictor, from, to);
	case PMU_MODEL_RET: return return_predicted(predictor, to);
	case PMU_MODEL_JMP:
	case PMU_MODEL_FAR:
	case PMU_MODEL_INT: break;
	}
	return true;
}

static bool is_call(enum pmu_model_branch kind)
{
	return kind == PMU_MODEL_CALL || kind == PMU_MODEL_CALL_NEXT || kind == PMU_MODEL_CALL_INDIRECT;
}

void pmu_model_count_branch(struct pmu_model *model, enum pmu_model_branch kind, bool taken,
			    const struct pmu_model_transfer *transfer)
{
	uint64_t *signals = model->signals;
	bool missed = !branch_predicted(&model->predictor, kind, taken, transfer->from, transfer->to);
	bool cond = kind == PMU_MODEL_JCC, far = kind == PMU_MODEL_FAR || kind == PMU_MODEL_INT;

	signals[SIGNAL_BRANCHES]++;
	signals[SIGNAL_COND] += cond;
	signals[SIGNAL_COND_TAKEN] += cond && taken;
	signals[SIGNAL_COND_NOT_TAKEN] += cond && !taken;
	signals[SIGNAL_NEAR_CALLS] += is_call(kind);
	signals[SIGNAL_NEAR_RETURNS] += kind == PMU_MODEL_RET;
	signals[SIGNAL_NEAR_TAKEN] += !far && (taken || !cond);
	signals[SIGNAL_FAR] += far;
	signals[SIGNAL_INDIRECT] += kind == PMU_MODEL_JMP_INDIRECT || kind == PMU_MODEL_CALL_INDIRECT;
	signals[SIGNAL_MISPREDICTED] += missed;
	signals[SIGNAL_MISPREDICTED_COND] += missed && cond;
	signals[SIGNAL_TAKEN] += taken || !cond;
	model->hot.pending = true;
	if (model->hot.records && (taken || !cond))
		pmu_lbr_branch(model, kind, missed, transfer);
}
