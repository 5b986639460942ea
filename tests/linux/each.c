/*
 * each CPUS TURNS: the plain loop on each of that many processors at a time. What it takes to get there is the same on
 * every one but the first: the program moves on from one to the next, and leaves a child behind.
 */
#include "loops.h"
#include "sys.h"

#include <asm/signal.h>
#include <asm/unistd.h>

static void move_to(uint64_t cpu)
{
	uint64_t mask = UINT64_C(1) << cpu;

	if (sys(__NR_sched_setaffinity, 0, sizeof(mask), (long)&mask, 0, 0) < 0)
		die("each: there is no such processor");
}

static void leave_child(uint64_t turns)
{
	long child = sys(__NR_fork, 0, 0, 0, 0, 0);

	if (child < 0)
		die("each: there is no room for another process");
	if (child)
		return;
	keep_kernel_threads_off();
	loop_plain(turns, 0);
	sys_exit(0);
}

int main(int argc, char **argv)
{
	uint64_t cpus, turns;
	int status;

	if (argc != 3)
		die("each: say how many processors, and the number of turns");
	cpus = parse_number(argv[1]);
	turns = parse_number(argv[2]);
	if (cpus > 64 || turns < 2 || turns % 2)
		die("each: 64 processors at most; the number of turns must be even and not 0");
	for (uint64_t cpu = 0; cpu < cpus; cpu++) {
		move_to(cpu);
		leave_child(turns);
	}
	for (uint64_t cpu = 0; cpu < cpus; cpu++)
		if (sys(__NR_wait4, -1, (long)&status, 0, 0, 0) < 0 || status)
			die("each: a child failed");
	return 0;
}
