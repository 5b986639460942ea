/*
 * AMD's core PMU: with PerfMonV2, without it, or none at all, as under a hypervisor that has no counters to give. APM
 * Vol. 2, "Performance Monitoring Counters". All counters are general-purpose ones.
 *
 * Which side a counter counts is in its selector: GuestOnly between VMRUN and #VMEXIT, HostOnly elsewhere. So nothing
 * has to stop at an exit. Every write of a selector comes through here, the guest's too: what they hold is never read.
 *
 * Before PerfMonV2 there are no global registers. Enabling is the host's counters' own then, by their selectors; the
 * guest's do as the guest said. Overflows show in the counters: one that stands lower than before has wrapped.
 */
#include "pmu_amd.h"
#include "cpuid.h"
#include "guest_msr.h"
#include "hv/cpu.h"
#include "msr.h"
#include "selector.h"
#include "arch/x86/reg.h"

#define CORE_WIDTH 48 /* the same source: "Performance Counters" */

#define EVENT_INSTRUCTIONS 0x0c0

_Static_assert(CORE_COUNTERS <= PMU_MAX_KEPT, "room for all selectors");

static uint32_t selector_msr(unsigned n)
{
	return MSR_AMD_PERF_CTL0 + 2 * n;
}

static uint32_t counter_msr(unsigned n)
{
	return selector_msr(n) + 1;
}

static struct pmu *pmu_here(void)
{
	return &this_cpu()->pmu;
}

static bool has_v2(void)
{
	uint32_t regs[4];

	reg_cpuid(CPUID_LARGEST_EXTENDED, 0, regs);
	if (regs[0] < CPUID_PERFMON_V2)
		return false;
	reg_cpuid(CPUID_PERFMON_V2, 0, regs);
	return regs[0] & CPUID_PERFMON_V2_EAX;
}

static void ident_v2(struct pmu_caps *caps)
{
	uint32_t regs[4];

	reg_cpuid(CPUID_PERFMON_V2, 0, regs);
	caps->version = 2;
	caps->global = true;
	caps->nr_gp = regs[1] & CPUID_PERFMON_V2_EBX_COUNTERS;
	if (caps->nr_gp > CORE_COUNTERS)
		caps->nr_gp = CORE_COUNTERS;
	if (regs[0] & CPUID_PERFMON_V2_EAX_FREEZE)
		caps->clear_flags = caps->set_flags = PMU_STATUS_LBR_FROZEN | PMU_STATUS_CTR_FROZEN;
}

/*
 * No number is told: six with PerfCtrExtCore, which hides nothing less than all of what is beyond the four of before.
 * Those are the guest's.
 */
static void ident_v1(struct pmu_caps *caps)
{
	caps->version = 1;
	caps->nr_gp = CORE_COUNTERS;
	caps->nr_named = NR_LEGACY_COUNTERS;
}

static void mark(uint64_t *set, unsigned n, bool on)
{
	*set = on ? *set | BIT(n) : *set & ~BIT(n);
}

static bool is_instruction(uint64_t event)
{
	return event == EVENT_INSTRUCTIONS;
}

/*
 * VMRUN is an instruction of the guest's for its counters, and a far control transfer that is taken: AMD's engineers on
 * the KVM mailing list, 2023.
 */
static bool is_entry(uint64_t event)
{
	switch (event) {
	case EVENT_INSTRUCTIONS:
	case 0x0c2: /* branches, */
	case 0x0c4: /* taken, */
	case 0x0c6: /* far */ return true;
	default: return false;
	}
}

/* What is in it, for those that ask later. */
static void keep_selector(struct pmu_kept *kept, unsigned n, uint64_t selector)
{
	uint64_t event = selector & (PERF_CTL_EVENT_HIGH | PERFEVTSEL_EVENT);

	kept->selectors[n] = selector;
	mark(&kept->interrupting, n, selector & PERFEVTSEL_INT);
	for (unsigned user = 0; user < 2; user++) {
		mark(&kept->instructions[user], n, is_instruction(event) && selector_counts_one(selector, user));
		mark(&kept->entries[user], n, is_entry(event) && selector_counts_one(selector, user));
	}
}

static void write_selector(struct pmu_kept *kept, unsigned n, uint64_t selector)
{
	reg_wrmsr(selector_msr(n), selector);
	keep_selector(kept, n, selector);
}

static bool amd_ident(struct pmu_caps *caps)
{
	struct pmu_kept *kept = &pmu_here()->kept;
	uint32_t regs[4];

	*caps = (struct pmu_caps){ .version = 0 };
	*kept = (struct pmu_kept){ .ctrl = 0 };
	reg_cpuid(CPUID_EXTENDED, 0, regs);
	if (has_v2())
		ident_v2(caps);
	else if (regs[2] & CPUID_EXTENDED_ECX_PERF_CORE)
		ident_v1(caps);
	else
		return true;
	caps->width = CORE_WIDTH;
	caps->counters = BIT(caps->nr_gp) - 1;
	for (unsigned n = 0; n < caps->nr_gp; n++)
		keep_selector(kept, n, kept->written[n] = reg_rdmsr(selector_msr(n)));
	kept->ctrl = caps->counters;
	return true;
}

/* Without PerfMonV2 the guest's counters have nothing that could stop them all, and need nothing that does. */
static void enable_by_selectors(struct pmu *pmu, uint64_t counters)
{
	struct pmu_kept *kept = &pmu->kept;

	for_each_bit(n, pmu->host) {
		uint64_t selector = kept->selectors[n];
		uint64_t wanted = selector & ~PERFEVTSEL_EN;

		if (selector && counters & BIT(n))
			wanted |= PERFEVTSEL_EN;
		if (wanted != selector)
			write_selector(kept, (unsigned)n, wanted);
	}
}

static void amd_enable(uint64_t counters)
{
	struct pmu *pmu = pmu_here();

	pmu->kept.ctrl = counters;
	if (pmu->caps.global)
		reg_wrmsr(MSR_AMD_PERF_GLOBAL_CTL, counters);
	else
		enable_by_selectors(pmu, counters);
}

static uint64_t amd_enabled(void)
{
	struct pmu *pmu = pmu_here();

	if (pmu->caps.global)
		pmu->kept.ctrl = reg_rdmsr(MSR_AMD_PERF_GLOBAL_CTL);
	return pmu->kept.ctrl;
}

/* The guest writes its counters without an exit, but while closed not those that are on (svm_pmu.c). */
static bool is_watched(const struct pmu *pmu, unsigned n)
{
	return pmu->host & BIT(n) ? pmu->kept.selectors[n] != 0 : pmu->kept.selectors[n] & PERFEVTSEL_EN;
}

static void watch(struct pmu_kept *kept, unsigned n)
{
	uint64_t now = reg_rdmsr(counter_msr(n));

	if (now < kept->seen[n])
		kept->status |= BIT(n);
	kept->seen[n] = now;
}

static uint64_t amd_status(void)
{
	struct pmu *pmu = pmu_here();

	if (pmu->caps.global)
		return reg_rdmsr(MSR_AMD_PERF_GLOBAL_STATUS);
	for (unsigned n = 0; n < pmu->caps.nr_gp; n++) {
		if (is_watched(pmu, n))
			watch(&pmu->kept, n);
	}
	return pmu->kept.status;
}

static void amd_clear_status(uint64_t bits)
{
	struct pmu *pmu = pmu_here();

	if (pmu->caps.global)
		reg_wrmsr(MSR_AMD_PERF_GLOBAL_STATUS_CLR, bits);
	pmu->kept.status &= ~bits;
}

/* Where there is no such register, the guest has none to find them in. */
static void amd_set_status(uint64_t bits)
{
	if (pmu_here()->caps.global)
		reg_wrmsr(MSR_AMD_PERF_GLOBAL_STATUS_SET, bits);
}

static uint64_t amd_read(unsigned n)
{
	return reg_rdmsr(counter_msr(n));
}

/* What has wrapped before is not to be taken for what is written. */
static void amd_write(unsigned n, uint64_t value)
{
	struct pmu *pmu = pmu_here();

	if (!pmu->caps.global && is_watched(pmu, n))
		watch(&pmu->kept, n);
	reg_wrmsr(counter_msr(n), value);
	pmu->kept.seen[n] = value & BITS(CORE_WIDTH - 1, 0);
}

/*
 * The configuration's names are of Intel's architectural events, and so are their numbers; AMD's for the same:
 * Linux, arch/x86/events/amd/core.c. An event given by number is taken as it is.
 */
static uint64_t event_of(const struct config_event *event)
{
	static const struct {
		uint8_t event, umask;
		uint64_t amd;
	} named[] = {
		{ 0xc0, 0x00, EVENT_INSTRUCTIONS },
		{ 0x3c, 0x00, 0x076 },
		{ 0xc4, 0x00, 0x0c2 },
		{ 0xc5, 0x00, 0x0c3 },
		{ 0x2e, 0x41, 0x964 },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(named) && event->name[0] != 'e'; i++) {
		if (event->event == named[i].event && event->umask == named[i].umask)
			return named[i].amd;
	}
	return event->event | (uint64_t)event->umask << 8;
}

static void amd_program(unsigned n, const struct config_event *event)
{
	uint64_t selector = 0;

	if (event)
		selector = event_of(event) | PERFEVTSEL_EN | (event->user ? PERFEVTSEL_USR : 0) |
			   (event->kernel ? PERFEVTSEL_OS : 0) | (event->period ? PERFEVTSEL_INT : 0) |
			   (event->guest ? PERF_CTL_GUEST_ONLY : 0) | (event->host ? PERF_CTL_HOST_ONLY : 0);
	write_selector(&pmu_here()->kept, n, selector);
}

#define SIDES (PERF_CTL_GUEST_ONLY | PERF_CTL_HOST_ONLY)

/*
 * What the guest has counts in the guest alone. For a machine without SVM either of the two bits stops the counter
 * (Linux, tools/testing/selftests/kvm/x86/svm_pmu_host_guest_test.c), so one with them is written as stopped. With its
 * selector the guest has changed its mind about an overflow, too.
 */
void pmu_amd_write_selector(struct pmu *pmu, unsigned n, uint64_t value)
{
	uint64_t selector = value & ~(value & SIDES ? SIDES | PERFEVTSEL_EN : 0);
	uint64_t disguised = pmu->gate.disguised;

	if (selector & PERFEVTSEL_EN)
		selector |= PERF_CTL_GUEST_ONLY;
	write_selector(&pmu->kept, n, selector);
	pmu->kept.written[n] = value;
	pmu->kept.status &= ~BIT(n);
	if (!pmu->caps.global)
		pmu->kept.seen[n] = reg_rdmsr(counter_msr(n));
	mark(&pmu->gate.disguised, n, selector != value);
	pmu->gate.dirty |= pmu->gate.disguised != disguised;
}

/* Bits that it ignores, the hardware knows best. */
uint64_t pmu_amd_read_selector(const struct pmu *pmu, unsigned n)
{
	uint64_t ours = SIDES | PERFEVTSEL_EN;

	return (reg_rdmsr(selector_msr(n)) & ~ours) | (pmu->kept.written[n] & ours);
}

static uint64_t amd_used(uint64_t counters)
{
	uint64_t used = 0;

	for_each_bit(n, counters)
		mark(&used, (unsigned)n, pmu_here()->kept.selectors[n]);
	return used;
}

static uint64_t amd_counts_instructions(uint64_t counters, bool user)
{
	return counters & pmu_here()->kept.instructions[user];
}

static uint64_t amd_counts_entry(uint64_t counters, bool user)
{
	return counters & pmu_here()->kept.entries[user];
}

static void amd_suspend(uint64_t counters, bool suspended)
{
	const struct pmu_kept *kept = &pmu_here()->kept;

	for_each_bit(n, counters)
		reg_wrmsr(selector_msr((unsigned)n), kept->selectors[n] & ~(suspended ? PERFEVTSEL_EN : 0));
}

static uint64_t amd_interrupting(uint64_t counters)
{
	return counters & pmu_here()->kept.interrupting;
}

static uint64_t amd_inuse(uint64_t counters, bool pebs)
{
	(void)counters, (void)pebs;
	return 0;
}

const struct pmu_ops pmu_amd = {
	.name = "AMD",
	.ident = amd_ident,
	.enable = amd_enable,
	.enabled = amd_enabled,
	.status = amd_status,
	.clear_status = amd_clear_status,
	.set_status = amd_set_status,
	.read = amd_read,
	.write = amd_write,
	.program = amd_program,
	.used = amd_used,
	.counts_instructions = amd_counts_instructions,
	.counts_entry = amd_counts_entry,
	.suspend = amd_suspend,
	.interrupting = amd_interrupting,
	.inuse = amd_inuse,
	.lbr = { &lbr_amd },
	.msrs = &guest_msrs_amd,
};
