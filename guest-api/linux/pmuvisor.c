// SPDX-License-Identifier: MIT OR GPL-2.0
/*
 * A PMU for perf in a Linux guest of pmuvisor's: what pmuvisor counts of itself, and events on the counters that its
 * host leaves free. docs/guest-api.md.
 *
 * Statistics run freely: an event is the difference of two calls. Events are opened when perf puts one on this CPU and
 * closed when it takes it off, so both kinds work for a CPU and for a task. perf has no turns for such a PMU, and could
 * not be told of pmuvisor's: what finds no counter isn't counted, and says so. What an event has counted is read from
 * the CPU's page, where that has the count of the moment; else, and without the page, by a call.
 */
#include <linux/bitfield.h>
#include <linux/cpuhotplug.h>
#include <linux/io.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/perf_event.h>
#include <linux/smp.h>
#include <linux/sysfs.h>

#include "../pmuvisor.h"

#define CONFIG_COUNTED   GENMASK_ULL(31, 0)  /* as PMUVISOR_CALL_OPEN takes it, less the privileges and the PMI */
#define CONFIG_STATISTIC GENMASK_ULL(47, 32) /* or a statistic's number plus one */
#define CONFIG_PERFS     (PMUVISOR_EVENT_USER | PMUVISOR_EVENT_KERNEL | PMUVISOR_EVENT_PMI)

static u32 features;
static enum cpuhp_state online_state;
static DEFINE_PER_CPU(unsigned int, pmuvisor_used); /* counters */
static DEFINE_PER_CPU(struct pmuvisor_page *, pmuvisor_page);

static s64 call(struct pmuvisor_registers *regs, u64 operation, u64 rdx)
{
	regs->rcx = operation;
	regs->rdx = rdx;
	return pmuvisor_call(features, regs);
}

static bool is_statistic(const struct perf_event *event)
{
	return event->attr.config & CONFIG_STATISTIC;
}

static bool is_on_page(const struct perf_event *event, struct pmuvisor_counts *counts)
{
	const struct pmuvisor_page *page = this_cpu_read(pmuvisor_page);

	return page && pmuvisor_page_read(page, event->hw.idx, true, counts) == 1;
}

/* On the CPU that the event is on. */
static u64 counted(const struct perf_event *event)
{
	struct pmuvisor_registers regs = { 0 };
	struct pmuvisor_counts counts;
	s64 error;

	if (!is_statistic(event) && is_on_page(event, &counts))
		return counts.count;
	if (is_statistic(event))
		error = call(&regs, PMUVISOR_CALL_STATISTIC, FIELD_GET(CONFIG_STATISTIC, event->attr.config) - 1);
	else
		error = call(&regs, PMUVISOR_CALL_READ, event->hw.idx);
	return WARN_ON_ONCE(error) ? 0 : regs.rdx;
}

static void pmuvisor_read(struct perf_event *event)
{
	u64 now = counted(event), before = local64_xchg(&event->hw.prev_count, now);

	local64_add(now - before, &event->count);
}

static u64 enable(const struct perf_event *event, bool on)
{
	struct pmuvisor_registers regs = { 0 };

	return call(&regs, on ? PMUVISOR_CALL_ENABLE : PMUVISOR_CALL_DISABLE, BIT_ULL(event->hw.idx));
}

static void pmuvisor_start(struct perf_event *event, int flags)
{
	if (is_statistic(event))
		local64_set(&event->hw.prev_count, counted(event));
	else
		WARN_ON_ONCE(enable(event, true));
	event->hw.state = 0;
}

static void pmuvisor_stop(struct perf_event *event, int flags)
{
	if (event->hw.state & PERF_HES_STOPPED)
		return;
	if (!is_statistic(event))
		enable(event, false);
	pmuvisor_read(event);
	event->hw.state = PERF_HES_STOPPED | PERF_HES_UPTODATE;
}

static u64 open_config(const struct perf_event *event)
{
	return event->attr.config | (event->attr.exclude_user ? 0 : PMUVISOR_EVENT_USER) |
	       (event->attr.exclude_kernel ? 0 : PMUVISOR_EVENT_KERNEL);
}

/* Not more than can count at a time: the others would take turns that perf doesn't know of. */
static int open_event(struct perf_event *event)
{
	struct pmuvisor_registers regs = { 0 };
	s64 error;

	if (this_cpu_read(pmuvisor_used) >= pmuvisor_cpuid(PMUVISOR_CPUID_EVENTS).ebx)
		return -EAGAIN;
	error = call(&regs, PMUVISOR_CALL_OPEN, open_config(event));
	if (error)
		return error == PMUVISOR_E_BUSY || error == PMUVISOR_E_FULL ? -EAGAIN : -EINVAL;
	event->hw.idx = regs.rdx;
	local64_set(&event->hw.prev_count, 0);
	this_cpu_inc(pmuvisor_used);
	return 0;
}

static int pmuvisor_add(struct perf_event *event, int flags)
{
	int error = is_statistic(event) ? 0 : open_event(event);

	if (error)
		return error;
	event->hw.state = PERF_HES_STOPPED | PERF_HES_UPTODATE;
	if (flags & PERF_EF_START)
		pmuvisor_start(event, flags);
	return 0;
}

static void pmuvisor_del(struct perf_event *event, int flags)
{
	struct pmuvisor_registers regs = { 0 };

	pmuvisor_stop(event, PERF_EF_UPDATE);
	if (is_statistic(event))
		return;
	WARN_ON_ONCE(call(&regs, PMUVISOR_CALL_CLOSE, BIT_ULL(event->hw.idx)));
	this_cpu_dec(pmuvisor_used);
}

/* A statistic has neither privileges nor anything else; an event is tried, on whichever CPU this is. */
static int check(struct perf_event *event)
{
	struct pmuvisor_registers regs = { 0 };
	u64 config = event->attr.config;
	s64 error;

	if (is_statistic(event)) {
		if (config & ~CONFIG_STATISTIC || event->attr.exclude_user || event->attr.exclude_kernel ||
		    FIELD_GET(CONFIG_STATISTIC, config) > PMUVISOR_STATISTICS)
			return -EINVAL;
		return 0;
	}
	if (config & ~CONFIG_COUNTED || config & CONFIG_PERFS)
		return -EINVAL;
	preempt_disable();
	error = call(&regs, PMUVISOR_CALL_OPEN, open_config(event));
	if (!error)
		call(&regs, PMUVISOR_CALL_CLOSE, BIT_ULL(regs.rdx));
	preempt_enable();
	if (error == PMUVISOR_E_BUSY || error == PMUVISOR_E_FULL)
		return -EBUSY;
	return error ? PMUVISOR_E_IS_HOSTS(error) ? -ENOSPC : -EINVAL : 0;
}

static int pmuvisor_event_init(struct perf_event *event)
{
	if (event->attr.type != event->pmu->type)
		return -ENOENT;
	if (is_sampling_event(event) || has_branch_stack(event) || event->attr.config1 || event->attr.config2)
		return -EINVAL;
	return check(event);
}

PMU_FORMAT_ATTR(event, "config:0-7");
PMU_FORMAT_ATTR(umask, "config:8-15");
PMU_FORMAT_ATTR(guest, "config:18");
PMU_FORMAT_ATTR(host, "config:19");
PMU_FORMAT_ATTR(named, "config:24-31"); /* perf has a "name" of its own */
PMU_FORMAT_ATTR(statistic, "config:32-47");

static struct attribute *format_attrs[] = {
	&format_attr_event.attr,
	&format_attr_umask.attr,
	&format_attr_guest.attr,
	&format_attr_host.attr,
	&format_attr_named.attr,
	&format_attr_statistic.attr,
	NULL,
};

static const struct attribute_group format_group = { .name = "format", .attrs = format_attrs };

static ssize_t show_event(struct device *dev, struct device_attribute *attr, char *page)
{
	u64 id = container_of(attr, struct perf_pmu_events_attr, attr)->id;

	if (id & CONFIG_STATISTIC)
		return sysfs_emit(page, "statistic=0x%llx\n", FIELD_GET(CONFIG_STATISTIC, id));
	return sysfs_emit(page, "named=0x%llx,%s=1\n", FIELD_GET(PMUVISOR_EVENT_NAME, id),
			  id & PMUVISOR_EVENT_HOST ? "host" : "guest");
}

/* Names have hyphens in them, which no token has. */
#define EVENT(string, number)                                                                                          \
	(&((struct perf_pmu_events_attr[]){                                                                            \
		{ .attr = { .attr = { .name = (string), .mode = 0444 }, .show = show_event }, .id = (number) } })[0]   \
		  .attr.attr)
#define STATISTIC(name, number)     EVENT(name, ((u64)PMUVISOR_STAT_##number + 1) << 32)
#define EXIT(name, reason)          EVENT(name, ((u64)PMUVISOR_STAT_EXIT(PMUVISOR_EXIT_##reason) + 1) << 32)
#define COUNTED(name, number, mode) EVENT(name, PMUVISOR_EVENT_NAMED(PMUVISOR_NAME_##number) | PMUVISOR_EVENT_##mode)

static struct attribute *event_attrs[] = {
	STATISTIC("cycles", TICKS),
	STATISTIC("root-cycles", ROOT_TICKS),
	STATISTIC("paused-cycles", PAUSED_TICKS),
	STATISTIC("windows", WINDOWS),
	STATISTIC("exits", EXITS),
	STATISTIC("emulated", EMULATED),
	STATISTIC("faults", FAULTS),
	STATISTIC("hidden-memory", HIDDEN),
	STATISTIC("pmis-host", PMIS_HOST),
	STATISTIC("pmis-host-late", PMIS_LATE),
	STATISTIC("pmis-guest", PMIS_GUEST),
	STATISTIC("pmis-emulated", PMIS_EMULATED),
	STATISTIC("pmis-masked", PMIS_MASKED),
	STATISTIC("nmis", NMIS),
	STATISTIC("nmis-in-root", NMIS_ROOT),
	STATISTIC("nmis-merged", NMIS_MERGED),
	STATISTIC("samples", SAMPLES),
	STATISTIC("samples-lost", SAMPLES_LOST),
	EXIT("exits-cpuid", CPUID),
	EXIT("exits-rdmsr", RDMSR),
	EXIT("exits-wrmsr", WRMSR),
	EXIT("exits-rdpmc", RDPMC),
	EXIT("exits-nmi", NMI),
	EXIT("exits-nmi-window", NMI_WINDOW),
	EXIT("exits-timer", TIMER),
	EXIT("exits-step", STEP),
	EXIT("exits-hypercall", HYPERCALL),
	EXIT("exits-xsetbv", XSETBV),
	EXIT("exits-io", IO),
	EXIT("exits-control-register", CONTROL_REGISTER),
	EXIT("exits-hidden-memory", HIDDEN_MEMORY),
	EXIT("exits-apic-access", APIC_ACCESS),
	COUNTED("host-instructions", INSTRUCTIONS, HOST),
	COUNTED("host-cpu-cycles", CYCLES, HOST),
	COUNTED("host-branches", BRANCHES, HOST),
	COUNTED("host-branch-misses", BRANCH_MISSES, HOST),
	COUNTED("host-llc-misses", LLC_MISSES, HOST),
	COUNTED("guest-instructions", INSTRUCTIONS, GUEST),
	COUNTED("guest-cpu-cycles", CYCLES, GUEST),
	COUNTED("guest-branches", BRANCHES, GUEST),
	COUNTED("guest-branch-misses", BRANCH_MISSES, GUEST),
	COUNTED("guest-llc-misses", LLC_MISSES, GUEST),
	NULL,
};

static const struct attribute_group events_group = { .name = "events", .attrs = event_attrs };

/* Any write: pmuvisor puts its counts on the serial port. */
static ssize_t dump_store(struct device *dev, struct device_attribute *attr, const char *page, size_t size)
{
	struct pmuvisor_registers regs = { 0 };

	call(&regs, PMUVISOR_CALL_DUMP, 0);
	return size;
}
static DEVICE_ATTR_WO(dump);

#define SAMPLE_LINE_MAX 80

struct sample_lines {
	char *page;
	int used;
};

static void take_samples(void *to)
{
	struct sample_lines *lines = to;
	struct pmuvisor_registers regs = { 0 };

	while (lines->used < (int)PAGE_SIZE - SAMPLE_LINE_MAX && !call(&regs, PMUVISOR_CALL_SAMPLE, 0))
		lines->used += sysfs_emit_at(lines->page, lines->used, "%u %llu %llx %llx %llx\n", smp_processor_id(),
					     regs.rdx, regs.rsi, regs.rdi, regs.rbx);
}

/* Each is given once: CPU, time, RIP, CR3, PMUVISOR_SAMPLE_*. What finds no room on the page comes with the next read. */
static ssize_t samples_show(struct device *dev, struct device_attribute *attr, char *page)
{
	struct sample_lines lines = { .page = page };
	unsigned int cpu;

	for_each_online_cpu(cpu) smp_call_function_single(cpu, take_samples, &lines, true);
	return lines.used;
}
static DEVICE_ATTR_ADMIN_RO(samples);

static struct attribute *control_attrs[] = { &dev_attr_dump.attr, &dev_attr_samples.attr, NULL };
static const struct attribute_group control_group = { .attrs = control_attrs };
static const struct attribute_group *groups[] = { &format_group, &events_group, &control_group, NULL };

static struct pmu pmuvisor_pmu = {
	.module = THIS_MODULE,
	.task_ctx_nr = perf_sw_context,
	.capabilities = PERF_PMU_CAP_NO_INTERRUPT,
	.attr_groups = groups,
	.event_init = pmuvisor_event_init,
	.add = pmuvisor_add,
	.del = pmuvisor_del,
	.start = pmuvisor_start,
	.stop = pmuvisor_stop,
	.read = pmuvisor_read,
};

/* These two on the CPU itself. */
static int pmuvisor_online(unsigned int cpu)
{
	struct pmuvisor_registers regs = { 0 };

	if (!call(&regs, PMUVISOR_CALL_PAGE, 1))
		this_cpu_write(pmuvisor_page, memremap(regs.rdx, sizeof(struct pmuvisor_page), MEMREMAP_WB));
	return 0;
}

static int pmuvisor_offline(unsigned int cpu)
{
	struct pmuvisor_registers regs = { 0 };
	struct pmuvisor_page *page = this_cpu_xchg(pmuvisor_page, NULL);

	call(&regs, PMUVISOR_CALL_PAGE, 0);
	if (page)
		memunmap(page);
	return 0;
}

static int __init pmuvisor_init(void)
{
	struct pmuvisor_leaf calls;
	int state, error;

	if (!boot_cpu_has(X86_FEATURE_HYPERVISOR) || !pmuvisor_find(&calls))
		return -ENODEV;
	features = calls.ebx;
	state = cpuhp_setup_state(CPUHP_AP_ONLINE_DYN, "pmuvisor:online", pmuvisor_online, pmuvisor_offline);
	if (state < 0)
		return state;
	online_state = state;
	error = perf_pmu_register(&pmuvisor_pmu, "pmuvisor", -1);
	if (error)
		cpuhp_remove_state(online_state);
	return error;
}

static void __exit pmuvisor_exit(void)
{
	perf_pmu_unregister(&pmuvisor_pmu);
	cpuhp_remove_state(online_state);
}

module_init(pmuvisor_init);
module_exit(pmuvisor_exit);
MODULE_DESCRIPTION("perf events of pmuvisor's");
MODULE_LICENSE("Dual MIT/GPL");
