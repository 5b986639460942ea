/*
 * Every overflow with its PMI enable set gives one NMI, at any rate and on any counter; none is lost, none comes
 * twice.
 *
 * What the hardware does: a wrap sets a GLOBAL_STATUS bit and, through LVTPC, an NMI; wraps at one instruction share
 * one NMI with several status bits. What breaks: a hypervisor that overlooks a status bit loses a PMI and with it all
 * that follow, because the counter is not reloaded; one that answers for another owner's NMI gives the guest an NMI
 * that finds no status bit; an instruction that it emulated may have been the one that should have wrapped. How the
 * test tells: code of known length divided by the period is the number of PMIs. `pmis=` in the arguments asks for a
 * long run.
 */
#include "boot.h"
#include "hypervisor.h"
#include "mark.h"
#include "pmu.h"
#include "sampler.h"
#include "tap.h"
#include "trap.h"
#include "workload.h"

const char test_title[] = "pmi: no overflow interrupt is lost and none comes twice";

#define PERIOD          200
#define DEFAULT_PMIS    2000
#define ROUNDS          5000
#define EMULATED_ROUNDS 1500
#define SHADOW_PERIOD   211 /* more than the handler itself is long: while it runs a PMI would be dropped */
#define SHADOW_ROUNDS   1500
#define KERNEL_PERIOD   1009

static bool has_fixed(void)
{
	return pmu.fixed_mask & BIT(FIXED_INSTRUCTIONS);
}

/* Of code in ring 3. */
static void judge(unsigned counter, const char *name, uint64_t events)
{
	uint64_t total = sampler_user_events(events);
	uint64_t expected = total / sampler.period[counter];

	tap_equal(sampler.samples[counter], expected, "%s: counter %u overflowed once a period", name, counter);
	tap_equal(sampler_total(counter), total, "%s: counter %u counted everything between", name, counter);
}

static void judge_pmis(const char *name, uint64_t events, uint64_t period)
{
	uint64_t expected = sampler_user_events(events) / period;

	tap_equal(sampler.pmis, expected, "%s: each came as one NMI", name);
	tap_equal(sampler.duplicates, 0, "%s: no NMI without a status bit", name);
	tap_equal(sampler.strangers, 0, "%s: no status bit of another counter", name);
}

/*
 * The long form of this one is what the 100,000 PMIs are counted on; the marks let the machine say how many
 * it sent, the host's dump how many of its own it saw.
 */
static void test_one_counter(void)
{
	uint64_t pmis = boot_number("pmis", DEFAULT_PMIS);
	uint64_t total;

	work_rounds = pmis * PERIOD / WORK_LOOP_BODY;
	total = WORK_LOOP_INSTRUCTIONS(work_rounds);
	sampler_init(VECTOR_NMI);
	sampler_add(0, EVENT_INSTRUCTIONS, PERFEVTSEL_USR, PERIOD);
	mark(MARK_PMI_BEGIN);
	sampler_run(work_loop);
	mark(MARK_PMI_END);
	judge(0, "one counter", total);
	judge_pmis("one counter", total, PERIOD);
	tap_figure("guest_pmis_handled", sampler.pmis);
	tap_figure("guest_pmis_expected", sampler_user_events(total) / PERIOD);
	tap_figure("guest_pmis_duplicate", sampler.duplicates);
	if (boot_mode() != MODE_BARE)
		hypervisor_dump();
}

/* Periods with no common factor, on the share's highest and a fixed counter too: they drift past each other. */
static void test_several_counters(void)
{
	uint64_t total = WORK_LOOP_INSTRUCTIONS(ROUNDS), branches = WORK_LOOP_BRANCHES(ROUNDS);
	uint64_t samples;
	unsigned last = pmu.nr_gp - 1;

	work_rounds = ROUNDS;
	sampler_init(VECTOR_NMI);
	sampler_add(0, EVENT_INSTRUCTIONS, PERFEVTSEL_USR, 97);
	sampler_add(1, pmu.branches, PERFEVTSEL_USR, 89);
	sampler_add(last, EVENT_INSTRUCTIONS, PERFEVTSEL_USR, 193);
	if (has_fixed())
		sampler_add(FIXED_INSTRUCTIONS, 0, PERFEVTSEL_USR, 211);
	sampler_run(work_loop);
	judge(0, "several counters", total);
	judge(1, "several counters", branches);
	judge(last, "several counters", total);
	if (has_fixed())
		judge(FIXED_INSTRUCTIONS, "several counters", total);
	samples = sampler.samples[0] + sampler.samples[1] + sampler.samples[last] + sampler.samples[FIXED_INSTRUCTIONS];
	tap_check(sampler.pmis <= samples && sampler.pmis >= sampler.samples[0],
		  "several counters: %lu samples came in %lu NMIs", samples, sampler.pmis);
	tap_equal(sampler.duplicates + sampler.strangers, 0, "several counters: no NMI or status bit too many");
	tap_figure("pmi_several_nmis", sampler.pmis);
}

static void test_same_instruction(void)
{
	uint64_t total = WORK_LOOP_INSTRUCTIONS(ROUNDS);

	work_rounds = ROUNDS;
	sampler_init(VECTOR_NMI);
	for (unsigned i = 0; i < pmu.nr_gp; i++)
		sampler_add(i, EVENT_INSTRUCTIONS, PERFEVTSEL_USR, PERIOD);
	sampler_run(work_loop);
	judge(0, "all at one instruction", total);
	judge(pmu.nr_gp - 1, "all at one instruction", total);
	judge_pmis("all at one instruction", total, PERIOD);
}

/* One more than the loop is long: the overflow falls on each of its instructions in turn, CPUID among them. */
static void test_emulated(void)
{
	uint64_t total = WORK_CPUID_INSTRUCTIONS(EMULATED_ROUNDS);

	work_rounds = EMULATED_ROUNDS;
	sampler_init(VECTOR_NMI);
	sampler_add(0, EVENT_INSTRUCTIONS, PERFEVTSEL_USR, WORK_CPUID_BODY + 1);
	sampler_run(work_cpuid);
	judge(0, "CPUID in the loop", total);
	judge_pmis("CPUID in the loop", total, WORK_CPUID_BODY + 1);
	if (!has_fixed())
		return;
	sampler_init(VECTOR_NMI);
	sampler_add(FIXED_INSTRUCTIONS, 0, PERFEVTSEL_USR, WORK_CPUID_BODY + 3);
	sampler_run(work_cpuid);
	judge(FIXED_INSTRUCTIONS, "CPUID in the loop", total);
	judge_pmis("CPUID in the loop", total, WORK_CPUID_BODY + 3);
}

/* Ring 0 counts too, handler and all: there is no closed form, but the figures are the same wherever this runs. */
static void judge_kernel(const char *name, const char *instructions, const char *samples)
{
	uint64_t total = sampler_total(0);

	tap_check(sampler.samples[0] >= total / sampler.period[0], "%s: %lu samples", name, sampler.samples[0]);
	tap_equal(sampler.pmis, sampler.samples[0], "%s: each came as one NMI", name);
	tap_equal(sampler.duplicates + sampler.strangers, 0, "%s: no NMI or status bit too many", name);
	tap_figure(instructions, total);
	tap_figure(samples, sampler.samples[0]);
}

static void test_kernel(void)
{
	work_rounds = ROUNDS;
	sampler_init(VECTOR_NMI);
	sampler_add(0, EVENT_INSTRUCTIONS, PERFEVTSEL_OS | PERFEVTSEL_USR, KERNEL_PERIOD);
	sampler_run(work_loop);
	judge_kernel("ring 0 and 3", "pmi_kernel_instructions", "pmi_kernel_samples");
}

/*
 * NMIs fall due where they can't be delivered at once: in the shadows of STI and MOV SS, on instructions that exit. SDM
 * Vol. 3A, "Masking Exceptions and Interrupts When Switching Stacks".
 */
static void test_shadows(void)
{
	sampler_init(VECTOR_NMI);
	sampler_add(0, EVENT_INSTRUCTIONS, PERFEVTSEL_OS, SHADOW_PERIOD);
	sampler_enable();
	for (unsigned i = 0; i < SHADOW_ROUNDS; i++)
		asm volatile("xor %%eax, %%eax\n\t"
			     "sti\n\t"
			     "cpuid\n\t"
			     "cli\n\t"
			     "mov %%ss, %%eax\n\t"
			     "mov %%eax, %%ss\n\t"
			     "nop\n\t"
			     "mov %%ss, %%eax\n\t"
			     "mov %%eax, %%ss\n\t"
			     "cpuid"
			     :
			     :
			     : "rax", "rbx", "rcx", "rdx", "memory");
	sampler_disable();
	judge_kernel("in shadows", "pmi_shadow_instructions", "pmi_shadow_samples");
}

void test_main(void)
{
	pmu_init();
	test_one_counter();
	test_several_counters();
	test_same_instruction();
	test_emulated();
	test_kernel();
	test_shadows();
}
