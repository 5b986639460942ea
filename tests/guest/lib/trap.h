/*
 * Ring 0 and ring 3 of a guest that owns the processor: descriptor tables, exceptions, and the way into user mode.
 */
#ifndef GUEST_TRAP_H
#define GUEST_TRAP_H

#include <stdint.h>

/* What entry.asm pushes, lowest address first. */
struct trap_frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
	uint64_t vector, error;
	uint64_t rip, cs, rflags, rsp, ss;
};
_Static_assert(sizeof(struct trap_frame) == 22 * 8, "entry.asm pushes 22 quadwords");

#define VECTOR_NMI       2
#define VECTOR_PMI       0x50 /* the fixed vector that tests give to LVTPC */
#define VECTOR_USER_EXIT 0x80 /* INT 80h ends user_run() */

typedef void (*trap_handler)(struct trap_frame *frame);

/* Loads GDT, TSS and IDT of the processor with this number, and the base of GS. Interrupts are off before and after. */
void trap_init(unsigned number);

/* Calls `handler` for this vector from now on. A vector without one fails the test, unless a guard expected it. */
void trap_handle(unsigned vector, trap_handler handler);

/* Maps the first 4 GiB one to one, writable and open to ring 3, whatever tables the firmware had. */
void paging_init(void);

/*
 * Runs `code` in ring 3 with interrupts enabled, on a stack of its own, until it executes INT 80h. Nothing but `code`
 * and that INT runs in ring 3.
 */
void user_run(void (*code)(void));

#define USER_EXIT "int $0x80"

#endif
