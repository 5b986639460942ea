/*
 * LVTPC decides what becomes of a PMI: nothing while it is masked, a fixed vector, an NMI.
 *
 * What the hardware does: Intel's local APIC masks LVTPC as it delivers a PMI, AMD's does not; a PMI that finds it
 * masked is dropped, and unmasking later brings nothing back; a fixed vector takes its turn behind RFLAGS.IF and needs
 * an EOI. What breaks: a hypervisor that keeps LVTPC for its own NMIs must give the guest the delivery it asked for,
 * and must not let its own use show. How the test tells: it counts what arrives, and reads LVTPC back.
 */
#include "apic.h"
#include "pmu.h"
#include "sampler.h"
#include "tap.h"
#include "trap.h"
#include "workload.h"

const char test_title[] = "pmi_lvt: masked, fixed and NMI delivery";

#define ROUNDS 1000
#define PERIOD 500

static unsigned nr_nmis, nr_interrupts;

static void on_nmi(struct trap_frame *frame __attribute__((unused)))
{
	nr_nmis++;
}

/* Leaves everything as it found it: LVTPC stays masked by the APIC. */
static void on_interrupt(struct trap_frame *frame __attribute__((unused)))
{
	nr_interrupts++;
	apic_eoi();
}

/* Several overflows on counter 0 without anybody to reload it: it wraps once, then is set again before each run. */
static void overflow_once(uint32_t lvtpc)
{
	pmu_reset();
	nr_nmis = nr_interrupts = 0;
	trap_handle(VECTOR_NMI, on_nmi);
	trap_handle(VECTOR_PMI, on_interrupt);
	apic_write(APIC_LVTPC, lvtpc);
	work_rounds = ROUNDS;
	pmu_select(0, EVENT_INSTRUCTIONS | PERFEVTSEL_USR | PERFEVTSEL_INT | PERFEVTSEL_EN);
	pmu_write(0, pmu_preset(PERIOD));
	pmu_enable(BIT(0));
	user_run(work_loop);
	pmu_enable(0);
}

static void overflow_again(void)
{
	pmu_write(0, pmu_preset(PERIOD));
	pmu_enable(BIT(0));
	user_run(work_loop);
	pmu_enable(0);
}

static void test_masked(void)
{
	overflow_once(LVT_MASKED | LVT_NMI);
	tap_equal(nr_nmis, 0, "masked: no NMI");
	tap_equal(pmu_overflowed(), BIT(0), "masked: the counter overflows all the same");
	tap_equal(apic_read(APIC_LVTPC), LVT_MASKED | LVT_NMI, "masked: LVTPC reads as written");
	apic_write(APIC_LVTPC, LVT_NMI);
	user_run(work_loop);
	tap_equal(nr_nmis, 0, "unmasked later: the dropped PMI does not come back");
	overflow_again();
	tap_equal(nr_nmis, 1, "unmasked: the next overflow gives an NMI, although its status bit was still set");
}

/* AMD's APIC leaves LVTPC as it is: each overflow gives an NMI. */
static void test_no_mask_on_delivery(void)
{
	overflow_once(LVT_NMI);
	tap_equal(nr_nmis, 1, "NMI: one overflow, one NMI");
	tap_equal(apic_read(APIC_LVTPC), LVT_NMI, "NMI: delivery has not masked LVTPC");
	overflow_again();
	tap_equal(nr_nmis, 2, "NMI: the next one comes at once");
}

static void test_mask_on_delivery(void)
{
	overflow_once(LVT_NMI);
	tap_equal(nr_nmis, 1, "NMI: one overflow, one NMI");
	tap_equal(apic_read(APIC_LVTPC), LVT_MASKED | LVT_NMI, "NMI: delivery has masked LVTPC");
	overflow_again();
	tap_equal(nr_nmis, 1, "NMI: until it is unmasked no more come");
	apic_write(APIC_LVTPC, LVT_NMI);
	overflow_again();
	tap_equal(nr_nmis, 2, "NMI: then they do");
}

static void test_fixed(void)
{
	overflow_once(VECTOR_PMI);
	tap_equal(nr_interrupts, 1, "fixed: one overflow, one interrupt");
	tap_equal(nr_nmis, 0, "fixed: and no NMI");
	tap_equal(apic_read(APIC_LVTPC), (pmu.amd ? 0 : LVT_MASKED) | VECTOR_PMI, "fixed: LVTPC after the delivery");
	apic_write(APIC_LVTPC, VECTOR_PMI);
	overflow_again();
	tap_equal(nr_interrupts, 2, "fixed: after EOI and unmasking the next one comes");
}

static void test_fixed_sampling(void)
{
	uint64_t total;

	sampler_init(VECTOR_PMI);
	sampler_add(0, EVENT_INSTRUCTIONS, PERFEVTSEL_USR, 101);
	sampler_run(work_loop);
	total = sampler_user_events(WORK_LOOP_INSTRUCTIONS(ROUNDS));
	tap_equal(sampler.samples[0], total / 101, "fixed: sampling loses nothing");
	tap_equal(sampler.pmis, total / 101, "fixed: one interrupt each");
	tap_equal(sampler.duplicates + sampler.strangers, 0, "fixed: no interrupt too many");
	tap_equal(sampler_total(0), total, "fixed: everything is counted");
}

/* The overflow happens with interrupts off: in the kernel, on the WRMSRs that follow. */
static void test_fixed_waits(void)
{
	pmu_reset();
	nr_interrupts = 0;
	trap_handle(VECTOR_PMI, on_interrupt);
	apic_write(APIC_LVTPC, VECTOR_PMI);
	pmu_select(0, EVENT_INSTRUCTIONS | PERFEVTSEL_OS | PERFEVTSEL_INT | PERFEVTSEL_EN);
	pmu_write(0, pmu_preset(3));
	pmu_enable(BIT(0));
	asm volatile("nop; nop; nop; nop");
	pmu_enable(0);
	tap_equal(nr_interrupts, 0, "fixed: waits while interrupts are off");
	user_run(work_loop);
	tap_equal(nr_interrupts, 1, "fixed: and comes when they are on");
}

void test_main(void)
{
	pmu_init();
	test_masked();
	if (pmu.amd)
		test_no_mask_on_delivery();
	else
		test_mask_on_delivery();
	test_fixed();
	test_fixed_sampling();
	test_fixed_waits();
}
