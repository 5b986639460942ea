/* Intel's architectural PMU, version 4 to 6. SDM Vol. 3B, "Architectural Performance Monitoring". */
#include "cpuid.h"
#include "guest_msr.h"
#include "hv/cpu.h"
#include "msr.h"
#include "selector.h"
#include "arch/x86/reg.h"

#define EVENT_INSTRUCTIONS 0x00c0 /* event select and unit mask of "instructions retired" */

#define NR_OLD_GP      8        /* general-purpose counters with registers of before version 6 */
#define FIXED(n)       ((n)-32) /* a fixed counter's number from its bit in the global layout */
#define FIXED_SHIFT(n) (4 * FIXED(n))

/*
 * Which status bits beside the counters' this CPU knows: a reserved one faults. Intel PT's (55) is hidden from the
 * guest and not asked for.
 */
static uint64_t probe_flags(uint32_t msr)
{
	uint64_t flags = 0;

	for_each_bit(n, PMU_METRICS | BITS(63, 56)) {
		if (reg_wrmsr_safe(msr, BIT(n)))
			flags |= BIT(n);
	}
	return flags;
}

/*
 * SDM Vol. 3B, "EPT-Friendly PEBS": Ice Lake servers and Alder Lake were the first. Formats from 5 on came later, on
 * processors that all have it.
 */
static bool is_ept_friendly(uint32_t signature, unsigned format)
{
	static const uint8_t models[] = {
		0x6a, 0x6c,       /* Ice Lake servers */
		0x8f, 0xcf,       /* Sapphire Rapids, Emerald Rapids */
		0x97, 0x9a, 0xbe, /* Alder Lake, -N */
		0xb7, 0xba, 0xbf, /* Raptor Lake */
	};
	unsigned family = signature >> 8 & 0xf, model = (signature >> 4 & 0xf) | (signature >> 12 & 0xf0);

	for (unsigned i = 0; i < ARRAY_SIZE(models); i++) {
		if (family == 6 && model == models[i])
			return true;
	}
	return format >= 5;
}

/* SDM Vol. 3B, "Adaptive PEBS", and the size of the management area: "DS Save Area" under each format. */
static void ident_pebs(struct pmu_caps *caps, const uint32_t features[4])
{
	caps->pebs_format = (unsigned)FIELD_GET(PERF_CAP_PEBS_FORMAT, caps->capabilities);
	caps->pebs = features[3] & CPUID_1_EDX_DS && features[2] & CPUID_1_ECX_DTES64 &&
		     caps->capabilities & PERF_CAP_PEBS_BASELINE && caps->pebs_format >= 4 &&
		     !(reg_rdmsr(MSR_IA32_MISC_ENABLE) & MISC_ENABLE_PEBS_UNAVAILABLE);
	caps->pebs_ept_friendly = caps->pebs && is_ept_friendly(features[0], caps->pebs_format);
	caps->ds_size = caps->pebs_format >= 5 ? 0x1c0 : 0xa0;
}

/*
 * SDM Vol. 3B, "Architectural Performance Monitoring Version 6": leaf 0AH knows 8 general-purpose counters, and of a
 * processor with several kinds of cores what all of them have; this core's own counters are in leaf 23H. The
 * general-purpose ones are used as far as they are contiguous: the guest's must be.
 */
static void count_in_leaf_23(struct pmu_caps *caps)
{
	uint32_t regs[4];

	reg_cpuid(CPUID_PMU_EXTENDED, CPUID_PMU_EXTENDED_COUNTERS, regs);
	caps->nr_gp = (unsigned)__builtin_ctzll(~(uint64_t)regs[0]);
	caps->fixed = regs[1];
}

static bool intel_ident(struct pmu_caps *caps)
{
	uint32_t regs[4], features[4];

	reg_cpuid(CPUID_PMU, 0, regs);
	reg_cpuid(CPUID_FEATURES, 0, features);
	caps->version = regs[0] & 0xff;
	if (caps->version < 4)
		return false;
	caps->nr_gp = regs[0] >> 8 & 0xff;
	caps->width = regs[0] >> 16 & 0xff;
	caps->fixed = (uint32_t)(BIT(regs[3] & 0x1f) - 1) | (caps->version >= 5 ? regs[2] : 0);
	if (caps->version >= 6)
		count_in_leaf_23(caps);
	caps->counters = (BIT(caps->nr_gp) - 1) | (uint64_t)caps->fixed << 32;
	caps->global = caps->pmi_masks = true;
	caps->capabilities = features[2] & CPUID_1_ECX_PDCM ? reg_rdmsr(MSR_IA32_PERF_CAPABILITIES) : 0;
	caps->metrics = caps->capabilities & PERF_CAP_METRICS;
	ident_pebs(caps, features);
	caps->clear_flags = probe_flags(MSR_IA32_PERF_GLOBAL_STATUS_RESET);
	caps->set_flags = probe_flags(MSR_IA32_PERF_GLOBAL_STATUS_SET);
	reg_wrmsr(MSR_IA32_PERF_GLOBAL_STATUS_RESET, caps->set_flags & caps->clear_flags);
	return true;
}

static void intel_enable(uint64_t counters)
{
	reg_wrmsr(MSR_IA32_PERF_GLOBAL_CTRL, counters);
}

static uint64_t intel_enabled(void)
{
	return reg_rdmsr(MSR_IA32_PERF_GLOBAL_CTRL);
}

static uint64_t intel_status(void)
{
	return reg_rdmsr(MSR_IA32_PERF_GLOBAL_STATUS);
}

static void intel_clear_status(uint64_t bits)
{
	reg_wrmsr(MSR_IA32_PERF_GLOBAL_STATUS_RESET, bits);
}

static void intel_set_status(uint64_t bits)
{
	reg_wrmsr(MSR_IA32_PERF_GLOBAL_STATUS_SET, bits);
}

static uint32_t counter_msr(unsigned n)
{
	if (n >= 32)
		return MSR_IA32_FIXED_CTR0 + FIXED(n);
	return n < NR_OLD_GP ? MSR_IA32_A_PMC0 + n : MSR_IA32_PMC_GP0_CTR + 4 * n;
}

static uint32_t selector_msr(unsigned n)
{
	return n < NR_OLD_GP ? MSR_IA32_PERFEVTSEL0 + n : MSR_IA32_PMC_GP0_CFG_A + 4 * n;
}

static uint64_t intel_read(unsigned n)
{
	return reg_rdmsr(counter_msr(n));
}

static void intel_write(unsigned n, uint64_t value)
{
	reg_wrmsr(counter_msr(n), value);
}

static void program_gp(unsigned n, const struct config_event *event)
{
	uint64_t selector = 0;

	if (event)
		selector = event->event | (uint64_t)event->umask << 8 | PERFEVTSEL_EN |
			   (event->user ? PERFEVTSEL_USR : 0) | (event->kernel ? PERFEVTSEL_OS : 0) |
			   (event->period ? PERFEVTSEL_INT : 0);
	reg_wrmsr(selector_msr(n), selector);
}

static void program_fixed(unsigned n, const struct config_event *event)
{
	uint64_t control = reg_rdmsr(MSR_IA32_FIXED_CTR_CTRL) & ~(FIXED_CTR_FIELD << FIXED_SHIFT(n));
	uint64_t field = 0;

	if (event)
		field = (event->user ? FIXED_CTR_USR : 0) | (event->kernel ? FIXED_CTR_OS : 0) |
			(event->period ? FIXED_CTR_PMI : 0);
	reg_wrmsr(MSR_IA32_FIXED_CTR_CTRL, control | field << FIXED_SHIFT(n));
}

static void intel_program(unsigned n, const struct config_event *event)
{
	if (n < 32)
		program_gp(n, event);
	else
		program_fixed(n, event);
}

/* Nothing runs in a transaction: the exit aborted it. */
static bool selects_instructions(uint64_t selector, bool user)
{
	uint64_t event = selector & (PERFEVTSEL_EVENT | PERFEVTSEL_UMASK2 | PERFEVTSEL_IN_TX);

	return event == EVENT_INSTRUCTIONS && selector_counts_one(selector, user);
}

/* SDM Vol. 3B, "IA32_PERF_GLOBAL_INUSE MSR": one read tells which selectors are worth reading. */
static uint64_t intel_used(uint64_t counters)
{
	return counters & reg_rdmsr(MSR_IA32_PERF_GLOBAL_INUSE);
}

static uint64_t intel_counts_instructions(uint64_t counters, bool user)
{
	uint64_t counting = 0;

	for_each_bit(n, counters & BITS(31, 0)) {
		if (selects_instructions(reg_rdmsr(selector_msr((unsigned)n)), user))
			counting |= BIT(n);
	}
	if (counters & BIT(32) && reg_rdmsr(MSR_IA32_FIXED_CTR_CTRL) & (user ? FIXED_CTR_USR : FIXED_CTR_OS))
		counting |= BIT(32);
	return counting;
}

static uint64_t intel_interrupting(uint64_t counters)
{
	uint64_t interrupting = 0, fixed = 0;

	for_each_bit(n, counters & BITS(31, 0)) {
		if (reg_rdmsr(selector_msr((unsigned)n)) & PERFEVTSEL_INT)
			interrupting |= BIT(n);
	}
	if (counters >> 32)
		fixed = reg_rdmsr(MSR_IA32_FIXED_CTR_CTRL);
	for_each_bit(m, counters & BITS(47, 32)) {
		if (fixed & FIXED_CTR_PMI << FIXED_SHIFT(m))
			interrupting |= BIT(m);
	}
	return interrupting;
}

static uint64_t intel_inuse(uint64_t counters, bool pebs)
{
	uint64_t inuse = reg_rdmsr(MSR_IA32_PERF_GLOBAL_INUSE) & counters;

	return inuse | (pebs || intel_interrupting(counters) ? PERF_GLOBAL_INUSE_PMI : 0);
}

static uint64_t intel_pebs_enabled(void)
{
	return reg_rdmsr(MSR_IA32_PEBS_ENABLE);
}

static void intel_pebs_enable(uint64_t counters)
{
	reg_wrmsr(MSR_IA32_PEBS_ENABLE, counters);
}

const struct pmu_ops pmu_intel = {
	.name = "Intel",
	.ident = intel_ident,
	.enable = intel_enable,
	.enabled = intel_enabled,
	.status = intel_status,
	.clear_status = intel_clear_status,
	.set_status = intel_set_status,
	.read = intel_read,
	.write = intel_write,
	.program = intel_program,
	.used = intel_used,
	.counts_instructions = intel_counts_instructions,
	.interrupting = intel_interrupting,
	.inuse = intel_inuse,
	.pebs_enabled = intel_pebs_enabled,
	.pebs_enable = intel_pebs_enable,
	.lbr = { &lbr_arch, &lbr_legacy },
	.msrs = &guest_msrs_intel,
};
