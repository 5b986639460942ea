/* The first block: what was found and decided. */
#include "arch/x86/reg.h"
#include "dump.h"
#include "frame.h"
#include "text.h"

#define VERSION "0.1"

#define CPUID_BRAND_FIRST 0x80000002u
#define CPUID_BRAND_LAST  0x80000004u

static void line_version(const struct cpu *cpu, struct text *text)
{
	text_string(text, "pmuvisor start\n  version " VERSION " ");
	text_string(text, cpu->ops->name);
	text_string(text, "\n");
}

static void line_cpu(const struct cpu *cpu, struct text *text)
{
	uint32_t regs[5] = { 0 };

	(void)cpu;
	text_string(text, "  cpu ");
	for (uint32_t leaf = CPUID_BRAND_FIRST; leaf <= CPUID_BRAND_LAST; leaf++) {
		reg_cpuid(leaf, 0, regs);
		text_string(text, (const char *)regs); /* sixteen characters; regs[4] ends them */
	}
	text_string(text, "\n");
}

static void line_pmu(const struct cpu *cpu, struct text *text)
{
	const struct pmu_caps *caps = &cpu->pmu.caps;

	text_string(text, "  pmu ");
	text_string(text, cpu->pmu.ops->name);
	text_name(text, "version", caps->version);
	text_name(text, "counters", caps->nr_gp);
	text_name(text, "width", caps->width);
	text_string(text, " fixed ");
	text_bits(text, caps->fixed);
	text_string(text, "\n");
}

static void share(struct text *text, const char *owner, uint64_t counters)
{
	text_string(text, owner);
	text_string(text, " counters ");
	text_bits(text, counters & BITS(31, 0));
	text_string(text, " fixed ");
	text_bits(text, counters >> 32);
}

static void line_guest(const struct cpu *cpu, struct text *text)
{
	share(text, "  guest", cpu->pmu.guest);
	text_string(text, "\n");
}

static void line_host(const struct cpu *cpu, struct text *text)
{
	share(text, "  host", cpu->pmu.host);
	text_string(text, "\n");
}

static void line_modes(const struct cpu *cpu, struct text *text)
{
	text_string(text, cpu->pmu.shared ? "  mode shared" : "  mode direct");
	text_string(text, cpu->pmu.gate.rdpmc_open ? " rdpmc direct" : " rdpmc trap");
	text_string(text, cpu->boot->config.hypervisor_bit ? " hypervisor-bit on" : " hypervisor-bit off");
	text_string(text, cpu->x2apic ? " apic x2apic" : " apic xapic");
	text_string(text, "\n");
}

static const char *metrics_offer(const struct pmu *pmu)
{
	if (!pmu->caps.metrics)
		return "none";
	return pmu->controls & PMU_METRICS ? "guest" : "host";
}

static void put_pebs(const struct cpu *cpu, struct text *text)
{
	static const char *const pebs[] = {
		[PEBS_ABSENT] = "none",
		[PEBS_OFFERED] = "guest",
		[PEBS_OFF] = "off",
		[PEBS_UNSAFE] = "unsafe",
	};

	text_string(text, " pebs ");
	text_string(text, pebs[cpu->pmu.pebs.offer]);
}

static void line_sampling(const struct cpu *cpu, struct text *text)
{
	text_string(text, " ");
	put_pebs(cpu, text);
	text_string(text, " metrics ");
	text_string(text, metrics_offer(&cpu->pmu));
	text_string(text, "\n");
}

/* Nobody's, of a kind: the processor has them, and VM entry and exit can't switch them. */
static void put_lbr(const struct lbr *lbr, struct text *text)
{
	text_string(text, " lbr ");
	if (lbr->guests)
		text_string(text, lbr->hosts ? "both" : "guest");
	else
		text_string(text, lbr->hosts ? "host" : "none");
	text_string(text, " kind ");
	text_string(text, lbr->ops ? lbr->ops->name : "none");
	text_name(text, "entries", lbr->caps.entries);
}

static void line_lbr(const struct cpu *cpu, struct text *text)
{
	text_string(text, " ");
	put_lbr(&cpu->pmu.lbr, text);
	text_string(text, "\n");
}

static void line_samples(const struct cpu *cpu, struct text *text)
{
	if (!cpu->boot->sample_rings)
		return;
	text_string(text, "  samples");
	text_name(text, "format", FRAME_FORMAT);
	text_name(text, "branches", sample_branches(cpu));
	text_name(text, "ring", SAMPLE_RING_SIZE);
	text_name(text, "ticks", FRAME_TIME);
	text_string(text, "\n");
}

static unsigned nr_events(const struct cpu *cpu)
{
	return cpu->boot->sample_rings ? cpu->pmu.nr_events : 0;
}

static void line_sampled(const struct cpu *cpu, unsigned n, struct text *text)
{
	const struct config_event *event = &cpu->boot->config.events[n];

	if (!event->period)
		return;
	text_name(text, " sampled", n);
	dump_put_event(event, text);
	text_name(text, "period", event->period);
	text_string(text, "\n");
}

static unsigned nr_images(const struct cpu *cpu)
{
	return cpu->boot->nr_images;
}

static void line_image(const struct cpu *cpu, unsigned n, struct text *text)
{
	const struct boot_image *image = (const struct boot_image *)cpu->boot->images + n;

	text_string(text, "  image at ");
	text_hex(text, image->base);
	text_name(text, "bytes", image->size);
	text_string(text, " guid ");
	text_string(text, *image->guid ? image->guid : "none");
	text_string(text, " name ");
	text_string(text, *image->name ? image->name : "none");
	text_string(text, "\n");
}

static void line_memory(const struct cpu *cpu, struct text *text)
{
	const struct boot_info *boot = cpu->boot;

	text_string(text, "  memory at ");
	text_hex(text, boot->region_pa);
	text_name(text, "bytes", boot->region_size);
	text_name(text, "per-cpu", boot->cpu_area_size);
	text_name(text, "ept", boot->ept_pages * PAGE_SIZE);
	text_string(text, "\n");
}

static void line_time(const struct cpu *cpu, struct text *text)
{
	text_string(text, "  tsc");
	text_name(text, "hz", cpu->boot->tsc_hz);
	text_name(text, "dump-ms", cpu->boot->config.dump_ms);
	text_string(text, "\nend\n");
}

static void line_processors(const struct cpu *cpu, struct text *text)
{
	if (cpu->boot->nr_processors == 1)
		return;
	text_string(text, "  processors");
	text_name(text, "all", cpu->boot->nr_processors);
	text_name(text, "cpus", cpu->boot->nr_cpus);
	text_string(text, "\n");
}

static unsigned nr_processors(const struct cpu *cpu)
{
	return cpu->boot->nr_processors > 1 ? cpu->boot->nr_processors : 0;
}

static void put_cpu(const struct cpu *cpu, struct text *text)
{
	text_name(text, "cpu", cpu->id);
	text_name(text, "version", cpu->pmu.caps.version);
	share(text, " guest", cpu->pmu.guest);
	share(text, " host", cpu->pmu.host);
	put_pebs(cpu, text);
	put_lbr(&cpu->pmu.lbr, text);
}

/* The first of them are the CPUs. With cpus=boot there are others that could be. */
static void line_processor(const struct cpu *cpu, unsigned n, struct text *text)
{
	const struct boot_processor *processor = &cpu->boot->processors[n];

	text_string(text, "  processor");
	text_name(text, "apic-id", processor->apic_id);
	if (n < cpu->boot->nr_cpus)
		put_cpu(cpu_at(cpu, n), text);
	else
		text_string(text, processor->enabled ? " not pmuvisor's" : " disabled by the firmware");
	text_string(text, "\n");
}

const struct dump_section dump_start_sections[] = {
	{ .one = line_version },
	{ .one = line_cpu },
	{ .one = line_pmu },
	{ .one = line_guest },
	{ .one = line_host },
	{ .one = line_modes },
	{ .one = line_sampling },
	{ .one = line_lbr },
	{ .one = line_samples },
	{ .lines = nr_events, .each = line_sampled },
	{ .lines = nr_images, .each = line_image },
	{ .one = line_processors },
	{ .lines = nr_processors, .each = line_processor },
	{ .one = line_memory },
	{ .one = line_time },
	{ .one = NULL },
};
