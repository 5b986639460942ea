/*
 * Under pmuvisor the processor has no VMX, nor PEBS, LBR or PERF_METRICS where they are not the guest's, and says so
 * everywhere at once.
 *
 * What the hardware does: CPUID, the capability MSRs, the instructions and the control bits of a feature agree. What
 * breaks: a guest that sees a feature in one place and is refused in another (or, worse, is let in: VMXON under a
 * hypervisor without nesting). How the test tells: CPUID bits clear, MSRs fault, instructions are undefined, CR4.VMXE
 * can't be set; and the hypervisor's own leaf is there. Runs under pmuvisor only: bare machines may have all of it.
 */
#include "pmu.h"
#include "guest-api/pmuvisor.h"
#include "tap.h"
#include "trap.h"

const char test_title[] = "hidden: no VMX, PEBS, LBR or metrics, and a hypervisor's leaf";

#define CPUID_1_ECX_DTES64     BIT(2)
#define CPUID_1_ECX_VMX        BIT(5)
#define CPUID_1_ECX_HYPERVISOR BIT(31)
#define CPUID_1_EDX_DS         BIT(21)
#define CPUID_7_EDX_ARCH_LBR   BIT(19)
#define CPUID_LBR_LEAF         0x1c
#define FEATURE_CONTROL_LOCK   BIT(0)
#define FEATURE_CONTROL_VMXON  (BIT(1) | BIT(2))

struct msr_range {
	const char *name;
	uint32_t first, last;
};

/* Readable by nobody who has no such feature. */
static const struct msr_range hidden_msrs[] = {
	{ "VMX capabilities", MSR_IA32_VMX_BASIC, MSR_IA32_VMX_VMFUNC },
	{ "PEBS_ENABLE and PEBS_DATA_CFG", 0x3f1, 0x3f2 },
	{ "DS_AREA", 0x600, 0x600 },
	{ "LBR_SELECT and LASTBRANCH_TOS", 0x1c8, 0x1c9 },
	{ "LASTBRANCH_n_FROM_IP", 0x680, 0x69f },
	{ "LASTBRANCH_n_TO_IP", 0x6c0, 0x6df },
	{ "LBR_INFO_n", 0xdc0, 0xddf },
	{ "LBR_CTL and LBR_DEPTH", 0x14ce, 0x14cf },
	{ "last exception records", 0x1dd, 0x1de },
	{ "PERF_METRICS", 0x329, 0x329 },
	{ "PEBS_LD_LAT and PEBS_FRONTEND", 0x3f6, 0x3f7 },
};

static uint8_t page[4096] __attribute__((aligned(4096)));

static void test_cpuid(void)
{
	struct cpuid_regs one = cpuid(1, 0), leaf = cpuid(PMUVISOR_CPUID_LEAF, 0);
	char name[13] = { 0 };

	for (unsigned i = 0; i < 4; i++) {
		name[i] = (char)(leaf.ebx >> 8 * i);
		name[4 + i] = (char)(leaf.ecx >> 8 * i);
		name[8 + i] = (char)(leaf.edx >> 8 * i);
	}
	tap_check(one.ecx & CPUID_1_ECX_HYPERVISOR, "CPUID announces a hypervisor");
	tap_check(leaf.eax >= PMUVISOR_CPUID_LEAF && leaf.eax < PMUVISOR_CPUID_LEAF + 0x100 && leaf.ebx && leaf.ecx,
		  "it names itself \"%s\", leaves up to %x", name, leaf.eax);
	tap_check(!(one.ecx & CPUID_1_ECX_VMX), "CPUID has no VMX");
	tap_check(!(one.edx & CPUID_1_EDX_DS) && !(one.ecx & CPUID_1_ECX_DTES64), "CPUID has no debug store");
	tap_check(!(cpuid(7, 0).edx & CPUID_7_EDX_ARCH_LBR) && !cpuid(CPUID_LBR_LEAF, 0).eax, "CPUID has no LBR");
}

static void test_msrs(void)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < sizeof(hidden_msrs) / sizeof(hidden_msrs[0]); i++) {
		unsigned wrong = 0;

		for (uint32_t msr = hidden_msrs[i].first; msr <= hidden_msrs[i].last; msr++)
			wrong += rdmsr_guarded(msr, &value) != FAULT_GP || wrmsr_guarded(msr, 0) != FAULT_GP;
		tap_equal(wrong, 0, "%s fault", hidden_msrs[i].name);
	}
	tap_check(rdmsr_guarded(MSR_IA32_FEATURE_CONTROL, &value) == FAULT_GP ||
			  (value & (FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMXON)) == FEATURE_CONTROL_LOCK,
		  "FEATURE_CONTROL is not there, or locked without VMX");
	value = rdmsr(MSR_IA32_MISC_ENABLE);
	tap_check(value & MISC_ENABLE_PERFMON, "MISC_ENABLE says that there is a PMU");
	tap_check((value & MISC_ENABLE_NO_BTS) && (value & MISC_ENABLE_NO_PEBS), "but neither BTS nor PEBS");
	tap_equal(pmu.capabilities &
			  (PERF_CAPABILITIES_PEBS | PERF_CAPABILITIES_PEBS_BASELINE | PERF_CAPABILITIES_METRICS),
		  0, "PERF_CAPABILITIES has neither PEBS nor metrics");
}

#define UNDEFINED(text) tap_check((asm_##text(), guard_vector == FAULT_UD), #text " is undefined")
#define INSTRUCTION(name, code)                                                                                        \
	static void asm_##name(void)                                                                                   \
	{                                                                                                              \
		asm volatile(GUARD(code) : : "r"(page), "a"(UINT64_C(0)), "c"(UINT64_C(0)) : "r11", "memory", "cc");   \
	}

INSTRUCTION(vmxon, "vmxon (%0)")
INSTRUCTION(vmxoff, "vmxoff")
INSTRUCTION(vmclear, "vmclear (%0)")
INSTRUCTION(vmptrld, "vmptrld (%0)")
INSTRUCTION(vmptrst, "vmptrst (%0)")
INSTRUCTION(vmread, "vmread %%rax, (%0)")
INSTRUCTION(vmwrite, "vmwrite (%0), %%rax")
INSTRUCTION(vmlaunch, "vmlaunch")
INSTRUCTION(vmresume, "vmresume")
INSTRUCTION(vmcall, "vmcall")
INSTRUCTION(vmfunc, "vmfunc")
INSTRUCTION(seamcall, ".byte 0x66, 0x0f, 0x01, 0xcf")
INSTRUCTION(tdcall, ".byte 0x66, 0x0f, 0x01, 0xcc")
INSTRUCTION(invept, "invept (%0), %%rax")
INSTRUCTION(invvpid, "invvpid (%0), %%rax")

static void test_instructions(void)
{
	tap_check(write_cr4_guarded(read_cr4() | CR4_VMXE) == FAULT_GP, "CR4.VMXE can't be set");
	tap_check(!(read_cr4() & CR4_VMXE), "and reads 0");
	UNDEFINED(vmxon);
	UNDEFINED(vmxoff);
	UNDEFINED(vmclear);
	UNDEFINED(vmptrld);
	UNDEFINED(vmptrst);
	UNDEFINED(vmread);
	UNDEFINED(vmwrite);
	UNDEFINED(vmlaunch);
	UNDEFINED(vmresume);
	UNDEFINED(vmcall);
	UNDEFINED(vmfunc);
	UNDEFINED(seamcall);
	UNDEFINED(tdcall);
	UNDEFINED(invept);
	UNDEFINED(invvpid);
}

void test_main(void)
{
	pmu_init();
	test_cpuid();
	test_msrs();
	test_instructions();
}
