/*
 * PEBS with a debug store area and a buffer of the test's own. SDM Vol. 3B, "Processor Event Based Sampling (PEBS)" and
 * "Adaptive PEBS".
 */
#ifndef GUEST_PEBS_H
#define GUEST_PEBS_H

#include <stdbool.h>
#include <stdint.h>

#define MSR_IA32_PEBS_ENABLE 0x3f1
#define MSR_PEBS_DATA_CFG    0x3f2
#define MSR_IA32_DS_AREA     0x600

/* "DS Buffer Management Area", 64-bit. */
struct pebs_area {
	uint64_t bts[4];
	uint64_t base, index, maximum, threshold;
	uint64_t resets[48]; /* eight general-purpose and four fixed counters; 32 and 16 from record format 5 on */
};
_Static_assert(sizeof(struct pebs_area) == 0x1c0, "the larger of the two layouts");

/* What every record begins with, and all of it while PEBS_DATA_CFG is 0. */
struct pebs_basic {
	uint64_t format; /* 63:48 are the record's size */
	uint64_t ip;     /* of the instruction that caused the event */
	uint64_t counters;
	uint64_t tsc;
};
_Static_assert(sizeof(struct pebs_basic) == 32, "Basic Info Group");

#define PEBS_BUFFER_SIZE 0x10000

/* Where DS_AREA points after pebs_init(); tests may bend it. */
extern struct pebs_area pebs_area;
extern uint8_t pebs_buffer[PEBS_BUFFER_SIZE];

/* Does the processor say that it has it, with adaptive records? pmu_detect() comes first. */
bool pebs_is_there(void);
unsigned pebs_format(void);
/* Nothing enabled, the buffer empty, no interrupt before it is full. */
void pebs_init(void);
/* What the counter holds after each record. */
void pebs_set_reset(unsigned counter, uint64_t value);
/* Bytes of records written since pebs_init(), and records if they are all basic ones. */
uint64_t pebs_bytes(void);
uint64_t pebs_records(void);
const struct pebs_basic *pebs_record(unsigned n);

#endif
