/* Model-specific registers, sorted by index. Bits are indented under their register. SDM Vol. 4. */
#ifndef ARCH_X86_MSR_H
#define ARCH_X86_MSR_H

#include "hv/bits.h"

/* clang-format off: it would take the bits' indentation away */
#define MSR_IA32_APIC_BASE                0x1b
#define APIC_BASE_BSP                     BIT(8)
#define APIC_BASE_X2APIC                  BIT(10)
#define APIC_BASE_ENABLE                  BIT(11)
#define APIC_BASE_ADDRESS                 BITS(51, 12)
#define MSR_IA32_FEATURE_CONTROL          0x3a
#define FEATURE_CONTROL_LOCK              BIT(0)
#define FEATURE_CONTROL_VMX_IN_SMX        BIT(1)
#define FEATURE_CONTROL_VMX               BIT(2)
#define MSR_IA32_PMC0                     0xc1 /* CPUID.0AH:EAX[15:8] of them */
#define MSR_IA32_MTRRCAP                  0xfe
#define MTRRCAP_VARIABLE                  BITS(7, 0)
#define MTRRCAP_FIXED                     BIT(8)
#define MSR_IA32_SYSENTER_CS              0x174
#define MSR_IA32_SYSENTER_ESP             0x175
#define MSR_IA32_SYSENTER_EIP             0x176
#define MSR_IA32_PERFEVTSEL0              0x186
#define PERFEVTSEL_EVENT                  BITS(15, 0) /* event select and unit mask */
#define PERFEVTSEL_USR                    BIT(16)
#define PERFEVTSEL_OS                     BIT(17)
#define PERFEVTSEL_EDGE                   BIT(18)
#define PERFEVTSEL_INT                    BIT(20)
#define PERFEVTSEL_EN                     BIT(22)
#define PERFEVTSEL_INV                    BIT(23)
#define PERFEVTSEL_CMASK                  BITS(31, 24)
#define PERFEVTSEL_IN_TX                  BIT(32)
#define MSR_IA32_MISC_ENABLE              0x1a0
#define MISC_ENABLE_BTS_UNAVAILABLE       BIT(11)
#define MISC_ENABLE_PEBS_UNAVAILABLE      BIT(12)
#define MSR_LBR_SELECT                    0x1c8
#define MSR_LASTBRANCH_TOS                0x1c9
#define MSR_IA32_DEBUGCTL                 0x1d9
#define DEBUGCTL_BTF                      BIT(1)
#define DEBUGCTL_BUS_LOCK_DETECT          BIT(2)
#define DEBUGCTL_FREEZE_LBRS_ON_PMI       BIT(11)
#define DEBUGCTL_FREEZE_PERFMON_ON_PMI    BIT(12)
#define DEBUGCTL_UNCORE_PMI               BIT(13)
#define DEBUGCTL_FREEZE_WHILE_SMM         BIT(14)
#define DEBUGCTL_RTM                      BIT(15)
#define MSR_IA32_LER_FROM                 0x1dd
#define MSR_IA32_MTRR_PHYSBASE0           0x200 /* base, mask, base, mask ... */
#define MTRR_PHYSBASE_TYPE                BITS(7, 0)
#define MTRR_PHYSMASK_VALID               BIT(11)
#define MTRR_ADDRESS                      BITS(51, 12)
#define MSR_IA32_MTRR_FIX64K_00000        0x250
#define MSR_IA32_MTRR_FIX16K_80000        0x258
#define MSR_IA32_MTRR_FIX4K_C0000         0x268
#define MSR_IA32_PAT                      0x277
#define MSR_IA32_MTRR_DEF_TYPE            0x2ff
#define MTRR_DEF_TYPE_TYPE                BITS(7, 0)
#define MTRR_DEF_TYPE_FIXED_ENABLE        BIT(10)
#define MTRR_DEF_TYPE_ENABLE              BIT(11)
#define MSR_IA32_FIXED_CTR0               0x309
#define MSR_PERF_METRICS                  0x329
#define MSR_IA32_PERF_CAPABILITIES        0x345
#define PERF_CAP_SMM_FREEZE               BIT(12)
#define PERF_CAP_FW_WRITE                 BIT(13)
#define MSR_IA32_FIXED_CTR_CTRL           0x38d
#define FIXED_CTR_OS                      BIT(0) /* four bits a counter */
#define FIXED_CTR_USR                     BIT(1)
#define FIXED_CTR_PMI                     BIT(3)
#define FIXED_CTR_FIELD                   BITS(3, 0)
#define MSR_IA32_PERF_GLOBAL_STATUS       0x38e
#define MSR_IA32_PERF_GLOBAL_CTRL         0x38f
#define MSR_IA32_PERF_GLOBAL_STATUS_RESET 0x390
#define MSR_IA32_PERF_GLOBAL_STATUS_SET   0x391
#define MSR_IA32_PERF_GLOBAL_INUSE        0x392
#define PERF_GLOBAL_INUSE_PMI             BIT(63)
#define MSR_IA32_PEBS_ENABLE              0x3f1
#define MSR_PEBS_DATA_CFG                 0x3f2
#define MSR_PEBS_LD_LAT                   0x3f6
#define MSR_PEBS_FRONTEND                 0x3f7
#define MSR_IA32_VMX_BASIC                0x480
#define VMX_BASIC_REVISION                BITS(30, 0)
#define VMX_BASIC_TRUE_CONTROLS           BIT(55)
#define MSR_IA32_VMX_PINBASED_CTLS        0x481
#define MSR_IA32_VMX_PROCBASED_CTLS       0x482
#define MSR_IA32_VMX_EXIT_CTLS            0x483
#define MSR_IA32_VMX_ENTRY_CTLS           0x484
#define MSR_IA32_VMX_MISC                 0x485
#define VMX_MISC_TIMER_RATE               BITS(4, 0)
#define MSR_IA32_VMX_CR0_FIXED0           0x486
#define MSR_IA32_VMX_CR0_FIXED1           0x487
#define MSR_IA32_VMX_CR4_FIXED0           0x488
#define MSR_IA32_VMX_CR4_FIXED1           0x489
#define MSR_IA32_VMX_PROCBASED_CTLS2      0x48b
#define MSR_IA32_VMX_EPT_VPID_CAP         0x48c
#define MSR_IA32_VMX_TRUE_PINBASED_CTLS   0x48d
#define MSR_IA32_VMX_TRUE_PROCBASED_CTLS  0x48e
#define MSR_IA32_VMX_TRUE_EXIT_CTLS       0x48f
#define MSR_IA32_VMX_TRUE_ENTRY_CTLS      0x490
#define MSR_IA32_VMX_LAST                 0x493
#define MSR_IA32_A_PMC0                   0x4c1
#define MSR_IA32_RTIT_FIRST               0x560 /* Intel PT: 560H to 58FH */
#define MSR_IA32_DS_AREA                  0x600
#define MSR_LASTBRANCH_0_FROM             0x680
#define MSR_LASTBRANCH_0_TO               0x6c0
#define MSR_X2APIC_LVTPC                  0x834
#define MSR_IA32_XSS                      0xda0
#define MSR_LBR_INFO_0                    0xdc0
#define MSR_IA32_LBR_0_INFO               0x1200
#define MSR_IA32_LBR_CTL                  0x14ce
#define MSR_IA32_LBR_0_FROM               0x1500
#define MSR_IA32_LBR_0_TO                 0x1600
#define MSR_IA32_PMC_GP0_CTR              0x1900 /* version 6 aliases: 1900H to 19FFH */
#define MSR_IA32_EFER                     0xc0000080
#define EFER_LME                          BIT(8)
#define EFER_LMA                          BIT(10)
#define EFER_NXE                          BIT(11)
#define MSR_IA32_FS_BASE                  0xc0000100
#define MSR_IA32_GS_BASE                  0xc0000101
/* clang-format on */

#endif
