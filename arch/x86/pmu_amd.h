/* What guest_msr_amd.c does to the guest's selectors goes through pmu_amd.c, which knows what is in them. */
#ifndef ARCH_X86_PMU_AMD_H
#define ARCH_X86_PMU_AMD_H

#include "hv/pmu.h"

/* Counter `n` is the guest's. */
void pmu_amd_write_selector(struct pmu *pmu, unsigned n, uint64_t value);
uint64_t pmu_amd_read_selector(const struct pmu *pmu, unsigned n);

#endif
