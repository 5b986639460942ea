/*
 * The architectural LBRs as a state component: XSAVES and XRSTORS with bit 15 of IA32_XSS.
 *
 * What the hardware does: the component holds LBR_CTL, LBR_DEPTH, the LER registers and as many entries as the depth; a
 * component saved with another depth comes back without its entries. What breaks: a hypervisor that keeps its own stack
 * by the same instructions, or offers the instructions without the bit. How the test tells: the image against the
 * registers, both ways. A processor with a model-specific stack has none of it, and must say so.
 */
#include "branches.h"
#include "lbr.h"
#include "pmu.h"
#include "tap.h"
#include "trap.h"

const char test_title[] = "lbr_xsaves: the LBRs are saved and restored whole, or not offered";

#define CPUID_XSAVE       0xd
#define MSR_IA32_XSS      0xda0
#define COMPONENT         15
#define COMPONENT_SIZE    808
#define LEGACY_COMPONENTS UINT64_C(3) /* x87 and SSE */
#define COMPACTED         BIT(63)
#define FILL              UINT64_C(0xdddddddddddddddd)
#define MAX_ENTRIES       32
#define FILTER            ((uint64_t)LBR_ALL_TYPES | LBR_USER | LBR_KERNEL)

/* SDM Vol. 1, "Architectural LBR State". */
struct lbr_state {
	uint64_t ctl, depth;
	struct lbr_entry ler;
	struct lbr_entry entries[MAX_ENTRIES];
};
_Static_assert(sizeof(struct lbr_state) == COMPONENT_SIZE, "CPUID.0DH.0FH:EAX");

/* SDM Vol. 1, "XSAVE Area": what follows the header is the first component after SSE. */
static struct {
	uint8_t legacy[512];
	uint64_t xstate_bv, xcomp_bv, reserved[6];
	struct lbr_state lbr;
	uint64_t behind[8];
} area __attribute__((aligned(64)));
_Static_assert(__builtin_offsetof(__typeof__(area), lbr) == 576, "compacted format");

static int xsaves(uint64_t components)
{
	asm volatile(GUARD("xsaves64 (%0)")
		     :
		     : "r"(&area), "a"((uint32_t)components), "d"((uint32_t)(components >> 32))
		     : "r11", "memory");
	return (int)guard_vector;
}

static int xrstors(uint64_t components)
{
	asm volatile(GUARD("xrstors64 (%0)")
		     :
		     : "r"(&area), "a"((uint32_t)components), "d"((uint32_t)(components >> 32))
		     : "r11", "memory");
	return (int)guard_vector;
}

static void fill(void)
{
	uint64_t *words = (uint64_t *)&area;

	for (unsigned i = 0; i < sizeof(area) / sizeof(*words); i++)
		words[i] = FILL;
	for (unsigned i = 0; i < sizeof(area.reserved) / sizeof(area.reserved[0]); i++)
		area.reserved[i] = 0;
	area.xstate_bv = area.xcomp_bv = 0;
}

static bool same(const struct lbr_entry *a, const struct lbr_entry *b)
{
	return a->from == b->from && a->to == b->to && a->info == b->info;
}

/* Different in every entry, and in LER. */
static void fill_registers(uint64_t seed)
{
	for (unsigned i = 0; i < rdmsr(MSR_IA32_LBR_DEPTH); i++) {
		wrmsr(MSR_IA32_LBR_0_FROM_IP + i, seed + i);
		wrmsr(MSR_IA32_LBR_0_TO_IP + i, seed + 0x100 + i);
		wrmsr(MSR_IA32_LBR_0_INFO + i, seed + 0x200 + i);
	}
	wrmsr(MSR_LER_FROM_IP, seed + 0x300);
	wrmsr(MSR_LER_TO_IP, seed + 0x301);
	wrmsr(MSR_IA32_LER_INFO, seed + 0x302);
}

static bool entry_is(const struct lbr_entry *entry, uint64_t from, uint64_t to, uint64_t info)
{
	return entry->from == from && entry->to == to && entry->info == info;
}

/* Whether `depth` entries and LER are what fill_registers() makes of `seed`. */
static bool holds(const struct lbr_state *state, unsigned depth, uint64_t seed)
{
	bool good = entry_is(&state->ler, seed + 0x300, seed + 0x301, seed + 0x302);

	for (unsigned i = 0; i < depth; i++)
		good &= entry_is(&state->entries[i], seed + i, seed + 0x100 + i, seed + 0x200 + i);
	return good;
}

static void read_registers(struct lbr_state *state)
{
	state->ctl = rdmsr(MSR_IA32_LBR_CTL);
	state->depth = rdmsr(MSR_IA32_LBR_DEPTH);
	state->ler = (struct lbr_entry){ rdmsr(MSR_LER_FROM_IP), rdmsr(MSR_LER_TO_IP), rdmsr(MSR_IA32_LER_INFO) };
	for (unsigned i = 0; i < state->depth; i++)
		state->entries[i] = lbr_entry(i);
}

static bool registers_hold(unsigned depth, uint64_t seed)
{
	struct lbr_state state;

	read_registers(&state);
	return state.depth == depth && holds(&state, depth, seed);
}

static bool registers_are_empty(void)
{
	bool empty = true;

	for (unsigned i = 0; i < rdmsr(MSR_IA32_LBR_DEPTH); i++) {
		struct lbr_entry entry = lbr_entry(i);

		empty &= entry_is(&entry, 0, 0, 0);
	}
	return empty;
}

static void test_cpuid(void)
{
	struct cpuid_regs extended = cpuid(CPUID_XSAVE, 1), component = cpuid(CPUID_XSAVE, COMPONENT);

	tap_check(extended.eax & BIT(3) && extended.ecx & BIT(COMPONENT), "CPUID has XSAVES, and component 15 in XSS");
	tap_equal(component.eax, COMPONENT_SIZE, "the component has 808 bytes");
	tap_check(!component.ebx && component.ecx == 1, "it is a supervisor's, and not aligned");
	tap_equal((uint64_t)wrmsr_guarded(MSR_IA32_XSS, BIT(COMPONENT)), (uint64_t)NO_FAULT, "XSS takes the bit");
	tap_equal(rdmsr(MSR_IA32_XSS), BIT(COMPONENT), "and keeps it");
}

static void test_save(void)
{
	unsigned untouched = 1;

	lbr_reset();
	wrmsr(MSR_IA32_LBR_DEPTH, 8);
	fill_registers(0x1000);
	wrmsr(MSR_IA32_LBR_CTL, LBR_CTL_USR);
	fill();
	tap_equal((uint64_t)xsaves(BIT(COMPONENT)), (uint64_t)NO_FAULT, "XSAVES of the component");
	tap_check(area.xstate_bv == BIT(COMPONENT) && area.xcomp_bv == (COMPACTED | BIT(COMPONENT)),
		  "the header says so");
	tap_check(area.lbr.ctl == LBR_CTL_USR && area.lbr.depth == 8 && holds(&area.lbr, 8, 0x1000),
		  "the image is what the registers hold");
	for (unsigned i = 8; i < MAX_ENTRIES; i++)
		untouched &= entry_is(&area.lbr.entries[i], FILL, FILL, FILL);
	tap_check(untouched && area.behind[0] == FILL, "and ends with the last entry");
}

static void test_restore(void)
{
	lbr_reset();
	fill_registers(0x2000);
	fill();
	xsaves(BIT(COMPONENT));
	fill_registers(0x3000);
	wrmsr(MSR_IA32_LBR_CTL, LBR_CTL_OS);
	tap_equal((uint64_t)xrstors(BIT(COMPONENT)), (uint64_t)NO_FAULT, "XRSTORS of the component");
	tap_check(registers_hold(lbr.depth, 0x2000) && !rdmsr(MSR_IA32_LBR_CTL), "gives everything back");
	wrmsr(MSR_IA32_LBR_DEPTH, 8);
	wrmsr(MSR_LER_FROM_IP, 0);
	tap_equal((uint64_t)xrstors(BIT(COMPONENT)), (uint64_t)NO_FAULT, "XRSTORS with another depth");
	tap_check(registers_are_empty() && rdmsr(MSR_IA32_LBR_DEPTH) == 8, "empties the stack, whose depth stays");
	tap_equal(rdmsr(MSR_LER_FROM_IP), 0x2300, "LER comes back all the same");
}

/* XSTATE_BV clear is the initial state, which XSAVES finds by itself. */
static void test_initial(void)
{
	lbr_reset();
	fill_registers(0x4000);
	wrmsr(MSR_IA32_LBR_CTL, LBR_CTL_OS);
	fill();
	area.xcomp_bv = COMPACTED | BIT(COMPONENT);
	tap_equal((uint64_t)xrstors(BIT(COMPONENT)), (uint64_t)NO_FAULT, "XRSTORS of the initial state");
	tap_check(registers_are_empty() && !rdmsr(MSR_IA32_LBR_CTL) && !rdmsr(MSR_LER_FROM_IP) &&
			  rdmsr(MSR_IA32_LBR_DEPTH) == lbr.depth,
		  "clears all but the depth");
	fill();
	xsaves(BIT(COMPONENT));
	tap_check(!area.xstate_bv && area.lbr.ctl == FILL, "XSAVES of it writes nothing");
}

static void test_faults(void)
{
	lbr_reset();
	fill_registers(0x5000);
	fill();
	xsaves(BIT(COMPONENT));
	area.lbr.depth |= BIT(32);
	tap_equal((uint64_t)xrstors(BIT(COMPONENT)), FAULT_GP, "a reserved bit in the image's DEPTH faults");
	area.lbr.depth = lbr.depth;
	area.lbr.ctl = BIT(5);
	tap_equal((uint64_t)xrstors(BIT(COMPONENT)), FAULT_GP, "a reserved bit in its CTL faults");
	tap_check(registers_hold(lbr.depth, 0x5000), "and nothing has changed");
}

/* Behind x87 and SSE; and out of an image with them, the LBRs alone. */
static void test_with_others(void)
{
	xsetbv_guarded(0, LEGACY_COMPONENTS);
	lbr_reset();
	fill_registers(0x6000);
	fill();
	tap_equal((uint64_t)xsaves(LEGACY_COMPONENTS | BIT(COMPONENT)), (uint64_t)NO_FAULT, "XSAVES with x87 and SSE");
	tap_check(area.xcomp_bv == (COMPACTED | LEGACY_COMPONENTS | BIT(COMPONENT)) &&
			  holds(&area.lbr, lbr.depth, 0x6000),
		  "the LBRs are in their place");
	wrmsr(MSR_IA32_LBR_DEPTH, lbr.depth);
	xrstors(BIT(COMPONENT));
	tap_check(registers_hold(lbr.depth, 0x6000), "XRSTORS of them alone");
}

/* The instructions are no branches, and stop nothing. */
static void test_recording(void)
{
	struct lbr_state before = { .depth = 0 };
	struct lbr_entry entry;

	branches_rounds = 1;
	lbr_reset();
	lbr_start(FILTER & ~(uint64_t)LBR_KERNEL & ~BIT(LBR_OTHER));
	user_run(branches_loop);
	fill();
	xsaves(BIT(COMPONENT));
	tap_check(lbr_running(), "XSAVES leaves the recording on");
	read_registers(&before);
	lbr_stop();
	entry = lbr_entry(0);
	tap_check(entry.from == (uint64_t)branches_base + branches_loop_table[1].from &&
			  same(&entry, &area.lbr.entries[0]) && same(&before.entries[1], &area.lbr.entries[1]),
		  "and is none itself");
	tap_check(area.lbr.ctl & LBR_CTL_EN, "the image says that it recorded");
	wrmsr(MSR_IA32_LBR_DEPTH, lbr.depth);
	xrstors(BIT(COMPONENT));
	tap_check(lbr_running(), "XRSTORS takes it up again");
	user_run(branches_loop);
	lbr_stop();
	entry = lbr_entry(2);
	tap_check(same(&entry, &area.lbr.entries[0]), "on top of what was saved");
}

/* Without the bit in XSS the instructions leave the LBRs alone, and the LBRs work. */
static void test_without_xss(void)
{
	wrmsr(MSR_IA32_XSS, 0);
	lbr_reset();
	fill_registers(0x7000);
	fill();
	xsaves(BIT(COMPONENT));
	tap_check(area.xcomp_bv == COMPACTED && area.lbr.ctl == FILL, "without the bit in XSS nothing is saved");
	area.xcomp_bv = COMPACTED | BIT(COMPONENT);
	tap_equal((uint64_t)xrstors(BIT(COMPONENT)), FAULT_GP, "and an image with the component faults");
	lbr_start(FILTER);
	user_run(branches_kinds);
	lbr_stop();
	tap_check(!registers_hold(lbr.depth, 0x7000), "the LBRs record without it");
}

static void test_absence(void)
{
	struct cpuid_regs extended = cpuid(CPUID_XSAVE, 1), component = cpuid(CPUID_XSAVE, COMPONENT);

	tap_check(!(extended.ecx & BIT(COMPONENT)), "no architectural LBR: CPUID has no component 15");
	tap_check(!component.eax && !component.ebx && !component.ecx, "and nothing of its size");
	if (extended.eax & BIT(3))
		tap_equal((uint64_t)wrmsr_guarded(MSR_IA32_XSS, BIT(COMPONENT)), FAULT_GP, "XSS refuses the bit");
}

void test_main(void)
{
	pmu_init();
	lbr_init();
	write_cr4(read_cr4() | CR4_OSXSAVE);
	if (!lbr.architectural) {
		test_absence();
		return;
	}
	test_cpuid();
	test_save();
	test_restore();
	test_initial();
	test_faults();
	test_with_others();
	test_recording();
	test_without_xss();
	lbr_reset();
}
