/*
 * Loops whose every instruction is known, in assembly, so that the counts are facts and not what a compiler chose.
 * N is even and at least 2. `index` is a counter's RDPMC number; only loop_rdpmc reads it.
 */
#ifndef LINUX_LOOPS_H
#define LINUX_LOOPS_H

#include <stdint.h>

typedef void loop_fn(uint64_t n, uint32_t index);

loop_fn loop_plain; /* 6.5 N + 1 instructions, 4 N + 1 of them branches (the RET is in, the CALL is not) */
loop_fn loop_cpuid; /* 9.5 N + 3, 4 N + 1: a CPUID in each turn */
loop_fn loop_rdpmc; /* 8.5 N + 1, 4 N + 1: an RDPMC in each turn */

#define MEASURE_COUNTERS 3

/* Raw counter values before and after. */
struct reading {
	uint64_t before[MEASURE_COUNTERS];
	uint64_t after[MEASURE_COUNTERS];
};

/*
 * Reads the counters index[], calls loop(n, index[0]), reads them again. To each counter the call costs
 * MEASURE_INSTRUCTIONS and MEASURE_BRANCHES beyond the loop's own.
 */
void measure(loop_fn *loop, uint64_t n, const uint32_t index[MEASURE_COUNTERS], struct reading *reading);

#define MEASURE_INSTRUCTIONS 18 /* three reads of five instructions, two MOV, the CALL */
#define MEASURE_BRANCHES     1  /* the CALL */

#endif
