/* A PMU model with a DS area: what the tests of PEBS share. */
#ifndef PEBS_FIXTURE_H
#define PEBS_FIXTURE_H

#include <string.h>

#include "pmu_fixture.h"

#define MEMORY      UINT64_C(0xffff800000010000) /* linear address of all there is */
#define MEMORY_SIZE 0x4000
#define DS_AREA     (MEMORY + 0x40) /* a DS area need not begin a page */
#define BUFFER      (MEMORY + 0x1000)
#define BUFFER_SIZE 0x2000

/* Offsets in the DS area. */
#define DS_BASE      0x20
#define DS_INDEX     0x28
#define DS_MAXIMUM   0x30
#define DS_THRESHOLD 0x38
#define DS_GP        0x40
#define DS_FIXED     0x80

/* Sizes of a record's groups, bytes. */
#define BASIC_SIZE 32
#define CODE       UINT64_C(0x400000) /* the address of the first instruction; each has 4 bytes */

struct pebs_machine {
	struct machine machine; /* first: the calls of pmu_fixture.h take its address */
	uint8_t memory[MEMORY_SIZE];
	uint64_t fault;    /* the first access that touches this byte faults, and then no more; 0: none */
	jmp_buf *unwind;   /* the fault does not return */
	unsigned accesses; /* to the DS area */
	unsigned due;
};

/* Finds the memory; NULL: the access faulted. */
static inline uint8_t *pebs_memory(struct pebs_machine *pebs, uint64_t linear, unsigned size)
{
	pebs->accesses++;
	if (pebs->fault >= linear && pebs->fault < linear + size) {
		pebs->fault = 0;
		if (pebs->unwind)
			longjmp(*pebs->unwind, 1);
		return NULL;
	}
	assert_in_range(linear, MEMORY, MEMORY + MEMORY_SIZE - size);
	return pebs->memory + (linear - MEMORY);
}

static inline bool pebs_read(void *opaque, uint64_t linear, void *data, unsigned size)
{
	const uint8_t *from = pebs_memory(opaque, linear, size);

	if (from)
		memcpy(data, from, size);
	return from;
}

static inline bool pebs_write(void *opaque, uint64_t linear, const void *data, unsigned size)
{
	uint8_t *to = pebs_memory(opaque, linear, size);

	if (to)
		memcpy(to, data, size);
	return to;
}

static inline uint64_t pebs_ip(const struct pebs_machine *pebs)
{
	return CODE + 4 * pebs->machine.retired;
}

/* Every register another value. */
static inline void pebs_registers(void *opaque, struct pmu_model_regs *regs)
{
	const struct pebs_machine *pebs = opaque;

	regs->event_ip = pebs_ip(pebs) - 4;
	regs->rip = pebs_ip(pebs);
	regs->rflags = 0x246;
	for (unsigned i = 0; i < 16; i++) {
		regs->gpr[i] = UINT64_C(0x1111111111111111) * i;
		regs->xmm[i][0] = 0x100 + i;
		regs->xmm[i][1] = 0x200 + i;
	}
}

static inline void pebs_due(void *opaque)
{
	((struct pebs_machine *)opaque)->due++;
}

static inline struct pebs_machine *pebs_new(const struct pmu_model_caps *caps)
{
	static const struct pmu_model_ops ops = {
		.deliver_pmi = machine_pmi,
		.ds_read = pebs_read,
		.ds_write = pebs_write,
		.registers = pebs_registers,
		.pebs_due = pebs_due,
		.tsc = machine_tsc,
	};
	struct pebs_machine *pebs = calloc(1, sizeof(*pebs));

	machine_start(&pebs->machine, caps, &ops);
	return pebs;
}

static inline void pebs_free(struct pebs_machine *pebs)
{
	machine_free(&pebs->machine);
}

static inline uint64_t peek(const struct pebs_machine *pebs, uint64_t linear)
{
	uint64_t value;

	assert_in_range(linear, MEMORY, MEMORY + MEMORY_SIZE - sizeof(value));
	memcpy(&value, pebs->memory + (linear - MEMORY), sizeof(value));
	return value;
}

static inline void poke(struct pebs_machine *pebs, uint64_t linear, uint64_t value)
{
	assert_in_range(linear, MEMORY, MEMORY + MEMORY_SIZE - sizeof(value));
	memcpy(pebs->memory + (linear - MEMORY), &value, sizeof(value));
}

static inline uint64_t ds(const struct pebs_machine *pebs, unsigned offset)
{
	return peek(pebs, DS_AREA + offset);
}

static inline void set_ds(struct pebs_machine *pebs, unsigned offset, uint64_t value)
{
	poke(pebs, DS_AREA + offset, value);
}

/* An empty buffer that interrupts at its end. */
static inline void empty_buffer(struct pebs_machine *pebs)
{
	memset(pebs->memory, 0, sizeof(pebs->memory));
	set_ds(pebs, DS_BASE, BUFFER);
	set_ds(pebs, DS_INDEX, BUFFER);
	set_ds(pebs, DS_MAXIMUM, BUFFER + BUFFER_SIZE);
	set_ds(pebs, DS_THRESHOLD, BUFFER + BUFFER_SIZE);
	wr(&pebs->machine, MSR_IA32_DS_AREA, DS_AREA);
}

/* What a counter holds that wraps after `n` events. */
#define PRESET(n) (-(uint64_t)(n)&MAX_48)

/* Counter `n` counts `selector`, wraps after `left` events, has PEBS, and starts again from -`period`. */
static inline void sample(struct pebs_machine *pebs, unsigned n, uint64_t selector, uint64_t left, uint64_t period)
{
	struct machine *machine = &pebs->machine;

	set_ds(pebs, DS_GP + 8 * n, -period);
	wr(machine, MSR_IA32_PEBS_ENABLE, rd(machine, MSR_IA32_PEBS_ENABLE) | BIT(n));
	start(machine, n, selector, PRESET(left));
}

static inline void sample_fixed(struct pebs_machine *pebs, unsigned m, uint64_t left, uint64_t period)
{
	struct machine *machine = &pebs->machine;

	set_ds(pebs, DS_FIXED + 8 * m, -period);
	wr(machine, MSR_IA32_PEBS_ENABLE, rd(machine, MSR_IA32_PEBS_ENABLE) | BIT(32 + m));
	wr(machine, MSR_IA32_FIXED_CTR0 + m, PRESET(left));
	wr(machine, MSR_IA32_FIXED_CTR_CTRL, rd(machine, MSR_IA32_FIXED_CTR_CTRL) | FIXED_OS(m) | FIXED_USR(m));
	wr(machine, MSR_IA32_PERF_GLOBAL_CTRL, rd(machine, MSR_IA32_PERF_GLOBAL_CTRL) | BIT(32 + m));
}

/* `count` instructions, each with its boundary behind it. False: a DS access faulted. */
static inline bool run(struct pebs_machine *pebs, unsigned cpl, unsigned count)
{
	bool good = true;

	while (count--) {
		retire(&pebs->machine, cpl, 1);
		good &= pmu_model_pebs_assist(pebs->machine.model);
	}
	return good;
}

static inline void run_branch(struct pebs_machine *pebs)
{
	uint64_t from = pebs_ip(pebs);

	pmu_model_branch(pebs->machine.model, PMU_MODEL_JMP, true, transfer(from, 3, from + 4, 3));
	run(pebs, 3, 1);
}

static inline void run_access(struct pebs_machine *pebs, unsigned kinds, uint64_t linear, uint64_t physical)
{
	pmu_model_access(pebs->machine.model, kinds, linear, physical, 8);
	run(pebs, 3, 1);
}

/* Records in a buffer of basic ones. */
static inline unsigned records(const struct pebs_machine *pebs)
{
	return (unsigned)((ds(pebs, DS_INDEX) - ds(pebs, DS_BASE)) / BASIC_SIZE);
}

/* Field `offset` of basic record `i`. */
static inline uint64_t basic(const struct pebs_machine *pebs, unsigned i, unsigned offset)
{
	return peek(pebs, BUFFER + i * BASIC_SIZE + offset);
}
#define BASIC_FORMAT   0
#define BASIC_IP       8
#define BASIC_COUNTERS 16
#define BASIC_TSC      24

static inline uint64_t status(struct pebs_machine *pebs)
{
	return rd(&pebs->machine, MSR_IA32_PERF_GLOBAL_STATUS);
}

static inline int pebs_setup(void **state)
{
	struct pebs_machine *pebs = pebs_new(&pmu_model_icelake);

	empty_buffer(pebs);
	*state = pebs;
	return 0;
}

static inline int pebs_teardown(void **state)
{
	pebs_free(*state);
	return 0;
}

#define PEBS_TEST(name) cmocka_unit_test_setup_teardown(name, pebs_setup, pebs_teardown)

#endif
