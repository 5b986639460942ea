/*
 * AMD's PMU: registers, events, CPUID, and what SVM does to it. How counters count is pmu_count.c's, as for Intel.
 *
 * AMD's manuals are cited by the names in their text; what Linux and KVM rely on, by the file there. Writes to reserved
 * bits and to read-only registers of the PMU are ignored, not faults: KVM's svm/pmu.c and pmu.c, after the PPR.
 */
#include <string.h>

#include "pmu_private.h"

/* Linux, arch/x86/include/asm/msr-index.h. */
#define MSR_PERF_LEGACY_CTL0        0xc0010000
#define MSR_PERF_LEGACY_CTR0        0xc0010004
#define NR_LEGACY                   4
#define MSR_PERF_CTL0               0xc0010200 /* the counter follows */
#define MSR_PERF_CNTR_GLOBAL_STATUS 0xc0000300
#define CTL_GUEST_ONLY              BIT(40)
#define CTL_HOST_ONLY               BIT(41)
/* Event in 7:0 and 35:32. Bits 19, 21, 39:36 and above 41 are reserved. */
#define CTL_WRITABLE  (BITS(18, 0) | EVTSEL_INT | EVTSEL_EN | EVTSEL_INV | BITS(35, 24) | CTL_GUEST_ONLY | CTL_HOST_ONLY)
#define CTL_EVENT     (BITS(35, 32) | BITS(15, 0))
#define NB_CTL0       0xc0010240
#define LLC_CTL0      0xc0010230
#define IBS_FETCH_CTL 0xc0011030

/* Bits 5:2 drive pins where there is no bus-lock trap: KVM's svm.h. */
#define DEBUGCTL_PINS BITS(5, 2)

enum { EAX, EBX, ECX, EDX };

/*
 * Zen's core events: Linux' arch/x86/events/amd/core.c and tools/perf/pmu-events/arch/x86/amdzen4. The selector is
 * event 11:8, unit mask and event 7:0, as in PERF_CTL. An unknown one counts nothing.
 */
static const struct {
	uint64_t ctl;
	enum pmu_signal signal;
} selectors[] = {
	{ 0x00c0, SIGNAL_INSTRUCTIONS },
	{ 0x0076, SIGNAL_CORE_CYCLES },
	{ BIT(32) | 0x0120, SIGNAL_TSC_CYCLES }, /* at the P0 frequency, the time-stamp counter's */
	{ 0xff60, SIGNAL_LLC_REFERENCES },
	{ 0x0964, SIGNAL_LLC_MISSES },
	{ 0x0129, SIGNAL_LOADS },
	{ 0x0229, SIGNAL_STORES },
	{ 0x00c2, SIGNAL_BRANCHES },
	{ 0x00c3, SIGNAL_MISPREDICTED },
	{ 0x00c4, SIGNAL_TAKEN },
	{ 0x00c6, SIGNAL_FAR },
	{ 0x00c8, SIGNAL_NEAR_RETURNS },
	{ 0x00d1, SIGNAL_COND },
};

enum pmu_signal pmu_amd_signal(uint64_t ctl)
{
	for (unsigned i = 0; i < sizeof(selectors) / sizeof(selectors[0]); i++)
		if (selectors[i].ctl == (ctl & CTL_EVENT))
			return selectors[i].signal;
	return SIGNAL_NONE;
}

/*
 * GuestOnly and HostOnly, as Linux' svm_pmu_host_guest_test.c has them: without EFER.SVME either stops the counter,
 * with it both together are as neither.
 */
bool pmu_amd_counts_here(const struct pmu_model *model, uint64_t ctl)
{
	bool guest_only = ctl & CTL_GUEST_ONLY, host_only = ctl & CTL_HOST_ONLY;

	if (!pmu_is_amd(model))
		return true;
	if (!model->amd.svme)
		return !guest_only && !host_only;
	return guest_only == host_only || guest_only == model->amd.in_guest;
}

static bool read_absent(struct pmu_model *model, unsigned n, uint64_t *value)
{
	(void)model, (void)n, (void)value;
	return false;
}

static bool write_absent(struct pmu_model *model, unsigned n, uint64_t value)
{
	(void)model, (void)n, (void)value;
	return false;
}

static bool read_ctl(struct pmu_model *model, unsigned n, uint64_t *value)
{
	*value = model->evtsel[n];
	return n < model->caps.nr_gp;
}

static bool write_ctl(struct pmu_model *model, unsigned n, uint64_t value)
{
	return n < model->caps.nr_gp && pmu_write_config(model, &model->evtsel[n], value & CTL_WRITABLE, CTL_WRITABLE);
}

static bool read_ctr(struct pmu_model *model, unsigned n, uint64_t *value)
{
	return n < model->caps.nr_gp && pmu_read_counter(model, n, value);
}

/* All of the width can be written; the bits above it are ignored. */
static bool write_ctr(struct pmu_model *model, unsigned n, uint64_t value)
{
	if (n >= model->caps.nr_gp)
		return false;
	pmu_write_counter(model, n, value);
	return true;
}

/* PerfCtrExtCore: selectors and counters in turn. The legacy addresses are aliases of the first four. */
static bool read_extended(struct pmu_model *model, unsigned n, uint64_t *value)
{
	return model->caps.core_ext && (n % 2 ? read_ctr(model, n / 2, value) : read_ctl(model, n / 2, value));
}

static bool write_extended(struct pmu_model *model, unsigned n, uint64_t value)
{
	return model->caps.core_ext && (n % 2 ? write_ctr(model, n / 2, value) : write_ctl(model, n / 2, value));
}

/* PerfMonV2, by their distance from PerfCntrGlobalStatus. */
enum { GLOBAL_STATUS, GLOBAL_CTL, GLOBAL_STATUS_CLR, GLOBAL_STATUS_SET, NR_GLOBAL };

static uint64_t status_bits(const struct pmu_model *model)
{
	return pmu_gp_bits(model) | (model->caps.freezes ? STATUS_LBR_FRZ | STATUS_CTR_FRZ : 0);
}

/* Nothing is kept of what is written to the two action registers: KVM's pmu.c reads them 0. */
static bool read_global(struct pmu_model *model, unsigned n, uint64_t *value)
{
	switch (n) {
	case GLOBAL_STATUS: *value = model->global_status; break;
	case GLOBAL_CTL: *value = model->global_ctrl; break;
	default: *value = 0; break;
	}
	return model->caps.perfmon_v2;
}

static bool write_global(struct pmu_model *model, unsigned n, uint64_t value)
{
	uint64_t status = model->global_status, all = ~UINT64_C(0);

	if (!model->caps.perfmon_v2)
		return false;
	switch (n) {
	case GLOBAL_CTL: return pmu_write_config(model, &model->global_ctrl, value & pmu_gp_bits(model), all);
	case GLOBAL_STATUS_CLR: return pmu_write_config(model, &model->global_status, status & ~value, all);
	case GLOBAL_STATUS_SET:
		return pmu_write_config(model, &model->global_status, status | (value & status_bits(model)), all);
	}
	return true;
}

uint64_t pmu_amd_debugctl_writable(const struct pmu_model *model)
{
	return DEBUGCTL_LBR | DEBUGCTL_BTF | DEBUGCTL_PINS |
	       (model->caps.freezes ? DEBUGCTL_FREEZE_LBRS_ON_PMI | DEBUGCTL_FREEZE_PERFMON_ON_PMI : 0);
}

static bool read_debugctl(struct pmu_model *model, unsigned n, uint64_t *value)
{
	(void)n;
	*value = model->debugctl;
	return true;
}

/* Its reserved bits fault: KVM's svm.c. */
static bool write_debugctl(struct pmu_model *model, unsigned n, uint64_t value)
{
	(void)n;
	return pmu_write_config(model, &model->debugctl, value, pmu_amd_debugctl_writable(model));
}

/* The last ones are not there: what CPUID could announce besides, and Intel's. */
const struct pmu_register_kind pmu_amd_registers[] = {
	{ MSR_PERF_LEGACY_CTL0, NR_LEGACY, read_ctl, write_ctl },
	{ MSR_PERF_LEGACY_CTR0, NR_LEGACY, read_ctr, write_ctr },
	{ MSR_PERF_CTL0, 16, read_extended, write_extended },
	{ MSR_PERF_CNTR_GLOBAL_STATUS, NR_GLOBAL, read_global, write_global },
	{ MSR_IA32_DEBUGCTL, 1, read_debugctl, write_debugctl },
	{ LLC_CTL0, 12, read_absent, write_absent },
	{ NB_CTL0, 8, read_absent, write_absent },
	{ IBS_FETCH_CTL, 14, read_absent, write_absent },
	{ MSR_IA32_PMC0, NR_OLD_GP, read_absent, write_absent },
	{ MSR_IA32_PERFEVTSEL0, NR_OLD_GP, read_absent, write_absent },
	{ MSR_IA32_FIXED_CTR0, PMU_MODEL_MAX_FIXED, read_absent, write_absent },
	{ MSR_IA32_PERF_CAPABILITIES, 1, read_absent, write_absent },
	{ MSR_IA32_FIXED_CTR_CTRL, MSR_IA32_PERF_GLOBAL_INUSE + 1 - MSR_IA32_FIXED_CTR_CTRL, read_absent,
	  write_absent },
	{ MSR_IA32_A_PMC0, NR_OLD_GP, read_absent, write_absent },
	{ 0 },
};

/* ECX numbers the core counters; those of the data fabric and the L3 cache, above, are not there. */
bool pmu_amd_rdpmc(struct pmu_model *model, uint32_t ecx, uint64_t *value)
{
	return ecx < model->caps.nr_gp && read_ctr(model, ecx, value);
}

static void put(uint32_t *reg, unsigned bit, bool on)
{
	*reg = on ? *reg | 1u << bit : *reg & ~(1u << bit);
}

/* No counters of the data fabric and the L3 cache, no time-stamp counter of the PMU's, no IBS. */
static void extended_features(const struct pmu_model_caps *caps, uint32_t regs[4])
{
	regs[EAX] = caps->signature;
	put(&regs[ECX], 10, false);
	put(&regs[ECX], 23, caps->core_ext);
	put(&regs[ECX], 24, false);
	put(&regs[ECX], 27, false);
	put(&regs[ECX], 28, false);
}

/* "Extended Performance Monitoring and Debug". */
static void perfmon(const struct pmu_model_caps *caps, uint32_t regs[4])
{
	memset(regs, 0, 4 * sizeof(regs[0]));
	if (!caps->perfmon_v2)
		return;
	put(&regs[EAX], 0, true);
	put(&regs[EAX], 1, caps->lbr_v2);
	put(&regs[EAX], 2, caps->freezes);
	regs[EBX] = caps->nr_gp | (caps->lbr_v2 ? PMU_MODEL_LBRS_V2 << 4 : 0);
}

void pmu_amd_cpuid(const struct pmu_model_caps *caps, uint32_t leaf, uint32_t regs[4])
{
	switch (leaf) {
	case 0x01: regs[EAX] = caps->signature; break;
	case 0x80000000:
		if (caps->perfmon_v2 && regs[EAX] < 0x80000022)
			regs[EAX] = 0x80000022;
		break;
	case 0x80000001: extended_features(caps, regs); break;
	case 0x80000008:
		put(&regs[EBX], 1, false);  /* the counter of instructions at MSR C000_00E9H */
		put(&regs[EBX], 31, false); /* branch sampling */
		break;
	case 0x8000001b: memset(regs, 0, 4 * sizeof(regs[0])); break;
	case 0x80000022: perfmon(caps, regs); break;
	}
}

/*
 * Instructions that change the CPL count where they lead: AMD's engineers on the KVM list, of SYSCALL and SYSRET.
 * Intel's manual is silent; its counters count them where they execute.
 */
unsigned pmu_model_counted_cpl(const struct pmu_model *model, unsigned before, unsigned after)
{
	return pmu_is_amd(model) ? after : before;
}

void pmu_amd_event(struct pmu_model *model, const struct pmu_model_transfer *transfer)
{
	if (model->hot.records)
		pmu_amd_lbr_record(model, LBR_OTHER, true, false, transfer);
	pmu_count_event(model, transfer->to_cpl);
}

void pmu_model_svme(struct pmu_model *model, bool on)
{
	if (model->amd.svme == on)
		return;
	pmu_fold(model);
	model->amd.svme = on;
	model->amd.in_guest &= on;
	pmu_configure(model);
}

/* APM Vol. 2, "Hardware Acceleration for LBR Virtualization": the stack that an exit finds stays in the registers. */
static void switch_mode(struct pmu_model *model, bool guest, const struct pmu_model_vmcb *load,
			struct pmu_model_vmcb *save)
{
	pmu_model_abort(model);
	pmu_fold(model);
	if (load->lbr_virtualization) {
		pmu_amd_lbr_read(model, save);
		(guest ? pmu_amd_lbr_write : pmu_amd_lbr_control)(model, load);
	}
	model->amd.in_guest = guest;
	model->pebs.in_root = !guest;
	pmu_configure(model);
}

/* For the counters VMRUN is a far control transfer in the guest: AMD's engineers on the KVM list. No LBR records it. */
void pmu_model_vmrun(struct pmu_model *model, const struct pmu_model_vmcb *vmcb)
{
	model->amd.host.lbr_virtualization = vmcb->lbr_virtualization;
	switch_mode(model, true, vmcb, &model->amd.host);
	model->signals[SIGNAL_BRANCHES]++;
	model->signals[SIGNAL_TAKEN]++;
	model->signals[SIGNAL_FAR]++;
	model->hot.pending = true;
}

/* The VMCB gets the fields whose loading it asked for when the guest was entered. */
void pmu_model_svm_exit(struct pmu_model *model, struct pmu_model_vmcb *vmcb)
{
	vmcb->lbr_virtualization = model->amd.host.lbr_virtualization;
	switch_mode(model, false, &model->amd.host, vmcb);
	if (model->hot.events)
		pmu_count_event(model, 0);
}
