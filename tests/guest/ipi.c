/*
 * Interrupts to oneself, with the timer's in between.
 *
 * What breaks: a hypervisor that shows the guest another page in place of the APIC's, for the one instruction that
 * writes the interrupt command register. An interrupt that comes before this instruction has its handler write EOI
 * there, and its priority stays in service for ever. How the test tells: interrupts are enabled, and the timer's comes
 * a little later each time; all have to arrive, and none may stay.
 */
#include <stdbool.h>

#include "apic.h"
#include "smp.h"
#include "tap.h"
#include "trap.h"

const char test_title[] = "ipi: to oneself, and the timer's in between";

#define VECTOR_SELF  0x60
#define VECTOR_TIMER 0xe0      /* of higher priority */
#define LATEST       200000    /* ticks of the timer: beyond an exit and the entry behind it, on an emulator, too */
#define LATER        64        /* the part of them that is added each time */
#define PATIENCE     100000000 /* turns */

static volatile unsigned selves, timers;

static void on_self(struct trap_frame *frame __attribute__((unused)))
{
	selves++;
	apic_eoi();
}

static void on_timer(struct trap_frame *frame __attribute__((unused)))
{
	timers++;
	apic_eoi();
}

static bool arrived(unsigned rounds)
{
	for (unsigned turn = 0; turn < PATIENCE && (selves < rounds || timers < rounds); turn++)
		asm volatile("pause");
	return selves == rounds && timers == rounds;
}

static uint32_t in_service(void)
{
	uint32_t bits = 0;

	for (unsigned offset = 0; offset < 0x80; offset += 0x10)
		bits |= apic_read(APIC_ISR + offset);
	return bits;
}

void test_main(void)
{
	unsigned rounds = 0;
	bool all = true;

	if (smp_start_all() > 1)
		smp_init(1); /* waits for a SIPI, which any write may be */
	trap_handle(VECTOR_SELF, on_self);
	trap_handle(VECTOR_TIMER, on_timer);
	apic_write(APIC_TIMER_DIVIDE, TIMER_DIVIDE_BY_1);
	apic_write(APIC_LVT_TIMER, VECTOR_TIMER);
	asm volatile("sti" : : : "memory");
	for (uint32_t ticks = 1; all && ticks < LATEST; ticks += 1 + ticks / LATER) {
		apic_write(APIC_TIMER_COUNT, ticks);
		apic_write(APIC_ICR_LOW, ICR_SELF | VECTOR_SELF);
		all = arrived(++rounds);
	}
	asm volatile("cli" : : : "memory");
	tap_equal(selves, rounds, "each interrupt to oneself arrives once");
	tap_equal(timers, rounds, "and so does each of the timer's");
	tap_equal(in_service(), 0, "none is in service when all are handled");
}
