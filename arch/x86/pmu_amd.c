/*
 * AMD's core PMU with PerfMonV2, or none at all, as under a hypervisor that has no counters to give. APM Vol. 2,
 * "Performance Monitoring Counters". All counters are general-purpose ones.
 *
 * Which side a counter counts is in its selector: GuestOnly between VMRUN and #VMEXIT, HostOnly elsewhere. So the global
 * control register is the same on both sides, and nothing has to stop at an exit.
 */
#include "cpuid.h"
#include "guest_msr.h"
#include "hv/cpu.h"
#include "msr.h"
#include "arch/x86/reg.h"

#define CORE_WIDTH 48 /* the same source: "Performance Counters" */

#define EVENT_INSTRUCTIONS 0x0c0

static uint32_t selector_msr(unsigned n)
{
	return MSR_AMD_PERF_CTL0 + 2 * n;
}

static uint32_t counter_msr(unsigned n)
{
	return selector_msr(n) + 1;
}

static void ident_v2(struct pmu_caps *caps)
{
	uint32_t regs[4];

	reg_cpuid(CPUID_PERFMON_V2, 0, regs);
	caps->version = 2;
	caps->nr_gp = regs[1] & CPUID_PERFMON_V2_EBX_COUNTERS;
	caps->width = CORE_WIDTH;
	caps->counters = BIT(caps->nr_gp) - 1;
	if (regs[0] & CPUID_PERFMON_V2_EAX_FREEZE)
		caps->clear_flags = caps->set_flags = PMU_STATUS_LBR_FROZEN | PMU_STATUS_CTR_FROZEN;
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

static bool amd_ident(struct pmu_caps *caps)
{
	uint32_t regs[4];

	*caps = (struct pmu_caps){ .version = 0 };
	if (has_v2()) {
		ident_v2(caps);
		return true;
	}
	reg_cpuid(CPUID_EXTENDED, 0, regs);
	return !(regs[2] & CPUID_EXTENDED_ECX_PERF_CORE);
}

/* Without counters there are no global registers either. */
static bool has_global(void)
{
	return this_cpu()->pmu.caps.version >= 2;
}

static void amd_enable(uint64_t counters)
{
	if (has_global())
		reg_wrmsr(MSR_AMD_PERF_GLOBAL_CTL, counters);
}

static uint64_t amd_enabled(void)
{
	return has_global() ? reg_rdmsr(MSR_AMD_PERF_GLOBAL_CTL) : 0;
}

static uint64_t amd_status(void)
{
	return has_global() ? reg_rdmsr(MSR_AMD_PERF_GLOBAL_STATUS) : 0;
}

static void amd_clear_status(uint64_t bits)
{
	reg_wrmsr(MSR_AMD_PERF_GLOBAL_STATUS_CLR, bits);
}

static void amd_set_status(uint64_t bits)
{
	reg_wrmsr(MSR_AMD_PERF_GLOBAL_STATUS_SET, bits);
}

static uint64_t amd_read(unsigned n)
{
	return reg_rdmsr(counter_msr(n));
}

static void amd_write(unsigned n, uint64_t value)
{
	reg_wrmsr(counter_msr(n), value);
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
	reg_wrmsr(selector_msr(n), selector);
}

/* Of `counters`, those whose selectors `match`. */
static uint64_t select(uint64_t counters, bool (*match)(uint64_t selector, bool user), bool user)
{
	uint64_t matching = 0;

	for_each_bit(n, counters) {
		if (match(reg_rdmsr(selector_msr((unsigned)n)), user))
			matching |= BIT(n);
	}
	return matching;
}

static bool is_used(uint64_t selector, bool user)
{
	(void)user;
	return selector;
}

static bool interrupts(uint64_t selector, bool user)
{
	(void)user;
	return selector & PERFEVTSEL_INT;
}

/* Whether an event of this kind, once, is one count: as for Intel's selectors (pmu_intel.c). */
static bool counts_one(uint64_t selector, bool user)
{
	uint64_t cmask = FIELD_GET(PERFEVTSEL_CMASK, selector);

	if (!(selector & PERFEVTSEL_EN) || !(selector & (user ? PERFEVTSEL_USR : PERFEVTSEL_OS)) ||
	    selector & PERFEVTSEL_EDGE)
		return false;
	return cmask == 0 || (selector & PERFEVTSEL_INV ? cmask > 1 : cmask == 1);
}

static uint64_t event_in(uint64_t selector)
{
	return selector & (PERF_CTL_EVENT_HIGH | PERFEVTSEL_EVENT);
}

static bool is_instruction(uint64_t selector, bool user)
{
	return event_in(selector) == EVENT_INSTRUCTIONS && counts_one(selector, user);
}

/*
 * VMRUN is an instruction of the guest's for its counters, and a far control transfer that is taken: AMD's engineers on
 * the KVM mailing list, 2023.
 */
static bool is_entry(uint64_t selector, bool user)
{
	switch (event_in(selector)) {
	case EVENT_INSTRUCTIONS:
	case 0x0c2: /* branches, */
	case 0x0c4: /* taken, */
	case 0x0c6: /* far */ return counts_one(selector, user);
	default: return false;
	}
}

static uint64_t amd_used(uint64_t counters)
{
	return select(counters, is_used, false);
}

static uint64_t amd_counts_instructions(uint64_t counters, bool user)
{
	return select(counters, is_instruction, user);
}

static uint64_t amd_counts_entry(uint64_t counters, bool user)
{
	return select(counters, is_entry, user);
}

static uint64_t amd_interrupting(uint64_t counters)
{
	return select(counters, interrupts, false);
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
	.interrupting = amd_interrupting,
	.inuse = amd_inuse,
	.lbr = { &lbr_amd },
	.msrs = &guest_msrs_amd,
};
