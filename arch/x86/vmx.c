/*
 * The VMX side of the seam in hv/cpu.h: enter, decode, carry out. vmx_setup.c fills the VMCS, vmx_event.c answers rare
 * exits.
 */
#include "cpu_area.h"
#include "firmware.h"
#include "guest.h"
#include "hv/stop.h"
#include "hv/text.h"
#include "msr.h"
#include "reg.h"
#include "vmx.h"

/* Basic exit reason to neutral reason, plus one: what isn't named is unknown. */
static const uint8_t neutral[] = {
	[VMX_EXIT_EXCEPTION_OR_NMI] = EXIT_NMI + 1,
	[VMX_EXIT_TRIPLE_FAULT] = EXIT_SHUTDOWN + 1,
	[VMX_EXIT_INIT] = EXIT_INIT + 1,
	[VMX_EXIT_SIPI] = EXIT_SIPI + 1,
	[VMX_EXIT_NMI_WINDOW] = EXIT_NMI_WINDOW + 1,
	[VMX_EXIT_CPUID] = EXIT_CPUID + 1,
	[VMX_EXIT_GETSEC] = EXIT_VIRTUALIZATION + 1,
	[VMX_EXIT_INVD] = EXIT_INVD + 1,
	[VMX_EXIT_RDPMC] = EXIT_RDPMC + 1,
	[VMX_EXIT_VMCALL] = EXIT_HYPERCALL + 1,
	[VMX_EXIT_VMCLEAR... VMX_EXIT_VMXON] = EXIT_VIRTUALIZATION + 1,
	[VMX_EXIT_CR_ACCESS] = EXIT_CONTROL_REGISTER + 1,
	[VMX_EXIT_IO] = EXIT_IO + 1,
	[VMX_EXIT_RDMSR] = EXIT_RDMSR + 1,
	[VMX_EXIT_WRMSR] = EXIT_WRMSR + 1,
	[VMX_EXIT_MONITOR_TRAP] = EXIT_STEP + 1,
	[VMX_EXIT_EPT_VIOLATION] = EXIT_HIDDEN_MEMORY + 1,
	[VMX_EXIT_INVEPT] = EXIT_VIRTUALIZATION + 1,
	[VMX_EXIT_PREEMPTION_TIMER] = EXIT_TIMER + 1,
	[VMX_EXIT_INVVPID] = EXIT_VIRTUALIZATION + 1,
	[VMX_EXIT_XSETBV] = EXIT_XSETBV + 1,
	[VMX_EXIT_VMFUNC] = EXIT_VIRTUALIZATION + 1,
	[VMX_EXIT_SEAMCALL... VMX_EXIT_TDCALL] = EXIT_VIRTUALIZATION + 1,
};

static void apply_controls(struct vmx_cpu *vmx, const struct pmu_gate *gate)
{
	uint64_t nmi = PIN_NMI_EXITING | PIN_VIRTUAL_NMIS;
	uint64_t pin = (vmx->pin & ~nmi) | (gate->nmi_exits ? nmi : 0);
	uint64_t proc = vmx->proc & ~(PROC_RDPMC_EXITING | PROC_NMI_WINDOW | PROC_MONITOR_TRAP);

	if (pin != vmx->pin)
		vmcs_write(VMCS_PIN_CONTROLS, pin);
	vmx->pin = pin;
	proc |= (gate->rdpmc_open ? 0 : PROC_RDPMC_EXITING) | (gate->nmi_window ? PROC_NMI_WINDOW : 0) |
		(gate->step ? PROC_MONITOR_TRAP : 0);
	if (proc != vmx->proc)
		vmcs_write(VMCS_PROC_CONTROLS, proc);
	vmx->proc = proc;
}

/* Opening and closing change the bitmap whole, and whether exits store the guest's GLOBAL_CTRL. */
static void apply_open(struct vmx_cpu *vmx, bool open)
{
	if (open == vmx->open)
		return;
	vmx->open = open;
	vmcs_write(VMCS_MSR_BITMAP, hv_pa(open ? &vmx->bitmap_open : &vmx->bitmap_closed));
	if (vmx->saves_ctrl)
		return;
	if (open)
		vmx_msr_list_add_first(&vmx->msrs.exit_store, MSR_IA32_PERF_GLOBAL_CTRL, 0);
	else
		vmx_msr_list_remove(&vmx->msrs.exit_store, MSR_IA32_PERF_GLOBAL_CTRL);
}

static void apply_pebs_active(struct vmx_cpu *vmx, bool active)
{
	struct vmx_msr_area *msrs = &vmx->msrs;

	vmx->pebs_active = active;
	vmx_msr_bitmap_set(&vmx->bitmap_open, MSR_IA32_PEBS_ENABLE, active ? TRAP_NEVER : TRAP_WRITE);
	if (active) {
		vmx_msr_list_add(&msrs->exit_store, MSR_IA32_PEBS_ENABLE, 0);
		vmx_msr_list_add(&msrs->exit_load, MSR_IA32_PEBS_ENABLE, 0);
		vmx_msr_list_add(&msrs->entry_load, MSR_IA32_PEBS_ENABLE, 0);
	} else {
		vmx_msr_list_remove(&msrs->exit_store, MSR_IA32_PEBS_ENABLE);
		vmx_msr_list_remove(&msrs->exit_load, MSR_IA32_PEBS_ENABLE);
		vmx_msr_list_remove(&msrs->entry_load, MSR_IA32_PEBS_ENABLE);
	}
}

static void apply_pebs(struct vmx_cpu *vmx, const struct pmu_gate *gate)
{
	if (gate->pebs_active != vmx->pebs_active)
		apply_pebs_active(vmx, gate->pebs_active);
	if (gate->pebs_active)
		*vmx_msr_list_data(&vmx->msrs.entry_load, MSR_IA32_PEBS_ENABLE) = gate->pebs_enable;
}

/*
 * What records for the host in the guest, where the guest has no LBRs. A #DB in the guest clears the bit ("LBR, BTS,
 * and BTF and debug exceptions"), so it is set again each time.
 */
static uint64_t apply_lbr(const struct lbr *lbr, uint64_t debugctl, bool records)
{
	if (lbr->guests || !lbr->hosts)
		return lbr->guests ? debugctl : debugctl & ~DEBUGCTL_LBR;
	if (lbr->ops->control)
		vmcs_write(VMCS_GUEST_LBR_CTL, records ? lbr->ops->control : 0);
	return (debugctl & ~DEBUGCTL_LBR) | (records ? lbr->ops->debugctl : 0);
}

/*
 * The guest's DEBUGCTL is in the VMCS, where exits save it. From opening to closing all of it is the guest's; while
 * closed its freeze bits are in struct pmu, and these are ours. Branch trace, which the guest could set without an
 * exit, ends with it: nothing announces it.
 */
static void apply_debugctl(struct cpu *cpu, const struct pmu_gate *gate)
{
	struct vmx_cpu *vmx = vmx_of(cpu);
	uint64_t debugctl = vmcs_read(VMCS_GUEST_DEBUGCTL);

	debugctl &= ~(DEBUGCTL_TRACE | DEBUGCTL_FREEZE_LBRS_ON_PMI | DEBUGCTL_FREEZE_PERFMON_ON_PMI);
	debugctl |= freeze_debugctl(gate->freeze);
	vmcs_write(VMCS_GUEST_DEBUGCTL, apply_lbr(&cpu->pmu.lbr, debugctl, gate->records));
	vmx->freeze = gate->freeze;
	vmx->records = gate->records;
}

static void apply_gate(struct cpu *cpu)
{
	struct vmx_cpu *vmx = vmx_of(cpu);
	struct pmu_gate *gate = &cpu->pmu.gate;

	guest_page_publish(cpu);
	apply_controls(vmx, gate);
	if (pmu_debugctl_changes(gate, vmx->open, vmx->freeze, vmx->records))
		apply_debugctl(cpu, gate);
	apply_open(vmx, gate->open);
	apply_pebs(vmx, gate);
	if (gate->apic_trapped != vmx->apic_trapped)
		vmx_trap_apic(cpu, gate->apic_trapped);
	if (gate->guest_ctrl != vmx->guest_ctrl)
		vmcs_write(VMCS_GUEST_PERF_GLOBAL_CTRL, gate->guest_ctrl);
	vmx->guest_ctrl = gate->guest_ctrl;
	if (gate->host_ctrl != vmx->host_ctrl)
		vmcs_write(VMCS_HOST_PERF_GLOBAL_CTRL, gate->host_ctrl);
	vmx->host_ctrl = gate->host_ctrl;
	vmx->more_at_exit = gate->pebs_active || cpu->pmu.lbr.root;
	gate->dirty = false;
	if (cpu->pmu.lbr.now)
		lbr_root_end(&cpu->pmu);
}

/* While open, the guest writes GLOBAL_CTRL itself; what the exit found there is what the next entry loads. */
static void track_ctrl(struct cpu *cpu)
{
	struct vmx_cpu *vmx = vmx_of(cpu);
	uint64_t ctrl = vmx->saves_ctrl ? vmcs_read(VMCS_GUEST_PERF_GLOBAL_CTRL) : vmx->msrs.exit_store.entries[0].data;

	if (ctrl == vmx->guest_ctrl)
		return;
	pmu_ctrl_written(&cpu->pmu, ctrl, 0);
	vmx->guest_ctrl = cpu->pmu.gate.guest_ctrl;
	vmcs_write(VMCS_GUEST_PERF_GLOBAL_CTRL, vmx->guest_ctrl);
}

static void track_pebs(struct cpu *cpu)
{
	pebs_exited(&cpu->pmu, *vmx_msr_list_data(&vmx_of(cpu)->msrs.exit_store, MSR_IA32_PEBS_ENABLE));
}

static __attribute__((noinline)) void do_at_exit(struct cpu *cpu)
{
	if (cpu->pmu.lbr.root)
		lbr_root_begin(&cpu->pmu);
	if (vmx_of(cpu)->pebs_active)
		track_pebs(cpu);
}

static void decode_io(struct vm_exit *exit, uint64_t qualification)
{
	exit->address = FIELD_GET(IO_QUALIFICATION_PORT, qualification);
	exit->detail = (FIELD_GET(IO_QUALIFICATION_SIZE, qualification) + 1) |
		       (qualification & IO_QUALIFICATION_IN ? EXIT_IO_IN : 0) |
		       (qualification & IO_QUALIFICATION_STRING ? EXIT_IO_STRING : 0);
}

static void decode_ept_violation(const struct cpu *cpu, struct vm_exit *exit)
{
	exit->address = vmcs_read(VMCS_GUEST_PHYSICAL_ADDRESS);
	if ((exit->address & ~(PAGE_SIZE - 1)) == cpu->apic_page)
		exit->reason = EXIT_APIC_ACCESS;
	vmx_restore_event(exit->detail);
}

static void decode_rare(const struct cpu *cpu, struct vm_exit *exit)
{
	exit->detail = vmcs_read(VMCS_EXIT_QUALIFICATION);
	if (exit->reason == EXIT_IO)
		decode_io(exit, exit->detail);
	else if (exit->reason == EXIT_HIDDEN_MEMORY)
		decode_ept_violation(cpu, exit);
}

static enum exit_reason exception_or_nmi(void)
{
	uint64_t info = vmcs_read(VMCS_EXIT_INTERRUPTION_INFO);

	return (info & INTERRUPTION_TYPE) == INTERRUPTION_NMI ? EXIT_NMI : EXIT_UNKNOWN;
}

static void decode(const struct cpu *cpu, struct vm_exit *exit)
{
	uint64_t raw = vmcs_read(VMCS_EXIT_REASON);

	exit->raw = raw;
	raw &= ~VMX_EXIT_FROM_ENCLAVE; /* an SGX guest's timer or NMI is like any other */
	exit->reason = raw < ARRAY_SIZE(neutral) && neutral[raw] ? neutral[raw] - 1 : EXIT_UNKNOWN;
	if (exit->reason == EXIT_NMI)
		exit->reason = exception_or_nmi();
	if (exit->reason >= EXIT_FIRST_WITH_DETAIL)
		decode_rare(cpu, exit);
}

/*
 * Called by vmx_entry.asm after every exit, and when an NMI in root mode kept it from entering: that is answered
 * alike.
 */
void vmx_exited(struct cpu *cpu, bool entered)
{
	struct vm_exit exit;

	cpu->time.root -= reg_rdtsc();
	if (entered) {
		if (vmx_of(cpu)->open)
			track_ctrl(cpu);
		if (vmx_of(cpu)->more_at_exit)
			do_at_exit(cpu);
		decode(cpu, &exit);
	} else {
		if (cpu->pmu.lbr.root)
			lbr_root_begin(&cpu->pmu);
		exit.reason = EXIT_NMI;
		nmi_take(&cpu->nmi);
		cpu->pmu.stats.root_nmis++;
	}
	answer_exit(cpu, &exit);
	if (cpu->pmu.gate.dirty)
		apply_gate(cpu);
	cpu->time.root += reg_rdtsc();
}

void vmx_entry_failed(struct cpu *cpu)
{
	cpu->time.root -= reg_rdtsc(); /* never left root mode */
	stop(cpu, "VM entry failed, VM-instruction error", vmcs_read(VMCS_INSTRUCTION_ERROR));
}

static _Noreturn void vmx_run(struct cpu *cpu)
{
	apply_gate(cpu);
	cpu->time.root += reg_rdtsc();
	vmx_enter(cpu);
}

static bool runs_64_bit_code(void)
{
	return vmcs_read(VMCS_ENTRY_CONTROLS) & ENTRY_IA32E && vmcs_read(VMCS_GUEST_CS_ACCESS) & SEGMENT_ACCESS_L;
}

/*
 * At 4 GiB the instruction pointer of 32-bit code wraps; an entry with more is refused ("Checks on Guest RIP,
 * RFLAGS").
 */
static void advance_rip(void)
{
	uint64_t from = vmcs_read(VMCS_GUEST_RIP), to = from + vmcs_read(VMCS_EXIT_INSTRUCTION_LENGTH);

	if (__builtin_expect((to ^ from) >> 32 != 0, 0) && !runs_64_bit_code())
		to &= BITS(31, 0);
	vmcs_write(VMCS_GUEST_RIP, to);
}

/*
 * What completing it would have done to RF, to blocking by STI and MOV SS, and to single-stepping happens here too. SDM
 * Vol. 3A, "Single-Step Exception Condition"; with BTF only branches trap.
 */
static void vmx_advance(struct cpu *cpu)
{
	uint64_t rflags = vmcs_read(VMCS_GUEST_RFLAGS);
	uint64_t blocking = vmcs_read(VMCS_GUEST_INTERRUPTIBILITY);

	(void)cpu;
	advance_rip();
	if (blocking & (BLOCKING_BY_STI | BLOCKING_BY_MOV_SS))
		vmcs_write(VMCS_GUEST_INTERRUPTIBILITY, blocking & ~(BLOCKING_BY_STI | BLOCKING_BY_MOV_SS));
	if (!(rflags & (RFLAGS_RF | RFLAGS_TF)))
		return;
	vmcs_write(VMCS_GUEST_RFLAGS, rflags & ~RFLAGS_RF);
	if (rflags & RFLAGS_TF && !(vmcs_read(VMCS_GUEST_DEBUGCTL) & DEBUGCTL_BTF))
		vmcs_write(VMCS_GUEST_PENDING_DEBUG, vmcs_read(VMCS_GUEST_PENDING_DEBUG) | PENDING_DEBUG_BS);
}

/* A fault: the flags it pushes have RF set. SDM Vol. 3A, "Masking Instruction Breakpoints". */
static void inject_fault(struct cpu *cpu, uint64_t vector, uint64_t flags)
{
	cpu->counts.faults_injected++;
	vmcs_write(VMCS_GUEST_RFLAGS, vmcs_read(VMCS_GUEST_RFLAGS) | RFLAGS_RF);
	vmcs_write(VMCS_ENTRY_ERROR_CODE, 0);
	vmcs_write(VMCS_ENTRY_INTERRUPTION_INFO, vector | INTERRUPTION_EXCEPTION | INTERRUPTION_VALID | flags);
}

static void vmx_inject(struct cpu *cpu, enum verdict what)
{
	if (what == INJECT_NMI)
		vmcs_write(VMCS_ENTRY_INTERRUPTION_INFO, VECTOR_NMI | INTERRUPTION_NMI | INTERRUPTION_VALID);
	else if (what == INJECT_UD)
		inject_fault(cpu, VECTOR_UD, 0);
	else
		inject_fault(cpu, VECTOR_GP, INTERRUPTION_ERROR_CODE);
}

/*
 * "Checks on Guest Non-Register State": none of the three may hold when an NMI is injected, nor another event, and a
 * CPU that waits for a SIPI takes none.
 */
static bool vmx_nmi_blocked(struct cpu *cpu)
{
	uint64_t blocking = BLOCKING_BY_STI | BLOCKING_BY_MOV_SS | BLOCKING_BY_NMI;

	(void)cpu;
	return vmcs_read(VMCS_GUEST_INTERRUPTIBILITY) & blocking ||
	       vmcs_read(VMCS_ENTRY_INTERRUPTION_INFO) & INTERRUPTION_VALID ||
	       vmcs_read(VMCS_GUEST_ACTIVITY) == ACTIVITY_WAIT_SIPI;
}

static uint64_t vmx_read(struct cpu *cpu, enum guest_register reg)
{
	uint64_t shadowed;

	(void)cpu;
	switch (reg) {
	case GUEST_CPL: return FIELD_GET(SEGMENT_ACCESS_DPL, vmcs_read(VMCS_GUEST_SS_ACCESS));
	case GUEST_RIP: return vmcs_read(VMCS_GUEST_RIP);
	case GUEST_CR4:
		shadowed = vmcs_read(VMCS_CR4_MASK);
		return (vmcs_read(VMCS_GUEST_CR4) & ~shadowed) | (vmcs_read(VMCS_CR4_SHADOW) & shadowed);
	case GUEST_CR0: return vmcs_read(VMCS_GUEST_CR0);
	case GUEST_CR3: return vmcs_read(VMCS_GUEST_CR3);
	case GUEST_EFER: return vmcs_read(VMCS_GUEST_EFER);
	case GUEST_DEBUGCTL: return vmcs_read(VMCS_GUEST_DEBUGCTL);
	case GUEST_FREEZE: return debugctl_freeze(vmcs_read(VMCS_GUEST_DEBUGCTL));
	}
	return 0;
}

static void vmx_write_debugctl(struct cpu *cpu, uint64_t value)
{
	vmx_of(cpu)->freeze = 0; /* the gate adds its bits again */
	vmcs_write(VMCS_GUEST_DEBUGCTL, value);
}

/*
 * The timer counts TSC ticks >> timer_shift, and only in the guest; exits save what is left of it. It always runs, as
 * saving its value without it is refused ("VM-Exit Control Fields"): never is as late as it can be, and early
 * wake-ups are the caller's to bear.
 */
static void vmx_set_timer(struct cpu *cpu, uint64_t ticks)
{
	uint64_t value = ticks >> vmx_of(cpu)->timer_shift;

	vmcs_write(VMCS_PREEMPTION_TIMER, !ticks || value > BITS(31, 0) ? BITS(31, 0) : value);
}

static void vmx_dump(struct cpu *cpu, struct text *text)
{
	static const struct {
		const char *name;
		enum vmcs_field field;
	} fields[] = {
		{ "reason", VMCS_EXIT_REASON },
		{ "qualification", VMCS_EXIT_QUALIFICATION },
		{ "interruption", VMCS_EXIT_INTERRUPTION_INFO },
		{ "vectoring", VMCS_IDT_VECTORING_INFO },
		{ "physical", VMCS_GUEST_PHYSICAL_ADDRESS },
		{ "rip", VMCS_GUEST_RIP },
		{ "rsp", VMCS_GUEST_RSP },
		{ "rflags", VMCS_GUEST_RFLAGS },
		{ "cr0", VMCS_GUEST_CR0 },
		{ "cr3", VMCS_GUEST_CR3 },
		{ "cr4", VMCS_GUEST_CR4 },
		{ "efer", VMCS_GUEST_EFER },
		{ "cs", VMCS_GUEST_SELECTOR(SEGMENT_CS) },
		{ "interruptibility", VMCS_GUEST_INTERRUPTIBILITY },
		{ "activity", VMCS_GUEST_ACTIVITY },
	};

	(void)cpu;
	for (unsigned i = 0; i < ARRAY_SIZE(fields); i++) {
		text_string(text, "  ");
		text_string(text, fields[i].name);
		text_string(text, " ");
		text_hex(text, vmcs_read(fields[i].field));
		text_string(text, "\n");
	}
}

const struct hv_ops vmx_ops = {
	.name = "VMX",
	.cpu_init = vmx_cpu_init,
	.cpu_leave = vmx_cpu_leave,
	.run = vmx_run,
	.advance = vmx_advance,
	.inject = vmx_inject,
	.nmi_blocked = vmx_nmi_blocked,
	.read = vmx_read,
	.write_debugctl = vmx_write_debugctl,
	.set_timer = vmx_set_timer,
	.remap = vmx_remap,
	.handle = vmx_handle,
	.dump = vmx_dump,
};

_Noreturn void vmx_access_failed(const char *what, enum vmcs_field field)
{
	stop(this_cpu(), what, field);
}
