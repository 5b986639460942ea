/* The guest's MSRs on processors of AMD's. */
#include "guest_msr.h"
#include "cpuid.h"
#include "msr.h"
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

/*
 * What the guest has counts in the guest alone. For a machine without SVM either of the two bits stops the counter
 * (Linux, tools/testing/selftests/kvm/x86/svm_pmu_host_guest_test.c), so one with them is written as stopped.
 */
static bool read_counter(struct cpu *cpu, uint32_t msr, uint64_t *value)
{
	*value = reg_rdmsr(msr);
	if (is_selector(msr))
		*value &= ~(PERF_CTL_GUEST_ONLY | PERF_CTL_HOST_ONLY);
	return is_guests(cpu, msr);
}

static bool write_counter(struct cpu *cpu, uint32_t msr, uint64_t value)
{
	uint64_t sides = PERF_CTL_GUEST_ONLY | PERF_CTL_HOST_ONLY;

	if (!is_guests(cpu, msr))
		return false;
	if (is_selector(msr)) {
		value &= ~(value & sides ? sides | PERFEVTSEL_EN : 0);
		value |= value & PERFEVTSEL_EN ? PERF_CTL_GUEST_ONLY : 0;
	}
	return reg_wrmsr_safe(msr, value);
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
	return pmu_read_global(cpu, global_of(msr), value);
}

/* Reserved bits and writes to the read-only register are ignored: KVM, arch/x86/kvm/pmu.c, after the PPR. */
static bool write_global(struct cpu *cpu, uint32_t msr, uint64_t value)
{
	const struct pmu *pmu = &cpu->pmu;
	uint64_t bits = msr == MSR_AMD_PERF_GLOBAL_CTL ? pmu->controls : pmu->guest | pmu->caps.clear_flags;

	return msr == MSR_AMD_PERF_GLOBAL_STATUS || pmu_write_global(cpu, global_of(msr), value & bits);
}

/* Conditions beside those of all vendors. */
enum {
	WITH_COUNTERS = GUEST_MSR_VENDOR,
	WITHOUT_LBR,
};

static const struct guest_msr entries[] = {
	{ MSR_AMD_PERF_CTL0, 2 * CORE_COUNTERS, TRAP_NEVER, WITH_COUNTERS, read_counter, write_counter },
	{ MSR_AMD_PERF_LEGACY_CTL0, 2 * NR_LEGACY_COUNTERS, TRAP_NEVER, WITH_COUNTERS, read_counter, write_counter },
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
	return when == WITHOUT_LBR ? !pmu->lbr.guests : pmu->caps.nr_gp != 0;
}

/* Selectors exit for the bit that is written behind the guest's back, counters not: the host's do both. */
static void trap_host(const struct pmu *pmu, guest_msr_set set, void *context)
{
	for (uint32_t n = 0; n < pmu->caps.nr_gp; n++) {
		enum msr_trap counter = pmu->host & BIT(n) ? TRAP_BOTH : TRAP_NEVER;

		set(context, MSR_AMD_PERF_CTL0 + 2 * n, TRAP_BOTH);
		set(context, MSR_AMD_PERF_CTL0 + 2 * n + 1, counter);
		if (n >= NR_LEGACY_COUNTERS)
			continue;
		set(context, MSR_AMD_PERF_LEGACY_CTL0 + n, TRAP_BOTH);
		set(context, MSR_AMD_PERF_LEGACY_CTL0 + NR_LEGACY_COUNTERS + n, counter);
	}
}

/* APM Vol. 3, "RDPMC": the core counters, then those of the northbridge and the caches, which aren't partitioned. */
static bool may_rdpmc(const struct pmu *pmu, uint32_t ecx)
{
	return ecx < 32 && pmu->guest & BIT(ecx);
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
