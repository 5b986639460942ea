/* This machine, as far as hv/main.c must know it. */
#ifndef ARCH_X86_PLATFORM_H
#define ARCH_X86_PLATFORM_H

#include "hv/cpu.h"
#include "reg.h"

/* Finds this CPU's area, keeps the firmware's state in it, and loads pmuvisor's own descriptor tables. */
struct cpu *platform_init(struct handoff *handoff);
/* Back to the firmware in root mode, with handoff->why. */
_Noreturn void platform_leave(struct cpu *cpu, struct handoff *handoff);
/* Nothing of the loader's is needed any more, on any CPU: its pages leave the page tables. */
void platform_forget_loader(struct cpu *cpu);
bool platform_knows_loader(const struct cpu *cpu);

const struct hv_ops *platform_ops(void);
const struct pmu_ops *platform_pmu(void);

#endif
