/* The guest's memory as PEBS finds it. What tells the time is not kept: it is pmuvisor's that passes too. */
#include <string.h>

#include "arch/x86/msr.h"
#include "processor.h"

/* SDM Vol. 3B, "Adaptive PEBS": the first field of a record says what follows its basic group. */
#define BASIC_SIZE 32
#define BASIC_TSC  24
#define GROUPS     3
#define ENTRY_SIZE 24
#define ENTRY_INFO 16
#define NR_ENTRIES BITS(31, 24)

static const unsigned group_sizes[GROUPS] = { 32, 144, 256 }; /* memory, general registers, XMM */

static uint8_t *find(struct processor *cpu, uint64_t linear, unsigned size)
{
	uint64_t at = linear - PROCESSOR_MEMORY;

	return at <= PROCESSOR_MEMORY_SIZE - size ? cpu->memory + at : NULL;
}

bool debug_store_read(void *cpu, uint64_t linear, void *data, unsigned size)
{
	const uint8_t *memory = find(cpu, linear, size);

	if (memory)
		memcpy(data, memory, size);
	return memory;
}

static void clear_bits(uint8_t *field, uint64_t bits)
{
	uint64_t value;

	memcpy(&value, field, sizeof(value));
	value &= ~bits;
	memcpy(field, &value, sizeof(value));
}

static void clear_times(uint8_t *record)
{
	uint8_t *entry = record + BASIC_SIZE;
	uint64_t format;

	memcpy(&format, record, sizeof(format));
	clear_bits(record + BASIC_TSC, BITS(63, 0));
	for (unsigned i = 0; i < GROUPS; i++)
		entry += format & BIT(i) ? group_sizes[i] : 0;
	for (uint64_t i = 0; format & PEBS_DATA_CFG_LBR && i <= FIELD_GET(NR_ENTRIES, format); i++)
		clear_bits(entry + ENTRY_SIZE * i + ENTRY_INFO, PLAN_LBR_TIME);
}

bool debug_store_write(void *cpu, uint64_t linear, const void *data, unsigned size)
{
	uint8_t *memory = find(cpu, linear, size);

	if (!memory)
		return false;
	memcpy(memory, data, size);
	if (size >= BASIC_SIZE)
		clear_times(memory);
	return true;
}

void debug_store_registers(void *cpu, struct pmu_model_regs *regs)
{
	const struct processor *guest = cpu;

	*regs = (struct pmu_model_regs){
		.event_ip = guest->rip,
		.rip = guest->rip + PROCESSOR_INSTRUCTION,
		.rflags = 2,
	};
	for (unsigned i = 0; i < 16; i++)
		regs->gpr[i] = guest->rip << 8 | i;
}
