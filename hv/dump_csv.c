/*
 * The dump of one CPU in the fields that `perf stat -A -x,` writes: the CPU, a value, its unit, the event, for how many
 * nanoseconds it was counted, for how much of the time in percent, and two that are empty here. Everything is since the
 * start, so the last dump says it all.
 */
#include <stddef.h>

#include "dump.h"
#include "text.h"

/* What isn't a host event is an event of a PMU called pmuvisor. */
static const struct {
	const char *name;
	size_t offset; /* in struct figures */
} others[] = {
	{ "pmi-host", offsetof(struct figures, pmu.host_pmis) },
	{ "pmi-host-late", offsetof(struct figures, pmu.host_late) },
	{ "pmi-guest", offsetof(struct figures, pmu.guest_pmis) },
	{ "pmi-guest-emulated", offsetof(struct figures, pmu.guest_pmis_emulated) },
	{ "pmi-guest-masked", offsetof(struct figures, pmu.guest_pmis_masked) },
	{ "nmi-guest", offsetof(struct figures, pmu.guest_nmis) },
	{ "nmi-in-root", offsetof(struct figures, pmu.root_nmis) },
	{ "root-ticks", offsetof(struct figures, root_ticks) },
	{ "paused-ticks", offsetof(struct figures, pmu.paused_tsc) },
	{ "windows", offsetof(struct figures, pmu.windows) },
	{ "emulated", offsetof(struct figures, pmu.emulated) },
	{ "faults", offsetof(struct figures, cpu.faults_injected) },
	{ "samples-taken", offsetof(struct figures, samples_taken) },
	{ "samples-lost", offsetof(struct figures, samples_lost) },
};

static void put_first(const struct cpu *cpu, uint64_t value, struct text *text)
{
	text_string(text, "CPU");
	text_number(text, cpu->id);
	text_string(text, ",");
	text_number(text, value);
	text_string(text, ",,");
}

static uint64_t nanoseconds(const struct cpu *cpu, uint64_t ticks)
{
	const uint64_t second = 1000000000, hz = cpu->boot->tsc_hz;

	return ticks / hz * second + ticks % hz * second / hz;
}

static void put_last(const struct cpu *cpu, uint64_t ticks, uint64_t whole, struct text *text)
{
	text_string(text, ",");
	text_number(text, nanoseconds(cpu, ticks));
	text_string(text, ",");
	text_hundredths(text, ticks, whole);
	text_string(text, ",,\n");
}

static void line_header(const struct cpu *cpu, struct text *text)
{
	text_string(text, "# pmuvisor dump");
	text_name(text, "number", dump.number);
	text_name(text, "cpu", cpu->id);
	text_name(text, "ms", (dump.report.tsc - cpu->time.started) / (cpu->boot->tsc_hz / 1000));
	text_string(text, "\n");
}

/* By name, or with both numbers in perf's own way: a comma would end the field. */
static void put_name(const struct config_event *event, struct text *text)
{
	const char *c = event->name;

	while (*c && *c != '=')
		c++;
	if (!*c) {
		text_string(text, event->name);
		return;
	}
	text_string(text, "r");
	text_digits(text, (uint64_t)event->umask << 8 | event->event, 4);
}

static void put_modifiers(const struct config_event *event, const char *separator, struct text *text)
{
	if ((event->user && event->kernel) && (event->guest && event->host))
		return;
	text_string(text, separator);
	if (!(event->user && event->kernel))
		text_string(text, event->user ? "u" : "k");
	if (!(event->guest && event->host))
		text_string(text, event->guest ? "G" : "H");
}

static unsigned nr_events(const struct cpu *cpu)
{
	return cpu->pmu.nr_events;
}

/* In windows the host counts nothing. */
static void line_event(const struct cpu *cpu, unsigned n, struct text *text)
{
	const struct config_event *event = &cpu->boot->config.events[n];

	put_first(cpu, dump.shown->counts[n], text);
	put_name(event, text);
	put_modifiers(event, ":", text);
	put_last(cpu, dump.shown->all_ticks - dump.shown->pmu.paused_tsc, dump.shown->all_ticks, text);
}

static unsigned nr_guest_events(const struct cpu *cpu)
{
	(void)cpu;
	return (unsigned)dump.report.nr_guest_events;
}

/* The guest may open the same event twice: each is of a PMU of its own. */
static void line_guest_event(const struct cpu *cpu, unsigned n, struct text *text)
{
	const struct report_guest_event *event = &dump.report.guest_events[n];

	put_first(cpu, event->counts.count, text);
	text_string(text, "guest-event-");
	text_number(text, event->id);
	text_string(text, "/");
	put_name(&event->config, text);
	put_modifiers(&event->config, "/", text);
	put_last(cpu, event->counts.running, event->counts.enabled, text);
}

static void put_other(const struct cpu *cpu, uint64_t value, const char *kind, const char *name, struct text *text)
{
	put_first(cpu, value, text);
	text_string(text, "pmuvisor/");
	text_string(text, kind);
	text_string(text, name);
	text_string(text, "/");
	put_last(cpu, dump.shown->all_ticks, dump.shown->all_ticks, text);
}

static unsigned nr_reasons(const struct cpu *cpu)
{
	(void)cpu;
	return EXIT_REASONS;
}

static void line_exits(const struct cpu *cpu, unsigned n, struct text *text)
{
	if (dump.shown->cpu.exits[n])
		put_other(cpu, dump.shown->cpu.exits[n], "exits-", exit_names[n], text);
}

static unsigned nr_others(const struct cpu *cpu)
{
	(void)cpu;
	return ARRAY_SIZE(others);
}

static void line_other(const struct cpu *cpu, unsigned n, struct text *text)
{
	const uint8_t *figures = (const uint8_t *)dump.shown;

	put_other(cpu, *(const uint64_t *)(figures + others[n].offset), "", others[n].name, text);
}

static void line_end(const struct cpu *cpu, struct text *text)
{
	(void)cpu;
	text_string(text, "# end\n");
}

const struct dump_section dump_csv_sections[] = {
	{ .one = line_header },
	{ .lines = nr_events, .each = line_event },
	{ .lines = nr_guest_events, .each = line_guest_event },
	{ .lines = nr_reasons, .each = line_exits },
	{ .lines = nr_others, .each = line_other },
	{ .one = line_end },
	{ .one = NULL },
};
