/*
 * The DS save area with a PEBS buffer behind it, as a profiler sets them up. Counters have the numbers of their
 * GLOBAL_STATUS bits.
 */
#ifndef GUEST_DS_H
#define GUEST_DS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MSR_IA32_DS_AREA     0x600
#define MSR_IA32_PEBS_ENABLE 0x3f1
#define MSR_PEBS_DATA_CFG    0x3f2
#define MSR_PEBS_LD_LAT      0x3f6
#define MSR_PEBS_FRONTEND    0x3f7
#define PEBS_CFG_MEMORY      (UINT64_C(1) << 0)
#define PEBS_CFG_GPR         (UINT64_C(1) << 1)
#define PEBS_CFG_XMM         (UINT64_C(1) << 2)
#define PEBS_CFG_LBR         (UINT64_C(1) << 3)
#define PEBS_CFG_LBRS(n)     ((uint64_t)((n)-1) << 24)
/* From format 6 on. */
#define PEBS_CFG_COUNTERS    (UINT64_C(1) << 4)
#define PEBS_CFG_METRICS     (UINT64_C(1) << 5)
#define PEBS_CFG_GP(mask)    ((uint64_t)(mask) << 32)
#define PEBS_CFG_FIXED(mask) ((uint64_t)(mask) << 48)

#define DS_RESETS 48

/* SDM Vol. 3B, "DS Save Area", 64-bit. */
struct ds_area {
	uint64_t bts[4];
	uint64_t pebs_base, pebs_index, pebs_maximum, pebs_threshold;
	uint64_t reset[DS_RESETS];
};
_Static_assert(sizeof(struct ds_area) == 0x1c0, "SDM Vol. 3B, \"DS Save Area\": up to 32 + 16 reset values");

/* SDM Vol. 3B, "Basic Info": the group that begins each record. */
struct pebs_basic {
	uint64_t format; /* MSR_PEBS_DATA_CFG, and in bits 63:48 the size of the record */
	uint64_t ip;
	uint64_t counters;
	uint64_t tsc;
};
_Static_assert(sizeof(struct pebs_basic) == 32, "SDM Vol. 3B, \"Basic Info\"");
#define PEBS_SIZE(basic) ((basic)->format >> 48)

/* SDM Vol. 3B, "Adaptive PEBS": the groups that PEBS_DATA_CFG adds, in this order. */
struct pebs_memory {
	uint64_t address; /* linear */
	uint64_t source;  /* 3:0; bit 4 an STLB miss, bit 5 a lock */
	uint64_t latency;
	uint64_t tsx;
};
_Static_assert(sizeof(struct pebs_memory) == 32, "SDM Vol. 3B, \"Memory Access Info\"");

struct pebs_gprs {
	uint64_t rflags, rip; /* of the next instruction */
	uint64_t regs[16];    /* RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8 to R15 */
};
_Static_assert(sizeof(struct pebs_gprs) == 144, "SDM Vol. 3B, \"GPRs\"");

struct pebs_xmms {
	uint64_t regs[16][2];
};
_Static_assert(sizeof(struct pebs_xmms) == 256, "SDM Vol. 3B, \"XMMs\"");

struct pebs_lbr {
	uint64_t from, to, info;
};
_Static_assert(sizeof(struct pebs_lbr) == 24, "SDM Vol. 3B, \"LBRs\"");

struct pebs_counters {
	uint32_t gp, fixed; /* which */
	uint32_t metrics;
	uint32_t reserved;
	uint64_t values[]; /* the counters', then those of fixed counter 3 and of PERF_METRICS */
};
_Static_assert(sizeof(struct pebs_counters) == 16, "SDM Vol. 3B, \"Counters\"");
#define PEBS_COUNTERS_METRICS 3

/* Bytes of a record with the groups of `config`. */
uint64_t ds_record_size(uint64_t config);
/* The first field of such a record. */
uint64_t ds_record_format(uint64_t config);

extern struct ds_area ds_area;

/* PEBS of the adaptive kind is there. */
bool ds_has_pebs(void);
/* An empty buffer for records of `size` bytes, whose threshold the record `records` reaches; loads DS_AREA with it. */
void ds_init(unsigned records, unsigned size);
/* What the processor loads the counter with when it has written a record of it. */
void ds_set_reset(unsigned counter, uint64_t value);
/* The record after this one, after NULL the first; NULL: there are no more. */
const struct pebs_basic *ds_next(const struct pebs_basic *record);
/* Empties the buffer; the number of records that were in it. */
unsigned ds_drain(void);

#endif
