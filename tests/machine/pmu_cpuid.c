/*
 * What CPUID says of the PMU: SDM Vol. 2A, "CPUID". The emulator fills in a leaf as the real processor's dump has it;
 * what belongs to the PMU is replaced here, so that nothing is announced that the model does not do.
 */
#include <string.h>

#include "pmu_private.h"

enum { EAX, EBX, ECX, EDX };

#define LEAF_FEATURES          0x01
#define LEAF_EXTENDED_FEATURES 0x07
#define LEAF_PMU               0x0a
#define LEAF_CORE              0x1a
#define LEAF_ARCH_LBR          0x1c
#define LEAF_PMU_EXTENDED      0x23

static void put(uint32_t *reg, unsigned bit, bool on)
{
	*reg = on ? *reg | 1u << bit : *reg & ~(1u << bit);
}

/* Software does not ask for a leaf beyond the highest. */
static void highest_leaf(const struct pmu_model_caps *caps, uint32_t regs[4])
{
	uint32_t needed = caps->version >= 6 ? LEAF_PMU_EXTENDED : caps->arch_lbr[0] ? LEAF_ARCH_LBR : 0;

	if (regs[EAX] < needed)
		regs[EAX] = needed;
}

/* PDCM is there. The debug store's (DTES64, DS) come with PEBS; DS-CPL is of BTS, which is not there. */
static void features(const struct pmu_model_caps *caps, uint32_t regs[4])
{
	bool pebs = caps->perf_capabilities & PERF_CAP_PEBS_BASELINE;

	regs[EAX] = caps->signature;
	put(&regs[ECX], 2, pebs);
	put(&regs[ECX], 4, false);
	put(&regs[ECX], 15, true);
	put(&regs[EDX], 21, pebs);
}

/* No Processor Trace. */
static void extended_features(const struct pmu_model_caps *caps, uint32_t subleaf, uint32_t regs[4])
{
	if (subleaf == 0) {
		put(&regs[EBX], 25, false);
		put(&regs[EDX], 19, caps->arch_lbr[0]);
		if (caps->hybrid)
			put(&regs[EDX], 15, true);
	}
	if (subleaf == 1)
		put(&regs[EAX], 8, caps->version >= 6);
}

/*
 * What all kinds of cores in the package have, and at most eight general-purpose counters: those with registers of
 * before version 6. The list of architectural events has ones for those missing.
 */
static void perfmon(const struct pmu_model_caps *caps, uint32_t regs[4])
{
	bool version_5 = caps->version >= 5;
	unsigned nr_events = 32 - (unsigned)__builtin_clz(caps->common_events);
	unsigned fixed = caps->common_fixed < caps->nr_fixed ? caps->common_fixed : caps->nr_fixed;

	regs[EAX] = caps->version | (caps->nr_gp < 8 ? caps->nr_gp : 8) << 8 | caps->width << 16 | nr_events << 24;
	regs[EBX] = ~caps->common_events & ((1u << nr_events) - 1);
	regs[ECX] = version_5 ? (1u << fixed) - 1 : 0;
	regs[EDX] = fixed | caps->width << 5 | (version_5 ? 1u << 15 : 0); /* AnyThread deprecated */
}

/* What this core has. Subleaf 2 (automatic reload) is not there. */
static void perfmon_extended(const struct pmu_model_caps *caps, uint32_t subleaf, uint32_t regs[4])
{
	memset(regs, 0, 4 * sizeof(regs[0]));
	if (caps->version < 6)
		return;
	switch (subleaf) {
	case 0:
		regs[EAX] = 1u << 0 | 1u << 1 | 1u << 3;
		put(&regs[EBX], 0, caps->umask2);
		put(&regs[EBX], 1, caps->eq);
		break;
	case 1:
		regs[EAX] = (1u << caps->nr_gp) - 1;
		regs[EBX] = (1u << caps->nr_fixed) - 1;
		break;
	case 3: regs[EAX] = caps->events; break;
	}
}

/* Which kind of core this is: "Native Model ID Enumeration Leaf". Of others the emulator's answer stays. */
static void core(const struct pmu_model_caps *caps, uint32_t regs[4])
{
	if (!caps->hybrid)
		return;
	memset(regs, 0, 4 * sizeof(regs[0]));
	regs[EAX] = caps->core;
}

static void arch_lbr(const struct pmu_model_caps *caps, uint32_t regs[4])
{
	memcpy(regs, caps->arch_lbr, sizeof(caps->arch_lbr));
	regs[EDX] = 0;
}

void pmu_model_cpuid(const struct pmu_model *model, uint32_t leaf, uint32_t subleaf, uint32_t regs[4])
{
	const struct pmu_model_caps *caps = &model->caps;

	if (pmu_is_amd(model)) {
		pmu_amd_cpuid(caps, leaf, regs);
		return;
	}
	switch (leaf) {
	case 0: highest_leaf(caps, regs); break;
	case LEAF_FEATURES: features(caps, regs); break;
	case LEAF_EXTENDED_FEATURES: extended_features(caps, subleaf, regs); break;
	case LEAF_PMU: perfmon(caps, regs); break;
	case LEAF_CORE: core(caps, regs); break;
	case LEAF_ARCH_LBR: arch_lbr(caps, regs); break;
	case LEAF_PMU_EXTENDED: perfmon_extended(caps, subleaf, regs); break;
	}
}
