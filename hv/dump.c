/*
 * One line at a time: each is made when the queue has room for it, so that a timer exit does a bounded amount of work
 * however long the dump. The counts of one dump are therefore read within a few milliseconds, not at one instant.
 */
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

static uint64_t ticks_of(const struct cpu *cpu, uint64_t ms)
{
	return cpu->boot->tsc_hz / 1000 * ms;
}

static void line_header(struct cpu *cpu, struct text *text)
{
	uint64_t now = reg_rdtsc() - cpu->stats.started;

	text_string(text, "pmuvisor dump");
	text_name(text, "number", cpu->dump.number);
	text_name(text, "cpu", cpu->id);
	text_name(text, "ms", now / (cpu->boot->tsc_hz / 1000));
	text_string(text, cpu->pmu.shared ? " mode shared\n" : " mode direct\n");
}

static void line_counter(struct cpu *cpu, unsigned n, struct text *text)
{
	const struct pmu_host_event *event = &cpu->pmu.events[n];
	const struct config_event *config = event->config;

	if (n >= cpu->pmu.nr_events)
		return;
	text_name(text, " counter", event->counter);
	text_string(text, " event ");
	text_string(text, config->name);
	text_string(text, config->guest ? config->host ? " in guest,host" : " in guest" : " in host");
	text_string(text, config->user ? config->kernel ? " at user,kernel" : " at user" : " at kernel");
	text_name(text, "count", pmu_host_count(&cpu->pmu, event));
	if (config->period) {
		text_name(text, "period", config->period);
		text_name(text, "overflows", event->overflows);
	}
	text_string(text, "\n");
}

static void line_exits(struct cpu *cpu, unsigned n, struct text *text)
{
	if (!cpu->stats.exits[n])
		return;
	text_string(text, "  exits ");
	text_string(text, exit_names[n]);
	text_name(text, "count", cpu->stats.exits[n]);
	text_string(text, "\n");
}

static void line_pmi(struct cpu *cpu, struct text *text)
{
	const struct pmu_stats *stats = &cpu->pmu.stats;

	text_string(text, "  pmi");
	text_name(text, "host", stats->host_pmis);
	text_name(text, "host-late", stats->host_late);
	text_name(text, "guest", stats->guest_pmis);
	text_name(text, "guest-emulated", stats->guest_pmis_emulated);
	text_name(text, "guest-masked", stats->guest_pmis_masked);
	text_string(text, "\n");
}

static void line_pebs(struct cpu *cpu, struct text *text)
{
	const struct pebs_stats *stats = &cpu->pmu.pebs.stats;

	if (!pebs_is_used(&cpu->pmu.pebs))
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

/* The last capture as it was when this dump began. */
static void line_lbr(struct cpu *cpu, unsigned n, struct text *text)
{
	const struct dump *dump = &cpu->dump;

	if (!cpu->pmu.lbr.hosts)
		return;
	if (n == 0) {
		text_string(text, "  lbr");
		text_name(text, "captures", dump->captures);
		text_string(text, "\n");
	} else if (n <= dump->nr_branches) {
		text_string(text, "  branch from ");
		text_hex(text, dump->branches[n - 1].from);
		text_string(text, " to ");
		text_hex(text, dump->branches[n - 1].to);
		text_string(text, "\n");
	}
}

static void line_nmi(struct cpu *cpu, struct text *text)
{
	text_string(text, "  nmi");
	text_name(text, "guest", cpu->pmu.stats.guest_nmis);
	text_name(text, "in-root", cpu->pmu.stats.root_nmis);
	text_string(text, "\n");
}

static void line_time(struct cpu *cpu, struct text *text)
{
	uint64_t now = reg_rdtsc(), all = now - cpu->stats.started;
	uint64_t root = cpu->stats.root_tsc + now; /* up to now: this is root mode */

	text_string(text, "  time");
	text_name(text, "root-ticks", root);
	text_string(text, " root-share ");
	text_percent(text, root, all);
	text_name(text, "paused-ticks", cpu->pmu.stats.paused_tsc);
	text_name(text, "windows", cpu->pmu.stats.windows);
	text_string(text, "\n");
}

static void line_guest(struct cpu *cpu, struct text *text)
{
	text_string(text, "  guest");
	text_name(text, "emulated", cpu->pmu.stats.emulated);
	text_name(text, "faults", cpu->stats.faults_injected);
	text_name(text, "hidden-memory", cpu->stats.hidden_touches);
	text_name(text, "hidden-counters", cpu->pmu.stats.hidden_writes);
	text_name(text, "lost-characters", console_lost());
	text_string(text, "\nend\n");
}

/* Line `n` of a dump, empty where there is nothing to say. False: that was behind the last. */
static bool dump_line(struct cpu *cpu, unsigned n, struct text *text)
{
	static const struct {
		unsigned lines; /* 0: one */
		void (*one)(struct cpu *cpu, struct text *text);
		void (*each)(struct cpu *cpu, unsigned n, struct text *text);
	} sections[] = {
		{ .one = line_header },
		{ CONFIG_MAX_EVENTS, .each = line_counter },
		{ EXIT_REASONS, .each = line_exits },
		{ .one = line_pmi },
		{ .one = line_pebs },
		{ 1 + DUMP_BRANCHES, .each = line_lbr },
		{ .one = line_nmi },
		{ .one = line_time },
		{ .one = line_guest },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(sections); i++) {
		unsigned lines = sections[i].lines ? sections[i].lines : 1;

		if (n < lines) {
			if (sections[i].one)
				sections[i].one(cpu, text);
			else
				sections[i].each(cpu, n, text);
			return true;
		}
		n -= lines;
	}
	return false;
}

static void take_branches(struct cpu *cpu)
{
	const struct lbr *lbr = &cpu->pmu.lbr;
	struct dump *dump = &cpu->dump;

	dump->captures = lbr->captures;
	dump->nr_branches = lbr->nr_branches < DUMP_BRANCHES ? lbr->nr_branches : DUMP_BRANCHES;
	for (unsigned i = 0; i < dump->nr_branches; i++)
		dump->branches[i] = lbr->branches[i];
}

static void print_next_line(struct cpu *cpu)
{
	char line[TEXT_LINE_MAX];
	struct text text = { line, line + sizeof(line) };

	if (dump_line(cpu, cpu->dump.line++, &text))
		console_write(line, &text);
	else
		cpu->dump.active = false;
}

void dump_request(struct cpu *cpu)
{
	struct dump *dump = &cpu->dump;

	if (dump->active || cpu->id)
		return;
	pmu_poll(cpu);
	take_branches(cpu);
	dump->active = true;
	dump->line = 0;
	dump->number++;
	cpu->ops->set_timer(cpu, console_fifo_ticks(cpu->boot->tsc_hz));
}

uint64_t dump_pending(const struct cpu *cpu)
{
	return console_queued() + (cpu->dump.active ? 1 : 0);
}

/* When to look again: as soon as the UART takes more, or when the next dump is due. */
static uint64_t next_tick(const struct cpu *cpu, uint64_t now)
{
	uint64_t left = cpu->dump.due - now;

	if (dump_pending(cpu) || (cpu->boot->config.dump_ms && left >= BIT(63)))
		return console_fifo_ticks(cpu->boot->tsc_hz);
	return cpu->boot->config.dump_ms ? left : 0;
}

/* A dump that is due waits until the last one is out, so that whoever asked for that sees its end. */
void dump_tick(struct cpu *cpu)
{
	struct dump *dump = &cpu->dump;
	uint64_t now = reg_rdtsc(), period = ticks_of(cpu, cpu->boot->config.dump_ms);

	if (period && now - dump->due < BIT(63) && !dump_pending(cpu)) {
		dump->due = now + period;
		dump_request(cpu);
	}
	console_drain();
	if (dump->active && console_has_room())
		print_next_line(cpu);
	cpu->ops->set_timer(cpu, next_tick(cpu, now));
}

void dump_final(struct cpu *cpu)
{
	console_flush();
	if (!cpu->dump.active)
		dump_request(cpu);
	while (cpu->dump.active) {
		print_next_line(cpu);
		console_flush();
	}
}
