/*
 * A counter of retired instructions or branches counts each exactly once, whoever else uses the PMU meanwhile.
 *
 * What the hardware does: an instruction that causes a VM exit does not retire, so the hypervisor that completes it
 * must add it to every counter that would have counted it; and a counter runs only while its side of the machine
 * runs. What breaks: one instruction too few for each exit, or too many when hypervisor code leaks into the guest's
 * counters. How the test tells: code of known length, with and without instructions that a hypervisor must intercept,
 * in ring 3 and in ring 0, on every counter at once. Of the two WRMSRs that bracket the ring-0 blocks exactly one is
 * counted: the write takes effect before it retires.
 */
#include "boot.h"
#include "pmu.h"
#include "tap.h"
#include "trap.h"
#include "workload.h"

const char test_title[] = "count: instructions and branches retired are exact on every counter";

#define LOOP_ROUNDS  100000
#define CPUID_ROUNDS 2000

/* Writes `on` to `msr`, goes `work_rounds` times round, writes 0: MSR numbers and values as in wrmsr(). */
typedef void (*kernel_block)(uint32_t msr, uint64_t on);

#define BLOCK_BEGIN                                                                                                    \
	"push %rbx\n\t"                                                                                                \
	"mov %edi, %ecx\n\t"                                                                                           \
	"mov %esi, %eax\n\t"                                                                                           \
	"mov %rsi, %rdx\n\t"                                                                                           \
	"shr $32, %rdx\n\t"                                                                                            \
	"wrmsr\n\t"                                                                                                    \
	"mov work_rounds(%rip), %r8\n"
#define BLOCK_END                                                                                                      \
	"mov %edi, %ecx\n\t"                                                                                           \
	"xor %eax, %eax\n\t"                                                                                           \
	"xor %edx, %edx\n\t"                                                                                           \
	"wrmsr\n\t"                                                                                                    \
	"pop %rbx\n\t"                                                                                                 \
	"ret"
#define BLOCK_AROUND 5 /* MOV, three before the second WRMSR, one WRMSR */

__attribute__((naked)) static void block_plain(uint32_t msr __attribute__((unused)),
					       uint64_t on __attribute__((unused)))
{
	asm(BLOCK_BEGIN "1:\tadd $1, %rax\n\t"
			"xor %rax, %rdx\n\t"
			"call 2f\n\t"
			"dec %r8\n\t"
			"jnz 1b\n\t" BLOCK_END "\n2:\tret");
}

/* GLOBAL_STATUS and GLOBAL_STATUS_RESET, or without them DEBUGCTL: MSRs of which 0 can be written to the second. */
uint32_t block_read = MSR_IA32_DEBUGCTL, block_written = MSR_IA32_DEBUGCTL;

/* What pmuvisor may have to complete itself: 17 instructions a round, one branch. */
__attribute__((naked)) static void block_emulated(uint32_t msr __attribute__((unused)),
						  uint64_t on __attribute__((unused)))
{
	asm(BLOCK_BEGIN "1:\txor %eax, %eax\n\t"
			"cpuid\n\t"
			"mov block_read(%rip), %ecx\n\t"
			"rdmsr\n\t"
			"mov block_written(%rip), %ecx\n\t"
			"xor %eax, %eax\n\t"
			"xor %edx, %edx\n\t"
			"wrmsr\n\t"
			"xor %ecx, %ecx\n\t"
			"rdpmc\n\t"
			"mov %cr4, %rax\n\t"
			"mov %rax, %cr4\n\t"
			"xor %ecx, %ecx\n\t"
			"xgetbv\n\t"
			"xsetbv\n\t"
			"dec %r8\n\t"
			"jnz 1b\n\t" BLOCK_END);
}

static bool has_fixed(void)
{
	return pmu.fixed_mask & BIT(FIXED_INSTRUCTIONS);
}

static void select_all(uint64_t event, uint64_t rings)
{
	uint64_t fixed_rings = (rings & PERFEVTSEL_USR ? FIXED_USR : 0) | (rings & PERFEVTSEL_OS ? FIXED_OS : 0);

	pmu_reset();
	for (unsigned i = 0; i < pmu.nr_gp; i++)
		pmu_select(i, event | rings | PERFEVTSEL_EN);
	if (has_fixed())
		wrmsr(MSR_IA32_FIXED_CTR_CTRL, FIXED_CTR_CTRL(0, fixed_rings));
}

/* One line a run: the figure is counter 0's, the check says that all agree with the expectation. */
static void judge(const char *name, uint64_t event, uint64_t expected)
{
	unsigned wrong = 0;

	for (unsigned i = 0; i < pmu.nr_gp; i++) {
		wrong += pmu_read(i) != expected;
		if (pmu_read(i) != expected)
			tap_note("%s: counter %u has %lu, not %lu", name, i, pmu_read(i), expected);
	}
	if (event == EVENT_INSTRUCTIONS && has_fixed() && pmu_read(FIXED_INSTRUCTIONS) != expected) {
		wrong++;
		tap_note("%s: fixed counter 0 has %lu, not %lu", name, pmu_read(FIXED_INSTRUCTIONS), expected);
	}
	tap_check(wrong == 0, "%s is exact on %u counters", name, pmu.nr_gp);
	tap_figure(name, pmu_read(0));
}

static void count_user(const char *name, uint64_t event, void (*work)(void), uint64_t rounds, uint64_t expected)
{
	select_all(event, PERFEVTSEL_USR);
	work_rounds = rounds;
	pmu_enable(pmu.gp_mask | (pmu.fixed_mask & BIT(FIXED_INSTRUCTIONS)));
	user_run(work);
	pmu_enable(0);
	judge(name, event, expected);
}

static void count_kernel(const char *name, uint64_t event, kernel_block block, uint64_t rounds, uint64_t expected)
{
	select_all(event, PERFEVTSEL_OS);
	work_rounds = rounds;
	block(pmu.global_ctrl, pmu.gp_mask | (pmu.fixed_mask & BIT(FIXED_INSTRUCTIONS)));
	judge(name, event, expected);
}

/* The other switch a counter has: its own enable bit, which is passed through in every mode. */
static void count_by_selector(uint64_t rounds, uint64_t expected)
{
	uint64_t selector = EVENT_INSTRUCTIONS | PERFEVTSEL_OS | PERFEVTSEL_EN;
	unsigned wrong = 0;

	work_rounds = rounds;
	for (unsigned i = 0; i < pmu.nr_gp; i++) {
		pmu_reset();
		pmu_enable(BIT(i));
		block_emulated(pmu_selector(i), selector);
		wrong += pmu_read(i) != expected;
		if (pmu_read(i) != expected)
			tap_note("counter %u, bracketed by its selector: %lu, not %lu", i, pmu_read(i), expected);
		if (i == 0)
			tap_figure("count_instructions_kernel_selector", pmu_read(i));
	}
	tap_check(wrong == 0, "a block bracketed by each counter's own selector is exact");
}

/* A register for all counters opens and closes them. */
static void count_in_kernel(void)
{
	count_kernel("count_instructions_kernel", EVENT_INSTRUCTIONS, block_plain, LOOP_ROUNDS,
		     BLOCK_AROUND + 6 * LOOP_ROUNDS);
	count_kernel("count_branches_kernel", pmu.branches, block_plain, LOOP_ROUNDS, 3 * LOOP_ROUNDS);
	count_kernel("count_instructions_kernel_emulated", EVENT_INSTRUCTIONS, block_emulated, CPUID_ROUNDS,
		     BLOCK_AROUND + 17 * CPUID_ROUNDS);
	count_kernel("count_branches_kernel_emulated", pmu.branches, block_emulated, CPUID_ROUNDS, CPUID_ROUNDS);
}

void test_main(void)
{
	pmu_init();
	if (pmu.global_status) {
		block_read = pmu.global_status;
		block_written = pmu.global_reset;
	}
	write_cr4(read_cr4() | CR4_PCE | CR4_OSXSAVE);
	count_user("count_instructions_user", EVENT_INSTRUCTIONS, work_loop, LOOP_ROUNDS,
		   WORK_LOOP_INSTRUCTIONS(LOOP_ROUNDS));
	count_user("count_branches_user", pmu.branches, work_loop, LOOP_ROUNDS, WORK_LOOP_BRANCHES(LOOP_ROUNDS));
	count_user("count_instructions_user_cpuid", EVENT_INSTRUCTIONS, work_cpuid, CPUID_ROUNDS,
		   WORK_CPUID_INSTRUCTIONS(CPUID_ROUNDS));
	count_user("count_branches_user_cpuid", pmu.branches, work_cpuid, CPUID_ROUNDS,
		   WORK_CPUID_BRANCHES(CPUID_ROUNDS));
	count_user("count_instructions_user_rdpmc", EVENT_INSTRUCTIONS, work_rdpmc, CPUID_ROUNDS,
		   WORK_RDPMC_INSTRUCTIONS(CPUID_ROUNDS));
	count_user("count_branches_user_rdpmc", pmu.branches, work_rdpmc, CPUID_ROUNDS,
		   WORK_RDPMC_BRANCHES(CPUID_ROUNDS));
	if (pmu.global_ctrl)
		count_in_kernel();
	count_by_selector(CPUID_ROUNDS, BLOCK_AROUND + 17 * CPUID_ROUNDS);
}
