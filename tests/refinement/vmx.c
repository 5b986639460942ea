/*
 * VMX around pmuvisor: carries out struct pmu_gate as arch/x86/vmx.c does, and enters and exits as the processor does.
 * SDM Vol. 3C, "VM Entries", "VM Exits", "Virtual NMIs".
 */
#include <inttypes.h>

#include "arch/x86/guest.h"
#include "difference.h"
#include "hardware_private.h"

#define MAX_EXITS 1000

/* arch/x86/vmx.c, apply_lbr(). */
static void apply_lbr(bool records)
{
	const struct lbr *lbr = &hw.cpu.pmu.lbr;

	if (lbr->guests)
		return;
	hw.vmcs.guest_debugctl &= ~DEBUGCTL_LBR;
	if (!lbr->hosts)
		return;
	hw.vmcs.guest_lbr_ctl = records ? lbr->ops->control : 0;
	hw.vmcs.guest_debugctl |= records ? lbr->ops->debugctl : 0;
}

static bool debugctl_changes(const struct pmu_gate *gate)
{
	if (gate->open || hw.applied.open)
		return gate->open != hw.applied.open;
	return gate->freeze != hw.applied.freeze || gate->records || hw.applied.records;
}

/* apply_debugctl() there. */
static void apply_debugctl(const struct pmu_gate *gate)
{
	if (!debugctl_changes(gate))
		return;
	hw.vmcs.guest_debugctl &= ~(DEBUGCTL_TRACE | DEBUGCTL_FREEZE_LBRS_ON_PMI | DEBUGCTL_FREEZE_PERFMON_ON_PMI);
	hw.vmcs.guest_debugctl |= freeze_debugctl(gate->freeze);
	apply_lbr(gate->records);
}

/* apply_gate() there. */
static void apply_gate(void)
{
	struct pmu_gate *gate = &hw.cpu.pmu.gate;

	apply_debugctl(gate);
	hw.vmcs.guest_global_ctrl = gate->guest_ctrl;
	hw.vmcs.host_global_ctrl = gate->host_ctrl;
	gate->dirty = false;
	hw.applied = *gate;
	if (hw.cpu.pmu.lbr.now)
		lbr_root_end(&hw.cpu.pmu);
}

/* track_ctrl() there. */
static void track_ctrl(uint64_t ctrl)
{
	if (!hw.applied.open || ctrl == hw.applied.guest_ctrl)
		return;
	hw.applied.guest_ctrl = hw.cpu.pmu.gate.guest_ctrl = ctrl & hw.cpu.pmu.controls;
	hw.vmcs.guest_global_ctrl = hw.applied.guest_ctrl;
}

/* vmx_exited() there: everything between an exit and the entry after it. */
static void answer(enum exit_reason reason, bool entered)
{
	struct vm_exit exit = { .reason = reason };

	if (hw.cpu.pmu.lbr.root)
		lbr_root_begin(&hw.cpu.pmu);
	if (entered && hw.applied.pebs_active)
		pebs_exited(&hw.cpu.pmu, hw.stored_pebs);
	if (!entered) {
		nmi_take(&hw.cpu.nmi);
		hw.cpu.pmu.stats.root_nmis++;
	}
	answer_exit(&hw.cpu, &exit);
	if (hw.cpu.pmu.gate.dirty)
		apply_gate();
	root_instructions();
}

/* "Saving MSRs", the MSR-store area: what arch/x86/vmx.c puts there. */
static void store_msrs(uint64_t *ctrl)
{
	*ctrl = hw.applied.guest_ctrl;
	if (hw.applied.open)
		processor_rdmsr(&hw.guest, MSR_IA32_PERF_GLOBAL_CTRL, ctrl);
	if (hw.applied.pebs_active)
		processor_rdmsr(&hw.guest, MSR_IA32_PEBS_ENABLE, &hw.stored_pebs);
}

/* "Loading MSRs", and at the entry. */
static void load_pebs(uint64_t enable)
{
	if (hw.applied.pebs_active && !processor_wrmsr(&hw.guest, MSR_IA32_PEBS_ENABLE, enable))
		difference("an MSR list loads %#" PRIx64 " into PEBS_ENABLE", enable);
}

/*
 * "Saving Control Registers, Debug Registers, and MSRs", then the MSR-store area, then host state. The exit that an NMI
 * causes blocks NMIs in root mode; any other leaves blocking as it was, which with virtual NMIs is not blocked.
 */
static void leave(enum exit_reason reason)
{
	uint64_t stored;

	store_msrs(&stored);
	hw.vmcs.save_global_ctrl = hw.saves_ctrl;
	pmu_model_vmexit(hw.guest.model, &hw.vmcs);
	load_pebs(0);
	track_ctrl(hw.saves_ctrl ? hw.vmcs.guest_global_ctrl : stored);
	hw.step_done = false;
	hw.root_nmi_blocked = !hw.applied.nmi_exits && hw.guest.nmi_blocked;
	if (reason == EXIT_NMI) {
		hw.guest.nmi_latched = false;
		hw.root_nmi_blocked = true;
	}
	root_boundary();
}

/*
 * "Checks on VMX Controls": an NMI can't be injected into its own blocking, nor two events at once. "Monitor Trap
 * Flag": with an event injected, the step is over before the first instruction.
 */
static void inject(void)
{
	if (hw.inject_nmi) {
		if (hw.guest.nmi_blocked || hw.inject_fault)
			difference("VM entry fails: an NMI is injected while NMIs are blocked");
		hw.guest.nmi_blocked = true;
		hw.guest.nmis++;
	}
	if (hw.inject_nmi || hw.inject_fault)
		processor_event(&hw.guest);
	hw.step_done = hw.applied.step && (hw.inject_nmi || hw.inject_fault);
	hw.inject_nmi = hw.inject_fault = false;
}

static void check_entry(void)
{
	if (!pmu_model_vmentry_host_ok(hw.guest.model, &hw.vmcs) ||
	    !pmu_model_vmentry_guest_ok(hw.guest.model, &hw.vmcs))
		difference("VM entry fails: a PMU field of the VMCS has reserved bits set");
	if (hw.applied.nmi_window && !hw.applied.nmi_exits)
		difference("VM entry fails: NMI-window exiting without virtual NMIs");
	if (pmu_model_records(hw.guest.model).in_root)
		difference("a PEBS record was written in root mode");
}

static void enter(void)
{
	hw.entering = true; /* VMRESUME: what it causes is found in the guest */
	root_retire();
	check_entry();
	pmu_model_vmentry(hw.guest.model, &hw.vmcs);
	load_pebs(hw.applied.pebs_enable);
	hw.entering = hw.root_nmi_blocked = false;
	inject();
}

static void world_exit(enum exit_reason reason)
{
	if (++hw.exits > MAX_EXITS)
		difference("more than %u exits in one step", MAX_EXITS);
	leave(reason);
	root_instructions();
	answer(reason, true);
	for (unsigned i = 0; hw.cpu.nmi.in_root; i++) {
		if (i > MAX_EXITS)
			difference("NMIs in root mode without end");
		answer(EXIT_NMI, false);
	}
	enter();
}

static void set_trap(void *traps, uint32_t msr, enum msr_trap trap)
{
	if (msr < NR_MSRS)
		((uint8_t *)traps)[msr] |= (uint8_t)trap;
}

static bool world_traps(uint32_t msr, enum msr_trap access)
{
	const uint8_t *bitmap = hw.applied.open ? hw.traps_open : hw.traps_closed;

	if (msr == MSR_IA32_PEBS_ENABLE && hw.applied.open && hw.applied.pebs_active)
		return false;
	return msr >= NR_MSRS || bitmap[msr] & access;
}

static void world_start(const struct plan *plan)
{
	bool arch_lbr = pmu_model_has_arch_lbr(hw.guest.model);

	hw.saves_ctrl = plan->saves_ctrl;
	hw.vmcs = (struct pmu_model_vmcs){
		.load_global_ctrl = true,
		.load_debugctl = true,
		.save_debugctl = true,
		.load_host_global_ctrl = true,
		.load_lbr_ctl = arch_lbr,
		.clear_lbr_ctl = arch_lbr,
	};
	guest_msr_traps(&hw.cpu.pmu, true, set_trap, hw.traps_open);
	guest_msr_traps(&hw.cpu.pmu, false, set_trap, hw.traps_closed);
	apply_gate();
	enter();
}

const struct world world_vmx = {
	.start = world_start,
	.exit = world_exit,
	.traps = world_traps,
};
