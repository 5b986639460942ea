/*
 * What each processor has for itself, at the base of GS from trap_init() on; entry.asm knows the offsets.
 */
#ifndef GUEST_THIS_CPU_H
#define GUEST_THIS_CPU_H

#include <stdint.h>

#define SMP_MAX 4 /* processors */

struct this_cpu {
	uint64_t user_caller;    /* RSP of user_run()'s caller */
	uint64_t user_stack_top; /* ring 3's */
	uint64_t number;         /* 0: the one that the firmware started */
};
_Static_assert(sizeof(struct this_cpu) == 24, "entry.asm");

static inline unsigned this_cpu(void)
{
	uint64_t number;

	asm("movq %%gs:16, %0" : "=r"(number));
	return (unsigned)number;
}

#endif
