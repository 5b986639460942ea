/*
 * What messages between processors cost below the guest, in both APIC modes: interrupts, their EOI, NMIs, PMIs, INITs;
 * in phases as in exits.c, and once more while the guest keeps LVTPC masked, which makes a host that needs PMIs borrow
 * it. The exits of both processors count.
 */
#include "apic.h"
#include "hypervisor.h"
#include "phase.h"
#include "pmu.h"
#include "sampler.h"
#include "smp.h"
#include "tap.h"
#include "trap.h"
#include "workload.h"

const char test_title[] = "smp_cost: the exits of messages between processors";

#define ACTIONS    1000
#define STARTS     20
#define AFTER_INIT 20000 /* ticks */
#define HANDLER    2000  /* ticks that one takes, and more */
#define PERIOD     2000
#define VECTOR     0x60

static volatile unsigned interrupts, nmis;
static volatile bool resting;

static void on_interrupt(struct trap_frame *frame __attribute__((unused)))
{
	interrupts++;
	apic_eoi();
}

static void on_nmi(struct trap_frame *frame __attribute__((unused)))
{
	nmis++;
}

/* Where messages are taken. */
static void rest(void)
{
	while (resting)
		asm volatile("sti; pause; cli");
}

/* The same for NMIs, without STI: right behind it an NMI waits for one instruction, and a hypervisor for another exit. */
static void rest_closed(void)
{
	while (resting)
		asm volatile("pause");
}

static void pass(uint64_t ticks)
{
	uint64_t start = rdtsc();

	while (rdtsc() - start < ticks)
		asm volatile("pause");
}

/* The next one is sent when the handler of this one has ended: an NMI inside it would cost an exit more. */
static void send(uint32_t icr, const volatile unsigned *arrived)
{
	unsigned before = *arrived;

	apic_send(1, icr);
	while (*arrived == before)
		asm volatile("pause");
	pass(HANDLER);
}

static void end_nothing(void)
{
	for (unsigned i = 0; i < ACTIONS; i++)
		apic_eoi();
}

static void measure_messages(const char *eoi, const char *ipi)
{
	phase_begin();
	end_nothing();
	phase_end(eoi, ACTIONS);
	phase_begin();
	for (unsigned i = 0; i < ACTIONS; i++)
		send(VECTOR | ICR_ASSERT, &interrupts);
	phase_end(ipi, ACTIONS);
}

static void measure_nmis(const char *name)
{
	trap_handle(VECTOR_NMI, on_nmi);
	phase_begin();
	for (unsigned i = 0; i < ACTIONS; i++)
		send(ICR_NMI, &nmis);
	phase_end(name, ACTIONS);
}

static void measure_pmis(const char *name)
{
	work_rounds = ACTIONS * PERIOD / WORK_LOOP_BODY;
	sampler_init(VECTOR_NMI);
	sampler_add(0, EVENT_INSTRUCTIONS, PERFEVTSEL_USR, PERIOD);
	phase_begin();
	sampler_run(work_loop);
	phase_end(name, sampler.pmis);
	tap_check(sampler.pmis >= ACTIONS - 1, "%lu PMIs came", sampler.pmis);
}

static void measure_starts(const char *name)
{
	phase_begin();
	for (unsigned i = 0; i < STARTS; i++)
		tap_check(smp_restart(1, AFTER_INIT), "the other processor starts");
	phase_end(name, STARTS);
}

/* The host learns of it when it looks the next time. */
static void mask(void)
{
	apic_write(APIC_LVTPC, LVT_NMI | LVT_MASKED);
	hypervisor_publish();
}

static void unmask(void)
{
	apic_write(APIC_LVTPC, LVT_NMI);
	hypervisor_publish();
}

static void let_rest(void (*lvtpc)(void), void (*way)(void))
{
	resting = false;
	smp_wait(1);
	smp_run_all(lvtpc);
	hypervisor_wait();
	resting = true;
	smp_run(1, way);
}

static const char *const names[2][7] = {
	{ "eoi_xapic", "ipi_xapic", "eoi_xapic_masked", "ipi_xapic_masked", "nmi_xapic", "pmi_xapic", "start_xapic" },
	{ "eoi_x2apic", "ipi_x2apic", "eoi_x2apic_masked", "ipi_x2apic_masked", "nmi_x2apic", "pmi_x2apic",
	  "start_x2apic" },
};

static void measure(const char *const *name)
{
	let_rest(unmask, rest);
	measure_messages(name[0], name[1]);
	let_rest(mask, rest);
	measure_messages(name[2], name[3]);
	let_rest(unmask, rest_closed);
	measure_nmis(name[4]);
	measure_pmis(name[5]);
	measure_starts(name[6]);
}

void test_main(void)
{
	pmu_init();
	trap_handle(VECTOR, on_interrupt);
	tap_equal(smp_start_all(), 2, "processors that run");
	phase_begin();
	phase_end("empty", 1);
	measure(names[0]);
	smp_run_all(apic_enter_x2apic);
	tap_equal(smp_start_all(), 2, "processors that run in x2APIC mode");
	measure(names[1]);
}
