/*
 * Last branch records: what is recorded and when, for both kinds of stack, and the model-specific one's registers. The
 * architectural kind's filters, registers and state component are in pmu_lbr_arch.c.
 *
 * Titles in comments are of the Intel SDM, Volume 3B unless another is named.
 */
#include <string.h>

#include "pmu_private.h"

/* "Last Branch Records and Tracing", MSR_LBR_SELECT: the first nine suppress. */
#define SELECT_NOT_CPL_0   BIT(0)
#define SELECT_NOT_CPL_123 BIT(1)
#define SELECT_NOT(type)   BIT(select_bit(type))
#define SELECT_CALL_STACK  BIT(9)
#define SELECT_WRITABLE    BITS(9, 0)

#define INFO_WRITABLE (LBR_INFO_CYCLES | LBR_INFO_TSX_ABORT | LBR_INFO_IN_TSX | LBR_INFO_MISPREDICTED)

static unsigned select_bit(enum pmu_lbr_type type)
{
	switch (type) {
	case LBR_COND: return 2;
	case LBR_NEAR_REL_CALL: return 3;
	case LBR_NEAR_IND_CALL: return 4;
	case LBR_NEAR_RET: return 5;
	case LBR_NEAR_IND_JMP: return 6;
	case LBR_NEAR_REL_JMP: return 7;
	case LBR_OTHER: break;
	}
	return 8; /* far branches, and with them exceptions and interrupts */
}

static enum pmu_lbr_type type_of(enum pmu_model_branch kind)
{
	switch (kind) {
	case PMU_MODEL_JCC: return LBR_COND;
	case PMU_MODEL_JMP: return LBR_NEAR_REL_JMP;
	case PMU_MODEL_JMP_INDIRECT: return LBR_NEAR_IND_JMP;
	case PMU_MODEL_CALL:
	case PMU_MODEL_CALL_NEXT: return LBR_NEAR_REL_CALL;
	case PMU_MODEL_CALL_INDIRECT: return LBR_NEAR_IND_CALL;
	case PMU_MODEL_RET: return LBR_NEAR_RET;
	case PMU_MODEL_FAR:
	case PMU_MODEL_INT: break;
	}
	return LBR_OTHER;
}

unsigned pmu_lbr_depth(const struct pmu_model *model)
{
	if (pmu_is_amd(model))
		return PMU_MODEL_LBRS_V2;
	return pmu_model_has_arch_lbr(model) ? (unsigned)model->lbr.depth : model->caps.lbr_depth;
}

/* "Streamlined Freeze_LBR_On_PMI": LBR_Frz stops the recording, the enable bit stays. */
bool pmu_lbr_enabled(const struct pmu_model *model)
{
	bool on = pmu_model_has_arch_lbr(model) ? model->lbr.ctl & LBR_CTL_EN : model->debugctl & DEBUGCTL_LBR;

	if (pmu_is_amd(model))
		return pmu_amd_lbr_enabled(model);
	return on && !(model->global_status & STATUS_LBR_FRZ);
}

/*
 * "Architectural Last Branch Records": DEBUGCTL.LBR can be written on a processor without model-specific LBRs, does
 * nothing and reads 0.
 */
uint64_t pmu_lbr_debugctl(const struct pmu_model *model, uint64_t value)
{
	return model->caps.lbr_depth ? value : value & ~DEBUGCTL_LBR;
}

/* A branch belongs to the class it ends in. */
bool pmu_lbr_selected(const struct pmu_model *model, enum pmu_lbr_type type, const struct pmu_model_transfer *transfer)
{
	uint64_t suppressed = model->lbr.select;

	if (pmu_model_has_arch_lbr(model))
		return pmu_lbr_arch_selected(model, type, transfer);
	if (suppressed & (transfer->to_cpl ? SELECT_NOT_CPL_123 : SELECT_NOT_CPL_0))
		return false;
	return !(suppressed & SELECT_NOT(type));
}

/*
 * "LBR Call Stack": only with calls and returns alone, and not with both classes suppressed. The manual leaves another
 * selection with bit 9 undefined; here the bit then has no effect.
 */
static bool call_stack(const struct pmu_model *model)
{
	uint64_t select = model->lbr.select, both = SELECT_NOT_CPL_0 | SELECT_NOT_CPL_123;
	uint64_t jumps = SELECT_NOT(LBR_COND) | SELECT_NOT(LBR_NEAR_IND_JMP) | SELECT_NOT(LBR_NEAR_REL_JMP) |
			 SELECT_NOT(LBR_OTHER);

	if (pmu_model_has_arch_lbr(model))
		return pmu_lbr_arch_call_stack(model);
	return (select & ~both) == (SELECT_CALL_STACK | jumps) && (select & both) != both;
}

void pmu_lbr_push(struct pmu_model *model, const struct pmu_lbr_entry *entry)
{
	struct pmu_lbr *lbr = &model->lbr;

	lbr->top = (lbr->top + 1) % pmu_lbr_depth(model);
	lbr->entries[lbr->top] = *entry;
}

/*
 * "LBR Call Stack" says that a return flushes the call's entry. Zeros stay behind: by them Linux knows where a chain
 * ends, in arch/x86/events/intel/lbr.c, with the model-specific stack too.
 */
static void pop(struct pmu_model *model)
{
	struct pmu_lbr *lbr = &model->lbr;

	lbr->entries[lbr->top] = (struct pmu_lbr_entry){ 0 };
	lbr->top = (lbr->top + pmu_lbr_depth(model) - 1) % pmu_lbr_depth(model);
}

/* Core cycles since the last record, saturating: those of the instructions from the branch it is about on. */
static uint64_t cycles(const struct pmu_model *model)
{
	uint64_t elapsed = (model->retired - model->lbr.instructions) * pmu_signal_rates[SIGNAL_CORE_CYCLES];

	return elapsed < LBR_INFO_CYCLES ? elapsed : LBR_INFO_CYCLES;
}

uint64_t pmu_lbr_canonical(uint64_t address)
{
	return (uint64_t)((int64_t)(address << 16) >> 16);
}

static void record(struct pmu_model *model, enum pmu_lbr_type type, bool mispredicted,
		   const struct pmu_model_transfer *transfer)
{
	struct pmu_lbr *lbr = &model->lbr;
	struct pmu_lbr_entry entry = {
		.from = pmu_lbr_canonical(transfer->from),
		.to = pmu_lbr_canonical(transfer->to),
		.info = cycles(model) | (mispredicted ? LBR_INFO_MISPREDICTED : 0),
	};

	if (pmu_model_has_arch_lbr(model))
		pmu_lbr_arch_finish(model, type, transfer, &entry);
	model->branches_recorded++;
	model->branches_recorded_in_root += model->pebs.in_root;
	lbr->last = entry;
	lbr->timed = true;
	lbr->instructions = model->retired;
	if (type == LBR_NEAR_RET && call_stack(model))
		pop(model);
	else
		pmu_lbr_push(model, &entry);
}

void pmu_lbr_branch(struct pmu_model *model, enum pmu_model_branch kind, bool mispredicted,
		    const struct pmu_model_transfer *transfer)
{
	struct pmu_lbr *lbr = &model->lbr;

	lbr->branching = true;
	lbr->kind = kind;
	lbr->mispredicted = mispredicted;
	lbr->transfer = *transfer;
}

/*
 * "LBR Call Stack": a call of the next instruction is how code learns its address, and has no return. INT n, INT3, INTO
 * and INT1 are branches and interrupts both.
 */
void pmu_lbr_retire(struct pmu_model *model)
{
	struct pmu_lbr *lbr = &model->lbr;
	enum pmu_lbr_type type = type_of(lbr->kind);

	if (pmu_is_amd(model)) {
		pmu_amd_lbr_record(model, type, lbr->kind == PMU_MODEL_INT, lbr->mispredicted, &lbr->transfer);
		return;
	}
	if (lbr->kind == PMU_MODEL_INT)
		lbr->ler = lbr->last;
	if (!pmu_lbr_selected(model, type, &lbr->transfer) || (lbr->kind == PMU_MODEL_CALL_NEXT && call_stack(model)))
		return;
	record(model, type, lbr->mispredicted, &lbr->transfer);
}

/* "Last Exception Records": the branch before the event, as far as it was recorded. */
void pmu_model_record_event(struct pmu_model *model, const struct pmu_model_transfer *transfer)
{
	pmu_fold(model);
	if (pmu_is_amd(model)) {
		pmu_amd_event(model, transfer);
		return;
	}
	model->lbr.ler = model->lbr.last;
	if (pmu_lbr_selected(model, LBR_OTHER, transfer))
		record(model, LBR_OTHER, false, transfer);
}

/*
 * "LBR, Last Branch Record" and Vol. 3C, "Architectural State Before a VM Exit": the delivery of a debug exception
 * begins with switching the recording off, so that it is not recorded itself.
 */
void pmu_model_debug_exception(struct pmu_model *model)
{
	if (!(model->debugctl & DEBUGCTL_LBR) && !(model->lbr.ctl & LBR_CTL_EN))
		return;
	pmu_fold(model);
	model->debugctl &= ~DEBUGCTL_LBR;
	model->lbr.ctl &= ~LBR_CTL_EN;
	pmu_configure(model);
}

bool pmu_lbr_entry(const struct pmu_model *model, unsigned age, struct pmu_lbr_entry *entry)
{
	unsigned depth = pmu_lbr_depth(model);

	if (age >= depth)
		return false;
	*entry = model->lbr.entries[(model->lbr.top + depth - age) % depth];
	return true;
}

uint64_t pmu_model_branches_recorded(const struct pmu_model *model, bool in_root)
{
	return in_root ? model->branches_recorded_in_root : model->branches_recorded;
}

/* The registers of the model-specific stack. */
static bool has_entry(const struct pmu_model *model, unsigned n)
{
	return n < model->caps.lbr_depth;
}

static bool read_select(struct pmu_model *model, unsigned n, uint64_t *value)
{
	*value = model->lbr.select;
	return has_entry(model, n);
}

static bool write_select(struct pmu_model *model, unsigned n, uint64_t value)
{
	if (!has_entry(model, n) || value & ~SELECT_WRITABLE)
		return false;
	model->lbr.select = value;
	return true;
}

static bool read_tos(struct pmu_model *model, unsigned n, uint64_t *value)
{
	*value = model->lbr.top;
	return has_entry(model, n);
}

/* The bits that number no entry stay 0. */
static bool write_tos(struct pmu_model *model, unsigned n, uint64_t value)
{
	if (!has_entry(model, n))
		return false;
	model->lbr.top = (unsigned)(value % model->caps.lbr_depth);
	return true;
}

/*
 * "LBR Stack" with LBR_FMT 5: bits 63:48 of an address repeat bit 47, and a value in which they do not cannot be
 * written.
 */
static bool write_address(const struct pmu_model *model, unsigned n, uint64_t *address, uint64_t value)
{
	if (!has_entry(model, n) || value != pmu_lbr_canonical(value))
		return false;
	*address = value;
	return true;
}

static bool read_from(struct pmu_model *model, unsigned n, uint64_t *value)
{
	*value = model->lbr.entries[n].from;
	return has_entry(model, n);
}

static bool write_from(struct pmu_model *model, unsigned n, uint64_t value)
{
	return write_address(model, n, &model->lbr.entries[n].from, value);
}

static bool read_to(struct pmu_model *model, unsigned n, uint64_t *value)
{
	*value = model->lbr.entries[n].to;
	return has_entry(model, n);
}

static bool write_to(struct pmu_model *model, unsigned n, uint64_t value)
{
	return write_address(model, n, &model->lbr.entries[n].to, value);
}

static bool read_info(struct pmu_model *model, unsigned n, uint64_t *value)
{
	*value = model->lbr.entries[n].info;
	return has_entry(model, n);
}

/* The manual does not say whether a one in a reserved bit faults: here it is dropped. */
static bool write_info(struct pmu_model *model, unsigned n, uint64_t value)
{
	if (!has_entry(model, n))
		return false;
	model->lbr.entries[n].info = value & INFO_WRITABLE;
	return true;
}

/* Vol. 4: MSR_LER_FROM_LIP and MSR_LER_TO_LIP are read-only; IA32_LER_FROM_IP and IA32_LER_TO_IP are not. */
static bool read_ler(struct pmu_model *model, unsigned n, uint64_t *value)
{
	*value = n ? model->lbr.ler.to : model->lbr.ler.from;
	return pmu_lbr_depth(model);
}

static bool write_ler(struct pmu_model *model, unsigned n, uint64_t value)
{
	if (!pmu_model_has_arch_lbr(model))
		return false;
	*(n ? &model->lbr.ler.to : &model->lbr.ler.from) = pmu_lbr_canonical(value);
	return true;
}

const struct pmu_register_kind pmu_lbr_registers[] = {
	{ MSR_LBR_SELECT, 1, read_select, write_select },
	{ MSR_LASTBRANCH_TOS, 1, read_tos, write_tos },
	{ MSR_LER_FROM_IP, 2, read_ler, write_ler },
	{ MSR_LASTBRANCH_0_FROM_IP, PMU_MODEL_MAX_LBRS, read_from, write_from },
	{ MSR_LASTBRANCH_0_TO_IP, PMU_MODEL_MAX_LBRS, read_to, write_to },
	{ MSR_LBR_INFO_0, PMU_MODEL_MAX_LBRS, read_info, write_info },
	{ 0 },
};

void pmu_lbr_reset(struct pmu_model *model)
{
	memset(&model->lbr, 0, sizeof(model->lbr));
	model->lbr.depth = pmu_lbr_arch_max_depth(model);
}
