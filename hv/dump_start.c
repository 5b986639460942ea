/* The first block: what was found and decided. */
#include "arch/x86/reg.h"
#include "console.h"
#include "dump.h"

#define VERSION "0.1"

#define CPUID_BRAND_FIRST 0x80000002u
#define CPUID_BRAND_LAST  0x80000004u

static void line_version(struct cpu *cpu, struct text *text)
{
	text_string(text, "pmuvisor start\n  version " VERSION " ");
	text_string(text, cpu->ops->name);
}

static void line_cpu(struct cpu *cpu, struct text *text)
{
	uint32_t regs[5] = { 0 };

	(void)cpu;
	text_string(text, "  cpu ");
	for (uint32_t leaf = CPUID_BRAND_FIRST; leaf <= CPUID_BRAND_LAST; leaf++) {
		reg_cpuid(leaf, 0, regs);
		text_string(text, (const char *)regs); /* sixteen characters; regs[4] ends them */
	}
}

static void line_pmu(struct cpu *cpu, struct text *text)
{
	const struct pmu_caps *caps = &cpu->pmu.caps;

	text_string(text, "  pmu ");
	text_string(text, cpu->pmu.ops->name);
	text_name(text, "version", caps->version);
	text_name(text, "counters", caps->nr_gp);
	text_name(text, "width", caps->width);
	text_string(text, " fixed ");
	text_bits(text, caps->fixed);
}

static void share(struct text *text, const char *owner, uint64_t counters)
{
	text_string(text, owner);
	text_string(text, " counters ");
	text_bits(text, counters & BITS(31, 0));
	text_string(text, " fixed ");
	text_bits(text, counters >> 32);
}

static void line_guest(struct cpu *cpu, struct text *text)
{
	share(text, "  guest", cpu->pmu.guest);
}

static void line_host(struct cpu *cpu, struct text *text)
{
	share(text, "  host", cpu->pmu.host);
}

static void line_modes(struct cpu *cpu, struct text *text)
{
	text_string(text, cpu->pmu.shared ? "  mode shared" : "  mode direct");
	text_string(text, cpu->pmu.gate.rdpmc_open ? " rdpmc direct" : " rdpmc trap");
	text_string(text, cpu->boot->config.hypervisor_bit ? " hypervisor-bit on" : " hypervisor-bit off");
	text_string(text, cpu->x2apic ? " apic x2apic" : " apic xapic");
}

static const char *metrics_offer(const struct pmu *pmu)
{
	if (!pmu->caps.metrics)
		return "none";
	return pmu->controls & PMU_METRICS ? "guest" : "host";
}

static void line_sampling(struct cpu *cpu, struct text *text)
{
	static const char *const pebs[] = {
		[PEBS_ABSENT] = "none",
		[PEBS_OFFERED] = "guest",
		[PEBS_OFF] = "off",
		[PEBS_UNSAFE] = "unsafe",
	};

	text_string(text, "  pebs ");
	text_string(text, pebs[cpu->pmu.pebs.offer]);
	text_string(text, " metrics ");
	text_string(text, metrics_offer(&cpu->pmu));
}

/* Nobody's, of a kind: the processor has them, and VM entry and exit can't switch them. */
static void line_lbr(struct cpu *cpu, struct text *text)
{
	const struct lbr *lbr = &cpu->pmu.lbr;

	text_string(text, "  lbr ");
	if (lbr->guests)
		text_string(text, lbr->hosts ? "both" : "guest");
	else
		text_string(text, lbr->hosts ? "host" : "none");
	text_string(text, " kind ");
	text_string(text, lbr->ops ? lbr->ops->name : "none");
	text_name(text, "entries", lbr->caps.entries);
}

static void line_memory(struct cpu *cpu, struct text *text)
{
	const struct boot_info *boot = cpu->boot;

	text_string(text, "  memory at ");
	text_hex(text, boot->region_pa);
	text_name(text, "bytes", boot->region_size);
	text_name(text, "per-cpu", boot->cpu_area_size);
	text_name(text, "ept", boot->ept_pages * PAGE_SIZE);
}

static void line_time(struct cpu *cpu, struct text *text)
{
	text_string(text, "  tsc");
	text_name(text, "hz", cpu->boot->tsc_hz);
	text_name(text, "dump-ms", cpu->boot->config.dump_ms);
	text_string(text, "\nend");
}

void dump_start(struct cpu *cpu)
{
	static void (*const lines[])(struct cpu *, struct text *) = {
		line_version, line_cpu,      line_pmu, line_guest,  line_host,
		line_modes,   line_sampling, line_lbr, line_memory, line_time,
	};

	for (unsigned i = 0; i < ARRAY_SIZE(lines); i++) {
		char line[TEXT_LINE_MAX];
		struct text text = { line, line + sizeof(line) };

		lines[i](cpu, &text);
		text_string(&text, "\n");
		console_write(line, &text);
	}
	cpu->dump.due = reg_rdtsc() + cpu->boot->tsc_hz / 1000 * cpu->boot->config.dump_ms;
	cpu->ops->set_timer(cpu, console_fifo_ticks(cpu->boot->tsc_hz));
}
