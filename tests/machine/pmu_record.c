/*
 * What a PEBS record holds. SDM Vol. 3B, "Adaptive PEBS": groups of fields, chosen by PEBS_DATA_CFG, one after the
 * other in the order of its bits. The layout is the 64-bit one in every mode, as DTES64 says.
 */
#include <string.h>

#include "pmu_private.h"

struct writer {
	struct pmu_model *model;
	uint8_t *record;
	size_t size;
};

static void put(struct writer *writer, uint64_t value)
{
	memcpy(writer->record + writer->size, &value, sizeof(value));
	writer->size += sizeof(value);
}

/* "Memory Access Info Group". No transactions here: the TSX field is 0. */
static void put_memory(struct writer *writer)
{
	const struct pmu_pebs *pebs = &writer->model->pebs;
	const struct pmu_access *access = pebs->load.source != SOURCE_NONE ? &pebs->load : &pebs->store;
	uint64_t latency = access->latency;

	/* Golden Cove and later: the instruction's latency in bits 15:0, the cache's part of it in bits 47:32. */
	if (writer->model->caps.pebs_store_latency)
		latency |= latency << 32;
	put(writer, access->linear);
	put(writer, writer->model->caps.pebs_sources[access->source]);
	put(writer, latency);
	put(writer, 0);
}

/* "GPRs Group": in the order of the registers' numbers, unlike the records before. */
static void put_gprs(struct writer *writer, const struct pmu_model_regs *regs)
{
	put(writer, regs->rflags);
	put(writer, regs->rip);
	for (unsigned i = 0; i < 16; i++)
		put(writer, regs->gpr[i]);
}

static void put_xmms(struct writer *writer, const struct pmu_model_regs *regs)
{
	for (unsigned i = 0; i < 16; i++) {
		put(writer, regs->xmm[i][0]);
		put(writer, regs->xmm[i][1]);
	}
}

static unsigned nr_lbrs(uint64_t cfg)
{
	return (unsigned)((cfg & PEBS_CFG_NR_LBRS) >> 24) + 1;
}

/* "LBR Group": the newest first. */
static void put_lbrs(struct writer *writer, uint64_t cfg)
{
	struct pmu_lbr_entry entry;

	for (unsigned age = 0; age < nr_lbrs(cfg) && pmu_lbr_entry(writer->model, age, &entry); age++) {
		put(writer, entry.from);
		put(writer, entry.to);
		put(writer, entry.info);
	}
}

/*
 * "Architectural LBR and PEBS": a group larger than the stack shrinks to it, also in the format field.
 */
static uint64_t clip_lbrs(const struct pmu_model *model, uint64_t cfg)
{
	uint64_t depth = pmu_lbr_depth(model);

	if (!(cfg & PEBS_CFG_LBR) || nr_lbrs(cfg) <= depth)
		return cfg;
	return (cfg & ~PEBS_CFG_NR_LBRS) | (depth - 1) << 24;
}

static bool is_adaptive(const struct pmu_model *model, uint64_t applicable)
{
	for (unsigned n = 0; n < model->caps.nr_gp; n++)
		if (applicable & BIT(n) && model->evtsel[n] & EVTSEL_ADAPTIVE)
			return true;
	for (unsigned m = 0; m < model->caps.nr_fixed; m++)
		if (applicable & BIT(32 + m) && model->fixed_ctr_ctrl & FIXED_ADAPTIVE(m))
			return true;
	return false;
}

/* Bit by bit of GLOBAL_CTRL's layout, the counters' values as they are before the reload. */
static void put_values(struct writer *writer, uint64_t counters)
{
	for (unsigned i = 0; i < NR_COUNTERS; i++)
		if (counters & BIT(pmu_status_bit(i)))
			put(writer, writer->model->counters[i].value);
}

/*
 * "Counters Group": which there are, in four fields of 32 bits, then general-purpose counters, fixed ones, and the
 * metrics, which are fixed counter 3 and PERF_METRICS.
 */
static void put_counters(struct writer *writer, uint64_t cfg)
{
	uint64_t gp = cfg & PEBS_CFG_COUNTERS ? (cfg & PEBS_CFG_GP_MASK) >> 32 : 0;
	uint64_t fixed = cfg & PEBS_CFG_COUNTERS ? (cfg & PEBS_CFG_FIXED_MASK) >> 48 : 0;
	uint64_t metrics;

	pmu_read_metrics(writer->model, &metrics);
	put(writer, gp | fixed << 32);
	put(writer, cfg & PEBS_CFG_METRICS ? 3 : 0);
	put_values(writer, gp | fixed << 32);
	if (!(cfg & PEBS_CFG_METRICS))
		return;
	put_values(writer, BIT(32 + 3));
	put(writer, metrics);
}

/*
 * "Basic Info Group". The low bits of its first field are the groups that follow: none, unless a counter of the record
 * asks for them. The size is above them, also where PEBS_DATA_CFG has more; the field is written last, when it is
 * known.
 */
#define FORMAT_BITS BITS(47, 0)

static void put_basic(struct writer *writer, uint64_t applicable, const struct pmu_model_regs *regs)
{
	put(writer, 0);
	put(writer, regs->event_ip);
	put(writer, applicable);
	put(writer, writer->model->ops.tsc ? writer->model->ops.tsc(writer->model->opaque) : writer->model->cycles);
}

static void put_groups(struct writer *writer, uint64_t cfg, const struct pmu_model_regs *regs)
{
	if (cfg & PEBS_CFG_MEMORY)
		put_memory(writer);
	if (cfg & PEBS_CFG_GPR)
		put_gprs(writer, regs);
	if (cfg & PEBS_CFG_XMM)
		put_xmms(writer, regs);
	if (cfg & PEBS_CFG_LBR)
		put_lbrs(writer, cfg);
	if (cfg & (PEBS_CFG_COUNTERS | PEBS_CFG_METRICS))
		put_counters(writer, cfg);
}

uint64_t pmu_record_config(const struct pmu_model *model, uint64_t applicable)
{
	return is_adaptive(model, applicable) ? clip_lbrs(model, model->pebs.data_cfg) : 0;
}

size_t pmu_build_record(struct pmu_model *model, uint64_t applicable, void *record)
{
	struct writer writer = { .model = model, .record = record };
	uint64_t cfg = pmu_record_config(model, applicable);
	struct pmu_model_regs regs;
	uint64_t format;

	model->ops.registers(model->opaque, &regs);
	put_basic(&writer, applicable, &regs);
	put_groups(&writer, cfg, &regs);
	format = (cfg & FORMAT_BITS) | (uint64_t)writer.size << 48;
	memcpy(record, &format, sizeof(format));
	return writer.size;
}
