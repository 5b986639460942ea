/*
 * What lies beside the core's counters: off-core response, and Intel PT, which is hidden.
 *
 * What the hardware does: OFFCORE_RSP_0 and _1 say what two events count, so they belong to whoever selects those; a
 * processor trace writes to physical memory, past EPT. What breaks: a profiler that finds the events but not their
 * registers; a guest that traces into the hypervisor. How the test tells: the first keep what is written, the second
 * are in no CPUID bit and fault.
 */
#include "boot.h"
#include "pmu.h"
#include "tap.h"

const char test_title[] = "uncore: off-core registers are there, Intel PT is not";

#define MSR_OFFCORE_RSP_0 0x1a6
#define MSR_RTIT_FIRST    0x560 /* IA32_RTIT_OUTPUT_BASE */
#define MSR_RTIT_LAST     0x58f /* past the last address range */
#define CPUID_7_EBX_PT    BIT(25)
#define CPUID_PT_LEAF     0x14
#define CPUID_XSAVE_LEAF  0x0d
#define XSTATE_PT         BIT(8)
#define ANY_REQUEST       UINT64_C(0x18001) /* demand data reads, any response */

static void test_offcore(void)
{
	unsigned wrong = 0;

	for (unsigned i = 0; i < 2; i++) {
		wrmsr(MSR_OFFCORE_RSP_0 + i, ANY_REQUEST << i);
		cpuid(0, 0);
		wrong += rdmsr(MSR_OFFCORE_RSP_0 + i) != ANY_REQUEST << i;
		wrmsr(MSR_OFFCORE_RSP_0 + i, 0);
	}
	tap_equal(wrong, 0, "OFFCORE_RSP_0 and _1 keep what is written");
}

static void test_trace(void)
{
	struct cpuid_regs leaf = cpuid(CPUID_PT_LEAF, 0);
	unsigned wrong = 0;
	uint64_t value;

	tap_check(!(cpuid(7, 0).ebx & CPUID_7_EBX_PT), "CPUID has no Intel PT");
	tap_equal(leaf.eax | leaf.ebx | leaf.ecx | leaf.edx, 0, "and nothing in its leaf");
	tap_check(!(cpuid(CPUID_XSAVE_LEAF, 1).ecx & XSTATE_PT), "nor has XSAVE a state for it");
	for (uint32_t msr = MSR_RTIT_FIRST; msr <= MSR_RTIT_LAST; msr++)
		wrong += rdmsr_guarded(msr, &value) != FAULT_GP || wrmsr_guarded(msr, 0) != FAULT_GP;
	if (boot_mode() != MODE_BARE) /* the machine answers for registers that it does not know */
		tap_equal(wrong, 0, "its registers fault");
}

void test_main(void)
{
	pmu_init();
	test_offcore();
	test_trace();
}
