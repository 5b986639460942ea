#include "pebs.h"
#include "pmu.h"

#define CPUID_1_EDX_DS     BIT(21)
#define CPUID_1_ECX_DTES64 BIT(2)
#define FORMAT_ADAPTIVE    4
#define FORMAT_MORE_SLOTS  5

struct pebs_area pebs_area __attribute__((aligned(4096)));
uint8_t pebs_buffer[PEBS_BUFFER_SIZE] __attribute__((aligned(4096)));

unsigned pebs_format(void)
{
	return pmu.capabilities >> 8 & 0xf;
}

bool pebs_is_there(void)
{
	struct cpuid_regs features = cpuid(1, 0);

	return features.edx & CPUID_1_EDX_DS && features.ecx & CPUID_1_ECX_DTES64 &&
	       !(rdmsr(MSR_IA32_MISC_ENABLE) & MISC_ENABLE_NO_PEBS) && pebs_format() >= FORMAT_ADAPTIVE &&
	       pmu.capabilities & PERF_CAPABILITIES_PEBS_BASELINE;
}

void pebs_init(void)
{
	wrmsr(MSR_IA32_PEBS_ENABLE, 0);
	wrmsr(MSR_PEBS_DATA_CFG, 0);
	pebs_area = (struct pebs_area){
		.base = (uint64_t)pebs_buffer,
		.index = (uint64_t)pebs_buffer,
		.maximum = (uint64_t)pebs_buffer + PEBS_BUFFER_SIZE,
		.threshold = (uint64_t)pebs_buffer + PEBS_BUFFER_SIZE,
	};
	wrmsr(MSR_IA32_DS_AREA, (uint64_t)&pebs_area);
}

void pebs_set_reset(unsigned counter, uint64_t value)
{
	unsigned fixed = pebs_format() < FORMAT_MORE_SLOTS ? 8 : 32;

	pebs_area.resets[counter < FIXED(0) ? counter : fixed + counter - FIXED(0)] = value;
}

uint64_t pebs_bytes(void)
{
	return pebs_area.index - pebs_area.base;
}

uint64_t pebs_records(void)
{
	return pebs_bytes() / sizeof(struct pebs_basic);
}

const struct pebs_basic *pebs_record(unsigned n)
{
	return (const struct pebs_basic *)pebs_area.base + n;
}
