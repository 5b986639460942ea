/*
 * Architectural LBR: its filters, what its records hold besides, its registers, and its XSAVE component.
 *
 * Titles in comments are of the Intel SDM, Volume 3B, chapter "Last Branch Records", unless another is named.
 */
#include <string.h>

#include "pmu_private.h"

/* Vol. 1, "Architectural LBR" (CPUID.1CH): EBX and the depths in EAX. */
#define LEAF_DEPTHS        0xffu
#define LEAF_CPL_FILTER    1u
#define LEAF_BRANCH_FILTER 2u
#define LEAF_CALL_STACK    4u
#define LEAF_MAX_DEPTH     64u

#define INFO_BR_TYPE_SHIFT 56
#define INFO_WRITABLE      (LBR_INFO_CYCLES | BITS(63, 56))
#define DEPTH_BITS         BITS(6, 0) /* those that LEAF_MAX_DEPTH needs */

bool pmu_model_has_arch_lbr(const struct pmu_model *model)
{
	return model->caps.arch_lbr[0] & LEAF_DEPTHS;
}

/* Bit n of the leaf's list of depths is 8 * (n + 1) entries. */
static bool depth_exists(const struct pmu_model *model, uint64_t depth)
{
	return depth && depth % 8 == 0 && depth <= LEAF_MAX_DEPTH && model->caps.arch_lbr[0] & BIT(depth / 8 - 1);
}

unsigned pmu_lbr_arch_max_depth(const struct pmu_model *model)
{
	unsigned depth = LEAF_MAX_DEPTH;

	while (depth && !depth_exists(model, depth))
		depth -= 8;
	return depth;
}

/* "IA32_LBR_CTL": here a one records. */
static unsigned ctl_bit(enum pmu_lbr_type type)
{
	switch (type) {
	case LBR_COND: return 16;
	case LBR_NEAR_REL_JMP: return 17;
	case LBR_NEAR_IND_JMP: return 18;
	case LBR_NEAR_REL_CALL: return 19;
	case LBR_NEAR_IND_CALL: return 20;
	case LBR_NEAR_RET: return 21;
	case LBR_OTHER: break;
	}
	return 22;
}

uint64_t pmu_lbr_ctl_writable(const struct pmu_model *model)
{
	uint32_t features = model->caps.arch_lbr[1];
	uint64_t bits = LBR_CTL_EN;

	if (!pmu_model_has_arch_lbr(model))
		return 0;
	if (features & LEAF_CPL_FILTER)
		bits |= LBR_CTL_OS | LBR_CTL_USR;
	if (features & LEAF_BRANCH_FILTER)
		bits |= LBR_CTL_TYPES;
	if (features & LEAF_CALL_STACK)
		bits |= LBR_CTL_CALL_STACK;
	return bits;
}

static bool cpl_selected(const struct pmu_model *model, unsigned cpl)
{
	return model->lbr.ctl & (cpl ? LBR_CTL_USR : LBR_CTL_OS);
}

bool pmu_lbr_arch_selected(const struct pmu_model *model, enum pmu_lbr_type type,
			   const struct pmu_model_transfer *transfer)
{
	return cpl_selected(model, transfer->to_cpl) && model->lbr.ctl & BIT(ctl_bit(type));
}

/* "Call-Stack Mode": with calls and returns alone. Another selection is undefined; here it records as without. */
bool pmu_lbr_arch_call_stack(const struct pmu_model *model)
{
	uint64_t types = BIT(ctl_bit(LBR_NEAR_REL_CALL)) | BIT(ctl_bit(LBR_NEAR_IND_CALL)) | BIT(ctl_bit(LBR_NEAR_RET));

	return (model->lbr.ctl & (LBR_CTL_CALL_STACK | LBR_CTL_TYPES)) == (LBR_CTL_CALL_STACK | types);
}

/*
 * "CPL Filtering": where a branch began is not told to who may not see it. "Cycle Timing": the count is valid if there
 * was a record to count from.
 */
void pmu_lbr_arch_finish(const struct pmu_model *model, enum pmu_lbr_type type,
			 const struct pmu_model_transfer *transfer, struct pmu_lbr_entry *entry)
{
	if (!cpl_selected(model, transfer->from_cpl))
		entry->from = ~UINT64_C(0);
	entry->info |= (uint64_t)type << INFO_BR_TYPE_SHIFT;
	if (model->lbr.timed)
		entry->info |= LBR_INFO_CYCLES_VALID;
	else
		entry->info &= ~LBR_INFO_CYCLES;
}

static struct pmu_lbr_entry *entry_of(struct pmu_model *model, unsigned age)
{
	unsigned depth = pmu_lbr_depth(model);

	if (!pmu_model_has_arch_lbr(model) || age >= depth)
		return NULL;
	return &model->lbr.entries[(model->lbr.top + depth - age) % depth];
}

static void empty(struct pmu_model *model)
{
	memset(model->lbr.entries, 0, sizeof(model->lbr.entries));
	model->lbr.top = 0;
	model->lbr.timed = false;
}

static bool read_ctl(struct pmu_model *model, unsigned n, uint64_t *value)
{
	(void)n;
	*value = model->lbr.ctl;
	return pmu_model_has_arch_lbr(model);
}

static void set_ctl(struct pmu_model *model, uint64_t value)
{
	pmu_fold(model);
	model->lbr.ctl = value;
	pmu_configure(model);
}

static bool write_ctl(struct pmu_model *model, unsigned n, uint64_t value)
{
	(void)n;
	if (!pmu_model_has_arch_lbr(model) || value & ~pmu_lbr_ctl_writable(model))
		return false;
	set_ctl(model, value);
	return true;
}

static bool read_depth(struct pmu_model *model, unsigned n, uint64_t *value)
{
	(void)n;
	*value = model->lbr.depth;
	return pmu_model_has_arch_lbr(model);
}

/* "LBR Depth": every write, also of the depth it has, empties the stack, but not the LER registers. */
static bool write_depth(struct pmu_model *model, unsigned n, uint64_t value)
{
	(void)n;
	if (!depth_exists(model, value))
		return false;
	model->lbr.depth = value;
	empty(model);
	return true;
}

/*
 * The entries. None at or beyond the depth. Writes never fault: addresses become canonical, undefined bits of INFO stay
 * 0.
 */
static bool read_from(struct pmu_model *model, unsigned n, uint64_t *value)
{
	const struct pmu_lbr_entry *entry = entry_of(model, n);

	if (entry)
		*value = entry->from;
	return entry;
}

static bool write_from(struct pmu_model *model, unsigned n, uint64_t value)
{
	struct pmu_lbr_entry *entry = entry_of(model, n);

	if (entry)
		entry->from = pmu_lbr_canonical(value);
	return entry;
}

static bool read_to(struct pmu_model *model, unsigned n, uint64_t *value)
{
	const struct pmu_lbr_entry *entry = entry_of(model, n);

	if (entry)
		*value = entry->to;
	return entry;
}

static bool write_to(struct pmu_model *model, unsigned n, uint64_t value)
{
	struct pmu_lbr_entry *entry = entry_of(model, n);

	if (entry)
		entry->to = pmu_lbr_canonical(value);
	return entry;
}

static bool read_info(struct pmu_model *model, unsigned n, uint64_t *value)
{
	const struct pmu_lbr_entry *entry = entry_of(model, n);

	if (entry)
		*value = entry->info;
	return entry;
}

static bool write_info(struct pmu_model *model, unsigned n, uint64_t value)
{
	struct pmu_lbr_entry *entry = entry_of(model, n);

	if (entry)
		entry->info = value & INFO_WRITABLE;
	return entry;
}

static bool read_ler_info(struct pmu_model *model, unsigned n, uint64_t *value)
{
	(void)n;
	*value = model->lbr.ler.info;
	return pmu_model_has_arch_lbr(model);
}

static bool write_ler_info(struct pmu_model *model, unsigned n, uint64_t value)
{
	(void)n;
	if (!pmu_model_has_arch_lbr(model))
		return false;
	model->lbr.ler.info = value & INFO_WRITABLE;
	return true;
}

const struct pmu_register_kind pmu_lbr_arch_registers[] = {
	{ MSR_IA32_LER_INFO, 1, read_ler_info, write_ler_info },
	{ MSR_IA32_LBR_CTL, 1, read_ctl, write_ctl },
	{ MSR_IA32_LBR_DEPTH, 1, read_depth, write_depth },
	{ MSR_IA32_LBR_0_INFO, LEAF_MAX_DEPTH, read_info, write_info },
	{ MSR_IA32_LBR_0_FROM_IP, LEAF_MAX_DEPTH, read_from, write_from },
	{ MSR_IA32_LBR_0_TO_IP, LEAF_MAX_DEPTH, read_to, write_to },
	{ 0 },
};

/* Vol. 1, "Architectural LBR State". */
struct lbr_state {
	uint64_t ctl, depth;
	struct pmu_lbr_entry ler;
	struct pmu_lbr_entry entries[PMU_MODEL_MAX_LBRS];
};
_Static_assert(sizeof(struct lbr_state) == PMU_MODEL_LBR_XSAVE_SIZE, "CPUID.0DH.0FH:EAX");

static bool is_zero(const struct pmu_lbr_entry *entry)
{
	return !entry->from && !entry->to && !entry->info;
}

/* Its initial state is all 0, whatever the depth. */
bool pmu_model_lbr_in_use(const struct pmu_model *model)
{
	bool used = model->lbr.ctl || !is_zero(&model->lbr.ler);

	for (unsigned i = 0; i < pmu_lbr_depth(model); i++)
		used |= !is_zero(&model->lbr.entries[i]);
	return pmu_model_has_arch_lbr(model) && used;
}

unsigned pmu_model_lbr_xsave(const struct pmu_model *model, void *image)
{
	struct lbr_state state = { .ctl = model->lbr.ctl, .depth = model->lbr.depth, .ler = model->lbr.ler };
	unsigned size = (unsigned)offsetof(struct lbr_state, entries);

	for (unsigned i = 0; pmu_lbr_entry(model, i, &state.entries[i]); i++)
		size += (unsigned)sizeof(state.entries[i]);
	memcpy(image, &state, size);
	return size;
}

static struct pmu_lbr_entry restorable(const struct pmu_lbr_entry *entry)
{
	return (struct pmu_lbr_entry){
		.from = pmu_lbr_canonical(entry->from),
		.to = pmu_lbr_canonical(entry->to),
		.info = entry->info & INFO_WRITABLE,
	};
}

/* Entries saved with another depth are not restored, but emptied, and the depth stays. */
bool pmu_model_lbr_xrstor(struct pmu_model *model, const void *image)
{
	struct lbr_state state;

	memcpy(&state, image, sizeof(state));
	if (state.ctl & ~pmu_lbr_ctl_writable(model) || state.depth & ~DEPTH_BITS)
		return false;
	empty(model);
	for (unsigned i = 0; state.depth == model->lbr.depth && i < state.depth; i++)
		*entry_of(model, i) = restorable(&state.entries[i]);
	model->lbr.ler = restorable(&state.ler);
	set_ctl(model, state.ctl);
	return true;
}

void pmu_model_lbr_xinit(struct pmu_model *model)
{
	empty(model);
	model->lbr.ler = (struct pmu_lbr_entry){ 0 };
	set_ctl(model, 0);
}
