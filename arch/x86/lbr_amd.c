/*
 * AMD's LBRs of their second version: entry 0 is the newest. Where VMRUN switches LBRs, it loads the guest's from the
 * VMCB, and #VMEXIT saves them there; of the host's only DebugCtl and DebugExtnCtl are switched, so after an exit the
 * registers still hold what the guest left. APM Vol. 2, "Hardware Acceleration for LBR Virtualization".
 */
#include "hv/lbr.h"
#include "cpuid.h"
#include "msr.h"
#include "arch/x86/reg.h"

#define ENTRIES 16 /* the most that a VMCB has room for: "VMCB Layout, State Save Area" */

/* What Linux shows of an entry, arch/x86/events/amd/lbr.c: the address is sign-extended, and speculation has bits. */
#define ADDRESS        BITS(57, 0)
#define SIGN           BIT(57)
#define TO_SPECULATIVE BIT(62) /* without the next one: on a path that wasn't taken */
#define TO_VALID       BIT(63)

static bool amd_ident(struct lbr_caps *caps)
{
	uint32_t regs[4];

	reg_cpuid(CPUID_LARGEST_EXTENDED, 0, regs);
	if (regs[0] < CPUID_PERFMON_V2)
		return false;
	reg_cpuid(CPUID_PERFMON_V2, 0, regs);
	if (!(regs[0] & CPUID_PERFMON_V2_EAX_LBR_V2))
		return false;
	caps->entries = (unsigned)FIELD_GET(CPUID_PERFMON_V2_EBX_LBRS, regs[1]);
	reg_cpuid(CPUID_SVM, 0, regs);
	caps->switchable = regs[3] & CPUID_SVM_EDX_LBR && caps->entries <= ENTRIES;
	return true;
}

static void amd_record(bool on)
{
	reg_wrmsr(MSR_IA32_DEBUGCTL, on ? DEBUGCTL_FREEZE_LBRS_ON_PMI : 0);
	reg_wrmsr(MSR_AMD_DBG_EXTN_CFG, on ? DBG_EXTN_CFG_LBR : 0);
}

/* An entry that isn't valid ends the stack, wherever it moves to; a filter of 0 suppresses nothing. */
static void amd_clear(unsigned entries)
{
	(void)entries;
	reg_wrmsr(MSR_AMD_LBR_SELECT, 0);
	reg_wrmsr(MSR_AMD_LBR_0_TO, 0);
}

/* The guest's are in the VMCB, and come back from there. */
static void amd_save(struct lbr_state *state, unsigned entries)
{
	(void)state;
	amd_clear(entries);
}

static void amd_load(const struct lbr_state *state, unsigned entries)
{
	(void)state, (void)entries;
}

static uint64_t address(uint64_t entry)
{
	return entry & SIGN ? entry | ~ADDRESS : entry & ADDRESS;
}

static unsigned amd_read(struct lbr_branch branches[LBR_MAX_ENTRIES], unsigned entries)
{
	unsigned n = 0;

	for (uint32_t i = 0; i < entries; i++) {
		uint64_t to = reg_rdmsr(MSR_AMD_LBR_0_TO + 2 * i);

		if (!(to & (TO_VALID | TO_SPECULATIVE)))
			break;
		if (to & TO_VALID)
			branches[n++] = (struct lbr_branch){ address(reg_rdmsr(MSR_AMD_LBR_0_FROM + 2 * i)),
							     address(to) };
	}
	return n;
}

const struct lbr_ops lbr_amd = {
	.name = "v2",
	.ident = amd_ident,
	.record = amd_record,
	.clear = amd_clear,
	.save = amd_save,
	.load = amd_load,
	.read = amd_read,
	.switches_ler = true,
	.control = DBG_EXTN_CFG_LBR,
};
