/*
 * What a plan may hold. Left out, because pmuvisor's guest and a bare one may differ in them by design:
 * - branch trace and BTS, and DEBUGCTL bit 0 where the guest has no LBRs: docs/contract.md, deviation 19;
 * - XD disabling: deviation 10; adaptive bits where the guest has no PEBS: 11;
 * - an enabled edge detector, and INV with events other than instructions: they count cycles without the event, and the
 *   cycles of an instruction that exits are pmuvisor's: 7 and 8;
 * - freezes where PMIs skid: 6; PMIs that skid on AMD's processors in shared mode: 30;
 * - branch misses and cache misses: predictor and caches are shared with pmuvisor;
 * - LVTPC as SMI, and fixed vectors below 16: pmuvisor can send itself neither.
 * Other MSRs than the PMU's are not in the model.
 */
#include "arch/x86/apic.h"
#include "arch/x86/cpuid.h"
#include "arch/x86/msr.h"
#include "plan.h"
#include "processor.h"

#define SELECTED BITS(15, 0) /* event and umask */
#define LVT_SMI  0x200u

const uint16_t plan_selected[NR_PLAN_SELECTED] = {
	0x00c0, 0x00c4, 0x11c4, 0x20c4, 0x40c4, 0x003c, 0x013c, 0x01a4, 0x00ff, 0x0000,
};

const struct config_event plan_events[NR_PLAN_EVENTS] = {
	{ .name = "instructions", .event = 0xc0 },
	{ .name = "branches", .event = 0xc4 },
	{ .name = "cycles", .event = 0x3c },
};

/* AMD's are of this kind: instructions, branches, taken, far and conditional ones, cycles; and what counts nothing. */
const uint16_t plan_selected_amd[NR_PLAN_SELECTED] = {
	0x00c0, 0x00c2, 0x00c4, 0x00c6, 0x00d1, 0x0076, 0x00c0, 0x00c2, 0x00ff, 0x0000,
};

struct range {
	uint32_t first, count;
};

/* Two counters and selectors more than any guest has of the older ones. */
#define COMMON                                                                                                         \
	{ MSR_IA32_PMC0, 10 }, { MSR_IA32_PERFEVTSEL0, 10 }, { MSR_IA32_A_PMC0, 10 },                                  \
		{ MSR_IA32_FIXED_CTR0, PMU_MODEL_MAX_FIXED + 1 }, { MSR_IA32_FIXED_CTR_CTRL, 1 },                      \
		{ MSR_IA32_PERF_GLOBAL_STATUS, 5 }, /* to INUSE */                                                     \
		{ MSR_IA32_DEBUGCTL, 1 }, { MSR_IA32_PERF_CAPABILITIES, 1 }, { MSR_PERF_METRICS, 1 },                  \
		{ MSR_IA32_PEBS_ENABLE, 2 }, { MSR_IA32_DS_AREA, 1 }, { MSR_IA32_APIC_BASE, 1 },                       \
		{ MSR_LBR_SELECT, 2 }, { MSR_IA32_LER_FROM, 4 }, { MSR_LASTBRANCH_0_FROM, 0x20 },                      \
		{ MSR_LASTBRANCH_0_TO, 0x20 }, { MSR_LBR_INFO_0, 0x20 }, { MSR_IA32_LBR_0_INFO, 0x20 },                \
		{ MSR_IA32_LBR_CTL, 2 }, { MSR_IA32_LBR_0_FROM, 0x20 }, { MSR_IA32_LBR_0_TO, 0x20 },                   \
		{ MSR_IA32_PMC_GP0_CTR, 4 * PMU_MODEL_MAX_GP },                                                        \
	{                                                                                                              \
		MSR_IA32_PMC_FX0_CTR, 4 * PMU_MODEL_MAX_FIXED                                                          \
	}

static const struct range readable[] = {
	COMMON,
	{ MSR_IA32_MISC_ENABLE, 1 },
	{ MSR_X2APIC_LVTPC, 1 },
};

static const struct range writable[] = { COMMON };

/* Without PEBS there are these on some processors: what says so is their model number. */
static const struct range of_pebs = { MSR_PEBS_LD_LAT, 2 };

#define COMMON_AMD                                                                                                     \
	{ MSR_AMD_PERF_LEGACY_CTL0, 2 * NR_LEGACY_COUNTERS }, { MSR_AMD_PERF_CTL0, 2 * CORE_COUNTERS + 2 },            \
		{ MSR_AMD_PERF_GLOBAL_STATUS, 4 }, { MSR_IA32_DEBUGCTL, 1 }, { MSR_IA32_APIC_BASE, 1 },                \
		{ MSR_AMD_LBR_SELECT, 2 }, { MSR_AMD_LBR_0_FROM, 32 },                                                 \
	{                                                                                                              \
		MSR_IA32_PERF_GLOBAL_CTRL, 1                                                                           \
	}

static const struct range readable_amd[] = { COMMON_AMD, { MSR_X2APIC_LVTPC, 1 } };
static const struct range writable_amd[] = { COMMON_AMD };

/* The nth MSR of the list, counted round and round. */
static uint32_t nth(const struct range *list, unsigned length, uint32_t n)
{
	uint32_t total = 0;

	for (unsigned i = 0; i < length; i++)
		total += list[i].count;
	n %= total;
	while (n >= list->count)
		n -= (list++)->count;
	return list->first + n;
}

static uint32_t allowed(const struct plan *plan, const struct range *list, unsigned length, uint32_t msr)
{
	if (!plan_is_amd(plan) && plan_has_pebs(plan) && msr - of_pebs.first < of_pebs.count)
		return msr;
	for (unsigned i = 0; i < length; i++) {
		if (msr - list[i].first < list[i].count)
			return msr;
	}
	return nth(list, length, msr);
}

static const uint16_t *selected(const struct plan *plan)
{
	return plan_is_amd(plan) ? plan_selected_amd : plan_selected;
}

static bool is_selected(const struct plan *plan, uint64_t selector)
{
	for (unsigned i = 0; i < NR_PLAN_SELECTED; i++) {
		if ((selector & SELECTED) == selected(plan)[i])
			return true;
	}
	return false;
}

static uint64_t allow_selector(const struct plan *plan, uint64_t value)
{
	const uint64_t event = SELECTED | (plan_is_amd(plan) ? 0 : PERFEVTSEL_UMASK2);

	if (!is_selected(plan, value))
		value = (value & ~SELECTED) | selected(plan)[(value & SELECTED) % NR_PLAN_SELECTED];
	if (value & PERFEVTSEL_EN)
		value &= ~PERFEVTSEL_EDGE;
	if ((value & event) != 0x00c0)
		value &= ~PERFEVTSEL_INV;
	if (plan_is_amd(plan))
		return value & ~PERF_CTL_EVENT_HIGH;
	return plan_has_pebs(plan) ? value : value & ~SELECTOR_ADAPTIVE;
}

static uint64_t allow_fixed(const struct plan *plan, uint64_t value)
{
	for (unsigned m = 0; m < PMU_MODEL_MAX_FIXED; m++)
		value &= plan_has_pebs(plan) ? ~UINT64_C(0) : ~(FIXED_CTR_ADAPTIVE << 4 * m);
	return value;
}

/* The host's events are live in the guest, or sample. */
static bool shares(const struct plan *plan)
{
	for (unsigned i = 0; i < plan->config.nr_events; i++) {
		if (plan->config.events[i].guest || plan->config.events[i].period)
			return true;
	}
	return false;
}

static uint64_t allow_debugctl(const struct plan *plan, uint64_t value)
{
	uint64_t without = DEBUGCTL_TRACE | (plan_has_lbr(plan) ? 0 : DEBUGCTL_LBR);

	if (plan_is_amd(plan))
		return value & ~(plan->skids ? DEBUGCTL_FREEZE : 0);
	return value & ~(without | (plan->skids ? DEBUGCTL_FREEZE : 0));
}

static void allow_wrmsr(const struct plan *plan, struct step *step)
{
	if (plan_is_amd(plan))
		step->index = allowed(plan, writable_amd, ARRAY_SIZE(writable_amd), step->index);
	else
		step->index = allowed(plan, writable, ARRAY_SIZE(writable), step->index);
	if (plan_selected_by(step->index) >= 0)
		step->value = allow_selector(plan, step->value);
	if (step->index == MSR_IA32_FIXED_CTR_CTRL)
		step->value = allow_fixed(plan, step->value);
	if (step->index == MSR_IA32_DEBUGCTL)
		step->value = allow_debugctl(plan, step->value);
}

static void allow_rdmsr(const struct plan *plan, struct step *step)
{
	if (plan_is_amd(plan))
		step->index = allowed(plan, readable_amd, ARRAY_SIZE(readable_amd), step->index);
	else
		step->index = allowed(plan, readable, ARRAY_SIZE(readable), step->index);
}

/* Leaf 2 stands for all that have nothing of the PMU. */
static void allow_cpuid(struct step *step)
{
	static const uint32_t leaves[] = { CPUID_FEATURES, CPUID_EXTENDED_FEATURES, CPUID_PMU,
					   CPUID_ARCH_LBR, CPUID_PMU_EXTENDED,      CPUID_PERFMON_V2 };
	uint32_t leaf = 2;

	for (unsigned i = 0; i < ARRAY_SIZE(leaves); i++)
		leaf = step->index == leaves[i] ? leaves[i] : leaf;
	step->index = leaf;
	step->value %= 4;
}

static void allow_lvtpc(struct step *step)
{
	step->value &= BITS(31, 0);
	if ((step->value & LVT_MODE) == LVT_SMI)
		step->value |= LVT_NMI;
	if (!(step->value & LVT_MODE) && (step->value & LVT_VECTOR) < 16)
		step->value |= 0x10;
}

static void allow_step(const struct plan *plan, struct step *step)
{
	switch ((unsigned)step->kind) {
	case STEP_RETIRE: step->value = 1 + (step->value - 1) % 60; break;
	case STEP_BRANCH: step->index %= PMU_MODEL_FAR; break;
	case STEP_CPUID: allow_cpuid(step); break;
	case STEP_RDMSR: allow_rdmsr(plan, step); break;
	case STEP_WRMSR: allow_wrmsr(plan, step); break;
	case STEP_WRITE_LVTPC: allow_lvtpc(step); break;
	case STEP_STORE: step->index = step->index % PROCESSOR_MEMORY_SIZE & ~7u; break;
	}
	if (step->kind == STEP_RDMSR || step->kind == STEP_WRMSR || step->kind == STEP_IRET)
		step->cpl = 0;
}

/*
 * As the configuration demands in its own measure: a period in pmuvisor longer than what it does for one exit.
 */
static void allow_event(const struct plan *plan, struct config_event *event)
{
	uint64_t root = plan->config.lbr == CONFIG_LBR_BOTH ? 2500 : 1000;
	uint64_t least = event->host && event->kernel ? root : 5;

	event->kernel |= !event->user;
	event->host |= !event->guest;
	if (event->period && event->period < least)
		event->period += least;
}

void plan_allow(struct plan *plan)
{
	if (plan_is_amd(plan))
		plan->config.host_fixed = 0;
	for (unsigned i = 0; i < plan->config.nr_events; i++)
		allow_event(plan, &plan->config.events[i]);
	if (plan_is_amd(plan) && shares(plan))
		plan->skids = false;
	for (unsigned i = 0; i < plan->nr_steps; i++)
		allow_step(plan, &plan->steps[i]);
}
