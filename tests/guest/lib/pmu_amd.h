/* What pmu.c asks of AMD's PMU, beyond other register numbers. */
#ifndef GUEST_PMU_AMD_H
#define GUEST_PMU_AMD_H

#include <stdint.h>

void pmu_detect_amd(void);
/* Without global registers: counters enabled and disabled by their selectors. As pmu_select() and the like. */
void pmu_select_gated(unsigned n, uint64_t selector);
void pmu_enable_gated(uint64_t counters);
uint64_t pmu_overflowed_gated(void);

#endif
