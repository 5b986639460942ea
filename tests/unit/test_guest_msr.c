/* Which MSRs exit, as one whole list for each partition, and what the guest gets from those that do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/apic.h"
#include "arch/x86/guest_msr.h"
#include "arch/x86/guest_walk.h"
#include "arch/x86/reg.h"

#define GP(n)         BIT(n)
#define FIXED(m)      BIT(32 + (m))
#define ALL           (BITS(7, 0) | BITS(35, 32))
#define MSRS          0x2000u
#define REGION        UINT64_C(0x7f000000)
#define REGION_SIZE   UINT64_C(0x200000)
#define MISC_ENABLE   0x1a0
#define DEBUGCTL      0x1d9
#define HOST_DEFAULTS (GP(6) | GP(7))

static const struct pmu_ops intel = { .msrs = &guest_msrs_intel };
static struct cpu cpu;
static struct boot_info boot;
static uint64_t msrs[MSRS];
static uint64_t refused; /* bits of a value that WRMSR answers with #GP */
static uint64_t guest_debugctl, freeze, apic_window, pmu_value;
static unsigned remaps, mode_changes, pmu_reg;
static bool pmu_answer;
static enum guest_memory ds_memory;

uint64_t reg_rdmsr(uint32_t msr)
{
	assert_in_range(msr, 0, MSRS - 1);
	return msrs[msr];
}

void reg_wrmsr(uint32_t msr, uint64_t value)
{
	assert_in_range(msr, 0, MSRS - 1);
	msrs[msr] = value;
}

bool reg_wrmsr_safe(uint32_t msr, uint64_t value)
{
	if (value & refused)
		return false;
	reg_wrmsr(msr, value);
	return true;
}

uint64_t reg_rdpmc(uint32_t counter)
{
	return UINT64_C(0xabcd00000000) + counter;
}

void reg_move_window(const struct hv_window *window, uint64_t pa)
{
	assert_ptr_equal(window, &cpu.apic);
	apic_window = pa;
}

void pmu_apic_mode_changed(struct cpu *changed)
{
	assert_ptr_equal(changed, &cpu);
	mode_changes++;
}

void pmu_write_freeze(struct cpu *changed, uint64_t value)
{
	assert_ptr_equal(changed, &cpu);
	freeze = value;
}

bool pmu_read_global(struct cpu *reader, enum pmu_global reg, uint64_t *value)
{
	assert_ptr_equal(reader, &cpu);
	pmu_reg = reg;
	*value = pmu_value;
	return pmu_answer;
}

bool pmu_write_global(struct cpu *writer, enum pmu_global reg, uint64_t value)
{
	assert_ptr_equal(writer, &cpu);
	pmu_reg = reg;
	pmu_value = value;
	return pmu_answer;
}

bool pmu_read_lvtpc(struct cpu *reader, uint64_t *value)
{
	return pmu_read_global(reader, 0, value);
}

bool pmu_write_lvtpc(struct cpu *writer, uint64_t value)
{
	return pmu_write_global(writer, 0, value);
}

bool pebs_write_enable(struct pmu *pmu, uint64_t value)
{
	assert_ptr_equal(pmu, &cpu.pmu);
	pmu_value = value;
	return pmu_answer;
}

bool pebs_accept_ds_area(struct pmu *pmu, enum guest_memory where)
{
	assert_ptr_equal(pmu, &cpu.pmu);
	assert_int_equal(where, ds_memory);
	return where != MEMORY_HIDDEN;
}

enum guest_memory guest_memory_at(struct cpu *owner, uint64_t linear, uint64_t size)
{
	assert_ptr_equal(owner, &cpu);
	pmu_value = linear;
	assert_int_equal(size, cpu.pmu.caps.ds_size);
	return ds_memory;
}

static uint64_t read_guest(struct cpu *owner, enum guest_register reg)
{
	(void)owner;
	assert_int_equal(reg, GUEST_DEBUGCTL);
	return guest_debugctl;
}

static void write_guest_debugctl(struct cpu *owner, uint64_t value)
{
	(void)owner;
	guest_debugctl = value;
}

static void remap(struct cpu *owner)
{
	(void)owner;
	remaps++;
}

static const struct hv_ops ops = { .read = read_guest, .write_debugctl = write_guest_debugctl, .remap = remap };

static int setup(void **state)
{
	(void)state;
	memset(&cpu, 0, sizeof(cpu));
	cpu.address_mask = BITS(35, 0);
	memset(&boot, 0, sizeof(boot));
	memset(msrs, 0, sizeof(msrs));
	boot.region_pa = REGION;
	boot.region_size = REGION_SIZE;
	cpu.ops = &ops;
	cpu.boot = &boot;
	cpu.apic_page = 0xfee00000;
	cpu.pmu.ops = &intel;
	cpu.pmu.host = HOST_DEFAULTS;
	cpu.pmu.guest = cpu.pmu.controls = ALL & ~cpu.pmu.host;
	ds_memory = MEMORY_WRITABLE;
	refused = guest_debugctl = freeze = apic_window = pmu_value = 0;
	remaps = mode_changes = pmu_reg = 0;
	pmu_answer = true;
	return 0;
}

/* The traps, by MSR. */

struct range {
	uint32_t first, last;
	enum msr_trap trap;
};

static const struct range always[] = {
	{ 0x1b, 0x1b, TRAP_WRITE },   { 0x3a, 0x3a, TRAP_BOTH },    { 0x1a0, 0x1a0, TRAP_BOTH },
	{ 0x200, 0x21f, TRAP_WRITE }, { 0x250, 0x250, TRAP_WRITE }, { 0x258, 0x259, TRAP_WRITE },
	{ 0x268, 0x26f, TRAP_WRITE }, { 0x2ff, 0x2ff, TRAP_WRITE }, { 0x329, 0x329, TRAP_BOTH },
	{ 0x345, 0x345, TRAP_BOTH },  { 0x392, 0x392, TRAP_BOTH },  { 0x3f1, 0x3f2, TRAP_BOTH },
	{ 0x3f6, 0x3f7, TRAP_BOTH },  { 0x480, 0x493, TRAP_BOTH },  { 0x560, 0x58f, TRAP_BOTH },
	{ 0x600, 0x600, TRAP_BOTH },  { 0xda0, 0xda0, TRAP_WRITE },
};

/* Version 6's addresses of counters: all, and the guest's in traps_of_version_6(). */
static const struct range aliases[] = {
	{ 0x1900, 0x19ff, TRAP_BOTH },
};

static const struct range guest_aliases[] = {
	{ 0x1900, 0x1901, TRAP_NEVER }, { 0x1904, 0x1905, TRAP_NEVER }, { 0x1908, 0x1909, TRAP_NEVER },
	{ 0x190c, 0x190d, TRAP_NEVER }, { 0x1910, 0x1911, TRAP_NEVER }, { 0x1914, 0x1915, TRAP_NEVER },
	{ 0x1918, 0x1919, TRAP_NEVER }, { 0x191c, 0x191d, TRAP_NEVER }, { 0x1980, 0x1980, TRAP_NEVER },
	{ 0x1984, 0x1984, TRAP_NEVER }, { 0x198c, 0x198c, TRAP_NEVER },
};

static const struct range granted[] = {
	{ 0x329, 0x329, TRAP_NEVER },
	{ 0x3f1, 0x3f2, TRAP_WRITE },
	{ 0x3f6, 0x3f7, TRAP_NEVER },
	{ 0x600, 0x600, TRAP_WRITE },
};

static const struct range closed[] = {
	{ 0x1d9, 0x1d9, TRAP_BOTH },
	{ 0x38e, 0x391, TRAP_BOTH },
	{ 0x834, 0x834, TRAP_BOTH },
};

/* Those of each kind of LBRs, unless the guest has that kind; and of the last branch before an exception. */
static const struct range legacy_lbr[] = {
	{ 0x1c8, 0x1c9, TRAP_BOTH },
	{ 0x680, 0x69f, TRAP_BOTH },
	{ 0x6c0, 0x6df, TRAP_BOTH }, /* CET lies between, and the TSC deadline behind */
	{ 0xdc0, 0xddf, TRAP_BOTH },
};

static const struct range arch_lbr[] = {
	{ 0x1200, 0x121f, TRAP_BOTH },
	{ 0x14ce, 0x14cf, TRAP_BOTH },
	{ 0x1500, 0x151f, TRAP_BOTH },
	{ 0x1600, 0x161f, TRAP_BOTH },
};

static const struct range last_exception[] = {
	{ 0x1dd, 0x1de, TRAP_BOTH },
	{ 0x1e0, 0x1e0, TRAP_BOTH },
};

static void no_recording(bool on)
{
	(void)on;
	fail();
}

static const struct lbr_ops legacy = { .record = no_recording, .debugctl = BIT(0) };
static const struct lbr_ops arch = { .record = no_recording, .control = 0x7f0007 };

static uint8_t expected[MSRS], found[MSRS];

static void expect(const struct range *ranges, size_t n)
{
	for (size_t i = 0; i < n; i++)
		memset(&expected[ranges[i].first], (int)ranges[i].trap, ranges[i].last - ranges[i].first + 1);
}

static void record(void *context, uint32_t msr, enum msr_trap trap)
{
	assert_ptr_equal(context, found);
	assert_in_range(msr, 0, MSRS - 1);
	assert_int_equal(found[msr], TRAP_NEVER);
	found[msr] = (uint8_t)trap;
}

static void expect_always(bool open)
{
	memset(expected, TRAP_NEVER, sizeof(expected));
	expect(always, ARRAY_SIZE(always));
	expect(aliases, ARRAY_SIZE(aliases));
	if (cpu.pmu.pebs.offer == PEBS_OFFERED)
		expect(granted, ARRAY_SIZE(granted));
	if (cpu.pmu.pebs.offer == PEBS_OFFERED && cpu.pmu.lbr.guests)
		expected[0x3f2] = TRAP_NEVER; /* records may hold LBRs */
	if (!open)
		expect(closed, ARRAY_SIZE(closed));
	if (!cpu.pmu.lbr.guests || cpu.pmu.lbr.ops != &legacy)
		expect(legacy_lbr, ARRAY_SIZE(legacy_lbr));
	if (!cpu.pmu.lbr.guests || cpu.pmu.lbr.ops != &arch)
		expect(arch_lbr, ARRAY_SIZE(arch_lbr));
	if (!cpu.pmu.lbr.guests)
		expect(last_exception, ARRAY_SIZE(last_exception));
}

static void compare_traps(bool open)
{
	memset(found, TRAP_NEVER, sizeof(found));
	guest_msr_traps(&cpu.pmu, open, record, found);
	for (uint32_t msr = 0; msr < MSRS; msr++) {
		if (found[msr] != expected[msr])
			fail_msg("MSR %x: trap %d, expected %d", msr, found[msr], expected[msr]);
	}
}

static void check_traps(uint64_t host, bool open, const struct range *counters, size_t n)
{
	cpu.pmu.host = host;
	cpu.pmu.guest = ALL & ~host;
	expect_always(open);
	expect(counters, n);
	compare_traps(open);
}

static void traps_of_the_default_partition(void **state)
{
	static const struct range counters[] = {
		{ 0xc7, 0xc8, TRAP_BOTH },
		{ 0x18c, 0x18d, TRAP_BOTH },
		{ 0x4c7, 0x4c8, TRAP_BOTH },
	};

	(void)state;
	check_traps(HOST_DEFAULTS, false, counters, ARRAY_SIZE(counters));
	check_traps(HOST_DEFAULTS, true, counters, ARRAY_SIZE(counters));
}

static void traps_with_a_fixed_counter_of_the_host(void **state)
{
	static const struct range counters[] = {
		{ 0xc8, 0xc8, TRAP_BOTH },   { 0x18d, 0x18d, TRAP_BOTH }, { 0x4c8, 0x4c8, TRAP_BOTH },
		{ 0x309, 0x309, TRAP_BOTH }, { 0x30c, 0x30c, TRAP_BOTH }, { 0x38d, 0x38d, TRAP_BOTH },
	};

	(void)state;
	check_traps(GP(7) | FIXED(0) | FIXED(3), false, counters, ARRAY_SIZE(counters));
	check_traps(GP(7) | FIXED(0) | FIXED(3), true, counters, ARRAY_SIZE(counters));
}

static void traps_with_nothing_of_the_host(void **state)
{
	(void)state;
	check_traps(0, true, NULL, 0);
	check_traps(0, false, NULL, 0);
}

static void traps_by_who_has_the_lbrs(void **state)
{
	static const struct lbr_ops *const kinds[] = { &legacy, &arch };

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++) {
		cpu.pmu.lbr.ops = kinds[i];
		for (unsigned guests = 0; guests < 2; guests++) {
			cpu.pmu.lbr.guests = guests;
			check_traps(0, true, NULL, 0);
			check_traps(0, false, NULL, 0);
		}
	}
}

static void grant_pebs_and_metrics(void)
{
	cpu.pmu.pebs.offer = PEBS_OFFERED;
	cpu.pmu.controls |= PMU_METRICS;
	cpu.pmu.caps.pebs_format = 4;
	cpu.pmu.caps.ds_size = 0xa0;
}

static void traps_with_pebs_and_metrics(void **state)
{
	(void)state;
	grant_pebs_and_metrics();
	check_traps(0, true, NULL, 0);
	check_traps(0, false, NULL, 0);
	cpu.pmu.lbr.guests = true;
	cpu.pmu.lbr.ops = &legacy;
	check_traps(0, true, NULL, 0);
}

/*
 * Ten general-purpose counters: the last two have no registers of the older kind, so what is at those addresses is
 * nothing of the PMU's.
 */
static void traps_of_version_6(void **state)
{
	static const struct range counters[] = {
		{ 0x30b, 0x30b, TRAP_BOTH },
		{ 0x38d, 0x38d, TRAP_BOTH },
	};

	(void)state;
	cpu.pmu.caps.version = 6;
	cpu.pmu.host = GP(8) | GP(9) | FIXED(2);
	cpu.pmu.guest = (ALL | GP(8) | GP(9)) & ~cpu.pmu.host;
	for (unsigned open = 0; open < 2; open++) {
		expect_always(open);
		expect(counters, ARRAY_SIZE(counters));
		expect(guest_aliases, ARRAY_SIZE(guest_aliases));
		compare_traps(open);
	}
}

/* What the instructions do. */

static void set_guest(uint32_t msr, uint64_t value)
{
	/* The upper halves are not looked at. */
	cpu.guest.rcx = UINT64_C(0xdead00000000) | msr;
	cpu.guest.rax = UINT64_C(0xdead00000000) | (uint32_t)value;
	cpu.guest.rdx = UINT64_C(0xdead00000000) | value >> 32;
}

static uint64_t rdmsr(uint32_t msr)
{
	set_guest(msr, 0);
	assert_int_equal(guest_rdmsr(&cpu), ADVANCE);
	assert_int_equal(cpu.guest.rax >> 32, 0);
	assert_int_equal(cpu.guest.rdx >> 32, 0);
	return cpu.guest.rdx << 32 | cpu.guest.rax;
}

static void wrmsr(uint32_t msr, uint64_t value)
{
	set_guest(msr, value);
	assert_int_equal(guest_wrmsr(&cpu), ADVANCE);
}

static void rdmsr_faults(uint32_t msr)
{
	set_guest(msr, 0x1234);
	assert_int_equal(guest_rdmsr(&cpu), INJECT_GP);
	assert_int_equal(cpu.guest.rax, UINT64_C(0xdead00001234)); /* a fault changes no register */
}

static void wrmsr_faults(uint32_t msr, uint64_t value)
{
	uint64_t before = msr < MSRS ? msrs[msr] : 0;

	set_guest(msr, value);
	assert_int_equal(guest_wrmsr(&cpu), INJECT_GP);
	assert_int_equal(msr < MSRS ? msrs[msr] : 0, before);
}

static void hidden_registers_fault(void **state)
{
	static const uint32_t hidden[] = {
		0xc8,  0x18d, 0x4c8, 0x1c8,  0x329,  0x3f1,  0x480,  0x491,      0x570,
		0x600, 0x680, 0x6df, 0x14ce, 0x1500, 0x1900, 0x2000, 0x40000000, 0xc0002000
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(hidden); i++) {
		rdmsr_faults(hidden[i]);
		wrmsr_faults(hidden[i], 0);
	}
}

static void vmx_reads_locked_off(void **state)
{
	(void)state;
	msrs[0x3a] = 0x20007; /* what else the firmware allowed stays */
	assert_int_equal(rdmsr(0x3a), 0x20001);
	msrs[0x3a] = 0;
	assert_int_equal(rdmsr(0x3a), 1);
	wrmsr_faults(0x3a, 5);
}

static void pebs_and_bts_read_unavailable(void **state)
{
	(void)state;
	msrs[MISC_ENABLE] = 0x850089;
	assert_int_equal(rdmsr(MISC_ENABLE), 0x851889);
	wrmsr(MISC_ENABLE, 0x51889);
	assert_int_equal(msrs[MISC_ENABLE], 0x50089); /* the hardware's two bits are kept, */
	msrs[MISC_ENABLE] = 0x1000;
	wrmsr(MISC_ENABLE, 0x51889);
	assert_int_equal(msrs[MISC_ENABLE], 0x51089); /* whichever way they are */
	wrmsr_faults(MISC_ENABLE, 0x50889);
	wrmsr_faults(MISC_ENABLE, 0x51089);
	wrmsr_faults(MISC_ENABLE, BIT(34) | 0x51889);
	refused = BIT(5);
	wrmsr_faults(MISC_ENABLE, 0x51889 | BIT(5));
}

static void pebs_reads_available_where_it_is_offered(void **state)
{
	(void)state;
	grant_pebs_and_metrics();
	msrs[MISC_ENABLE] = 0x850089;
	assert_int_equal(rdmsr(MISC_ENABLE), 0x850889);
	wrmsr(MISC_ENABLE, 0x50889);
	assert_int_equal(msrs[MISC_ENABLE], 0x50089);
	wrmsr_faults(MISC_ENABLE, 0x50089);
	refused = BIT(12); /* the hardware's own answer */
	wrmsr_faults(MISC_ENABLE, 0x51889);
}

static void pebs_enable_is_a_question_of_the_partition(void **state)
{
	(void)state;
	grant_pebs_and_metrics();
	wrmsr(0x3f1, UINT64_C(0x100000003));
	assert_int_equal(pmu_value, UINT64_C(0x100000003));
	assert_int_equal(msrs[0x3f1], 0); /* never set in root mode */
	pmu_answer = false;
	wrmsr_faults(0x3f1, 1);
}

static void records_tell_nothing_of_the_host(void **state)
{
	(void)state;
	grant_pebs_and_metrics();
	wrmsr(0x3f2, 7);
	assert_int_equal(msrs[0x3f2], 7);
	wrmsr_faults(0x3f2, 8); /* the LBRs aren't the guest's */
	wrmsr_faults(0x3f2, 0x1f000007);
	refused = BIT(32);
	wrmsr_faults(0x3f2, BIT(32)); /* format 4 has no counters in it, says the hardware */
	refused = 0;
	cpu.pmu.caps.pebs_format = 6;
	wrmsr(0x3f2, BIT(4) | BIT(5) | BITS(37, 32) | BITS(51, 48));
	wrmsr_faults(0x3f2, BIT(4) | BIT(38));
	cpu.pmu.host = HOST_DEFAULTS | FIXED(3);
	wrmsr(0x3f2, BIT(4) | BITS(37, 32) | BITS(50, 48));
	wrmsr_faults(0x3f2, BIT(4) | BIT(51));
	cpu.pmu.controls = cpu.pmu.guest;
	wrmsr_faults(0x3f2, BIT(5));
	cpu.pmu.lbr.guests = true;
	wrmsr(0x3f2, 0x1f00000f);
}

static void ds_area_is_looked_at(void **state)
{
	(void)state;
	grant_pebs_and_metrics();
	wrmsr(0x600, 0x1000);
	assert_int_equal(msrs[0x600], 0x1000);
	assert_int_equal(pmu_value, 0x1000);
	ds_memory = MEMORY_HIDDEN;
	wrmsr_faults(0x600, 0x2000);
	refused = BIT(50);
	pmu_value = 0;
	wrmsr_faults(0x600, BIT(50));
	assert_int_equal(pmu_value, 0); /* not canonical: nothing to look at */
}

static void debugctl_is_split(void **state)
{
	(void)state;
	wrmsr(DEBUGCTL, BIT(0) | BIT(1) | BIT(11) | BIT(12) | BIT(14));
	assert_int_equal(guest_debugctl, BIT(1) | BIT(14));
	assert_int_equal(freeze, PMU_STATUS_LBR_FROZEN | PMU_STATUS_CTR_FROZEN);
	assert_int_equal(msrs[DEBUGCTL], 0); /* it was tried in root mode, and must not act there */
	cpu.pmu.guest_freeze = freeze;
	assert_int_equal(rdmsr(DEBUGCTL), BIT(1) | BIT(11) | BIT(12) | BIT(14));
	cpu.pmu.guest_freeze = PMU_STATUS_CTR_FROZEN;
	assert_int_equal(rdmsr(DEBUGCTL), BIT(1) | BIT(12) | BIT(14));
	wrmsr(DEBUGCTL, BIT(11));
	assert_int_equal(freeze, PMU_STATUS_LBR_FROZEN);
	wrmsr_faults(DEBUGCTL, BIT(6)); /* branch trace messages */
	wrmsr_faults(DEBUGCTL, BIT(16));
	refused = BIT(15);
	wrmsr_faults(DEBUGCTL, BIT(15));
}

static void debugctl_with_lbrs(void **state)
{
	(void)state;
	cpu.pmu.lbr.ops = &legacy;
	cpu.pmu.lbr.guests = true;
	wrmsr(DEBUGCTL, BIT(0) | BIT(1) | BIT(11));
	assert_int_equal(guest_debugctl, BIT(0) | BIT(1));
	assert_int_equal(msrs[DEBUGCTL], 0);
	assert_int_equal(rdmsr(DEBUGCTL), BIT(0) | BIT(1));
	/* The host's recording behind its back. */
	cpu.pmu.lbr.guests = false;
	assert_int_equal(rdmsr(DEBUGCTL), BIT(1));
	guest_debugctl |= BIT(11);
	assert_int_equal(rdmsr(DEBUGCTL), BIT(1));
	/* Architectural ones have their bit elsewhere. */
	cpu.pmu.lbr.ops = &arch;
	cpu.pmu.lbr.guests = true;
	wrmsr(DEBUGCTL, BIT(0) | BIT(1));
	assert_int_equal(guest_debugctl, BIT(1));
}

static unsigned recordings;

static void record_again(bool on)
{
	assert_true(on);
	recordings++;
}

/* Trying a value of DEBUGCTL in root mode would stop what the host records there. */
static void debugctl_keeps_root_recording(void **state)
{
	static const struct lbr_ops recording = { .record = record_again, .debugctl = BIT(0) };

	(void)state;
	recordings = 0;
	cpu.pmu.lbr.ops = &recording;
	wrmsr(DEBUGCTL, 0);
	assert_int_equal(recordings, 0);
	cpu.pmu.lbr.now = true;
	wrmsr(DEBUGCTL, 0);
	assert_int_equal(recordings, 1);
}

static void check_ler(enum msr_trap trap)
{
	memset(found, TRAP_NEVER, sizeof(found));
	guest_msr_traps(&cpu.pmu, false, record, found);
	assert_int_equal(found[0x1dd], trap);
	assert_int_equal(found[0x1de], trap);
}

/* What can't be switched is hidden, where both record. */
static void last_exceptions_tell_nothing_of_the_host(void **state)
{
	static const struct lbr_ops switched = { .record = no_recording, .switches_ler = true, .debugctl = BIT(0) };

	(void)state;
	cpu.pmu.lbr.ops = &legacy;
	cpu.pmu.lbr.guests = cpu.pmu.lbr.hosts = true;
	check_ler(TRAP_NEVER);
	cpu.pmu.host_sampling = cpu.pmu.host_in_host = BIT(7);
	check_ler(TRAP_READ);
	msrs[0x1dd] = msrs[0x1de] = 0x1234;
	assert_int_equal(rdmsr(0x1dd), 0);
	assert_int_equal(rdmsr(0x1de), 0);
	wrmsr_faults(0x1dd, 0);
	cpu.pmu.lbr.ops = &switched;
	check_ler(TRAP_NEVER);
}

static void xss_has_no_pt_and_lbr_only_for_its_owner(void **state)
{
	(void)state;
	wrmsr(0xda0, BIT(11) | BIT(12));
	assert_int_equal(msrs[0xda0], BIT(11) | BIT(12));
	wrmsr_faults(0xda0, BIT(8));
	wrmsr_faults(0xda0, BIT(15));
	cpu.pmu.lbr.guests = true;
	wrmsr(0xda0, BIT(15));
	wrmsr_faults(0xda0, BIT(8));
	refused = BIT(63);
	wrmsr_faults(0xda0, BIT(63));
}

static void capabilities_are_two_and_the_lbr_format(void **state)
{
	(void)state;
	cpu.pmu.caps.capabilities = UINT64_C(0x1ffff);
	assert_int_equal(rdmsr(0x345), 0x3000);
	cpu.pmu.caps.capabilities = 0x2000;
	assert_int_equal(rdmsr(0x345), 0x2000);
	wrmsr_faults(0x345, 0x2000);
	grant_pebs_and_metrics();
	cpu.pmu.caps.capabilities = UINT64_C(0xfffff);
	assert_int_equal(rdmsr(0x345), 0xaffc0); /* no LBR, no output to PT, no TSX addresses */
	cpu.pmu.lbr.guests = true;
	assert_int_equal(rdmsr(0x345), 0xaffff);
	cpu.pmu.controls = cpu.pmu.guest;
	assert_int_equal(rdmsr(0x345), 0x27fff);
}

static void apic_base(void **state)
{
	(void)state;
	wrmsr(0x1b, 0xfee00900);
	assert_int_equal(remaps, 0);
	assert_false(cpu.x2apic);
	wrmsr(0x1b, 0xfee00d00);
	assert_true(cpu.x2apic);
	assert_int_equal(mode_changes, 2);
	assert_int_equal(apic_window, 0); /* it has not moved */
	wrmsr(0x1b, 0xfe000900);
	assert_int_equal(apic_window, 0xfe000000);
	assert_int_equal(cpu.apic_page, 0xfe000000);
	assert_int_equal(remaps, 1);
	assert_false(cpu.x2apic);
}

static void apic_is_kept_off_the_region(void **state)
{
	(void)state;
	wrmsr_faults(0x1b, REGION | 0x900);
	wrmsr_faults(0x1b, (REGION + REGION_SIZE - PAGE_SIZE) | 0x900);
	refused = BIT(9);
	wrmsr_faults(0x1b, 0xfe000b00);
	assert_int_equal(cpu.apic_page, 0xfee00000);
	assert_int_equal(remaps + mode_changes, 0);
	wrmsr(0x1b, (REGION + REGION_SIZE) | 0x900);
	wrmsr(0x1b, (REGION - PAGE_SIZE) | 0x900);
	assert_int_equal(remaps, 2);
}

static void memory_types_follow_the_mtrrs(void **state)
{
	(void)state;
	wrmsr(0x2ff, 6);
	wrmsr(0x20f, 0xff0000800);
	wrmsr(0x26f, UINT64_C(0x0606060606060606));
	assert_int_equal(remaps, 0);
	wrmsr(0x2ff, 0xc06);
	assert_int_equal(remaps, 1);
	assert_int_equal(msrs[0x20f], 0xff0000800);
	refused = BIT(1);
	wrmsr_faults(0x2ff, 0xc02);
	assert_int_equal(remaps, 1);
	rdmsr_faults(0x2ff); /* reading one never exits */
}

/* One with holes would cost more page tables than there are. */
static void memory_range_masks_have_no_holes(void **state)
{
	(void)state;
	wrmsr(0x201, 0xfffe00800);        /* a valid range of 2 MiB */
	wrmsr(0x201, 0);                  /* none */
	wrmsr_faults(0x201, 0xffff01800); /* a hole inside */
	wrmsr_faults(0x201, 0x000001800); /* nothing but holes above */
	wrmsr(0x200, 0x000001006);        /* a base is no mask */
	assert_int_equal(msrs[0x201], 0);
}

static void fixed_control_is_merged(void **state)
{
	(void)state;
	cpu.pmu.host = FIXED(1);
	cpu.pmu.guest = ALL & ~cpu.pmu.host;
	msrs[0x38d] = 0xb3b8;
	assert_int_equal(rdmsr(0x38d), 0xb308);
	wrmsr(0x38d, 0x1001);
	assert_int_equal(msrs[0x38d], 0x10b1);
	wrmsr_faults(0x38d, 0x0010);
	wrmsr_faults(0x38d, 0x10000);
	wrmsr_faults(0x38d, BIT(32));
	refused = BIT(2);
	wrmsr_faults(0x38d, 4);
	grant_pebs_and_metrics();
	wrmsr(0x38d, BIT(32) | BIT(40) | 0x1001);
	assert_int_equal(msrs[0x38d], BIT(32) | BIT(40) | 0x10b1);
	assert_int_equal(rdmsr(0x38d), BIT(32) | BIT(40) | 0x1001);
	wrmsr_faults(0x38d, BIT(36)); /* the host's */
}

static void global_registers_have_their_numbers(void **state)
{
	static const enum pmu_global regs[] = { PMU_STATUS, PMU_CTRL, PMU_STATUS_CLEAR, PMU_STATUS_SET, PMU_INUSE };

	(void)state;
	for (uint32_t i = 0; i < ARRAY_SIZE(regs); i++) {
		wrmsr(0x38e + i, UINT64_C(0x100000000) + i);
		assert_int_equal(pmu_reg, regs[i]);
		pmu_reg = 99;
		assert_int_equal(rdmsr(0x38e + i), UINT64_C(0x100000000) + i);
		assert_int_equal(pmu_reg, regs[i]);
	}
	pmu_answer = false;
	rdmsr_faults(0x391);
	wrmsr_faults(0x38f, 0);
}

static void lvtpc_is_an_msr_in_x2apic_mode_alone(void **state)
{
	(void)state;
	rdmsr_faults(0x834);
	wrmsr_faults(0x834, 0x400);
	cpu.x2apic = true;
	wrmsr(0x834, 0x400);
	assert_int_equal(rdmsr(0x834), 0x400);
	pmu_answer = false;
	rdmsr_faults(0x834);
	wrmsr_faults(0x834, BIT(32));
}

static void rdpmc(uint32_t ecx, enum verdict verdict)
{
	set_guest(ecx, 0x1234);
	assert_int_equal(guest_rdpmc(&cpu), verdict);
	assert_int_equal(cpu.guest.rax, verdict == ADVANCE ? ecx : UINT64_C(0xdead00001234));
	if (verdict == ADVANCE)
		assert_int_equal(cpu.guest.rdx, 0xabcd);
}

static void rdpmc_knows_the_partition(void **state)
{
	(void)state;
	cpu.pmu.host = HOST_DEFAULTS | FIXED(3);
	cpu.pmu.guest = ALL & ~cpu.pmu.host;
	for (uint32_t n = 0; n < 6; n++)
		rdpmc(n, ADVANCE);
	for (uint32_t m = 0; m < 3; m++)
		rdpmc(0x40000000 + m, ADVANCE);
	rdpmc(6, INJECT_GP);
	rdpmc(7, INJECT_GP);
	rdpmc(8, INJECT_GP);
	rdpmc(32, INJECT_GP);
	rdpmc(0x40000003, INJECT_GP);
	rdpmc(0x40000020, INJECT_GP);
	rdpmc(64, INJECT_GP);
	rdpmc(0x40000040, INJECT_GP);
	rdpmc(0x20000000, INJECT_GP); /* performance metrics */
	rdpmc(0x80000000, INJECT_GP);
	grant_pebs_and_metrics();
	rdpmc(0x20000000, ADVANCE);
	rdpmc(0x20000001, INJECT_GP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(traps_of_the_default_partition, setup),
		cmocka_unit_test_setup(traps_with_a_fixed_counter_of_the_host, setup),
		cmocka_unit_test_setup(traps_with_nothing_of_the_host, setup),
		cmocka_unit_test_setup(traps_of_version_6, setup),
		cmocka_unit_test_setup(traps_with_pebs_and_metrics, setup),
		cmocka_unit_test_setup(traps_by_who_has_the_lbrs, setup),
		cmocka_unit_test_setup(hidden_registers_fault, setup),
		cmocka_unit_test_setup(vmx_reads_locked_off, setup),
		cmocka_unit_test_setup(pebs_and_bts_read_unavailable, setup),
		cmocka_unit_test_setup(pebs_reads_available_where_it_is_offered, setup),
		cmocka_unit_test_setup(pebs_enable_is_a_question_of_the_partition, setup),
		cmocka_unit_test_setup(records_tell_nothing_of_the_host, setup),
		cmocka_unit_test_setup(ds_area_is_looked_at, setup),
		cmocka_unit_test_setup(debugctl_is_split, setup),
		cmocka_unit_test_setup(debugctl_with_lbrs, setup),
		cmocka_unit_test_setup(debugctl_keeps_root_recording, setup),
		cmocka_unit_test_setup(last_exceptions_tell_nothing_of_the_host, setup),
		cmocka_unit_test_setup(xss_has_no_pt_and_lbr_only_for_its_owner, setup),
		cmocka_unit_test_setup(capabilities_are_two_and_the_lbr_format, setup),
		cmocka_unit_test_setup(apic_base, setup),
		cmocka_unit_test_setup(apic_is_kept_off_the_region, setup),
		cmocka_unit_test_setup(memory_types_follow_the_mtrrs, setup),
		cmocka_unit_test_setup(memory_range_masks_have_no_holes, setup),
		cmocka_unit_test_setup(fixed_control_is_merged, setup),
		cmocka_unit_test_setup(global_registers_have_their_numbers, setup),
		cmocka_unit_test_setup(lvtpc_is_an_msr_in_x2apic_mode_alone, setup),
		cmocka_unit_test_setup(rdpmc_knows_the_partition, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
