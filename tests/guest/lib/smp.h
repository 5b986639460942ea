/*
 * The other processors of a guest that owns them all. Their local APIC IDs are 0 to the number of them, which is what a
 * package without hyper-threading has, and are their numbers here.
 */
#ifndef GUEST_SMP_H
#define GUEST_SMP_H

#include <stdbool.h>

#include "this_cpu.h"

/* Processors there are, by CPUID leaf 0BH. */
unsigned smp_processors(void);
/* INIT and SIPIs to all others, in the APIC mode of the moment, which they take over. Returns how many run then. */
unsigned smp_start_all(void);
/* The same for one, whatever it is doing. False: it did not come back. */
bool smp_start(unsigned number);
/* The same with both SIPIs in any case, so many ticks of the time-stamp counter after the INIT. */
bool smp_restart(unsigned number, uint64_t ticks);
/* The parts of it: INIT; one SIPI; whether it has come back, within so many ticks. */
void smp_init(unsigned number);
void smp_startup(unsigned number);
bool smp_started(unsigned number, uint64_t ticks);
/* As if it had not, and taken no NMI then. */
void smp_forget_start(unsigned number);
/* NMIs that a processor took before its first instruction, since the last smp_init(). */
unsigned smp_nmis_at_start(void);
/* A register of its local APIC as it had it then: those that smp.c notes. */
uint32_t smp_apic_at_start(unsigned number, unsigned offset);
/* IA32_APIC_BASE as another one had it when it started last. */
uint64_t smp_apic_base_at_start(unsigned number);
/* Lets another one run `task`, which it does between the tasks with interrupts disabled. */
void smp_run(unsigned number, void (*task)(void));
/* Has it not done it yet? */
bool smp_busy(unsigned number);
/* Waits until it is done; with a limit that no test's task comes near. False: it is not. */
bool smp_wait(unsigned number);
/* Runs `task` on all of them at once, this one included. */
bool smp_run_all(void (*task)(void));

#endif
