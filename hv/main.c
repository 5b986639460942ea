/* From the loader's jump to the guest's first instruction, and the loop after it. */
#include "arch/x86/platform.h"
#include "console.h"
#include "cpu.h"
#include "dump.h"
#include "sentence.h"
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

static void take_root_nmi(struct cpu *cpu)
{
	cpu->nmi.in_root = false;
	cpu->pmu.stats.root_nmis++;
	pmu_nmi(cpu);
}

/* Inline: nearly every exit has nothing to deliver. */
static inline bool deliver_nmis(struct cpu *cpu, const struct vm_exit *exit)
{
	if (cpu->nmi.in_root)
		take_root_nmi(cpu);
	return cpu->nmi.pending && deliver_nmi(cpu, exit);
}

static void answer(struct cpu *cpu, const struct vm_exit *exit)
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

/*
 * An NMI that struck at the exit came before the instruction that exited: if the guest can take it, it runs the
 * instruction (and exits again) after its handler. An exit in the middle of an event's delivery has to be answered first.
 */
static _Noreturn void run(struct cpu *cpu)
{
	struct vm_exit exit;

	for (;;) {
		cpu->ops->run(cpu, &exit);
		cpu->stats.exits[exit.reason]++;
		if (exit.reason != EXIT_HIDDEN_MEMORY && deliver_nmis(cpu, &exit))
			continue;
		answer(cpu, &exit);
		deliver_nmis(cpu, &exit);
	}
}

static int start(struct cpu *cpu, struct handoff *handoff)
{
	const struct hv_config *config = &cpu->boot->config;

	console_init(config);
	if (!pmu_init(cpu, platform_pmu(), config)) {
		sentence(handoff->why, sizeof(handoff->why), "this processor's PMU is none that pmuvisor knows.");
		return -1;
	}
	cpu->ops = platform_ops();
	if (cpu->ops->cpu_init(cpu, handoff))
		return -1;
	cpu->stats.started = reg_rdtsc();
	cpu->stats.root_tsc = -cpu->stats.started;
	dump_start(cpu);
	return 0;
}

_Noreturn void hv_main(struct handoff *handoff);

_Noreturn void hv_main(struct handoff *handoff)
{
	struct cpu *cpu = platform_init(handoff);

	if (start(cpu, handoff))
		platform_leave(cpu, handoff);
	platform_forget_loader(cpu);
	run(cpu);
}
