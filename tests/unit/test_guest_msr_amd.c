/* Which of AMD's MSRs exit by who has the counters and the LBRs, what is never the guest's, and DEBUGCTL's bits there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/guest_msr.h"
#include "arch/x86/pmu_amd.h"
#include "arch/x86/reg.h"

#define DEBUGCTL   0x1d9
#define COUNTERS   6
#define FREEZES    (PMU_STATUS_LBR_FROZEN | PMU_STATUS_CTR_FROZEN)
#define LBR_SELECT 0xc000010e
#define LBR_FROM   0xc0010300
#define NR_LBRS    32
#define IBS        0xc0011030
#define NR_IBS     14
#define IRPERF     0xc00000e9
#define CTL(n)     (0xc0010200 + 2 * (n))
#define CTR(n)     (0xc0010201 + 2 * (n))
#define OLD_CTL(n) (0xc0010000 + (n))
#define OLD_CTR(n) (0xc0010004 + (n))
#define GLOBAL     0xc0000300

static uint64_t debugctl, tried, freeze, selectors[COUNTERS], counter_value;
static uint32_t counter_msr;

/* The operation keeps account of what it writes. */
static void write_core(unsigned n, uint64_t value)
{
	assert_int_equal(CTR(n), counter_msr);
	counter_value = value;
}

static const struct pmu_ops amd = { .write = write_core, .msrs = &guest_msrs_amd };
static struct cpu cpu;
static uint64_t written;
static unsigned enabled;
static enum pmu_global written_reg;

uint64_t reg_rdmsr(uint32_t msr)
{
	if (msr == counter_msr)
		return counter_value;
	assert_int_equal(msr, DEBUGCTL);
	return 0;
}

bool reg_rdmsr_safe(uint32_t msr, uint64_t *value)
{
	*value = reg_rdmsr(msr);
	return true;
}

void reg_wrmsr(uint32_t msr, uint64_t value)
{
	if (msr == counter_msr) {
		counter_value = value;
		return;
	}
	assert_int_equal(msr, DEBUGCTL);
	assert_int_equal(value, 0);
}

bool reg_wrmsr_safe(uint32_t msr, uint64_t value)
{
	assert_int_equal(msr, DEBUGCTL);
	tried = value;
	return true;
}

uint64_t reg_rdpmc(uint32_t counter)
{
	return counter;
}

void reg_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t regs[4])
{
	(void)leaf, (void)subleaf, (void)regs;
	fail();
}

void reg_move_window(const struct hv_window *window, uint64_t pa)
{
	(void)window, (void)pa;
	fail();
}

void pmu_apic_mode_changed(struct cpu *changed)
{
	(void)changed;
	fail();
}

void pmu_write_freeze(struct cpu *changed, uint64_t value)
{
	assert_ptr_equal(changed, &cpu);
	freeze = value;
}

bool pmu_read_global(struct cpu *reader, enum pmu_global reg, uint64_t *value)
{
	(void)reader;
	*value = reg;
	return true;
}

bool pmu_write_global(struct cpu *writer, enum pmu_global reg, uint64_t value)
{
	(void)writer;
	written_reg = reg;
	written = value;
	return true;
}

void pmu_amd_write_selector(struct pmu *pmu, unsigned n, uint64_t value)
{
	assert_ptr_equal(pmu, &cpu.pmu);
	selectors[n] = value;
}

uint64_t pmu_amd_read_selector(const struct pmu *pmu, unsigned n)
{
	assert_ptr_equal(pmu, &cpu.pmu);
	return selectors[n];
}

void pmu_counter_enabled(struct cpu *owner)
{
	assert_ptr_equal(owner, &cpu);
	enabled++;
}

bool pmu_read_lvtpc(struct cpu *reader, uint64_t *value)
{
	(void)reader, (void)value;
	return false;
}

bool pmu_write_lvtpc(struct cpu *writer, uint64_t value)
{
	(void)writer, (void)value;
	return false;
}

static uint64_t read_guest(struct cpu *owner, enum guest_register reg)
{
	(void)owner;
	assert_int_equal(reg, GUEST_DEBUGCTL);
	return debugctl;
}

static void write_guest_debugctl(struct cpu *owner, uint64_t value)
{
	(void)owner;
	debugctl = value;
}

static const struct hv_ops ops = { .read = read_guest, .write_debugctl = write_guest_debugctl };

/* A Zen 4 whose host has the last two. */
static int setup(void **state)
{
	(void)state;
	memset(&cpu, 0, sizeof(cpu));
	cpu.ops = &ops;
	cpu.pmu.ops = &amd;
	cpu.pmu.caps = (struct pmu_caps){
		.version = 2,
		.global = true,
		.nr_gp = COUNTERS,
		.counters = BITS(5, 0),
		.clear_flags = FREEZES,
		.set_flags = FREEZES,
	};
	cpu.pmu.host = BITS(5, 4);
	cpu.pmu.guest = cpu.pmu.controls = BITS(3, 0);
	debugctl = tried = freeze = counter_msr = 0;
	enabled = 0;
	memset(selectors, 0, sizeof(selectors));
	return 0;
}

struct watch {
	uint32_t first, count;
	unsigned both, other;
};

static void record(void *context, uint32_t msr, enum msr_trap trap)
{
	struct watch *watch = context;

	if (msr - watch->first >= watch->count)
		return;
	watch->both += trap == TRAP_BOTH;
	watch->other += trap != TRAP_BOTH;
}

/* All `count` exit, or none. */
static void expect(uint32_t first, uint32_t count, bool exits)
{
	for (unsigned open = 0; open < 2; open++) {
		struct watch watch = { .first = first, .count = count };

		guest_msr_traps(&cpu.pmu, open, record, &watch);
		assert_int_equal(watch.both, exits ? count : 0);
		assert_int_equal(watch.other, 0);
	}
}

static enum verdict wrmsr(uint32_t msr, uint64_t value)
{
	cpu.guest = (struct regs){ .rcx = msr, .rax = (uint32_t)value, .rdx = value >> 32 };
	return guest_wrmsr(&cpu);
}

static uint64_t rdmsr(uint32_t msr)
{
	cpu.guest = (struct regs){ .rcx = msr };
	assert_int_equal(guest_rdmsr(&cpu), ADVANCE);
	return cpu.guest.rdx << 32 | cpu.guest.rax;
}

static void expect_faults(uint32_t first, uint32_t count)
{
	for (uint32_t msr = first; msr < first + count; msr++) {
		cpu.guest = (struct regs){ .rcx = msr };
		assert_int_equal(guest_rdmsr(&cpu), INJECT_GP);
		assert_int_equal(wrmsr(msr, 0), INJECT_GP);
	}
}

static enum msr_trap trap_seen;
static uint32_t trap_of;

static void record_one(void *context, uint32_t msr, enum msr_trap trap)
{
	(void)context;
	if (msr == trap_of)
		trap_seen = trap;
}

static void expect_trap(uint32_t msr, enum msr_trap trap)
{
	for (unsigned open = 0; open < 2; open++) {
		trap_of = msr;
		trap_seen = TRAP_NEVER;
		guest_msr_traps(&cpu.pmu, open, record_one, NULL);
		assert_int_equal(trap_seen, trap);
	}
}

/* By both of their names: reads of a selector exit only where they would tell, which the entry knows. */
static void counters_are_their_owner_s(void **state)
{
	(void)state;
	for (uint32_t n = 0; n < COUNTERS; n++) {
		bool guests = n < 4;

		expect_trap(CTL(n), guests ? TRAP_WRITE : TRAP_BOTH);
		expect_trap(CTR(n), guests ? TRAP_NEVER : TRAP_BOTH);
		if (!guests)
			continue;
		expect_trap(OLD_CTL(n), TRAP_WRITE);
		expect_trap(OLD_CTR(n), TRAP_NEVER);
		assert_int_equal(wrmsr(CTL(n), 7 + n), ADVANCE);
		assert_int_equal(selectors[n], 7 + n);
		assert_int_equal(rdmsr(OLD_CTL(n)), 7 + n);
		assert_int_equal(wrmsr(OLD_CTL(n), 9 + n), ADVANCE);
		assert_int_equal(rdmsr(CTL(n)), 9 + n);
	}
	expect_faults(CTL(4), 4);
}

static void a_share_of_three(void **state)
{
	(void)state;
	cpu.pmu.guest = BITS(2, 0);
	expect_trap(OLD_CTL(2), TRAP_WRITE);
	expect_trap(OLD_CTL(3), TRAP_BOTH);
	expect_trap(OLD_CTR(3), TRAP_BOTH);
	expect_faults(OLD_CTL(3), 1);
	expect_faults(OLD_CTR(3), 1);
	expect_faults(CTL(3), 2);
}

/* One that is ahead exits, and is the hardware's. */
static void a_counter_that_exits(void **state)
{
	(void)state;
	counter_msr = CTR(1);
	counter_value = 5;
	assert_int_equal(rdmsr(CTR(1)), 5);
	assert_int_equal(wrmsr(CTR(1), 6), ADVANCE);
	assert_int_equal(counter_value, 6);
}

static void reserved_bits_of_global_registers_are_ignored(void **state)
{
	(void)state;
	cpu.pmu.controls = BITS(3, 0);
	assert_int_equal(wrmsr(GLOBAL + 1, ~UINT64_C(0)), ADVANCE);
	assert_int_equal(written_reg, PMU_CTRL);
	assert_int_equal(written, BITS(3, 0));
	assert_int_equal(wrmsr(GLOBAL + 2, ~UINT64_C(0)), ADVANCE);
	assert_int_equal(written_reg, PMU_STATUS_CLEAR);
	assert_int_equal(written, BITS(3, 0) | FREEZES);
	assert_int_equal(wrmsr(GLOBAL + 3, BIT(1)), ADVANCE);
	assert_int_equal(written_reg, PMU_STATUS_SET);
	assert_int_equal(written, BIT(1));
	assert_int_equal(wrmsr(GLOBAL, BIT(2)), ADVANCE);
	assert_int_equal(written, BIT(1)); /* read-only */
	assert_int_equal(rdmsr(GLOBAL), PMU_STATUS);
	assert_int_equal(rdmsr(GLOBAL + 1), PMU_CTRL);
}

/* The four that every processor has, by their old names; nothing else. */
static void zen_3_has_four_counters(void **state)
{
	(void)state;
	cpu.pmu.caps.global = false;
	for (uint32_t n = 0; n < COUNTERS; n++) {
		expect_trap(CTL(n), TRAP_BOTH);
		expect_trap(CTR(n), TRAP_BOTH);
	}
	expect_faults(CTL(0), 2 * COUNTERS);
	expect_faults(GLOBAL, 4);
	expect_trap(OLD_CTL(3), TRAP_WRITE);
	expect_trap(OLD_CTR(3), TRAP_NEVER);
	assert_int_equal(wrmsr(OLD_CTL(3), 3), ADVANCE);
	assert_int_equal(rdmsr(OLD_CTL(3)), 3);
	assert_int_equal(enabled, 0);
	assert_int_equal(wrmsr(OLD_CTL(3), PERFEVTSEL_EN | PERFEVTSEL_INT), ADVANCE);
	assert_int_equal(enabled, 1); /* there is no other write that would tell */
}

static void lbrs_are_their_owner_s(void **state)
{
	(void)state;
	expect(LBR_SELECT, 2, true);
	expect(LBR_FROM, NR_LBRS, true);
	expect_faults(LBR_SELECT, 2);
	expect_faults(LBR_FROM, NR_LBRS);
	cpu.pmu.lbr.guests = true;
	expect(LBR_SELECT, 2, false);
	expect(LBR_FROM, NR_LBRS, false);
}

static void neither_ibs_nor_the_counter_of_instructions(void **state)
{
	(void)state;
	cpu.pmu.lbr.guests = true;
	expect(IBS, NR_IBS, true);
	expect_faults(IBS, NR_IBS);
	expect(IRPERF, 1, true);
	expect_faults(IRPERF, 1);
}

/* Its LBR bit is the guest's even where the host has the stack; neither it nor a freeze is tried in root mode. */
static void debugctl_is_the_guest_s(void **state)
{
	(void)state;
	assert_int_equal(wrmsr(DEBUGCTL, BITS(5, 0) | BITS(12, 11)), ADVANCE);
	assert_int_equal(debugctl, BITS(5, 0));
	assert_int_equal(tried, BITS(5, 1));
	assert_int_equal(freeze, FREEZES);
	cpu.pmu.guest_freeze = PMU_STATUS_LBR_FROZEN;
	assert_int_equal(rdmsr(DEBUGCTL), BITS(5, 0) | BIT(11));
	assert_int_equal(wrmsr(DEBUGCTL, BIT(6)), INJECT_GP);
	assert_int_equal(wrmsr(DEBUGCTL, BIT(13)), INJECT_GP);
}

static void zen_3_has_no_freezes(void **state)
{
	(void)state;
	cpu.pmu.caps.clear_flags = cpu.pmu.caps.set_flags = 0;
	assert_int_equal(wrmsr(DEBUGCTL, BIT(11)), INJECT_GP);
	assert_int_equal(wrmsr(DEBUGCTL, BIT(12)), INJECT_GP);
	assert_int_equal(wrmsr(DEBUGCTL, BITS(1, 0)), ADVANCE);
	assert_int_equal(debugctl, BITS(1, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(counters_are_their_owner_s, setup),
		cmocka_unit_test_setup(a_share_of_three, setup),
		cmocka_unit_test_setup(a_counter_that_exits, setup),
		cmocka_unit_test_setup(reserved_bits_of_global_registers_are_ignored, setup),
		cmocka_unit_test_setup(zen_3_has_four_counters, setup),
		cmocka_unit_test_setup(lbrs_are_their_owner_s, setup),
		cmocka_unit_test_setup(neither_ibs_nor_the_counter_of_instructions, setup),
		cmocka_unit_test_setup(debugctl_is_the_guest_s, setup),
		cmocka_unit_test_setup(zen_3_has_no_freezes, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
