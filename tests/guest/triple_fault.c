/*
 * A triple fault shuts the processor down, also the one a hypervisor runs.
 *
 * What the hardware does: an exception that can't be delivered, while delivering another, while delivering a third, is
 * shutdown; under VMX it is an exit. What breaks: a hypervisor that resumes into it for ever. How the test tells: with
 * an empty IDT an undefined instruction must be the last thing that happens; the machine's exit status says shutdown,
 * and what follows here would say `not ok`. With several processors it is the last of them that does it, and pmuvisor
 * must stop on that one, though another prints its dumps.
 */
#include "smp.h"
#include "tap.h"

const char test_title[] = "triple_fault: it ends the machine";

static void shut_down(void)
{
	static const struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) no_idt = { 0, 0 };

	asm volatile("lidt %0; ud2" : : "m"(no_idt));
}

void test_main(void)
{
	unsigned last = smp_processors() - 1;

	if (last)
		smp_start_all();
	tap_check(true, "about to shut down");
	tap_conclude();
	if (!last)
		shut_down();
	smp_run(last, shut_down);
	smp_wait(last);
	tap_check(false, "the processor went on after a triple fault");
}
