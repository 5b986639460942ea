/*
 * The SVM side of the seam in hv/cpu.h: enter, decode, carry out. svm_setup.c fills the VMCB, svm_event.c answers rare
 * exits.
 */
#include "svm.h"
#include "cpu_area.h"
#include "guest.h"
#include "hv/text.h"
#include "msr.h"
#include "arch/x86/reg.h"

#define DR6_BS BIT(14)

#define EXITS_OF_INSTRUCTIONS 0x90u
#define EXIT_CODE_NONE        BIT(63)

/* Exit code to neutral reason, plus one, of the exits that are nothing but an instruction to be answered. */
static const uint8_t neutral[EXITS_OF_INSTRUCTIONS] = {
	[SVM_EXIT_RDPMC] = EXIT_RDPMC + 1,       [SVM_EXIT_CPUID] = EXIT_CPUID + 1,
	[SVM_EXIT_INVD] = EXIT_INVD + 1,         [SVM_EXIT_INVLPGA] = EXIT_VIRTUALIZATION + 1,
	[SVM_EXIT_SHUTDOWN] = EXIT_SHUTDOWN + 1, [SVM_EXIT_VMRUN] = EXIT_VIRTUALIZATION + 1,
	[SVM_EXIT_VMMCALL] = EXIT_HYPERCALL + 1, [SVM_EXIT_VMLOAD... SVM_EXIT_SKINIT] = EXIT_VIRTUALIZATION + 1,
};

static void apply_intercepts(struct svm_cpu *svm, const struct pmu_gate *gate)
{
	uint64_t changing = INTERCEPT_INTR | INTERCEPT_NMI | INTERCEPT_RDPMC | INTERCEPT_IRET;
	uint32_t wanted = (svm->vmcb.intercept1 & (uint32_t)~changing) | svm_apply_nmi(svm, gate);

	wanted |= (uint32_t)((gate->rdpmc_open ? 0 : INTERCEPT_RDPMC) | (svm->passing ? INTERCEPT_IRET : 0) |
			     (svm->deadline != SVM_NEVER && !svm->passing ? INTERCEPT_INTR : 0));
	if (wanted == svm->vmcb.intercept1)
		return;
	svm->vmcb.intercept1 = wanted;
	vmcb_dirty(svm, CLEAN_INTERCEPTS);
}

static void apply_open(struct svm_cpu *svm, const struct pmu_caps *caps, bool open)
{
	if (open == svm->open)
		return;
	svm->open = open;
	svm->tracks_ctrl = open && caps->global;
	svm->vmcb.msrpm_pa = hv_pa(open ? &svm->msrs_open : &svm->msrs_closed);
	vmcb_dirty(svm, CLEAN_BITMAPS);
}

/* PMU code traps the page for LVTPC's sake. */
static void apply_apic(struct cpu *cpu)
{
	struct svm_cpu *svm = svm_of(cpu);
	enum svm_apic wanted = svm->icr_trapped && !cpu->x2apic ? svm->apic_step : APIC_OPEN;

	if (cpu->pmu.gate.apic_trapped)
		wanted = APIC_TRAPPED;
	if (wanted != svm->apic_page)
		svm_show_apic(cpu, wanted);
}

static void apply_gate(struct cpu *cpu)
{
	struct svm_cpu *svm = svm_of(cpu);
	struct pmu_gate *gate = &cpu->pmu.gate;

	guest_page_publish(cpu);
	apply_intercepts(svm, gate);
	svm_apply_debugctl(cpu, gate);
	apply_open(svm, &cpu->pmu.caps, gate->open);
	if (gate->disguised != svm->disguised)
		svm_apply_disguised(cpu, gate->disguised);
	apply_apic(cpu);
	gate->dirty = false;
	if (cpu->pmu.lbr.now)
		lbr_root_end(&cpu->pmu);
}

static void decode_io(const struct vmcb *vmcb, struct vm_exit *exit)
{
	uint64_t info = vmcb->exit_info1;

	exit->reason = EXIT_IO;
	exit->address = FIELD_GET(IO_INFO_PORT, info);
	exit->detail = FIELD_GET(IO_INFO_SIZE, info) | (info & IO_INFO_IN ? EXIT_IO_IN : 0) |
		       (info & IO_INFO_STRING ? EXIT_IO_STRING : 0);
}

/* False: it is an access to the APIC's page, and the PMU code has nothing to do with it. */
static bool decode_page_fault(struct cpu *cpu, struct vm_exit *exit)
{
	struct svm_cpu *svm = svm_of(cpu);

	exit->reason = EXIT_HIDDEN_MEMORY;
	exit->address = svm->vmcb.exit_info2;
	svm_restore_event(svm);
	if ((exit->address & ~(PAGE_SIZE - 1)) != cpu->apic_page)
		return true;
	exit->reason = EXIT_APIC_ACCESS;
	if (svm->icr_trapped)
		svm_apic_access(cpu, exit->address, exit->detail & NESTED_WRITE);
	if (!cpu->pmu.gate.apic_trapped)
		cpu->counts.exits[EXIT_APIC_ACCESS]++;
	return cpu->pmu.gate.apic_trapped;
}

/* EFER has SVM's own bit set behind the guest's back, and SIPIs are SVM's own trouble: only vendor code can answer. */
static void decode_msr(const struct cpu *cpu, struct vm_exit *exit)
{
	exit->reason = exit->detail & 1 ? EXIT_WRMSR : EXIT_RDMSR;
	if ((uint32_t)cpu->guest.rcx == MSR_IA32_EFER)
		exit->reason = EXIT_CONTROL_REGISTER;
	if ((uint32_t)cpu->guest.rcx == MSR_X2APIC_ICR)
		exit->reason = EXIT_SIPI;
}

static __attribute__((noinline)) bool decode_rare(struct cpu *cpu, struct vm_exit *exit)
{
	struct svm_cpu *svm = svm_of(cpu);

	exit->detail = svm->vmcb.exit_info1;
	exit->reason = EXIT_UNKNOWN;
	switch (exit->raw) {
	case SVM_EXIT_MSR: decode_msr(cpu, exit); return true;
	case SVM_EXIT_IO: decode_io(&svm->vmcb, exit); return true;
	case SVM_EXIT_NESTED_PAGE_FAULT: return decode_page_fault(cpu, exit);
	case SVM_EXIT_DB: return svm_stepped(cpu, exit);
	case SVM_EXIT_IRET:
		if (svm->passing)
			svm_timer_passed(cpu);
		exit->reason = EXIT_NMI_WINDOW;
		return svm_nmi_iret(cpu);
	case SVM_EXIT_INTR: svm_timer_pass(cpu); return false;
	/* These two have come as NMI and #SX since, at STGI, and are decided when it looks for them before it enters. */
	case SVM_EXIT_NMI:
	case SVM_EXIT_INIT: return false;
	default: return true;
	}
}

/* False: nobody else is to hear of this exit. */
static bool decode(struct cpu *cpu, struct vm_exit *exit)
{
	uint64_t raw = svm_of(cpu)->vmcb.exit_code;

	exit->raw = raw;
	if (raw >= ARRAY_SIZE(neutral) || !neutral[raw])
		return decode_rare(cpu, exit);
	exit->reason = neutral[raw] - 1;
	return true;
}

/* The counters go on by themselves, but for what only an exit tells. */
static void exited_pmu(struct cpu *cpu)
{
	struct pmu *pmu = &cpu->pmu;
	uint64_t ctrl;

	pmu->emulated = false;
	if (pmu_entry_counts(pmu))
		svm_pmu_entered(cpu);
	if (!svm_of(cpu)->tracks_ctrl)
		return;
	ctrl = reg_rdmsr(MSR_AMD_PERF_GLOBAL_CTL);
	if (ctrl != pmu->kept.ctrl)
		svm_pmu_ctrl_written(pmu, ctrl);
}

/*
 * Each counter knows its side, so the bits of both stand side by side in the global control register. Where the guest
 * writes it itself its reads exit, so that it doesn't see those of the host; it was only its writes that took them off.
 */
static inline void entering_pmu(struct cpu *cpu)
{
	struct pmu *pmu = &cpu->pmu;
	uint64_t ctrl = pmu->gate.guest_ctrl | pmu->gate.host_ctrl, counting;

	if (pmu->kept.ctrl != ctrl)
		pmu->ops->enable(ctrl);
	counting = svm_counting_entry(pmu);
	if (counting & pmu->host_in_guest) {
		pmu->entries[svm_of(cpu)->vmcb.cpl > 0]++;
		if (pmu->nr_live > pmu->nr_events)
			guest_page_entering(cpu);
	}
	if (counting & pmu->guest)
		svm_pmu_entering(cpu);
}

/* A signal that came in root mode, or whose exit came before it, kept it from entering. False as with decode(). */
static bool decode_signal(struct cpu *cpu, struct vm_exit *exit)
{
	bool exited = svm_of(cpu)->vmcb.exit_code == SVM_EXIT_NMI;

	svm_pmu_not_entered(cpu);
	*exit = (struct vm_exit){ .reason = EXIT_INIT };
	svm_of(cpu)->vmcb.exit_code = EXIT_CODE_NONE;
	if (cpu->nmi.init_in_root) {
		cpu->nmi.init_in_root = false;
		return !svm_summoned(cpu);
	}
	exit->reason = EXIT_NMI;
	nmi_take(&cpu->nmi);
	cpu->pmu.stats.root_nmis += !exited;
	if (exited)
		cpu->nmi.root_rip = 0;
	return true;
}

static bool exited(struct cpu *cpu, struct vm_exit *exit)
{
	struct svm_cpu *svm = svm_of(cpu);

	svm->vmcb.clean = CLEAN_ALL;
	svm->vmcb.tlb_control = 0;
	svm->vmcb.event = 0;
	svm->faulting = false;
	cpu->nmi.owed = 0;
	cpu->guest.rax = svm->vmcb.rax;
	if (svm->nmi_watched)
		svm_nmi_exited(cpu);
	exited_pmu(cpu);
	return decode(cpu, exit);
}

/* Called by svm_entry.asm after every exit, and when a signal in root mode kept it from entering: answered alike. */
void svm_exited(struct cpu *cpu, bool entered)
{
	uint64_t now = reg_rdtsc();
	struct vm_exit exit;

	cpu->time.root -= now;
	if (cpu->pmu.lbr.root)
		lbr_root_begin(&cpu->pmu);
	if (entered ? exited(cpu, &exit) : decode_signal(cpu, &exit))
		answer_exit(cpu, &exit);
	svm_look_at_clock(cpu, now);
	if (cpu->pmu.gate.dirty)
		apply_gate(cpu);
	entering_pmu(cpu);
	svm_of(cpu)->vmcb.rax = cpu->guest.rax;
	cpu->time.root += reg_rdtsc();
}

static void svm_run(struct cpu *cpu)
{
	struct svm_cpu *svm = svm_of(cpu);

	apply_gate(cpu);
	entering_pmu(cpu);
	cpu->time.root += reg_rdtsc();
	svm_enter(cpu, hv_pa(&svm->vmcb), hv_pa(&svm->host));
}

static void inject(struct svm_cpu *svm, uint64_t vector, uint64_t flags)
{
	svm->vmcb.event = vector | flags | EVENT_VALID;
}

/* A fault: the flags it pushes have RF set. APM Vol. 2, "Instruction Breakpoints". */
static void inject_fault(struct cpu *cpu, uint64_t vector, uint64_t flags)
{
	struct svm_cpu *svm = svm_of(cpu);

	if (svm->stepping)
		svm_step_cancel(cpu);
	cpu->counts.faults_injected++;
	svm->vmcb.rflags |= RFLAGS_RF;
	svm->faulting = true;
	inject(svm, vector, EVENT_EXCEPTION | flags);
}

/* What completing it would have done to RF, to the interrupt shadow, and to single-stepping happens here too. */
static void svm_advance(struct cpu *cpu)
{
	struct svm_cpu *svm = svm_of(cpu);

	svm->vmcb.rip = svm->next_rip ? svm->vmcb.next_rip : svm_find_next_rip(cpu);
	if (svm->stepping)
		svm_step_cancel(cpu);
	svm->vmcb.interrupt_shadow = 0;
	svm->vmcb.rflags &= ~RFLAGS_RF;
	if (!(svm->vmcb.rflags & RFLAGS_TF) || cpu->ops->read(cpu, GUEST_DEBUGCTL) & DEBUGCTL_BTF)
		return;
	svm->vmcb.dr6 |= DR6_BS;
	vmcb_dirty(svm, CLEAN_DR);
	inject(svm, VECTOR_DB, EVENT_EXCEPTION);
}

static void svm_inject(struct cpu *cpu, enum verdict what)
{
	if (what == INJECT_NMI)
		svm_nmi_inject(cpu);
	else if (what == INJECT_UD)
		inject_fault(cpu, VECTOR_UD, 0);
	else
		inject_fault(cpu, VECTOR_GP, EVENT_ERROR_CODE);
}

static __attribute__((noinline)) uint64_t read_freeze(const struct svm_cpu *svm)
{
	return debugctl_freeze(svm_read_debugctl(svm));
}

static uint64_t svm_read(struct cpu *cpu, enum guest_register reg)
{
	const struct svm_cpu *svm = svm_of(cpu);

	switch (reg) {
	case GUEST_CPL: return svm->vmcb.cpl;
	case GUEST_CR0: return svm->vmcb.cr0;
	case GUEST_CR3: return svm->vmcb.cr3;
	case GUEST_RIP: return svm->vmcb.rip;
	case GUEST_CR4: return svm->vmcb.cr4;
	case GUEST_EFER: return svm->vmcb.efer & ~EFER_SVME;
	case GUEST_DEBUGCTL: return svm_read_debugctl(svm);
	case GUEST_FREEZE: return read_freeze(svm);
	}
	return 0;
}

static void svm_dump(struct cpu *cpu, struct text *text)
{
	static const struct {
		const char *name;
		size_t offset;
	} fields[] = {
		{ "exit", offsetof(struct vmcb, exit_code) },
		{ "info1", offsetof(struct vmcb, exit_info1) },
		{ "info2", offsetof(struct vmcb, exit_info2) },
		{ "vectoring", offsetof(struct vmcb, exit_int_info) },
		{ "event", offsetof(struct vmcb, event) },
		{ "rip", offsetof(struct vmcb, rip) },
		{ "rsp", offsetof(struct vmcb, rsp) },
		{ "rflags", offsetof(struct vmcb, rflags) },
		{ "cr0", offsetof(struct vmcb, cr0) },
		{ "cr3", offsetof(struct vmcb, cr3) },
		{ "cr4", offsetof(struct vmcb, cr4) },
		{ "efer", offsetof(struct vmcb, efer) },
		{ "cs", offsetof(struct vmcb, cs) },
		{ "shadow", offsetof(struct vmcb, interrupt_shadow) },
	};
	const uint8_t *vmcb = (const uint8_t *)&svm_of(cpu)->vmcb;

	for (unsigned i = 0; i < ARRAY_SIZE(fields); i++) {
		text_string(text, "  ");
		text_string(text, fields[i].name);
		text_string(text, " ");
		text_hex(text, *(const uint64_t *)(vmcb + fields[i].offset));
		text_string(text, "\n");
	}
}

const struct hv_ops svm_ops = {
	.name = "SVM",
	.vmmcall = true,
	.cpu_init = svm_cpu_init,
	.cpu_leave = svm_cpu_leave,
	.run = svm_run,
	.advance = svm_advance,
	.inject = svm_inject,
	.nmi_blocked = svm_nmi_blocked,
	.read = svm_read,
	.write_debugctl = svm_write_debugctl,
	.set_timer = svm_set_timer,
	.remap = svm_remap,
	.handle = svm_handle,
	.dump = svm_dump,
};
