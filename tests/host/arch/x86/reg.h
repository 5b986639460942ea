/*
 * arch/x86/reg.h for host tests, first in their include path: the same functions, answered by whatever plays the
 * processor (tests/refinement/hardware.c), with the PMU model behind them.
 */
#ifndef ARCH_X86_REG_H
#define ARCH_X86_REG_H

#include <stdbool.h>
#include <stdint.h>

#include "hv/boot_info.h"

uint64_t reg_rdmsr(uint32_t msr);
void reg_wrmsr(uint32_t msr, uint64_t value);
bool reg_rdmsr_safe(uint32_t msr, uint64_t *value);
bool reg_wrmsr_safe(uint32_t msr, uint64_t value);
bool reg_xsetbv_safe(uint32_t xcr, uint64_t value);
uint64_t reg_rdpmc(uint32_t counter);
uint64_t reg_rdtsc(void);
void reg_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t regs[4]);
void reg_xsaves(void *area, uint64_t components);
void reg_xrstors(const void *area, uint64_t components);
void reg_move_window(const struct hv_window *window, uint64_t pa);
uint64_t reg_read_physical(const struct hv_window *aperture, uint64_t pa);
uint32_t reg_read_xapic(const struct hv_window *apic, unsigned offset);
void reg_write_xapic(const struct hv_window *apic, unsigned offset, uint32_t value);

#endif
