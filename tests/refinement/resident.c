/* What pmuvisor is given besides its PMU code: its configuration, its vendor's functions, and the rest of its exits. */
#include <asm/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "arch/x86/guest.h"
#include "difference.h"
#include "hardware_private.h"
#include "hv/dump.h"
#include "hv/hypercall.h"
#include "hv/stop.h"

#define APIC_PAGE UINT64_C(0xfee00000)

static struct sample_ring samples;

/* The exits that answer_exit() hands on to code that is not under test here. */
void timer_tick(struct cpu *cpu)
{
	bool shared = cpu->pmu.shared;

	if (hw.step->kind != STEP_HOST) {
		pmu_poll(cpu);
		return;
	}
	hw.host_enabled = !hw.host_enabled;
	hw.truth.restarted = true;
	pmu_host_enable(cpu, hw.host_enabled);
	hw.switches += shared != cpu->pmu.shared;
}

/* Read away, so that none is lost. */
void dump_samples_wait(struct cpu *cpu)
{
	struct sample_ring *ring = sample_ring_of(cpu);

	while (sample_peek(ring))
		sample_drop(ring);
}

void dump_look(struct cpu *cpu)
{
	(void)cpu;
}

unsigned guest_events_counters(const struct cpu *cpu)
{
	(void)cpu;
	return 0;
}

void guest_page_entering(struct cpu *cpu)
{
	(void)cpu;
}

void guest_page_publish(struct cpu *cpu)
{
	(void)cpu;
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

void resident_carry_out(enum verdict verdict)
{
	if (verdict == ADVANCE || verdict == INJECT_GP)
		hw.at_commit = hw.at_retirement = hardware_arrivals();
	if (verdict == ADVANCE)
		hw.guest.rip += PROCESSOR_INSTRUCTION;
	if (verdict != INJECT_NMI)
		hw.verdict = verdict;
}

static void advance(struct cpu *cpu)
{
	(void)cpu;
	resident_carry_out(ADVANCE);
}

static void inject(struct cpu *cpu, enum verdict what)
{
	(void)cpu;
	resident_carry_out(what);
	hw.inject_nmi |= what == INJECT_NMI;
	hw.inject_fault |= what == INJECT_GP;
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
	case GUEST_RIP: return hw.guest.rip;
	case GUEST_CR0:
	case GUEST_CR3:
	case GUEST_CR4:
	case GUEST_EFER: return 0; /* no paging */
	case GUEST_DEBUGCTL: return hw.vmcs.guest_debugctl;
	case GUEST_FREEZE: return debugctl_freeze(hw.vmcs.guest_debugctl);
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

void resident_start(const struct plan *plan)
{
	static const struct hv_ops ops = {
		.name = "refinement",
		.advance = advance,
		.inject = inject,
		.nmi_blocked = nmi_blocked,
		.read = read_guest,
		.write_debugctl = write_debugctl,
		.remap = remap,
	};

	samples = (struct sample_ring){ .head = 0 };
	hw.boot = (struct boot_info){ .config = plan->config, .nr_cpus = 1, .sample_rings = (uintptr_t)&samples };
	hw.cpu = (struct cpu){
		.self = &hw.cpu,
		.ops = &ops,
		.boot = &hw.boot,
		.x2apic = plan->x2apic,
		.apic_page = APIC_PAGE,
	};
	if (plan_is_amd(plan))
		svm_world_prepare(&hw.cpu);
	/* this_cpu() reads GS:0, as on the target. */
	if (syscall(SYS_arch_prctl, ARCH_SET_GS, &hw.cpu))
		difference("the kernel won't set GS");
	if (!pmu_init(&hw.cpu, plan_is_amd(plan) ? &pmu_amd : &pmu_intel, &hw.boot.config))
		difference("pmuvisor doesn't know this PMU");
	hw.host_enabled = true;
}
