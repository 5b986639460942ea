/*
 * The smallest virtual machine of SVM: its guest is a few instructions in the caller's own address space, with its
 * segments and tables, in ring 0. For tests of what VMRUN and #VMEXIT do to the rest of the processor.
 */
#ifndef MACHINE_SVM_WORLD_H
#define MACHINE_SVM_WORLD_H

#include <stdbool.h>
#include <stdint.h>

/* Offsets in the VMCB: Linux, struct vmcb_control_area and struct vmcb_save_area in arch/x86/include/asm/svm.h. */
#define VMCB_CR_WRITES       0x002 /* 16 bits */
#define VMCB_EXCEPTIONS      0x008 /* 32 bits */
#define VMCB_INTERCEPTS      0x00c /* 64 bits: */
#define INTERCEPT_NMI        BIT(1)
#define INTERCEPT_RDPMC      BIT(15)
#define INTERCEPT_CPUID      BIT(18)
#define INTERCEPT_HLT        BIT(24)
#define INTERCEPT_MSR        BIT(28)
#define INTERCEPT_SHUTDOWN   BIT(31)
#define INTERCEPT_VMRUN      BIT(32)
#define INTERCEPT_VMMCALL    BIT(33)
#define VMCB_MSRPM           0x048
#define VMCB_ASID            0x058 /* 32 bits */
#define VMCB_INT_CTL         0x060 /* 32 bits: */
#define INT_CTL_V_NMI        BIT(11)
#define INT_CTL_V_NMI_MASK   BIT(12)
#define INT_CTL_V_NMI_ENABLE BIT(26)
#define VMCB_EXIT_CODE       0x070
#define EXIT_CR3_WRITE       0x013
#define EXIT_GP              0x04d
#define EXIT_NMI             0x061
#define EXIT_RDPMC           0x06f
#define EXIT_CPUID           0x072
#define EXIT_HLT             0x078
#define EXIT_MSR             0x07c
#define EXIT_SHUTDOWN        0x07f
#define EXIT_VMMCALL         0x081
#define EXIT_NPF             0x400
#define EXIT_INVALID         UINT64_MAX
#define VMCB_EXIT_INFO_1     0x078
#define VMCB_EXIT_INFO_2     0x080
#define VMCB_EXIT_INT_INFO   0x088 /* 32 bits */
#define VMCB_NESTED_CTL      0x090
#define VMCB_EVENT_INJECTION 0x0a8 /* 32 bits: */
#define INJECT_NMI           0x80000202u
#define VMCB_NESTED_CR3      0x0b0
#define VMCB_VIRT_EXT        0x0b8
#define VIRT_EXT_LBR         BIT(0)
#define VMCB_CLEAN           0x0c0 /* 32 bits */
#define VMCB_NEXT_RIP        0x0c8
#define VMCB_BYTES_LENGTH    0x0d0 /* a byte; the instruction's follow */
#define VMCB_IDTR            0x480 /* the limit in 63:32, then the base */
#define VMCB_RFLAGS          0x570
#define RFLAGS_TF            BIT(8)
#define VMCB_RIP             0x578
#define VMCB_RSP             0x5d8
#define VMCB_RAX             0x5f8
#define VMCB_CR2             0x640
#define VMCB_DEBUGCTL        0x670
#define VMCB_DBG_EXTN_CFG    0x698
#define VMCB_LBR_FROM_TO     0xa70
#define VMCB_LBR_SELECT      0xb70

uint64_t vmcb_read(unsigned offset);
uint8_t vmcb_read8(unsigned offset);
void vmcb_write(unsigned offset, uint64_t value);
uint32_t vmcb_read32(unsigned offset);
void vmcb_write32(unsigned offset, uint32_t value);

/* Sets EFER.SVME. False: this processor has no SVM, or the firmware locked it off. */
bool world_init(void);
/* CPUID.8000_000AH:EDX */
uint32_t world_features(void);
/* A new VMCB: VMMCALL is intercepted, no MSR is, no nested paging, the guest at `code`, IF = 0. */
void world_new(void (*code)(void));
void world_intercept(uint64_t intercepts);
/* With INTERCEPT_MSR: reads and writes of that MSR, which is below 2000H or in the 2000H from C000_0000H or C001_0000H. */
void world_intercept_msr(uint32_t msr);
/* One VMRUN and the exit that follows: its code. */
uint64_t world_run(void);

#endif
