/*
 * PERF_METRICS: where the issue slots went that fixed counter 3 counted. SDM Vol. 3B, "Performance Metrics Support".
 *
 * The real register tells of the slots since it and the counter were cleared. Here every instruction spends its slots
 * alike, so the register shows the same fractions as soon as there are slots to tell of.
 */
#include "pmu_private.h"

#define FIXED_SLOTS 3
#define SLOTS       (PMU_MODEL_MAX_GP + FIXED_SLOTS)

/*
 * Fractions of 255. "Top-down Microarchitecture Analysis": retiring, bad speculation, frontend and backend bound add up
 * to the whole, like the topdown events in pmu_events.c; each part of the second level is of the one below it.
 */
#define LEVEL_1 (UINT64_C(102) | 26 << 8 | 51 << 16 | 76 << 24)
#define LEVEL_2 (UINT64_C(26) << 32 | UINT64_C(20) << 40 | UINT64_C(30) << 48 | UINT64_C(50) << 56)

static bool has_metrics(const struct pmu_model *model)
{
	return pmu_has(model, PERF_CAP_METRICS) && model->caps.nr_fixed > FIXED_SLOTS;
}

static uint64_t fractions(const struct pmu_model *model)
{
	return model->caps.metrics_level_2 ? LEVEL_1 | LEVEL_2 : LEVEL_1;
}

void pmu_settle_metrics(struct pmu_model *model)
{
	struct pmu_metrics *metrics = &model->metrics;
	uint64_t slots = model->counters[SLOTS].value;

	if (metrics->on && !metrics->stale && slots != metrics->slots)
		metrics->value = fractions(model);
	metrics->slots = slots;
}

/* "Both must be enabled": GLOBAL_CTRL has a bit for the metrics, and the counter has its own. */
void pmu_configure_metrics(struct pmu_model *model)
{
	const struct pmu_counter *slots = &model->counters[SLOTS];

	model->metrics.on = has_metrics(model) && model->global_ctrl & STATUS_PERF_METRICS &&
			    (slots->counts[PRIVILEGE_OS] || slots->counts[PRIVILEGE_USR]);
}

/*
 * The counter has to be written first, then the metrics. A processor that gets them the other way round may show
 * anything; here it shows nothing new until the metrics are written again.
 */
void pmu_counter_written(struct pmu_model *model, unsigned i)
{
	if (i != SLOTS)
		return;
	model->metrics.stale = true;
	model->metrics.slots = model->counters[SLOTS].value;
}

/* A reload counts nothing. */
void pmu_metrics_reloaded(struct pmu_model *model)
{
	model->metrics.slots = model->counters[SLOTS].value;
}

bool pmu_is_metrics_counter(const struct pmu_model *model, unsigned i)
{
	return model->metrics.on && i == SLOTS;
}

bool pmu_read_metrics(struct pmu_model *model, uint64_t *value)
{
	pmu_fold(model);
	*value = model->metrics.value;
	return has_metrics(model);
}

static bool read_metrics(struct pmu_model *model, unsigned n, uint64_t *value)
{
	(void)n;
	return pmu_read_metrics(model, value);
}

/* The upper half belongs to the second level. */
static bool write_metrics(struct pmu_model *model, unsigned n, uint64_t value)
{
	(void)n;
	if (!has_metrics(model) || (value >> 32 && !model->caps.metrics_level_2))
		return false;
	pmu_fold(model);
	model->metrics.value = value;
	model->metrics.stale = false;
	return true;
}

/* As if both had been written 0, in that order. */
void pmu_clear_metrics(struct pmu_model *model)
{
	pmu_fold(model);
	model->counters[SLOTS].value = 0;
	model->metrics = (struct pmu_metrics){ .on = model->metrics.on };
	pmu_configure(model);
}

/* FIXED_CTR_CTRL.METRICS_CLEAR_EN: whoever reads the metrics takes them. */
bool pmu_rdpmc_metrics(struct pmu_model *model, uint64_t *value)
{
	if (!pmu_read_metrics(model, value))
		return false;
	if (model->fixed_ctr_ctrl & FIXED_METRICS_CLEAR_EN)
		pmu_clear_metrics(model);
	return true;
}

const struct pmu_register_kind pmu_metrics_registers[] = {
	{ MSR_PERF_METRICS, 1, read_metrics, write_metrics },
	{ 0 },
};

void pmu_reset_metrics(struct pmu_model *model)
{
	model->metrics = (struct pmu_metrics){ 0 };
}
