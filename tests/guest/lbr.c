/*
 * Last branch records of either kind: what is recorded, in which order, and what stops the recording.
 *
 * What the hardware does: every taken branch, exception and interrupt that the filters let pass becomes an entry, the
 * newest first, until the recording is switched off, frozen by a PMI, or ended by a #DB. What breaks: a hypervisor that
 * lets its own branches into the guest's stack, loses the stack when it switches it, or leaves a filter or a freeze
 * behind. How the test tells: code whose branches are known one by one, with instructions in it that exit, against the
 * whole stack; and each register against what may be written to it.
 */
#include "apic.h"
#include "boot.h"
#include "branches.h"
#include "hypervisor.h"
#include "lbr.h"
#include "pmu.h"
#include "tap.h"
#include "trap.h"

const char test_title[] = "lbr: every branch is recorded, none of anybody else's, and nothing while frozen";

#define ALL_TYPES   ((uint64_t)LBR_ALL_TYPES)
#define USER_ALL    (ALL_TYPES | LBR_USER)
#define STUB_SIZE   16 /* of trap_stubs, in entry.asm */
#define VECTOR_DB   1
#define VECTOR_UD   6
#define LOOP_ROUNDS 50
#define PERIOD      8 /* branches until the PMI; more than two rounds of branches_loop, no multiple of one */

extern const uint8_t trap_stubs[];

/* What the handlers saw. */
static struct {
	uint64_t status, running, rip, ler_from, ler_to;
	struct lbr_entry newest;
	unsigned count;
} seen;

static uint64_t address(uint32_t offset)
{
	return (uint64_t)branches_base + offset;
}

static bool in_branches(uint64_t ip)
{
	return ip >= (uint64_t)branches_base && ip < (uint64_t)branches_end;
}

static bool is_branch(const struct lbr_entry *entry, const struct branch *branch)
{
	bool type = !lbr.architectural || LBR_INFO_TYPE(entry->info) == branch->type ||
		    (branch->type == LBR_OTHER && LBR_INFO_TYPE(entry->info) >= LBR_OTHER);

	return entry->from == address(branch->from) && entry->to == address(branch->to) && type;
}

static unsigned length(const struct branch *table)
{
	unsigned n = 0;

	while (table[n].from || table[n].to)
		n++;
	return n;
}

static bool is_empty(unsigned age)
{
	struct lbr_entry entry = lbr_entry(age);

	return !entry.from && !entry.to;
}

/* The IRET into ring 3 began where the filter looks away: the architectural stack doesn't say where. */
static bool is_entry_to(const struct lbr_entry *entry, void (*code)(void))
{
	bool from = lbr.architectural ? entry->from == ~UINT64_C(0) : entry->from && !in_branches(entry->from);

	return from && entry->to == (uint64_t)code;
}

/* `code` has run in ring 3: the stack holds the rows of its table that the filter lets pass, and the IRET into it. */
static void judge_table(const char *name, void (*code)(void), const struct branch *table, uint64_t filter)
{
	unsigned wrong = 0, age = 0;

	for (unsigned row = length(table); row-- > 0;) {
		struct lbr_entry entry;

		if (!(filter & BIT(table[row].type)))
			continue;
		entry = lbr_entry(age++);
		if (is_branch(&entry, &table[row]))
			continue;
		wrong++;
		tap_note("entry %u: %lx to %lx, info %lx, row %u", age - 1, entry.from, entry.to, entry.info, row);
	}
	tap_equal(wrong, 0, "%s: %u branches in order", name, age);
	if (filter & BIT(LBR_OTHER)) {
		struct lbr_entry entry = lbr_entry(age++);

		tap_check(is_entry_to(&entry, code), "%s: before them the IRET into ring 3, from %lx", name,
			  entry.from);
	}
	tap_check(is_empty(age), "%s: and nothing else", name);
}

static void run(void (*code)(void), uint64_t filter)
{
	lbr_reset();
	lbr_start(filter);
	user_run(code);
	lbr_stop();
}

/*
 * XRSTORS leaves nothing that the next record's cycles could be counted from. With `switched=1` in the arguments each
 * exit does one: there is a CPUID among the branches, and perhaps one PMI of the host's.
 */
static void check_switched(unsigned records, uint64_t switched, const char *what)
{
	tap_check(records >= switched && records <= 2 * switched, "all kinds: %s", what);
}

static void test_kinds(void)
{
	unsigned untimed = 0, reserved = 0;
	uint64_t switched = lbr.architectural ? boot_number("switched", 0) : 0;

	run(branches_kinds, USER_ALL);
	judge_table("all kinds", branches_kinds, branches_kinds_table, USER_ALL);
	for (unsigned age = 0; age < length(branches_kinds_table); age++) {
		uint64_t info = lbr_entry(age).info;

		untimed += !(info & LBR_INFO_CYCLES);
		reserved += lbr.architectural ? !(info & LBR_INFO_CYCLES_VALID)
					      : !!(info & UINT64_C(0x1fffffffffff0000));
	}
	check_switched(untimed, switched, "cycles passed between them");
	check_switched(reserved, switched, lbr.architectural ? "the cycles are valid" : "reserved bits of INFO are 0");
}

static void test_filters(void)
{
	static const struct {
		const char *name;
		enum lbr_type type;
	} types[] = {
		{ "JCC alone", LBR_COND },
		{ "indirect JMP alone", LBR_IND_JMP },
		{ "direct JMP alone", LBR_REL_JMP },
		{ "indirect CALL alone", LBR_IND_CALL },
		{ "direct CALL alone", LBR_REL_CALL },
		{ "RET alone", LBR_RET },
		{ "far branches alone", LBR_OTHER },
	};

	for (unsigned i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		uint64_t filter = LBR_USER | BIT(types[i].type);

		run(branches_kinds, filter);
		judge_table(types[i].name, branches_kinds, branches_kinds_table, filter);
	}
}

/* INT 80h ends in ring 0, and is the only far branch there before the recording is off. */
static void test_rings(void)
{
	struct lbr_entry entry;
	uint64_t from = lbr.architectural ? ~UINT64_C(0) : (uint64_t)branches_kinds_exit;

	run(branches_kinds, LBR_KERNEL | BIT(LBR_OTHER));
	entry = lbr_entry(0);
	tap_check(entry.from == from && entry.to == (uint64_t)trap_stubs + VECTOR_USER_EXIT * STUB_SIZE,
		  "ring 0: INT 80h, from %lx to %lx", entry.from, entry.to);
	tap_check(is_empty(1), "ring 0: nothing that ended in ring 3");
	run(branches_kinds, LBR_KERNEL | LBR_USER | BIT(LBR_OTHER));
	entry = lbr_entry(0);
	tap_equal(entry.from, (uint64_t)branches_kinds_exit, "both rings: it says where INT 80h was");
	run(branches_kinds, ALL_TYPES);
	tap_check(is_empty(0), "neither ring: nothing");
}

/* Code in ring 0 with exits in it: the two jumps are neighbours. */
static void test_exits(void)
{
	unsigned found = 0;

	lbr_reset();
	lbr_start(LBR_KERNEL | ALL_TYPES);
	branches_kernel();
	lbr_stop();
	for (unsigned age = 1; age < lbr.depth; age++) {
		struct lbr_entry newer = lbr_entry(age - 1), older = lbr_entry(age);

		found += is_branch(&older, &branches_kernel_table[0]) && is_branch(&newer, &branches_kernel_table[1]);
	}
	tap_equal(found, 1, "CPUID, RDMSR and WRMSR between two jumps leave no entry");
}

/* The stack is full: what is in it are the newest. */
static void judge_loop(const char *name, unsigned depth)
{
	unsigned wrong = 0;

	for (unsigned age = 0; age < depth; age++) {
		struct lbr_entry entry = lbr_entry(age);

		/* The last of the table was not taken the last time. */
		wrong += !is_branch(
			&entry, &branches_loop_table[(2 * BRANCHES_LOOP + 1 - age % BRANCHES_LOOP) % BRANCHES_LOOP]);
	}
	tap_equal(wrong, 0, "%s: the newest %u", name, depth);
}

static void test_wrap(void)
{
	branches_rounds = LOOP_ROUNDS;
	run(branches_loop, USER_ALL & ~BIT(LBR_OTHER));
	judge_loop("wrap", lbr.depth);
	if (!lbr.architectural)
		tap_equal(rdmsr(MSR_LASTBRANCH_TOS), (BRANCHES_LOOP * LOOP_ROUNDS - 1) % lbr.depth,
			  "wrap: TOS is the number of records, in 5 bits");
}

static void test_call_stack(void)
{
	run(branches_chain, LBR_USER | LBR_CALL_STACK | LBR_CALLS);
	judge_table("call stack", branches_chain, branches_chain_table, LBR_CALLS);
}

static void on_ud(struct trap_frame *frame)
{
	seen.count++;
	seen.rip = frame->rip;
	seen.ler_from = rdmsr(MSR_LER_FROM_IP);
	seen.ler_to = rdmsr(MSR_LER_TO_IP);
	frame->rip = (uint64_t)branches_fault_resume;
}

/* `switched` in the arguments: the host's records in root mode go into the same LER, which reads 0 then. */
static bool ler_is_hidden(void)
{
	return boot_number("switched", 0) && !lbr.architectural;
}

static void test_exception(void)
{
	uint64_t from = ler_is_hidden() ? 0 : (uint64_t)branches_fault_jump;
	uint64_t to = ler_is_hidden() ? 0 : (uint64_t)branches_fault_ud2;
	struct lbr_entry entry;

	seen.count = 0;
	trap_handle(VECTOR_UD, on_ud);
	run(branches_fault, USER_ALL);
	trap_handle(VECTOR_UD, 0);
	tap_check(seen.count == 1 && seen.rip == (uint64_t)branches_fault_ud2, "exception: taken once");
	tap_check(seen.ler_from == from && seen.ler_to == to, "exception: LER is %s, %lx to %lx",
		  ler_is_hidden() ? "hidden" : "the jump before", seen.ler_from, seen.ler_to);
	entry = lbr_entry(0);
	tap_equal(entry.to, (uint64_t)branches_fault_resume, "exception: its IRET is the newest entry of ring 3");
	trap_handle(VECTOR_UD, on_ud);
	run(branches_fault, LBR_KERNEL | LBR_USER | BIT(LBR_OTHER));
	trap_handle(VECTOR_UD, 0);
	entry = lbr_entry(2); /* INT 80h and the handler's IRET came after */
	tap_check(entry.from == (uint64_t)branches_fault_ud2 &&
			  entry.to == (uint64_t)trap_stubs + VECTOR_UD * STUB_SIZE,
		  "exception: recorded from the instruction, %lx, to the handler, %lx", entry.from, entry.to);
}

static void on_db(struct trap_frame *frame)
{
	(void)frame;
	seen.count++;
	seen.running = lbr_running();
}

/* The frame's RIP is behind INT1. */
static void test_debug_exception(void)
{
	struct lbr_entry entry;

	seen.count = 0;
	trap_handle(VECTOR_DB, on_db);
	run(branches_debug, USER_ALL);
	trap_handle(VECTOR_DB, 0);
	entry = lbr_entry(0);
	tap_check(seen.count == 1 && !seen.running, "#DB switches the recording off");
	tap_equal(entry.from, (uint64_t)branches_debug_jump, "#DB: the newest entry is the jump before");
	tap_equal(entry.to, (uint64_t)branches_debug_int1, "#DB: which went to INT1");
}

static void on_pmi(struct trap_frame *frame)
{
	wrmsr(MSR_IA32_PERF_GLOBAL_CTRL, 0);
	seen.count++;
	seen.status = rdmsr(MSR_IA32_PERF_GLOBAL_STATUS);
	seen.newest = lbr_entry(0);
	seen.rip = frame->rip;
}

/* branches_loop with an NMI at its branch number PERIOD. */
static void run_to_pmi(uint64_t filter, uint64_t debugctl)
{
	seen.count = 0;
	branches_rounds = LOOP_ROUNDS;
	trap_handle(VECTOR_NMI, on_pmi);
	lbr_reset();
	apic_write(APIC_LVTPC, LVT_NMI);
	pmu_write(0, pmu_preset(PERIOD));
	wrmsr(MSR_IA32_PERFEVTSEL0, EVENT_BRANCHES | PERFEVTSEL_USR | PERFEVTSEL_INT | PERFEVTSEL_EN);
	wrmsr(MSR_IA32_DEBUGCTL, debugctl);
	lbr_start(filter);
	wrmsr(MSR_IA32_PERF_GLOBAL_CTRL, BIT(0));
	user_run(branches_loop);
	lbr_stop();
	wrmsr(MSR_IA32_DEBUGCTL, 0);
	pmu_reset();
	tap_check(seen.count == 1 && seen.status & BIT(0), "one PMI, at branch %u", PERIOD);
}

/* The loop went on after the handler returned, and left no record. */
static void test_freeze(void)
{
	unsigned wrong = 0;

	run_to_pmi(USER_ALL & ~BIT(LBR_OTHER), DEBUGCTL_FREEZE_LBRS_ON_PMI);
	tap_equal(seen.status, BIT(0) | PERF_GLOBAL_STATUS_LBR_FRZ, "freeze: the PMI set LBR_Frz");
	for (unsigned age = 0; age < PERIOD; age++) {
		struct lbr_entry entry = lbr_entry(age);

		wrong += !is_branch(&entry, &branches_loop_table[(PERIOD - 1 - age) % BRANCHES_LOOP]);
	}
	tap_equal(wrong, 0, "freeze: the branches until the overflow are there");
	tap_check(is_empty(PERIOD), "freeze: and none from after it");
	run_to_pmi(USER_ALL & ~BIT(LBR_OTHER), 0);
	tap_equal(seen.status, BIT(0), "no freeze: the PMI set nothing else");
	judge_loop("no freeze", lbr.depth);
}

/* LBR_Frz by hand: GLOBAL_STATUS_SET freezes, GLOBAL_STATUS_RESET lets go. */
static void test_freeze_by_hand(void)
{
	lbr_reset();
	wrmsr(MSR_IA32_PERF_GLOBAL_STATUS_SET, PERF_GLOBAL_STATUS_LBR_FRZ);
	lbr_start(USER_ALL);
	user_run(branches_kinds);
	tap_check(is_empty(0) && lbr_running(), "frozen by hand: enabled, and nothing recorded");
	wrmsr(MSR_IA32_PERF_GLOBAL_STATUS_RESET, PERF_GLOBAL_STATUS_LBR_FRZ);
	user_run(branches_kinds);
	lbr_stop();
	judge_table("let go", branches_kinds, branches_kinds_table, USER_ALL);
}

/* The interrupt itself is an entry, from where the frame says. */
static void test_interrupt(void)
{
	run_to_pmi(LBR_KERNEL | LBR_USER | BIT(LBR_OTHER), 0);
	tap_check(seen.newest.from == seen.rip && in_branches(seen.rip), "interrupt: recorded from %lx, where it hit",
		  seen.newest.from);
	tap_equal(seen.newest.to, (uint64_t)trap_stubs + VECTOR_NMI * STUB_SIZE, "interrupt: to the handler");
}

/* One bit at a time: which can be written. */
static uint64_t writable_bits(uint32_t msr)
{
	uint64_t bits = 0;

	for (unsigned bit = 0; bit < 64; bit++)
		bits |= wrmsr_guarded(msr, BIT(bit)) == NO_FAULT ? BIT(bit) : 0;
	wrmsr(msr, 0);
	return bits;
}

/* `sign` repeats the address' highest bit. */
static unsigned entries_lost(uint32_t from, uint32_t to, uint32_t info)
{
	uint64_t sign = UINT64_C(0xffff800000000000);
	unsigned wrong = 0;

	for (unsigned n = 0; n < lbr.depth; n++) {
		wrmsr(from + n, sign | n);
		wrmsr(to + n, 0x1000 + n);
		wrmsr(info + n, 0x2000 + n);
	}
	for (unsigned n = 0; n < lbr.depth; n++)
		wrong += rdmsr(from + n) != (sign | n) || rdmsr(to + n) != 0x1000 + n || rdmsr(info + n) != 0x2000 + n;
	return wrong;
}

static void test_legacy_registers(void)
{
	lbr_reset();
	tap_equal(writable_bits(MSR_LBR_SELECT), UINT64_C(0x3ff), "LBR_SELECT has ten bits");
	wrmsr(MSR_LASTBRANCH_TOS, lbr.depth - 1);
	tap_equal(rdmsr(MSR_LASTBRANCH_TOS), lbr.depth - 1, "TOS keeps what is written");
	tap_equal(entries_lost(MSR_LASTBRANCH_0_FROM_IP, MSR_LASTBRANCH_0_TO_IP, MSR_LBR_INFO_0), 0,
		  "the entries keep what is written");
	tap_equal((uint64_t)wrmsr_guarded(MSR_LASTBRANCH_0_FROM_IP, BIT(60)), FAULT_GP,
		  "an address that is not canonical faults");
	wrmsr(MSR_LASTBRANCH_TOS, 0);
	branches_rounds = 2;
	lbr_start(USER_ALL & ~BIT(LBR_OTHER));
	user_run(branches_loop);
	lbr_stop();
	tap_equal(rdmsr(MSR_LASTBRANCH_TOS), 2 * BRANCHES_LOOP - 1, "the recording goes on behind TOS");
	tap_equal(rdmsr(MSR_LASTBRANCH_0_FROM_IP), UINT64_C(0xffff800000000000), "and leaves the others");
}

static bool depth_exists(uint64_t depth)
{
	return depth && depth % 8 == 0 && depth <= 64 && lbr.depths & BIT(depth / 8 - 1);
}

static void judge_depth(unsigned depth)
{
	uint64_t value;

	wrmsr(MSR_IA32_LBR_DEPTH, depth);
	tap_equal(rdmsr(MSR_IA32_LBR_DEPTH), depth, "depth %u can be had", depth);
	lbr_start(USER_ALL & ~BIT(LBR_OTHER));
	user_run(branches_loop);
	lbr_stop();
	judge_loop("depth", depth);
	tap_check(rdmsr_guarded(MSR_IA32_LBR_0_FROM_IP + depth, &value) == FAULT_GP &&
			  wrmsr_guarded(MSR_IA32_LBR_0_INFO + depth, 0) == FAULT_GP,
		  "depth %u: entry %u faults", depth, depth);
	wrmsr(MSR_IA32_LBR_DEPTH, depth);
	tap_check(is_empty(0) && is_empty(depth - 1), "depth %u: writing it again empties the stack", depth);
}

static void test_depths(void)
{
	unsigned wrong = 0;

	branches_rounds = LOOP_ROUNDS;
	lbr_reset();
	for (unsigned depth = 8; depth <= 64; depth += 8)
		if (depth_exists(depth))
			judge_depth(depth);
	for (uint64_t depth = 0; depth < 130; depth++)
		wrong += (wrmsr_guarded(MSR_IA32_LBR_DEPTH, depth) == NO_FAULT) != depth_exists(depth);
	tap_equal(wrong, 0, "other depths fault");
	wrmsr(MSR_IA32_LBR_DEPTH, lbr.depth);
}

static void test_arch_registers(void)
{
	lbr_reset();
	tap_equal(writable_bits(MSR_IA32_LBR_CTL), UINT64_C(0x7f000f), "LBR_CTL has these bits");
	tap_equal(entries_lost(MSR_IA32_LBR_0_FROM_IP, MSR_IA32_LBR_0_TO_IP, MSR_IA32_LBR_0_INFO), 0,
		  "the entries keep what is written");
	wrmsr(MSR_IA32_LBR_0_FROM_IP, BIT(63) | 0x1234);
	tap_equal(rdmsr(MSR_IA32_LBR_0_FROM_IP), 0x1234, "an address becomes canonical");
	wrmsr(MSR_LER_FROM_IP, 0x1111);
	wrmsr(MSR_IA32_LBR_DEPTH, lbr.depth);
	tap_equal(rdmsr(MSR_LER_FROM_IP), 0x1111, "LER outlives the emptying");
	wrmsr(MSR_IA32_DEBUGCTL, DEBUGCTL_LBR);
	tap_equal(rdmsr(MSR_IA32_DEBUGCTL), 0, "DEBUGCTL.LBR reads 0");
	user_run(branches_kinds);
	tap_check(is_empty(0), "and records nothing");
	test_depths();
}

void test_main(void)
{
	pmu_init();
	lbr_init();
	test_kinds();
	test_filters();
	test_rings();
	test_exits();
	test_wrap();
	test_call_stack();
	test_exception();
	test_debug_exception();
	test_freeze();
	test_freeze_by_hand();
	test_interrupt();
	if (lbr.architectural)
		test_arch_registers();
	else
		test_legacy_registers();
	lbr_reset();
	if (boot_number("dump", 0)) /* for the judge */
		hypervisor_dump();
}
