/* AMD's registers by their numbers, as Linux' msr-index.h has them, and what the tests of AMD's PMU share. */
#ifndef AMD_FIXTURE_H
#define AMD_FIXTURE_H

#include "pmu_fixture.h"

#define CTL(n)      (0xc0010200u + 2 * (n))
#define CTR(n)      (0xc0010201u + 2 * (n))
#define LEGACY_CTL0 0xc0010000u
#define LEGACY_CTR0 0xc0010004u
#define STATUS      0xc0000300u
#define GLOBAL_CTL  0xc0000301u
#define STATUS_CLR  0xc0000302u
#define STATUS_SET  0xc0000303u
#define DEBUGCTL    0x1d9u
#define GUEST_ONLY  BIT(40)
#define HOST_ONLY   BIT(41)
#define ALL_SIX     BITS(5, 0)

#define AMD_CYCLES   UINT64_C(0x0076)
#define AMD_BRANCHES UINT64_C(0x00c2)
#define AMD_TAKEN    UINT64_C(0x00c4)
#define AMD_FAR      UINT64_C(0x00c6)

static inline int setup_zen4(void **state)
{
	*state = machine_new(&pmu_model_zen4);
	return 0;
}

static inline int setup_zen3(void **state)
{
	*state = machine_new(&pmu_model_zen3);
	return 0;
}

#define ZEN4_TEST(name) cmocka_unit_test_setup_teardown(name, setup_zen4, teardown)
#define ZEN3_TEST(name) cmocka_unit_test_setup_teardown(name, setup_zen3, teardown)

/* Counter `n` counts `selector` from `value` on. */
static inline void count(struct machine *machine, unsigned n, uint64_t selector, uint64_t value)
{
	wr(machine, CTR(n), value);
	wr(machine, CTL(n), selector);
}

static inline uint64_t ctr(struct machine *machine, unsigned n)
{
	return rd(machine, CTR(n));
}

/* VMRUN into a guest of that CPL: what a caller does. */
static inline void vmrun(struct machine *machine, const struct pmu_model_vmcb *vmcb, unsigned cpl)
{
	pmu_model_vmrun(machine->model, vmcb);
	retire(machine, pmu_model_counted_cpl(machine->model, 0, cpl), 1);
}

#endif
