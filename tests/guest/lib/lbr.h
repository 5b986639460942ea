/*
 * Last branch records, of whichever kind the processor has: SDM Vol. 3B, "Last Branch Records". Filters say what is
 * recorded, with the type numbers of IA32_LBR_x_INFO.BR_TYPE.
 */
#ifndef GUEST_LBR_H
#define GUEST_LBR_H

#include <stdbool.h>
#include <stdint.h>

#include "cpu.h"

/* Model-specific: PERF_CAPABILITIES.LBR_FMT 5, 32 entries. */
#define MSR_LBR_SELECT           0x1c8
#define MSR_LASTBRANCH_TOS       0x1c9
#define MSR_LASTBRANCH_0_FROM_IP 0x680
#define MSR_LASTBRANCH_0_TO_IP   0x6c0
#define MSR_LBR_INFO_0           0xdc0
/* Both. */
#define MSR_LER_FROM_IP 0x1dd
#define MSR_LER_TO_IP   0x1de
/* Architectural. */
#define MSR_IA32_LER_INFO      0x1e0
#define MSR_IA32_LBR_0_INFO    0x1200
#define MSR_IA32_LBR_CTL       0x14ce
#define LBR_CTL_EN             BIT(0)
#define LBR_CTL_OS             BIT(1)
#define LBR_CTL_USR            BIT(2)
#define LBR_CTL_CALL_STACK     BIT(3)
#define MSR_IA32_LBR_DEPTH     0x14cf
#define MSR_IA32_LBR_0_FROM_IP 0x1500
#define MSR_IA32_LBR_0_TO_IP   0x1600
#define LBR_INFO_CYCLES        UINT64_C(0xffff)
#define LBR_INFO_TYPE(info)    ((info) >> 56 & 0xf)
#define LBR_INFO_CYCLES_VALID  BIT(60)
/* AMD's, of their second version: Linux, arch/x86/include/asm/msr-index.h. */
#define MSR_LBR_SELECT_V2   0xc000010e
#define MSR_DBG_EXTN_CFG    0xc000010f
#define DBG_EXTN_LBRV2EN    BIT(6)
#define MSR_SAMP_BR_FROM(n) (0xc0010300 + 2 * (n))
#define MSR_SAMP_BR_TO(n)   (0xc0010301 + 2 * (n))

#define DEBUGCTL_LBR                BIT(0)
#define DEBUGCTL_FREEZE_LBRS_ON_PMI BIT(11)
#define PERF_GLOBAL_STATUS_LBR_FRZ  BIT(58)

#define CPUID_LBR_LEAF 0x1c

enum lbr_type {
	LBR_COND,
	LBR_IND_JMP,
	LBR_REL_JMP,
	LBR_IND_CALL,
	LBR_REL_CALL,
	LBR_RET,
	LBR_OTHER = 8, /* far branches, exceptions, interrupts; and all above */
};

/* What to record. */
#define LBR_ALL_TYPES  0x13fu /* a bit for each of enum lbr_type */
#define LBR_USER       BIT(16)
#define LBR_KERNEL     BIT(17)
#define LBR_CALL_STACK BIT(18) /* with the types of calls and returns alone */
#define LBR_CALLS      (BIT(LBR_REL_CALL) | BIT(LBR_IND_CALL) | BIT(LBR_RET))

struct lbr_entry {
	uint64_t from, to, info;
};

struct lbr {
	bool architectural;
	unsigned depth;
	uint32_t depths; /* architectural: CPUID.1CH:EAX[7:0] */
};
extern struct lbr lbr;

/* A processor without LBR fails the test. Leaves the recording off and the stack empty. */
void lbr_init(void);
/* Off, empty, not frozen. */
void lbr_reset(void);
/* `filter` is what to record, of the types and rings above. */
void lbr_start(uint64_t filter);
void lbr_stop(void);
/* The enable bit, which a #DB clears. */
bool lbr_running(void);
/* The entry `age` records before the newest. */
struct lbr_entry lbr_entry(unsigned age);

#endif
