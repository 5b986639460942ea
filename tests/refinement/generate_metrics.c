/* What software does with PERF_METRICS and fixed counter 3, which its metrics are of. */
#include "generate_private.h"
#include "hv/pmu.h"

#define SLOTS       (MSR_IA32_FIXED_CTR0 + 3)
#define SLOTS_CTRL  ((FIXED_CTR_OS | FIXED_CTR_USR) << 12)
#define CLEAR_EN    BIT(14) /* SDM Vol. 4, IA32_FIXED_CTR_CTRL: METRICS_CLEAR_EN */
#define RDPMC_SLOTS 0x40000003
#define RDPMC       0x20000000

/* Before anything is measured: the counter first. SDM Vol. 3B, "Performance Metrics Support". */
static void clear(struct generator *g)
{
	generate_step(g, STEP_WRMSR, SLOTS, percent(g, 70) ? 0 : near_overflow(g));
	generate_step(g, STEP_WRMSR, MSR_PERF_METRICS, percent(g, 90) ? 0 : random_next(&g->random));
}

static void start(struct generator *g)
{
	uint64_t clears = percent(g, 25) ? CLEAR_EN : 0, interrupts = percent(g, 10) ? FIXED_CTR_PMI << 12 : 0;

	generate_step(g, STEP_WRMSR, MSR_IA32_FIXED_CTR_CTRL, SLOTS_CTRL | clears | interrupts);
	generate_step(g, STEP_WRMSR, MSR_IA32_PERF_GLOBAL_CTRL, g->counters | PMU_METRICS);
	generate_step(g, STEP_RETIRE, 0, 1 + below(g, 20));
}

void generate_metrics(struct generator *g)
{
	switch (below(g, 8)) {
	case 0: clear(g); break;
	case 1: generate_step(g, STEP_RDMSR, MSR_PERF_METRICS, 0); break;
	case 2: generate_step(g, STEP_RDPMC, RDPMC, 0); break;
	case 3: generate_step(g, STEP_RDPMC, RDPMC_SLOTS, 0); break;
	case 4: generate_step(g, STEP_WRMSR, MSR_IA32_PERF_GLOBAL_STATUS_SET, PMU_METRICS); break;
	case 5: generate_step(g, STEP_WRMSR, MSR_IA32_PERF_GLOBAL_STATUS_RESET, PMU_METRICS); break;
	default: start(g); break;
	}
}
