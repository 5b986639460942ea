/*
 * Code of known length, for ring 3: user_run(work_loop) executes exactly WORK_LOOP_INSTRUCTIONS(work_rounds)
 * instructions there, INT 80h included.
 */
#ifndef GUEST_WORKLOAD_H
#define GUEST_WORKLOAD_H

#include <stdint.h>

/* How often each workload goes round; at least 1. */
extern uint64_t work_rounds;

/* Arithmetic, a call and its return. */
void work_loop(void);
extern const uint8_t work_loop_end[];
#define WORK_LOOP_BODY            UINT64_C(6)
#define WORK_LOOP_INSTRUCTIONS(n) (2 + WORK_LOOP_BODY * (n))
#define WORK_LOOP_BRANCHES(n)     (1 + 3 * (n))

/* A CPUID in every round: under a hypervisor that one always exits. */
void work_cpuid(void);
#define WORK_CPUID_BODY            UINT64_C(4)
#define WORK_CPUID_INSTRUCTIONS(n) (2 + WORK_CPUID_BODY * (n))
#define WORK_CPUID_BRANCHES(n)     (1 + (n))

/* RDPMC of counter 0 in every round; CR4.PCE must be set. */
void work_rdpmc(void);
#define WORK_RDPMC_BODY            UINT64_C(4)
#define WORK_RDPMC_INSTRUCTIONS(n) (2 + WORK_RDPMC_BODY * (n))
#define WORK_RDPMC_BRANCHES(n)     (1 + (n))

/*
 * Loads every register with a value of its own, then goes round: RAX to R15, but for RSP, hold 1111111111111111H times
 * their number, XMMn holds 100H + n and 200H + n. The labels are the instructions of the loop, in order, and INT 80h.
 */
void work_registers(void);
#define WORK_REGISTERS_BODY  UINT64_C(3)
#define WORK_REGISTERS_SETUP 100 /* no more instructions than this come before the loop */
extern const uint8_t work_registers_nop[], work_registers_dec[], work_registers_jnz[], work_registers_exit[];

#endif
