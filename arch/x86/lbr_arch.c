/*
 * The architectural LBRs: entry 0 is the newest; a control register of their own, which VM entry and exit load and
 * clear where the controls for it exist; and a state component of XSAVES. SDM Vol. 3B, "Last Branch Records"; Vol. 1,
 * "Architectural LBR State".
 */
#include "hv/lbr.h"
#include "cpuid.h"
#include "msr.h"
#include "vmcs.h"
#include "arch/x86/reg.h"

#define CONTROL_ALL (LBR_CTL_ENABLE | LBR_CTL_OS | LBR_CTL_USR | LBR_CTL_BRANCHES)

#define XSAVE_ALIGNMENT    64
#define XCOMP_BV_COMPACTED BIT(63)

/* "XSAVE Area", "Compacted Format": the legacy region isn't touched where only component 15 is asked for. */
struct xsave_area {
	uint8_t legacy[512];
	uint64_t xstate_bv, xcomp_bv, reserved[6];
	uint64_t ctl, depth, ler_from, ler_to, ler_info;
	struct {
		uint64_t from, to, info;
	} entries[LBR_MAX_ENTRIES];
};
_Static_assert(sizeof(struct xsave_area) == 576 + 808, "SDM Vol. 1, \"Architectural LBR State\"");
_Static_assert(sizeof(struct xsave_area) + XSAVE_ALIGNMENT - sizeof(uint64_t) <= LBR_STATE_SIZE,
	       "hv/lbr.h has room for it");

static struct xsave_area *area(const struct lbr_state *state)
{
	uintptr_t address = (uintptr_t)state->bytes + XSAVE_ALIGNMENT - 1;

	return (struct xsave_area *)(address & ~(uintptr_t)(XSAVE_ALIGNMENT - 1));
}

static bool has_controls(void)
{
	return reg_rdmsr(MSR_IA32_VMX_TRUE_ENTRY_CTLS) >> 32 & ENTRY_LOAD_LBR_CTL &&
	       reg_rdmsr(MSR_IA32_VMX_TRUE_EXIT_CTLS) >> 32 & EXIT_CLEAR_LBR_CTL;
}

static bool xsaves_knows_it(void)
{
	uint32_t regs[4];

	reg_cpuid(CPUID_XSAVE, 1, regs);
	return regs[0] & CPUID_XSAVE_1_EAX_XSAVES && regs[2] & XSTATE_LBR;
}

static bool arch_ident(struct lbr_caps *caps)
{
	uint32_t regs[4];

	reg_cpuid(CPUID_EXTENDED_FEATURES, 0, regs);
	if (!(regs[3] & CPUID_7_EDX_ARCH_LBR))
		return false;
	caps->entries = (unsigned)reg_rdmsr(MSR_IA32_LBR_DEPTH);
	caps->switchable = has_controls() && xsaves_knows_it() && caps->entries <= LBR_MAX_ENTRIES;
	return true;
}

static void arch_record(bool on)
{
	reg_wrmsr(MSR_IA32_DEBUGCTL, on ? DEBUGCTL_FREEZE_LBRS_ON_PMI : 0);
	reg_wrmsr(MSR_IA32_LBR_CTL, on ? CONTROL_ALL : 0);
}

/* "LBR_DEPTH": writing it, even what it holds, zeroes all entries. */
static void arch_clear(unsigned entries)
{
	reg_wrmsr(MSR_IA32_LBR_DEPTH, entries);
}

/* What the guest's XSS lacks is there only for as long as this takes, since CPUID's answers depend on it too. */
static uint64_t open_xss(void)
{
	uint64_t xss = reg_rdmsr(MSR_IA32_XSS);

	if (!(xss & XSTATE_LBR))
		reg_wrmsr(MSR_IA32_XSS, xss | XSTATE_LBR);
	return xss;
}

static void close_xss(uint64_t xss)
{
	if (!(xss & XSTATE_LBR))
		reg_wrmsr(MSR_IA32_XSS, xss);
}

/* Emptied by XRSTORS of the component's initial configuration, which leaves the depth as the guest has chosen it. */
static void arch_save(struct lbr_state *state, unsigned entries)
{
	static const _Alignas(XSAVE_ALIGNMENT) struct xsave_area initial = {
		.xcomp_bv = XCOMP_BV_COMPACTED | XSTATE_LBR,
	};
	uint64_t xss = open_xss();

	(void)entries;
	reg_xsaves(area(state), XSTATE_LBR);
	reg_xrstors(&initial, XSTATE_LBR);
	close_xss(xss);
}

static void arch_load(const struct lbr_state *state, unsigned entries)
{
	uint64_t xss = open_xss();

	(void)entries;
	reg_xrstors(area(state), XSTATE_LBR);
	close_xss(xss);
}

static unsigned arch_read(struct lbr_branch branches[LBR_MAX_ENTRIES], unsigned entries)
{
	uint64_t depth = reg_rdmsr(MSR_IA32_LBR_DEPTH); /* the guest's choice, where both have them */

	(void)entries;
	if (depth > LBR_MAX_ENTRIES)
		depth = LBR_MAX_ENTRIES;
	for (uint32_t i = 0; i < depth; i++) {
		branches[i].from = reg_rdmsr(MSR_IA32_LBR_0_FROM + i);
		branches[i].to = reg_rdmsr(MSR_IA32_LBR_0_TO + i);
		if (!branches[i].from)
			return i;
	}
	return (unsigned)depth;
}

const struct lbr_ops lbr_arch = {
	.name = "architectural",
	.ident = arch_ident,
	.record = arch_record,
	.clear = arch_clear,
	.save = arch_save,
	.load = arch_load,
	.read = arch_read,
	.switches_ler = true,
	.control = CONTROL_ALL,
};
