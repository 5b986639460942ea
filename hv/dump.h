/* What pmuvisor prints. docs/serial.md has the grammar. */
#ifndef HV_DUMP_H
#define HV_DUMP_H

#include "cpu.h"

/* What was found and decided; into the queue, before the guest runs. */
void dump_start(struct cpu *cpu);
/* A timer exit: print on, or begin the next dump when it is due; sets the timer again. */
void dump_tick(struct cpu *cpu);
/* Begins a dump now, unless one is under way. */
void dump_request(struct cpu *cpu);
/* Characters not yet sent, one at least while a dump is under way. */
uint64_t dump_pending(const struct cpu *cpu);
/* A last dump, waiting for the UART: only when the guest will not run again. */
void dump_final(struct cpu *cpu);

#endif
