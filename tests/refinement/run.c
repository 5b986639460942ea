#include "run.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include "arch/x86/msr.h"
#include "difference.h"
#include "exceptions.h"
#include "hardware.h"

/* Longer than any PMI is under way under pmuvisor: bare it arrives when it does there. */
#define HELD 64

struct run {
	const struct plan *plan;
	struct result *result;
	struct processor bare;
	uint64_t guest_counters;
	bool hidden_bits; /* the guest has set some, while it could */
	bool ended;
};

static jmp_buf differs;
static struct result *current;

void difference(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(current->why, sizeof(current->why), format, arguments);
	va_end(arguments);
	longjmp(differs, 1);
}

static void compare(const char *what, unsigned n, uint64_t bare, uint64_t under)
{
	if (bare != under)
		difference("%s %u: bare %#" PRIx64 ", under pmuvisor %#" PRIx64, what, n, bare, under);
}

static uint64_t peek(const struct processor *cpu, uint32_t msr)
{
	uint64_t value = 0;

	return pmu_model_rdmsr(cpu->model, msr, &value) == PMU_MODEL_DONE ? value : 0;
}

static void compare_counters(const struct run *run)
{
	const struct processor *bare = &run->bare, *under = hardware_processor();

	for_each_bit(n, run->guest_counters) {
		uint32_t msr = plan_counter_msr(run->plan, (unsigned)n);

		compare("counter", (unsigned)n, peek(bare, msr), peek(under, msr) - hardware_ahead((unsigned)n));
	}
}

static void compare_registers(const struct run *run)
{
	static const uint32_t intel[] = { MSR_IA32_PERF_GLOBAL_STATUS, MSR_IA32_PERF_GLOBAL_CTRL,
					  MSR_IA32_FIXED_CTR_CTRL,     MSR_IA32_PERF_GLOBAL_INUSE,
					  MSR_IA32_DEBUGCTL,           MSR_PERF_METRICS };
	static const uint32_t amd[ARRAY_SIZE(intel)] = { MSR_AMD_PERF_GLOBAL_STATUS, MSR_AMD_PERF_GLOBAL_CTL,
							 MSR_AMD_DBG_EXTN_CFG,       MSR_AMD_PERF_CTL0,
							 MSR_IA32_DEBUGCTL,          MSR_AMD_LBR_SELECT };
	const uint32_t *registers = plan_is_amd(run->plan) ? amd : intel;

	for (unsigned i = 0; i < ARRAY_SIZE(intel); i++) {
		uint64_t mask = run->hidden_bits && i < 2 ? ~hardware_hidden() : BITS(63, 0);

		compare("register", i, peek(&run->bare, registers[i]), hardware_peek(registers[i]) & mask);
	}
}

static void compare_memory(const struct run *run)
{
	if (memcmp(run->bare.memory, hardware_processor()->memory, PROCESSOR_MEMORY_SIZE))
		difference("PEBS records differ");
}

static void compare_lbr(const struct run *run)
{
	if (plan_has_lbr(run->plan) && !processor_same_lbr(&run->bare, hardware_processor()))
		difference("the LBRs differ");
}

static void compare_events(const struct run *run)
{
	const struct processor *bare = &run->bare, *under = hardware_processor();

	compare("NMIs taken,", 0, bare->nmis, under->nmis);
	compare("interrupts accepted,", 0, bare->interrupts, under->interrupts);
	compare("last vector,", 0, bare->vector, under->vector);
	compare("x2APIC mode,", 0, bare->x2apic, under->x2apic);
	compare("NMI blocking,", 0, bare->nmi_blocked, under->nmi_blocked);
	if (hardware_in_window() && !under->nmi_blocked)
		difference("the host is paused although the guest handles no NMI");
}

static void compare_outcome(const struct outcome *bare, const struct outcome *under, uint64_t mask)
{
	compare("#GP", 0, bare->fault, under->fault);
	compare("value read,", 0, bare->value & mask, under->value & mask);
	for (unsigned i = 0; i < 4; i++)
		compare("CPUID register", i, bare->regs[i], under->regs[i]);
}

static uint64_t pmis(const struct processor *cpu)
{
	return pmu_model_pmis_delivered(cpu->model) + pmu_model_pmis_dropped(cpu->model);
}

/* A PMI before pmuvisor knows of the gap ends the run: the machines may differ from here on. */
static void close_gap(struct run *run, uint64_t signalled)
{
	run->ended = processor_pmi_under_way(hardware_processor());
	hardware_poll();
	run->ended |= pmis(hardware_processor()) != signalled;
	hardware_boundary(false);
}

/* PMIs that arrived after the last instruction, or by then. */
static uint64_t arrived(void)
{
	return hardware_arrivals().pmis - hardware_arrivals_at_retirement().pmis;
}

static bool arrived_before_retirement(void)
{
	return hardware_arrivals_at_retirement().pmis != hardware_arrivals_at_commit().pmis;
}

/* Of two PMIs the first was still under way when the instruction began, and isn't one with the second. */
static bool first_of_two(const struct run *run)
{
	return hardware_overtaken() && !arrived_before_retirement() && arrived() && processor_pmi_under_way(&run->bare);
}

/*
 * A PMI is under way bare until it arrives under pmuvisor: before the instruction, with its NMI taken there too, or
 * while it executes, or before it is counted,
 */
static void step_bare(struct run *run, const struct step *step, struct outcome *outcome, bool timeless,
		      const struct arrivals *before, bool landed)
{
	struct arrivals commit = hardware_arrivals_at_commit();

	if (commit.pmis != before->pmis)
		processor_land(&run->bare);
	if (commit.nmis != before->nmis)
		processor_boundary(&run->bare);
	run->bare.lands = arrived_before_retirement() || landed;
	if (timeless)
		processor_execute_timeless(&run->bare, step, outcome);
	else
		processor_execute(&run->bare, step, outcome);
}

/* 27: without virtual NMIs SVM has nothing that tells when the guest can take one but a step. */
static void take_bare(struct run *run)
{
	if (!hardware_nmi_is_late())
		processor_boundary(&run->bare);
}

/*
 * or after it. If an NMI is taken there, the PMI's comes before it and is one with it, or after it: the architecture
 * leaves that open, and the other machine tells.
 */
static void boundary_bare(struct run *run, bool landed)
{
	const struct processor *under = hardware_processor();
	uint64_t lands = arrived() - landed; /* AMD's counters count an NMI, which may bring the next */
	bool taken = run->bare.nmi_latched && !run->bare.nmi_blocked;

	if (lands && taken && under->nmis + hardware_nmi_waits() == run->bare.nmis + 1)
		processor_land(&run->bare);
	take_bare(run);
	for (; lands; lands--) {
		processor_land(&run->bare);
		take_bare(run);
	}
}

/* Where entries count, pmuvisor takes the handler of an NMI to stay at privilege level 0 until its IRET. */
static unsigned level(const struct run *run, const struct step *step)
{
	bool handler = run->bare.nmi_blocked || hardware_processor()->nmi_blocked;

	return plan_is_amd(run->plan) && handler ? 0 : step->cpl;
}

/* One instruction on both machines. */
static void step_once(struct run *run, const struct step *planned, bool late)
{
	struct outcome bare = { 0 }, under = { 0 };
	struct step at_level = *planned, on_bare, *step = &at_level;
	uint64_t mask = ~exception_bits(step, run->hidden_bits);
	uint64_t signalled = pmis(hardware_processor());
	struct arrivals before = hardware_arrivals();
	bool landed;

	step->cpl = level(run, planned);
	on_bare = *step;
	if (exception_hidden_bits(step)) {
		on_bare.value &= ~hardware_hidden();
		run->hidden_bits = true;
	}
	hardware_execute(step, &under);
	hardware_boundary(late);
	landed = first_of_two(run);
	step_bare(run, &on_bare, &bare, under.exited, &before, landed);
	compare_outcome(&bare, &under, mask);
	boundary_bare(run, landed);
	if (exception_lvtpc_gap(hardware_processor(), step))
		close_gap(run, signalled);
	run->hidden_bits &= hardware_is_open();
}

static bool left_out(const struct run *run, const struct step *step)
{
	return exception_stale_status(&run->bare, step) || exception_taken_back(&run->bare, step) ||
	       exception_record_and_pmi(&run->bare, step) || exception_may_open(step) || exception_hidden_pebs(step) ||
	       exception_rdpmc_hidden(step, run->guest_counters) || exception_blocking_unknown(&run->bare, step);
}

static void note_happenings(struct run *run)
{
	uint64_t *happened = run->result->happened;

	happened[HAPPENED_FREEZES] += (peek(&run->bare, plan_status_msr(run->plan)) & BITS(59, 58)) != 0;
	happened[HAPPENED_METRICS] += peek(&run->bare, MSR_PERF_METRICS) != 0;
}

/* With an NMI waiting for an exit that comes next, only what counted so far can be compared: AMD counts NMIs too. */
static void compare_all(const struct run *run, bool late)
{
	bool waits = late && hardware_processor()->nmi_latched;

	if (!(waits && plan_is_amd(run->plan)))
		compare_counters(run);
	compare_memory(run);
	if (waits)
		return;
	compare_registers(run);
	compare_events(run);
	compare_lbr(run);
	compare("LVTPC", 0, pmu_model_read_lvtpc(run->bare.model), hardware_peek_lvtpc());
}

/* Where PMIs skid, they arrive in root mode as well without that. */
static bool next_is_late(const struct plan *plan, unsigned i)
{
	return !plan->skids && i + 1 < plan->nr_steps && !exception_nmi_merges(&plan->steps[i]) &&
	       plan->steps[i + 1].kind == STEP_CPUID && plan->steps[i + 1].late;
}

static void run_steps(struct run *run)
{
	const struct plan *plan = run->plan;

	for (unsigned i = 0; i < plan->nr_steps && !run->ended; i++) {
		const struct step *step = &plan->steps[i];
		uint64_t times = step->kind == STEP_RETIRE ? step->value : 1;

		run->result->step = i;
		if (left_out(run, step))
			continue;
		for (uint64_t n = 0; n < times; n++)
			step_once(run, step, next_is_late(plan, i) && n + 1 == times);
		if (run->ended)
			break;
		compare_all(run, next_is_late(plan, i));
		run->result->steps++;
		note_happenings(run);
		hardware_check_host();
	}
	run->result->happened[HAPPENED_RECORDS] = pmu_model_records(run->bare.model).written;
	run->result->happened[HAPPENED_BRANCHES] = pmu_model_branches_recorded(run->bare.model, false);
}

void run_plan(const struct plan *plan, struct result *result)
{
	static struct run run;
	struct pmu_model_caps caps;

	*result = (struct result){ 0 };
	current = result;
	run = (struct run){ .plan = plan, .result = result, .guest_counters = plan_guest_counters(plan) };
	plan_bare_caps(plan, &caps);
	processor_start(&run.bare, &caps, plan->x2apic);
	if (plan->skids)
		processor_set_skid(&run.bare, HELD);
	if (setjmp(differs)) {
		result->differs = true;
	} else {
		hardware_start(plan);
		run_steps(&run);
	}
	hardware_report(result);
	processor_stop(&run.bare);
	hardware_stop();
}
