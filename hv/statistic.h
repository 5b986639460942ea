/* What pmuvisor counts of itself on a CPU, by the numbers that guests know: PMUVISOR_STAT_*. */
#ifndef HV_STATISTIC_H
#define HV_STATISTIC_H

#include "cpu.h"

/* On the CPU itself, in an exit. `number` is below PMUVISOR_STATISTICS. */
uint64_t statistic(const struct cpu *cpu, uint64_t number);

#endif
