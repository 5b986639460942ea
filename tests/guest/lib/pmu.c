#include "pmu.h"
#include "tap.h"

#define CPUID_PMU_LEAF          0x0a
#define CPUID_PMU_EXTENDED_LEAF 0x23
#define CPUID_1_ECX_PDCM        BIT(15)
#define MIN_VERSION             4
/* What the test machine's processors have, where CPUID may tell of a share. */
#define HARDWARE_GP           8
#define HARDWARE_GP_VERSION_6 10

struct pmu pmu;

/* SDM Vol. 1, "Architectural Performance Monitoring Extended Leaf": from version 6 on that has all counters. */
static void detect_extended(void)
{
	struct cpuid_regs leaf = cpuid(CPUID_PMU_EXTENDED_LEAF, 1);

	pmu.hardware_gp = HARDWARE_GP_VERSION_6;
	pmu.nr_gp = (unsigned)__builtin_ctz(~leaf.eax);
	pmu.gp_mask = leaf.eax;
	pmu.fixed_mask = (uint64_t)leaf.ebx << 32;
}

/* SDM Vol. 1, "Architectural Performance Monitoring Leaf": fixed counter m exists by the bitmap or by the count. */
void pmu_detect(void)
{
	struct cpuid_regs leaf = cpuid(CPUID_PMU_LEAF, 0);

	pmu.version = leaf.eax & 0xff;
	pmu.nr_gp = leaf.eax >> 8 & 0xff;
	pmu.width = leaf.eax >> 16 & 0xff;
	pmu.hardware_gp = HARDWARE_GP;
	pmu.value_mask = BIT(pmu.width) - 1;
	pmu.gp_mask = BIT(pmu.nr_gp) - 1;
	pmu.fixed_mask = (BIT(leaf.edx & 0x1f) - 1) << 32;
	if (pmu.version >= 5)
		pmu.fixed_mask |= (uint64_t)leaf.ecx << 32;
	if (pmu.version >= 6)
		detect_extended();
	if (cpuid(1, 0).ecx & CPUID_1_ECX_PDCM)
		pmu.capabilities = rdmsr(MSR_IA32_PERF_CAPABILITIES);
}

void pmu_init(void)
{
	pmu_detect();
	if (pmu.version < MIN_VERSION || !pmu.nr_gp || !(pmu.fixed_mask & BIT(FIXED_INSTRUCTIONS)) ||
	    !(pmu.capabilities & PERF_CAPABILITIES_FW_WRITE))
		tap_abort("a PMU of version %u, %u counters, fixed ones %lx, capabilities %lx won't do", pmu.version,
			  pmu.nr_gp, pmu.fixed_mask, pmu.capabilities);
	pmu_reset();
}

void pmu_reset(void)
{
	wrmsr(MSR_IA32_PERF_GLOBAL_CTRL, 0);
	wrmsr(MSR_IA32_DEBUGCTL, 0);
	wrmsr(MSR_IA32_FIXED_CTR_CTRL, 0);
	for (unsigned i = 0; i < pmu.nr_gp; i++) {
		wrmsr(pmu_selector(i), 0);
		pmu_write(i, 0);
	}
	for (unsigned m = 0; m < 32; m++) {
		if (pmu.fixed_mask & BIT(FIXED(m)))
			pmu_write(FIXED(m), 0);
	}
	wrmsr(MSR_IA32_PERF_GLOBAL_STATUS_RESET, rdmsr(MSR_IA32_PERF_GLOBAL_STATUS));
}

uint32_t pmu_selector(unsigned n)
{
	return n < NR_OLD_GP ? MSR_IA32_PERFEVTSEL0 + n : MSR_IA32_PMC_GP0_CFG_A + 4 * n;
}

uint32_t pmu_counter(unsigned counter)
{
	if (counter >= FIXED(0))
		return MSR_IA32_FIXED_CTR0 + counter - FIXED(0);
	return counter < NR_OLD_GP ? MSR_IA32_A_PMC0 + counter : MSR_IA32_PMC_GP0_CTR + 4 * counter;
}

uint64_t pmu_read(unsigned counter)
{
	return rdmsr(pmu_counter(counter));
}

void pmu_write(unsigned counter, uint64_t value)
{
	wrmsr(pmu_counter(counter), value);
}

uint64_t pmu_preset(uint64_t events)
{
	return (BIT(pmu.width) - events) & pmu.value_mask;
}
