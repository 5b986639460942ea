/* Plans for AMD's processors: what software does there with counters, their interrupt and LBRs, and now and then anything. */
#include "arch/x86/apic.h"
#include "arch/x86/cpuid.h"
#include "generate_private.h"
#include "processor.h"

#define FREEZES BITS(12, 11)
#define STATUS  BITS(59, 58)

/* The first four have two names. */
static uint32_t selector(struct generator *g, unsigned n)
{
	if (n < NR_LEGACY_COUNTERS && percent(g, plan_has_globals(g->plan) ? 20 : 90))
		return MSR_AMD_PERF_LEGACY_CTL0 + n;
	return MSR_AMD_PERF_CTL0 + 2 * n;
}

static uint32_t counter(struct generator *g, unsigned n)
{
	if (n < NR_LEGACY_COUNTERS && percent(g, plan_has_globals(g->plan) ? 20 : 90))
		return MSR_AMD_PERF_LEGACY_CTL0 + NR_LEGACY_COUNTERS + n;
	return MSR_AMD_PERF_CTL0 + 1 + 2 * n;
}

static unsigned any_counter(struct generator *g)
{
	return below(g, percent(g, 5) ? CORE_COUNTERS + 1 : (unsigned)__builtin_popcountll(g->counters));
}

/* GuestOnly and HostOnly stop a counter on a machine without SVM. */
static uint64_t any_selector(struct generator *g)
{
	uint64_t value = percent(g, 30) ? 0x00c0 : random_pick(&g->random, plan_selected_amd);

	value |= percent(g, 80) ? PERFEVTSEL_EN : PERFEVTSEL_EDGE;
	value |= percent(g, 75) ? PERFEVTSEL_USR : 0;
	value |= percent(g, 75) ? PERFEVTSEL_OS : 0;
	value |= percent(g, 60) ? PERFEVTSEL_INT : 0;
	if (percent(g, 10))
		value |= FIELD_PUT(PERFEVTSEL_CMASK, 1 + below(g, 2));
	if (percent(g, 5))
		value |= some_of(g, PERF_CTL_GUEST_ONLY | PERF_CTL_HOST_ONLY);
	return percent(g, RESERVED) ? value | (BITS(63, 32) & any_bit(g)) | BIT(21) : value;
}

static void program(struct generator *g)
{
	generate_step(g, STEP_WRMSR, selector(g, any_counter(g)), any_selector(g));
}

static void write_counter(struct generator *g)
{
	generate_step(g, STEP_WRMSR, counter(g, any_counter(g)), maybe_reserved(g, near_overflow(g)));
}

static void write_lvtpc(struct generator *g)
{
	static const uint32_t modes[] = { LVT_NMI, LVT_NMI, LVT_NMI, 0, 0x700 };
	uint32_t value = random_pick(&g->random, modes) | (0x10 + below(g, 0xf0)) | (percent(g, 20) ? LVT_MASKED : 0);

	generate_step(g, STEP_WRITE_LVTPC, 0, percent(g, 60) ? LVT_NMI : value);
}

static void read_something(struct generator *g)
{
	static const uint32_t registers[] = {
		MSR_AMD_PERF_GLOBAL_STATUS, MSR_AMD_PERF_GLOBAL_CTL, MSR_AMD_PERF_GLOBAL_STATUS_CLR,
		MSR_IA32_DEBUGCTL,          MSR_X2APIC_LVTPC,        MSR_IA32_APIC_BASE,
		MSR_AMD_LBR_SELECT,         MSR_AMD_DBG_EXTN_CFG,    MSR_IA32_PERF_GLOBAL_CTRL,
	};

	switch (below(g, 4)) {
	case 0: generate_step(g, STEP_RDMSR, counter(g, any_counter(g)), 0); break;
	case 1: generate_step(g, STEP_RDMSR, selector(g, any_counter(g)), 0); break;
	case 2: generate_step(g, STEP_RDPMC, any_counter(g), 0); break;
	default: generate_step(g, STEP_RDMSR, random_pick(&g->random, registers), 0); break;
	}
}

static void write_global(struct generator *g)
{
	switch (below(g, 4)) {
	case 0:
		generate_step(g, STEP_WRMSR, MSR_AMD_PERF_GLOBAL_STATUS_CLR,
			      maybe_reserved(g, some_of(g, g->counters | STATUS)));
		break;
	case 1:
		generate_step(g, STEP_WRMSR, MSR_AMD_PERF_GLOBAL_STATUS_SET,
			      maybe_reserved(g, BIT(below(g, 3)) | (percent(g, 20) ? STATUS & any_bit(g) : 0)));
		break;
	case 2: generate_step(g, STEP_WRMSR, MSR_AMD_PERF_GLOBAL_STATUS, g->counters); break;
	default:
		generate_step(g, STEP_WRMSR, MSR_AMD_PERF_GLOBAL_CTL, maybe_reserved(g, some_of(g, g->counters)));
		break;
	}
}

static void debug(struct generator *g)
{
	uint64_t value = some_of(g, FREEZES | DEBUGCTL_LBR | DEBUGCTL_BTF);

	generate_step(g, STEP_WRMSR, MSR_IA32_DEBUGCTL, maybe_reserved(g, percent(g, 50) ? 0 : value));
}

static void lbr(struct generator *g)
{
	uint32_t entry = MSR_AMD_LBR_0_FROM + below(g, 32);

	switch (below(g, 6)) {
	case 0: generate_step(g, STEP_WRMSR, MSR_AMD_LBR_SELECT, maybe_reserved(g, below(g, 0x200))); break;
	case 1: generate_step(g, STEP_WRMSR, MSR_AMD_LBR_SELECT, 0); break;
	case 2: generate_step(g, STEP_RDMSR, entry, 0); break;
	case 3: generate_step(g, STEP_WRMSR, entry, maybe_reserved(g, 0)); break;
	default:
		generate_step(g, STEP_WRMSR, MSR_AMD_DBG_EXTN_CFG,
			      maybe_reserved(g, percent(g, 85) ? DBG_EXTN_CFG_LBR : 0));
		break;
	}
}

/* Linux' amd_pmu_v2_handle_irq(): LVTPC stays as it is. */
static void handler(struct generator *g)
{
	generate_step(g, STEP_WRMSR, MSR_AMD_PERF_GLOBAL_CTL, 0);
	generate_step(g, STEP_RDMSR, MSR_AMD_PERF_GLOBAL_STATUS, 0);
	write_counter(g);
	if (percent(g, 30))
		generate_step(g, STEP_CPUID, 2, 0);
	generate_step(g, STEP_WRMSR, MSR_AMD_PERF_GLOBAL_STATUS_CLR, g->counters | STATUS);
	generate_step(g, STEP_WRMSR, MSR_AMD_PERF_GLOBAL_CTL, g->counters);
	generate_step(g, STEP_IRET, 0, 0);
}

/* A counter that interrupts soon. */
static void arm(struct generator *g)
{
	unsigned n = below(g, 3);

	generate_step(g, STEP_WRMSR, selector(g, n),
		      0xc0 | PERFEVTSEL_EN | PERFEVTSEL_INT | PERFEVTSEL_OS | (percent(g, 80) ? PERFEVTSEL_USR : 0));
	generate_step(g, STEP_WRMSR, counter(g, n), near_overflow(g));
	write_lvtpc(g);
	generate_step(g, STEP_WRMSR, MSR_AMD_PERF_GLOBAL_STATUS_CLR, g->counters | STATUS);
	generate_step(g, STEP_WRMSR, MSR_AMD_PERF_GLOBAL_CTL, g->counters);
	generate_step(g, percent(g, 50) ? STEP_CPUID : STEP_RETIRE, 2, 1 + below(g, 20));
}

static void rare(struct generator *g)
{
	switch (below(g, 6)) {
	case 0: generate_step(g, STEP_NMI, 0, 0); break;
	case 1: generate_step(g, STEP_POLL, 0, 0); break;
	case 2: generate_step(g, STEP_READ_LVTPC, 0, 0); break;
	case 3: write_lvtpc(g); break;
	case 4:
		if (g->toggles)
			generate_step(g, STEP_HOST, 0, 0);
		break;
	default:
		if (percent(g, 10))
			generate_step(g, STEP_WRMSR, MSR_IA32_APIC_BASE, UINT64_C(0xfee00900) | APIC_BASE_X2APIC);
		break;
	}
}

static void add_some(struct generator *g)
{
	unsigned chance = below(g, 100);

	g->cpl = percent(g, 10) ? 3 - g->cpl : g->cpl;
	if (chance < 25)
		generate_step(g, STEP_RETIRE, 0, 1 + below(g, percent(g, 30) ? 60 : 6));
	else if (chance < 33)
		generate_step(g, STEP_BRANCH, below(g, PMU_MODEL_INT + 1), below(g, 4) != 0);
	else if (chance < 48)
		generate_step(g, STEP_CPUID, percent(g, 90) ? 2 : CPUID_PERFMON_V2, 0);
	else if (chance < 54)
		program(g);
	else if (chance < 60)
		write_counter(g);
	else if (chance < 66)
		write_global(g);
	else if (chance < 76)
		read_something(g);
	else if (chance < 79)
		debug(g);
	else if (chance < 84)
		lbr(g);
	else if (chance < 87)
		rare(g);
	else if (chance < 91)
		handler(g);
	else if (chance < 96)
		arm(g);
	else
		generate_step(g, STEP_IRET, 0, 0);
}

void generate_amd(struct generator *g)
{
	struct plan *plan = g->plan;

	plan->config.host_fixed = 0;
	g->counters = plan_guest_counters(plan);
	for (unsigned i = 0; i < 3; i++) {
		program(g);
		write_counter(g);
	}
	generate_step(g, STEP_WRITE_LVTPC, 0, LVT_NMI);
	while (plan->nr_steps < PLAN_MAX_STEPS)
		add_some(g);
	plan_allow(plan);
}
