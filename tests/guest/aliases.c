/*
 * From version 6 on every counter and selector has an address in one block, and leaf 23H says what there is.
 *
 * What the hardware does: IA32_PMC_GPn_CTR and _CFG_A, and IA32_PMC_FXm_CTR, are the same registers as IA32_A_PMCn,
 * IA32_PERFEVTSELn and IA32_FIXED_CTRm; general-purpose counters from the ninth on are only there. SDM Vol. 3B,
 * "Architectural Performance Monitoring Version 6". What breaks: Linux uses the new addresses alone, so a hypervisor
 * that forgets them takes its PMU away, and one that lets the whole block through gives its own counters away. How the
 * test tells: it goes through the block address by address, and counts by what it finds. Before version 6 all of it
 * faults.
 */
#include "pmu.h"
#include "tap.h"
#include "trap.h"
#include "workload.h"

const char test_title[] = "aliases: counters of version 6, at their new addresses";

#define CPUID_7_1_EAX_LEAF_23 BIT(8)
#define BLOCK_SIZE            0x100
#define PERFEVTSEL_EQ         BIT(36)
#define PERFEVTSEL_UMASK2     BIT(40)
#define SEL                   (EVENT_INSTRUCTIONS | PERFEVTSEL_USR | PERFEVTSEL_EN)
#define ROUNDS                1000

static bool has_block(void)
{
	return pmu.version >= 6;
}

static void test_cpuid(void)
{
	struct cpuid_regs old = cpuid(0x0a, 0), list = cpuid(0x23, 0), counters = cpuid(0x23, 1);
	unsigned announced = old.eax >> 8 & 0xff;
	uint32_t others = 0;

	for (uint32_t subleaf = 0; subleaf < 16; subleaf++) {
		struct cpuid_regs leaf = cpuid(0x23, subleaf);

		if (!has_block() || (subleaf && !(list.eax & BIT(subleaf))))
			others |= leaf.eax | leaf.ebx | leaf.ecx | leaf.edx;
	}
	tap_equal((cpuid(7, 1).eax & CPUID_7_1_EAX_LEAF_23) != 0, has_block(), "leaf 23H is there with version 6");
	tap_equal(others, 0, "subleaves that are not there are empty");
	if (!has_block())
		return;
	tap_equal(list.eax & 0xb, 0xb, "it has counters and events");
	tap_equal(announced, pmu.nr_gp < NR_OLD_GP ? pmu.nr_gp : NR_OLD_GP,
		  "leaf 0AH counts the general-purpose ones up to eight");
	tap_equal(counters.eax, BIT(pmu.nr_gp) - 1, "they are contiguous");
	tap_equal(old.ecx & ~counters.ebx, 0, "leaf 0AH has no fixed counter beside leaf 23H's");
}

/* Whether the block has a register there, and if so, its other name; 0: it has none. */
static bool in_block(uint32_t offset, uint32_t *other)
{
	unsigned n = offset % 0x80 / 4;
	bool fixed = offset >= 0x80, selector = offset % 4 == 1;

	*other = 0;
	if (!has_block() || offset % 4 > 1 || (fixed && selector))
		return false;
	if (fixed) {
		*other = MSR_IA32_FIXED_CTR0 + n;
		return pmu.fixed_mask & BIT(FIXED(n));
	}
	if (n < NR_OLD_GP)
		*other = (selector ? MSR_IA32_PERFEVTSEL0 : MSR_IA32_A_PMC0) + n;
	return pmu.gp_mask & BIT(n);
}

static bool same_register(uint32_t msr, uint32_t other, uint64_t value)
{
	bool same = wrmsr_guarded(msr, value) == NO_FAULT && rdmsr(msr) == value && rdmsr(other ? other : msr) == value;

	wrmsr(other ? other : msr, 0);
	return same && rdmsr(msr) == 0;
}

static unsigned registers(void)
{
	unsigned n = 2 * pmu.nr_gp;

	for (unsigned m = 0; m < 32; m++)
		n += (pmu.fixed_mask & BIT(FIXED(m))) != 0;
	return has_block() ? n : 0;
}

/* The values are a selector's as well as a counter's. */
static void test_block(void)
{
	unsigned wrong = 0, found = 0;
	uint64_t value;

	pmu_reset();
	for (uint32_t offset = 0; offset < BLOCK_SIZE; offset++) {
		uint32_t msr = MSR_IA32_PMC_GP0_CTR + offset, other;
		bool exists = in_block(offset, &other);
		bool right = exists ? same_register(msr, other, 0x5301c2 + offset)
				    : rdmsr_guarded(msr, &value) == FAULT_GP && wrmsr_guarded(msr, 0) == FAULT_GP;

		if (!right)
			tap_note("MSR %x should %s", msr, exists ? "be a register with two names" : "fault");
		wrong += !right;
		found += exists;
	}
	tap_equal(wrong, 0, "each address of the block is a counter's or selector's, or faults");
	tap_equal(found, registers(), "as many registers as there should be");
}

/* Full width as at the other address: nothing is cut off, and what is too wide faults. */
static void test_width(void)
{
	bool right = true;

	for (unsigned i = 0; i < pmu.nr_gp; i++) {
		uint32_t msr = MSR_IA32_PMC_GP0_CTR + 4 * i;

		right = wrmsr_guarded(msr, pmu.value_mask) == NO_FAULT && rdmsr(msr) == pmu.value_mask &&
			wrmsr_guarded(msr, pmu.value_mask + 1) == FAULT_GP && rdmsr(msr) == pmu.value_mask && right;
	}
	tap_check(right, "counters take %u bits there, and no more", pmu.width);
}

static void run_all(uint64_t selector, void (*work)(void))
{
	pmu_reset();
	for (unsigned i = 0; i < pmu.nr_gp; i++)
		wrmsr(MSR_IA32_PMC_GP0_CFG_A + 4 * i, selector);
	work_rounds = ROUNDS;
	wrmsr(MSR_IA32_PERF_GLOBAL_CTRL, pmu.gp_mask);
	user_run(work);
	wrmsr(MSR_IA32_PERF_GLOBAL_CTRL, 0);
}

/* The instructions of `work` are one event each: what a counter mask makes of 1. */
static void judge(uint64_t selector, uint64_t expected, const char *what)
{
	unsigned wrong = 0;

	run_all(SEL | selector, work_cpuid);
	for (unsigned i = 0; i < pmu.nr_gp; i++)
		wrong += rdmsr(MSR_IA32_PMC_GP0_CTR + 4 * i) != expected || rdpmc(i) != expected;
	tap_equal(wrong, 0, "%s", what);
}

static void test_counting(void)
{
	uint64_t all = WORK_CPUID_INSTRUCTIONS(ROUNDS);

	judge(0, all, "selected there they count, emulated instructions too");
	judge(PERFEVTSEL_UMASK2, 0, "with an extended unit mask it is another event");
	judge(PERFEVTSEL_EQ, all, "EQ without a counter mask means nothing");
	judge(PERFEVTSEL_EQ | PERFEVTSEL_CMASK(1), all, "EQ: one is equal to one");
	judge(PERFEVTSEL_EQ | PERFEVTSEL_CMASK(2), 0, "but not to two");
	judge(PERFEVTSEL_EQ | PERFEVTSEL_INV | PERFEVTSEL_CMASK(1), 0, "inverted: one is not below one");
	judge(PERFEVTSEL_EQ | PERFEVTSEL_INV | PERFEVTSEL_CMASK(2), all, "but below two, and not zero");
}

/* The last counter's overflow, which on a processor with ten has no older name. */
static void test_overflow(void)
{
	unsigned last = pmu.nr_gp - 1;

	pmu_reset();
	wrmsr(MSR_IA32_PMC_GP0_CFG_A + 4 * last, SEL);
	wrmsr(MSR_IA32_PMC_GP0_CTR + 4 * last, pmu_preset(1));
	tap_equal(rdmsr(MSR_IA32_PERF_GLOBAL_INUSE), BIT(last), "the last counter is in use");
	work_rounds = ROUNDS;
	wrmsr(MSR_IA32_PERF_GLOBAL_CTRL, BIT(last));
	user_run(work_loop);
	wrmsr(MSR_IA32_PERF_GLOBAL_CTRL, 0);
	tap_equal(rdmsr(MSR_IA32_PERF_GLOBAL_STATUS), BIT(last), "and overflows into its status bit");
	tap_equal(rdpmc(last), WORK_LOOP_INSTRUCTIONS(ROUNDS) - 1, "RDPMC reads on from 0");
}

void test_main(void)
{
	pmu_init();
	test_cpuid();
	test_block();
	if (!has_block())
		return;
	test_width();
	write_cr4(read_cr4() | CR4_PCE);
	test_counting();
	test_overflow();
}
