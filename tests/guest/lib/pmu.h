/*
 * The PMU as a test sees it. Counters have the numbers of their GLOBAL_STATUS bits: n, or FIXED(m). The selectors of
 * Intel and AMD are alike in the fields below, and so are GLOBAL_CTRL, GLOBAL_STATUS and the two that change it.
 */
#ifndef GUEST_PMU_H
#define GUEST_PMU_H

#include <stdbool.h>
#include <stdint.h>

#include "cpu.h"

#define CPUID_PERFMON_V2 0x80000022 /* AMD */

#define MSR_IA32_PMC0                     0x0c1
#define MSR_IA32_PERFEVTSEL0              0x186
#define PERFEVTSEL_USR                    BIT(16)
#define PERFEVTSEL_OS                     BIT(17)
#define PERFEVTSEL_EDGE                   BIT(18)
#define PERFEVTSEL_INT                    BIT(20)
#define PERFEVTSEL_ANY                    BIT(21)
#define PERFEVTSEL_EN                     BIT(22)
#define PERFEVTSEL_INV                    BIT(23)
#define PERFEVTSEL_CMASK(n)               ((uint64_t)(n) << 24)
#define PERFEVTSEL_ADAPTIVE               BIT(34)
#define MSR_IA32_DEBUGCTL                 0x1d9
#define DEBUGCTL_FREEZE_PERFMON_ON_PMI    BIT(12)
#define MSR_IA32_FIXED_CTR0               0x309
#define MSR_PERF_METRICS                  0x329
#define MSR_IA32_PERF_CAPABILITIES        0x345
#define PERF_CAPABILITIES_PEBS            UINT64_C(0xfc0) /* PEBS_TRAP, PEBS_ARCH_REG, PEBS_REC_FMT */
#define PERF_CAPABILITIES_FW_WRITE        BIT(13)
#define PERF_CAPABILITIES_PEBS_BASELINE   BIT(14)
#define PERF_CAPABILITIES_METRICS         BIT(15)
#define MSR_IA32_FIXED_CTR_CTRL           0x38d
#define FIXED_OS                          UINT64_C(1)
#define FIXED_USR                         UINT64_C(2)
#define FIXED_PMI                         UINT64_C(8)
#define FIXED_CTR_CTRL(m, bits)           ((bits) << 4 * (m))
#define FIXED_ADAPTIVE(m)                 BIT(32 + 4 * (m))
#define MSR_IA32_PERF_GLOBAL_STATUS       0x38e
#define PERF_GLOBAL_STATUS_CTR_FRZ        BIT(59)
#define PERF_GLOBAL_STATUS_OVF_BUF        BIT(62)
#define MSR_IA32_PERF_GLOBAL_CTRL         0x38f
#define MSR_IA32_PERF_GLOBAL_STATUS_RESET 0x390
#define MSR_IA32_PERF_GLOBAL_STATUS_SET   0x391
#define MSR_IA32_PERF_GLOBAL_INUSE        0x392
#define MSR_IA32_A_PMC0                   0x4c1
#define MSR_IA32_PMC_GP0_CTR              0x1900 /* version 6: four addresses a counter */
#define MSR_IA32_PMC_GP0_CFG_A            0x1901
#define MSR_IA32_PMC_FX0_CTR              0x1980
#define NR_OLD_GP                         8 /* general-purpose counters with registers from before version 6, at most */

/* Linux, arch/x86/include/asm/msr-index.h: AMD's. */
#define MSR_PERF_LEGACY_CTL0        0xc0010000
#define MSR_PERF_LEGACY_CTR0        0xc0010004
#define NR_LEGACY                   4
#define MSR_PERF_CTL0               0xc0010200 /* the counter follows */
#define PERF_CTL_GUEST_ONLY         BIT(40)
#define PERF_CTL_HOST_ONLY          BIT(41)
#define MSR_PERF_CNTR_GLOBAL_STATUS 0xc0000300 /* CTL, STATUS_CLR and STATUS_SET follow */

/*
 * Events: umask in the high byte. SDM Vol. 3B, "Pre-defined Architectural Performance Events". Of these AMD has the
 * instructions in common: see struct pmu for the others.
 */
#define EVENT_INSTRUCTIONS UINT64_C(0x00c0)
#define EVENT_BRANCHES     UINT64_C(0x00c4)
#define EVENT_CORE_CYCLES  UINT64_C(0x003c)

#define FIXED(m)           (32 + (m))
#define FIXED_INSTRUCTIONS FIXED(0)

#define RDPMC_FIXED   0x40000000u
#define RDPMC_METRICS 0x20000000u

struct pmu {
	bool amd;
	bool legacy;             /* AMD's without PerfCtrExtCore: only the old registers of the first four counters */
	unsigned version, nr_gp; /* version: Intel's alone */
	unsigned hardware_gp;    /* general-purpose counters of the processor whose share this may be */
	unsigned width;          /* bits, of every counter */
	uint64_t value_mask;     /* the bits of a counter */
	uint64_t gp_mask;        /* GLOBAL_CTRL bits of the general-purpose counters */
	uint64_t fixed_mask;     /* and of the fixed ones */
	uint64_t capabilities;   /* IA32_PERF_CAPABILITIES; 0 without PDCM */
	/* The MSRs; all 0 where there are none, on AMD before PerfMonV2. */
	uint32_t global_ctrl, global_status, global_reset, global_set;
	uint64_t branches; /* the event: all retired branches */
};

/* As CPUID describes it. */
extern struct pmu pmu;

/* Fills `pmu`, and touches nothing. */
void pmu_detect(void);
/*
 * Does that and stops everything; an Intel machine without version 4, full-width writes or fixed counter 0 fails the
 * test, and one of AMD without any.
 */
void pmu_init(void);
/* Stops and clears everything that pmu_init() found. */
void pmu_reset(void);

/* The MSRs of a counter, with full-width writes, and of a general-purpose one's selector: the older ones if there are. */
uint32_t pmu_counter(unsigned counter);
uint32_t pmu_selector(unsigned n);
/* Full width, in both directions. */
uint64_t pmu_read(unsigned counter);
void pmu_write(unsigned counter, uint64_t value);
/* A general-purpose counter's selector: what it counts from the next pmu_enable() on, or at once if it is enabled. */
void pmu_select(unsigned n, uint64_t selector);
/* The counters that may count, by GLOBAL_CTRL; without it by the enable bits of the selectors. */
void pmu_enable(uint64_t counters);
/*
 * The counters that overflowed, by GLOBAL_STATUS; without it those that interrupt and are in the lower half of their
 * range, which is how Linux' arch/x86/events/amd/core.c tells.
 */
uint64_t pmu_overflowed(void);
/* Clears those bits where they are kept. */
void pmu_acknowledge(uint64_t status);
/* The value from which `events` more overflow the counter. */
uint64_t pmu_preset(uint64_t events);

#endif
