/* One flat switch: what is handled returns its verdict, everything else is STOP. */
#include "exit.h"
#include "arch/x86/guest.h"
#include "cpu.h"
#include "dump.h"
#include "hypercall.h"

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

enum verdict handle_exit(struct cpu *cpu, const struct vm_exit *exit)
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
