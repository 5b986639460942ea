/*
 * AMD's core PMU. So far only where there is none, as under a hypervisor that has no counters to give: then nobody has
 * any, and none of these is ever asked about one.
 */
#include "cpuid.h"
#include "guest_msr.h"
#include "hv/cpu.h"
#include "arch/x86/reg.h"

static bool amd_ident(struct pmu_caps *caps)
{
	uint32_t regs[4];

	reg_cpuid(CPUID_EXTENDED, 0, regs);
	*caps = (struct pmu_caps){ .version = 0 };
	return !(regs[2] & CPUID_EXTENDED_ECX_PERF_CORE);
}

static void amd_enable(uint64_t counters)
{
	(void)counters;
}

static uint64_t amd_enabled(void)
{
	return 0;
}

static uint64_t amd_status(void)
{
	return 0;
}

static void amd_change_status(uint64_t bits)
{
	(void)bits;
}

static uint64_t amd_none(uint64_t counters)
{
	(void)counters;
	return 0;
}

static uint64_t amd_counts_instructions(uint64_t counters, bool user)
{
	(void)counters, (void)user;
	return 0;
}

static uint64_t amd_inuse(uint64_t counters, bool pebs)
{
	(void)counters, (void)pebs;
	return 0;
}

const struct pmu_ops pmu_amd = {
	.name = "AMD",
	.ident = amd_ident,
	.enable = amd_enable,
	.enabled = amd_enabled,
	.status = amd_status,
	.clear_status = amd_change_status,
	.set_status = amd_change_status,
	.used = amd_none,
	.counts_instructions = amd_counts_instructions,
	.interrupting = amd_none,
	.inuse = amd_inuse,
	.msrs = &guest_msrs_amd,
};
