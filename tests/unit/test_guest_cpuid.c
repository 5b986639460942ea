/* What CPUID tells the guest: of every leaf just the bits that pmuvisor keeps or sets differ from the hardware's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/guest.h"
#include "arch/x86/reg.h"
#include "guest-api/pmuvisor.h"
#include "hv/hypercall.h"

struct leaf {
	uint32_t eax, ebx, ecx, edx;
};

static struct cpu cpu;
static struct boot_info boot;
static uint64_t guest_cr4;
static struct leaf hardware; /* its answer to `asked`, whatever that is */
static uint32_t asked, asked_subleaf;

void reg_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t regs[4])
{
	asked = leaf;
	asked_subleaf = subleaf;
	memcpy(regs, &hardware, sizeof(hardware));
}

unsigned guest_events_counters(const struct cpu *owner)
{
	assert_ptr_equal(owner, &cpu);
	return 3;
}

static uint64_t read_guest(struct cpu *owner, enum guest_register reg)
{
	(void)owner;
	assert_int_equal(reg, GUEST_CR4);
	return guest_cr4;
}

static const struct hv_ops ops = { .read = read_guest };

static int setup(void **state)
{
	(void)state;
	memset(&cpu, 0, sizeof(cpu));
	memset(&boot, 0, sizeof(boot));
	cpu.ops = &ops;
	cpu.boot = &boot;
	cpu.pmu.caps.version = 5;
	cpu.pmu.guest = BITS(5, 0) | BITS(35, 32);
	boot.config.hypervisor_bit = true;
	guest_cr4 = 0;
	return 0;
}

static struct leaf cpuid(uint32_t leaf, uint32_t subleaf)
{
	cpu.guest.rax = UINT64_C(0xdead00000000) | leaf;
	cpu.guest.rcx = UINT64_C(0xdead00000000) | subleaf;
	assert_int_equal(guest_cpuid(&cpu), ADVANCE);
	assert_int_equal(asked, leaf);
	assert_int_equal(asked_subleaf, subleaf);
	assert_int_equal((cpu.guest.rax | cpu.guest.rbx | cpu.guest.rcx | cpu.guest.rdx) >> 32, 0);
	return (struct leaf){ (uint32_t)cpu.guest.rax, (uint32_t)cpu.guest.rbx, (uint32_t)cpu.guest.rcx,
			      (uint32_t)cpu.guest.rdx };
}

static void check(uint32_t leaf, uint32_t subleaf, struct leaf expected)
{
	struct leaf found = cpuid(leaf, subleaf);

	assert_int_equal(found.eax, expected.eax);
	assert_int_equal(found.ebx, expected.ebx);
	assert_int_equal(found.ecx, expected.ecx);
	assert_int_equal(found.edx, expected.edx);
}

#define ONES      0xffffffffu
#define ALL_ONES  ((struct leaf){ ONES, ONES, ONES, ONES })
#define ALL_ZEROS ((struct leaf){ 0, 0, 0, 0 })

static void features(void **state)
{
	uint32_t gone = 1u << 2 | 1u << 4 | 1u << 5 | 1u << 6 | 1u << 27; /* DTES64, DS-CPL, VMX, SMX, OSXSAVE */

	(void)state;
	hardware = ALL_ONES;
	check(1, 0, (struct leaf){ ONES, ONES, ~gone, ~(1u << 21) });
	guest_cr4 = BIT(18);
	check(1, 0, (struct leaf){ ONES, ONES, ~gone | 1u << 27, ~(1u << 21) });
	hardware = ALL_ZEROS;
	check(1, 0, (struct leaf){ 0, 0, 1u << 27 | 1u << 31, 0 });
	guest_cr4 = ~BIT(18);
	check(1, 0, (struct leaf){ 0, 0, 1u << 31, 0 });
	boot.config.hypervisor_bit = false;
	check(1, 0, ALL_ZEROS);
}

/* Cores of two kinds: each is told in leaf 0AH what all have, in leaf 23H what it has itself. */
static void pmu_of_two_kinds(void **state)
{
	static struct cpu cpus[2];

	(void)state;
	boot.nr_cpus = 2;
	boot.cpu_area_size = sizeof(cpus[0]);
	for (unsigned i = 0; i < 2; i++) {
		cpus[i] = (struct cpu){ .id = i, .ops = &ops, .boot = &boot, .guest.rax = 0xa };
		cpus[i].pmu.caps.version = 6;
	}
	cpus[0].pmu.guest = BITS(7, 0) | BITS(35, 32);
	hardware = (struct leaf){ 0x08300806, 0, 0x7, 0x603 };
	assert_int_equal(guest_cpuid(&cpus[0]), ADVANCE); /* the other hasn't started */
	assert_int_equal(cpus[0].guest.rax, 0x08300806);
	cpus[1].pmu.guest = BITS(5, 0) | BITS(34, 32);
	for (unsigned i = 0; i < 2; i++) {
		cpus[i].guest.rax = 0xa;
		assert_int_equal(guest_cpuid(&cpus[i]), ADVANCE);
		assert_int_equal(cpus[i].guest.rax, 0x08300606);
		assert_int_equal(cpus[i].guest.rcx, 0x7);
		cpus[i].guest.rax = 0x23;
		cpus[i].guest.rcx = 1;
		assert_int_equal(guest_cpuid(&cpus[i]), ADVANCE);
		assert_int_equal(cpus[i].guest.rax, i ? 0x3f : 0xff);
		assert_int_equal(cpus[i].guest.rbx, i ? 0x7 : 0xf);
	}
}

static void debug_store_comes_with_pebs(void **state)
{
	uint32_t gone = 1u << 5 | 1u << 6 | 1u << 27;

	(void)state;
	cpu.pmu.pebs.offer = PEBS_OFFERED;
	hardware = ALL_ONES;
	check(1, 0, (struct leaf){ ONES, ONES, ~gone, ONES });
	hardware = ALL_ZEROS;
	check(1, 0, (struct leaf){ 0, 0, 1u << 31, 0 });
}

static void extended_features(void **state)
{
	(void)state;
	hardware = ALL_ONES;
	check(7, 0, (struct leaf){ ONES, ~(1u << 25), ~(1u << 4), ~(1u << 19 | 1u << 18) });
	guest_cr4 = BIT(22);
	check(7, 0, (struct leaf){ ONES, ~(1u << 25), ONES, ~(1u << 19 | 1u << 18) });
	check(7, 1, (struct leaf){ ~(1u << 8), ONES, ONES, ONES });
	check(7, 2, ALL_ONES);
	hardware = ALL_ZEROS;
	check(7, 1, ALL_ZEROS);
}

static void pmu_share(void **state)
{
	(void)state;
	hardware = (struct leaf){ 0x08300805, 0, 0xf, 0x8604 }; /* Ice Lake */
	check(0xa, 0, (struct leaf){ 0x08300605, 0, 0xf, 0x8604 });
	cpu.pmu.guest = BITS(6, 0) | BITS(33, 32) | BIT(35);
	check(0xa, 0, (struct leaf){ 0x08300705, 0, 0xb, 0x8602 });
	cpu.pmu.guest = BIT(33);
	check(0xa, 0, (struct leaf){ 0x08300005, 0, 0x2, 0x8600 });
}

static void pmu_versions(void **state)
{
	(void)state;
	cpu.pmu.caps.version = 4; /* ECX means nothing yet */
	cpu.pmu.guest = BITS(3, 0) | BITS(34, 32);
	hardware = (struct leaf){ 0x07300804, 0, 0, 0x603 };
	check(0xa, 0, (struct leaf){ 0x07300404, 0, 0, 0x603 });
	cpu.pmu.caps.version = 7; /* what it adds isn't known here */
	hardware = (struct leaf){ 0x07300807, 0, 0x7, 0x603 };
	check(0xa, 0, (struct leaf){ 0x07300406, 0, 0x7, 0x603 });
}

/* An Arrow Lake's performance core: 8 and 3 counters in leaf 0AH, 10 and 4 in leaf 23H. */
static void pmu_version_6(void **state)
{
	(void)state;
	cpu.pmu.caps.version = 6;
	cpu.pmu.guest = BITS(7, 0) | BITS(35, 32);
	hardware = (struct leaf){ 0x0d300806, 0x280, 0x7, 0x8603 };
	check(0xa, 0, hardware);
	cpu.pmu.guest = BITS(8, 0) | BITS(35, 32);
	check(0xa, 0, hardware);
	cpu.pmu.guest = BITS(3, 0) | BIT(32) | BITS(35, 34);
	check(0xa, 0, (struct leaf){ 0x0d300406, 0x280, 0x5, 0x8601 });
	hardware = ALL_ONES;
	check(7, 1, ALL_ONES);
	check(0x23, 0, (struct leaf){ 1u << 0 | 1u << 1 | 1u << 3, 3, ONES, 0 }); /* neither subleaf 2 nor 4, 5 */
	check(0x23, 1, (struct leaf){ 0xf, 0xd, 0, 0 });
	check(0x23, 2, ALL_ZEROS);
	check(0x23, 3, (struct leaf){ ONES, 0, 0, 0 });
	for (uint32_t subleaf = 4; subleaf < 16; subleaf++)
		check(0x23, subleaf, ALL_ZEROS);
	hardware = ALL_ZEROS;
	check(7, 1, ALL_ZEROS);
	check(0x23, 0, ALL_ZEROS);
}

static void hidden_state_components(void **state)
{
	(void)state;
	hardware = ALL_ONES;
	check(0xd, 0, ALL_ONES);
	check(0xd, 1, (struct leaf){ ONES, ONES, ~(1u << 8 | 1u << 15), ONES });
	check(0xd, 2, ALL_ONES);
	check(0xd, 8, ALL_ZEROS);
	check(0xd, 15, ALL_ZEROS);
}

static void lbrs_of_the_guest(void **state)
{
	(void)state;
	cpu.pmu.lbr.guests = true;
	hardware = ALL_ONES;
	check(7, 0, (struct leaf){ ONES, ~(1u << 25), ~(1u << 4), ~(1u << 18) });
	check(0xd, 1, (struct leaf){ ONES, ONES, ~(1u << 8), ONES });
	check(0xd, 8, ALL_ZEROS);
	check(0xd, 15, ALL_ONES);
	check(0x1c, 0, ALL_ONES);
}

static void hidden_leaves(void **state)
{
	(void)state;
	hardware = ALL_ONES;
	for (uint32_t subleaf = 0; subleaf < 4; subleaf++) {
		check(0x14, subleaf, ALL_ZEROS);
		check(0x1c, subleaf, ALL_ZEROS);
		check(0x23, subleaf, ALL_ZEROS);
	}
}

/* SVM and SKINIT, IBS, memory encryption; the counter of instructions, branch sampling. */
static void hidden_leaves_of_amd(void **state)
{
	(void)state;
	hardware = ALL_ONES;
	check(0x80000001, 0, (struct leaf){ ONES, ONES, ~(1u << 2 | 1u << 10 | 1u << 12), ONES });
	cpu.pmu.caps.nr_named = 4; /* Zen 3: the four that every processor has, and no more */
	check(0x80000001, 0, (struct leaf){ ONES, ONES, ~(1u << 2 | 1u << 10 | 1u << 12 | 1u << 23), ONES });
	check(0x80000008, 0, (struct leaf){ ONES, ~(1u << 1 | 1u << 31), ONES, ONES });
	check(0x8000000a, 0, ALL_ZEROS);
	check(0x8000001b, 0, ALL_ZEROS);
	check(0x8000001f, 0, ALL_ZEROS);
}

/* Zen 4: six counters and sixteen LBRs. The freezes are of the counters too. */
static void perfmon_v2(void **state)
{
	(void)state;
	hardware = (struct leaf){ 7, 6 | 16 << 4, 0, 0 };
	cpu.pmu.guest = BITS(3, 0);
	check(0x80000022, 0, (struct leaf){ 5, 4, 0, 0 });
	cpu.pmu.lbr.guests = true;
	check(0x80000022, 0, (struct leaf){ 7, 4 | 16 << 4, 0, 0 });
	hardware = ALL_ZEROS; /* Zen 3 */
	check(0x80000022, 0, ALL_ZEROS);
}

/* A leaf that the processor doesn't have stays without counters, whatever the partition. */
static void no_architectural_pmu(void **state)
{
	(void)state;
	hardware = ALL_ZEROS;
	check(0xa, 0, ALL_ZEROS);
}

static void hypervisor_leaves(void **state)
{
	struct leaf found;

	(void)state;
	hardware = ALL_ONES;
	found = cpuid(0x40000000, 0);
	assert_int_equal(found.eax, 0x40000002);
	assert_memory_equal(&found.ebx, "pmuvisor\0\0\0\0", 12);
	check(0x40000001, 0, (struct leaf){ PMUVISOR_VERSION, 0, PMUVISOR_STATISTICS, HYPERCALLS_PER_MS });
	boot.config.samples = CONFIG_SAMPLES_GUEST;
	check(0x40000001, 0,
	      (struct leaf){ PMUVISOR_VERSION, PMUVISOR_FEATURE_SAMPLES, PMUVISOR_STATISTICS, HYPERCALLS_PER_MS });
	check(0x40000002, 0, (struct leaf){ 16, 3, 1000, 10000 });
	check(0x40000003, 0, ALL_ZEROS);
	check(0x400000ff, 0, ALL_ZEROS);
	check(0x3fffffff, 0, ALL_ONES);
	check(0x40000100, 0, ALL_ONES);
	boot.config.hypervisor_bit = false;
	check(0x40000000, 0, ALL_ONES); /* as bare hardware answers */
}

static void other_leaves_are_the_hardware_s(void **state)
{
	static const uint32_t touched[] = { 1, 7, 0xa, 0xd, 0x14, 0x1c, 0x23 };
	static const uint32_t extended[] = { 0x80000001, 0x80000008, 0x8000000a, 0x8000001b, 0x8000001f };

	(void)state;
	hardware = (struct leaf){ 0x12345678, 0x9abcdef0, 0x87654321, 0xffffffff };
	for (uint32_t leaf = 0, next = 0; leaf < 0x100; leaf++) {
		if (next < ARRAY_SIZE(touched) && leaf == touched[next])
			next++;
		else
			check(leaf, 3, hardware);
	}
	for (uint32_t leaf = 0x80000000, next = 0; leaf < 0x80000030; leaf++) {
		if (next < ARRAY_SIZE(extended) && leaf == extended[next])
			next++;
		else
			check(leaf, 0, hardware);
	}
	check(ONES, 0, hardware);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(features, setup),
		cmocka_unit_test_setup(debug_store_comes_with_pebs, setup),
		cmocka_unit_test_setup(pmu_of_two_kinds, setup),
		cmocka_unit_test_setup(extended_features, setup),
		cmocka_unit_test_setup(pmu_share, setup),
		cmocka_unit_test_setup(pmu_versions, setup),
		cmocka_unit_test_setup(pmu_version_6, setup),
		cmocka_unit_test_setup(hidden_state_components, setup),
		cmocka_unit_test_setup(lbrs_of_the_guest, setup),
		cmocka_unit_test_setup(hidden_leaves, setup),
		cmocka_unit_test_setup(hidden_leaves_of_amd, setup),
		cmocka_unit_test_setup(perfmon_v2, setup),
		cmocka_unit_test_setup(no_architectural_pmu, setup),
		cmocka_unit_test_setup(hypervisor_leaves, setup),
		cmocka_unit_test_setup(other_leaves_are_the_hardware_s, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
