/*
 * CPUID leaves and bits that pmuvisor looks at or changes. SDM Vol. 1, "Processor Identification and Feature
 * Determination".
 */
#ifndef ARCH_X86_CPUID_H
#define ARCH_X86_CPUID_H

#include "hv/bits.h"

/* clang-format would take the bits' indentation away. */
/* clang-format off */
#define CPUID_VENDOR			0x0
#define  CPUID_0_EBX_INTEL		0x756e6547 /* "Genu", and in EDX "ineI", ECX "ntel" */
#define  CPUID_0_EBX_AMD		0x68747541 /* "Auth", "enti", "cAMD" */
#define  CPUID_0_EBX_HYGON		0x6f677948 /* "Hygo", "nGen", "uine" */
#define CPUID_FEATURES			0x1
#define  CPUID_1_ECX_DTES64		BIT(2)
#define  CPUID_1_ECX_DS_CPL		BIT(4)
#define  CPUID_1_ECX_VMX		BIT(5)
#define  CPUID_1_ECX_SMX		BIT(6)
#define  CPUID_1_ECX_PDCM		BIT(15)
#define  CPUID_1_ECX_OSXSAVE		BIT(27)
#define  CPUID_1_ECX_HYPERVISOR		BIT(31)
#define  CPUID_1_EDX_DS			BIT(21)
#define CPUID_EXTENDED_FEATURES		0x7
#define  CPUID_7_EBX_INTEL_PT		BIT(25)
#define  CPUID_7_ECX_TME BIT(13)
#define  CPUID_7_ECX_OSPKE		BIT(4)
#define  CPUID_7_EDX_PCONFIG		BIT(18)
#define  CPUID_7_EDX_ARCH_LBR		BIT(19)
#define  CPUID_7_1_EAX_PMU_EXTENDED	BIT(8) /* leaf 23H */
#define CPUID_PMU			0xa
#define  CPUID_PMU_EAX_VERSION		BITS(7, 0)
#define  CPUID_PMU_EAX_COUNTERS		BITS(15, 8) /* at most 8 */
#define  CPUID_PMU_EDX_FIXED		BITS(4, 0)
#define CPUID_XSAVE			0xd
#define  CPUID_XSAVE_1_EAX_XSAVES	BIT(3)
#define  XSTATE_PT			BIT(8)
#define  XSTATE_LBR			BIT(15)
#define CPUID_INTEL_PT			0x14
#define CPUID_ARCH_LBR			0x1c
#define CPUID_PMU_EXTENDED		0x23 /* version 6 */
#define  CPUID_PMU_EXTENDED_COUNTERS	1 /* subleaves: bitmaps of counters, */
#define  CPUID_PMU_EXTENDED_EVENTS	3 /* and of architectural events */
#define  CPUID_23_EBX_UMASK2		BIT(0)
#define  CPUID_23_EBX_EQ		BIT(1)
#define CPUID_LARGEST_EXTENDED		0x80000000
#define CPUID_EXTENDED			0x80000001
#define  CPUID_EXTENDED_ECX_SVM		BIT(2)
#define  CPUID_EXTENDED_ECX_IBS		BIT(10)
#define  CPUID_EXTENDED_ECX_SKINIT	BIT(12)
#define  CPUID_EXTENDED_ECX_PERF_CORE	BIT(23) /* six core counters */
#define CPUID_ADDRESS_SIZES		0x80000008
#define  CPUID_ADDRESS_SIZES_EBX_IRPERF	BIT(1)  /* AMD's */
#define  CPUID_ADDRESS_SIZES_EBX_BRS	BIT(31) /* branch sampling, of Zen 3 */
/* AMD's: APM Vol. 3, Appendix "Obtaining Processor Information Via the CPUID Instruction". */
#define CPUID_SVM			0x8000000a
#define  CPUID_SVM_EDX_NESTED_PAGING	BIT(0)
#define  CPUID_SVM_EDX_LBR		BIT(1)
#define  CPUID_SVM_EDX_NEXT_RIP		BIT(3)
#define  CPUID_SVM_EDX_FLUSH_ASID	BIT(6)
#define  CPUID_SVM_EDX_VNMI		BIT(25)
#define CPUID_IBS			0x8000001b
#define CORE_COUNTERS			6 /* without PerfMonV2, and at most that is used of them */
#define NR_LEGACY_COUNTERS		4 /* with registers of before PerfCtrExtCore */
#define CPUID_MEMORY_ENCRYPTION		0x8000001f
#define CPUID_PERFMON_V2		0x80000022
#define  CPUID_PERFMON_V2_EAX		BIT(0)
#define  CPUID_PERFMON_V2_EAX_LBR_V2	BIT(1)
#define  CPUID_PERFMON_V2_EAX_FREEZE	BIT(2) /* of them and of the counters */
#define  CPUID_PERFMON_V2_EBX_COUNTERS	BITS(3, 0)
#define  CPUID_PERFMON_V2_EBX_LBRS	BITS(9, 4)
/* clang-format on */

#endif
