/* The guest's MSRs on processors of AMD's. */
#include "guest_msr.h"
#include "cpuid.h"
#include "msr.h"
#include "pmu_amd.h"
#include "arch/x86/reg.h"

/* SVM's map has no room for these, so they exit although they are the guest's. */
static bool read_through(struct cpu *cpu, uint32_t msr, uint64_t *value)
{
	(void)cpu;
	return reg_rdmsr_safe(msr, value);
}

static bool write_through(struct cpu *cpu, uint32_t msr, uint64_t value)
{
	(void)cpu;
	return reg_wrmsr_safe(msr, value);
}

static bool is_extended(uint32_t msr)
{
	return msr >= MSR_AMD_PERF_CTL0;
}

static uint32_t counter_of(uint32_t msr)
{
	return is_extended(msr) ? (msr - MSR_AMD_PERF_CTL0) / 2 : (msr - MSR_AMD_PERF_LEGACY_CTL0) % NR_LEGACY_COUNTERS;
}

static bool is_guests(const struct cpu *cpu, uint32_t msr)
{
	return cpu->pmu.guest & BIT(counter_of(msr));
}

static bool is_selector(uint32_t msr)
{
	return is_extended(msr) ? !(msr & 1) : msr - MSR_AMD_PERF_LEGACY_CTL0 < NR_LEGACY_COUNTERS;
}

/* A counter exits where one of the host's does, and of the guest's own where svm_pmu.c says so. */
static bool read_counter(struct cpu *cpu, uint32_t msr, uint64_t *value)
{
	if (!is_guests(cpu, msr))
		return false;
	*value = is_selector(msr) ? pmu_amd_read_selector(&cpu->pmu, counter_of(msr)) : reg_rdmsr(msr);
	return true;
}

static bool write_counter(struct cpu *cpu, uint32_t msr, uint64_t value)
{
	if (!is_guests(cpu, msr))
		return false;
	if (!is_selector(msr)) {
		cpu->pmu.ops->write(counter_of(msr), value);
		return true;
	}
	if (!cpu->pmu.caps.global && value & PERFEVTSEL_EN && value & PERFEVTSEL_INT)
		pmu_counter_enabled(cpu);
	pmu_amd_write_selector(&cpu->pmu, counter_of(msr), value);
	return true;
}

static enum pmu_global global_of(uint32_t msr)
{
	switch (msr) {
	case MSR_AMD_PERF_GLOBAL_STATUS: return PMU_STATUS;
	case MSR_AMD_PERF_GLOBAL_CTL: return PMU_CTRL;
	case MSR_AMD_PERF_GLOBAL_STATUS_CLR: return PMU_STATUS_CLEAR;
	default: return PMU_STATUS_SET;
	}
}

static bool read_global(struct cpu *cpu, uint32_t msr, uint64_t *value)
{
	return cpu->pmu.caps.global && pmu_read_global(cpu, global_of(msr), value);
}

/* Reserved bits and writes to the read-only register are ignored: KVM, arch/x86/kvm/pmu.c, after the PPR. */
static bool write_global(struct cpu *cpu, uint32_t msr, uint64_t value)
{
	const struct pmu *pmu = &cpu->pmu;
	uint64_t bits = msr == MSR_AMD_PERF_GLOBAL_CTL ? pmu->controls : pmu->guest | pmu->caps.clear_flags;

	if (msr == MSR_AMD_PERF_GLOBAL_STATUS)
		return pmu->caps.global;
	return pmu->caps.global && pmu_write_global(cpu, global_of(msr), value & bits);
}

/* Conditions beside those of all vendors. What doesn't apply and exits isn't there. */
enum {
	WITH_COUNTERS = GUEST_MSR_VENDOR,
	WITH_GLOBAL,
	WITHOUT_LBR,
};

static const struct guest_msr entries[] = {
	{ MSR_AMD_PERF_CTL0, 2 * CORE_COUNTERS, TRAP_NEVER, WITH_GLOBAL, read_counter, write_counter },
	{ MSR_AMD_PERF_LEGACY_CTL0, 2 * NR_LEGACY_COUNTERS, TRAP_NEVER, WITH_COUNTERS, read_counter, write_counter },
	/* The hardware's has the host's bits too: entering_pmu() in svm.c. */
	{ MSR_AMD_PERF_GLOBAL_CTL, 1, TRAP_READ, WITH_GLOBAL, read_global, write_global },
	{ MSR_AMD_PERF_GLOBAL_STATUS, 4, TRAP_BOTH, CLOSED, read_global, write_global },
	{ MSR_AMD_SMCA_FIRST, 0x1000, TRAP_NEVER, ALWAYS, read_through, write_through },
	/* Hidden whole: */
	{ MSR_AMD_IRPERF, 1, TRAP_BOTH, ALWAYS, NULL, NULL }, /* counts in root mode too */
	/* Also those of Zen 3's branch sampling, which VMRUN doesn't switch. */
	{ MSR_AMD_LBR_SELECT, 2, TRAP_BOTH, WITHOUT_LBR, NULL, NULL }, /* and DBG_EXTN_CFG */
	{ MSR_AMD_LBR_0_FROM, 32, TRAP_BOTH, WITHOUT_LBR, NULL, NULL },
	{ MSR_AMD_IBS_FETCH_CTL, 14, TRAP_BOTH, ALWAYS, NULL, NULL },
	{ MSR_AMD_VM_CR, 1, TRAP_BOTH, ALWAYS, NULL, NULL },
	{ MSR_AMD_VM_HSAVE_PA, 1, TRAP_BOTH, ALWAYS, NULL, NULL },
};

static bool applies(const struct pmu *pmu, unsigned when)
{
	switch (when) {
	case WITH_GLOBAL: return pmu->caps.global;
	case WITHOUT_LBR: return !pmu->lbr.guests;
	default: return pmu->caps.nr_gp;
	}
}

/*
 * Writes of selectors exit, for the bit that is put in behind the guest's back, and reads while that would be seen
 * (svm_pmu.c). What software has no name for isn't there.
 */
static void trap_counter(const struct pmu *pmu, uint32_t n, uint32_t selector, uint32_t counter, guest_msr_set set,
			 void *context)
{
	bool guests = pmu->guest & BIT(n);

	set(context, selector, guests ? TRAP_WRITE : TRAP_BOTH);
	set(context, counter, guests ? TRAP_NEVER : TRAP_BOTH);
}

static void trap_host(const struct pmu *pmu, guest_msr_set set, void *context)
{
	struct pmu absent = { .guest = 0 };

	for (uint32_t n = 0; n < pmu->caps.nr_gp; n++) {
		uint32_t selector = MSR_AMD_PERF_CTL0 + 2 * n;

		trap_counter(pmu->caps.global ? pmu : &absent, n, selector, selector + 1, set, context);
	}
	for (uint32_t n = 0; n < NR_LEGACY_COUNTERS && pmu->caps.nr_gp; n++) {
		uint32_t selector = MSR_AMD_PERF_LEGACY_CTL0 + n;

		trap_counter(pmu, n, selector, selector + NR_LEGACY_COUNTERS, set, context);
	}
}

/*
 * APM Vol. 3, "RDPMC": the core counters, then those of the northbridge and the caches, which aren't partitioned. It
 * may exit although it is open: while a counter is guarded (svm_pmu.c).
 */
static bool may_rdpmc(const struct pmu *pmu, uint32_t ecx)
{
	return ecx < 32 && (pmu->guest | (pmu->gate.rdpmc_open ? pmu->host : 0)) & BIT(ecx);
}

/* Reserved bits fault: KVM, arch/x86/kvm/svm/svm.c. */
static uint64_t debugctl(const struct pmu *pmu)
{
	return DEBUGCTL_LBR | DEBUGCTL_BTF | DEBUGCTL_PINS | freeze_debugctl(pmu->caps.clear_flags);
}

/* Its LBR bit is of the one last branch that DEBUGCTL itself has, which is never the host's. */
static uint64_t debugctl_ignored(const struct pmu *pmu)
{
	(void)pmu;
	return 0;
}

const struct guest_msrs guest_msrs_amd = {
	.entries = entries,
	.count = ARRAY_SIZE(entries),
	.applies = applies,
	.trap_host = trap_host,
	.may_rdpmc = may_rdpmc,
	.debugctl = debugctl,
	.debugctl_ignored = debugctl_ignored,
};
