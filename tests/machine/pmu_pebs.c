/*
 * PEBS: its registers, when a record falls due, and what writing one does.
 *
 * Titles in comments are of the Intel SDM, Volume 3B unless another is named.
 */
#include <string.h>

#include "pmu_private.h"

/* "DS Buffer Management Area", 64-bit. The counters' reset values are behind it. */
#define DS_PEBS 0x20
struct ds_buffer {
	uint64_t base, index, maximum, threshold;
};
_Static_assert(sizeof(struct ds_buffer) == 32, "four fields of the DS area, without padding");
#define DS_RESET_GP        0x40
#define DS_RESET_FIXED     0x80
#define DS_RESET_FIXED_5   0x140 /* from format 5 on, 32 general-purpose counters have room before it */
#define DS_RESET_SIZE      8
#define FORMAT_FIXED_MOVED 5
#define FORMAT_COUNTERS    6

static bool has_pebs(const struct pmu_model *model)
{
	return pmu_has(model, PERF_CAP_PEBS_BASELINE);
}

/* "Adaptive PEBS": the groups there are; from format 6 on the counters to record, and metrics where there are any. */
static uint64_t data_cfg_writable(const struct pmu_model *model)
{
	uint64_t bits = PEBS_CFG_MEMORY | PEBS_CFG_GPR | PEBS_CFG_XMM;

	if (pmu_lbr_depth(model))
		bits |= PEBS_CFG_LBR | PEBS_CFG_NR_LBRS;
	if (PERF_CAP_PEBS_FORMAT(&model->caps) >= FORMAT_COUNTERS)
		bits |= PEBS_CFG_COUNTERS | pmu_gp_bits(model) << 32 | pmu_fixed_bits(model) << 16 |
			(pmu_has(model, PERF_CAP_METRICS) ? PEBS_CFG_METRICS : 0);
	return bits;
}

static bool read_pebs(struct pmu_model *model, unsigned n, uint64_t *value)
{
	*value = n == 0 ? model->pebs.enable : model->pebs.data_cfg;
	return has_pebs(model);
}

/* Vol. 4, MSR_PEBS_DATA_CFG: writes are ignored where MISC_ENABLE says that there is no PMU. */
static void write_data_cfg(struct pmu_model *model, uint64_t value)
{
	if (model->misc_enable & MISC_ENABLE_PERFMON)
		model->pebs.data_cfg = value;
}

static bool write_pebs(struct pmu_model *model, unsigned n, uint64_t value)
{
	uint64_t writable = n == 0 ? pmu_gp_bits(model) | pmu_fixed_bits(model) : data_cfg_writable(model);

	if (!has_pebs(model) || value & ~writable)
		return false;
	pmu_fold(model);
	if (n == 0)
		model->pebs.enable = value;
	else
		write_data_cfg(model, value);
	pmu_configure(model);
	return true;
}

/*
 * Vol. 4, MSR_PEBS_LD_LAT and MSR_PEBS_FRONTEND. They are there without PEBS too: software that finds an Ice Lake uses
 * them by its model number, and gives them up if they do not read back what was written.
 */
static bool read_pebs_filter(struct pmu_model *model, unsigned n, uint64_t *value)
{
	*value = n == 0 ? model->pebs.latency : model->pebs.frontend;
	return true;
}

static bool write_pebs_filter(struct pmu_model *model, unsigned n, uint64_t value)
{
	if (value & ~(n == 0 ? BITS(15, 0) : model->caps.pebs_frontend))
		return false;
	*(n == 0 ? &model->pebs.latency : &model->pebs.frontend) = value;
	return true;
}

static bool read_ds_area(struct pmu_model *model, unsigned n, uint64_t *value)
{
	(void)n;
	*value = model->pebs.ds_area;
	return has_pebs(model);
}

static bool is_canonical(const struct pmu_model *model, uint64_t linear)
{
	uint64_t top = linear >> (model->caps.linear_width - 1);

	return top == 0 || top == BITS(64 - model->caps.linear_width, 0);
}

static bool write_ds_area(struct pmu_model *model, unsigned n, uint64_t value)
{
	(void)n;
	if (!has_pebs(model) || !is_canonical(model, value))
		return false;
	model->pebs.ds_area = value;
	return true;
}

const struct pmu_register_kind pmu_pebs_registers[] = {
	{ MSR_IA32_PEBS_ENABLE, 2, read_pebs, write_pebs },
	{ MSR_PEBS_LD_LAT, 2, read_pebs_filter, write_pebs_filter },
	{ MSR_IA32_DS_AREA, 1, read_ds_area, write_ds_area },
	{ 0 },
};

void pmu_reset_pebs(struct pmu_model *model)
{
	struct pmu_pebs *pebs = &model->pebs;

	pebs->enable = pebs->data_cfg = pebs->ds_area = pebs->latency = pebs->frontend = 0;
	pebs->overflow_pmi = pebs->in_root = false;
	pebs->late = 0;
	model->hot.pebs_due = false;
}

/* "DS Mechanism Software Guidelines": INIT ends recording. */
void pmu_model_init(struct pmu_model *model)
{
	pmu_fold(model);
	model->pebs.enable = 0;
	pmu_configure(model);
}

uint64_t pmu_armed(const struct pmu_model *model)
{
	return model->pebs.enable & model->global_status;
}

/*
 * "Extended PEBS": whatever a counter counts, it can have records; those of precise events are of an instruction that
 * caused one. An event is none that counts time, nor through a counter mask, edge detection or inversion.
 */
static bool counts_precisely(const struct pmu_counter *counter)
{
	bool precise = counter->signal == SIGNAL_INSTRUCTIONS || counter->signal >= SIGNAL_LOADS;

	return precise && !counter->cmask && !counter->invert && !counter->edge;
}

/*
 * "Precise Distribution (PDist)": of the general-purpose counter's events, INST_RETIRED.ANY_P is not among those Intel
 * lists; the fixed counter has PREC_DIST.
 */
static bool distributes_precisely(const struct pmu_model *model, unsigned i)
{
	return model->caps.pebs_pdist & BIT(pmu_status_bit(i)) &&
	       (i >= PMU_MODEL_MAX_GP || model->counters[i].signal != SIGNAL_INSTRUCTIONS);
}

void pmu_configure_pebs(struct pmu_model *model)
{
	struct pmu_pebs *pebs = &model->pebs;

	pebs->precise = pebs->pdist = 0;
	for (unsigned i = 0; i < NR_COUNTERS; i++) {
		if (!counts_precisely(&model->counters[i]))
			continue;
		pebs->precise |= BIT(pmu_status_bit(i));
		pebs->pdist |= distributes_precisely(model, i) ? BIT(pmu_status_bit(i)) : 0;
	}
	pebs->late &= pmu_armed(model);
	model->hot.pebs_due &= pmu_armed(model) != 0;
}

/*
 * "Reduced Skid PEBS": the record of a precise event is of the next instruction that causes it, once the counter is
 * armed; with PDist it is of the one that armed it. Of other events, it is of any instruction; so it is of the ones
 * that a VM exit overtook, since nothing but PEBS_ENABLE stops a record on its way.
 */
static uint64_t triggered(const struct pmu_model *model, uint64_t armed_before, uint64_t counted)
{
	const struct pmu_pebs *pebs = &model->pebs;
	uint64_t armed = pmu_armed(model);

	return armed & (~pebs->precise | pebs->late | (counted & armed_before) | (pebs->pdist & ~armed_before));
}

/* "Memory Access Info Group": only for events of memory accesses. */
static void keep_accesses(struct pmu_model *model)
{
	uint64_t armed = pmu_armed(model);

	memset(&model->pebs.load, 0, sizeof(model->pebs.load));
	memset(&model->pebs.store, 0, sizeof(model->pebs.store));
	for (unsigned i = 0; i < NR_COUNTERS; i++) {
		enum pmu_signal signal = model->counters[i].signal;

		if (!(armed & BIT(pmu_status_bit(i))))
			continue;
		if (signal == SIGNAL_LOADS || signal == SIGNAL_SLOW_LOADS)
			model->pebs.load = model->load;
		if (signal == SIGNAL_STORES)
			model->pebs.store = model->store;
	}
}

bool pmu_trigger_pebs(struct pmu_model *model, uint64_t armed, uint64_t counted)
{
	if (!triggered(model, armed, counted))
		return false;
	keep_accesses(model);
	model->hot.pebs_due = true;
	if (model->ops.pebs_due)
		model->ops.pebs_due(model->opaque);
	return true;
}

static uint64_t reset_slot(const struct pmu_model *model, unsigned i)
{
	bool moved = PERF_CAP_PEBS_FORMAT(&model->caps) >= FORMAT_FIXED_MOVED;

	if (i < PMU_MODEL_MAX_GP)
		return DS_RESET_GP + DS_RESET_SIZE * i;
	return (moved ? DS_RESET_FIXED_5 : DS_RESET_FIXED) + DS_RESET_SIZE * (i - PMU_MODEL_MAX_GP);
}

static bool ds_read(const struct pmu_model *model, uint64_t offset, void *data, unsigned size)
{
	return model->ops.ds_read(model->opaque, model->pebs.ds_area + offset, data, size);
}

/* One record on its way: what is in the DS area, and what will be. Until it is written the model does not change. */
struct assist {
	uint64_t applicable;
	struct ds_buffer ds;
	uint64_t resets[NR_COUNTERS];
	uint8_t record[PEBS_RECORD_MAX];
	size_t size;
};

static bool fetch_ds(struct pmu_model *model, struct assist *assist)
{
	if (!ds_read(model, DS_PEBS, &assist->ds, sizeof(assist->ds)))
		return false;
	for (unsigned i = 0; i < NR_COUNTERS; i++)
		if (assist->applicable & BIT(pmu_status_bit(i)) &&
		    !ds_read(model, reset_slot(model, i), &assist->resets[i], sizeof(assist->resets[i])))
			return false;
	return true;
}

static bool is_outside(const struct ds_buffer *ds)
{
	return ds->index < ds->base || ds->index > ds->maximum;
}

static bool has_room(const struct assist *assist)
{
	return assist->ds.maximum - assist->ds.index >= assist->size;
}

static bool write_record(struct pmu_model *model, struct assist *assist)
{
	uint64_t index = assist->ds.index + assist->size;

	if (!model->ops.ds_write(model->opaque, assist->ds.index, assist->record, (unsigned)assist->size))
		return false;
	return model->ops.ds_write(model->opaque, model->pebs.ds_area + DS_PEBS + offsetof(struct ds_buffer, index),
				   &index, sizeof(index));
}

/* "Adaptive PEBS": every counter of the record goes on from its reset value, and its overflow is over. */
static void reload(struct pmu_model *model, const struct assist *assist)
{
	pmu_fold(model);
	for (unsigned i = 0; i < NR_COUNTERS; i++)
		if (assist->applicable & BIT(pmu_status_bit(i)))
			model->counters[i].value = assist->resets[i] & pmu_counter_mask(model);
	pmu_metrics_reloaded(model);
	model->global_status &= ~assist->applicable;
	pmu_configure(model);
}

/* The buffer's interrupt comes whatever PERFEVTSEL.INT says. */
static void signal_buffer(struct pmu_model *model)
{
	model->global_status |= STATUS_OVF_BUF;
	pmu_raise_pmi(model);
}

static void finish_written(struct pmu_model *model, const struct assist *assist)
{
	model->pebs.written++;
	model->pebs.written_in_root += model->pebs.in_root;
	if (pmu_record_config(model, assist->applicable) & PEBS_CFG_METRICS)
		pmu_clear_metrics(model);
	reload(model, assist);
	if (assist->ds.index + assist->size >= assist->ds.threshold)
		signal_buffer(model);
}

/* "PEBS Record Format": a full buffer takes no record, and says nothing of it. */
static void finish_full(struct pmu_model *model, const struct assist *assist)
{
	model->pebs.dropped++;
	reload(model, assist);
}

static void drop(struct pmu_model *model, uint64_t applicable)
{
	model->pebs.dropped++;
	pmu_fold(model);
	model->global_status &= ~applicable;
	pmu_configure(model);
}

/* As the manual has it for Goldmont; for other processors it has no word: "Processor Event Based Sampling (PEBS)". */
static void finish_outside(struct pmu_model *model, const struct assist *assist)
{
	drop(model, assist->applicable);
	signal_buffer(model);
}

/* False: the record could not be written. All accesses come first, and each of them may never return. */
static bool carry_out(struct pmu_model *model, struct assist *assist)
{
	if (!fetch_ds(model, assist))
		return false;
	if (is_outside(&assist->ds)) {
		finish_outside(model, assist);
		return true;
	}
	assist->size = pmu_build_record(model, assist->applicable, assist->record);
	if (!has_room(assist)) {
		finish_full(model, assist);
		return true;
	}
	if (!write_record(model, assist))
		return false;
	finish_written(model, assist);
	return true;
}

/*
 * "EPT-Friendly PEBS": a record that meets a fault or a VM exit skids: to the next event if it is precise, else by an
 * instruction. The counters are still armed, and that is all it takes. Processors before may do anything; here they
 * lose the record.
 */
static void fault(struct pmu_model *model, uint64_t applicable)
{
	if (model->caps.pebs_ept_friendly)
		return;
	model->pebs.finished++;
	drop(model, applicable);
}

/*
 * "Processor Event Based Sampling (PEBS)": the record, then the buffer's interrupt, then that of an overflow at the
 * same instruction.
 */
bool pmu_model_pebs_assist(struct pmu_model *model)
{
	struct assist assist = { .applicable = pmu_armed(model) };

	if (!model->hot.pebs_due)
		return true;
	model->hot.pebs_due = false;
	model->pebs.attempts++;
	if (!carry_out(model, &assist)) {
		fault(model, assist.applicable);
		return false;
	}
	model->pebs.finished++;
	if (model->pebs.overflow_pmi)
		pmu_raise_pmi(model);
	model->pebs.overflow_pmi = false;
	return true;
}

struct pmu_model_records pmu_model_records(const struct pmu_model *model)
{
	const struct pmu_pebs *pebs = &model->pebs;

	return (struct pmu_model_records){ pebs->written, pebs->written_in_root, pebs->dropped,
					   pebs->attempts - pebs->finished };
}
