/*
 * SVM around pmuvisor: VMRUN and #VMEXIT as the processor does them, on the VMCB of arch/x86/svm.c, which runs here as
 * it is, with svm_pmu.c and svm_lbr.c, svm_step.c and svm_setup.c. APM Vol. 2, "VMRUN Instruction", "#VMEXIT", "Global
 * Interrupt Flag, STGI and CLGI Instructions".
 */
#include <setjmp.h>
#include <string.h>

#include "arch/x86/firmware.h"
#include "arch/x86/msr.h"
#include "arch/x86/svm.h"
#include "difference.h"
#include "hardware_private.h"
#include "hv/timer.h"

#define MAX_EXITS 1000
#define RFLAGS_TF BIT(8)
#define DR6_BS    BIT(14)

extern const struct hv_ops svm_ops;

static _Alignas(4096) struct svm_cpu svm;
static struct pmu_model_vmcb lbrs; /* of the VMCB */
static jmp_buf first_entry;
static bool clock_rings;
static bool pushed_tf; /* in the frame of the guest's NMI handler */

/* What svm.c calls besides, and nobody of this test asks for. */
int svm_cpu_init(struct cpu *cpu, struct handoff *handoff)
{
	(void)cpu, (void)handoff;
	return 0;
}

void svm_cpu_leave(struct cpu *cpu)
{
	(void)cpu;
}

enum verdict svm_handle(struct cpu *cpu, const struct vm_exit *exit)
{
	(void)cpu, (void)exit;
	return STOP;
}

void svm_remap(struct cpu *cpu)
{
	(void)cpu;
}

void svm_show_apic(struct cpu *cpu, enum svm_apic how)
{
	(void)cpu;
	svm.apic_page = how;
}

/* There is one CPU, and nobody to start. */
void svm_apic_access(struct cpu *cpu, uint64_t address, bool write)
{
	(void)cpu, (void)address, (void)write;
}

void svm_apic_accessed(struct cpu *cpu)
{
	(void)cpu;
}

bool svm_summoned(struct cpu *cpu)
{
	(void)cpu;
	return false;
}

void svm_restore_event(struct svm_cpu *of)
{
	(void)of;
}

void svm_set_timer(struct cpu *cpu, uint64_t ticks)
{
	(void)cpu, (void)ticks;
}

void svm_timer_pass(struct cpu *cpu)
{
	(void)cpu;
}

void svm_timer_passed(struct cpu *cpu)
{
	(void)cpu;
}

void svm_timer_over(struct cpu *cpu)
{
	if (!clock_rings)
		return;
	clock_rings = false;
	timer_tick(cpu);
	answer_rest(cpu);
}

_Noreturn void svm_enter(struct cpu *cpu, uint64_t guest, uint64_t host)
{
	(void)cpu, (void)guest, (void)host;
	longjmp(first_entry, 1);
}

static uint64_t code_of(enum exit_reason reason)
{
	switch ((unsigned)reason) {
	case EXIT_CPUID: return SVM_EXIT_CPUID;
	case EXIT_RDMSR:
	case EXIT_WRMSR: return SVM_EXIT_MSR;
	case EXIT_RDPMC: return SVM_EXIT_RDPMC;
	case EXIT_APIC_ACCESS: return SVM_EXIT_NESTED_PAGE_FAULT;
	case EXIT_STEP: return SVM_EXIT_DB;
	case EXIT_NMI: return SVM_EXIT_NMI;
	case EXIT_NMI_WINDOW: return SVM_EXIT_IRET;
	case EXIT_TIMER: return SVM_EXIT_INTR;
	default: difference("SVM has no exit for reason %d", (int)reason);
	}
}

/* The fields of LBR virtualization. */
static void save_lbrs(void)
{
	struct vmcb *vmcb = &svm.vmcb;

	_Static_assert(sizeof(vmcb->lbr_stack) == sizeof(lbrs.lbrs), "the whole stack");
	vmcb->debugctl = lbrs.debugctl;
	vmcb->last_branch_from = lbrs.br_from;
	vmcb->last_branch_to = lbrs.br_to;
	vmcb->last_exception_from = lbrs.int_from;
	vmcb->last_exception_to = lbrs.int_to;
	vmcb->debug_extension = lbrs.dbg_extn_cfg;
	vmcb->lbr_select = lbrs.lbr_select;
	memcpy(vmcb->lbr_stack, lbrs.lbrs, sizeof(vmcb->lbr_stack));
}

static void load_lbrs(void)
{
	const struct vmcb *vmcb = &svm.vmcb;

	lbrs = (struct pmu_model_vmcb){
		.lbr_virtualization = vmcb->virt_ext & VIRT_LBR,
		.debugctl = vmcb->debugctl,
		.br_from = vmcb->last_branch_from,
		.br_to = vmcb->last_branch_to,
		.int_from = vmcb->last_exception_from,
		.int_to = vmcb->last_exception_to,
		.dbg_extn_cfg = vmcb->debug_extension,
		.lbr_select = vmcb->lbr_select,
	};
	memcpy(lbrs.lbrs, vmcb->lbr_stack, sizeof(vmcb->lbr_stack));
}

static bool virtual_nmis(void)
{
	return svm.vmcb.int_ctl & V_NMI_ENABLE;
}

/* By injection or by itself: the flags with the trap flag are in the handler's frame. It blocks no physical ones. */
static void take_nmi(void)
{
	hw.guest.nmi_blocked = hw.injected = true;
	hw.guest.nmis++;
	pushed_tf = svm.vmcb.rflags & RFLAGS_TF;
	svm.vmcb.rflags &= ~RFLAGS_TF;
	hw.applied.step = false;
	processor_event(&hw.guest);
	truth_interrupted(&hw.truth, &hw.guest, &hw.cpu.pmu, svm.open ? TRUTH_OPEN : TRUTH_CLOSED);
}

/* The NMI that exits is still pending: it comes at STGI. What blocks NMIs blocks them in root mode too. */
static void leave(enum exit_reason reason)
{
	struct vmcb *vmcb = &svm.vmcb;

	vmcb->exit_code = code_of(reason);
	vmcb->exit_info1 = reason == EXIT_WRMSR;
	vmcb->exit_info2 = hw.cpu.apic_page;
	vmcb->exit_int_info = 0;
	vmcb->rip = hw.guest.rip;
	vmcb->next_rip = hw.guest.rip + PROCESSOR_INSTRUCTION;
	vmcb->cpl = (uint8_t)hw.step->cpl;
	vmcb->rax = hw.cpu.guest.rax;
	vmcb->dr6 |= reason == EXIT_STEP ? DR6_BS : 0;
	pmu_model_svm_exit(hw.guest.model, &lbrs);
	truth_interrupted(&hw.truth, &hw.guest, &hw.cpu.pmu, TRUTH_ROOT);
	if (lbrs.lbr_virtualization)
		save_lbrs();
	hw.step_done = false;
	hw.root_nmi_blocked = hardware_blocks_nmis();
	if (virtual_nmis())
		vmcb->int_ctl = (vmcb->int_ctl & ~(uint32_t)V_NMI_MASK) |
				(uint32_t)(hw.guest.nmi_blocked ? V_NMI_MASK : 0);
	root_boundary();
}

/* "NMI Virtualization": one that is pending comes as soon as none is blocked any more. */
static void world_boundary(void)
{
	if (!virtual_nmis() || !(svm.vmcb.int_ctl & V_NMI_PENDING) || hw.guest.nmi_blocked || hw.shadow)
		return;
	svm.vmcb.int_ctl &= ~(uint32_t)V_NMI_PENDING;
	take_nmi();
}

/* "Event Injection" */
static void injected(void)
{
	uint64_t event = svm.vmcb.event;

	if (!(event & EVENT_VALID))
		return;
	svm.vmcb.interrupt_shadow = 0;
	if ((event & EVENT_TYPE) == EVENT_NMI) {
		if (hw.guest.nmi_blocked)
			difference("an NMI is injected while NMIs are blocked");
		take_nmi();
		return;
	}
	processor_event(&hw.guest);
	truth_interrupted(&hw.truth, &hw.guest, &hw.cpu.pmu, svm.open ? TRUTH_OPEN : TRUTH_CLOSED);
}

/* What the guest's next steps ask of the intercepts. */
static void note_intercepts(void)
{
	hw.applied = hw.cpu.pmu.gate;
	hw.applied.open = svm.open;
	hw.applied.rdpmc_open = !(svm.vmcb.intercept1 & INTERCEPT_RDPMC);
	hw.applied.nmi_exits = svm.vmcb.intercept1 & INTERCEPT_NMI;
	hw.applied.nmi_window = false;
	hw.applied.step = svm.vmcb.rflags & RFLAGS_TF;
	hw.applied.apic_trapped = svm.apic_page == APIC_TRAPPED;
	hw.iret_exits = svm.vmcb.intercept1 & INTERCEPT_IRET;
	hw.shadow = svm.vmcb.interrupt_shadow & SHADOW_INTERRUPTS;
}

/* But in a window, what counts in root mode does so from the next exit on, without anybody's help. */
static void check_root_counters(void)
{
	const struct pmu *pmu = &hw.cpu.pmu;
	uint64_t ctrl = pmu->host, selector = 0;

	if (pmu->caps.global)
		pmu_model_rdmsr(hw.guest.model, MSR_AMD_PERF_GLOBAL_CTL, &ctrl);
	for_each_bit(n, pmu->window || !hw.host_enabled ? 0 : pmu->host_in_host) {
		pmu_model_rdmsr(hw.guest.model, MSR_AMD_PERF_CTL0 + 2 * (uint32_t)n, &selector);
		if (!(ctrl & BIT(n)) || !(selector & PERFEVTSEL_EN))
			difference("VMRUN with counter %u off, which counts in root mode", (unsigned)n);
	}
}

/* VMRUN is an instruction of the guest's. Its cycles are pmuvisor's: docs/contract.md, deviation 8. */
static void enter(void)
{
	if (svm.vmcb.msrpm_pa != hv_pa(svm.open ? &svm.msrs_open : &svm.msrs_closed))
		difference("VMRUN with another map of MSRs than said");
	check_root_counters();
	hw.entering = true;
	load_lbrs();
	pmu_model_vmrun(hw.guest.model, &lbrs);
	/* The instruction that was completed counts now, and one that faults does. */
	if (hw.verdict == ADVANCE || hw.verdict == INJECT_GP)
		hw.at_retirement = hardware_arrivals();
	if (hw.verdict == INJECT_GP)
		hw.at_commit = hw.at_retirement;
	processor_retire_timeless(&hw.guest, svm.vmcb.cpl);
	hw.entering = hw.root_nmi_blocked = false;
	if (virtual_nmis() && !(svm.vmcb.intercept1 & INTERCEPT_NMI))
		difference("VMRUN fails: virtual NMIs without the intercept");
	if (virtual_nmis())
		hw.guest.nmi_blocked = svm.vmcb.int_ctl & V_NMI_MASK;
	hw.virtual_nmis = virtual_nmis();
	injected();
	hardware_note_pmi();
	note_intercepts();
}

static void world_exit(enum exit_reason reason)
{
	if (++hw.exits > MAX_EXITS)
		difference("more than %u exits in one step", MAX_EXITS);
	clock_rings = reason == EXIT_TIMER;
	leave(reason);
	root_instructions();
	svm_exited(&hw.cpu, true);
	root_instructions();
	for (unsigned i = 0; hw.cpu.nmi.in_root; i++) {
		if (i > MAX_EXITS)
			difference("NMIs in root mode without end");
		svm_exited(&hw.cpu, false);
	}
	enter();
}

/* After an instruction that nothing stopped; IRET has its flags from the frame. */
static void world_executed(const struct step *step)
{
	svm.vmcb.interrupt_shadow = 0;
	hw.shadow = false;
	if (step->kind != STEP_IRET)
		return;
	hw.injected = false;
	svm.vmcb.rflags = (svm.vmcb.rflags & ~RFLAGS_TF) | (pushed_tf ? RFLAGS_TF : 0);
	pushed_tf = false;
	hw.applied.step = svm.vmcb.rflags & RFLAGS_TF;
}

static bool world_traps(uint32_t msr, enum msr_trap access)
{
	static const uint32_t first[] = { 0, 0xc0000000, 0xc0010000 };
	const struct svm_msr_permission *map = svm.open ? &svm.msrs_open : &svm.msrs_closed;

	for (unsigned range = 0; range < ARRAY_SIZE(first); range++) {
		uint32_t n = msr - first[range];

		if (n < 0x2000)
			return map->bits[range][n / 4] >> 2 * (n % 4) & access;
	}
	return true;
}

static void advance(struct cpu *cpu)
{
	resident_carry_out(ADVANCE);
	svm_ops.advance(cpu);
}

static void inject(struct cpu *cpu, enum verdict what)
{
	resident_carry_out(what);
	svm_ops.inject(cpu, what);
	/* An NMI in place of the fault: the instruction comes again. */
	if (what == INJECT_NMI && (svm.vmcb.event & EVENT_TYPE) == EVENT_NMI && hw.verdict == INJECT_GP)
		hw.verdict = RESUME;
}

static void world_start(const struct plan *plan)
{
	struct handoff handoff = { .fw_rip = 0 };
	static const struct firmware firmware;

	(void)plan;
	svm_setup(&hw.cpu, &handoff, &firmware);
	if (!setjmp(first_entry))
		svm_ops.run(&hw.cpu);
	enter();
}

/* Before pmuvisor looks at its PMU. */
void svm_world_prepare(struct cpu *cpu)
{
	static struct hv_ops ops;

	memset(&svm, 0, sizeof(svm));
	svm.vnmi = pmu_model_caps_of(hw.guest.model)->vnmi;
	svm.lbr = svm.next_rip = svm.init_redirected = true;
	svm.apic_page = APIC_OPEN;
	svm.deadline = 1;
	clock_rings = pushed_tf = false;
	pmu_model_svme(hw.guest.model, true);
	ops = svm_ops;
	ops.advance = advance;
	ops.inject = inject;
	cpu->ops = &ops;
	cpu->vendor = (struct vendor_cpu *)&svm;
}

const struct world world_svm = {
	.start = world_start,
	.exit = world_exit,
	.executed = world_executed,
	.boundary = world_boundary,
	.traps = world_traps,
};
