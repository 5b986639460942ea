/*
 * machine exit STATUS | machine mark NUMBER | machine send NAME: the test machine's ports for the guest's scripts. send
 * passes its input to the machine's debug console, between the lines "list NAME" and "end NAME". On a machine without
 * such ports the program returns as if nothing had happened.
 */
#include "sys.h"

#include <asm/ioctls.h>
#include <asm/unistd.h>

#include "tests/machine/ports.h"

#define CHUNK 65536

static void allow_ports(long first, long nr)
{
	if (sys(__NR_ioperm, first, nr, 1, 0, 0))
		die("machine: the kernel gives no access to the ports");
}

/* What was printed may still wait for the serial port, and the machine ends at once: tcdrain(). */
static void drain_output(void)
{
	sys(__NR_ioctl, 1, TCSBRK, 1, 0, 0);
}

static void send_bytes(const char *bytes, size_t size)
{
	__asm__ volatile("rep outsb" : "+S"(bytes), "+c"(size) : "d"(MACHINE_PORT_CONSOLE) : "memory");
}

static void send_line(const char *word, const char *name)
{
	send_bytes(word, text_length(word));
	send_bytes(" ", 1);
	send_bytes(name, text_length(name));
	send_bytes("\n", 1);
}

static void send_input(const char *name)
{
	static char chunk[CHUNK];
	long size;

	send_line("list", name);
	while ((size = sys(__NR_read, 0, (long)chunk, CHUNK, 0, 0)) > 0)
		send_bytes(chunk, (size_t)size);
	if (size < 0)
		die("machine: the input can't be read");
	send_line("end", name);
}

int main(int argc, char **argv)
{
	if (argc != 3)
		die("machine: say exit STATUS, mark NUMBER or send NAME");
	/* A 32-bit access to the mark port touches the three ports after it. */
	allow_ports(MACHINE_PORT_EXIT, MACHINE_PORT_MARK + 4 - MACHINE_PORT_EXIT);
	allow_ports(MACHINE_PORT_CONSOLE, 1);
	drain_output();
	if (same(argv[1], "exit"))
		__asm__ volatile("outb %b0, %w1" : : "a"(parse_number(argv[2])), "Nd"(MACHINE_PORT_EXIT));
	else if (same(argv[1], "mark"))
		__asm__ volatile("outl %k0, %w1" : : "a"(parse_number(argv[2])), "Nd"(MACHINE_PORT_MARK));
	else if (same(argv[1], "send"))
		send_input(argv[2]);
	else
		die("machine: neither exit nor mark nor send");
	return 0;
}
