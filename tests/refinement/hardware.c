/*
 * Plays VMX around pmuvisor: carries out struct pmu_gate as arch/x86/vmx.c does, exits where the guest's MSR traps and
 * controls say, and lets NMIs arrive in root mode too. SDM Vol. 3C, "VM Entries", "VM Exits", "Virtual NMIs".
 */
#include "hardware.h"

#include <asm/prctl.h>
#include <assert.h>
#include <inttypes.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "arch/x86/apic.h"
#include "arch/x86/cpuid.h"
#include "arch/x86/guest.h"
#include "arch/x86/msr.h"
#include "arch/x86/reg.h"
#include "difference.h"
#include "hv/dump.h"
#include "hv/hypercall.h"
#include "hv/stop.h"
#include "truth.h"

#define NR_MSRS 0x2000
#define ROOT_TICKS                                                                                                     \
	32 /* a whole period of the slowest clock an event counts, so that root mode leaves its phase alone */
#define MAX_EXITS 1000
#define APIC_PAGE UINT64_C(0xfee00000)

struct hardware {
	struct processor guest; /* and while in root mode, the processor all the same */
	struct cpu cpu;         /* pmuvisor's */
	struct boot_info boot;
	uint64_t apic_pte;
	uint8_t traps_open[NR_MSRS], traps_closed[NR_MSRS];
	/* The VMCS, and what arch/x86/vmx.c remembers of it. */
	struct pmu_model_vmcs vmcs;
	struct pmu_gate applied;
	bool saves_ctrl, inject_nmi, inject_fault, step_done;
	/* Root mode. */
	bool root, entering, quiet, root_nmi_blocked;
	bool host_enabled;
	const struct step *step;
	enum verdict verdict;
	unsigned exits; /* since the last step began */
	struct truth truth;
};
static struct hardware hw;

/* An NMI in root mode does what trap.c does with it: leaves a note. */
static void root_boundary(void)
{
	if (!hw.guest.nmi_latched || hw.root_nmi_blocked || hw.entering)
		return;
	hw.guest.nmi_latched = false;
	hw.cpu.nmi.in_root = true;
}

static void root_retire(void)
{
	if (hw.quiet)
		return;
	truth_retired(&hw.truth, &hw.guest, &hw.cpu.pmu, TRUTH_ROOT, 0, false);
	processor_retire(&hw.guest, 0, ROOT_TICKS);
	root_boundary();
}

static void root_branch(void)
{
	pmu_model_branch(hw.guest.model, PMU_MODEL_JMP, true, 0x3000, 0x4000);
	truth_retired(&hw.truth, &hw.guest, &hw.cpu.pmu, TRUTH_ROOT, 0, true);
	processor_retire(&hw.guest, 0, ROOT_TICKS);
	root_boundary();
}

static void root_instructions(void)
{
	for (unsigned i = 0; i < hw.step->root; i++) {
		if (i % 4 == 3)
			root_branch();
		else
			root_retire();
	}
}

bool reg_rdmsr_safe(uint32_t msr, uint64_t *value)
{
	bool done = processor_rdmsr(&hw.guest, msr, value);

	if (done)
		root_retire();
	return done;
}

bool reg_wrmsr_safe(uint32_t msr, uint64_t value)
{
	bool done = processor_wrmsr(&hw.guest, msr, value);

	if (done)
		root_retire();
	return done;
}

uint64_t reg_rdmsr(uint32_t msr)
{
	uint64_t value;

	if (!reg_rdmsr_safe(msr, &value))
		difference("pmuvisor's RDMSR %#" PRIx32 " takes #GP", msr);
	return value;
}

void reg_wrmsr(uint32_t msr, uint64_t value)
{
	if (!reg_wrmsr_safe(msr, value))
		difference("pmuvisor's WRMSR %#" PRIx32 " of %#" PRIx64 " takes #GP", msr, value);
}

bool reg_xsetbv_safe(uint32_t xcr, uint64_t value)
{
	difference("XSETBV %" PRIu32 " of %#" PRIx64 ": no guest of this test asks for it", xcr, value);
}

uint64_t reg_rdpmc(uint32_t counter)
{
	uint64_t value;

	if (pmu_model_rdpmc(hw.guest.model, counter, &value) != PMU_MODEL_DONE)
		difference("pmuvisor's RDPMC %#" PRIx32 " takes #GP", counter);
	root_retire();
	return value;
}

uint64_t reg_rdtsc(void)
{
	root_retire();
	return hw.guest.clock;
}

void reg_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t regs[4])
{
	regs[0] = regs[1] = regs[2] = regs[3] = 0;
	pmu_model_cpuid(hw.guest.model, leaf, subleaf, regs);
	root_retire();
}

void reg_invlpg(uint64_t address)
{
	(void)address;
	root_retire();
}

uint32_t reg_read_xapic(unsigned offset)
{
	uint32_t value = pmu_model_read_lvtpc(hw.guest.model);

	if (hw.guest.x2apic || offset != APIC_LVTPC)
		difference("pmuvisor reads APIC register %#x where there is none", offset);
	root_retire();
	return value;
}

void reg_write_xapic(unsigned offset, uint32_t value)
{
	if (hw.guest.x2apic)
		difference("pmuvisor writes APIC register %#x in x2APIC mode", offset);
	if (offset == APIC_LVTPC)
		pmu_model_write_lvtpc(hw.guest.model, value);
	else if (offset == APIC_ICR && (value & ~LVT_VECTOR) == ICR_SELF)
		processor_interrupt(&hw.guest, value & LVT_VECTOR);
	else
		difference("pmuvisor writes %#" PRIx32 " to APIC register %#x", value, offset);
	root_retire();
}

/* arch/x86/vmx.c, apply_freeze(). */
static void apply_freeze(uint64_t freeze)
{
	uint64_t bits = 0;

	if (freeze == hw.applied.freeze)
		return;
	bits |= freeze & PMU_STATUS_LBR_FROZEN ? DEBUGCTL_FREEZE_LBRS_ON_PMI : 0;
	bits |= freeze & PMU_STATUS_CTR_FROZEN ? DEBUGCTL_FREEZE_PERFMON_ON_PMI : 0;
	hw.vmcs.guest_debugctl &= ~(DEBUGCTL_FREEZE_LBRS_ON_PMI | DEBUGCTL_FREEZE_PERFMON_ON_PMI);
	hw.vmcs.guest_debugctl |= bits;
}

/* apply_gate() there. */
static void apply_gate(void)
{
	struct pmu_gate *gate = &hw.cpu.pmu.gate;

	apply_freeze(gate->freeze);
	hw.vmcs.guest_global_ctrl = gate->guest_ctrl;
	hw.vmcs.host_global_ctrl = gate->host_ctrl;
	gate->dirty = false;
	hw.applied = *gate;
}

/* track_ctrl() there. */
static void track_ctrl(uint64_t ctrl)
{
	if (!hw.applied.open || ctrl == hw.applied.guest_ctrl)
		return;
	hw.applied.guest_ctrl = hw.cpu.pmu.gate.guest_ctrl = ctrl & hw.cpu.pmu.guest;
	hw.vmcs.guest_global_ctrl = hw.applied.guest_ctrl;
}

/* vmx_exited() there: everything between an exit and the entry after it. */
static void answer(enum exit_reason reason, bool entered)
{
	struct vm_exit exit = { .reason = reason };

	if (!entered) {
		hw.cpu.nmi.in_root = false;
		hw.cpu.pmu.stats.root_nmis++;
	}
	answer_exit(&hw.cpu, &exit);
	if (hw.cpu.pmu.gate.dirty)
		apply_gate();
	root_instructions();
}

/*
 * "Saving Control Registers, Debug Registers, and MSRs", then the MSR-store area, then host state. The exit that an NMI
 * causes blocks NMIs in root mode; any other leaves blocking as it was, which with virtual NMIs is not blocked.
 */
static void leave(enum exit_reason reason)
{
	uint64_t stored = hw.applied.guest_ctrl;

	if (hw.applied.open)
		processor_rdmsr(&hw.guest, MSR_IA32_PERF_GLOBAL_CTRL, &stored);
	hw.vmcs.save_global_ctrl = hw.saves_ctrl;
	pmu_model_vmexit(hw.guest.model, &hw.vmcs);
	track_ctrl(hw.saves_ctrl ? hw.vmcs.guest_global_ctrl : stored);
	hw.root = true;
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
}

static void enter(void)
{
	hw.entering = true; /* VMRESUME: what it causes is found in the guest */
	root_retire();
	check_entry();
	pmu_model_vmentry(hw.guest.model, &hw.vmcs);
	hw.entering = hw.root = hw.root_nmi_blocked = false;
	inject();
}

static void vm_exit(enum exit_reason reason)
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

/* The exits that answer_exit() hands on to code that is not under test here. */
void dump_tick(struct cpu *cpu)
{
	if (hw.step->kind != STEP_HOST) {
		pmu_poll(cpu);
		return;
	}
	hw.host_enabled = !hw.host_enabled;
	hw.truth.restarted = true;
	pmu_host_enable(cpu, hw.host_enabled);
}

enum verdict hypercall(struct cpu *cpu)
{
	(void)cpu;
	return STOP;
}

enum verdict guest_xsetbv(struct cpu *cpu)
{
	(void)cpu;
	return STOP;
}

enum verdict guest_invd(struct cpu *cpu)
{
	(void)cpu;
	return STOP;
}

void stop_on_exit(struct cpu *cpu, const struct vm_exit *exit)
{
	(void)cpu;
	difference("pmuvisor stops at an exit for reason %d", (int)exit->reason);
}

void stop_on_shutdown(struct cpu *cpu)
{
	(void)cpu;
	difference("pmuvisor thinks the guest shut down");
}

static void finish(struct cpu *cpu, const struct vm_exit *exit, enum verdict verdict)
{
	(void)cpu, (void)exit;
	if (verdict == INJECT_NMI)
		hw.inject_nmi = true;
	else if (verdict != RESUME) /* which is also what an NMI on the way back to the guest gets */
		hw.verdict = verdict;
	if (verdict == INJECT_GP)
		hw.inject_fault = true;
}

static bool nmi_blocked(struct cpu *cpu)
{
	(void)cpu;
	return hw.guest.nmi_blocked || hw.inject_nmi || hw.inject_fault;
}

static uint64_t read_guest(struct cpu *cpu, enum guest_register reg)
{
	(void)cpu;
	switch (reg) {
	case GUEST_CPL: return hw.step->cpl;
	case GUEST_CR4: return 0;
	case GUEST_DEBUGCTL: return hw.vmcs.guest_debugctl;
	}
	return 0;
}

static void write_debugctl(struct cpu *cpu, uint64_t value)
{
	(void)cpu;
	hw.applied.freeze = 0;
	hw.vmcs.guest_debugctl = value;
}

static void remap(struct cpu *cpu)
{
	(void)cpu;
}

static void set_trap(void *traps, uint32_t msr, enum msr_trap trap)
{
	if (msr < NR_MSRS)
		((uint8_t *)traps)[msr] |= (uint8_t)trap;
}

static bool traps(uint32_t msr, enum msr_trap access)
{
	const uint8_t *bitmap = hw.applied.open ? hw.traps_open : hw.traps_closed;

	return msr >= NR_MSRS || bitmap[msr] & access;
}

static void start_pmuvisor(const struct plan *plan)
{
	static const struct hv_ops ops = {
		.name = "refinement",
		.finish = finish,
		.nmi_blocked = nmi_blocked,
		.read = read_guest,
		.write_debugctl = write_debugctl,
		.remap = remap,
	};

	hw.boot = (struct boot_info){ .config = plan->config, .apic_pte = (uintptr_t)&hw.apic_pte };
	hw.cpu = (struct cpu){
		.self = &hw.cpu,
		.ops = &ops,
		.boot = &hw.boot,
		.x2apic = plan->x2apic,
		.apic_page = APIC_PAGE,
	};
	/* this_cpu() reads GS:0, as on the target. */
	if (syscall(SYS_arch_prctl, ARCH_SET_GS, &hw.cpu))
		difference("the kernel won't set GS");
	if (!pmu_init(&hw.cpu, &pmu_intel, &hw.boot.config))
		difference("pmuvisor doesn't know this PMU");
	hw.host_enabled = true;
	guest_msr_traps(&hw.cpu.pmu, true, set_trap, hw.traps_open);
	guest_msr_traps(&hw.cpu.pmu, false, set_trap, hw.traps_closed);
}

void hardware_start(const struct plan *plan)
{
	static const struct step first = { .kind = STEP_POLL };

	hw = (struct hardware){ .step = &first, .root = true, .saves_ctrl = plan->saves_ctrl };
	hw.vmcs = (struct pmu_model_vmcs){
		.load_global_ctrl = true,
		.load_debugctl = true,
		.save_debugctl = true,
		.load_host_global_ctrl = true,
	};
	processor_start(&hw.guest, PMU_MODEL_MAX_GP, PMU_MODEL_MAX_FIXED, plan->x2apic);
	start_pmuvisor(plan);
	apply_gate();
	enter();
}

void hardware_stop(void)
{
	processor_stop(&hw.guest);
}

void hardware_boundary(bool late)
{
	for (;;) {
		if (hw.step_done)
			vm_exit(EXIT_STEP);
		else if (hw.applied.nmi_window && !hw.guest.nmi_blocked)
			vm_exit(EXIT_NMI_WINDOW);
		else if (hw.guest.nmi_latched && late)
			return;
		else if (hw.guest.nmi_latched && hw.applied.nmi_exits)
			vm_exit(EXIT_NMI);
		else
			break;
	}
	processor_boundary(&hw.guest);
}

static uint32_t msr_of(const struct step *step)
{
	return step->kind == STEP_READ_LVTPC || step->kind == STEP_WRITE_LVTPC ? MSR_X2APIC_LVTPC : step->index;
}

/* LVTPC: the MSR in x2APIC mode, a word of the APIC's page otherwise. */
static bool lvtpc_exits(enum msr_trap access, enum exit_reason *reason)
{
	if (hw.guest.x2apic)
		return traps(MSR_X2APIC_LVTPC, access);
	*reason = EXIT_APIC_ACCESS;
	return hw.applied.apic_trapped;
}

static bool exits(const struct step *step, enum exit_reason *reason)
{
	switch ((unsigned)step->kind) {
	case STEP_CPUID: *reason = EXIT_CPUID; return true;
	case STEP_RDMSR: *reason = EXIT_RDMSR; return traps(step->index, TRAP_READ);
	case STEP_WRMSR: *reason = EXIT_WRMSR; return traps(step->index, TRAP_WRITE);
	case STEP_RDPMC: *reason = EXIT_RDPMC; return !hw.applied.rdpmc_open;
	case STEP_READ_LVTPC: *reason = EXIT_RDMSR; return lvtpc_exits(TRAP_READ, reason);
	case STEP_WRITE_LVTPC: *reason = EXIT_WRMSR; return lvtpc_exits(TRAP_WRITE, reason);
	}
	return false;
}

static void load_registers(const struct step *step)
{
	bool cpuid = step->kind == STEP_CPUID;

	hw.cpu.guest = (struct regs){
		.rax = cpuid ? step->index : (uint32_t)step->value,
		.rcx = cpuid ? 0 : msr_of(step),
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
	if (step->kind == STEP_CPUID && step->index == CPUID_PMU) {
		outcome->regs[0] = (uint32_t)guest->rax;
		outcome->regs[1] = (uint32_t)guest->rbx;
		outcome->regs[2] = (uint32_t)guest->rcx;
		outcome->regs[3] = (uint32_t)guest->rdx;
	}
}

static void execute_natively(const struct step *step, struct outcome *outcome)
{
	bool branch = step->kind == STEP_BRANCH || step->kind == STEP_IRET;

	processor_execute(&hw.guest, step, outcome);
	hw.step_done = hw.applied.step && step->kind != STEP_NMI;
	if (!outcome->fault && step->kind != STEP_NMI)
		truth_retired(&hw.truth, &hw.guest, &hw.cpu.pmu, hw.applied.open ? TRUTH_OPEN : TRUTH_CLOSED, step->cpl,
			      branch);
}

/* An exit that didn't complete the instruction lets it come again, after whatever else was due. */
void hardware_execute(const struct step *step, struct outcome *outcome)
{
	enum exit_reason reason;

	hw.step = step;
	hw.exits = 0;
	if (step->kind == STEP_POLL || step->kind == STEP_HOST) {
		vm_exit(EXIT_TIMER);
		return;
	}
	while (exits(step, &reason)) {
		load_registers(step);
		hw.verdict = RESUME;
		vm_exit(reason);
		if (hw.verdict != RESUME) {
			take_outcome(step, outcome);
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
	vm_exit(EXIT_TIMER);
}

struct processor *hardware_processor(void)
{
	return &hw.guest;
}

uint64_t hardware_peek(uint32_t msr)
{
	struct cpu saved = hw.cpu; /* a read may teach pmuvisor something */
	uint64_t value = 0;

	if (!traps(msr, TRAP_READ)) {
		processor_rdmsr(&hw.guest, msr, &value);
		return value;
	}
	hw.quiet = true;
	hw.cpu.guest.rcx = msr;
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

bool hardware_rdpmc_is_open(void)
{
	return hw.applied.rdpmc_open;
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

bool hardware_needs_lvtpc(void)
{
	return !hw.applied.open && !hw.cpu.pmu.borrowed && (hw.cpu.pmu.host_sampling || hw.cpu.pmu.guest_freeze);
}

void hardware_check_host(void)
{
	uint64_t status = 0;

	hw.quiet = true;
	processor_rdmsr(&hw.guest, MSR_IA32_PERF_GLOBAL_STATUS, &status);
	truth_check(&hw.truth, &hw.cpu.pmu, status);
	hw.quiet = false;
}

void hardware_report(struct result *result)
{
	result->nmis = hw.guest.nmis;
	result->interrupts = hw.guest.interrupts;
	result->windows = hw.cpu.pmu.stats.windows;
	result->host_pmis = hw.cpu.pmu.stats.host_pmis;
}
