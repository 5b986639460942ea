/* From the loader's jump to the guest's first instruction. What follows is in exit.c, one exit at a time. */
#include "arch/x86/platform.h"
#include "console.h"
#include "cpu.h"
#include "dump.h"
#include "sentence.h"

static int start(struct cpu *cpu, struct handoff *handoff)
{
	const struct hv_config *config = &cpu->boot->config;

	if (!cpu->id)
		console_init(config);
	if (!pmu_init(cpu, platform_pmu(), config)) {
		sentence(handoff->why, sizeof(handoff->why), "this processor's PMU is none that pmuvisor knows.");
		return -1;
	}
	cpu->ops = platform_ops();
	if (cpu->ops->cpu_init(cpu, handoff)) {
		pmu_release(cpu);
		return -1;
	}
	cpu->time.started = reg_rdtsc();
	cpu->time.root = -cpu->time.started;
	report_publish(cpu);
	if (cpu->id)
		dump_tick(cpu);
	else
		dump_start(cpu);
	return 0;
}

_Noreturn void hv_main(struct handoff *handoff);

_Noreturn void hv_main(struct handoff *handoff)
{
	struct cpu *cpu = platform_init(handoff);

	if (start(cpu, handoff))
		platform_leave(cpu, handoff);
	cpu->handoff = handoff;
	if (!cpu->id) /* the last to start */
		platform_forget_loader(cpu);
	cpu->ops->run(cpu);
	__builtin_unreachable();
}

_Noreturn void hv_leave(struct cpu *cpu)
{
	pmu_release(cpu);
	cpu->ops->cpu_leave(cpu);
	platform_leave(cpu, cpu->handoff);
}
