/* The blocks of a dump: one for each CPU, and their sum. */
#include "dump.h"
#include "arch/x86/reg.h"
#include "console.h"

const char *const exit_names[EXIT_REASONS] = {
	[EXIT_CPUID] = "cpuid",
	[EXIT_RDMSR] = "rdmsr",
	[EXIT_WRMSR] = "wrmsr",
	[EXIT_RDPMC] = "rdpmc",
	[EXIT_NMI] = "nmi",
	[EXIT_NMI_WINDOW] = "nmi-window",
	[EXIT_TIMER] = "timer",
	[EXIT_STEP] = "step",
	[EXIT_HYPERCALL] = "hypercall",
	[EXIT_VIRTUALIZATION] = "virtualization",
	[EXIT_INVD] = "invd",
	[EXIT_XSETBV] = "xsetbv",
	[EXIT_INIT] = "init",
	[EXIT_SHUTDOWN] = "shutdown",
	[EXIT_UNKNOWN] = "unknown",
	[EXIT_IO] = "io",
	[EXIT_CONTROL_REGISTER] = "control-register",
	[EXIT_HIDDEN_MEMORY] = "hidden-memory",
	[EXIT_APIC_ACCESS] = "apic-access",
	[EXIT_SIPI] = "sipi",
};

void dump_take_report(const struct cpu *cpu)
{
	const uint64_t *figures = (const uint64_t *)&dump.report.figures;

	report_read(cpu, &dump.report);
	dump.shown = &dump.report.figures;
	for (size_t i = 0; i < sizeof(dump.total) / sizeof(*figures); i++)
		((uint64_t *)&dump.total)[i] += figures[i];
}

static uint64_t ms_since_start(const struct cpu *cpu, uint64_t tsc)
{
	return (tsc - cpu->time.started) / (cpu->boot->tsc_hz / 1000);
}

static void line_header(const struct cpu *cpu, struct text *text)
{
	text_string(text, "pmuvisor dump");
	text_name(text, "number", dump.number);
	text_name(text, "cpu", cpu->id);
	text_name(text, "ms", ms_since_start(cpu, dump.report.tsc));
	text_string(text, cpu->pmu.shared ? " mode shared\n" : " mode direct\n");
}

static void line_total_header(const struct cpu *cpu, struct text *text)
{
	dump.shown = &dump.total;
	text_string(text, "pmuvisor total");
	text_name(text, "number", dump.number);
	text_name(text, "cpus", cpu->boot->nr_cpus);
	text_name(text, "ms", ms_since_start(cpu, reg_rdtsc()));
	text_string(text, "\n");
}

static unsigned nr_events(const struct cpu *cpu)
{
	return cpu->pmu.nr_events;
}

void dump_put_event(const struct config_event *config, struct text *text)
{
	text_string(text, " event ");
	text_string(text, config->name);
	text_string(text, config->guest ? config->host ? " in guest,host" : " in guest" : " in host");
	text_string(text, config->user ? config->kernel ? " at user,kernel" : " at user" : " at kernel");
}

static void put_event(const struct config_event *config, uint64_t count, uint64_t overflows, struct text *text)
{
	text_string(text, " event ");
	text_string(text, config->name);
	text_string(text, config->guest ? config->host ? " in guest,host" : " in guest" : " in host");
	text_string(text, config->user ? config->kernel ? " at user,kernel" : " at user" : " at kernel");
	text_name(text, "count", count);
	if (config->period) {
		text_name(text, "period", config->period);
		text_name(text, "overflows", overflows);
	}
	text_string(text, "\n");
}

static void put_host_event(const struct cpu *cpu, unsigned n, struct text *text)
{
	put_event(&cpu->boot->config.events[n], dump.shown->counts[n], dump.shown->overflows[n], text);
}

static void line_counter(const struct cpu *cpu, unsigned n, struct text *text)
{
	text_name(text, " counter", cpu->pmu.events[n].counter);
	put_host_event(cpu, n, text);
}

static void line_total_event(const struct cpu *cpu, unsigned n, struct text *text)
{
	text_string(text, " ");
	put_host_event(cpu, n, text);
}

/* Two lines for each. */
static unsigned guest_event_lines(const struct cpu *cpu)
{
	(void)cpu;
	return 2 * (unsigned)dump.report.nr_guest_events;
}

static void line_guest_event(const struct cpu *cpu, unsigned n, struct text *text)
{
	const struct report_guest_event *event = &dump.report.guest_events[n / 2];

	(void)cpu;
	text_name(text, n % 2 ? " guest-time" : " guest-event", event->id);
	if (n % 2) {
		text_name(text, "enabled-ticks", event->counts.enabled);
		text_name(text, "running-ticks", event->counts.running);
		text_string(text, "\n");
		return;
	}
	if (event->counter == PMU_NO_COUNTER)
		text_string(text, " counter none");
	else
		text_name(text, "counter", event->counter);
	put_event(&event->config, event->counts.count, event->counts.overflows, text);
}

static unsigned nr_reasons(const struct cpu *cpu)
{
	(void)cpu;
	return EXIT_REASONS;
}

static void line_exits(const struct cpu *cpu, unsigned n, struct text *text)
{
	(void)cpu;
	if (!dump.shown->cpu.exits[n])
		return;
	text_string(text, "  exits ");
	text_string(text, exit_names[n]);
	text_name(text, "count", dump.shown->cpu.exits[n]);
	text_string(text, "\n");
}

static void line_pmi(const struct cpu *cpu, struct text *text)
{
	const struct pmu_stats *stats = &dump.shown->pmu;

	(void)cpu;
	text_string(text, "  pmi");
	text_name(text, "host", stats->host_pmis);
	text_name(text, "host-late", stats->host_late);
	text_name(text, "guest", stats->guest_pmis);
	text_name(text, "guest-emulated", stats->guest_pmis_emulated);
	text_name(text, "guest-masked", stats->guest_pmis_masked);
	text_string(text, "\n");
}

static void line_pebs(const struct cpu *cpu, struct text *text)
{
	const struct pebs_stats *stats = &dump.shown->pebs;

	(void)cpu;
	if (!(stats->starts || stats->ds_areas || stats->hidden_records))
		return;
	text_string(text, "  pebs");
	text_name(text, "starts", stats->starts);
	text_name(text, "exits", stats->exits);
	text_name(text, "ds-areas", stats->ds_areas);
	text_name(text, "unmapped", stats->ds_unmapped);
	text_name(text, "hidden", stats->ds_hidden);
	text_name(text, "hidden-records", stats->hidden_records);
	text_string(text, "\n");
}

static void line_samples(const struct cpu *cpu, struct text *text)
{
	if (!cpu->boot->sample_rings)
		return;
	text_string(text, "  samples");
	text_name(text, "taken", dump.shown->samples_taken);
	text_name(text, "lost", dump.shown->samples_lost);
	text_string(text, "\n");
}

static unsigned lbr_lines(const struct cpu *cpu)
{
	return cpu->pmu.lbr.hosts ? 1 + (unsigned)dump.report.nr_branches : 0;
}

static void line_lbr(const struct cpu *cpu, unsigned n, struct text *text)
{
	const struct report *report = &dump.report;

	(void)cpu;
	if (n == 0) {
		text_string(text, "  lbr");
		text_name(text, "captures", report->captures);
	} else {
		text_string(text, "  branch from ");
		text_hex(text, report->branches[n - 1].from);
		text_string(text, " to ");
		text_hex(text, report->branches[n - 1].to);
	}
	text_string(text, "\n");
}

static void line_nmi(const struct cpu *cpu, struct text *text)
{
	(void)cpu;
	text_string(text, "  nmi");
	text_name(text, "guest", dump.shown->pmu.guest_nmis);
	text_name(text, "in-root", dump.shown->pmu.root_nmis);
	text_name(text, "merged", dump.shown->pmu.merged_nmis);
	text_string(text, "\n");
}

static void line_time(const struct cpu *cpu, struct text *text)
{
	const struct figures *figures = dump.shown;

	(void)cpu;
	text_string(text, "  time");
	text_name(text, "root-ticks", figures->root_ticks);
	text_string(text, " root-share ");
	text_percent(text, figures->root_ticks, figures->all_ticks);
	text_name(text, "paused-ticks", figures->pmu.paused_tsc);
	text_name(text, "windows", figures->pmu.windows);
	text_string(text, "\n");
}

static void line_guest(const struct cpu *cpu, struct text *text)
{
	const struct figures *figures = dump.shown;

	(void)cpu;
	text_string(text, "  guest");
	text_name(text, "emulated", figures->pmu.emulated);
	text_name(text, "faults", figures->cpu.faults_injected);
	text_name(text, "hidden-memory", figures->cpu.hidden_touches);
	text_name(text, "hidden-counters", figures->pmu.hidden_writes);
	text_name(text, "lost-characters", console_lost());
	text_string(text, "\nend\n");
}

const struct dump_section dump_cpu_sections[] = {
	{ .one = line_header },
	{ .lines = nr_events, .each = line_counter },
	{ .lines = guest_event_lines, .each = line_guest_event },
	{ .lines = nr_reasons, .each = line_exits },
	{ .one = line_pmi },
	{ .one = line_samples },
	{ .one = line_pebs },
	{ .lines = lbr_lines, .each = line_lbr },
	{ .one = line_nmi },
	{ .one = line_time },
	{ .one = line_guest },
	{ .one = NULL },
};

/* The branches of one CPU don't add up with another's. */
const struct dump_section dump_total_sections[] = {
	{ .one = line_total_header },
	{ .lines = nr_events, .each = line_total_event },
	{ .lines = nr_reasons, .each = line_exits },
	{ .one = line_pmi },
	{ .one = line_samples },
	{ .one = line_pebs },
	{ .one = line_nmi },
	{ .one = line_time },
	{ .one = line_guest },
	{ .one = NULL },
};
