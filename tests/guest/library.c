/*
 * The ground the other guests stand on, judged first: faults are caught and named, ring 3 is ring 3, an NMI and a fixed
 * interrupt arrive once each and interrupt ring 3 where it stood. Needs no PMU, so it tells a broken library or machine
 * from a broken PMU.
 */
#include "apic.h"
#include "boot.h"
#include "cpu.h"
#include "guest-api/pmuvisor.h"
#include "tap.h"
#include "trap.h"
#include "workload.h"

const char test_title[] = "library: faults, ring 3, NMI and interrupts work";

#define CPUID_HYPERVISOR       BIT(31)
#define ICR_FIXED_SELF(vector) (ICR_SELF | (vector))
#define CR4_LA57               BIT(12)
#define ROUNDS                 1000

static unsigned nr_nmis, nr_interrupts;
static uint64_t interrupted_cs;

static void on_nmi(struct trap_frame *frame)
{
	nr_nmis++;
	interrupted_cs = frame->cs;
}

static void on_interrupt(struct trap_frame *frame)
{
	nr_interrupts++;
	interrupted_cs = frame->cs;
	apic_eoi();
}

__attribute__((naked)) static void privileged_in_ring3(void)
{
	asm("mov %cs, %eax\n\t"
	    "mov %eax, ring3_cs(%rip)\n\t" USER_EXIT);
}

__attribute__((used)) static uint32_t ring3_cs;

static void test_interrupts(void)
{
	trap_handle(VECTOR_NMI, on_nmi);
	trap_handle(VECTOR_PMI, on_interrupt);
	apic_self_nmi();
	tap_equal(nr_nmis, 1, "an NMI to self arrives once");
	/* Interrupts are off here and on in ring 3, so this one waits for ring 3. */
	apic_write(APIC_ICR_LOW, ICR_FIXED_SELF(VECTOR_PMI));
	tap_equal(nr_interrupts, 0, "an interrupt waits while interrupts are off");
	work_rounds = ROUNDS;
	user_run(work_loop);
	tap_equal(nr_interrupts, 1, "and arrives in ring 3");
	tap_equal(interrupted_cs & 3, 3, "the interrupted code was ring 3");
	apic_write(APIC_ICR_LOW, ICR_FIXED_SELF(VECTOR_PMI));
	user_run(work_loop);
	tap_equal(nr_interrupts, 2, "after EOI the next one arrives");
}

/* The runner says in what mode it started this test, and `announced=0` for a hypervisor told to hide. */
static void test_mode(void)
{
	bool announced = cpuid(1, 0).ecx & CPUID_HYPERVISOR;

	tap_equal(announced, boot_number("announced", boot_mode() != MODE_BARE), "a hypervisor is announced");
	if (announced)
		tap_equal(cpuid(PMUVISOR_CPUID_LEAF, 0).ebx, PMUVISOR_CPUID_EBX, "and it is pmuvisor");
}

void test_main(void)
{
	tap_check(write_cr4_guarded(read_cr4() ^ CR4_LA57) == FAULT_GP,
		  "switching paging levels in 64-bit mode faults");
	tap_equal(guard_error, 0, "with error code 0");
	tap_check(write_cr4_guarded(read_cr4()) == NO_FAULT, "CR4 takes back what it holds");
	user_run(privileged_in_ring3);
	tap_equal(ring3_cs & 3, 3, "user_run() runs in ring 3");
	test_interrupts();
	test_mode();
	tap_equal(boot_number("nothing", 7), 7, "a missing argument has its default");
}
