/*
 * machine exit STATUS | machine mark NUMBER: the test machine's ports for the guest's scripts. On a machine without
 * such ports the program returns as if nothing had happened.
 */
#include "sys.h"

#include <asm/ioctls.h>
#include <asm/unistd.h>

#include "tests/machine/ports.h"

/* What was printed may still wait for the serial port, and the machine ends at once: tcdrain(). */
static void drain_output(void)
{
	sys(__NR_ioctl, 1, TCSBRK, 1, 0, 0);
}

int main(int argc, char **argv)
{
	uint32_t value;

	if (argc != 3)
		die("machine: say exit STATUS or mark NUMBER");
	value = (uint32_t)parse_number(argv[2]);
	/* A 32-bit access to the mark port touches the three ports after it. */
	if (sys(__NR_ioperm, MACHINE_PORT_EXIT, MACHINE_PORT_MARK + 4 - MACHINE_PORT_EXIT, 1, 0, 0))
		die("machine: the kernel gives no access to the ports");
	drain_output();
	if (same(argv[1], "exit"))
		__asm__ volatile("outb %b0, %w1" : : "a"(value), "Nd"(MACHINE_PORT_EXIT));
	else if (same(argv[1], "mark"))
		__asm__ volatile("outl %0, %w1" : : "a"(value), "Nd"(MACHINE_PORT_MARK));
	else
		die("machine: neither exit nor mark");
	return 0;
}
