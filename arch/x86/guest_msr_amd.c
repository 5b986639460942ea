/* The guest's MSRs on processors of AMD's. */
#include "guest_msr.h"
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

static const struct guest_msr entries[] = {
	{ MSR_AMD_SMCA_FIRST, 0x1000, TRAP_NEVER, ALWAYS, read_through, write_through },
	/* Hidden whole: */
	{ MSR_AMD_IBS_FIRST, 14, TRAP_BOTH, ALWAYS, NULL, NULL },
	{ MSR_AMD_VM_CR, 1, TRAP_BOTH, ALWAYS, NULL, NULL },
	{ MSR_AMD_VM_HSAVE_PA, 1, TRAP_BOTH, ALWAYS, NULL, NULL },
};

static bool applies(const struct pmu *pmu, unsigned when)
{
	(void)pmu, (void)when;
	return false;
}

static void trap_host(const struct pmu *pmu, guest_msr_set set, void *context)
{
	(void)pmu, (void)set, (void)context;
}

/* APM Vol. 3, "RDPMC": the core counters, then those of the northbridge and the caches, which aren't partitioned. */
static bool may_rdpmc(const struct pmu *pmu, uint32_t ecx)
{
	return ecx < 32 && pmu->guest & BIT(ecx);
}

const struct guest_msrs guest_msrs_amd = {
	.entries = entries,
	.count = ARRAY_SIZE(entries),
	.applies = applies,
	.trap_host = trap_host,
	.may_rdpmc = may_rdpmc,
};
