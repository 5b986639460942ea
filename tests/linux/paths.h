/*
 * Loops for samples that tell more than an address: where it was loaded from, and by which branches it was reached. All
 * in assembly, on static memory, so that every run takes the same path. N is at least 1.
 */
#ifndef LINUX_PATHS_H
#define LINUX_PATHS_H

#include <stdint.h>

typedef void path_fn(uint64_t n);

/* Four loads and two stores a turn, flushed lines among them: where each finds its line is known. */
path_fn path_loads;
/* Near branches of every class, conditional ones in a pattern of eight turns. */
path_fn path_branches;
/* Calls 40 deep, which is more than any stack of branch records, and 6 deep, in turn. */
path_fn path_calls;

#endif
