/*
 * PEBS and metrics in shared mode: which status bits stay in the hardware, which cause a PMI of the guest's, and what
 * the guest reads. The processor's registers are played here; that nothing else differs from a bare PMU is for the
 * refinement test.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/apic.h"
#include "hv/pmu_private.h"
#include "hv/sample.h"

#define COUNTERS (BITS(7, 0) | BITS(35, 32))
#define HOST     BIT(6)

static struct cpu cpu;
static struct hv_config config;
static uint64_t status, counters[36], interrupting, inuse, enabled, pebs_enable;
static uint32_t lvtpc;
static bool inuse_pebs, apic_enabled;
static uint64_t sampled, sampled_rip;
static unsigned samples;

static bool ident(struct pmu_caps *caps)
{
	*caps = (struct pmu_caps){
		.version = 5,
		.nr_gp = 8,
		.width = 48,
		.fixed = 0xf,
		.counters = COUNTERS,
		.clear_flags = PMU_METRICS | BITS(63, 58),
		.set_flags = PMU_METRICS | BITS(62, 58),
		.global = true,
		.pmi_masks = true,
		.metrics = true,
		.pebs = true,
		.pebs_ept_friendly = true,
	};
	return true;
}

static void enable(uint64_t bits)
{
	enabled = bits;
}

static uint64_t read_enabled(void)
{
	return enabled;
}

static uint64_t read_status(void)
{
	return status;
}

static void clear_status(uint64_t bits)
{
	status &= ~bits;
}

static void set_status(uint64_t bits)
{
	status |= bits;
}

static uint64_t read_counter(unsigned n)
{
	return counters[n];
}

static void write_counter(unsigned n, uint64_t value)
{
	counters[n] = value;
}

static void program(unsigned n, const struct config_event *event)
{
	(void)n, (void)event;
}

static uint64_t same(uint64_t bits)
{
	return bits;
}

static uint64_t counts_instructions(uint64_t bits, bool user)
{
	return user ? 0 : bits & COUNTERS;
}

static uint64_t read_interrupting(uint64_t bits)
{
	return bits & interrupting;
}

static uint64_t read_inuse(uint64_t bits, bool pebs)
{
	inuse_pebs = pebs;
	return bits & inuse;
}

static uint64_t read_pebs(void)
{
	return pebs_enable;
}

static void write_pebs(uint64_t bits)
{
	pebs_enable = bits;
}

static const struct pmu_ops pmu_ops = {
	.ident = ident,
	.enable = enable,
	.enabled = read_enabled,
	.status = read_status,
	.clear_status = clear_status,
	.set_status = set_status,
	.read = read_counter,
	.write = write_counter,
	.program = program,
	.used = same,
	.counts_instructions = counts_instructions,
	.interrupting = read_interrupting,
	.inuse = read_inuse,
	.pebs_enabled = read_pebs,
	.pebs_enable = write_pebs,
};

void sample_take(struct cpu *owner, uint64_t bits, bool captured)
{
	assert_ptr_equal(owner, &cpu);
	assert_false(captured);
	sampled = bits;
	sampled_rip = cpu.nmi.root_rip;
	samples++;
}

uint64_t reg_rdtsc(void)
{
	return 0;
}

bool apic_is_x2apic(void)
{
	return true;
}

bool apic_is_enabled(void)
{
	return apic_enabled;
}

uint32_t apic_read(unsigned offset)
{
	assert_int_equal(offset, APIC_LVTPC);
	return lvtpc;
}

void apic_write(unsigned offset, uint32_t value)
{
	assert_int_equal(offset, APIC_LVTPC);
	lvtpc = value;
}

void apic_self_ipi(uint32_t vector)
{
	(void)vector;
	fail();
}

static bool nmi_blocked(struct cpu *owner)
{
	assert_ptr_equal(owner, &cpu);
	return false;
}

static uint64_t read_guest(struct cpu *owner, enum guest_register reg)
{
	assert_ptr_equal(owner, &cpu);
	assert_true(reg == GUEST_CPL || reg == GUEST_FREEZE);
	return 0;
}

static const struct hv_ops ops = { .nmi_blocked = nmi_blocked, .read = read_guest };

/* One host event in the guest, on counter 6, that samples; the guest's LVTPC is an unmasked NMI. */
static int setup(void **state)
{
	(void)state;
	apic_enabled = true;
	cpu = (struct cpu){ .ops = &ops, .x2apic = true };
	config = (struct hv_config){ .host_counters = 2, .nr_events = 1 };
	config.events[0] = (struct config_event){
		.event = 0xc0, .user = true, .kernel = true, .guest = true, .period = 1000
	};
	memset(counters, 0, sizeof(counters));
	status = interrupting = inuse = enabled = pebs_enable = 0;
	sampled = sampled_rip = samples = 0;
	lvtpc = LVT_MASKED;
	assert_true(pmu_init(&cpu, &pmu_ops, &config));
	assert_true(cpu.pmu.shared && !cpu.pmu.window);
	assert_true(pmu_write_lvtpc(&cpu, LVT_NMI));
	return 0;
}

/* The APIC accepts a PMI, and its NMI exits. */
static void pmi(void)
{
	assert_false(lvtpc & LVT_MASKED);
	lvtpc |= LVT_MASKED;
	pmu_nmi(&cpu);
}

static uint64_t read_global(enum pmu_global reg)
{
	uint64_t value;

	assert_true(pmu_read_global(&cpu, reg, &value));
	return value;
}

static void enable_pebs(uint64_t bits)
{
	assert_true(pebs_write_enable(&cpu.pmu, bits));
}

static void armed_bits_stay_at_a_host_pmi(void **state)
{
	(void)state;
	enable_pebs(BIT(1));
	status = BIT(0) | BIT(1) | HOST;
	pmi();
	assert_false(cpu.nmi.pending);
	assert_int_equal(status, BIT(1));
	assert_int_equal(cpu.pmu.guest_status, BIT(0));
	assert_int_equal(read_global(PMU_STATUS), BIT(0) | BIT(1));
}

static void a_full_buffer_is_a_pmi_of_the_guest(void **state)
{
	(void)state;
	enable_pebs(BIT(1));
	status = PMU_STATUS_PEBS | HOST;
	pmi();
	assert_true(cpu.nmi.pending);
	assert_int_equal(cpu.pmu.stats.guest_pmis, 1);
	assert_int_equal(cpu.pmu.stats.host_pmis, 1);
	assert_int_equal(status, 0);
	assert_int_equal(read_global(PMU_STATUS), PMU_STATUS_PEBS);
	pmu_nmi_injected(&cpu); /* the window */
	assert_int_equal(status, PMU_STATUS_PEBS);
}

static void an_uncore_pmi_is_the_guest_s(void **state)
{
	(void)state;
	status = BIT(61);
	pmi();
	assert_true(cpu.nmi.pending);
	assert_int_equal(cpu.pmu.stats.host_pmis, 0);
	assert_int_equal(read_global(PMU_STATUS), BIT(61));
}

/* CondChgd can be cleared and not set: it may not leave the hardware. */
static void what_cannot_be_set_stays(void **state)
{
	(void)state;
	status = PMU_STATUS_PEBS | BIT(63) | HOST;
	pmi();
	assert_int_equal(status, BIT(63));
	assert_int_equal(read_global(PMU_STATUS), PMU_STATUS_PEBS | BIT(63));
	pmu_nmi_injected(&cpu);
	assert_int_equal(status, PMU_STATUS_PEBS | BIT(63));
	pmu_window_end(&cpu);
	assert_true(pmu_write_global(&cpu, PMU_STATUS_CLEAR, BIT(63)));
	assert_int_equal(read_global(PMU_STATUS), PMU_STATUS_PEBS);
}

static void so_are_metrics(void **state)
{
	(void)state;
	status = PMU_METRICS | HOST;
	pmi();
	assert_true(cpu.nmi.pending);
	assert_int_equal(read_global(PMU_STATUS), PMU_METRICS);
}

static void an_armed_counter_may_interrupt_too(void **state)
{
	(void)state;
	enable_pebs(BIT(1));
	interrupting = BIT(1);
	status = BIT(1) | HOST;
	pmi();
	assert_true(cpu.nmi.pending);
	assert_int_equal(status, BIT(1));
}

static void a_full_buffer_freezes(void **state)
{
	(void)state;
	pmu_write_freeze(&cpu, PMU_STATUS_CTR_FROZEN);
	assert_true(pmu_write_global(&cpu, PMU_CTRL, BITS(3, 0)));
	assert_int_equal(cpu.pmu.gate.guest_ctrl, BITS(3, 0) | HOST);
	status = PMU_STATUS_PEBS;
	pmi();
	assert_int_equal(read_global(PMU_STATUS), PMU_STATUS_PEBS | PMU_STATUS_CTR_FROZEN);
	assert_int_equal(cpu.pmu.gate.guest_ctrl, HOST);
	assert_true(pmu_write_global(&cpu, PMU_STATUS_CLEAR, PMU_STATUS_PEBS | PMU_STATUS_CTR_FROZEN));
	assert_int_equal(cpu.pmu.gate.guest_ctrl, BITS(3, 0) | HOST);
}

/* A masked PMI: nothing exits, and the status is the hardware's alone. */
static void status_is_there_without_a_pmi(void **state)
{
	(void)state;
	status = PMU_STATUS_PEBS | BIT(2) | HOST;
	assert_int_equal(read_global(PMU_STATUS), PMU_STATUS_PEBS | BIT(2));
	assert_true(pmu_write_global(&cpu, PMU_STATUS_CLEAR, PMU_STATUS_PEBS | BIT(2)));
	assert_int_equal(status, HOST);
	assert_int_equal(read_global(PMU_STATUS), 0);
}

/* `lbr = host`: what is in the hardware is the host's, what the guest sets and clears is in memory. */
static void the_host_s_freeze_is_not_the_guest_s(void **state)
{
	(void)state;
	cpu.pmu.lbr.hosts = true;
	pmu_update_gate(&cpu.pmu);
	status = PMU_STATUS_LBR_FROZEN | HOST;
	assert_int_equal(read_global(PMU_STATUS), 0);
	assert_true(pmu_write_global(&cpu, PMU_STATUS_SET, PMU_STATUS_LBR_FROZEN));
	assert_int_equal(read_global(PMU_STATUS), PMU_STATUS_LBR_FROZEN);
	assert_true(pmu_write_global(&cpu, PMU_STATUS_CLEAR, PMU_STATUS_LBR_FROZEN));
	assert_int_equal(read_global(PMU_STATUS), 0);
	assert_int_equal(status, PMU_STATUS_LBR_FROZEN | HOST);
}

static void setting_the_bit_arms(void **state)
{
	(void)state;
	enable_pebs(BIT(1));
	assert_true(pmu_write_global(&cpu, PMU_STATUS_SET, BIT(0) | BIT(1) | PMU_STATUS_PEBS));
	assert_int_equal(status, BIT(1));
	assert_int_equal(cpu.pmu.guest_status, BIT(0) | PMU_STATUS_PEBS);
	assert_false(pmu_write_global(&cpu, PMU_STATUS_SET, HOST));
}

static void so_does_an_emulated_wrap(void **state)
{
	(void)state;
	enable_pebs(BIT(1));
	assert_true(pmu_write_global(&cpu, PMU_CTRL, BITS(2, 0)));
	counters[0] = counters[1] = BITS(47, 0);
	pmu_emulated(&cpu);
	assert_int_equal(counters[0] | counters[1], 0);
	assert_int_equal(counters[2], 1);
	assert_int_equal(status, BIT(1));
	assert_int_equal(cpu.pmu.guest_status, BIT(0));
	assert_false(cpu.nmi.pending);
}

static void a_window_leaves_armed_bits_alone(void **state)
{
	(void)state;
	enable_pebs(BIT(1));
	status = PMU_STATUS_PEBS | BIT(1);
	pmi();
	pmu_nmi_injected(&cpu);
	assert_true(cpu.pmu.window);
	assert_int_equal(status, PMU_STATUS_PEBS | BIT(1));
	status |= BIT(2) | BIT(3);
	pebs_exited(&cpu.pmu, BIT(2)); /* what the handler wrote, as the exit at its end finds it */
	pmu_window_end(&cpu);
	assert_int_equal(status, BIT(2));
	assert_int_equal(cpu.pmu.guest_status, PMU_STATUS_PEBS | BIT(1) | BIT(3));
}

/* Both struck in root mode: one is the host's, and its LVTPC is masked, the other somebody else's. */
static void nmis_in_root_mode_are_told_apart(void **state)
{
	(void)state;
	cpu.nmi.in_root = 2;
	status = HOST;
	lvtpc |= LVT_MASKED;
	pmu_root_nmis(&cpu);
	assert_int_equal(cpu.nmi.in_root, 0);
	assert_int_equal(cpu.nmi.pending, 1);
	assert_int_equal(cpu.pmu.stats.root_nmis, 2);
	assert_int_equal(cpu.pmu.stats.host_pmis, 1);
	assert_int_equal(cpu.pmu.stats.guest_nmis, 1);
	assert_int_equal(lvtpc, LVT_NMI);
}

/* One sample for each PMI of an event that samples; where it struck is forgotten with it. */
static void a_host_pmi_is_a_sample(void **state)
{
	(void)state;
	status = HOST | BIT(7);
	pmi();
	assert_int_equal(samples, 1);
	assert_int_equal(sampled, HOST);
	assert_int_equal(sampled_rip, 0);
	cpu.nmi.in_root = 1;
	cpu.nmi.root_rip = HV_BASE;
	status = HOST;
	lvtpc |= LVT_MASKED;
	pmu_root_nmis(&cpu);
	assert_int_equal(samples, 2);
	assert_int_equal(sampled_rip, HV_BASE);
	assert_int_equal(cpu.nmi.root_rip, 0);
}

static void no_other_pmi_is(void **state)
{
	(void)state;
	cpu.nmi.root_rip = HV_BASE;
	status = BIT(0) | BIT(7);
	pmi();
	assert_int_equal(cpu.nmi.root_rip, 0);
	pmu_nmi_injected(&cpu);
	pmu_nmi(&cpu);
	assert_int_equal(samples, 0);
}

/* What counts goes on, what was under way ends. */
static void init_leaves_the_counters_alone(void **state)
{
	(void)state;
	enable_pebs(BIT(1));
	assert_true(pmu_write_global(&cpu, PMU_CTRL, BITS(2, 0)));
	assert_true(pmu_write_global(&cpu, PMU_STATUS_SET, BIT(0)));
	counters[0] = 77;
	status |= BIT(2);
	pmi();
	assert_true(cpu.nmi.pending && cpu.nmi.window);
	pmu_reset(&cpu);
	assert_false(cpu.nmi.pending || cpu.nmi.window || cpu.pmu.window || cpu.pmu.gate.nmi_window);
	assert_int_equal(cpu.pmu.guest_ctrl, BITS(2, 0));
	assert_int_equal(cpu.pmu.guest_status, BIT(0) | BIT(2));
	assert_int_equal(counters[0], 77);
	assert_int_equal(cpu.pmu.gate.pebs_enable, 0);
	assert_int_equal(cpu.pmu.guest_lvtpc, LVT_MASKED);
	assert_int_equal(lvtpc, LVT_NMI); /* the host has a period */
}

static void init_ends_a_window(void **state)
{
	(void)state;
	status |= BIT(2);
	pmi();
	pmu_nmi_injected(&cpu);
	assert_true(cpu.pmu.window);
	pmu_reset(&cpu);
	assert_false(cpu.pmu.window || cpu.pmu.gate.open || cpu.pmu.gate.nmi_window);
	assert_int_equal(cpu.pmu.guest_status, BIT(2));
}

static void init_in_direct_mode(void **state)
{
	(void)state;
	pmu_host_enable(&cpu, false);
	pmu_nmi(&cpu);
	lvtpc = LVT_NMI;
	pmu_reset(&cpu);
	assert_int_equal(lvtpc, LVT_MASKED);
	assert_int_equal(cpu.nmi.pending, 0);
	assert_true(cpu.pmu.gate.open);
}

/* From an INIT on the APIC is software-disabled, and what overflows sends no NMI until the guest sets LVTPC up again. */
static void lvtpc_finds_what_came_while_it_could_not(void **state)
{
	(void)state;
	pmu_reset(&cpu);
	lvtpc = LVT_MASKED;
	status |= HOST;
	counters[6] = 5;
	assert_true(pmu_write_lvtpc(&cpu, LVT_MASKED));
	assert_int_equal(lvtpc, LVT_NMI);
	assert_int_equal(status & HOST, 0);
	assert_int_equal(cpu.pmu.stats.host_late, 1);
	assert_true(counters[6] > 5);
}

/* Its entry is masked then, and says nothing of whether an NMI was a PMI. */
static void an_nmi_while_the_apic_is_disabled_is_the_guest_s(void **state)
{
	(void)state;
	pmu_reset(&cpu);
	lvtpc = LVT_MASKED | LVT_NMI;
	apic_enabled = false;
	pmu_nmi(&cpu);
	assert_true(cpu.nmi.pending);
	assert_int_equal(cpu.pmu.stats.guest_nmis, 1);
	assert_int_equal(cpu.pmu.stats.guest_pmis, 0);
}

static void modes_change_around_armed_bits(void **state)
{
	(void)state;
	enable_pebs(BIT(1));
	status = BIT(1);
	cpu.pmu.guest_status = BIT(0);
	pmu_host_enable(&cpu, false);
	assert_int_equal(status, BIT(0) | BIT(1));
	pmu_host_enable(&cpu, true);
	assert_int_equal(status, BIT(1));
	assert_int_equal(cpu.pmu.guest_status, BIT(0));
}

static void in_use_with_pebs(void **state)
{
	(void)state;
	inuse = COUNTERS;
	assert_int_equal(read_global(PMU_INUSE), BITS(5, 0) | BITS(35, 32));
	assert_false(inuse_pebs);
	enable_pebs(BIT(1));
	read_global(PMU_INUSE);
	assert_true(inuse_pebs);
}

static void metrics_go_with_their_counter(void **state)
{
	(void)state;
	assert_true(pmu_write_global(&cpu, PMU_CTRL, PMU_METRICS | BIT(35)));
	assert_int_equal(read_global(PMU_CTRL), PMU_METRICS | BIT(35));
	assert_int_equal(cpu.pmu.gate.guest_ctrl, PMU_METRICS | BIT(35) | HOST);
	assert_int_equal(cpu.pmu.gate.host_ctrl & PMU_METRICS, 0);
	counters[35] = 5;
	pmu_emulated(&cpu); /* bit 48 is no counter */
	assert_int_equal(counters[35], 6);
	setup(NULL);
	config.host_fixed = 1 << 3;
	memset(&cpu.pmu, 0, sizeof(cpu.pmu));
	assert_true(pmu_init(&cpu, &pmu_ops, &config));
	assert_false(pmu_write_global(&cpu, PMU_CTRL, PMU_METRICS));
	assert_false(pmu_write_global(&cpu, PMU_STATUS_CLEAR, PMU_METRICS));
	assert_false(pmu_write_global(&cpu, PMU_STATUS_SET, PMU_METRICS));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(armed_bits_stay_at_a_host_pmi, setup),
		cmocka_unit_test_setup(a_full_buffer_is_a_pmi_of_the_guest, setup),
		cmocka_unit_test_setup(an_uncore_pmi_is_the_guest_s, setup),
		cmocka_unit_test_setup(what_cannot_be_set_stays, setup),
		cmocka_unit_test_setup(so_are_metrics, setup),
		cmocka_unit_test_setup(an_armed_counter_may_interrupt_too, setup),
		cmocka_unit_test_setup(a_full_buffer_freezes, setup),
		cmocka_unit_test_setup(status_is_there_without_a_pmi, setup),
		cmocka_unit_test_setup(the_host_s_freeze_is_not_the_guest_s, setup),
		cmocka_unit_test_setup(setting_the_bit_arms, setup),
		cmocka_unit_test_setup(so_does_an_emulated_wrap, setup),
		cmocka_unit_test_setup(a_window_leaves_armed_bits_alone, setup),
		cmocka_unit_test_setup(nmis_in_root_mode_are_told_apart, setup),
		cmocka_unit_test_setup(a_host_pmi_is_a_sample, setup),
		cmocka_unit_test_setup(no_other_pmi_is, setup),
		cmocka_unit_test_setup(init_leaves_the_counters_alone, setup),
		cmocka_unit_test_setup(init_ends_a_window, setup),
		cmocka_unit_test_setup(init_in_direct_mode, setup),
		cmocka_unit_test_setup(lvtpc_finds_what_came_while_it_could_not, setup),
		cmocka_unit_test_setup(an_nmi_while_the_apic_is_disabled_is_the_guest_s, setup),
		cmocka_unit_test_setup(modes_change_around_armed_bits, setup),
		cmocka_unit_test_setup(in_use_with_pebs, setup),
		cmocka_unit_test_setup(metrics_go_with_their_counter, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
