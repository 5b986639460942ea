/*
 * The virtual machine control block. APM Vol. 2, Appendix "Layout of VMCB"; the fields of LBR virtualization are there
 * in the state-save area. Reserved fields are zero.
 */
#ifndef ARCH_X86_VMCB_H
#define ARCH_X86_VMCB_H

#include <stddef.h>
#include <stdint.h>

#include "hv/bits.h"

struct vmcb_segment {
	uint16_t selector, attributes; /* the descriptor's bits 40 to 47 and 52 to 55, side by side */
	uint32_t limit;
	uint64_t base;
};

struct vmcb {
	/* Control area */
	uint32_t intercept_cr, intercept_dr; /* reads, then writes, 16 bits each */
	uint32_t intercept_exceptions;
	uint32_t intercept1, intercept2;
	uint8_t reserved0[0x40 - 0x14];
	uint64_t iopm_pa, msrpm_pa;
	uint64_t tsc_offset;
	uint32_t asid;
	uint32_t tlb_control;
	uint32_t int_ctl, int_vector;
	uint64_t interrupt_shadow;
	uint64_t exit_code, exit_info1, exit_info2;
	uint64_t exit_int_info; /* the event whose delivery the exit interrupted */
	uint64_t nested_ctl;
	uint8_t reserved1[0xa8 - 0x98];
	uint64_t event;
	uint64_t nested_cr3;
	uint64_t virt_ext;
	uint64_t clean;
	uint64_t next_rip;
	uint8_t nr_bytes, bytes[15]; /* of the instruction that caused a nested page fault, with decode assists */
	uint8_t reserved2[0x400 - 0xe0];
	/* State-save area */
	struct vmcb_segment es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;
	uint8_t reserved3[0x4cb - 0x4a0];
	uint8_t cpl;
	uint8_t reserved4[4];
	uint64_t efer;
	uint8_t reserved5[0x548 - 0x4d8];
	uint64_t cr4, cr3, cr0, dr7, dr6, rflags, rip;
	uint8_t reserved6[0x5d8 - 0x580];
	uint64_t rsp;
	uint8_t reserved7[0x5f8 - 0x5e0];
	uint64_t rax;
	uint64_t star, lstar, cstar, sfmask, kernel_gs_base;
	uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
	uint64_t cr2;
	uint8_t reserved8[0x668 - 0x648];
	uint64_t pat;
	uint64_t debugctl;
	uint64_t last_branch_from, last_branch_to, last_exception_from, last_exception_to;
	uint64_t debug_extension;
	uint8_t reserved9[0xa70 - 0x6a0];
	uint8_t lbr_stack[256];
	uint64_t lbr_select;
	uint8_t reserved10[0x1000 - 0xb78];
};
_Static_assert(sizeof(struct vmcb) == 4096, "one page");
_Static_assert(offsetof(struct vmcb, iopm_pa) == 0x040, "APM Vol. 2, \"VMCB Layout, Control Area\"");
_Static_assert(offsetof(struct vmcb, exit_code) == 0x070, "the same");
_Static_assert(offsetof(struct vmcb, nested_ctl) == 0x090, "the same");
_Static_assert(offsetof(struct vmcb, event) == 0x0a8, "the same");
_Static_assert(offsetof(struct vmcb, next_rip) == 0x0c8, "the same");
_Static_assert(offsetof(struct vmcb, es) == 0x400, "APM Vol. 2, \"VMCB Layout, State Save Area\"");
_Static_assert(offsetof(struct vmcb, cpl) == 0x4cb, "the same");
_Static_assert(offsetof(struct vmcb, cr4) == 0x548, "the same");
_Static_assert(offsetof(struct vmcb, rip) == 0x578, "the same");
_Static_assert(offsetof(struct vmcb, rsp) == 0x5d8, "the same");
_Static_assert(offsetof(struct vmcb, rax) == 0x5f8, "the same");
_Static_assert(offsetof(struct vmcb, cr2) == 0x640, "the same");
_Static_assert(offsetof(struct vmcb, debugctl) == 0x670, "the same");
_Static_assert(offsetof(struct vmcb, debug_extension) == 0x698, "the same");
_Static_assert(offsetof(struct vmcb, lbr_select) == 0xb70, "the same");

/* intercept1, at 00CH */
#define INTERCEPT_INTR     BIT(0)
#define INTERCEPT_NMI      BIT(1)
#define INTERCEPT_INIT     BIT(3)
#define INTERCEPT_RDPMC    BIT(15)
#define INTERCEPT_CPUID    BIT(18)
#define INTERCEPT_IRET     BIT(20)
#define INTERCEPT_INVD     BIT(22)
#define INTERCEPT_INVLPGA  BIT(26)
#define INTERCEPT_IO       BIT(27)
#define INTERCEPT_MSR      BIT(28)
#define INTERCEPT_SHUTDOWN BIT(31)
/* intercept2, at 010H */
#define INTERCEPT_VMRUN   BIT(0)
#define INTERCEPT_VMMCALL BIT(1)
#define INTERCEPT_VMLOAD  BIT(2)
#define INTERCEPT_VMSAVE  BIT(3)
#define INTERCEPT_STGI    BIT(4)
#define INTERCEPT_CLGI    BIT(5)
#define INTERCEPT_SKINIT  BIT(6)

/* int_ctl: "NMI Virtualization", and "Virtualizing RFLAGS.IF" */
#define V_NMI_PENDING  BIT(11)
#define V_NMI_MASK     BIT(12)
#define V_INTR_MASKING BIT(24)
#define V_NMI_ENABLE   BIT(26)

#define TLB_FLUSH_ALL  1
#define TLB_FLUSH_ASID 3 /* where CPUID has it */

#define SHADOW_INTERRUPTS BIT(0)

#define NESTED_PAGING BIT(0)
#define NESTED_WRITE  BIT(1) /* in the error code of a nested page fault */

/* virt_ext */
#define VIRT_LBR BIT(0)

/* What of the last entry's state the processor may go on using: "VMCB State Caching". What isn't here is never kept. */
#define CLEAN_INTERCEPTS BIT(0)
#define CLEAN_BITMAPS    BIT(1)
#define CLEAN_INT_CTL    BIT(3)
#define CLEAN_CR         BIT(5) /* and EFER */
#define CLEAN_DR         BIT(6)
#define CLEAN_LBR        BIT(10)
#define CLEAN_ALL        BITS(10, 0)

/* event and exit_int_info: "Event Injection" */
#define EVENT_TYPE       BITS(10, 8)
#define EVENT_NMI        FIELD_PUT(EVENT_TYPE, 2)
#define EVENT_EXCEPTION  FIELD_PUT(EVENT_TYPE, 3)
#define EVENT_ERROR_CODE BIT(11) /* which is in bits 63 to 32 */
#define EVENT_VALID      BIT(31)

/* Segment attributes */
#define ATTRIBUTES_CODE_64 0xa9b /* 64-bit, executing, accessed */
#define ATTRIBUTES_DATA    0xc93
#define ATTRIBUTES_L       BIT(9)

/* APM Vol. 2, Appendix "SVM Intercept Exit Codes" */
enum svm_exit {
	SVM_EXIT_DB = 0x41,
	SVM_EXIT_INTR = 0x60,
	SVM_EXIT_NMI = 0x61,
	SVM_EXIT_INIT = 0x63,
	SVM_EXIT_RDPMC = 0x6f,
	SVM_EXIT_CPUID = 0x72,
	SVM_EXIT_IRET = 0x74,
	SVM_EXIT_INVD = 0x76,
	SVM_EXIT_INVLPGA = 0x7a,
	SVM_EXIT_IO = 0x7b,
	SVM_EXIT_MSR = 0x7c,
	SVM_EXIT_SHUTDOWN = 0x7f,
	SVM_EXIT_VMRUN = 0x80,
	SVM_EXIT_VMMCALL = 0x81,
	SVM_EXIT_VMLOAD = 0x82, /* to SKINIT = 86H: the others of SVM */
	SVM_EXIT_SKINIT = 0x86,
	SVM_EXIT_NESTED_PAGE_FAULT = 0x400,
};

/* exit_info1 of an I/O instruction; exit_info2 is the address of the next one */
#define IO_INFO_IN     BIT(0)
#define IO_INFO_STRING BIT(2)
#define IO_INFO_SIZE   BITS(6, 4) /* one bit each: 1, 2 and 4 bytes */
#define IO_INFO_PORT   BITS(31, 16)

#endif
