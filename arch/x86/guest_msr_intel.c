/* The guest's MSRs on processors of Intel's. */
#include "guest_msr.h"
#include "cpuid.h"
#include "guest_walk.h"
#include "msr.h"
#include "arch/x86/reg.h"

#define MISC_ENABLE_XD_DISABLE BIT(34)
/* All but branch trace, BTS and PT. */
#define DEBUGCTL_GUEST                                                                                                 \
	(DEBUGCTL_LBR | DEBUGCTL_BTF | DEBUGCTL_BUS_LOCK_DETECT | DEBUGCTL_FREEZE | DEBUGCTL_UNCORE_PMI |              \
	 DEBUGCTL_FREEZE_WHILE_SMM | DEBUGCTL_RTM)

#define NR_ALIASES 0x100 /* addresses from MSR_IA32_PMC_GP0_CTR on */

static bool has_legacy_lbr(const struct pmu *pmu)
{
	return pmu->lbr.guests && pmu->lbr.ops->debugctl;
}

static bool has_arch_lbr(const struct pmu *pmu)
{
	return pmu->lbr.guests && pmu->lbr.ops->control;
}

static bool read_feature_control(struct cpu *cpu, uint32_t msr, uint64_t *value)
{
	(void)cpu;
	*value = (reg_rdmsr(msr) & ~(FEATURE_CONTROL_VMX | FEATURE_CONTROL_VMX_IN_SMX)) | FEATURE_CONTROL_LOCK;
	return true;
}

static bool has_pebs(const struct pmu *pmu)
{
	return pmu->pebs.offer == PEBS_OFFERED;
}

static bool has_metrics(const struct pmu *pmu)
{
	return pmu->controls & PMU_METRICS;
}

/* What the guest is told to be unavailable, whatever the hardware says. */
static uint64_t unavailable(const struct pmu *pmu)
{
	return MISC_ENABLE_BTS_UNAVAILABLE | (has_pebs(pmu) ? 0 : MISC_ENABLE_PEBS_UNAVAILABLE);
}

static bool read_misc_enable(struct cpu *cpu, uint32_t msr, uint64_t *value)
{
	*value = reg_rdmsr(msr) | unavailable(&cpu->pmu);
	return true;
}

/* Disabling XD would take no-execute from pmuvisor's own page tables too. */
static bool write_misc_enable(struct cpu *cpu, uint32_t msr, uint64_t value)
{
	uint64_t hidden = unavailable(&cpu->pmu), hardware = reg_rdmsr(msr);

	if ((value & hidden) != hidden || value & MISC_ENABLE_XD_DISABLE)
		return false;
	return reg_wrmsr_safe(msr, (value & ~hidden) | (hardware & hidden));
}

/*
 * XRSTORS could load what is hidden here: an LBR state, or an Intel PT state that writes its trace to physical memory,
 * past EPT.
 */
static bool write_xss(struct cpu *cpu, uint32_t msr, uint64_t value)
{
	uint64_t hidden = XSTATE_PT | (cpu->pmu.lbr.guests ? 0 : XSTATE_LBR);

	return !(value & hidden) && reg_wrmsr_safe(msr, value);
}

/* The freeze bits exist on every CPU of Intel's that pmuvisor runs on. */
static uint64_t debugctl(const struct pmu *pmu)
{
	(void)pmu;
	return DEBUGCTL_GUEST;
}

/* Without LBRs of this kind: SDM Vol. 3B, "Last Branch Records", "IA32_DEBUGCTL". */
static uint64_t debugctl_ignored(const struct pmu *pmu)
{
	return has_legacy_lbr(pmu) ? 0 : DEBUGCTL_LBR;
}

static bool read_perf_capabilities(struct cpu *cpu, uint32_t msr, uint64_t *value)
{
	(void)msr;
	*value = cpu->pmu.caps.capabilities &
		 (PERF_CAP_SMM_FREEZE | PERF_CAP_FW_WRITE | (cpu->pmu.lbr.guests ? PERF_CAP_LBR_FMT : 0) |
		  (has_pebs(&cpu->pmu) ? PERF_CAP_PEBS : 0) |
		  (has_metrics(&cpu->pmu) ? PERF_CAP_METRICS | PERF_CAP_METRICS_CLEAR : 0));
	return true;
}

/* Where the host records in root mode between the guest's branches, it may hold one of the host's. */
static bool shares_ler(const struct pmu *pmu)
{
	const struct lbr *lbr = &pmu->lbr;

	return lbr->guests && lbr->hosts && !lbr->ops->switches_ler && pmu->host_sampling & pmu->host_in_host;
}

static bool read_ler(struct cpu *cpu, uint32_t msr, uint64_t *value)
{
	(void)cpu, (void)msr;
	*value = 0;
	return true;
}

static uint64_t fixed_fields(uint64_t counters, uint64_t bits)
{
	uint64_t fields = 0;

	for_each_bit(m, counters >> 32)
		fields |= bits << 4 * m;
	return fields;
}

static uint64_t guest_fixed_fields(const struct pmu *pmu)
{
	return fixed_fields(pmu->guest, FIXED_CTR_FIELD | (has_pebs(pmu) ? FIXED_CTR_ADAPTIVE : 0));
}

static bool read_fixed_ctrl(struct cpu *cpu, uint32_t msr, uint64_t *value)
{
	*value = reg_rdmsr(msr) & guest_fixed_fields(&cpu->pmu);
	return true;
}

static bool write_fixed_ctrl(struct cpu *cpu, uint32_t msr, uint64_t value)
{
	uint64_t host = reg_rdmsr(msr) & fixed_fields(cpu->pmu.host, FIXED_CTR_FIELD);

	if (value & ~guest_fixed_fields(&cpu->pmu))
		return false;
	return reg_wrmsr_safe(msr, value | host);
}

static bool write_pebs_enable(struct cpu *cpu, uint32_t msr, uint64_t value)
{
	(void)msr;
	return pebs_write_enable(&cpu->pmu, value);
}

/*
 * What records would tell of the host: branches, while the LBRs aren't the guest's, and its counters, from format 6 on.
 * Metrics are cleared with fixed counter 3 when they are recorded. SDM Vol. 3B, "Adaptive PEBS Record Format".
 */
static uint64_t untold(const struct pmu *pmu)
{
	uint64_t hidden = pmu->lbr.guests ? 0 : PEBS_DATA_CFG_LBR | PEBS_DATA_CFG_NR_LBRS;

	if (pmu->caps.pebs_format < 6)
		return hidden;
	return hidden | FIELD_PUT(PEBS_DATA_CFG_GP, pmu->host) | FIELD_PUT(PEBS_DATA_CFG_FIXED, pmu->host >> 32) |
	       (has_metrics(pmu) ? 0 : PEBS_DATA_CFG_METRICS);
}

static bool write_data_cfg(struct cpu *cpu, uint32_t msr, uint64_t value)
{
	return !(value & untold(&cpu->pmu)) && reg_wrmsr_safe(msr, value);
}

/* The guest may change its page tables later; until then this is where its records go. */
static bool write_ds_area(struct cpu *cpu, uint32_t msr, uint64_t value)
{
	uint64_t before = reg_rdmsr(msr);

	if (!reg_wrmsr_safe(msr, value)) /* it isn't canonical */
		return false;
	if (pebs_accept_ds_area(&cpu->pmu, guest_memory_at(cpu, value, cpu->pmu.caps.ds_size)))
		return true;
	reg_wrmsr(msr, before);
	return false;
}

static enum pmu_global global_of(uint32_t msr)
{
	switch (msr) {
	case MSR_IA32_PERF_GLOBAL_STATUS: return PMU_STATUS;
	case MSR_IA32_PERF_GLOBAL_CTRL: return PMU_CTRL;
	case MSR_IA32_PERF_GLOBAL_STATUS_RESET: return PMU_STATUS_CLEAR;
	case MSR_IA32_PERF_GLOBAL_STATUS_SET: return PMU_STATUS_SET;
	default: return PMU_INUSE;
	}
}

static bool read_global(struct cpu *cpu, uint32_t msr, uint64_t *value)
{
	return pmu_read_global(cpu, global_of(msr), value);
}

static bool write_global(struct cpu *cpu, uint32_t msr, uint64_t value)
{
	return pmu_write_global(cpu, global_of(msr), value);
}

enum {
	WITH_PEBS = GUEST_MSR_VENDOR,
	NARROW_PEBS, /* and there is something that records must not tell */
	WITHOUT_PEBS,
	WITHOUT_METRICS,
	WITHOUT_LEGACY_LBR,
	WITHOUT_ARCH_LBR,
	WITHOUT_LBR, /* of either kind */
	SHARED_LER,
	HOST_FIXED, /* the host keeps a fixed counter: the guest has not their control to itself */
};

static const struct guest_msr entries[] = {
	/* Searched from the top: these are the ones that come in numbers. */
	{ MSR_IA32_PERF_GLOBAL_STATUS, 4, TRAP_BOTH, CLOSED, read_global, write_global },
	{ MSR_IA32_PERF_GLOBAL_INUSE, 1, TRAP_BOTH, ALWAYS, read_global, write_global },
	{ MSR_IA32_FEATURE_CONTROL, 1, TRAP_BOTH, ALWAYS, read_feature_control, NULL },
	{ MSR_IA32_MISC_ENABLE, 1, TRAP_BOTH, ALWAYS, read_misc_enable, write_misc_enable },
	{ MSR_IA32_XSS, 1, TRAP_WRITE, ALWAYS, NULL, write_xss },
	{ MSR_IA32_PERF_CAPABILITIES, 1, TRAP_BOTH, ALWAYS, read_perf_capabilities, NULL },
	/* PEBS_ENABLE not while open and in use: the vendor sees to that. */
	{ MSR_IA32_PEBS_ENABLE, 1, TRAP_WRITE, WITH_PEBS, NULL, write_pebs_enable },
	{ MSR_PEBS_DATA_CFG, 1, TRAP_WRITE, NARROW_PEBS, NULL, write_data_cfg },
	{ MSR_IA32_DS_AREA, 1, TRAP_WRITE, WITH_PEBS, NULL, write_ds_area },
	{ MSR_IA32_LER_FROM, 2, TRAP_READ, SHARED_LER, read_ler, NULL }, /* and LER_TO */
	{ MSR_IA32_FIXED_CTR_CTRL, 1, TRAP_BOTH, HOST_FIXED, read_fixed_ctrl, write_fixed_ctrl },
	/* Hidden whole: */
	{ MSR_LBR_SELECT, 2, TRAP_BOTH, WITHOUT_LEGACY_LBR, NULL, NULL }, /* and LASTBRANCH_TOS */
	{ MSR_IA32_LER_FROM, 2, TRAP_BOTH, WITHOUT_LBR, NULL, NULL },
	{ MSR_IA32_LER_INFO, 1, TRAP_BOTH, WITHOUT_LBR, NULL, NULL },
	{ MSR_PERF_METRICS, 1, TRAP_BOTH, WITHOUT_METRICS, NULL, NULL },
	{ MSR_IA32_PEBS_ENABLE, 2, TRAP_BOTH, WITHOUT_PEBS, NULL, NULL }, /* and PEBS_DATA_CFG */
	{ MSR_PEBS_LD_LAT, 2, TRAP_BOTH, WITHOUT_PEBS, NULL, NULL },      /* and PEBS_FRONTEND */
	{ MSR_IA32_VMX_BASIC, MSR_IA32_VMX_LAST - MSR_IA32_VMX_BASIC + 1, TRAP_BOTH, ALWAYS, NULL, NULL },
	{ MSR_IA32_RTIT_FIRST, 0x30, TRAP_BOTH, ALWAYS, NULL, NULL },
	{ MSR_IA32_DS_AREA, 1, TRAP_BOTH, WITHOUT_PEBS, NULL, NULL },
	{ MSR_LASTBRANCH_0_FROM, 0x20, TRAP_BOTH, WITHOUT_LEGACY_LBR, NULL, NULL },
	{ MSR_LASTBRANCH_0_TO, 0x20, TRAP_BOTH, WITHOUT_LEGACY_LBR, NULL, NULL },
	{ MSR_LBR_INFO_0, 0x20, TRAP_BOTH, WITHOUT_LEGACY_LBR, NULL, NULL },
	{ MSR_IA32_LBR_0_INFO, 0x20, TRAP_BOTH, WITHOUT_ARCH_LBR, NULL, NULL },
	{ MSR_IA32_LBR_CTL, 2, TRAP_BOTH, WITHOUT_ARCH_LBR, NULL, NULL }, /* and LBR_DEPTH */
	{ MSR_IA32_LBR_0_FROM, 0x20, TRAP_BOTH, WITHOUT_ARCH_LBR, NULL, NULL },
	{ MSR_IA32_LBR_0_TO, 0x20, TRAP_BOTH, WITHOUT_ARCH_LBR, NULL, NULL },
};

static bool applies(const struct pmu *pmu, unsigned when)
{
	switch (when) {
	case WITH_PEBS: return has_pebs(pmu);
	case NARROW_PEBS: return has_pebs(pmu) && untold(pmu);
	case WITHOUT_PEBS: return !has_pebs(pmu);
	case WITHOUT_METRICS: return !has_metrics(pmu);
	case WITHOUT_LEGACY_LBR: return !has_legacy_lbr(pmu);
	case WITHOUT_ARCH_LBR: return !has_arch_lbr(pmu);
	case WITHOUT_LBR: return !pmu->lbr.guests;
	case SHARED_LER: return shares_ler(pmu);
	case HOST_FIXED: return pmu->host >> 32;
	}
	return false;
}

/*
 * SDM Vol. 3B, "Architectural Performance Monitoring Version 6": of the four addresses a counter has, the first is the
 * counter and the second, of general-purpose ones, the selector. The others are of automatic reload.
 */
static bool is_guest_alias(const struct pmu *pmu, uint32_t msr)
{
	bool fixed = msr >= MSR_IA32_PMC_FX0_CTR;
	uint32_t n = msr - (fixed ? MSR_IA32_PMC_FX0_CTR : MSR_IA32_PMC_GP0_CTR);

	return pmu->caps.version >= 6 && n % 4 < (fixed ? 1 : 2) && pmu->guest & BIT(n / 4 + (fixed ? 32 : 0));
}

static void trap_aliases(const struct pmu *pmu, guest_msr_set set, void *context)
{
	for (uint32_t i = 0; i < NR_ALIASES; i++) {
		if (!is_guest_alias(pmu, MSR_IA32_PMC_GP0_CTR + i))
			set(context, MSR_IA32_PMC_GP0_CTR + i, TRAP_BOTH);
	}
}

static void trap_host_counters(const struct pmu *pmu, guest_msr_set set, void *context)
{
	for_each_bit(n, pmu->host & BITS(7, 0)) { /* the others have no registers of this kind */
		set(context, MSR_IA32_PMC0 + (uint32_t)n, TRAP_BOTH);
		set(context, MSR_IA32_PERFEVTSEL0 + (uint32_t)n, TRAP_BOTH);
		set(context, MSR_IA32_A_PMC0 + (uint32_t)n, TRAP_BOTH);
	}
	for_each_bit(m, pmu->host >> 32)
		set(context, MSR_IA32_FIXED_CTR0 + (uint32_t)m, TRAP_BOTH);
	trap_aliases(pmu, set, context);
}

/* SDM Vol. 2B, "RDPMC": ECX[31:16] is the type, 0 general-purpose, 4000H fixed, 2000H the metrics. */
static bool may_rdpmc(const struct pmu *pmu, uint32_t ecx)
{
	uint32_t index = ecx & 0xffff;

	switch (ecx >> 16) {
	case 0: return index < 32 && pmu->guest & BIT(index);
	case 0x4000: return index < 16 && pmu->guest & BIT(32 + index);
	case 0x2000: return index == 0 && has_metrics(pmu);
	}
	return false;
}

const struct guest_msrs guest_msrs_intel = {
	.entries = entries,
	.count = ARRAY_SIZE(entries),
	.applies = applies,
	.trap_host = trap_host_counters,
	.may_rdpmc = may_rdpmc,
	.debugctl = debugctl,
	.debugctl_ignored = debugctl_ignored,
};
