/* A PMU model with a caller that only remembers: what the tests of the model share. */
#ifndef PMU_FIXTURE_H
#define PMU_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "tests/machine/pmu_private.h"

#define MAX_48   BITS(47, 0)
#define OS       EVTSEL_OS
#define USR      EVTSEL_USR
#define ALL      (EVTSEL_EN | OS | USR)
#define INT      EVTSEL_INT
#define CMASK(n) ((uint64_t)(n) << 24)

#define INSTRUCTIONS UINT64_C(0x00c0)
#define CYCLES       UINT64_C(0x003c)
#define BRANCHES     UINT64_C(0x00c4)
#define LVT_NMI      0x400u
#define LVT_MASK     0x10000u

/* What GLOBAL_STATUS of this processor can hold. */
#define STATUS_BITS (BITS(7, 0) | BITS(35, 32) | BIT(48) | BIT(58) | BIT(59) | BIT(61) | BIT(62))

struct machine {
	struct pmu_model *model;
	uint64_t tsc;
	unsigned pmis;
	enum pmu_model_delivery mode;
	unsigned vector;
	uint64_t retired_at_pmi, retired;
};

static inline void machine_pmi(void *opaque, enum pmu_model_delivery mode, unsigned vector)
{
	struct machine *machine = opaque;

	machine->pmis++;
	machine->mode = mode;
	machine->vector = vector;
	machine->retired_at_pmi = machine->retired;
}

static inline uint64_t machine_tsc(void *opaque)
{
	return ((struct machine *)opaque)->tsc;
}

/* As firmware leaves it: APIC enabled, LVTPC unmasked for NMI, and all counters gated in GLOBAL_CTRL. */
static inline void machine_start(struct machine *machine, const struct pmu_model_caps *caps,
				 const struct pmu_model_ops *ops)
{
	assert_non_null(machine);
	machine->model = pmu_model_new(caps, ops, machine);
	assert_non_null(machine->model);
	pmu_model_apic_enabled(machine->model, true);
	pmu_model_write_lvtpc(machine->model, LVT_NMI);
	if (caps->vendor == PMU_MODEL_INTEL)
		assert_int_equal(pmu_model_wrmsr(machine->model, MSR_IA32_PERF_GLOBAL_CTRL, 0), PMU_MODEL_DONE);
}

static inline struct machine *machine_new(const struct pmu_model_caps *caps)
{
	static const struct pmu_model_ops ops = { .deliver_pmi = machine_pmi, .tsc = machine_tsc };
	struct machine *machine = calloc(1, sizeof(*machine));

	machine_start(machine, caps, &ops);
	return machine;
}

static inline void machine_free(struct machine *machine)
{
	pmu_model_free(machine->model);
	free(machine);
}

static inline int setup(void **state)
{
	*state = machine_new(&pmu_model_icelake);
	return 0;
}

static inline int teardown(void **state)
{
	machine_free(*state);
	return 0;
}

static inline uint64_t rd(struct machine *machine, uint32_t msr)
{
	uint64_t value = 0;

	assert_int_equal(pmu_model_rdmsr(machine->model, msr, &value), PMU_MODEL_DONE);
	return value;
}

static inline void wr(struct machine *machine, uint32_t msr, uint64_t value)
{
	assert_int_equal(pmu_model_wrmsr(machine->model, msr, value), PMU_MODEL_DONE);
}

/* Faults, and changes nothing. */
static inline void wr_faults(struct machine *machine, uint32_t msr, uint64_t value)
{
	uint64_t before, after;
	bool readable = pmu_model_rdmsr(machine->model, msr, &before) == PMU_MODEL_DONE;

	assert_int_equal(pmu_model_wrmsr(machine->model, msr, value), PMU_MODEL_GP);
	if (!readable)
		return;
	assert_int_equal(pmu_model_rdmsr(machine->model, msr, &after), PMU_MODEL_DONE);
	assert_int_equal(before, after);
}

static inline void rd_faults(struct machine *machine, uint32_t msr)
{
	uint64_t value;

	assert_int_equal(pmu_model_rdmsr(machine->model, msr, &value), PMU_MODEL_GP);
}

/* Exactly the bits of `writable` can be written, one at a time. */
static inline void writable_bits(struct machine *machine, uint32_t msr, uint64_t writable)
{
	for (unsigned bit = 0; bit < 64; bit++) {
		if (writable & BIT(bit))
			wr(machine, msr, BIT(bit));
		else
			wr_faults(machine, msr, BIT(bit));
	}
	wr(machine, msr, 0);
}

static inline void retire(struct machine *machine, unsigned cpl, unsigned count)
{
	while (count--) {
		machine->retired++;
		machine->tsc++;
		pmu_model_retire(machine->model, cpl);
	}
}

static inline struct pmu_model_transfer transfer(uint64_t from, unsigned from_cpl, uint64_t to, unsigned to_cpl)
{
	return (struct pmu_model_transfer){ .from = from, .to = to, .from_cpl = from_cpl, .to_cpl = to_cpl };
}

static inline void branch(struct machine *machine, enum pmu_model_branch kind, bool taken, uint64_t from, uint64_t to)
{
	pmu_model_branch(machine->model, kind, taken, transfer(from, 3, to, 3));
	retire(machine, 3, 1);
}

/* Counter `n` counts `selector` from `value` on. */
static inline void start(struct machine *machine, unsigned n, uint64_t selector, uint64_t value)
{
	wr(machine, MSR_IA32_A_PMC0 + n, value & MAX_48);
	wr(machine, MSR_IA32_PERFEVTSEL0 + n, selector);
	wr(machine, MSR_IA32_PERF_GLOBAL_CTRL, rd(machine, MSR_IA32_PERF_GLOBAL_CTRL) | BIT(n));
}

static inline uint64_t pmc(struct machine *machine, unsigned n)
{
	return rd(machine, MSR_IA32_PMC0 + n);
}

/* A version 4 PMU, with fewer of everything. */
static const struct pmu_model_caps skylake = {
	.version = 4,
	.nr_gp = 4,
	.nr_fixed = 3,
	.common_fixed = 3,
	.width = 48,
	.common_events = BITS(7, 0),
};

#define MODEL_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
