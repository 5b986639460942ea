/*
 * count run LOOP N: nothing but the loop, for perf to count.
 * count measure LOOP N: the loop between RDPMCs on a fixed and on a general-purpose counter of instructions and on one
 * of branches; prints the three counts and what they must be. AMD has no fixed counters, and counts the IRET of each
 * interrupt in the program's ring: there the first counts far transfers, and is taken off the others.
 */
#include "loops.h"

#include "event.h"
#include "sys.h"

#define RDPMC_FIXED       (1u << 30)
#define AMD_FAR_TRANSFERS 0xc6
#define CPUID_0_ECX_AMD   0x444d4163 /* "cAMD", of AuthenticAMD */
#define MAX_TRIES         10

struct loop {
	const char *name;
	loop_fn *run;
	unsigned instructions_2; /* of two turns */
	unsigned instructions;   /* outside the turns */
};

static const struct loop loops[] = {
	{ "plain", loop_plain, 13, 1 },
	{ "cpuid", loop_cpuid, 19, 3 },
	{ "rdpmc", loop_rdpmc, 17, 1 },
};

#define BRANCHES_A_TURN  4
#define BRANCHES_OUTSIDE 1

static const struct loop *find_loop(const char *name)
{
	for (size_t i = 0; i < sizeof(loops) / sizeof(loops[0]); i++)
		if (same(loops[i].name, name))
			return &loops[i];
	die("count: there is no such loop");
}

/*
 * Raw counter values can be subtracted only while the event stays in its counter and nobody reloads it. The kernel
 * changes the page's lock word whenever it does either.
 */
static bool undisturbed(const struct event *events, const uint32_t *locks)
{
	for (unsigned i = 0; i < MEASURE_COUNTERS; i++)
		if (events[i].page->lock != locks[i])
			return false;
	return true;
}

static unsigned measure_undisturbed(const struct loop *loop, uint64_t n, const struct event *events,
				    struct reading *reading)
{
	uint32_t index[MEASURE_COUNTERS], locks[MEASURE_COUNTERS];

	for (unsigned try = 0; try < MAX_TRIES; try++) {
		for (unsigned i = 0; i < MEASURE_COUNTERS; i++) {
			locks[i] = events[i].page->lock;
			index[i] = events[i].page->index - 1;
		}
		measure(loop->run, n, index, reading);
		if (undisturbed(events, locks))
			return try;
	}
	die("count: the kernel moves the counters all the time");
}

static uint64_t difference(const struct reading *reading, const struct event *event, unsigned i)
{
	unsigned spare_bits = 64u - event->page->pmc_width;

	return (reading->after[i] - reading->before[i]) << spare_bits >> spare_bits;
}

static bool is_amd(void)
{
	uint32_t eax = 0, ebx, ecx, edx;

	asm("cpuid" : "+a"(eax), "=b"(ebx), "=c"(ecx), "=d"(edx));
	return ecx == CPUID_0_ECX_AMD;
}

/* The kernel prefers a fixed counter, and there is one for instructions. */
static void print_fixed(const struct loop *loop, const struct event *events, uint64_t count)
{
	if (!((events[0].page->index - 1) & RDPMC_FIXED) || ((events[1].page->index - 1) & RDPMC_FIXED))
		die("count: the events are not in the counters that this program takes them to be in");
	print_figure(loop->name, "instructions_fixed", count);
}

static int measure_loop(const struct loop *loop, uint64_t n)
{
	const bool amd = is_amd();
	struct event events[MEASURE_COUNTERS] = {
		amd ? event_open(PERF_TYPE_RAW, AMD_FAR_TRANSFERS, 0, 0)
		    : event_open(PERF_TYPE_HARDWARE, PERF_COUNT_HW_INSTRUCTIONS, 0, 0),
		event_open(PERF_TYPE_HARDWARE, PERF_COUNT_HW_INSTRUCTIONS, 0, 0),
		event_open(PERF_TYPE_HARDWARE, PERF_COUNT_HW_BRANCH_INSTRUCTIONS, 0, 0),
	};
	uint64_t instructions = n / 2 * loop->instructions_2 + loop->instructions + MEASURE_INSTRUCTIONS;
	uint64_t branches = n * BRANCHES_A_TURN + BRANCHES_OUTSIDE + MEASURE_BRANCHES;
	struct reading reading;
	uint64_t counts[MEASURE_COUNTERS];
	unsigned tries;

	keep_kernel_threads_off();
	for (unsigned i = 0; i < MEASURE_COUNTERS; i++)
		event_enable(&events[i]);
	tries = measure_undisturbed(loop, 2, events, &reading); /* touches every page before it counts */
	tries += measure_undisturbed(loop, n, events, &reading);

	for (unsigned i = 0; i < MEASURE_COUNTERS; i++)
		counts[i] = difference(&reading, &events[i], i);
	if (amd)
		print_figure(loop->name, "interrupts", counts[0]);
	else
		print_fixed(loop, events, counts[0]);
	print_figure(loop->name, "instructions_gp", counts[1] - (amd ? counts[0] : 0));
	print_figure(loop->name, "branches_gp", counts[2] - (amd ? counts[0] : 0));
	print_figure(loop->name, "instructions_expected", instructions);
	print_figure(loop->name, "branches_expected", branches);
	print_figure(loop->name, "repeated", tries);
	return 0;
}

int main(int argc, char **argv)
{
	const struct loop *loop;
	uint64_t n;

	if (argc != 4)
		die("count: say run or measure, plain or cpuid or rdpmc, and the number of turns");
	loop = find_loop(argv[2]);
	n = parse_number(argv[3]);
	if (n < 2 || n % 2)
		die("count: the number of turns must be even and not 0");
	if (same(argv[1], "measure"))
		return measure_loop(loop, n);
	if (!same(argv[1], "run"))
		die("count: neither run nor measure");
	keep_kernel_threads_off();
	loop->run(n, 0);
	return 0;
}
