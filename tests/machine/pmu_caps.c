/*
 * The processors the model can be, as data. What it does not do, no processor here has: a bit that announces it is
 * masked until the model does it.
 *
 * Which counters sample latency, and the codes for what answered an access, are as Linux has them (its PEBS event
 * constraints, and the tables behind `perf mem`); SDM Vol. 3B, "Data Source Encoding for Memory Info Group".
 */
#include <string.h>

#include "pmu_private.h"

/* Of IA32_PERF_CAPABILITIES, what the model does. No freezing in SMM. */
#define MODELLED_CAPABILITIES                                                                                          \
	(PERF_CAP_LBR_FMT | PERF_CAP_PEBS_TRAP | PERF_CAP_PEBS_ARCH_REG | PERF_CAP_PEBS(0xf) | PERF_CAP_FW_WRITE |     \
	 PERF_CAP_PEBS_BASELINE | PERF_CAP_METRICS)
/* Of the architectural events: nothing counts LBR inserts. */
#define MODELLED_EVENTS BITS(11, 0)
/* Of CPUID.1CH:ECX: the LBRs log no events. */
#define MODELLED_LBR_EXTRAS 0x7

/*
 * SDM Vol. 3B, "Intel Microarchitecture Code Name Ice Lake"; CPUID.0AH as Bochs' dump of an Ice Lake has it. The family
 * and model are the server's, whose PEBS survives faults of its own memory accesses.
 */
const struct pmu_model_caps pmu_model_icelake = {
	.name = "icelake",
	.signature = 0x606a6,
	.version = 5,
	.nr_gp = 8,
	.nr_fixed = 4,
	.common_fixed = 4,
	.width = 48,
	.events = BITS(7, 0),
	.common_events = BITS(7, 0),
	.perf_capabilities = 0xf4c5 & MODELLED_CAPABILITIES,
	.lbr_depth = 32,
	.pebs_pdist = BIT(32),
	.pebs_ept_friendly = true,
	.pebs_load_latency = 0xff,
	.pebs_sources = { 0x0, 0x1, 0x4, 0xa },
	.pebs_frontend = 0x7fff17,
	.linear_width = 48,
};

/* SDM Vol. 3B, "Golden Cove"; CPUID.0AH as Bochs' model has it, CPUID.1CH of its Alder Lake kin. */
const struct pmu_model_caps pmu_model_sapphire_rapids = {
	.name = "sapphire_rapids",
	.signature = 0x806f8,
	.version = 5,
	.nr_gp = 8,
	.nr_fixed = 4,
	.common_fixed = 4,
	.width = 48,
	.events = BITS(7, 0),
	.common_events = BITS(7, 0),
	.reference_is_tsc = true,
	.saves_global_ctrl = true,
	.perf_capabilities = 0xf4ff & MODELLED_CAPABILITIES,
	.arch_lbr = { 0x4000000b, 0x7, 0xf0007 & MODELLED_LBR_EXTRAS },
	.pebs_pdist = BIT(0) | BIT(32),
	.pebs_ept_friendly = true,
	.pebs_load_latency = 0xfe,
	.pebs_store_latency = 0x1,
	.pebs_sources = { 0x0, 0x1, 0x4, 0xa },
	.metrics_level_2 = true,
	.pebs_frontend = 0x7fff1f,
	.linear_width = 57,
};

/*
 * SDM Vol. 3B, "Lion Cove"; CPUID.0AH, 1CH and 23H as Bochs' dump of an Arrow Lake has them for its first logical
 * processor, a performance core. 0AH tells what the efficient cores have too.
 */
const struct pmu_model_caps pmu_model_arrow_lake = {
	.name = "arrow_lake",
	.signature = 0xc0662,
	.core = 0x40000000,
	.version = 6,
	.nr_gp = 10,
	.nr_fixed = 4,
	.common_fixed = 3,
	.width = 48,
	.events = 0x1dff & MODELLED_EVENTS,
	.common_events = 0x1d7f & MODELLED_EVENTS,
	.umask2 = true,
	.eq = true,
	.reference_is_tsc = true,
	.saves_global_ctrl = true,
	.perf_capabilities = 0xf6ff & MODELLED_CAPABILITIES,
	.arch_lbr = { 0x4000000b, 0x7, 0xf0007 & MODELLED_LBR_EXTRAS },
	.pebs_pdist = BIT(0) | BIT(32),
	.pebs_ept_friendly = true,
	.pebs_load_latency = 0x3fc,
	.pebs_store_latency = 0x3,
	.pebs_sources = { 0x0, 0x1, 0x8, 0x11 },
	.metrics_level_2 = true,
	.pebs_frontend = 0x7fff1f,
	.linear_width = 48,
};

/*
 * SDM Vol. 3B, "Skymont", as far as counters 4 to 6 of the fixed ones are not needed for it; the native model as Linux
 * knows it (INTEL_ATOM_SKT_NATIVE_ID). It has no slots and metrics, so event 7 is not there. Loads and stores have no
 * events CDH.
 */
const struct pmu_model_caps pmu_model_arrow_lake_e = {
	.name = "arrow_lake_e",
	.signature = 0xc0662,
	.core = 0x20000003,
	.version = 6,
	.nr_gp = 8,
	.nr_fixed = 3,
	.common_fixed = 3,
	.width = 48,
	.events = 0x1d7f & MODELLED_EVENTS,
	.common_events = 0x1d7f & MODELLED_EVENTS,
	.umask2 = true,
	.eq = true,
	.reference_is_tsc = true,
	.saves_global_ctrl = true,
	.perf_capabilities = 0x76ff & MODELLED_CAPABILITIES,
	.arch_lbr = { 0x4000000b, 0x7, 0xf0007 & MODELLED_LBR_EXTRAS },
	.pebs_pdist = BIT(0) | BIT(32),
	.pebs_ept_friendly = true,
	.pebs_sources = { 0x0, 0x1, 0x8, 0x11 },
	.linear_width = 48,
};

/* Milan and Genoa: the families and models of arch/x86/kernel/cpu/amd.c in Linux. Both are server parts. */
const struct pmu_model_caps pmu_model_zen3 = {
	.name = "zen3",
	.signature = 0xa00f11,
	.vendor = PMU_MODEL_AMD,
	.nr_gp = 6,
	.width = 48,
	.core_ext = true,
};

const struct pmu_model_caps pmu_model_zen4 = {
	.name = "zen4",
	.signature = 0xa10f11,
	.vendor = PMU_MODEL_AMD,
	.nr_gp = 6,
	.width = 48,
	.core_ext = true,
	.perfmon_v2 = true,
	.lbr_v2 = true,
	.freezes = true,
	.vnmi = true,
};

const struct pmu_model_caps *pmu_model_named(const char *name)
{
	static const struct pmu_model_caps *const all[] = { &pmu_model_icelake,    &pmu_model_sapphire_rapids,
							    &pmu_model_arrow_lake, &pmu_model_arrow_lake_e,
							    &pmu_model_zen3,       &pmu_model_zen4 };

	for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (!strcmp(all[i]->name, name))
			return all[i];
	return NULL;
}
