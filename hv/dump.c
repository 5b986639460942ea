/*
 * When what is printed. One line at a time: each is made when the queue has room for it, so that a timer exit does a
 * bounded amount of work however long the dump. A CPU's block is of when it last published, so the blocks of several
 * CPUs are not of one instant.
 */
#include "dump.h"
#include "arch/x86/reg.h"
#include "console.h"

#define LOCK_TRIES 100000 /* the holder leaves after a line, and never waits */

struct dump dump;

static bool try_lock(const struct cpu *cpu)
{
	uint64_t holder = 0;

	return __atomic_compare_exchange_n(&dump.lock, &holder, cpu->id + 1, false, __ATOMIC_ACQUIRE,
					   __ATOMIC_RELAXED) ||
	       holder == cpu->id + 1;
}

static bool lock(const struct cpu *cpu)
{
	for (unsigned i = 0; i < LOCK_TRIES; i++) {
		if (try_lock(cpu))
			return true;
		__builtin_ia32_pause();
	}
	return false;
}

static void unlock(void)
{
	__atomic_store_n(&dump.lock, 0, __ATOMIC_RELEASE);
}

static uint64_t ticks_of(const struct cpu *cpu, uint64_t ms)
{
	return cpu->boot->tsc_hz / 1000 * ms;
}

/* What is queued behind its end are samples, which may never end. */
uint64_t dump_pending(void)
{
	uint64_t sent = console_written() - console_queued();

	if (dump.active)
		return console_queued() + 1;
	return dump.end > sent ? dump.end - sent : 0;
}

/* False: that was behind the last line of the block. */
static bool line_of(const struct dump_section *section, const struct cpu *about, struct text *text)
{
	unsigned n = dump.line++;

	for (; section->one || section->each; section++) {
		unsigned lines = section->lines ? section->lines(about) : 1;

		if (n < lines) {
			if (section->one)
				section->one(about, text);
			else
				section->each(about, n, text);
			return true;
		}
		n -= lines;
	}
	return false;
}

/* As text, the sum stands in a block of its own where there is more than one CPU. */
static bool is_last_block(const struct cpu *cpu)
{
	bool sum = cpu->boot->nr_cpus > 1 && !cpu->boot->config.dump_csv;

	return dump.start || dump.block == cpu->boot->nr_cpus - !sum;
}

/* Sending the samples of before the dump has taken a while. */
static void take_report(struct cpu *cpu, const struct cpu *about)
{
	if (about == cpu && cpu->boot->sample_rings)
		report_publish(cpu);
	dump_take_report(about);
}

static bool next_line(struct cpu *cpu, struct text *text)
{
	const struct cpu *about = cpu_at(cpu, dump.block < cpu->boot->nr_cpus ? dump.block : 0);

	if (dump.start)
		return line_of(dump_start_sections, about, text);
	if (dump.block == cpu->boot->nr_cpus)
		return line_of(dump_total_sections, about, text);
	if (!dump.line)
		take_report(cpu, about);
	return line_of(cpu->boot->config.dump_csv ? dump_csv_sections : dump_cpu_sections, about, text);
}

static void print_next_line(struct cpu *cpu)
{
	char line[TEXT_LINE_MAX];
	struct text text = { line, line + sizeof(line) };

	while (dump.active && text.at == line) {
		if (next_line(cpu, &text))
			continue;
		dump.active = !is_last_block(cpu);
		dump.block++;
		dump.line = 0;
	}
	console_write(line, &text);
	dump.end = console_written();
}

static void print_next(struct cpu *cpu)
{
	if (!dump_samples_send(cpu) && dump.active && console_has_room())
		print_next_line(cpu);
}

static void become_printer(struct cpu *cpu)
{
	dump.printer = cpu->id + 1;
	dump.ticked = reg_rdtsc();
	timer_set(cpu, TIMER_DUMP, console_fifo_ticks(cpu->boot->tsc_hz));
}

/* Unless one is under way. Who prints already goes on printing. */
static void begin(struct cpu *cpu, bool start)
{
	if (dump.active)
		return;
	dump.active = true;
	dump.start = start;
	dump.number += !start;
	dump.block = dump.line = 0;
	dump.total = (struct figures){ .root_ticks = 0 };
	dump_samples_begin(cpu);
	dump.ticked = reg_rdtsc();
	if (!dump.printer || dump.printer == cpu->id + 1)
		become_printer(cpu);
}

/* Its timer has stood still: its guest waits for a SIPI, or it stopped. */
static bool printer_is_gone(const struct cpu *cpu, uint64_t now)
{
	return now - dump.ticked > cpu->boot->tsc_hz;
}

void dump_samples_wait(struct cpu *cpu)
{
	if (!dump_samples_due(cpu) || (dump.printer && !printer_is_gone(cpu, reg_rdtsc())) || !try_lock(cpu))
		return;
	become_printer(cpu);
	unlock();
}

void dump_request(struct cpu *cpu)
{
	report_publish(cpu);
	if (!lock(cpu))
		return;
	begin(cpu, false);
	unlock();
}

void dump_start(struct cpu *cpu)
{
	if (!lock(cpu))
		return;
	dump.due = reg_rdtsc() + ticks_of(cpu, cpu->boot->config.dump_ms);
	begin(cpu, true);
	while (dump.active && console_has_room())
		print_next_line(cpu);
	unlock();
}

/*
 * When to look again: as soon as the UART takes more, or when the next dump is due. The others publish at the same
 * time, or a period from now if their time is another.
 */
static uint64_t next_tick(const struct cpu *cpu, uint64_t now)
{
	uint64_t left = dump.due - now, period = ticks_of(cpu, cpu->boot->config.dump_ms);

	if (dump.printer == cpu->id + 1)
		return console_fifo_ticks(cpu->boot->tsc_hz);
	if (!period)
		return 0;
	if (left - 1 < period)
		return left;
	return cpu->id ? period : console_fifo_ticks(cpu->boot->tsc_hz);
}

/*
 * A dump that is due waits until the last one is out, so that whoever asked for that sees its end. If the printer is
 * gone, CPU 0 prints the rest.
 */
static void begin_if_due(struct cpu *cpu, uint64_t now)
{
	uint64_t period = ticks_of(cpu, cpu->boot->config.dump_ms);

	if ((dump.active || console_queued()) && printer_is_gone(cpu, now))
		dump.printer = cpu->id + 1;
	if (period && now - dump.due < BIT(63) && !dump_pending()) {
		dump.due = now + period;
		report_publish(cpu);
		begin(cpu, false);
	}
}

static void print_on(struct cpu *cpu, uint64_t now)
{
	if (cpu->id == 0)
		begin_if_due(cpu, now);
	if (dump.printer != cpu->id + 1)
		return;
	dump.ticked = now;
	console_drain();
	print_next(cpu);
	if (!dump.active && !console_queued() && !dump_samples_send(cpu))
		dump.printer = 0;
}

static uint64_t tick_of_printer(struct cpu *cpu, uint64_t now)
{
	uint64_t next = console_fifo_ticks(cpu->boot->tsc_hz);

	if (!try_lock(cpu))
		return next;
	print_on(cpu, now);
	next = next_tick(cpu, now);
	unlock();
	return next;
}

void dump_tick(struct cpu *cpu)
{
	uint64_t now = reg_rdtsc();

	if (cpu->id == 0 || dump.printer == cpu->id + 1) {
		timer_set(cpu, TIMER_DUMP, tick_of_printer(cpu, now));
	} else {
		report_publish(cpu);
		timer_set(cpu, TIMER_DUMP, next_tick(cpu, now));
	}
}

/* One that holds it longer than a second has come to harm: what this CPU has to say is better mixed up than unsaid. */
void dump_seize(struct cpu *cpu)
{
	uint64_t since = reg_rdtsc();

	while (!try_lock(cpu) && reg_rdtsc() - since < cpu->boot->tsc_hz)
		__builtin_ia32_pause();
}

void dump_final(struct cpu *cpu)
{
	dump_seize(cpu);
	report_publish(cpu);
	console_flush();
	begin(cpu, false);
	while (dump.active) {
		print_next(cpu);
		console_flush();
	}
	dump.printer = 0;
	unlock();
}
