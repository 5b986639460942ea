/*
 * What a processor must have for pmuvisor to run on it. Pure C over two register functions, so that host tests can
 * lie.
 */
#ifndef ARCH_X86_REQUIREMENTS_H
#define ARCH_X86_REQUIREMENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "hv/config.h"

struct cpuid {
	uint32_t eax, ebx, ecx, edx;
};

struct cpu_registers {
	struct cpuid (*cpuid)(uint32_t leaf, uint32_t subleaf);
	uint64_t (*rdmsr)(uint32_t msr); /* asked only for MSRs that CPUID or another MSR promises */
};

bool processor_is_amd(const struct cpu_registers *cpu);

/* False: the first thing missing, as one sentence in `error`. */
bool requirements_met(const struct cpu_registers *cpu, char error[static CONFIG_ERROR_MAX]);

/* Does the CPUID leaf for hypervisors name pmuvisor? */
bool pmuvisor_is_running(const struct cpu_registers *cpu);

/* For config_fits(); valid on a processor that meets the requirements. */
unsigned pmu_general_counters(const struct cpu_registers *cpu);
unsigned pmu_named_counters(const struct cpu_registers *cpu);
uint32_t pmu_fixed_counters(const struct cpu_registers *cpu); /* bitmap */

#endif
