/*
 * What CPUID tells the guest: this CPU, less what pmuvisor keeps. Each leaf that differs from the hardware's has one
 * function here.
 */
#include "cpuid.h"
#include "guest-api/pmuvisor.h"
#include "guest.h"
#include "msr.h"
#include "arch/x86/reg.h"
#include "hv/hypercall.h"

enum { EAX, EBX, ECX, EDX };

static void features(struct cpu *cpu, uint32_t regs[4])
{
	regs[ECX] &= ~(uint32_t)(CPUID_1_ECX_VMX | CPUID_1_ECX_SMX | CPUID_1_ECX_OSXSAVE);
	if (cpu->pmu.pebs.offer != PEBS_OFFERED) {
		regs[ECX] &= ~(uint32_t)(CPUID_1_ECX_DTES64 | CPUID_1_ECX_DS_CPL);
		regs[EDX] &= (uint32_t)~CPUID_1_EDX_DS;
	}
	if (cpu->ops->read(cpu, GUEST_CR4) & CR4_OSXSAVE)
		regs[ECX] |= (uint32_t)CPUID_1_ECX_OSXSAVE;
	if (cpu->boot->config.hypervisor_bit)
		regs[ECX] |= (uint32_t)CPUID_1_ECX_HYPERVISOR;
}

static bool has_leaf_23(const struct cpu *cpu)
{
	return cpu->pmu.caps.version >= 6;
}

static void extended_features(struct cpu *cpu, uint32_t subleaf, uint32_t regs[4])
{
	if (subleaf == 1 && !has_leaf_23(cpu))
		regs[EAX] &= (uint32_t)~CPUID_7_1_EAX_PMU_EXTENDED;
	if (subleaf != 0)
		return;
	regs[EBX] &= (uint32_t)~CPUID_7_EBX_INTEL_PT;
	regs[EDX] &= (uint32_t)~CPUID_7_EDX_PCONFIG; /* it is #UD: its control is off */
	if (!cpu->pmu.lbr.guests)
		regs[EDX] &= (uint32_t)~CPUID_7_EDX_ARCH_LBR;
	regs[ECX] &= (uint32_t)~CPUID_7_ECX_OSPKE;
	if (cpu->ops->read(cpu, GUEST_CR4) & CR4_PKE)
		regs[ECX] |= (uint32_t)CPUID_7_ECX_OSPKE;
}

static void nothing(uint32_t regs[4])
{
	regs[EAX] = regs[EBX] = regs[ECX] = regs[EDX] = 0;
}

/*
 * With cores of two kinds the leaf tells on each what all of them have, since software asks one for all ("Architectural
 * Performance Monitoring Version 6"). A CPU that hasn't started yet has no share to look at.
 */
static uint64_t common_share(const struct cpu *cpu)
{
	uint64_t share = cpu->pmu.guest;

	for (uint64_t i = 0; i < cpu->boot->nr_cpus; i++) {
		uint64_t guest = __atomic_load_n(&cpu_at(cpu, i)->pmu.guest, __ATOMIC_RELAXED);

		if (guest)
			share &= guest;
	}
	return share;
}

/*
 * The guest's share of what the hardware's leaf announces. In version 6 that is not all: leaf 23H has the rest, and a
 * share of more than the eight general-purpose counters here is said to be eight.
 */
static void pmu_leaf(const struct cpu *cpu, uint32_t regs[4])
{
	const struct pmu *pmu = &cpu->pmu;
	uint32_t version = pmu->caps.version < 6 ? pmu->caps.version : 6;
	uint32_t announced = (uint32_t)(BIT(regs[EDX] & CPUID_PMU_EDX_FIXED) - 1) | (version >= 5 ? regs[ECX] : 0);
	uint64_t share = common_share(cpu);
	uint32_t fixed = (uint32_t)(share >> 32) & announced;
	uint32_t counters = (uint32_t)__builtin_popcountll(share & BITS(31, 0));
	uint32_t most = (uint32_t)FIELD_GET(CPUID_PMU_EAX_COUNTERS, regs[EAX]);
	uint64_t eax = regs[EAX] & ~(CPUID_PMU_EAX_VERSION | CPUID_PMU_EAX_COUNTERS);
	uint64_t edx = regs[EDX] & ~CPUID_PMU_EDX_FIXED;

	regs[EAX] = (uint32_t)(eax | version | FIELD_PUT(CPUID_PMU_EAX_COUNTERS, counters < most ? counters : most));
	regs[EDX] = (uint32_t)(edx | (unsigned)__builtin_ctz(~fixed)); /* contiguous from 0 */
	if (version >= 5)
		regs[ECX] = fixed;
}

/* The subleaves of what is hidden (automatic counter reload, PEBS of its own kind) are not announced and empty. */
static void pmu_extended_leaf(const struct cpu *cpu, uint32_t subleaf, uint32_t regs[4])
{
	const uint32_t hardware[4] = { regs[EAX], regs[EBX], regs[ECX], regs[EDX] };

	nothing(regs);
	if (!has_leaf_23(cpu))
		return;
	switch (subleaf) {
	case 0:
		regs[EAX] = hardware[EAX] &
			    (uint32_t)(BIT(0) | BIT(CPUID_PMU_EXTENDED_COUNTERS) | BIT(CPUID_PMU_EXTENDED_EVENTS));
		regs[EBX] = hardware[EBX] & (uint32_t)(CPUID_23_EBX_UMASK2 | CPUID_23_EBX_EQ);
		regs[ECX] = hardware[ECX]; /* slots in a cycle */
		break;
	case CPUID_PMU_EXTENDED_COUNTERS:
		regs[EAX] = (uint32_t)cpu->pmu.guest;
		regs[EBX] = (uint32_t)(cpu->pmu.guest >> 32);
		break;
	case CPUID_PMU_EXTENDED_EVENTS: regs[EAX] = hardware[EAX]; break;
	}
}

/* Supervisor state components: the bits of sub-leaf 1, and a sub-leaf for each. */
static void xsave(const struct cpu *cpu, uint32_t subleaf, uint32_t regs[4])
{
	uint64_t hidden = XSTATE_PT | (cpu->pmu.lbr.guests ? 0 : XSTATE_LBR);

	if (subleaf == 1)
		regs[ECX] &= (uint32_t)~hidden;
	else if (subleaf < 64 && hidden & BIT(subleaf))
		nothing(regs);
}

/*
 * Of SVM, IBS and memory encryption the guest has nothing. Where no leaf tells the number of its counters it has the
 * four that need no telling. AMD's bits are reserved on Intel's processors.
 */
static void extended(const struct pmu *pmu, uint32_t regs[4])
{
	regs[ECX] &= ~(uint32_t)(CPUID_EXTENDED_ECX_SVM | CPUID_EXTENDED_ECX_SKINIT | CPUID_EXTENDED_ECX_IBS);
	if (pmu->caps.nr_named)
		regs[ECX] &= ~(uint32_t)CPUID_EXTENDED_ECX_PERF_CORE;
}

/* AMD's counter of instructions and branch sampling count and record in root mode too. Reserved bits of Intel's. */
static void unswitched(uint32_t regs[4])
{
	regs[EBX] &= ~(uint32_t)(CPUID_ADDRESS_SIZES_EBX_IRPERF | CPUID_ADDRESS_SIZES_EBX_BRS);
}

/* AMD's: the guest's share of the counters, and no LBRs of their second version. */
static void perfmon_v2(const struct cpu *cpu, uint32_t regs[4])
{
	if (!(regs[EAX] & CPUID_PERFMON_V2_EAX))
		return; /* the processor has no such leaf */
	regs[EAX] &= (uint32_t) ~(cpu->pmu.lbr.guests ? 0 : CPUID_PERFMON_V2_EAX_LBR_V2);
	regs[EBX] &= (uint32_t) ~(CPUID_PERFMON_V2_EBX_COUNTERS |
				  (cpu->pmu.lbr.guests ? 0 : CPUID_PERFMON_V2_EBX_LBRS));
	regs[EBX] |= (uint32_t)__builtin_popcountll(cpu->pmu.guest);
}

static void hypervisor(const struct cpu *cpu, uint32_t leaf, uint32_t regs[4])
{
	nothing(regs);
	if (leaf == PMUVISOR_CPUID_LEAF) {
		regs[EAX] = PMUVISOR_CPUID_EVENTS;
		regs[EBX] = PMUVISOR_CPUID_EBX;
		regs[ECX] = PMUVISOR_CPUID_ECX;
		regs[EDX] = PMUVISOR_CPUID_EDX;
	} else if (leaf == PMUVISOR_CPUID_CALLS) {
		regs[EAX] = PMUVISOR_VERSION;
		regs[EBX] = (cpu->ops->vmmcall ? PMUVISOR_FEATURE_VMMCALL : 0) |
			    (cpu->boot->config.samples == CONFIG_SAMPLES_GUEST ? PMUVISOR_FEATURE_SAMPLES : 0);
		regs[ECX] = PMUVISOR_STATISTICS;
		regs[EDX] = HYPERCALLS_PER_MS;
	} else if (leaf == PMUVISOR_CPUID_EVENTS) {
		regs[EAX] = PMUVISOR_EVENTS;
		regs[EBX] = guest_events_counters(cpu);
		regs[ECX] = PMUVISOR_MIN_PERIOD;
		regs[EDX] = PMUVISOR_MIN_PERIOD_ROOT;
	}
}

static void adjust(struct cpu *cpu, uint32_t leaf, uint32_t subleaf, uint32_t regs[4])
{
	switch (leaf) {
	case CPUID_FEATURES: features(cpu, regs); break;
	case CPUID_EXTENDED_FEATURES: extended_features(cpu, subleaf, regs); break;
	case CPUID_PMU:
		if (regs[EAX] & CPUID_PMU_EAX_VERSION)
			pmu_leaf(cpu, regs);
		break;
	case CPUID_XSAVE: xsave(cpu, subleaf, regs); break;
	case CPUID_ARCH_LBR:
		if (!cpu->pmu.lbr.guests)
			nothing(regs);
		break;
	case CPUID_EXTENDED: extended(&cpu->pmu, regs); break;
	case CPUID_ADDRESS_SIZES: unswitched(regs); break;
	case CPUID_PERFMON_V2: perfmon_v2(cpu, regs); break;
	case CPUID_SVM:
	case CPUID_IBS:
	case CPUID_MEMORY_ENCRYPTION:
	case CPUID_INTEL_PT: nothing(regs); break;
	case CPUID_PMU_EXTENDED: pmu_extended_leaf(cpu, subleaf, regs); break;
	default:
		if (cpu->boot->config.hypervisor_bit)
			hypervisor(cpu, leaf, regs);
		break;
	}
}

#define ADJUSTED                                                                                                       \
	(BIT(CPUID_FEATURES) | BIT(CPUID_EXTENDED_FEATURES) | BIT(CPUID_PMU) | BIT(CPUID_XSAVE) |                      \
	 BIT(CPUID_INTEL_PT) | BIT(CPUID_ARCH_LBR) | BIT(CPUID_PMU_EXTENDED))
#define EXTENDED_LEAVES    CPUID_LARGEST_EXTENDED
#define EXTENDED_BIT(leaf) BIT((leaf)-EXTENDED_LEAVES)
#define EXTENDED_ADJUSTED                                                                                              \
	(EXTENDED_BIT(CPUID_EXTENDED) | EXTENDED_BIT(CPUID_ADDRESS_SIZES) | EXTENDED_BIT(CPUID_SVM) |                  \
	 EXTENDED_BIT(CPUID_IBS) | EXTENDED_BIT(CPUID_MEMORY_ENCRYPTION) | EXTENDED_BIT(CPUID_PERFMON_V2))
#define HYPERVISOR_LEAVES 0x100u

static bool is_adjusted(uint32_t leaf)
{
	if (leaf < 64)
		return ADJUSTED >> leaf & 1;
	if (leaf - EXTENDED_LEAVES < 64)
		return EXTENDED_ADJUSTED >> (leaf - EXTENDED_LEAVES) & 1;
	return leaf - PMUVISOR_CPUID_LEAF < HYPERVISOR_LEAVES;
}

static void answer(struct regs *guest, const uint32_t regs[4])
{
	guest->rax = regs[EAX];
	guest->rbx = regs[EBX];
	guest->rcx = regs[ECX];
	guest->rdx = regs[EDX];
}

static __attribute__((noinline)) enum verdict answer_adjusted(struct cpu *cpu, uint32_t leaf, uint32_t subleaf)
{
	uint32_t regs[4];

	reg_cpuid(leaf, subleaf, regs);
	adjust(cpu, leaf, subleaf, regs);
	answer(&cpu->guest, regs);
	return ADVANCE;
}

enum verdict guest_cpuid(struct cpu *cpu)
{
	uint32_t leaf = (uint32_t)cpu->guest.rax, subleaf = (uint32_t)cpu->guest.rcx, regs[4];

	if (is_adjusted(leaf))
		return answer_adjusted(cpu, leaf, subleaf);
	reg_cpuid(leaf, subleaf, regs);
	answer(&cpu->guest, regs);
	return ADVANCE;
}
