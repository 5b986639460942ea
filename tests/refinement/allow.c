/*
 * What a plan may hold. Left out, because pmuvisor's guest and a bare one may differ in them by design:
 * - LBR, BTS and PEBS (DEBUGCTL bits 0 and 6, their MSRs) and XD disabling: hidden from the guest;
 * - branch misses and cache misses: predictor and caches are shared with pmuvisor;
 * - an enabled edge detector, and INV with events other than instructions: they count cycles without the event, and the
 *   cycles of an instruction that exits are pmuvisor's;
 * - LVTPC as SMI, and fixed vectors below 16: pmuvisor can send itself neither.
 * Other MSRs than the PMU's are not in the model.
 */
#include "arch/x86/apic.h"
#include "arch/x86/cpuid.h"
#include "arch/x86/msr.h"
#include "plan.h"
#include "tests/machine/pmu_model.h"

#define SELECTED        BITS(15, 0) /* event and umask */
#define DEBUGCTL_LBR    BIT(0)
#define DEBUGCTL_TR     BIT(6)
#define DEBUGCTL_FREEZE (DEBUGCTL_FREEZE_LBRS_ON_PMI | DEBUGCTL_FREEZE_PERFMON_ON_PMI)
#define LVT_SMI         0x200u

const uint16_t plan_selected[NR_PLAN_SELECTED] = {
	0x00c0, 0x00c4, 0x11c4, 0x20c4, 0x40c4, 0x003c, 0x013c, 0x01a4, 0x00ff, 0x0000,
};

const struct config_event plan_events[NR_PLAN_EVENTS] = {
	{ .name = "instructions", .event = 0xc0 },
	{ .name = "branches", .event = 0xc4 },
	{ .name = "cycles", .event = 0x3c },
};

struct range {
	uint32_t first, count;
};

/* Counters and selectors: two more than any guest has. */
static const struct range readable[] = {
	{ MSR_IA32_PMC0, PROCESSOR_GP + 2 },
	{ MSR_IA32_PERFEVTSEL0, PROCESSOR_GP + 2 },
	{ MSR_IA32_A_PMC0, PROCESSOR_GP + 2 },
	{ MSR_IA32_FIXED_CTR0, PROCESSOR_FIXED + 1 },
	{ MSR_IA32_FIXED_CTR_CTRL, 1 },
	{ MSR_IA32_PERF_GLOBAL_STATUS, 5 }, /* to INUSE */
	{ MSR_IA32_DEBUGCTL, 1 },
	{ MSR_IA32_MISC_ENABLE, 1 },
	{ MSR_IA32_PERF_CAPABILITIES, 1 },
	{ MSR_X2APIC_LVTPC, 1 },
	{ MSR_PERF_METRICS, 1 },
	{ MSR_IA32_PEBS_ENABLE, 1 },
	{ MSR_IA32_DS_AREA, 1 },
	{ MSR_IA32_APIC_BASE, 1 },
};

static const struct range writable[] = {
	{ MSR_IA32_PMC0, PROCESSOR_GP + 2 },
	{ MSR_IA32_PERFEVTSEL0, PROCESSOR_GP + 2 },
	{ MSR_IA32_A_PMC0, PROCESSOR_GP + 2 },
	{ MSR_IA32_FIXED_CTR0, PROCESSOR_FIXED + 1 },
	{ MSR_IA32_FIXED_CTR_CTRL, 1 },
	{ MSR_IA32_PERF_GLOBAL_STATUS, 5 },
	{ MSR_IA32_DEBUGCTL, 1 },
	{ MSR_IA32_PERF_CAPABILITIES, 1 },
	{ MSR_PERF_METRICS, 1 },
	{ MSR_IA32_PEBS_ENABLE, 1 },
	{ MSR_IA32_APIC_BASE, 1 },
};

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

static uint32_t allowed(const struct range *list, unsigned length, uint32_t msr)
{
	for (unsigned i = 0; i < length; i++) {
		if (msr - list[i].first < list[i].count)
			return msr;
	}
	return nth(list, length, msr);
}

static bool is_selected(uint64_t selector)
{
	for (unsigned i = 0; i < NR_PLAN_SELECTED; i++) {
		if ((selector & SELECTED) == plan_selected[i])
			return true;
	}
	return false;
}

static uint64_t allow_selector(uint64_t value)
{
	if (!is_selected(value))
		value = (value & ~SELECTED) | plan_selected[(value & SELECTED) % NR_PLAN_SELECTED];
	if (value & PERFEVTSEL_EN)
		value &= ~PERFEVTSEL_EDGE;
	if ((value & SELECTED) != 0x00c0)
		value &= ~PERFEVTSEL_INV;
	return value;
}

/* Where PMIs skid, no freeze: docs/contract.md, deviation 6. */
static void allow_wrmsr(const struct plan *plan, struct step *step)
{
	step->index = allowed(writable, ARRAY_SIZE(writable), step->index);
	if (step->index - MSR_IA32_PERFEVTSEL0 < PROCESSOR_GP + 2)
		step->value = allow_selector(step->value);
	if (step->index == MSR_IA32_DEBUGCTL)
		step->value &= ~(DEBUGCTL_LBR | DEBUGCTL_TR | (plan->skids ? DEBUGCTL_FREEZE : 0));
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
	case STEP_CPUID: step->index = step->index == CPUID_PMU ? CPUID_PMU : 0; break;
	case STEP_RDMSR: step->index = allowed(readable, ARRAY_SIZE(readable), step->index); break;
	case STEP_WRMSR: allow_wrmsr(plan, step); break;
	case STEP_WRITE_LVTPC: allow_lvtpc(step); break;
	}
	if (step->kind == STEP_RDMSR || step->kind == STEP_WRMSR || step->kind == STEP_IRET)
		step->cpl = 0;
}

/*
 * As the configuration demands in its own measure: a period in pmuvisor longer than what it does for one exit.
 */
static void allow_event(struct config_event *event)
{
	uint64_t least = event->host && event->kernel ? 600 : 5;

	event->kernel |= !event->user;
	event->host |= !event->guest;
	if (event->period && event->period < least)
		event->period += least;
}

void plan_allow(struct plan *plan)
{
	for (unsigned i = 0; i < plan->config.nr_events; i++)
		allow_event(&plan->config.events[i]);
	for (unsigned i = 0; i < plan->nr_steps; i++)
		allow_step(plan, &plan->steps[i]);
}
