/* What software does with PEBS and the LBRs. */
#include "generate_private.h"
#include "processor.h"

#define DS_BUFFER    0x20 /* base, index, maximum, threshold */
#define DS_RESETS    0x40
#define BUFFER       0x200
#define SELECT_CALLS 0x3c4 /* call-stack mode */
#define CTL_ALL      (LBR_CTL_ENABLE | LBR_CTL_OS | LBR_CTL_USR | LBR_CTL_BRANCHES)
#define CTL_CALLS    (LBR_CTL_ENABLE | LBR_CTL_OS | LBR_CTL_USR | BIT(3) | BITS(21, 19))

static void buffer(struct generator *g)
{
	uint64_t base = PROCESSOR_MEMORY + BUFFER, size = 32 + below(g, PROCESSOR_MEMORY_SIZE - BUFFER - 32);

	generate_step(g, STEP_STORE, DS_BUFFER, base);
	generate_step(g, STEP_STORE, DS_BUFFER + 8, percent(g, 95) ? base : base - 8);
	generate_step(g, STEP_STORE, DS_BUFFER + 16, base + (percent(g, 95) ? size : 2 * PROCESSOR_MEMORY_SIZE));
	generate_step(g, STEP_STORE, DS_BUFFER + 24, base + (percent(g, 50) ? 32 : below(g, (unsigned)size)));
}

/* Room for every counter's reset value, wherever the processor's format has it. */
void generate_memory(struct generator *g)
{
	buffer(g);
	for (uint32_t offset = DS_RESETS; offset < DS_RESETS + 8 * 3; offset += 8)
		generate_step(g, STEP_STORE, offset, -(uint64_t)(1 + below(g, 30)));
	generate_step(g, STEP_WRMSR, MSR_IA32_DS_AREA, PROCESSOR_MEMORY);
}

static uint64_t any_ds_area(struct generator *g)
{
	switch (below(g, 8)) {
	case 0: return random_next(&g->random); /* most likely not canonical */
	case 1: return PROCESSOR_MEMORY + PROCESSOR_MEMORY_SIZE - 0x30;
	default: return PROCESSOR_MEMORY;
	}
}

/* From format 6 on, which records counters too. */
static uint64_t any_counters(struct generator *g)
{
	uint64_t gp = some_of(g, g->counters & BITS(31, 0)), fixed = some_of(g, g->counters >> 32);

	return PEBS_DATA_CFG_COUNTERS | FIELD_PUT(PEBS_DATA_CFG_GP, gp) | FIELD_PUT(PEBS_DATA_CFG_FIXED, fixed);
}

static uint64_t any_groups(struct generator *g)
{
	uint64_t groups = below(g, 16) | FIELD_PUT(BITS(31, 24), below(g, percent(g, 50) ? 4 : 33));

	if (g->plan->model == 2 && percent(g, 50))
		groups |= any_counters(g) | (percent(g, 30) ? PEBS_DATA_CFG_METRICS : 0);
	return percent(g, 30) ? 0 : maybe_reserved(g, groups);
}

static uint64_t any_enable(struct generator *g)
{
	if (percent(g, 40))
		return 0;
	if (percent(g, 15))
		return BIT(below(g, PMU_MODEL_MAX_GP));
	return maybe_reserved(g, percent(g, 60) ? BIT(below(g, 3)) : some_of(g, g->counters));
}

/* A counter whose overflows are records. */
static void arm(struct generator *g)
{
	unsigned n = below(g, 3);
	uint64_t selector = percent(g, 60) ? 0xc0 : percent(g, 50) ? 0xc4 : 0x3c;

	selector |= PERFEVTSEL_EN | PERFEVTSEL_OS | PERFEVTSEL_USR;
	selector |= (percent(g, 60) ? SELECTOR_ADAPTIVE : 0) | (percent(g, 10) ? PERFEVTSEL_INT : 0);
	generate_step(g, STEP_WRMSR, generate_selector(g, n), selector);
	generate_step(g, STEP_WRMSR, generate_counter(g, n), near_overflow(g));
	generate_step(g, STEP_WRMSR, MSR_PEBS_DATA_CFG, any_groups(g));
	generate_step(g, STEP_WRMSR, MSR_IA32_PEBS_ENABLE, BIT(n));
	generate_step(g, STEP_WRMSR, MSR_IA32_PERF_GLOBAL_CTRL, g->counters);
	generate_step(g, percent(g, 70) ? STEP_RETIRE : STEP_CPUID, 2, 1 + below(g, 20));
}

void generate_pebs(struct generator *g)
{
	switch (below(g, 10)) {
	case 0: buffer(g); break;
	case 1: generate_step(g, STEP_WRMSR, MSR_IA32_DS_AREA, any_ds_area(g)); break;
	case 2: generate_step(g, STEP_WRMSR, MSR_PEBS_DATA_CFG, any_groups(g)); break;
	case 3: generate_step(g, STEP_WRMSR, MSR_IA32_PEBS_ENABLE, any_enable(g)); break;
	case 4: generate_step(g, STEP_RDMSR, MSR_IA32_PEBS_ENABLE + below(g, 2), 0); break;
	case 5: generate_step(g, STEP_STORE, DS_BUFFER + 8, PROCESSOR_MEMORY + BUFFER); break;
	default: arm(g); break;
	}
}

static void legacy(struct generator *g)
{
	static const uint32_t stacks[] = { MSR_LASTBRANCH_0_FROM, MSR_LASTBRANCH_0_TO, MSR_LBR_INFO_0 };
	uint64_t debugctl = (percent(g, 85) ? DEBUGCTL_LBR : 0) | (percent(g, 30) ? DEBUGCTL_FREEZE_LBRS_ON_PMI : 0);

	switch (below(g, 9)) {
	case 0:
		generate_step(g, STEP_WRMSR, MSR_LBR_SELECT, maybe_reserved(g, percent(g, 50) ? SELECT_CALLS : 0));
		break;
	case 1: generate_step(g, STEP_WRMSR, MSR_LBR_SELECT, below(g, 0x400)); break;
	case 2: generate_step(g, STEP_RDMSR, MSR_LBR_SELECT + below(g, 2), 0); break;
	case 3: generate_step(g, STEP_WRMSR, MSR_LBR_SELECT + 1, below(g, 40)); break;
	case 4: generate_step(g, STEP_RDMSR, random_pick(&g->random, stacks) + below(g, 32), 0); break;
	case 5:
		generate_step(g, STEP_WRMSR, random_pick(&g->random, stacks) + below(g, 32), maybe_reserved(g, 0));
		break;
	case 6: generate_step(g, STEP_RDMSR, MSR_IA32_LER_FROM + below(g, 2), 0); break;
	default: generate_step(g, STEP_WRMSR, MSR_IA32_DEBUGCTL, debugctl); break;
	}
}

static void architectural(struct generator *g)
{
	static const uint32_t stacks[] = { MSR_IA32_LBR_0_FROM, MSR_IA32_LBR_0_TO, MSR_IA32_LBR_0_INFO };

	switch (below(g, 9)) {
	case 0:
		generate_step(g, STEP_WRMSR, MSR_IA32_LBR_CTL, maybe_reserved(g, percent(g, 50) ? CTL_CALLS : 0));
		break;
	case 1: generate_step(g, STEP_WRMSR, MSR_IA32_LBR_CTL, some_of(g, CTL_ALL)); break;
	case 2: generate_step(g, STEP_RDMSR, MSR_IA32_LBR_CTL + below(g, 2), 0); break;
	case 3: generate_step(g, STEP_WRMSR, MSR_IA32_LBR_DEPTH, 8 * below(g, 6)); break;
	case 4: generate_step(g, STEP_RDMSR, random_pick(&g->random, stacks) + below(g, 32), 0); break;
	case 5:
		generate_step(g, STEP_WRMSR, random_pick(&g->random, stacks) + below(g, 32), maybe_reserved(g, 0));
		break;
	case 6:
		generate_step(g, STEP_WRMSR, MSR_IA32_DEBUGCTL, percent(g, 50) ? DEBUGCTL_FREEZE_LBRS_ON_PMI : 0);
		break;
	case 7: generate_step(g, percent(g, 80) ? STEP_RDMSR : STEP_WRMSR, MSR_IA32_LER_FROM + below(g, 4), 0); break;
	default: generate_step(g, STEP_WRMSR, MSR_IA32_LBR_CTL, CTL_ALL); break;
	}
}

void generate_lbr(struct generator *g)
{
	if (g->arch_lbr == percent(g, 95))
		architectural(g);
	else
		legacy(g);
}
