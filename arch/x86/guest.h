/* What the guest gets from the instructions that exit, whatever made them exit: one policy for VMX and SVM. */
#ifndef ARCH_X86_GUEST_H
#define ARCH_X86_GUEST_H

#include "hv/cpu.h"
#include "msr.h"

/* DEBUGCTL's freeze bits, to and from the status bits they set. */
static inline uint64_t debugctl_freeze(uint64_t debugctl)
{
	return (debugctl & DEBUGCTL_FREEZE_LBRS_ON_PMI ? PMU_STATUS_LBR_FROZEN : 0) |
	       (debugctl & DEBUGCTL_FREEZE_PERFMON_ON_PMI ? PMU_STATUS_CTR_FROZEN : 0);
}

static inline uint64_t freeze_debugctl(uint64_t freeze)
{
	return (freeze & PMU_STATUS_LBR_FROZEN ? DEBUGCTL_FREEZE_LBRS_ON_PMI : 0) |
	       (freeze & PMU_STATUS_CTR_FROZEN ? DEBUGCTL_FREEZE_PERFMON_ON_PMI : 0);
}

#define CR0_PE      BIT(0)
#define CR0_ET      BIT(4)
#define CR0_NE      BIT(5)
#define CR0_WP      BIT(16)
#define CR0_NW      BIT(29)
#define CR0_CD      BIT(30)
#define CR0_PG      BIT(31)
#define CR4_PAE     BIT(5)
#define CR4_MCE     BIT(6)
#define CR4_VMXE    BIT(13)
#define CR4_SMXE    BIT(14)
#define CR4_OSXSAVE BIT(18)
#define CR4_PKE     BIT(22)

enum verdict guest_cpuid(struct cpu *cpu);
enum verdict guest_rdmsr(struct cpu *cpu);
enum verdict guest_wrmsr(struct cpu *cpu);
enum verdict guest_rdpmc(struct cpu *cpu);
enum verdict guest_xsetbv(struct cpu *cpu);
enum verdict guest_invd(struct cpu *cpu);

/* When an access of the guest to an MSR exits. */
enum msr_trap { TRAP_NEVER, TRAP_READ = 1, TRAP_WRITE = 2, TRAP_BOTH = 3 };

/*
 * Calls set(context, msr, trap) for every MSR that must exit with this partition, while the global registers are open
 * to the guest or closed. The vendor turns it into its bitmap.
 */
void guest_msr_traps(const struct pmu *pmu, bool open, void (*set)(void *context, uint32_t msr, enum msr_trap trap),
		     void *context);

#endif
