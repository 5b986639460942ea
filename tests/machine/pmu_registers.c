/*
 * The registers of the PMU model: what each bit may be, and what a read or a write does.
 *
 * Titles in comments are of the Intel SDM, Volume 3B unless another is named.
 */
#include <string.h>

#include "pmu_private.h"

/* Vol. 4, "IA-32 Architectural MSRs", IA32_MISC_ENABLE. */
#define MISC_ENABLE_FAST_STRINGS     BIT(0)
#define MISC_ENABLE_THERMAL_CONTROL  BIT(3)
#define MISC_ENABLE_BTS_UNAVAILABLE  BIT(11)
#define MISC_ENABLE_PEBS_UNAVAILABLE BIT(12)
#define MISC_ENABLE_SPEEDSTEP        BIT(16)
#define MISC_ENABLE_MONITOR          BIT(18)
#define MISC_ENABLE_LIMIT_CPUID      BIT(22)
#define MISC_ENABLE_XTPR_DISABLE     BIT(23)
#define MISC_ENABLE_XD_DISABLE       BIT(34)
#define MISC_ENABLE_TURBO_DISABLE    BIT(38)
#define MISC_ENABLE_RESET                                                                                              \
	(MISC_ENABLE_FAST_STRINGS | MISC_ENABLE_PERFMON | MISC_ENABLE_BTS_UNAVAILABLE | MISC_ENABLE_PEBS_UNAVAILABLE | \
	 MISC_ENABLE_MONITOR)
#define MISC_ENABLE_WRITABLE                                                                                           \
	(MISC_ENABLE_FAST_STRINGS | MISC_ENABLE_THERMAL_CONTROL | MISC_ENABLE_SPEEDSTEP | MISC_ENABLE_MONITOR |        \
	 MISC_ENABLE_LIMIT_CPUID | MISC_ENABLE_XTPR_DISABLE | MISC_ENABLE_XD_DISABLE | MISC_ENABLE_TURBO_DISABLE)

uint64_t pmu_gp_bits(const struct pmu_model *model)
{
	return BIT(model->caps.nr_gp) - 1;
}

uint64_t pmu_fixed_bits(const struct pmu_model *model)
{
	return (BIT(model->caps.nr_fixed) - 1) << 32;
}

/* "Architectural Performance Monitoring Version 5": from here on AnyThread is deprecated and its bits are reserved. */
static bool has_any_thread(const struct pmu_model *model)
{
	return model->caps.version < 5;
}

/*
 * "Architectural Performance Monitoring Version 1": bits of fields the processor lacks are reserved. Above bit 31 that
 * is all but Adaptive_Record and, in version 6, EQ and UMASK2: no TSX, no event logging. Bit 19, once pin control, is
 * kept and does nothing.
 */
static uint64_t evtsel_writable(const struct pmu_model *model)
{
	uint64_t bits = BITS(31, 0);

	if (!has_any_thread(model))
		bits &= ~EVTSEL_ANY;
	if (pmu_has(model, PERF_CAP_PEBS_BASELINE))
		bits |= EVTSEL_ADAPTIVE;
	if (model->caps.eq)
		bits |= EVTSEL_EQ;
	if (model->caps.umask2)
		bits |= EVTSEL_UMASK2;
	return bits;
}

/*
 * "Architectural Performance Monitoring Version 2": one field of four bits a counter; the fields of missing counters
 * are reserved.
 */
static uint64_t fixed_ctr_ctrl_writable(const struct pmu_model *model)
{
	uint64_t bits = 0;

	for (unsigned m = 0; m < model->caps.nr_fixed; m++) {
		bits |= FIXED_OS(m) | FIXED_USR(m) | FIXED_PMI(m);
		if (has_any_thread(model))
			bits |= FIXED_ANY(m);
		if (pmu_has(model, PERF_CAP_PEBS_BASELINE))
			bits |= FIXED_ADAPTIVE(m);
	}
	if (pmu_has(model, PERF_CAP_METRICS_CLEAR))
		bits |= FIXED_METRICS_CLEAR_EN;
	return bits;
}

uint64_t pmu_global_ctrl_writable(const struct pmu_model *model)
{
	return pmu_gp_bits(model) | pmu_fixed_bits(model) |
	       (pmu_has(model, PERF_CAP_METRICS) ? STATUS_PERF_METRICS : 0);
}

/*
 * "IA32_PERF_GLOBAL_STATUS_RESET and IA32_PERF_GLOBAL_STATUS_SET MSRs": without Processor Trace and SGX, bits 55 and 60
 * are reserved; 63 cannot be set.
 */
static uint64_t status_settable(const struct pmu_model *model)
{
	return pmu_global_ctrl_writable(model) | STATUS_LBR_FRZ | STATUS_CTR_FRZ | STATUS_OVF_UNCORE | STATUS_OVF_BUF;
}

static uint64_t status_clearable(const struct pmu_model *model)
{
	return status_settable(model) | STATUS_COND_CHGD;
}

static bool write_faults(struct pmu_model *model, unsigned n, uint64_t value)
{
	(void)model, (void)n, (void)value;
	return false;
}

bool pmu_read_counter(struct pmu_model *model, unsigned i, uint64_t *value)
{
	pmu_fold(model);
	*value = model->counters[i].value;
	return true;
}

/* At once, also while it counts, and without an overflow. The instruction writing it is the first it may count. */
void pmu_write_counter(struct pmu_model *model, unsigned i, uint64_t value)
{
	pmu_fold(model);
	model->counters[i].value = value & pmu_counter_mask(model);
	pmu_counter_written(model, i);
	pmu_configure(model);
}

static bool read_pmc(struct pmu_model *model, unsigned n, uint64_t *value)
{
	return n < model->caps.nr_gp && pmu_read_counter(model, n, value);
}

/* "Architectural Performance Monitoring Version 1": only EAX counts, extended with its sign to the counter's width. */
static bool write_pmc(struct pmu_model *model, unsigned n, uint64_t value)
{
	if (n >= model->caps.nr_gp)
		return false;
	pmu_write_counter(model, n, (uint64_t)(int64_t)(int32_t)(uint32_t)value);
	return true;
}

/* "Full-Width Writes to Performance Counter Registers". */
static bool read_a_pmc(struct pmu_model *model, unsigned n, uint64_t *value)
{
	return pmu_has(model, PERF_CAP_FW_WRITE) && read_pmc(model, n, value);
}

static bool write_full(struct pmu_model *model, unsigned n, uint64_t value)
{
	if (n >= model->caps.nr_gp || value & ~pmu_counter_mask(model))
		return false;
	pmu_write_counter(model, n, value);
	return true;
}

static bool write_a_pmc(struct pmu_model *model, unsigned n, uint64_t value)
{
	return pmu_has(model, PERF_CAP_FW_WRITE) && write_full(model, n, value);
}

static bool read_fixed(struct pmu_model *model, unsigned m, uint64_t *value)
{
	return m < model->caps.nr_fixed && pmu_read_counter(model, PMU_MODEL_MAX_GP + m, value);
}

/* "Architectural Performance Monitoring Version 2": the bits above the width are reserved and must be written 0. */
static bool write_fixed(struct pmu_model *model, unsigned m, uint64_t value)
{
	if (m >= model->caps.nr_fixed || value & ~pmu_counter_mask(model))
		return false;
	pmu_write_counter(model, PMU_MODEL_MAX_GP + m, value);
	return true;
}

/*
 * A register that decides what counts. The new value holds from the instruction writing it on: of a WRMSR that enables
 * a counter and the one that disables it again, the first is counted and the second is not.
 */
bool pmu_write_config(struct pmu_model *model, uint64_t *reg, uint64_t value, uint64_t writable)
{
	if (value & ~writable)
		return false;
	pmu_fold(model);
	*reg = value;
	pmu_configure(model);
	return true;
}

static bool read_evtsel(struct pmu_model *model, unsigned n, uint64_t *value)
{
	if (n >= model->caps.nr_gp)
		return false;
	*value = model->evtsel[n];
	return true;
}

static bool write_evtsel(struct pmu_model *model, unsigned n, uint64_t value)
{
	return n < model->caps.nr_gp && pmu_write_config(model, &model->evtsel[n], value, evtsel_writable(model));
}

/*
 * "Architectural Performance Monitoring Version 6": four addresses a counter, the counter itself at the first, with
 * full-width writes, and a selector at the second. The other two are of automatic reload, which is not there. What is
 * not there faults, on older processors everything.
 */
#define BLOCK_FIXED (MSR_IA32_PMC_FX0_CTR - MSR_IA32_PMC_GP0_CTR)

static bool read_block(struct pmu_model *model, unsigned n, uint64_t *value)
{
	if (model->caps.version < 6)
		return false;
	if (n >= BLOCK_FIXED)
		return n % 4 == 0 && read_fixed(model, (n - BLOCK_FIXED) / 4, value);
	switch (n % 4) {
	case 0: return read_pmc(model, n / 4, value);
	case 1: return read_evtsel(model, n / 4, value);
	}
	return false;
}

static bool write_block(struct pmu_model *model, unsigned n, uint64_t value)
{
	if (model->caps.version < 6)
		return false;
	if (n >= BLOCK_FIXED)
		return n % 4 == 0 && write_fixed(model, (n - BLOCK_FIXED) / 4, value);
	switch (n % 4) {
	case 0: return write_full(model, n / 4, value);
	case 1: return write_evtsel(model, n / 4, value);
	}
	return false;
}

static bool read_fixed_ctr_ctrl(struct pmu_model *model, unsigned n, uint64_t *value)
{
	(void)n;
	*value = model->fixed_ctr_ctrl;
	return true;
}

static bool write_fixed_ctr_ctrl(struct pmu_model *model, unsigned n, uint64_t value)
{
	(void)n;
	return pmu_write_config(model, &model->fixed_ctr_ctrl, value, fixed_ctr_ctrl_writable(model));
}

static bool read_global_ctrl(struct pmu_model *model, unsigned n, uint64_t *value)
{
	(void)n;
	*value = model->global_ctrl;
	return true;
}

static bool write_global_ctrl(struct pmu_model *model, unsigned n, uint64_t value)
{
	(void)n;
	return pmu_write_config(model, &model->global_ctrl, value, pmu_global_ctrl_writable(model));
}

static bool read_global_status(struct pmu_model *model, unsigned n, uint64_t *value)
{
	(void)n;
	*value = model->global_status;
	return true;
}

/*
 * The two action registers. The manual calls them read/write without saying what a read gives: nothing is kept, so 0.
 */
static bool read_zero(struct pmu_model *model, unsigned n, uint64_t *value)
{
	(void)model, (void)n;
	*value = 0;
	return true;
}

static bool write_status_reset(struct pmu_model *model, unsigned n, uint64_t value)
{
	(void)n;
	if (value & ~status_clearable(model))
		return false;
	return pmu_write_config(model, &model->global_status, model->global_status & ~value, ~UINT64_C(0));
}

/* Sets the bits; raises no interrupt. A bit 59 set here freezes the counters like a PMI. */
static bool write_status_set(struct pmu_model *model, unsigned n, uint64_t value)
{
	(void)n;
	if (value & ~status_settable(model))
		return false;
	return pmu_write_config(model, &model->global_status, model->global_status | value, ~UINT64_C(0));
}

/* "IA32_PERF_GLOBAL_INUSE MSR": worked out from the selectors. */
static bool read_inuse(struct pmu_model *model, unsigned n, uint64_t *value)
{
	uint64_t inuse = 0;

	(void)n;
	for (unsigned i = 0; i < model->caps.nr_gp; i++) {
		inuse |= model->evtsel[i] & 0xff ? BIT(i) : 0;
		inuse |= model->evtsel[i] & EVTSEL_INT ? INUSE_PMI : 0;
	}
	for (unsigned m = 0; m < model->caps.nr_fixed; m++) {
		inuse |= model->fixed_ctr_ctrl & (FIXED_OS(m) | FIXED_USR(m)) ? BIT(32 + m) : 0;
		inuse |= model->fixed_ctr_ctrl & FIXED_PMI(m) ? INUSE_PMI : 0;
	}
	inuse |= model->pebs.enable ? INUSE_PMI : 0;
	*value = inuse;
	return true;
}

static bool read_perf_capabilities(struct pmu_model *model, unsigned n, uint64_t *value)
{
	(void)n;
	*value = model->caps.perf_capabilities;
	return true;
}

static bool read_debugctl(struct pmu_model *model, unsigned n, uint64_t *value)
{
	(void)n;
	*value = model->debugctl;
	return true;
}

static bool write_debugctl(struct pmu_model *model, unsigned n, uint64_t value)
{
	(void)n;
	return pmu_write_config(model, &model->debugctl, pmu_lbr_debugctl(model, value), DEBUGCTL_WRITABLE);
}

static bool read_misc_enable(struct pmu_model *model, unsigned n, uint64_t *value)
{
	(void)n;
	*value = model->misc_enable;
	return true;
}

/*
 * Bits 11 and 12 say what the processor lacks: trying to change them faults. Bit 7 and the bits this processor gives no
 * meaning to keep their values whatever is written, so that firmware writing what it always writes gets on.
 */
static bool write_misc_enable(struct pmu_model *model, unsigned n, uint64_t value)
{
	uint64_t fixed = MISC_ENABLE_BTS_UNAVAILABLE | MISC_ENABLE_PEBS_UNAVAILABLE;

	(void)n;
	if ((value ^ model->misc_enable) & fixed)
		return false;
	model->misc_enable = (model->misc_enable & ~MISC_ENABLE_WRITABLE) | (value & MISC_ENABLE_WRITABLE);
	return true;
}

/*
 * Plain storage: software that finds an Ice Lake uses these by its model number, whatever CPUID and PERF_CAPABILITIES
 * say, and gives them up if they do not read back what was written.
 */
static uint64_t *storage(struct pmu_model *model, uint32_t msr)
{
	if (pmu_is_amd(model))
		return NULL;
	switch (msr) {
	case MSR_OFFCORE_RSP_0:
	case MSR_OFFCORE_RSP_0 + 1: return &model->offcore_rsp[msr - MSR_OFFCORE_RSP_0];
	}
	return NULL;
}

static const struct pmu_register_kind counting_registers[] = {
	{ MSR_IA32_PMC0, NR_OLD_GP, read_pmc, write_pmc },
	{ MSR_IA32_PERFEVTSEL0, NR_OLD_GP, read_evtsel, write_evtsel },
	{ MSR_IA32_MISC_ENABLE, 1, read_misc_enable, write_misc_enable },
	{ MSR_IA32_DEBUGCTL, 1, read_debugctl, write_debugctl },
	{ MSR_IA32_FIXED_CTR0, PMU_MODEL_MAX_FIXED, read_fixed, write_fixed },
	{ MSR_IA32_PERF_CAPABILITIES, 1, read_perf_capabilities, write_faults },
	{ MSR_IA32_FIXED_CTR_CTRL, 1, read_fixed_ctr_ctrl, write_fixed_ctr_ctrl },
	{ MSR_IA32_PERF_GLOBAL_STATUS, 1, read_global_status, write_faults },
	{ MSR_IA32_PERF_GLOBAL_CTRL, 1, read_global_ctrl, write_global_ctrl },
	{ MSR_IA32_PERF_GLOBAL_STATUS_RESET, 1, read_zero, write_status_reset },
	{ MSR_IA32_PERF_GLOBAL_STATUS_SET, 1, read_zero, write_status_set },
	{ MSR_IA32_PERF_GLOBAL_INUSE, 1, read_inuse, write_faults },
	{ MSR_IA32_A_PMC0, NR_OLD_GP, read_a_pmc, write_a_pmc },
	{ MSR_IA32_PMC_GP0_CTR, NR_PMC_BLOCK, read_block, write_block },
	{ 0 },
};

static const struct pmu_register_kind *const intel_tables[] = {
	counting_registers, pmu_lbr_registers, pmu_lbr_arch_registers, pmu_pebs_registers, pmu_metrics_registers, NULL,
};
static const struct pmu_register_kind *const amd_tables[] = { pmu_amd_registers, pmu_amd_lbr_registers, NULL };

static const struct pmu_register_kind *find_in(const struct pmu_register_kind *kind, uint32_t msr)
{
	while (kind->count && msr - kind->first >= kind->count)
		kind++;
	return kind->count ? kind : NULL;
}

static const struct pmu_register_kind *find_kind(const struct pmu_model *model, uint32_t msr)
{
	const struct pmu_register_kind *const *table = pmu_is_amd(model) ? amd_tables : intel_tables;
	const struct pmu_register_kind *kind = NULL;

	while (!kind && *table)
		kind = find_in(*table++, msr);
	return kind;
}

static enum pmu_model_answer done_or_gp(bool done)
{
	return done ? PMU_MODEL_DONE : PMU_MODEL_GP;
}

enum pmu_model_answer pmu_model_rdmsr(struct pmu_model *model, uint32_t msr, uint64_t *value)
{
	const struct pmu_register_kind *kind = find_kind(model, msr);
	const uint64_t *stored = storage(model, msr);

	if (kind)
		return done_or_gp(kind->read(model, msr - kind->first, value));
	if (!stored)
		return PMU_MODEL_UNKNOWN;
	*value = *stored;
	return PMU_MODEL_DONE;
}

enum pmu_model_answer pmu_model_wrmsr(struct pmu_model *model, uint32_t msr, uint64_t value)
{
	const struct pmu_register_kind *kind = find_kind(model, msr);
	uint64_t *stored = storage(model, msr);

	if (kind)
		return done_or_gp(kind->write(model, msr - kind->first, value));
	if (!stored)
		return PMU_MODEL_UNKNOWN;
	*stored = value;
	return PMU_MODEL_DONE;
}

/* Vol. 2B, "RDPMC": ECX[31:16] names the kind of counter, ECX[15:0] the number. There is no 32-bit fast mode. */
#define RDPMC_GP      0x0000
#define RDPMC_METRICS 0x2000
#define RDPMC_FIXED   0x4000

enum pmu_model_answer pmu_model_rdpmc(struct pmu_model *model, uint32_t ecx, uint64_t *value)
{
	unsigned n = ecx & 0xffff;

	if (pmu_is_amd(model))
		return done_or_gp(pmu_amd_rdpmc(model, ecx, value));
	switch (ecx >> 16) {
	case RDPMC_GP: return done_or_gp(read_pmc(model, n, value));
	case RDPMC_METRICS: return done_or_gp(n == 0 && pmu_rdpmc_metrics(model, value));
	case RDPMC_FIXED: return done_or_gp(read_fixed(model, n, value));
	}
	return PMU_MODEL_GP;
}

/*
 * Vol. 3A, "Processor State After Reset": all 0, except that every general-purpose counter is enabled in GLOBAL_CTRL,
 * as software older than that register expects.
 */
void pmu_reset_registers(struct pmu_model *model)
{
	for (unsigned i = 0; i < NR_COUNTERS; i++)
		model->counters[i].value = 0;
	memset(model->evtsel, 0, sizeof(model->evtsel));
	memset(model->offcore_rsp, 0, sizeof(model->offcore_rsp));
	pmu_lbr_reset(model);
	model->fixed_ctr_ctrl = model->global_status = model->debugctl = 0;
	model->global_ctrl = pmu_gp_bits(model);
	model->misc_enable = MISC_ENABLE_RESET &
			     ~(pmu_has(model, PERF_CAP_PEBS_BASELINE) ? MISC_ENABLE_PEBS_UNAVAILABLE : 0);
	pmu_reset_pebs(model);
	pmu_reset_metrics(model);
	memset(&model->amd, 0, sizeof(model->amd));
}
