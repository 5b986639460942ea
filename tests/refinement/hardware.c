/*
 * The guest's side of the machine under pmuvisor: its instructions exit where MSR traps and controls say, or run as on
 * the bare processor; NMIs are recognized between them.
 */
#include <inttypes.h>

#include "arch/x86/apic.h"
#include "arch/x86/cpuid.h"
#include "arch/x86/msr.h"
#include "difference.h"
#include "hardware_private.h"

struct hardware hw;

void hardware_start(const struct plan *plan)
{
	static const struct step first = { .kind = STEP_POLL };

	hw = (struct hardware){ .step = &first, .skids = plan->skids };
	hw.world = plan_is_amd(plan) ? &world_svm : &world_vmx;
	hw.status_msr = plan_status_msr(plan);
	processor_start(&hw.guest, plan_models[plan->model], plan->x2apic);
	resident_start(plan);
	hw.world->start(plan);
}

void hardware_stop(void)
{
	processor_stop(&hw.guest);
}

bool hardware_blocks_nmis(void)
{
	return hw.guest.nmi_blocked && !hw.virtual_nmis && !hw.injected;
}

/* VMX has blocking of its own for the guest; with SVM what blocks an NMI keeps it from exiting, too. */
static bool waits_for_blocking(void)
{
	return hw.world == &world_svm && (hardware_blocks_nmis() || hw.shadow);
}

static enum truth_mode guest_mode(void)
{
	return hw.applied.open ? TRUTH_OPEN : TRUTH_CLOSED;
}

void hardware_boundary(bool late)
{
	uint64_t taken;

	for (;;) {
		if (hw.step_done)
			hw.world->exit(EXIT_STEP);
		else if (hw.applied.nmi_window && !hw.guest.nmi_blocked)
			hw.world->exit(EXIT_NMI_WINDOW);
		else if (hw.guest.nmi_latched && late)
			return;
		else if (hw.guest.nmi_latched && hw.applied.nmi_exits && !waits_for_blocking())
			hw.world->exit(EXIT_NMI);
		else
			break;
	}
	if (hw.world->boundary)
		hw.world->boundary();
	if (hw.guest.nmi_latched && hw.applied.nmi_exits && !late && !waits_for_blocking())
		hw.world->exit(EXIT_NMI); /* of the NMI that was taken now, AMD's counters make a PMI */
	if (hw.shadow || hw.applied.nmi_exits)
		return;
	taken = hw.guest.nmis;
	processor_boundary(&hw.guest);
	hardware_note_pmi(); /* AMD's counters count it */
	if (taken != hw.guest.nmis)
		truth_interrupted(&hw.truth, &hw.guest, &hw.cpu.pmu, guest_mode());
}

/* While closed, an NMI's is pmuvisor's to judge. */
void hardware_note_pmi(void)
{
	uint64_t dropped = pmu_model_pmis_dropped(hw.guest.model);
	uint64_t signals = pmu_model_pmis_delivered(hw.guest.model) + dropped;

	bool guests = !hw.cpu.pmu.shared || hw.cpu.pmu.window || hw.cpu.pmu.gate.step; /* the entry is */

	if (signals == hw.signals)
		return;
	hw.signals = signals;
	if (guests || !hw.guest.pmi_is_nmi || dropped != hw.dropped)
		hw.own_pmis++;
	hw.dropped = dropped;
}

struct arrivals hardware_arrivals(void)
{
	const struct pmu_stats *stats = &hw.cpu.pmu.stats;
	uint64_t pmis = stats->guest_pmis + stats->guest_pmis_emulated + hw.own_pmis;

	return (struct arrivals){ .pmis = pmis, .nmis = hw.guest.nmis };
}

struct arrivals hardware_arrivals_at_commit(void)
{
	return hw.at_commit;
}

struct arrivals hardware_arrivals_at_retirement(void)
{
	return hw.at_retirement;
}

bool hardware_overtaken(void)
{
	return hw.overtaken;
}

bool hardware_nmi_waits(void)
{
	return hw.guest.nmi_latched || hw.cpu.nmi.in_root || hw.cpu.nmi.pending;
}

bool hardware_nmi_is_late(void)
{
	return hw.world == &world_svm && !hw.virtual_nmis && hw.cpu.nmi.pending && !hw.guest.nmi_blocked;
}

static uint32_t msr_of(const struct step *step)
{
	return step->kind == STEP_READ_LVTPC || step->kind == STEP_WRITE_LVTPC ? MSR_X2APIC_LVTPC : step->index;
}

/* LVTPC: the MSR in x2APIC mode, a word of the APIC's page otherwise. */
static bool lvtpc_exits(enum msr_trap access, enum exit_reason *reason)
{
	if (hw.guest.x2apic)
		return hw.world->traps(MSR_X2APIC_LVTPC, access);
	*reason = EXIT_APIC_ACCESS;
	return hw.applied.apic_trapped;
}

static bool exits(const struct step *step, enum exit_reason *reason)
{
	switch ((unsigned)step->kind) {
	case STEP_CPUID: *reason = EXIT_CPUID; return true;
	case STEP_RDMSR: *reason = EXIT_RDMSR; return hw.world->traps(step->index, TRAP_READ);
	case STEP_WRMSR: *reason = EXIT_WRMSR; return hw.world->traps(step->index, TRAP_WRITE);
	case STEP_RDPMC: *reason = EXIT_RDPMC; return !hw.applied.rdpmc_open;
	case STEP_READ_LVTPC: *reason = EXIT_RDMSR; return lvtpc_exits(TRAP_READ, reason);
	case STEP_WRITE_LVTPC: *reason = EXIT_WRMSR; return lvtpc_exits(TRAP_WRITE, reason);
	case STEP_IRET: *reason = EXIT_NMI_WINDOW; return hw.iret_exits;
	}
	return false;
}

static void load_registers(const struct step *step)
{
	bool cpuid = step->kind == STEP_CPUID;

	hw.cpu.guest = (struct regs){
		.rax = cpuid ? step->index : (uint32_t)step->value,
		.rcx = cpuid ? step->value : msr_of(step),
		.rdx = step->value >> 32,
	};
}

static bool reads(const struct step *step)
{
	return step->kind == STEP_RDMSR || step->kind == STEP_RDPMC || step->kind == STEP_READ_LVTPC;
}

static void take_outcome(const struct step *step, struct outcome *outcome)
{
	const struct regs *guest = &hw.cpu.guest;

	outcome->fault = hw.verdict == INJECT_GP;
	outcome->exited = hw.verdict == ADVANCE;
	if (outcome->fault)
		return;
	if (reads(step))
		outcome->value = guest->rdx << 32 | (uint32_t)guest->rax;
	if (step->kind == STEP_CPUID) {
		outcome->regs[0] = (uint32_t)guest->rax;
		outcome->regs[1] = (uint32_t)guest->rbx;
		outcome->regs[2] = (uint32_t)guest->rcx;
		outcome->regs[3] = (uint32_t)guest->rdx;
	}
}

static void execute_natively(const struct step *step, struct outcome *outcome)
{
	bool branch = step->kind == STEP_BRANCH || step->kind == STEP_IRET;
	bool under_way = processor_pmi_under_way(&hw.guest);
	uint64_t signals = hw.signals;

	hw.at_commit = hw.at_retirement = hardware_arrivals();
	processor_execute(&hw.guest, step, outcome);
	hardware_note_pmi();
	if (under_way)
		hw.at_retirement = hardware_arrivals();
	hw.overtaken = signals != hw.signals && processor_pmi_under_way(&hw.guest);
	hw.step_done = hw.applied.step && step->kind != STEP_NMI;
	if (hw.world->executed && step->kind != STEP_NMI)
		hw.world->executed(step);
	if (!outcome->fault && step->kind != STEP_NMI)
		truth_retired(&hw.truth, &hw.guest, &hw.cpu.pmu, guest_mode(), step->cpl, branch);
	if (outcome->fault)
		truth_interrupted(&hw.truth, &hw.guest, &hw.cpu.pmu, guest_mode());
}

/* An exit that didn't complete the instruction lets it come again, after whatever else was due. */
void hardware_execute(const struct step *step, struct outcome *outcome)
{
	enum exit_reason reason;

	hw.step = step;
	hw.exits = 0;
	hw.overtaken = false;
	hw.at_commit = hw.at_retirement = hardware_arrivals();
	if (hw.skids)
		processor_set_skid(&hw.guest, step->skid);
	if (step->kind == STEP_POLL || step->kind == STEP_HOST) {
		hw.world->exit(EXIT_TIMER);
		return;
	}
	while (exits(step, &reason)) {
		load_registers(step);
		hw.verdict = RESUME;
		hw.world->exit(reason);
		if (hw.verdict != RESUME) {
			take_outcome(step, outcome);
			hw.verdict = RESUME; /* of what else exits */
			return;
		}
		hardware_boundary(false);
	}
	execute_natively(step, outcome);
}

void hardware_poll(void)
{
	static const struct step poll = { .kind = STEP_POLL };

	hw.step = &poll;
	hw.world->exit(EXIT_TIMER);
}

struct processor *hardware_processor(void)
{
	return &hw.guest;
}

/* Of what pmuvisor does at each exit, what its answers depend on. */
static void note_exit(void)
{
	struct pmu *pmu = &hw.cpu.pmu;
	uint64_t enable, ctrl;

	if (hw.applied.open && pmu->ops == &pmu_amd && processor_rdmsr(&hw.guest, MSR_AMD_PERF_GLOBAL_CTL, &ctrl))
		pmu->gate.guest_ctrl = ctrl & pmu->controls;
	pmu->lbr.now |= pmu->lbr.root && !pmu->lbr.guests;
	if (hw.applied.pebs_active && processor_rdmsr(&hw.guest, MSR_IA32_PEBS_ENABLE, &enable))
		pebs_exited(pmu, enable);
}

uint64_t hardware_peek(uint32_t msr)
{
	struct cpu saved = hw.cpu; /* a read may teach pmuvisor something */
	uint64_t value = 0;

	if (!hw.world->traps(msr, TRAP_READ))
		return processor_rdmsr(&hw.guest, msr, &value) ? value : 0;
	hw.quiet = true;
	hw.cpu.guest.rcx = msr;
	note_exit();
	if (guest_rdmsr(&hw.cpu) == ADVANCE)
		value = hw.cpu.guest.rdx << 32 | (uint32_t)hw.cpu.guest.rax;
	hw.cpu = saved;
	hw.quiet = false;
	return value;
}

bool hardware_is_open(void)
{
	return hw.applied.open;
}

/* It may exit all the same, where a counter of the guest's is guarded. */
bool hardware_rdpmc_is_open(void)
{
	return hw.applied.open || hw.cpu.pmu.rdpmc_direct;
}

bool hardware_in_window(void)
{
	return hw.cpu.pmu.window;
}

uint32_t hardware_peek_lvtpc(void)
{
	if (hw.guest.x2apic)
		return (uint32_t)hardware_peek(MSR_X2APIC_LVTPC);
	return hw.applied.apic_trapped ? hw.cpu.pmu.guest_lvtpc : pmu_model_read_lvtpc(hw.guest.model);
}

bool hardware_samples(void)
{
	return hw.cpu.pmu.host_sampling;
}

bool hardware_shares_lbr(void)
{
	const struct pmu *pmu = &hw.cpu.pmu;

	return pmu->lbr.guests && pmu->lbr.hosts && pmu->host_sampling & pmu->host_in_host;
}

uint64_t hardware_hidden(void)
{
	const struct pmu *pmu = &hw.cpu.pmu;

	return pmu->host | (pmu->caps.metrics ? PMU_METRICS & ~pmu->controls : 0);
}

uint64_t hardware_ahead(unsigned counter)
{
	return hw.cpu.pmu.ahead >> counter & 1;
}

bool hardware_blocking_is_unknown(void)
{
	return hw.world == &world_svm;
}

bool hardware_needs_lvtpc(void)
{
	return !hw.applied.open && !hw.cpu.pmu.borrowed && (hw.cpu.pmu.host_sampling || hw.cpu.pmu.guest_freeze);
}

/* One for each PMI; where entries count, for those alone that end a period. */
static void check_samples(const struct pmu *pmu, uint64_t taken)
{
	uint64_t pmis = pmu->stats.host_pmis, periods = 0;

	for (unsigned i = 0; i < pmu->nr_events; i++)
		periods += pmu->events[i].overflows;
	if (pmu->ops->counts_entry ? taken > pmis || taken > periods : taken != pmis)
		difference("%" PRIu64 " samples of %" PRIu64 " host PMIs and %" PRIu64 " periods", taken, pmis,
			   periods);
}

void hardware_check_host(void)
{
	uint64_t status = 0;

	hw.quiet = true;
	processor_rdmsr(&hw.guest, hw.status_msr, &status);
	truth_check(&hw.truth, &hw.cpu.pmu, status);
	check_samples(&hw.cpu.pmu, sample_ring_of(&hw.cpu)->taken);
	hw.quiet = false;
}

void hardware_report(struct result *result)
{
	uint64_t *happened = result->happened;

	happened[HAPPENED_NMIS] = hw.guest.nmis;
	happened[HAPPENED_INTERRUPTS] = hw.guest.interrupts;
	happened[HAPPENED_WINDOWS] = hw.cpu.pmu.stats.windows;
	happened[HAPPENED_HOST_PMIS] = hw.cpu.pmu.stats.host_pmis;
	happened[HAPPENED_SWITCHES] = hw.switches;
	happened[HAPPENED_CAPTURES] = hw.cpu.pmu.lbr.captures;
}
