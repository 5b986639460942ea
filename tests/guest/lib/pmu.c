#include "pmu.h"
#include "pmu_amd.h"
#include "tap.h"

#define CPUID_PMU_LEAF          0x0a
#define CPUID_PMU_EXTENDED_LEAF 0x23
#define CPUID_1_ECX_PDCM        BIT(15)
#define CPUID_0_ECX_AMD         0x444d4163 /* "cAMD", of AuthenticAMD */
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
static void detect_intel(void)
{
	struct cpuid_regs leaf = cpuid(CPUID_PMU_LEAF, 0);

	pmu.version = leaf.eax & 0xff;
	pmu.nr_gp = leaf.eax >> 8 & 0xff;
	pmu.width = leaf.eax >> 16 & 0xff;
	pmu.hardware_gp = HARDWARE_GP;
	pmu.gp_mask = BIT(pmu.nr_gp) - 1;
	pmu.fixed_mask = (BIT(leaf.edx & 0x1f) - 1) << 32;
	if (pmu.version >= 5)
		pmu.fixed_mask |= (uint64_t)leaf.ecx << 32;
	if (pmu.version >= 6)
		detect_extended();
	if (cpuid(1, 0).ecx & CPUID_1_ECX_PDCM)
		pmu.capabilities = rdmsr(MSR_IA32_PERF_CAPABILITIES);
	pmu.global_ctrl = MSR_IA32_PERF_GLOBAL_CTRL;
	pmu.global_status = MSR_IA32_PERF_GLOBAL_STATUS;
	pmu.global_reset = MSR_IA32_PERF_GLOBAL_STATUS_RESET;
	pmu.global_set = MSR_IA32_PERF_GLOBAL_STATUS_SET;
	pmu.branches = EVENT_BRANCHES;
}

void pmu_detect(void)
{
	pmu = (struct pmu){ .amd = cpuid(0, 0).ecx == CPUID_0_ECX_AMD };
	if (pmu.amd)
		pmu_detect_amd();
	else
		detect_intel();
	pmu.value_mask = BIT(pmu.width) - 1;
}

static bool will_do(void)
{
	if (pmu.amd)
		return pmu.nr_gp > 0;
	return pmu.version >= MIN_VERSION && pmu.nr_gp && pmu.fixed_mask & BIT(FIXED_INSTRUCTIONS) &&
	       pmu.capabilities & PERF_CAPABILITIES_FW_WRITE;
}

void pmu_init(void)
{
	pmu_detect();
	if (!will_do())
		tap_abort("a PMU of version %u, %u counters, fixed ones %lx, capabilities %lx won't do", pmu.version,
			  pmu.nr_gp, pmu.fixed_mask, pmu.capabilities);
	pmu_reset();
}

void pmu_reset(void)
{
	pmu_enable(0);
	wrmsr(MSR_IA32_DEBUGCTL, 0);
	if (!pmu.amd)
		wrmsr(MSR_IA32_FIXED_CTR_CTRL, 0);
	for (unsigned i = 0; i < pmu.nr_gp; i++) {
		pmu_select(i, 0);
		pmu_write(i, 0);
	}
	for (unsigned m = 0; m < 32; m++) {
		if (pmu.fixed_mask & BIT(FIXED(m)))
			pmu_write(FIXED(m), 0);
	}
	pmu_acknowledge(pmu_overflowed());
}

uint32_t pmu_selector(unsigned n)
{
	if (pmu.amd)
		return pmu.legacy ? MSR_PERF_LEGACY_CTL0 + n : MSR_PERF_CTL0 + 2 * n;
	return n < NR_OLD_GP ? MSR_IA32_PERFEVTSEL0 + n : MSR_IA32_PMC_GP0_CFG_A + 4 * n;
}

uint32_t pmu_counter(unsigned counter)
{
	if (pmu.amd)
		return pmu.legacy ? MSR_PERF_LEGACY_CTR0 + counter : MSR_PERF_CTL0 + 2 * counter + 1;
	if (counter >= FIXED(0))
		return MSR_IA32_FIXED_CTR0 + counter - FIXED(0);
	return counter < NR_OLD_GP ? MSR_IA32_A_PMC0 + counter : MSR_IA32_PMC_GP0_CTR + 4 * counter;
}

void pmu_select(unsigned n, uint64_t selector)
{
	if (pmu.global_ctrl)
		wrmsr(pmu_selector(n), selector);
	else
		pmu_select_gated(n, selector);
}

void pmu_enable(uint64_t counters)
{
	if (pmu.global_ctrl)
		wrmsr(pmu.global_ctrl, counters);
	else
		pmu_enable_gated(counters);
}

uint64_t pmu_overflowed(void)
{
	return pmu.global_status ? rdmsr(pmu.global_status) : pmu_overflowed_gated();
}

void pmu_acknowledge(uint64_t status)
{
	if (pmu.global_reset)
		wrmsr(pmu.global_reset, status);
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
