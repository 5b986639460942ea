/*
 * AMD's last branch records: the one of DebugCtl.LBR with the one before the last event, and the stack of LBR v2.
 *
 * The formats are those of arch/x86/events/amd/lbr.c in Linux. A branch is recorded when it retires, so no record here
 * is speculative. The stack renames: entry 0 is the newest.
 */
#include <string.h>

#include "pmu_private.h"

#define MSR_LASTBRANCH_FROM 0x1db /* LastBranchFrom, To, LastIntFrom, To */
#define MSR_LBR_SELECT_V2   0xc000010e
#define SELECT_WRITABLE     BITS(8, 0)
#define DBG_EXTN_LBRV2EN    BIT(6)
#define MSR_SAMP_BR_FROM    0xc0010300 /* From, To of each entry in turn */
#define IP                  BITS(57, 0)
#define FROM_MISPREDICTED   BIT(63)
#define FROM_WRITABLE       (IP | FROM_MISPREDICTED)
#define TO_SPECULATIVE      BIT(62)
#define TO_VALID            BIT(63)
#define TO_WRITABLE         (IP | TO_SPECULATIVE | TO_VALID)

static bool stack_enabled(const struct pmu_model *model)
{
	return (model->amd.dbg_extn_cfg & DBG_EXTN_LBRV2EN) && !(model->global_status & STATUS_LBR_FRZ);
}

bool pmu_amd_lbr_enabled(const struct pmu_model *model)
{
	return stack_enabled(model) || model->debugctl & DEBUGCTL_LBR;
}

static void record_last(struct pmu_model *model, bool event, const struct pmu_model_transfer *transfer)
{
	struct pmu_lbr *lbr = &model->lbr;

	if (event)
		lbr->ler = lbr->last;
	lbr->last = (struct pmu_lbr_entry){ .from = transfer->from, .to = transfer->to };
}

static void record_in_stack(struct pmu_model *model, bool mispredicted, const struct pmu_model_transfer *transfer)
{
	const struct pmu_lbr_entry entry = {
		.from = (transfer->from & IP) | (mispredicted ? FROM_MISPREDICTED : 0),
		.to = (transfer->to & IP) | TO_VALID,
	};

	pmu_lbr_push(model, &entry);
}

void pmu_amd_lbr_record(struct pmu_model *model, enum pmu_lbr_type type, bool event, bool mispredicted,
			const struct pmu_model_transfer *transfer)
{
	if (model->debugctl & DEBUGCTL_LBR)
		record_last(model, event, transfer);
	if (!stack_enabled(model) || !pmu_lbr_selected(model, type, transfer))
		return;
	record_in_stack(model, mispredicted, transfer);
	model->branches_recorded++;
	model->branches_recorded_in_root += model->pebs.in_root;
}

static struct pmu_lbr_entry *entry_of(struct pmu_model *model, unsigned age)
{
	return &model->lbr.entries[(model->lbr.top + PMU_MODEL_LBRS_V2 - age) % PMU_MODEL_LBRS_V2];
}

static uint64_t *last_of(struct pmu_model *model, unsigned n)
{
	struct pmu_lbr *lbr = &model->lbr;

	switch (n) {
	case 0: return &lbr->last.from;
	case 1: return &lbr->last.to;
	case 2: return &lbr->ler.from;
	}
	return &lbr->ler.to;
}

static bool read_last(struct pmu_model *model, unsigned n, uint64_t *value)
{
	*value = *last_of(model, n);
	return true;
}

static bool write_last(struct pmu_model *model, unsigned n, uint64_t value)
{
	(void)model, (void)n, (void)value;
	return false;
}

static bool read_entry(struct pmu_model *model, unsigned n, uint64_t *value)
{
	const struct pmu_lbr_entry *entry = entry_of(model, n / 2);

	*value = n % 2 ? entry->to : entry->from;
	return model->caps.lbr_v2;
}

static bool write_entry(struct pmu_model *model, unsigned n, uint64_t value)
{
	struct pmu_lbr_entry *entry = entry_of(model, n / 2);

	if (!model->caps.lbr_v2)
		return false;
	if (n % 2)
		entry->to = value & TO_WRITABLE;
	else
		entry->from = value & FROM_WRITABLE;
	return true;
}

static bool read_select(struct pmu_model *model, unsigned n, uint64_t *value)
{
	(void)n;
	*value = model->lbr.select;
	return model->caps.lbr_v2;
}

static bool write_select(struct pmu_model *model, unsigned n, uint64_t value)
{
	(void)n;
	if (model->caps.lbr_v2)
		model->lbr.select = value & SELECT_WRITABLE;
	return model->caps.lbr_v2;
}

static bool read_extension(struct pmu_model *model, unsigned n, uint64_t *value)
{
	(void)n;
	*value = model->amd.dbg_extn_cfg;
	return model->caps.lbr_v2;
}

static bool write_extension(struct pmu_model *model, unsigned n, uint64_t value)
{
	uint64_t writable = DBG_EXTN_LBRV2EN;

	(void)n;
	return model->caps.lbr_v2 && pmu_write_config(model, &model->amd.dbg_extn_cfg, value & writable, writable);
}

const struct pmu_register_kind pmu_amd_lbr_registers[] = {
	{ MSR_LASTBRANCH_FROM, 4, read_last, write_last },
	{ MSR_LBR_SELECT_V2, 1, read_select, write_select },
	{ MSR_LBR_SELECT_V2 + 1, 1, read_extension, write_extension },
	{ MSR_SAMP_BR_FROM, 2 * PMU_MODEL_LBRS_V2, read_entry, write_entry },
	{ 0 },
};

/* The state that LBR virtualization switches. */
void pmu_amd_lbr_read(const struct pmu_model *model, struct pmu_model_vmcb *state)
{
	const struct pmu_lbr *lbr = &model->lbr;

	state->debugctl = model->debugctl;
	state->br_from = lbr->last.from;
	state->br_to = lbr->last.to;
	state->int_from = lbr->ler.from;
	state->int_to = lbr->ler.to;
	if (!model->caps.lbr_v2)
		return;
	state->dbg_extn_cfg = model->amd.dbg_extn_cfg;
	state->lbr_select = lbr->select;
	for (unsigned i = 0; i < PMU_MODEL_LBRS_V2; i++) {
		const struct pmu_lbr_entry *entry =
			&lbr->entries[(lbr->top + PMU_MODEL_LBRS_V2 - i) % PMU_MODEL_LBRS_V2];

		state->lbrs[i] = (struct pmu_model_branch_v2){ entry->from, entry->to };
	}
}

/* What is switched for the host too: its stack and filter are not. Reserved bits in the VMCB are ignored. */
void pmu_amd_lbr_control(struct pmu_model *model, const struct pmu_model_vmcb *state)
{
	struct pmu_lbr *lbr = &model->lbr;

	model->debugctl = state->debugctl & pmu_amd_debugctl_writable(model);
	lbr->last = (struct pmu_lbr_entry){ .from = state->br_from, .to = state->br_to };
	lbr->ler = (struct pmu_lbr_entry){ .from = state->int_from, .to = state->int_to };
	if (model->caps.lbr_v2)
		model->amd.dbg_extn_cfg = state->dbg_extn_cfg & DBG_EXTN_LBRV2EN;
}

void pmu_amd_lbr_write(struct pmu_model *model, const struct pmu_model_vmcb *state)
{
	struct pmu_lbr *lbr = &model->lbr;

	pmu_amd_lbr_control(model, state);
	if (!model->caps.lbr_v2)
		return;
	lbr->select = state->lbr_select & SELECT_WRITABLE;
	for (unsigned i = 0; i < PMU_MODEL_LBRS_V2; i++) {
		write_entry(model, 2 * i, state->lbrs[i].from);
		write_entry(model, 2 * i + 1, state->lbrs[i].to);
	}
}
