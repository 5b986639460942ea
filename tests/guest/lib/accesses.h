/*
 * Memory accesses that are known one by one, for ring 3, and which cache answers each: it flushes its own two lines.
 */
#ifndef GUEST_ACCESSES_H
#define GUEST_ACCESSES_H

#include <stdint.h>

enum access_level { LEVEL_FIRST, LEVEL_LAST, LEVEL_MEMORY, NR_LEVELS };

#define ACCESS_LOAD  1u
#define ACCESS_STORE 2u

struct access {
	uint32_t at;      /* the instruction, from accesses_base */
	uint32_t address; /* from accesses_memory */
	uint32_t kinds;   /* ACCESS_LOAD, ACCESS_STORE or both */
	uint32_t level;   /* enum access_level */
};
extern const uint8_t accesses_base[], accesses_branch[]; /* the latter is the branch of the loop */
extern uint8_t accesses_memory[];

/* user_run(accesses_loop): one load, then the rows of the table in order, accesses_rounds times. */
void accesses_loop(void);
extern const struct access accesses_table[];
#define ACCESSES        6u
#define ACCESSES_LOADS  4u /* rows that load */
#define ACCESSES_STORES 3u
extern uint64_t accesses_rounds;

#endif
