/*
 * Makes plans. Most steps are what software does with a PMU: counters that are about to overflow, enabled and
 * interrupting; handlers that stop, read, acknowledge, re-arm and return. The rest is anything, reserved bits included.
 */
#include <string.h>

#include "arch/x86/apic.h"
#include "arch/x86/msr.h"
#include "plan.h"
#include "random.h"
#include "tests/machine/pmu_model.h"

#define WIDTH        48
#define STATUS_FLAGS (BITS(59, 58) | BITS(62, 61))
#define RESERVED     3 /* percent of writes with a bit that may be reserved */

struct generator {
	struct plan *plan;
	struct random random;
	uint64_t counters; /* the guest's */
	unsigned cpl;
	bool toggles; /* the host's events stop and start */
};

static unsigned below(struct generator *g, unsigned n)
{
	return random_below(&g->random, n);
}

static bool percent(struct generator *g, unsigned n)
{
	return random_percent(&g->random, n);
}

static uint64_t any_bit(struct generator *g)
{
	return BIT(below(g, 64));
}

static uint64_t some_of(struct generator *g, uint64_t mask)
{
	switch (below(g, 4)) {
	case 0: return mask & random_next(&g->random);
	case 1: return mask & (random_next(&g->random) | random_next(&g->random));
	default: return mask;
	}
}

static uint64_t maybe_reserved(struct generator *g, uint64_t value)
{
	return percent(g, RESERVED) ? value ^ any_bit(g) : value;
}

static void add(struct generator *g, enum step_kind kind, uint32_t index, uint64_t value)
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
static unsigned any_gp(struct generator *g)
{
	return below(g, percent(g, 5) ? PROCESSOR_GP + 2 : (unsigned)__builtin_popcountll(g->counters & BITS(31, 0)));
}

static unsigned any_fixed(struct generator *g)
{
	return below(g, percent(g, 10) ? PROCESSOR_FIXED + 1 : PROCESSOR_FIXED);
}

static uint64_t near_overflow(struct generator *g)
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
	add(g, STEP_WRMSR, MSR_IA32_PERFEVTSEL0 + any_gp(g), any_selector(g));
}

static void write_gp(struct generator *g)
{
	uint32_t first = percent(g, 70) ? MSR_IA32_A_PMC0 : MSR_IA32_PMC0;

	add(g, STEP_WRMSR, first + any_gp(g), maybe_reserved(g, near_overflow(g)));
}

static void write_fixed(struct generator *g)
{
	add(g, STEP_WRMSR, MSR_IA32_FIXED_CTR0 + any_fixed(g), maybe_reserved(g, near_overflow(g)));
}

static void write_fixed_ctrl(struct generator *g)
{
	uint64_t value = 0;

	for_each_bit(m, g->counters >> 32)
		value |= some_of(g, FIXED_CTR_OS | FIXED_CTR_USR | FIXED_CTR_PMI) << 4 * m;
	add(g, STEP_WRMSR, MSR_IA32_FIXED_CTR_CTRL, maybe_reserved(g, value));
}

static void write_global_ctrl(struct generator *g)
{
	add(g, STEP_WRMSR, MSR_IA32_PERF_GLOBAL_CTRL, maybe_reserved(g, some_of(g, g->counters)));
}

static void write_status_reset(struct generator *g)
{
	add(g, STEP_WRMSR, MSR_IA32_PERF_GLOBAL_STATUS_RESET,
	    maybe_reserved(g, some_of(g, g->counters | STATUS_FLAGS | BIT(63))));
}

static void write_status_set(struct generator *g)
{
	uint64_t bits = BIT(below(g, 2)) | (percent(g, 20) ? BIT(32) : 0) |
			(percent(g, 20) ? STATUS_FLAGS & any_bit(g) : 0);

	add(g, STEP_WRMSR, MSR_IA32_PERF_GLOBAL_STATUS_SET, maybe_reserved(g, bits));
}

static void write_debugctl(struct generator *g)
{
	const uint64_t hidden = BIT(0) | BIT(6);
	uint64_t value = some_of(g, DEBUGCTL_FREEZE_PERFMON_ON_PMI | DEBUGCTL_FREEZE_LBRS_ON_PMI | DEBUGCTL_BTF);

	if (percent(g, 60))
		value = 0;
	add(g, STEP_WRMSR, MSR_IA32_DEBUGCTL, maybe_reserved(g, value) & ~hidden);
}

static void write_lvtpc(struct generator *g)
{
	static const uint32_t modes[] = { LVT_NMI, LVT_NMI, LVT_NMI, LVT_NMI, LVT_NMI, 0, 0, 0x100, 0x500, 0x700 };
	uint32_t value = random_pick(&g->random, modes) | (0x10 + below(g, 0xf0)) | (percent(g, 20) ? LVT_MASKED : 0);

	add(g, STEP_WRITE_LVTPC, 0, percent(g, 45) ? LVT_NMI : percent(g, RESERVED) ? value | LVT_PENDING : value);
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
	static const uint32_t counters[] = { MSR_IA32_PMC0, MSR_IA32_PERFEVTSEL0, MSR_IA32_A_PMC0 };

	switch (below(g, 4)) {
	case 0: add(g, STEP_RDMSR, random_pick(&g->random, counters) + any_gp(g), 0); break;
	case 1: add(g, STEP_RDMSR, MSR_IA32_FIXED_CTR0 + any_fixed(g), 0); break;
	default: add(g, STEP_RDMSR, random_pick(&g->random, registers), 0); break;
	}
}

/* Writes that fault, whatever the value. */
static void write_something(struct generator *g)
{
	static const uint32_t registers[] = {
		MSR_IA32_PERF_GLOBAL_STATUS, MSR_IA32_PERF_GLOBAL_INUSE, MSR_IA32_PERF_CAPABILITIES, MSR_PERF_METRICS,
		MSR_IA32_PEBS_ENABLE,
	};

	add(g, STEP_WRMSR, random_pick(&g->random, registers), below(g, 2));
}

static void rdpmc(struct generator *g)
{
	static const uint32_t types[] = { 0, 0, 0, 0x40000000, 0x40000000, 0x20000000, 0x80000000 };
	uint32_t type = random_pick(&g->random, types);

	add(g, STEP_RDPMC, type | (type == 0x40000000 ? any_fixed(g) : any_gp(g)), 0);
}

/* What a PMI handler does, the Linux way. */
static void handler(struct generator *g)
{
	add(g, STEP_WRMSR, MSR_IA32_PERF_GLOBAL_CTRL, 0);
	add(g, STEP_RDMSR, MSR_IA32_PERF_GLOBAL_STATUS, 0);
	add(g, STEP_WRMSR, MSR_IA32_PERF_GLOBAL_STATUS_RESET, g->counters | STATUS_FLAGS);
	write_gp(g);
	if (percent(g, 50))
		rdpmc(g);
	if (percent(g, 30))
		add(g, STEP_CPUID, 0, 0);
	add(g, STEP_WRMSR, MSR_IA32_PERF_GLOBAL_CTRL, g->counters);
	add(g, STEP_WRITE_LVTPC, 0, LVT_NMI);
	add(g, STEP_IRET, 0, 0);
}

/* One more sample: a counter that interrupts, soon, the way the guest wants it. */
static void arm(struct generator *g)
{
	uint32_t n = below(g, 3);
	uint64_t filter = percent(g, 80) ? PERFEVTSEL_USR | PERFEVTSEL_OS : PERFEVTSEL_OS;

	add(g, STEP_WRMSR, MSR_IA32_PERFEVTSEL0 + n, 0xc0 | PERFEVTSEL_EN | PERFEVTSEL_INT | filter);
	add(g, STEP_WRMSR, MSR_IA32_A_PMC0 + n, near_overflow(g));
	write_lvtpc(g);
	if (percent(g, 60))
		add(g, STEP_WRMSR, MSR_IA32_PERF_GLOBAL_STATUS_RESET, g->counters | STATUS_FLAGS);
	add(g, STEP_WRMSR, MSR_IA32_PERF_GLOBAL_CTRL, g->counters);
	add(g, percent(g, 50) ? STEP_CPUID : STEP_RETIRE, 0, 1 + below(g, 20));
}

static void control(struct generator *g)
{
	switch (below(g, 10)) {
	case 0: write_status_set(g); break;
	case 1: write_debugctl(g); break;
	case 2: write_something(g); break;
	case 3:
		if (g->toggles)
			add(g, STEP_HOST, 0, 0);
		break;
	case 4: add(g, STEP_NMI, 0, 0); break;
	case 5: add(g, STEP_POLL, 0, 0); break;
	case 6: add(g, STEP_READ_LVTPC, 0, 0); break;
	case 7: write_fixed_ctrl(g); break;
	case 8: write_fixed(g); break;
	default:
		if (percent(g, 20))
			add(g, STEP_WRMSR, MSR_IA32_APIC_BASE, UINT64_C(0xfee00900) | APIC_BASE_X2APIC);
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

static void add_some(struct generator *g)
{
	unsigned chance = below(g, 100);

	g->cpl = percent(g, 10) ? 3 - g->cpl : g->cpl;
	if (chance < 25)
		add(g, STEP_RETIRE, 0, 1 + below(g, percent(g, 30) ? 60 : 6));
	else if (chance < 33)
		add(g, STEP_BRANCH, below(g, PMU_MODEL_FAR), below(g, 2));
	else if (chance < 48)
		add(g, STEP_CPUID, percent(g, 10) ? 0xa : 0, 0);
	else if (chance < 76)
		access_pmu(g);
	else if (chance < 84)
		control(g);
	else if (chance < 88)
		handler(g);
	else if (chance < 92)
		arm(g);
	else
		add(g, STEP_IRET, 0, 0);
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
	add(g, STEP_WRITE_LVTPC, 0, LVT_NMI);
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
	event->period = event->host && event->kernel ? 600 + below(g, 600) : 5 + below(g, 150);
}

static void configure(struct generator *g)
{
	static const uint32_t fixed[] = { 0, 0, 0, 0x8, 0xc };
	struct hv_config *config = &g->plan->config;

	config->host_counters = 1 + below(g, 3);
	config->host_fixed = random_pick(&g->random, fixed);
	config->nr_events = percent(g, 15) ? 0 : 1 + below(g, config->host_counters);
	config->rdpmc = percent(g, 25) ? CONFIG_RDPMC_DIRECT : CONFIG_RDPMC_TRAP;
	for (unsigned i = 0; i < config->nr_events; i++)
		host_event(g, &config->events[i]);
}

uint64_t plan_guest_counters(const struct plan *plan)
{
	uint64_t fixed = BITS(PROCESSOR_FIXED - 1, 0) & ~(uint64_t)plan->config.host_fixed;

	return (BIT(PROCESSOR_GP - plan->config.host_counters) - 1) | fixed << 32;
}

void plan_generate(struct plan *plan, uint64_t seed)
{
	struct generator g = { .plan = plan, .random = { seed } };

	memset(plan, 0, sizeof(*plan));
	plan->seed = seed;
	configure(&g);
	plan->x2apic = percent(&g, 40);
	plan->saves_ctrl = percent(&g, 50);
	plan->skids = percent(&g, 40);
	g.toggles = percent(&g, 40);
	g.counters = plan_guest_counters(plan);
	prologue(&g);
	while (plan->nr_steps < PLAN_MAX_STEPS)
		add_some(&g);
	plan_allow(plan);
}
