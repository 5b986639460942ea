/*
 * SVM has no timer. While one is set, each interrupt for the guest exits on its way there; whatever else exits is as
 * good. A guest that gets no interrupt and never exits isn't timed.
 *
 * An interrupt that exits is still pending, and comes to the guest when it is no longer intercepted. The IRET at the
 * end of its handler exits instead, and the next interrupt does again.
 */
#include "svm.h"
#include "hv/timer.h"
#include "arch/x86/reg.h"

static void set_passing(struct cpu *cpu, bool passing)
{
	svm_of(cpu)->passing = passing;
	cpu->pmu.gate.dirty = true; /* other intercepts */
}

void svm_set_timer(struct cpu *cpu, uint64_t ticks)
{
	struct svm_cpu *svm = svm_of(cpu);
	bool was_set = svm->deadline != SVM_NEVER;

	svm->deadline = ticks ? reg_rdtsc() + ticks : SVM_NEVER;
	if (was_set != (ticks != 0))
		set_passing(cpu, false);
}

void svm_timer_pass(struct cpu *cpu)
{
	cpu->counts.exits[EXIT_TIMER]++;
	set_passing(cpu, true);
}

void svm_timer_passed(struct cpu *cpu)
{
	cpu->counts.exits[EXIT_TIMER]++;
	set_passing(cpu, false);
}

void svm_timer_over(struct cpu *cpu)
{
	timer_tick(cpu); /* which sets it anew */
	/* Not an exit of its own: NMIs that it has decided are nobody's to deliver otherwise. */
	answer_rest(cpu);
}
