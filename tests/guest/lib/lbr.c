#include "lbr.h"
#include "pmu.h"
#include "tap.h"

#define CPUID_7_EDX_ARCH_LBR      BIT(19)
#define PERF_CAPABILITIES_LBR_FMT UINT64_C(0x3f)
#define LBR_FMT_INFO              5
#define LEGACY_DEPTH              32
#define SELECT_NOT_KERNEL         BIT(0)
#define SELECT_NOT_USER           BIT(1)
#define SELECT_CALL_STACK         BIT(9)

struct lbr lbr;

/* Bit numbers of MSR_LBR_SELECT (a one suppresses) and IA32_LBR_CTL (a one records). */
static const struct {
	enum lbr_type type;
	unsigned select, ctl;
} bits[] = {
	{ LBR_COND, 2, 16 },    { LBR_REL_CALL, 3, 19 }, { LBR_IND_CALL, 4, 20 }, { LBR_RET, 5, 21 },
	{ LBR_IND_JMP, 6, 18 }, { LBR_REL_JMP, 7, 17 },  { LBR_OTHER, 8, 22 },
};

static uint64_t select_of(uint64_t filter)
{
	uint64_t select = filter & LBR_CALL_STACK ? SELECT_CALL_STACK : 0;

	for (unsigned i = 0; i < sizeof(bits) / sizeof(bits[0]); i++)
		select |= filter & BIT(bits[i].type) ? 0 : BIT(bits[i].select);
	return select | (filter & LBR_KERNEL ? 0 : SELECT_NOT_KERNEL) | (filter & LBR_USER ? 0 : SELECT_NOT_USER);
}

static uint64_t ctl_of(uint64_t filter)
{
	uint64_t ctl = filter & LBR_CALL_STACK ? LBR_CTL_CALL_STACK : 0;

	for (unsigned i = 0; i < sizeof(bits) / sizeof(bits[0]); i++)
		ctl |= filter & BIT(bits[i].type) ? BIT(bits[i].ctl) : 0;
	return ctl | (filter & LBR_KERNEL ? LBR_CTL_OS : 0) | (filter & LBR_USER ? LBR_CTL_USR : 0);
}

void lbr_start(uint64_t filter)
{
	if (lbr.architectural) {
		wrmsr(MSR_IA32_LBR_CTL, ctl_of(filter) | LBR_CTL_EN);
		return;
	}
	wrmsr(MSR_LBR_SELECT, select_of(filter));
	wrmsr(MSR_IA32_DEBUGCTL, rdmsr(MSR_IA32_DEBUGCTL) | DEBUGCTL_LBR);
}

void lbr_stop(void)
{
	if (lbr.architectural)
		wrmsr(MSR_IA32_LBR_CTL, 0);
	else
		wrmsr(MSR_IA32_DEBUGCTL, rdmsr(MSR_IA32_DEBUGCTL) & ~DEBUGCTL_LBR);
}

bool lbr_running(void)
{
	return lbr.architectural ? rdmsr(MSR_IA32_LBR_CTL) & LBR_CTL_EN : rdmsr(MSR_IA32_DEBUGCTL) & DEBUGCTL_LBR;
}

void lbr_reset(void)
{
	lbr_stop();
	wrmsr(MSR_IA32_DEBUGCTL, 0);
	wrmsr(MSR_IA32_PERF_GLOBAL_STATUS_RESET, PERF_GLOBAL_STATUS_LBR_FRZ);
	if (lbr.architectural) {
		wrmsr(MSR_IA32_LBR_DEPTH, lbr.depth);
		return;
	}
	for (unsigned n = 0; n < lbr.depth; n++) {
		wrmsr(MSR_LASTBRANCH_0_FROM_IP + n, 0);
		wrmsr(MSR_LASTBRANCH_0_TO_IP + n, 0);
		wrmsr(MSR_LBR_INFO_0 + n, 0);
	}
	wrmsr(MSR_LASTBRANCH_TOS, 0);
}

struct lbr_entry lbr_entry(unsigned age)
{
	unsigned n = age;

	if (lbr.architectural)
		return (struct lbr_entry){ rdmsr(MSR_IA32_LBR_0_FROM_IP + n), rdmsr(MSR_IA32_LBR_0_TO_IP + n),
					   rdmsr(MSR_IA32_LBR_0_INFO + n) };
	n = ((unsigned)rdmsr(MSR_LASTBRANCH_TOS) - age) % lbr.depth;
	return (struct lbr_entry){ rdmsr(MSR_LASTBRANCH_0_FROM_IP + n), rdmsr(MSR_LASTBRANCH_0_TO_IP + n),
				   rdmsr(MSR_LBR_INFO_0 + n) };
}

/* SDM Vol. 1, "Architectural LBR": bit n of the depths is 8 * (n + 1) entries. */
static unsigned largest(uint32_t depths)
{
	unsigned depth = 0;

	for (unsigned n = 0; n < 8; n++)
		depth = depths & BIT(n) ? 8 * (n + 1) : depth;
	return depth;
}

void lbr_init(void)
{
	lbr.architectural = cpuid(7, 0).edx & CPUID_7_EDX_ARCH_LBR;
	lbr.depths = lbr.architectural ? cpuid(CPUID_LBR_LEAF, 0).eax & 0xff : 0;
	lbr.depth = lbr.architectural ? largest(lbr.depths) : LEGACY_DEPTH;
	if (!lbr.depth || (!lbr.architectural && (pmu.capabilities & PERF_CAPABILITIES_LBR_FMT) != LBR_FMT_INFO))
		tap_abort("neither architectural LBR nor a stack of a known format");
	tap_note("%s LBR, %u entries", lbr.architectural ? "architectural" : "model-specific", lbr.depth);
	lbr_reset();
}
