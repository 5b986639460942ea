/*
 * Every reserved bit of every PMU register faults, and every other bit is kept; so do RDPMC indices.
 *
 * What the hardware does: WRMSR of a bit that this PMU gives no meaning to is #GP(0) and changes nothing. What breaks:
 * software that probes by writing (Linux, KVM's own tests) sees features that aren't there, or loses ones that are. How
 * the test tells: each register, each of its 64 bits alone, against what CPUID and PERF_CAPABILITIES allow.
 *
 * Not judged, with reasons:
 * - direct mode leaves GLOBAL_* and RDPMC to the hardware: bits and indices of counters outside the share don't fault;
 * - under pmuvisor, selectors belong to the hardware too: where it has adaptive PEBS their bit for it is accepted,
 *   without effect;
 * - DEBUGCTL bits that depend on features with no bearing on counters (LBR, branch traces, bus locks, RTM, uncore).
 */
#include "boot.h"
#include "ds.h"
#include "pmu.h"
#include "tap.h"
#include "trap.h"

const char test_title[] = "reserved: reserved bits and missing indices fault";

#define CPUID_FEATURES              7
#define CPUID_7_EBX_SGX             BIT(2)
#define CPUID_7_EBX_RTM             BIT(11)
#define CPUID_7_EBX_PT              BIT(25)
#define CPUID_0A_EDX_ANY_DEPRECATED BIT(15)
#define PERFEVTSEL_PIN              BIT(19) /* neither documented to fault nor to be kept */
#define PERFEVTSEL_IN_TX            (BIT(32) | BIT(33))
#define ADAPTIVE                    BIT(34)
#define LBR_FMT                     UINT64_C(0x3f)
#define PEBS_FORMAT                 UINT64_C(0xf00)
#define PEBS_FORMAT_COUNTERS        UINT64_C(0x600)
#define CPUID_ADDRESS_SIZES         UINT32_C(0x80000008)
#define MODEL_MASK                  UINT32_C(0x0fff0ff0)
#define ICE_LAKE_SP                 UINT32_C(0x000606a0)
#define FRONTEND_ICE_LAKE           UINT64_C(0x7fff17) /* as Linux has them */
#define FRONTEND_GOLDEN_COVE        UINT64_C(0x7fff1f)
#define STATUS_PT                   BIT(55)
#define STATUS_LBR_FRZ              BIT(58)
#define STATUS_ASCI                 BIT(60)
#define STATUS_UNCORE               BIT(61)
#define STATUS_COND_CHGD            BIT(63)
#define STATUS_METRICS              BIT(48)
#define HARDWARE_FIXED              4 /* counters below this number may exist outside the share */
#define PERFEVTSEL_EQ               BIT(36)
#define PERFEVTSEL_UMASK2           (UINT64_C(0xff) << 40)
#define CPUID_PMU_EXTENDED          0x23
#define CPUID_23_EBX_UMASK2         BIT(0)
#define CPUID_23_EBX_EQ             BIT(1)

static uint64_t new_evtsel_bits(uint32_t features)
{
	return (features & CPUID_23_EBX_UMASK2 ? PERFEVTSEL_UMASK2 : 0) |
	       (features & CPUID_23_EBX_EQ ? PERFEVTSEL_EQ : 0);
}

static uint64_t evtsel_bits(void)
{
	uint64_t bits = UINT64_C(0xffffffff);

	if (cpuid(0x0a, 0).edx & CPUID_0A_EDX_ANY_DEPRECATED)
		bits &= ~PERFEVTSEL_ANY;
	if (cpuid(CPUID_FEATURES, 0).ebx & CPUID_7_EBX_RTM)
		bits |= PERFEVTSEL_IN_TX;
	if (pmu.capabilities & PERF_CAPABILITIES_PEBS_BASELINE)
		bits |= ADAPTIVE;
	if (pmu.version >= 6)
		bits |= new_evtsel_bits(cpuid(CPUID_PMU_EXTENDED, 0).ebx);
	return bits;
}

static uint64_t fixed_ctrl_bits(void)
{
	bool adaptive = pmu.capabilities & PERF_CAPABILITIES_PEBS_BASELINE;
	uint64_t bits = 0;

	for (unsigned m = 0; m < 8; m++) {
		if (!(pmu.fixed_mask & BIT(FIXED(m))))
			continue;
		bits |= FIXED_CTR_CTRL(m, FIXED_OS | FIXED_USR | FIXED_PMI) | (adaptive ? FIXED_ADAPTIVE(m) : 0);
	}
	return bits;
}

static uint64_t ctrl_bits(void)
{
	return pmu.gp_mask | pmu.fixed_mask | (pmu.capabilities & PERF_CAPABILITIES_METRICS ? STATUS_METRICS : 0);
}

static uint64_t status_bits(void)
{
	uint32_t features = cpuid(CPUID_FEATURES, 0).ebx;

	return ctrl_bits() | STATUS_LBR_FRZ | PERF_GLOBAL_STATUS_CTR_FRZ | STATUS_UNCORE | PERF_GLOBAL_STATUS_OVF_BUF |
	       (features & CPUID_7_EBX_PT ? STATUS_PT : 0) | (features & CPUID_7_EBX_SGX ? STATUS_ASCI : 0);
}

static uint64_t outside_share(void)
{
	return ((BIT(pmu.hardware_gp) - 1) & ~pmu.gp_mask) | ((BIT(HARDWARE_FIXED) - 1) << 32 & ~pmu.fixed_mask);
}

/* Writes each bit alone on top of zero. `allowed` are taken, `unjudged` not tried, all others fault. */
static void judge_bits(const char *name, uint32_t msr, uint64_t allowed, uint64_t unjudged, bool kept)
{
	unsigned wrong = 0;

	for (unsigned bit = 0; bit < 64; bit++) {
		int expected = allowed & BIT(bit) ? NO_FAULT : FAULT_GP;
		bool right;

		if (unjudged & BIT(bit))
			continue;
		right = wrmsr_guarded(msr, BIT(bit)) == expected;
		if (kept)
			right = right && rdmsr(msr) == (allowed & BIT(bit));
		if (expected == NO_FAULT)
			wrmsr(msr, 0);
		if (!right)
			tap_note("%s: bit %u should %s", name, bit, expected == NO_FAULT ? "be taken" : "fault");
		wrong += !right;
	}
	tap_equal(wrong, 0, "%s: each bit is taken or faults as it should", name);
}

static void test_selectors(void)
{
	uint64_t unjudged = PERFEVTSEL_PIN | (boot_mode() == MODE_BARE ? 0 : ADAPTIVE);

	for (unsigned i = 0; i < pmu.nr_gp; i++) {
		judge_bits("PERFEVTSEL", pmu_selector(i), evtsel_bits(), unjudged, true);
		judge_bits("A_PMC", pmu_counter(i), pmu.value_mask, 0, true);
	}
	judge_bits("FIXED_CTR_CTRL", MSR_IA32_FIXED_CTR_CTRL, fixed_ctrl_bits(),
		   boot_mode() == MODE_BARE || pmu.capabilities & PERF_CAPABILITIES_PEBS_BASELINE
			   ? 0
			   : BIT(32) | BIT(36) | BIT(40) | BIT(44),
		   true);
	for (unsigned m = 0; m < HARDWARE_FIXED; m++) {
		if (pmu.fixed_mask & BIT(FIXED(m)))
			judge_bits("FIXED_CTR", MSR_IA32_FIXED_CTR0 + m, pmu.value_mask, 0, true);
	}
}

static void test_globals(void)
{
	uint64_t unjudged = boot_mode() == MODE_DIRECT ? outside_share() : 0;
	uint64_t debugctl = BIT(1) | DEBUGCTL_FREEZE_PERFMON_ON_PMI | BIT(14);
	uint64_t debugctl_unjudged = BIT(0) | BIT(2) | BIT(6) | BIT(7) | BIT(8) | BIT(9) | BIT(10) | BIT(11) | BIT(13) |
				     BIT(15);

	judge_bits("GLOBAL_CTRL", MSR_IA32_PERF_GLOBAL_CTRL, ctrl_bits(), unjudged, true);
	judge_bits("GLOBAL_STATUS_RESET", MSR_IA32_PERF_GLOBAL_STATUS_RESET, status_bits() | STATUS_COND_CHGD, unjudged,
		   false);
	judge_bits("GLOBAL_STATUS_SET", MSR_IA32_PERF_GLOBAL_STATUS_SET, status_bits(), unjudged, false);
	wrmsr(MSR_IA32_PERF_GLOBAL_STATUS_RESET, status_bits());
	tap_equal(rdmsr(MSR_IA32_PERF_GLOBAL_STATUS), 0, "RESET of everything clears everything");
	judge_bits("GLOBAL_STATUS", MSR_IA32_PERF_GLOBAL_STATUS, 0, 0, true);
	judge_bits("GLOBAL_INUSE", MSR_IA32_PERF_GLOBAL_INUSE, 0, 0, true);
	judge_bits("PERF_CAPABILITIES", MSR_IA32_PERF_CAPABILITIES, 0, 0, false);
	judge_bits("DEBUGCTL", MSR_IA32_DEBUGCTL, debugctl, debugctl_unjudged, true);
	tap_equal(rdmsr(MSR_IA32_PERF_GLOBAL_STATUS_RESET), 0, "GLOBAL_STATUS_RESET reads 0");
}

static uint64_t data_cfg_bits(void)
{
	uint64_t bits = PEBS_CFG_MEMORY | PEBS_CFG_GPR | PEBS_CFG_XMM;

	if (pmu.capabilities & LBR_FMT)
		bits |= PEBS_CFG_LBR | PEBS_CFG_LBRS(256);
	if ((pmu.capabilities & PEBS_FORMAT) < PEBS_FORMAT_COUNTERS)
		return bits;
	return bits | PEBS_CFG_COUNTERS | PEBS_CFG_GP(pmu.gp_mask) | PEBS_CFG_FIXED(pmu.fixed_mask >> 32) |
	       (pmu.capabilities & PERF_CAPABILITIES_METRICS ? PEBS_CFG_METRICS : 0);
}

/* Alone, the top bit of a canonical address isn't canonical. */
static uint64_t address_bits(void)
{
	return BIT((cpuid(CPUID_ADDRESS_SIZES, 0).eax >> 8 & 0xff) - 1) - 1;
}

static void test_pebs(void)
{
	uint64_t frontend = (cpuid(1, 0).eax & MODEL_MASK) == ICE_LAKE_SP ? FRONTEND_ICE_LAKE : FRONTEND_GOLDEN_COVE;
	uint64_t unjudged = boot_mode() == MODE_DIRECT ? outside_share() : 0;

	judge_bits("PEBS_ENABLE", MSR_IA32_PEBS_ENABLE, pmu.gp_mask | pmu.fixed_mask, unjudged, true);
	judge_bits("PEBS_DATA_CFG", MSR_PEBS_DATA_CFG, data_cfg_bits(), 0, true);
	judge_bits("PEBS_LD_LAT", MSR_PEBS_LD_LAT, UINT64_C(0xffff), 0, true);
	judge_bits("PEBS_FRONTEND", MSR_PEBS_FRONTEND, frontend, 0, true);
	judge_bits("DS_AREA", MSR_IA32_DS_AREA, address_bits(), 0, true);
	wrmsr(MSR_IA32_DS_AREA, ~address_bits());
	tap_equal(rdmsr(MSR_IA32_DS_AREA), ~address_bits(), "DS_AREA: the upper half's first address is taken");
	wrmsr(MSR_IA32_DS_AREA, 0);
}

/* The legacy alias takes anything, and only the low half of it. SDM Vol. 3B, "Full-Width Writes to Performance Counter
 * Registers".
 */
static void test_legacy_writes(void)
{
	unsigned wrong = 0;

	for (unsigned i = 0; i < pmu.nr_gp && i < NR_OLD_GP; i++) {
		wrmsr(MSR_IA32_PMC0 + i, UINT64_C(0xffffff0123456789));
		wrong += pmu_read(i) != 0x23456789 || rdmsr(MSR_IA32_PMC0 + i) != 0x23456789;
		wrmsr(MSR_IA32_PMC0 + i, UINT64_C(0x0000000087654321));
		wrong += pmu_read(i) != (UINT64_C(0xffffffff87654321) & pmu.value_mask);
	}
	tap_equal(wrong, 0, "a legacy write sign-extends its low 32 bits");
}

static bool rdpmc_faults(uint32_t index)
{
	uint64_t value;

	return rdpmc_guarded(index, &value) == FAULT_GP;
}

static void test_rdpmc(void)
{
	unsigned wrong = 0;

	for (unsigned i = 0; i < pmu.nr_gp; i++) {
		pmu_write(i, UINT64_C(0x812345678900) + i);
		wrong += rdpmc(i) != UINT64_C(0x812345678900) + i;
	}
	for (unsigned m = 0; m < HARDWARE_FIXED; m++) {
		if (!(pmu.fixed_mask & BIT(FIXED(m))))
			continue;
		pmu_write(FIXED(m), UINT64_C(0x912345678900) + m);
		wrong += rdpmc(RDPMC_FIXED | m) != UINT64_C(0x912345678900) + m;
	}
	tap_equal(wrong, 0, "RDPMC reads every counter in full width");
}

/* The type field of an index, alone or with a counter's number, and numbers far beyond any counter. */
static void test_rdpmc_faults(void)
{
	static const uint32_t nowhere[] = { UINT32_C(0x80000000), UINT32_C(0x10000), UINT32_C(0x60000000),
					    UINT32_C(0xffffffff) };
	unsigned first = boot_mode() == MODE_DIRECT ? pmu.hardware_gp : pmu.nr_gp;
	bool right = true;

	for (unsigned i = first; i < 70; i++)
		right = rdpmc_faults(i) && right;
	for (unsigned m = HARDWARE_FIXED; m < 20; m++)
		right = rdpmc_faults(RDPMC_FIXED | m) && right;
	for (unsigned i = 0; i < sizeof(nowhere) / sizeof(nowhere[0]); i++)
		right = rdpmc_faults(nowhere[i]) && right;
	tap_check(right, "RDPMC of what is not there faults");
	tap_check(rdpmc_faults(RDPMC_METRICS) == !(pmu.capabilities & PERF_CAPABILITIES_METRICS),
		  "RDPMC of PERF_METRICS faults unless PERF_CAPABILITIES has it");
}

static int ring3_vector;

static void rdpmc_in_ring3(void)
{
	uint64_t value;

	ring3_vector = rdpmc_guarded(0, &value);
	asm volatile(USER_EXIT);
}

/* In ring 3 the privilege check comes before everything else, also before an intercept. */
static void test_rdpmc_privilege(void)
{
	write_cr4(read_cr4() & ~CR4_PCE);
	user_run(rdpmc_in_ring3);
	tap_check(ring3_vector == FAULT_GP, "RDPMC in ring 3 faults without CR4.PCE");
	write_cr4(read_cr4() | CR4_PCE);
	user_run(rdpmc_in_ring3);
	tap_check(ring3_vector == NO_FAULT, "and works with it");
}

void test_main(void)
{
	pmu_init();
	test_selectors();
	test_globals();
	if (ds_has_pebs())
		test_pebs();
	test_legacy_writes();
	test_rdpmc();
	test_rdpmc_faults();
	test_rdpmc_privilege();
}
