/*
 * NMI blocking: from the delivery of an NMI to the next IRET no other is delivered, and one is kept.
 *
 * What breaks: a hypervisor that takes NMIs itself has to track blocking for the guest. If it forgets, a handler is
 * interrupted by its own kind; if it remembers too long, the next NMI never comes. Any IRET ends the blocking, also
 * the one that ends an exception inside the handler: stupid, but what processors do. How the test tells: handlers
 * that cause more NMIs, by IPI and by overflow, and count how deep they nest.
 */
#include <stddef.h>

#include "apic.h"
#include "pmu.h"
#include "tap.h"
#include "trap.h"
#include "workload.h"

const char test_title[] = "nmi: blocking until IRET, one kept";

#define MSR_NONE 0x3000 /* implemented nowhere in the architecture */

/* Counts what happens; `action` is done by the outermost, first handler while NMIs are blocked. */
static unsigned nr_nmis, depth, deepest, nr_at_action_end;
static void (*action)(void);

static void on_nmi(struct trap_frame *frame __attribute__((unused)))
{
	depth++;
	nr_nmis++;
	if (depth > deepest)
		deepest = depth;
	if (nr_nmis == 1 && action) {
		action();
		nr_at_action_end = nr_nmis;
	}
	depth--;
}

static void nmi_doing(void (*what)(void))
{
	nr_nmis = depth = deepest = nr_at_action_end = 0;
	action = what;
	apic_self_nmi();
}

static void one_more(void)
{
	apic_self_nmi();
}

static void two_more(void)
{
	apic_self_nmi();
	apic_self_nmi();
}

/* LVTPC delivers an NMI for an overflow in here. */
static void overflow(void)
{
	apic_write(APIC_LVTPC, LVT_NMI);
	pmu_select(0, EVENT_INSTRUCTIONS | PERFEVTSEL_OS | PERFEVTSEL_INT | PERFEVTSEL_EN);
	pmu_write(0, pmu_preset(3));
	pmu_enable(BIT(0));
	asm volatile("nop; nop; nop; nop");
	pmu_enable(0);
}

/* CPUID exits: whatever the hypervisor does there must not forget the blocking. */
static void overflow_and_exits(void)
{
	overflow();
	for (unsigned i = 0; i < 10; i++)
		cpuid(0, 0);
}

static void overflow_then_fault(void)
{
	uint64_t value;

	overflow();
	(void)rdpmc_guarded(MSR_NONE, &value);
}

static void one_more_then_fault(void)
{
	uint64_t value;

	apic_self_nmi();
	(void)rdpmc_guarded(MSR_NONE, &value);
}

static void expect(const char *name, unsigned nmis, unsigned during_action, unsigned depth_expected)
{
	tap_equal(nr_nmis, nmis, "%s: NMIs in all", name);
	tap_equal(nr_at_action_end, during_action, "%s: NMIs before the first handler's end", name);
	tap_equal(deepest, depth_expected, "%s: depth of nesting", name);
}

/* An NMI that ring 3 is interrupted by ends with an IRET to ring 3. */
static void test_from_ring3(void)
{
	pmu_reset();
	nr_nmis = depth = deepest = nr_at_action_end = 0;
	action = overflow_and_exits;
	work_rounds = 1000;
	apic_write(APIC_LVTPC, LVT_NMI);
	pmu_select(1, EVENT_INSTRUCTIONS | PERFEVTSEL_USR | PERFEVTSEL_INT | PERFEVTSEL_EN);
	pmu_write(1, pmu_preset(500));
	pmu_enable(BIT(1));
	user_run(work_loop);
	pmu_enable(0);
	expect("a PMI inside a PMI's handler", 2, 1, 1);
	tap_equal(pmu_overflowed(), BIT(0) | BIT(1), "both overflows are there");
}

/* A masked LVTPC and an NMI at once do not make a PMI: nothing freezes, and the entry stays as it is. */
static void test_no_pmi(void)
{
	pmu_reset();
	apic_write(APIC_LVTPC, LVT_NMI | LVT_MASKED);
	wrmsr(MSR_IA32_DEBUGCTL, pmu.global_status ? DEBUGCTL_FREEZE_PERFMON_ON_PMI : 0);
	pmu_select(0, EVENT_INSTRUCTIONS | PERFEVTSEL_USR | PERFEVTSEL_INT | PERFEVTSEL_EN);
	pmu_enable(BIT(0));
	nmi_doing(NULL);
	expect("an NMI that is no PMI", 1, 0, 1);
	if (pmu.global_status)
		tap_equal(rdmsr(pmu.global_status), 0, "it leaves GLOBAL_STATUS alone");
	work_rounds = 1000;
	user_run(work_loop);
	tap_equal(pmu_read(0), WORK_LOOP_INSTRUCTIONS(1000), "and the counters running");
	pmu_enable(0); /* Zen 3: a write to a counter that is on could hide an overflow */
	pmu_write(0, pmu_preset(10));
	pmu_enable(BIT(0));
	user_run(work_loop);
	tap_equal(nr_nmis, 1, "and LVTPC masked");
	pmu_enable(0);
	if (pmu.global_status)
		tap_equal(rdmsr(pmu.global_status), PERF_GLOBAL_STATUS_CTR_FRZ | BIT(0), "an overflow does freeze");
	pmu_reset();
}

void test_main(void)
{
	pmu_init();
	trap_handle(VECTOR_NMI, on_nmi);
	nmi_doing(NULL);
	expect("one NMI", 1, 0, 1);
	nmi_doing(one_more);
	expect("an NMI inside", 2, 1, 1);
	nmi_doing(two_more);
	expect("two NMIs inside merge", 2, 1, 1);
	pmu_reset();
	nmi_doing(overflow);
	expect("a PMI inside", 2, 1, 1);
	tap_equal(pmu_overflowed(), BIT(0), "its overflow is there");
	pmu_reset();
	nmi_doing(overflow_and_exits);
	expect("a PMI and exits inside", 2, 1, 1);
	nmi_doing(one_more_then_fault);
	expect("an NMI and an IRET inside", 2, 2, 2);
	pmu_reset();
	nmi_doing(overflow_then_fault);
	expect("a PMI and an IRET inside", 2, 2, 2);
	test_from_ring3();
	test_no_pmi();
}
