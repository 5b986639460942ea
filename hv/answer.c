/* One exit, from its decoding by the vendor to the state the next entry carries out. */
#include "cpu.h"
#include "stop.h"

/* The guest gets its pending NMI at this entry, or an exit as soon as it could take it. True: it gets it now. */
static bool deliver_nmi(struct cpu *cpu, const struct vm_exit *exit)
{
	if (cpu->ops->nmi_blocked(cpu)) {
		pmu_nmi_blocked(cpu);
		return false;
	}
	cpu->nmi.pending = false;
	pmu_nmi_injected(cpu);
	cpu->ops->finish(cpu, exit, INJECT_NMI);
	return true;
}

static void answer_instruction(struct cpu *cpu, const struct vm_exit *exit)
{
	enum verdict verdict = handle_exit(cpu, exit);

	if (verdict == STOP) {
		if (exit->reason == EXIT_SHUTDOWN)
			stop_on_shutdown(cpu);
		stop_on_exit(cpu, exit);
	}
	cpu->ops->finish(cpu, exit, verdict);
	if (verdict == ADVANCE)
		pmu_emulated(cpu);
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
	if (cpu->nmi.pending && comes_again(exit->reason) && deliver_nmi(cpu, exit))
		return;
	answer_instruction(cpu, exit);
	answer_rest(cpu, exit);
}

void answer_rest(struct cpu *cpu, const struct vm_exit *exit)
{
	if (cpu->pmu.told)
		pmu_tell_guest(cpu);
	if (cpu->nmi.pending)
		deliver_nmi(cpu, exit);
}
