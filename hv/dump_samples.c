/*
 * When samples are sent. They wait in their rings, not in the console's queue: so a dump that begins comes soon. Before
 * its first line the samples are sent that were there when it began, however few; else those of a ring that has a
 * frame's worth, but not in the middle of a dump.
 */
#include "console.h"
#include "dump.h"
#include "arch/x86/uart.h"
#include "frame.h"

static bool is_sent(const struct cpu *cpu)
{
	return cpu->boot->config.samples == CONFIG_SAMPLES_SERIAL;
}

bool dump_samples_due(const struct cpu *cpu)
{
	const struct sample_ring *ring = sample_ring_of(cpu);

	return is_sent(cpu) && sample_waiting(ring) >= SAMPLE_ENOUGH;
}

/* Those of the next CPU first, so that none has to wait for all of another's. */
static bool choose(const struct cpu *cpu)
{
	for (unsigned i = 0; i < cpu->boot->nr_cpus; i++) {
		dump.samples.cpu = (dump.samples.cpu + 1) % cpu->boot->nr_cpus;
		if (dump_samples_due(cpu_at(cpu, dump.samples.cpu)))
			return true;
	}
	return false;
}

/* The same for those of before the dump. */
static bool choose_old(const struct cpu *cpu)
{
	struct dump_samples *samples = &dump.samples;

	for (; samples->cpu < cpu->boot->nr_cpus; samples->cpu++, samples->until = 0) {
		const struct sample_ring *ring = sample_ring_of(cpu_at(cpu, samples->cpu));

		if (!samples->until)
			samples->until = __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE);
		if (ring->tail < samples->until)
			return true;
	}
	samples->old = false;
	return false;
}

void dump_samples_begin(const struct cpu *cpu)
{
	dump.samples = (struct dump_samples){ .old = is_sent(cpu) && !dump.start };
}

bool dump_samples_send(const struct cpu *cpu)
{
	static char line[FRAME_LINE_MAX];
	struct text text = { line, line + sizeof(line) };

	if (!is_sent(cpu) || (dump.active && !dump.samples.old))
		return false;
	if (console_queued() >= UART_FIFO)
		return true;
	if (!(dump.samples.old ? choose_old : choose)(cpu))
		return false;
	frame_make(dump.samples.cpu, sample_ring_of(cpu_at(cpu, dump.samples.cpu)), &text);
	console_write(line, &text);
	return true;
}

/* So often a second the timer looks at least, while samples don't come faster than they leave. */
#define LOOKS 64

/* The guest's NMI comes first: it may be about to open a window. */
void dump_look(struct cpu *cpu)
{
	uint64_t patience = 0;

	if (!is_sent(cpu) || cpu->nmi.pending || !timer_is_due(cpu, TIMER_DUMP))
		return;
	if (sample_waiting(sample_ring_of(cpu)) < SAMPLE_SLOTS / 4)
		patience = cpu->boot->tsc_hz / LOOKS;
	timer_tick_early(cpu, patience);
}
