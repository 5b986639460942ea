/*
 * The guest's RDMSR, WRMSR and RDPMC where they exit. An MSR that traps and has no handler here is one the guest
 * doesn't have: #GP. Writes that the CPU alone can judge are tried in root mode, under a fix-up, and its answer is
 * passed on.
 */
#include "apic.h"
#include "cpuid.h"
#include "guest.h"
#include "guest_walk.h"
#include "msr.h"
#include "mtrr.h"
#include "arch/x86/reg.h"

#define MISC_ENABLE_XD_DISABLE BIT(34)
#define DEBUGCTL_FREEZE        (DEBUGCTL_FREEZE_LBRS_ON_PMI | DEBUGCTL_FREEZE_PERFMON_ON_PMI)
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

static bool in_region(const struct boot_info *boot, uint64_t pa)
{
	return pa - boot->region_pa < boot->region_size;
}

/* The APIC answers before memory does: laid over pmuvisor's pages it would replace them. */
static bool write_apic_base(struct cpu *cpu, uint32_t msr, uint64_t value)
{
	uint64_t page = value & APIC_BASE_ADDRESS;

	if (in_region(cpu->boot, page) || !reg_wrmsr_safe(msr, value))
		return false;
	cpu->x2apic = value & APIC_BASE_X2APIC;
	if (page != cpu->apic_page) {
		cpu->apic_page = page;
		reg_move_window(&cpu->apic, page);
		cpu->ops->remap(cpu);
	}
	pmu_apic_mode_changed(cpu);
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

/* DEBUGCTL while closed: the freeze bits are pmuvisor's to do, and the rest is what the next entry loads. */
static uint64_t debugctl_hidden(const struct cpu *cpu)
{
	return DEBUGCTL_FREEZE | (has_legacy_lbr(&cpu->pmu) ? 0 : DEBUGCTL_LBR);
}

static bool read_debugctl(struct cpu *cpu, uint32_t msr, uint64_t *value)
{
	(void)msr;
	*value = cpu->ops->read(cpu, GUEST_DEBUGCTL) & ~debugctl_hidden(cpu);
	*value |= freeze_debugctl(cpu->pmu.guest_freeze);
	return true;
}

/*
 * Without LBRs of this kind their bit is accepted and reads 0: SDM Vol. 3B, "Last Branch Records", "IA32_DEBUGCTL". It
 * and the freeze bits exist on every CPU pmuvisor runs on, and are not tried: root mode must not record, and a PMI of
 * the host's would freeze its counters.
 */
static bool write_debugctl(struct cpu *cpu, uint32_t msr, uint64_t value)
{
	if (value & ~DEBUGCTL_GUEST || !reg_wrmsr_safe(msr, value & ~(DEBUGCTL_LBR | DEBUGCTL_FREEZE)))
		return false;
	reg_wrmsr(msr, 0);
	if (cpu->pmu.lbr.now)
		cpu->pmu.lbr.ops->record(true);
	cpu->ops->write_debugctl(cpu, value & ~debugctl_hidden(cpu));
	pmu_write_freeze(cpu, debugctl_freeze(value));
	return true;
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

static bool read_lvtpc(struct cpu *cpu, uint32_t msr, uint64_t *value)
{
	(void)msr;
	return cpu->x2apic && pmu_read_lvtpc(cpu, value);
}

static bool write_lvtpc(struct cpu *cpu, uint32_t msr, uint64_t value)
{
	(void)msr;
	return cpu->x2apic && pmu_write_lvtpc(cpu, value);
}

/*
 * A mask with holes repeats its range all over memory, more often than there are page tables for. Software has no use
 * for one: SDM Vol. 3A, "Range Size and Alignment Requirement".
 */
static bool has_holes(uint64_t mask)
{
	uint32_t regs[4];

	reg_cpuid(CPUID_ADDRESS_SIZES, 0, regs);
	mask &= MTRR_ADDRESS;
	return mask && mask + LOWEST_BIT(mask) != BIT(regs[0] & 0xff);
}

static bool write_mtrr_range(struct cpu *cpu, uint32_t msr, uint64_t value)
{
	(void)cpu;
	return !(msr & 1 && has_holes(value)) && reg_wrmsr_safe(msr, value);
}

/*
 * The guest's memory types come from EPT, so EPT follows the MTRRs. Software changes them with the MTRRs disabled and
 * enables them at the end: SDM Vol. 3A, "MTRR Considerations in MP Systems". That is when EPT is rebuilt.
 */
static bool write_mtrr(struct cpu *cpu, uint32_t msr, uint64_t value)
{
	if (!reg_wrmsr_safe(msr, value))
		return false;
	if (msr == MSR_IA32_MTRR_DEF_TYPE && value & MTRR_DEF_TYPE_ENABLE)
		cpu->ops->remap(cpu);
	return true;
}

enum when {
	ALWAYS,
	CLOSED, /* only while the global registers are closed to the guest */
	WITH_PEBS,
	NARROW_PEBS, /* and there is something that records must not tell */
	WITHOUT_PEBS,
	WITHOUT_METRICS,
	WITHOUT_LEGACY_LBR,
	WITHOUT_ARCH_LBR,
	WITHOUT_LBR, /* of either kind */
	SHARED_LER,
};

static const struct guest_msr {
	uint32_t first, count;
	enum msr_trap trap;
	enum when when;
	bool (*read)(struct cpu *cpu, uint32_t msr, uint64_t *value); /* NULL: #GP */
	bool (*write)(struct cpu *cpu, uint32_t msr, uint64_t value);
} guest_msrs[] = {
	/* Searched from the top: these are the ones that come in numbers. */
	{ MSR_IA32_PERF_GLOBAL_STATUS, 4, TRAP_BOTH, CLOSED, read_global, write_global },
	{ MSR_IA32_PERF_GLOBAL_INUSE, 1, TRAP_BOTH, ALWAYS, read_global, write_global },
	{ MSR_IA32_APIC_BASE, 1, TRAP_WRITE, ALWAYS, NULL, write_apic_base },
	{ MSR_IA32_FEATURE_CONTROL, 1, TRAP_BOTH, ALWAYS, read_feature_control, NULL },
	{ MSR_IA32_MISC_ENABLE, 1, TRAP_BOTH, ALWAYS, read_misc_enable, write_misc_enable },
	{ MSR_IA32_DEBUGCTL, 1, TRAP_BOTH, CLOSED, read_debugctl, write_debugctl },
	{ MSR_IA32_XSS, 1, TRAP_WRITE, ALWAYS, NULL, write_xss },
	{ MSR_IA32_MTRR_PHYSBASE0, 0x20, TRAP_WRITE, ALWAYS, NULL, write_mtrr_range },
	{ MSR_IA32_MTRR_FIX64K_00000, 1, TRAP_WRITE, ALWAYS, NULL, write_mtrr },
	{ MSR_IA32_MTRR_FIX16K_80000, 2, TRAP_WRITE, ALWAYS, NULL, write_mtrr },
	{ MSR_IA32_MTRR_FIX4K_C0000, 8, TRAP_WRITE, ALWAYS, NULL, write_mtrr },
	{ MSR_IA32_MTRR_DEF_TYPE, 1, TRAP_WRITE, ALWAYS, NULL, write_mtrr },
	{ MSR_IA32_PERF_CAPABILITIES, 1, TRAP_BOTH, ALWAYS, read_perf_capabilities, NULL },
	{ MSR_X2APIC_LVTPC, 1, TRAP_BOTH, CLOSED, read_lvtpc, write_lvtpc },
	/* PEBS_ENABLE not while open and in use: the vendor sees to that. */
	{ MSR_IA32_PEBS_ENABLE, 1, TRAP_WRITE, WITH_PEBS, NULL, write_pebs_enable },
	{ MSR_PEBS_DATA_CFG, 1, TRAP_WRITE, NARROW_PEBS, NULL, write_data_cfg },
	{ MSR_IA32_DS_AREA, 1, TRAP_WRITE, WITH_PEBS, NULL, write_ds_area },
	{ MSR_IA32_LER_FROM, 2, TRAP_READ, SHARED_LER, read_ler, NULL }, /* and LER_TO */
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

/* Merged only where the host keeps a fixed counter; otherwise the guest has the register to itself. */
static const struct guest_msr fixed_ctrl = {
	MSR_IA32_FIXED_CTR_CTRL, 1, TRAP_BOTH, ALWAYS, read_fixed_ctrl, write_fixed_ctrl,
};

static bool applies(const struct pmu *pmu, enum when when, bool open)
{
	switch (when) {
	case ALWAYS: return true;
	case CLOSED: return !open;
	case WITH_PEBS: return has_pebs(pmu);
	case NARROW_PEBS: return has_pebs(pmu) && untold(pmu);
	case WITHOUT_PEBS: return !has_pebs(pmu);
	case WITHOUT_METRICS: return !has_metrics(pmu);
	case WITHOUT_LEGACY_LBR: return !has_legacy_lbr(pmu);
	case WITHOUT_ARCH_LBR: return !has_arch_lbr(pmu);
	case WITHOUT_LBR: return !pmu->lbr.guests;
	case SHARED_LER: return shares_ler(pmu);
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

static void trap_aliases(const struct pmu *pmu, void (*set)(void *, uint32_t, enum msr_trap), void *context)
{
	for (uint32_t i = 0; i < NR_ALIASES; i++) {
		if (!is_guest_alias(pmu, MSR_IA32_PMC_GP0_CTR + i))
			set(context, MSR_IA32_PMC_GP0_CTR + i, TRAP_BOTH);
	}
}

static void trap_range(const struct guest_msr *range, void (*set)(void *, uint32_t, enum msr_trap), void *context)
{
	for (uint32_t i = 0; i < range->count; i++)
		set(context, range->first + i, range->trap);
}

static void trap_host_counters(const struct pmu *pmu, void (*set)(void *, uint32_t, enum msr_trap), void *context)
{
	for_each_bit(n, pmu->host & BITS(7, 0)) { /* the others have no registers of this kind */
		set(context, MSR_IA32_PMC0 + (uint32_t)n, TRAP_BOTH);
		set(context, MSR_IA32_PERFEVTSEL0 + (uint32_t)n, TRAP_BOTH);
		set(context, MSR_IA32_A_PMC0 + (uint32_t)n, TRAP_BOTH);
	}
	for_each_bit(m, pmu->host >> 32)
		set(context, MSR_IA32_FIXED_CTR0 + (uint32_t)m, TRAP_BOTH);
	if (pmu->host >> 32)
		trap_range(&fixed_ctrl, set, context);
}

void guest_msr_traps(const struct pmu *pmu, bool open, void (*set)(void *context, uint32_t msr, enum msr_trap trap),
		     void *context)
{
	for (unsigned i = 0; i < ARRAY_SIZE(guest_msrs); i++) {
		if (applies(pmu, guest_msrs[i].when, open))
			trap_range(&guest_msrs[i], set, context);
	}
	trap_host_counters(pmu, set, context);
	trap_aliases(pmu, set, context);
}

static const struct guest_msr *find(const struct pmu *pmu, uint32_t msr)
{
	for (unsigned i = 0; i < ARRAY_SIZE(guest_msrs); i++) {
		if (msr - guest_msrs[i].first < guest_msrs[i].count && applies(pmu, guest_msrs[i].when, false))
			return &guest_msrs[i];
	}
	return msr == fixed_ctrl.first ? &fixed_ctrl : NULL;
}

enum verdict guest_rdmsr(struct cpu *cpu)
{
	const struct guest_msr *entry = find(&cpu->pmu, (uint32_t)cpu->guest.rcx);
	uint64_t value;

	if (!entry || !entry->read || !entry->read(cpu, (uint32_t)cpu->guest.rcx, &value))
		return INJECT_GP;
	cpu->guest.rax = (uint32_t)value;
	cpu->guest.rdx = value >> 32;
	return ADVANCE;
}

enum verdict guest_wrmsr(struct cpu *cpu)
{
	const struct guest_msr *entry = find(&cpu->pmu, (uint32_t)cpu->guest.rcx);
	uint64_t value = (cpu->guest.rdx & BITS(31, 0)) << 32 | (uint32_t)cpu->guest.rax;

	if (!entry || !entry->write || !entry->write(cpu, (uint32_t)cpu->guest.rcx, value))
		return INJECT_GP;
	return ADVANCE;
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

/* The privilege check came before the exit. */
enum verdict guest_rdpmc(struct cpu *cpu)
{
	uint32_t ecx = (uint32_t)cpu->guest.rcx;
	uint64_t value;

	if (!may_rdpmc(&cpu->pmu, ecx))
		return INJECT_GP;
	value = reg_rdpmc(ecx);
	cpu->guest.rax = (uint32_t)value;
	cpu->guest.rdx = value >> 32;
	return ADVANCE;
}
