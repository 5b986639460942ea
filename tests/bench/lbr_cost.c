/*
 * What an exit costs before the guest records branches and while it does, in phases as in exits.c; with `lbr=0` in the
 * arguments, while it has no LBRs to record with. Who else has them is for pmuvisor's configuration.
 */
#include "boot.h"
#include "lbr.h"
#include "phase.h"
#include "pmu.h"
#include "tap.h"

const char test_title[] = "lbr: the cost of an exit to who records branches";

#define ACTIONS 1000
#define WAY_OUT 4 /* branches: returns, the call, tests in what it calls */

static void execute_cpuid(void)
{
	for (unsigned i = 0; i < ACTIONS; i++)
		cpuid(0, 0);
}

/* The loop's own branch, and nothing of what lies below the guest, until the way out to lbr_stop(). */
static void judge_entries(void)
{
	struct lbr_entry oldest = lbr_entry(lbr.depth - 1);
	unsigned others = 0;

	tap_check(oldest.to < oldest.from, "the oldest branch goes back: it is the loop's");
	for (unsigned age = 0; age < lbr.depth - 1; age++)
		others += lbr_entry(age).from != oldest.from || lbr_entry(age).to != oldest.to;
	tap_check(others <= WAY_OUT, "all but %u others are the same branch", others);
}

static void measure_recorded(void)
{
	lbr_init();
	phase_begin();
	lbr_start(LBR_ALL_TYPES | LBR_USER | LBR_KERNEL);
	execute_cpuid();
	lbr_stop();
	phase_end("cpuid_lbr", ACTIONS);
	judge_entries();
}

static void judge_absence(void)
{
	uint64_t value;

	tap_equal((uint64_t)rdmsr_guarded(MSR_LASTBRANCH_TOS, &value), FAULT_GP, "there are no model-specific LBRs");
	tap_equal((uint64_t)rdmsr_guarded(MSR_IA32_LBR_CTL, &value), FAULT_GP, "nor architectural ones");
}

void test_main(void)
{
	pmu_init();
	phase_begin();
	execute_cpuid();
	phase_end("cpuid", ACTIONS);
	if (boot_number("lbr", 1))
		measure_recorded();
	else
		judge_absence();
}
