/*
 * The host has the last branch records, and samples a guest that can't know: what it captures is the guest's path.
 *
 * What the hardware does: with LBRs running, the PMI of a host counter leaves in them the branches up to the overflow.
 * What breaks: a hypervisor that captures too late, and finds its own branches; one that lets the guest see the
 * recording in DEBUGCTL, or touch it. How the test tells: it runs a loop of three known branches until long after the
 * host's last sample, asks for a dump, and tells the loop's branches for the judge (branches.py) to compare. Runs under
 * pmuvisor only, with `lbr = host` and a host event with a period in ring 3 of the guest.
 */
#include "branches.h"
#include "hypervisor.h"
#include "lbr.h"
#include "pmu.h"
#include "tap.h"
#include "trap.h"

const char test_title[] = "lbr_host: the host captures the guest's branches, and the guest sees nothing of it";

#define LBR_FMT UINT64_C(0x3f) /* of PERF_CAPABILITIES */
#define ROUNDS  20000

/* LBR v2 isn't in DEBUGCTL, whose one last branch stays the guest's. */
static void test_nothing_of_v2_shows(void)
{
	const struct cpuid_regs leaf = cpuid(CPUID_PERFMON_V2, 0);
	uint64_t value = 0;

	tap_equal(leaf.eax & BIT(1), 0, "CPUID has no LBR v2");
	tap_equal(leaf.ebx >> 4 & 0x3f, 0, "and no entries of it");
	tap_equal(rdmsr(MSR_IA32_DEBUGCTL), 0, "DEBUGCTL shows no freeze");
	wrmsr(MSR_IA32_DEBUGCTL, DEBUGCTL_LBR | DEBUGCTL_FREEZE_LBRS_ON_PMI);
	tap_equal(rdmsr(MSR_IA32_DEBUGCTL), DEBUGCTL_LBR | DEBUGCTL_FREEZE_LBRS_ON_PMI, "its bits are the guest's");
	wrmsr(MSR_IA32_DEBUGCTL, 0);
	tap_equal(rdmsr(MSR_IA32_DEBUGCTL), 0, "all of them");
	tap_check(rdmsr_guarded(MSR_DBG_EXTN_CFG, &value) == FAULT_GP, "DBG_EXTN_CFG faults");
	tap_check(rdmsr_guarded(MSR_LBR_SELECT_V2, &value) == FAULT_GP, "LBR_SELECT faults");
	tap_check(rdmsr_guarded(MSR_SAMP_BR_FROM(0), &value) == FAULT_GP, "the entries fault");
	tap_equal(rdmsr(pmu.global_status) & PERF_GLOBAL_STATUS_LBR_FRZ, 0, "no freeze of the host's shows");
}

static void test_nothing_shows(void)
{
	uint64_t value = 0;

	tap_equal(pmu.capabilities & LBR_FMT, 0, "PERF_CAPABILITIES has no LBR format");
	tap_equal(rdmsr(MSR_IA32_DEBUGCTL), 0, "DEBUGCTL shows no recording");
	wrmsr(MSR_IA32_DEBUGCTL, DEBUGCTL_LBR | DEBUGCTL_FREEZE_LBRS_ON_PMI);
	tap_equal(rdmsr(MSR_IA32_DEBUGCTL), DEBUGCTL_FREEZE_LBRS_ON_PMI, "its LBR bit is taken and reads 0");
	wrmsr(MSR_IA32_DEBUGCTL, 0);
	tap_equal(rdmsr(MSR_IA32_DEBUGCTL), 0, "and the freeze bit is the guest's");
	tap_check(rdmsr_guarded(MSR_LASTBRANCH_TOS, &value) == FAULT_GP, "LASTBRANCH_TOS faults");
	tap_check(rdmsr_guarded(MSR_LASTBRANCH_0_FROM_IP, &value) == FAULT_GP, "the entries fault");
	tap_check(rdmsr_guarded(MSR_IA32_LBR_CTL, &value) == FAULT_GP, "LBR_CTL faults");
	tap_equal(rdmsr(MSR_IA32_PERF_GLOBAL_STATUS) & PERF_GLOBAL_STATUS_LBR_FRZ, 0, "no freeze of the host's shows");
}

static void tell_loop(void)
{
	for (unsigned i = 0; i < BRANCHES_LOOP; i++)
		tap_note("branch %lx %lx", (uint64_t)branches_base + branches_loop_table[i].from,
			 (uint64_t)branches_base + branches_loop_table[i].to);
}

void test_main(void)
{
	pmu_init();
	branches_rounds = ROUNDS;
	user_run(branches_loop);
	(pmu.amd ? test_nothing_of_v2_shows : test_nothing_shows)();
	user_run(branches_loop);
	tell_loop();
	hypervisor_dump();
}
