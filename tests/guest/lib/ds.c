#include "ds.h"
#include "pmu.h"
#include "tap.h"

#define BUFFER_SIZE     65536
#define PEBS_CFG_FORMAT ((UINT64_C(1) << 48) - 1)

/* SDM Vol. 3B, "DS Save Area": from format 5 on, 32 general-purpose counters have room before the fixed ones. */
#define PEBS_FORMAT(capabilities) ((capabilities) >> 8 & 0xf)
#define FORMAT_FIXED_MOVED        5
#define RESET_FIXED               8
#define RESET_FIXED_5             32

struct ds_area ds_area __attribute__((aligned(64)));
static uint8_t buffer[BUFFER_SIZE] __attribute__((aligned(64)));

bool ds_has_pebs(void)
{
	return pmu.capabilities & PERF_CAPABILITIES_PEBS_BASELINE &&
	       !(rdmsr(MSR_IA32_MISC_ENABLE) & MISC_ENABLE_NO_PEBS);
}

static uint64_t counters_size(uint64_t config)
{
	uint64_t counters = config & PEBS_CFG_COUNTERS ? config & (PEBS_CFG_GP(0xffff) | PEBS_CFG_FIXED(0xff)) : 0;
	uint64_t values = config & PEBS_CFG_METRICS ? 2 : 0;

	if (!(config & (PEBS_CFG_COUNTERS | PEBS_CFG_METRICS)))
		return 0;
	for (; counters; counters &= counters - 1)
		values++;
	return sizeof(struct pebs_counters) + 8 * values;
}

uint64_t ds_record_size(uint64_t config)
{
	uint64_t size = sizeof(struct pebs_basic);

	size += config & PEBS_CFG_MEMORY ? sizeof(struct pebs_memory) : 0;
	size += config & PEBS_CFG_GPR ? sizeof(struct pebs_gprs) : 0;
	size += config & PEBS_CFG_XMM ? sizeof(struct pebs_xmms) : 0;
	size += config & PEBS_CFG_LBR ? ((config >> 24 & 0xff) + 1) * sizeof(struct pebs_lbr) : 0;
	return size + counters_size(config);
}

/* SDM Vol. 3B, "Basic Info": the size takes the place of PEBS_DATA_CFG's fixed counters. */
uint64_t ds_record_format(uint64_t config)
{
	return ds_record_size(config) << 48 | (config & PEBS_CFG_FORMAT);
}

void ds_init(unsigned records, unsigned size)
{
	if ((uint64_t)records * size > BUFFER_SIZE)
		tap_abort("%u PEBS records of %u bytes don't fit the buffer", records, size);
	ds_area.pebs_base = ds_area.pebs_index = (uint64_t)(uintptr_t)buffer;
	ds_area.pebs_threshold = ds_area.pebs_base + (uint64_t)records * size;
	ds_area.pebs_maximum = ds_area.pebs_base + BUFFER_SIZE;
	wrmsr(MSR_IA32_DS_AREA, (uint64_t)(uintptr_t)&ds_area);
}

void ds_set_reset(unsigned counter, uint64_t value)
{
	unsigned fixed = PEBS_FORMAT(pmu.capabilities) < FORMAT_FIXED_MOVED ? RESET_FIXED : RESET_FIXED_5;

	ds_area.reset[counter < FIXED(0) ? counter : fixed + counter - FIXED(0)] = value;
}

const struct pebs_basic *ds_next(const struct pebs_basic *record)
{
	uint64_t at = ds_area.pebs_base;

	if (record)
		at = (uint64_t)(uintptr_t)record + PEBS_SIZE(record);
	if (at >= ds_area.pebs_index)
		return NULL;
	if (!PEBS_SIZE((const struct pebs_basic *)(uintptr_t)at))
		tap_abort("a PEBS record of no size");
	return (const struct pebs_basic *)(uintptr_t)at;
}

unsigned ds_drain(void)
{
	unsigned n = 0;

	for (const struct pebs_basic *record = ds_next(NULL); record; record = ds_next(record))
		n++;
	ds_area.pebs_index = ds_area.pebs_base;
	return n;
}
