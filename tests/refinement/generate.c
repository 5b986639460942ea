/*
 * Makes plans. Most steps are what software does with a PMU: counters that are about to overflow, enabled and
 * interrupting; handlers that stop, read, acknowledge, re-arm and return. The rest is anything, reserved bits included.
 */
#include <string.h>

#include "arch/x86/apic.h"
#include "generate_private.h"

void generate_step(struct generator *g, enum step_kind kind, uint32_t index, uint64_t value)
{
	struct plan *plan = g->plan;
	bool privileged = kind == STEP_RDMSR || kind == STEP_WRMSR || kind == STEP_IRET;

	if (plan->nr_steps == PLAN_MAX_STEPS)
		return;
	plan->steps[plan->nr_steps++] = (struct step){
		.kind = kind,
		.late = percent(g, 50),
		.skid = percent(g, 50) ? below(g, PLAN_MAX_SKID + 1) : 0,
		.cpl = privileged ? 0 : g->cpl,
		.root = below(g, percent(g, 3) ? 100 : 12),
		.index = index,
		.value = value,
	};
}

/* One that may not exist, now and then: the guest finds out how many it has. */
unsigned generate_gp(struct generator *g)
{
	return below(g,
		     percent(g, 5) ? PMU_MODEL_MAX_GP + 2 : (unsigned)__builtin_popcountll(g->counters & BITS(31, 0)));
}

static unsigned any_fixed(struct generator *g)
{
	return below(g, percent(g, 10) ? PMU_MODEL_MAX_FIXED + 1 : PMU_MODEL_MAX_FIXED);
}

/* From the ninth on a counter has only the addresses of version 6, which the others may have too. */
uint32_t generate_counter(struct generator *g, unsigned n)
{
	if (n >= 8 || (g->plan->model == 2 && percent(g, 20)))
		return MSR_IA32_PMC_GP0_CTR + 4 * n;
	return (percent(g, 70) ? MSR_IA32_A_PMC0 : MSR_IA32_PMC0) + n;
}

uint32_t generate_selector(struct generator *g, unsigned n)
{
	if (n >= 8 || (g->plan->model == 2 && percent(g, 20)))
		return MSR_IA32_PMC_GP0_CFG_A + 4 * n;
	return MSR_IA32_PERFEVTSEL0 + n;
}

uint64_t near_overflow(struct generator *g)
{
	switch (below(g, 8)) {
	case 0: return below(g, 100);
	case 1: return BITS(WIDTH - 1, 0);
	default: return BIT(WIDTH) - 1 - below(g, 25);
	}
}

static uint64_t any_selector(struct generator *g)
{
	uint64_t event = percent(g, 25) ? 0x00c0 : random_pick(&g->random, plan_selected);
	uint64_t selector = event;

	selector |= percent(g, 80) ? PERFEVTSEL_EN : PERFEVTSEL_EDGE;
	selector |= percent(g, 75) ? PERFEVTSEL_USR : 0;
	selector |= percent(g, 75) ? PERFEVTSEL_OS : 0;
	selector |= percent(g, 60) ? PERFEVTSEL_INT : 0;
	if (percent(g, 15))
		selector |= FIELD_PUT(PERFEVTSEL_CMASK, 1 + below(g, 2));
	if (percent(g, 15) && event == 0x00c0)
		selector |= PERFEVTSEL_INV;
	return percent(g, RESERVED) ? selector | (BITS(63, 32) & any_bit(g)) | BIT(21) : selector;
}

static void program_gp(struct generator *g)
{
	generate_step(g, STEP_WRMSR, generate_selector(g, generate_gp(g)), any_selector(g));
}

static void write_gp(struct generator *g)
{
	generate_step(g, STEP_WRMSR, generate_counter(g, generate_gp(g)), maybe_reserved(g, near_overflow(g)));
}

static void write_fixed(struct generator *g)
{
	generate_step(g, STEP_WRMSR, MSR_IA32_FIXED_CTR0 + any_fixed(g), maybe_reserved(g, near_overflow(g)));
}

static void write_fixed_ctrl(struct generator *g)
{
	uint64_t value = 0;

	for_each_bit(m, g->counters >> 32)
		value |= some_of(g, FIXED_CTR_OS | FIXED_CTR_USR | FIXED_CTR_PMI) << 4 * m;
	generate_step(g, STEP_WRMSR, MSR_IA32_FIXED_CTR_CTRL, maybe_reserved(g, value));
}

static void write_global_ctrl(struct generator *g)
{
	generate_step(g, STEP_WRMSR, MSR_IA32_PERF_GLOBAL_CTRL, maybe_reserved(g, some_of(g, g->counters)));
}

static void write_status_reset(struct generator *g)
{
	generate_step(g, STEP_WRMSR, MSR_IA32_PERF_GLOBAL_STATUS_RESET,
		      maybe_reserved(g, some_of(g, g->counters | STATUS_FLAGS | BIT(63))));
}

static void write_status_set(struct generator *g)
{
	uint64_t bits = BIT(below(g, 2)) | (percent(g, 20) ? BIT(32) : 0) |
			(percent(g, 20) ? STATUS_FLAGS & any_bit(g) : 0);

	generate_step(g, STEP_WRMSR, MSR_IA32_PERF_GLOBAL_STATUS_SET, maybe_reserved(g, bits));
}

static void write_debugctl(struct generator *g)
{
	uint64_t value = some_of(g, DEBUGCTL_FREEZE_PERFMON_ON_PMI | DEBUGCTL_FREEZE_LBRS_ON_PMI | DEBUGCTL_BTF);

	if (percent(g, 60))
		value = 0;
	generate_step(g, STEP_WRMSR, MSR_IA32_DEBUGCTL, maybe_reserved(g, value));
}

static void write_lvtpc(struct generator *g)
{
	static const uint32_t modes[] = { LVT_NMI, LVT_NMI, LVT_NMI, LVT_NMI, LVT_NMI, 0, 0, 0x100, 0x500, 0x700 };
	uint32_t value = random_pick(&g->random, modes) | (0x10 + below(g, 0xf0)) | (percent(g, 20) ? LVT_MASKED : 0);

	generate_step(g, STEP_WRITE_LVTPC, 0,
		      percent(g, 45)         ? LVT_NMI
		      : percent(g, RESERVED) ? value | LVT_PENDING
					     : value);
}

static void read_something(struct generator *g)
{
	static const uint32_t registers[] = {
		MSR_IA32_PERF_GLOBAL_STATUS,
		MSR_IA32_PERF_GLOBAL_STATUS,
		MSR_IA32_PERF_GLOBAL_CTRL,
		MSR_IA32_PERF_GLOBAL_INUSE,
		MSR_IA32_FIXED_CTR_CTRL,
		MSR_IA32_DEBUGCTL,
		MSR_IA32_MISC_ENABLE,
		MSR_IA32_PERF_CAPABILITIES,
		MSR_IA32_PERF_GLOBAL_STATUS_RESET,
		MSR_X2APIC_LVTPC,
		MSR_PERF_METRICS,
		MSR_IA32_PEBS_ENABLE,
		MSR_IA32_DS_AREA,
		MSR_IA32_APIC_BASE,
	};
	switch (below(g, 4)) {
	case 0: generate_step(g, STEP_RDMSR, generate_counter(g, generate_gp(g)), 0); break;
	case 2:
		if (percent(g, 30)) {
			generate_step(g, STEP_RDMSR, generate_selector(g, generate_gp(g)), 0);
			break;
		}
		/* fall through */
	case 1: generate_step(g, STEP_RDMSR, MSR_IA32_FIXED_CTR0 + any_fixed(g), 0); break;
	default: generate_step(g, STEP_RDMSR, random_pick(&g->random, registers), 0); break;
	}
}

/* Writes that fault, whatever the value. */
static void write_something(struct generator *g)
{
	static const uint32_t registers[] = {
		MSR_IA32_PERF_GLOBAL_STATUS, MSR_IA32_PERF_GLOBAL_INUSE, MSR_IA32_PERF_CAPABILITIES, MSR_PERF_METRICS,
		MSR_IA32_PEBS_ENABLE,
	};

	generate_step(g, STEP_WRMSR, random_pick(&g->random, registers), below(g, 2));
}

static void rdpmc(struct generator *g)
{
	static const uint32_t types[] = { 0, 0, 0, 0x40000000, 0x40000000, 0x20000000, 0x80000000 };
	uint32_t type = random_pick(&g->random, types);

	generate_step(g, STEP_RDPMC, type | (type == 0x40000000 ? any_fixed(g) : generate_gp(g)), 0);
}

/* What a PMI handler does, the Linux way. */
static void handler(struct generator *g)
{
	generate_step(g, STEP_WRMSR, MSR_IA32_PERF_GLOBAL_CTRL, 0);
	generate_step(g, STEP_RDMSR, MSR_IA32_PERF_GLOBAL_STATUS, 0);
	generate_step(g, STEP_WRMSR, MSR_IA32_PERF_GLOBAL_STATUS_RESET, g->counters | STATUS_FLAGS);
	write_gp(g);
	if (percent(g, 50))
		rdpmc(g);
	if (percent(g, 30))
		generate_step(g, STEP_CPUID, 0, 0);
	generate_step(g, STEP_WRMSR, MSR_IA32_PERF_GLOBAL_CTRL, g->counters);
	generate_step(g, STEP_WRITE_LVTPC, 0, LVT_NMI);
	generate_step(g, STEP_IRET, 0, 0);
}

/* One more sample: a counter that interrupts, soon, the way the guest wants it. */
static void arm(struct generator *g)
{
	uint32_t n = below(g, 3);
	uint64_t filter = percent(g, 80) ? PERFEVTSEL_USR | PERFEVTSEL_OS : PERFEVTSEL_OS;

	generate_step(g, STEP_WRMSR, MSR_IA32_PERFEVTSEL0 + n, 0xc0 | PERFEVTSEL_EN | PERFEVTSEL_INT | filter);
	generate_step(g, STEP_WRMSR, MSR_IA32_A_PMC0 + n, near_overflow(g));
	write_lvtpc(g);
	if (percent(g, 60))
		generate_step(g, STEP_WRMSR, MSR_IA32_PERF_GLOBAL_STATUS_RESET, g->counters | STATUS_FLAGS);
	generate_step(g, STEP_WRMSR, MSR_IA32_PERF_GLOBAL_CTRL, g->counters);
	generate_step(g, percent(g, 50) ? STEP_CPUID : STEP_RETIRE, 0, 1 + below(g, 20));
}

static void control(struct generator *g)
{
	switch (below(g, 10)) {
	case 0: write_status_set(g); break;
	case 1: write_debugctl(g); break;
	case 2: write_something(g); break;
	case 3:
		if (g->toggles)
			generate_step(g, STEP_HOST, 0, 0);
		break;
	case 4: generate_step(g, STEP_NMI, 0, 0); break;
	case 5: generate_step(g, STEP_POLL, 0, 0); break;
	case 6: generate_step(g, STEP_READ_LVTPC, 0, 0); break;
	case 7: write_fixed_ctrl(g); break;
	case 8: write_fixed(g); break;
	default:
		if (percent(g, 20))
			generate_step(g, STEP_WRMSR, MSR_IA32_APIC_BASE, UINT64_C(0xfee00900) | APIC_BASE_X2APIC);
		break;
	}
}

static void access_pmu(struct generator *g)
{
	switch (below(g, 10)) {
	case 0: program_gp(g); break;
	case 1: write_global_ctrl(g); break;
	case 2: write_status_reset(g); break;
	case 3:
	case 4: write_gp(g); break;
	case 5: write_lvtpc(g); break;
	case 6: rdpmc(g); break;
	default: read_something(g); break;
	}
}

static void cpuid(struct generator *g)
{
	static const uint32_t leaves[] = { 0x1, 0x7, 0xa, 0x1c, 0x23 };

	if (percent(g, 90))
		generate_step(g, STEP_CPUID, 2, 0);
	else
		generate_step(g, STEP_CPUID, random_pick(&g->random, leaves), below(g, 4));
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
		cpuid(g);
	else if (chance < 72)
		access_pmu(g);
	else if (chance < 79)
		control(g);
	else if (chance < 82)
		handler(g);
	else if (chance < 86)
		arm(g);
	else if (chance < 90)
		generate_lbr(g);
	else if (chance < 93)
		generate_pebs(g);
	else if (chance < 95)
		generate_metrics(g);
	else
		generate_step(g, STEP_IRET, 0, 0);
}

/* A guest that profiles: without this most runs would never see a PMI. */
static void prologue(struct generator *g)
{
	for (unsigned i = 0; i < 3; i++) {
		program_gp(g);
		write_gp(g);
	}
	write_fixed_ctrl(g);
	write_fixed(g);
	generate_step(g, STEP_WRITE_LVTPC, 0, LVT_NMI);
	write_global_ctrl(g);
}

static void host_event(struct generator *g, struct config_event *event)
{
	*event = random_pick(&g->random, plan_events);
	event->user = percent(g, 80);
	event->kernel = percent(g, 80) || !event->user;
	event->guest = percent(g, 80);
	event->host = percent(g, 50) || !event->guest;
	if (percent(g, 25))
		return;
	event->period = event->host && event->kernel ? 1000 + below(g, 600) : 5 + below(g, 150);
}

static void configure(struct generator *g)
{
	static const uint32_t fixed[] = { 0, 0, 0, 0x8, 0xc };
	static const enum config_lbr owners[] = { CONFIG_LBR_GUEST, CONFIG_LBR_GUEST, CONFIG_LBR_HOST,
						  CONFIG_LBR_BOTH };
	struct hv_config *config = &g->plan->config;

	config->host_counters = 1 + below(g, 3);
	config->host_fixed = random_pick(&g->random, fixed);
	config->nr_events = percent(g, 15) ? 0 : 1 + below(g, config->host_counters);
	config->lbr = random_pick(&g->random, owners);
	config->pebs = percent(g, 25) ? CONFIG_PEBS_OFF : CONFIG_PEBS_AUTO;
	config->rdpmc = percent(g, 25) ? CONFIG_RDPMC_DIRECT : CONFIG_RDPMC_TRAP;
	for (unsigned i = 0; i < config->nr_events; i++)
		host_event(g, &config->events[i]);
}

void plan_generate(struct plan *plan, uint64_t seed)
{
	struct generator g = { .plan = plan, .random = { seed } };

	memset(plan, 0, sizeof(*plan));
	plan->seed = seed;
	configure(&g);
	plan->model = percent(&g, 25) ? NR_PLAN_MODELS_INTEL + below(&g, 2) : below(&g, NR_PLAN_MODELS_INTEL);
	g.arch_lbr = plan_models[plan->model]->arch_lbr[0];
	plan->x2apic = percent(&g, 40);
	plan->saves_ctrl = percent(&g, 50);
	plan->skids = percent(&g, 40);
	g.toggles = percent(&g, 40);
	if (plan_is_amd(plan)) {
		generate_amd(&g);
		return;
	}
	g.counters = plan_guest_counters(plan);
	prologue(&g);
	generate_memory(&g);
	while (plan->nr_steps < PLAN_MAX_STEPS)
		add_some(&g);
	plan_allow(plan);
}
