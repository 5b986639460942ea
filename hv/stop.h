/* Where pmuvisor ends: everything is printed, waiting for the UART, and this CPU halts for good. */
#ifndef HV_STOP_H
#define HV_STOP_H

#include "cpu.h"

/* Our bug, or a machine that does what it can't. `number` means what `why` says. */
_Noreturn void stop(struct cpu *cpu, const char *why, uint64_t number);
/* An exception in root mode that has no fix-up. */
_Noreturn void stop_on_trap(uint64_t vector, uint64_t error, uint64_t rip, uint64_t rsp);
/* The guest did what nobody handles, or shut down by a triple fault. */
_Noreturn void stop_on_exit(struct cpu *cpu, const struct vm_exit *exit);

#endif
