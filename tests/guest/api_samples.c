/*
 * Samples of the host's events that the guest takes by a call: docs/guest-api.md. Runs with `samples = guest`, and an
 * event with a period that counts ring 3 of the guest; and, with branches, `lbr = host`.
 *
 * What the hardware does: the host's overflow is a PMI, an NMI that exits. What breaks: a sample of somewhere else, or
 * twice, or never; one that overtakes another; a full ring that stalls the guest or forgets what it had. How the test
 * tells: code of known length in one place, so that the number of samples and where they struck is known.
 */
#include <stddef.h>

#include "boot.h"
#include "cpu.h"
#include "guest_event.h"
#include "tap.h"
#include "trap.h"
#include "workload.h"

const char test_title[] = "api_samples: the host's samples, taken by the guest";

#define PERIOD UINT64_C(1009)
#define ROUNDS 20000
#define STORM  1000000 /* more than a ring holds */
#define RING   2048    /* samples without branches */

struct sample {
	uint64_t tsc, rip, cr3, info;
};

static int64_t take(struct sample *sample)
{
	struct pmuvisor_registers regs = { .rcx = PMUVISOR_CALL_SAMPLE };
	int64_t error = hypervisor_call(&regs);

	*sample = (struct sample){ regs.rdx, regs.rsi, regs.rdi, regs.rbx };
	return error;
}

static uint64_t statistic(uint64_t number)
{
	uint64_t value = 0;

	event_call(PMUVISOR_CALL_STATISTIC, number, 0, &value);
	return value;
}

static bool is_in_loop(uint64_t address)
{
	return address >= (uintptr_t)work_loop && address < (uintptr_t)work_loop_end;
}

/* The loop's own branches; the oldest may be the way into it. */
static unsigned strange_branches(uint64_t wanted)
{
	unsigned strange = 0;

	for (uint64_t n = 0; n < wanted; n += 2) {
		struct pmuvisor_registers regs = { .rcx = PMUVISOR_CALL_BRANCHES, .rdx = n };

		if (hypervisor_call(&regs))
			return (unsigned)wanted;
		strange += !is_in_loop(regs.rdx) || !is_in_loop(regs.rsi);
		strange += n + 1 < wanted ? !is_in_loop(regs.rdi) || !is_in_loop(regs.rbx) : regs.rdi || regs.rbx;
	}
	return strange;
}

static struct {
	uint64_t samples, elsewhere, disorder, strange, branches;
} found;

static void take_all(uint64_t from, uint64_t cr3)
{
	uint64_t last = from;
	struct sample sample;

	found.samples = found.elsewhere = found.disorder = found.strange = found.branches = 0;
	while (!take(&sample)) {
		uint64_t branches = (sample.info & PMUVISOR_SAMPLE_BRANCHES) >> 16;

		found.samples++;
		found.elsewhere += !is_in_loop(sample.rip) || sample.cr3 != cr3 ||
				   (sample.info & ~PMUVISOR_SAMPLE_BRANCHES) != PMUVISOR_SAMPLE_CPL;
		found.disorder += sample.tsc < last || sample.tsc > rdtsc();
		found.strange += strange_branches(branches);
		found.branches += branches;
		last = sample.tsc;
	}
}

static void run(uint64_t rounds)
{
	work_rounds = rounds;
	user_run(work_loop);
}

/* What an earlier run has left of a period is not known. */
static bool is_about(uint64_t samples, uint64_t rounds)
{
	uint64_t instructions = WORK_LOOP_INSTRUCTIONS(rounds);

	return samples >= instructions / PERIOD && samples <= instructions / PERIOD + 1;
}

static void test_each_is_there(void)
{
	uint64_t from = rdtsc(), wanted = boot_number("branches", 0);
	struct pmuvisor_registers regs = { .rcx = PMUVISOR_CALL_BRANCHES };

	run(ROUNDS);
	take_all(from, read_cr3());
	tap_check(is_about(found.samples, ROUNDS), "a sample of each period: %lu", found.samples);
	tap_equal(found.elsewhere, 0, "all where the code was");
	tap_equal(found.disorder, 0, "in the order of their times");
	tap_equal(found.branches, found.samples * wanted, "each with its branches");
	tap_equal(found.strange, 0, "which are the code's");
	regs.rdx = wanted;
	tap_check(hypervisor_call(&regs) == PMUVISOR_E_ARGUMENT, "and there are no more");
	tap_equal(statistic(PMUVISOR_STAT_SAMPLES_LOST), 0, "none was lost");
}

static void test_overload(void)
{
	uint64_t taken = statistic(PMUVISOR_STAT_SAMPLES), from = rdtsc(), lost, branches = boot_number("branches", 0);

	run(STORM);
	taken = statistic(PMUVISOR_STAT_SAMPLES) - taken;
	lost = statistic(PMUVISOR_STAT_SAMPLES_LOST);
	tap_check(is_about(taken + lost, STORM), "with nobody taking them: %lu, and %lu lost", taken, lost);
	tap_equal(taken, RING / (1 + (branches + 1) / 2), "as many as a ring holds are kept");
	take_all(from, read_cr3());
	tap_check(found.samples == taken && !found.elsewhere && !found.disorder && !found.strange,
		  "which are the first");
	from = rdtsc();
	run(ROUNDS);
	take_all(from, read_cr3());
	tap_check(is_about(found.samples, ROUNDS) && !found.disorder, "and then it goes on");
}

void test_main(void)
{
	struct pmuvisor_leaf calls;
	struct sample sample;

	if (!pmuvisor_find(&calls))
		tap_abort("this is not pmuvisor");
	tap_check(calls.ebx & PMUVISOR_FEATURE_SAMPLES, "there are samples for the guest");
	while (!take(&sample))
		;
	tap_check(take(&sample) == PMUVISOR_E_NONE && !sample.tsc, "now there are none");
	test_each_is_there();
	test_overload();
}
