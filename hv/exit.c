/* One exit, from its decoding by the vendor to the state the next entry carries out. */
#include "exit.h"
#include "arch/x86/guest.h"
#include "cpu.h"
#include "dump.h"
#include "hypercall.h"
#include "stop.h"

#define UART_LINE_STATUS 5u
#define LINE_IDLE        0x60 /* transmitter empty, nothing received */

/*
 * Behind pmuvisor's port the guest finds ones, as where no device answers, and what it writes vanishes. But firmware
 * may have found the UART before pmuvisor took it, and goes on polling: it sees a line that is always idle.
 */
static enum verdict hidden_port(struct cpu *cpu, const struct vm_exit *exit)
{
	unsigned bits = 8 * (exit->detail & 7);
	uint64_t value = BITS(bits - 1, 0);

	if (exit->detail & EXIT_IO_STRING)
		return INJECT_GP; /* would need the guest's memory; docs/contract.md names it */
	if (!(exit->detail & EXIT_IO_IN))
		return ADVANCE;
	if (exit->address == cpu->boot->config.serial_port + UART_LINE_STATUS)
		value = (value & ~UINT64_C(0xff)) | LINE_IDLE;
	cpu->guest.rax = bits == 32 ? value : (cpu->guest.rax & ~BITS(bits - 1, 0)) | value;
	return ADVANCE;
}

static enum verdict nmi(struct cpu *cpu)
{
	pmu_nmi(cpu);
	dump_look(cpu);
	return RESUME;
}

static enum verdict nmi_window(struct cpu *cpu)
{
	cpu->pmu.gate.nmi_window = false;
	cpu->pmu.gate.dirty = true;
	if (!cpu->nmi.pending)
		pmu_window_end(cpu);
	return RESUME;
}

/* One flat switch: what is handled returns its verdict, everything else is STOP. */
static enum verdict handle_exit(struct cpu *cpu, const struct vm_exit *exit)
{
	switch (exit->reason) {
	case EXIT_CPUID: return guest_cpuid(cpu);
	case EXIT_RDMSR: return guest_rdmsr(cpu);
	case EXIT_WRMSR: return guest_wrmsr(cpu);
	case EXIT_RDPMC: return guest_rdpmc(cpu);
	case EXIT_NMI: return nmi(cpu);
	case EXIT_NMI_WINDOW: return nmi_window(cpu);
	case EXIT_TIMER: timer_tick(cpu); return RESUME;
	case EXIT_STEP: pmu_apic_accessed(cpu); return RESUME;
	case EXIT_APIC_ACCESS: pmu_apic_access(cpu); return RESUME;
	case EXIT_HYPERCALL: return hypercall(cpu);
	case EXIT_VIRTUALIZATION: return INJECT_UD;
	case EXIT_INVD: return guest_invd(cpu);
	case EXIT_XSETBV: return guest_xsetbv(cpu);
	case EXIT_IO: return hidden_port(cpu, exit);
	case EXIT_CONTROL_REGISTER:
	case EXIT_HIDDEN_MEMORY:
	case EXIT_INIT:
	case EXIT_SIPI: return cpu->ops->handle(cpu, exit);
	case EXIT_SHUTDOWN:
	case EXIT_UNKNOWN:
	case EXIT_REASONS: return STOP;
	}
	return STOP;
}

/* The guest gets its pending NMI at this entry, or an exit as soon as it could take it. True: it gets it now. */
static bool deliver_nmi(struct cpu *cpu)
{
	if (cpu->ops->nmi_blocked(cpu)) {
		pmu_nmi_blocked(cpu);
		return false;
	}
	cpu->nmi.pending = false;
	pmu_nmi_injected(cpu);
	cpu->ops->inject(cpu, INJECT_NMI);
	return true;
}

static void answer_instruction(struct cpu *cpu, const struct vm_exit *exit)
{
	enum verdict verdict = handle_exit(cpu, exit);

	switch (verdict) {
	case ADVANCE:
		cpu->ops->advance(cpu);
		pmu_emulated(cpu);
		break;
	case INJECT_UD:
	case INJECT_GP:
	case INJECT_NMI: cpu->ops->inject(cpu, verdict); break;
	case RESUME: break;
	case STOP: stop_on_exit(cpu, exit);
	}
}

/* INIT, SIPI and another NMI are signals of their own: answered now, or lost. */
static bool comes_again(enum exit_reason reason)
{
	return reason != EXIT_INIT && reason != EXIT_SIPI && reason != EXIT_NMI;
}

/*
 * An NMI that struck at the exit came before the instruction that exited: if the guest can take it, it runs the
 * instruction (and exits again) after its handler. One that comes later is found by the vendor's last look before it
 * enters.
 */
void answer_exit(struct cpu *cpu, const struct vm_exit *exit)
{
	cpu->counts.exits[exit->reason]++;
	if (cpu->nmi.in_root)
		pmu_root_nmis(cpu);
	if (cpu->nmi.pending && comes_again(exit->reason) && deliver_nmi(cpu))
		return;
	answer_instruction(cpu, exit);
	answer_rest(cpu);
}

void answer_rest(struct cpu *cpu)
{
	if (cpu->pmu.told)
		pmu_tell_guest(cpu);
	if (cpu->nmi.pending)
		deliver_nmi(cpu);
}
