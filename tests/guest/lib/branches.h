/*
 * Code whose branches are known one by one, for ring 3: user_run(branches_kinds) and its like.
 */
#ifndef GUEST_BRANCHES_H
#define GUEST_BRANCHES_H

#include <stdint.h>

/* A taken branch, as offsets from branches_base. */
struct branch {
	uint32_t from, to, type; /* enum lbr_type */
};
extern const uint8_t branches_base[], branches_end[];

/*
 * Every kind once at least, in the order of the table; an untaken one, a CPUID and a RDTSC between leave no record. The
 * table ends with from = to = 0.
 */
void branches_kinds(void);
extern const struct branch branches_kinds_table[];
extern const uint8_t branches_kinds_exit[]; /* its INT 80h */

/* branches_rounds times the three of the table, in order, but that the last is not taken in the end. */
void branches_loop(void);
#define BRANCHES_LOOP 3u
extern const struct branch branches_loop_table[];
extern uint64_t branches_rounds;

/* In ring 0, and it returns: the two jumps of the table, and between them instructions that exit under a hypervisor. */
void branches_kernel(void);
extern const struct branch branches_kernel_table[];

/* A chain of calls, with returned ones, jumps and a call of the next instruction between; ends in the innermost. */
void branches_chain(void);
extern const struct branch branches_chain_table[]; /* the calls not returned from, outermost first */

/* A jump, then an undefined instruction; its handler continues at branches_fault_resume. */
void branches_fault(void);
extern const uint8_t branches_fault_jump[], branches_fault_ud2[], branches_fault_resume[];

/* A jump, then INT1, whose #DB ends the recording, then a jump again. */
void branches_debug(void);
extern const uint8_t branches_debug_jump[], branches_debug_int1[];

#endif
