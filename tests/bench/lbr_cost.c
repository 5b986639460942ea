/*
 * What an exit costs while the guest records branches, in a phase as in exits.c; with `lbr=0` in the arguments, while it
 * has no LBRs to record with. Which owner the LBRs have is for pmuvisor's configuration.
 */
#include "boot.h"
#include "lbr.h"
#include "mark.h"
#include "pmu.h"
#include "tap.h"

const char test_title[] = "lbr: the cost of an exit to who records branches";

#define ACTIONS 1000
#define WAY_OUT 4 /* branches: returns, the call, tests in what it calls */

static void measure_exits(void)
{
	mark(MARK_EXITS);
	for (unsigned i = 0; i < ACTIONS; i++)
		cpuid(0, 0);
	mark(MARK_EXITS + 1);
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

void test_main(void)
{
	uint64_t tos;

	pmu_init();
	if (boot_number("lbr", 1)) {
		lbr_init();
		lbr_start(LBR_ALL_TYPES | LBR_USER | LBR_KERNEL);
		measure_exits();
		lbr_stop();
		judge_entries();
	} else {
		tap_equal((uint64_t)rdmsr_guarded(MSR_LASTBRANCH_TOS, &tos), FAULT_GP, "there are no LBRs");
		measure_exits();
	}
	tap_phase("cpuid", MARK_EXITS, ACTIONS);
}
