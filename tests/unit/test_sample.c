/* Samples: what is put into a CPU's ring comes out of it, in order; what finds it full is counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/reg.h"
#include "hv/cpu.h"
#include "hv/dump.h"

#define NR_CPUS  2
#define ROOT_RIP (HV_BASE + 0x1234)

static struct sample_ring rings[NR_CPUS];
static struct boot_info boot;
static struct cpu cpu;
static uint64_t tsc, rip, cpl;
static unsigned waits;

uint64_t reg_rdtsc(void)
{
	return tsc;
}

static uint64_t read_guest(struct cpu *read, enum guest_register reg)
{
	assert_ptr_equal(read, &cpu);
	if (reg == GUEST_CR3)
		return 0x7000;
	assert_true(reg == GUEST_RIP || reg == GUEST_CPL);
	return reg == GUEST_RIP ? rip : cpl;
}

void dump_samples_wait(struct cpu *waits_for)
{
	assert_ptr_equal(waits_for, &cpu);
	waits++;
}

static const struct hv_ops ops = { .read = read_guest };

/* Events 0 and 2 have a period; 0 counts the guest alone. */
static int setup(void **state)
{
	(void)state;
	memset(rings, 0, sizeof(rings));
	boot = (struct boot_info){ .sample_rings = (uintptr_t)rings, .nr_cpus = NR_CPUS };
	cpu = (struct cpu){ .id = 1, .boot = &boot, .ops = &ops };
	cpu.pmu.nr_events = 3;
	for (unsigned i = 0; i < 3; i++)
		cpu.pmu.events[i].counter = 7 - i;
	cpu.pmu.host_in_guest = BIT(7);
	cpu.pmu.host_in_host = BIT(5);
	cpu.pmu.lbr.caps.entries = 32;
	tsc = 1000;
	rip = 0x401000;
	cpl = 3;
	waits = 0;
	return 0;
}

static void no_ring_no_sample(void **state)
{
	(void)state;
	boot.sample_rings = 0;
	assert_null(sample_ring_of(&cpu));
	sample_take(&cpu, BIT(7), false);
	assert_int_equal(waits, 0);
}

static void one_sample_of_each_event(void **state)
{
	const struct sample *sample;

	(void)state;
	sample_take(&cpu, BIT(7) | BIT(5), false);
	assert_int_equal(rings[0].taken, 0);
	assert_int_equal(rings[1].taken, 2);
	assert_int_equal(waits, 0);
	for (unsigned event = 0; event < 3; event += 2) {
		sample = sample_peek(&rings[1]);
		assert_non_null(sample);
		assert_int_equal(sample->event, event);
		assert_int_equal(sample->tsc, 1000);
		assert_int_equal(sample->rip, 0x401000);
		assert_int_equal(sample->cr3, 0x7000);
		assert_int_equal(sample->cpl, 3);
		assert_false(sample->root);
		assert_int_equal(sample->nr_branches, 0);
		sample_drop(&rings[1]);
	}
	assert_null(sample_peek(&rings[1]));
	assert_int_equal(rings[1].sent, 2);
}

/* Where the NMI struck, if the event counts there. */
static void root_mode_is_told_apart(void **state)
{
	const struct sample *sample;

	(void)state;
	cpu.nmi.root_rip = ROOT_RIP;
	sample_take(&cpu, BIT(7) | BIT(5), false);
	sample = sample_peek(&rings[1]);
	assert_non_null(sample);
	assert_false(sample->root);
	assert_int_equal(sample->rip, 0x401000);
	sample_drop(&rings[1]);
	sample = sample_peek(&rings[1]);
	assert_non_null(sample);
	assert_true(sample->root);
	assert_int_equal(sample->rip, ROOT_RIP);
	assert_int_equal(sample->cpl, 0);
	assert_int_equal(sample->cr3, 0x7000);
}

static void branches_of_this_capture(void **state)
{
	const struct sample *sample;

	(void)state;
	boot.config.sample_branches = 4;
	for (unsigned i = 0; i < 6; i++)
		cpu.pmu.lbr.branches[i] = (struct lbr_branch){ i, 10 * i };
	cpu.pmu.lbr.nr_branches = 6;
	assert_int_equal(sample_branches(&cpu), 0); /* they aren't the host's */
	cpu.pmu.lbr.hosts = true;
	assert_int_equal(sample_branches(&cpu), 4);
	sample_take(&cpu, BIT(7), false);
	sample_take(&cpu, BIT(7), true);
	cpu.pmu.lbr.nr_branches = 3;
	sample_take(&cpu, BIT(7), true);
	for (unsigned n = 0; n < 3; n++) {
		static const unsigned expected[] = { 0, 4, 3 };

		sample = sample_peek(&rings[1]);
		assert_non_null(sample);
		assert_int_equal(sample->nr_branches, expected[n]);
		for (unsigned i = 0; i < sample->nr_branches; i++) {
			assert_int_equal(sample_branch(&rings[1], i)->from, i);
			assert_int_equal(sample_branch(&rings[1], i)->to, 10 * i);
		}
		sample_drop(&rings[1]);
	}
}

/* Samples of two sizes go round many times, the reader now behind, now ahead; none is torn or lost without a count. */
static void round_and_round(void **state)
{
	const struct sample *sample;
	uint64_t taken = 0, seen = 0;

	(void)state;
	boot.config.sample_branches = 32;
	cpu.pmu.lbr.hosts = true;
	cpu.pmu.lbr.nr_branches = 32;
	for (uint64_t round = 0; round < 20000; round++) {
		tsc = rip = round;
		for (unsigned i = 0; i < 32; i++)
			cpu.pmu.lbr.branches[i] = (struct lbr_branch){ round + i, round - i };
		sample_take(&cpu, BIT(7), round % 3 == 0);
		assert_int_equal(rings[1].taken + rings[1].lost, round + 1);
		for (unsigned i = 0; i < round / 500 % 4 && sample_peek(&rings[1]); i++) {
			sample = sample_peek(&rings[1]);
			assert_int_equal(sample->rip, sample->tsc);
			assert_true(sample->tsc >= seen);
			seen = sample->tsc + 1;
			assert_int_equal(sample->nr_branches, sample->tsc % 3 == 0 ? 32 : 0);
			for (unsigned j = 0; j < sample->nr_branches; j++) {
				assert_int_equal(sample_branch(&rings[1], j)->from, sample->tsc + j);
				assert_int_equal(sample_branch(&rings[1], j)->to, sample->tsc - j);
			}
			sample_drop(&rings[1]);
			taken++;
		}
	}
	while (sample_peek(&rings[1])) {
		sample_drop(&rings[1]);
		taken++;
	}
	assert_true(rings[1].lost > 0);
	assert_int_equal(rings[1].taken, taken);
	assert_int_equal(rings[1].sent, taken);
	assert_int_equal(rings[1].head, rings[1].tail);
}

static void a_full_ring_keeps_what_it_has(void **state)
{
	const struct sample *sample;

	(void)state;
	for (tsc = 0; tsc < SAMPLE_SLOTS + 10; tsc++)
		sample_take(&cpu, BIT(7), false);
	assert_int_equal(rings[1].taken, SAMPLE_SLOTS);
	assert_int_equal(rings[1].lost, 10);
	assert_int_equal(waits, SAMPLE_SLOTS + 10 - SAMPLE_ENOUGH + 1); /* since there are enough to send */
	sample = sample_peek(&rings[1]);
	assert_non_null(sample);
	assert_int_equal(sample->tsc, 0);
	sample_drop(&rings[1]);
	sample_take(&cpu, BIT(7), false);
	assert_int_equal(rings[1].taken, SAMPLE_SLOTS + 1);
}

static int64_t take(void)
{
	cpu.guest = (struct regs){ .rdx = 1, .rsi = 2, .rdi = 3, .rbx = 4 };
	return guest_sample_take(&cpu);
}

static void nothing_is_returned(int64_t error, int64_t expected)
{
	assert_int_equal(error, expected);
	assert_int_equal(cpu.guest.rdx, 1);
	assert_int_equal(cpu.guest.rsi, 2);
	assert_int_equal(cpu.guest.rdi, 3);
	assert_int_equal(cpu.guest.rbx, 4);
}

static void the_guest_takes_them_one_by_one(void **state)
{
	(void)state;
	boot.config.samples = CONFIG_SAMPLES_GUEST;
	nothing_is_returned(take(), PMUVISOR_E_NONE);
	cpu.nmi.root_rip = ROOT_RIP;
	sample_take(&cpu, BIT(7) | BIT(5), false);
	assert_int_equal(take(), 0);
	assert_int_equal(cpu.guest.rdx, 1000);
	assert_int_equal(cpu.guest.rsi, 0x401000);
	assert_int_equal(cpu.guest.rdi, 0x7000);
	assert_int_equal(cpu.guest.rbx, 0x300);
	assert_int_equal(take(), 0);
	assert_int_equal(cpu.guest.rsi, ROOT_RIP);
	assert_int_equal(cpu.guest.rbx, 0x402);
	nothing_is_returned(take(), PMUVISOR_E_NONE);
	assert_int_equal(rings[1].sent, 2);
}

static void those_on_the_serial_line_are_not_the_guest_s(void **state)
{
	(void)state;
	boot.config.samples = CONFIG_SAMPLES_SERIAL;
	sample_take(&cpu, BIT(7), false);
	nothing_is_returned(take(), PMUVISOR_E_SAMPLES);
	boot.config.samples = CONFIG_SAMPLES_OFF;
	boot.sample_rings = 0;
	nothing_is_returned(take(), PMUVISOR_E_SAMPLES);
	assert_int_equal(rings[1].sent, 0);
}

/* Of the one that was taken, whatever comes into the ring then. */
static void and_its_branches_by_two(void **state)
{
	(void)state;
	boot.config.samples = CONFIG_SAMPLES_GUEST;
	boot.config.sample_branches = 3;
	cpu.pmu.lbr.hosts = true;
	cpu.pmu.lbr.nr_branches = 3;
	for (unsigned i = 0; i < 3; i++)
		cpu.pmu.lbr.branches[i] = (struct lbr_branch){ 11 + i, 21 + i };
	sample_take(&cpu, BIT(7), true);
	assert_int_equal(take(), 0);
	assert_int_equal(cpu.guest.rbx, 0x30300);
	cpu.pmu.lbr.nr_branches = 0;
	sample_take(&cpu, BIT(7), true);
	for (unsigned n = 0; n < 3; n += 2) {
		cpu.guest.rdx = n;
		assert_int_equal(guest_sample_branches(&cpu), 0);
		assert_int_equal(cpu.guest.rdx, 11 + n);
		assert_int_equal(cpu.guest.rsi, 21 + n);
		assert_int_equal(cpu.guest.rdi, n ? 0 : 12);
		assert_int_equal(cpu.guest.rbx, n ? 0 : 22);
	}
	cpu.guest = (struct regs){ .rdx = 3, .rsi = 2, .rdi = 3, .rbx = 4 };
	assert_int_equal(guest_sample_branches(&cpu), PMUVISOR_E_ARGUMENT);
	assert_int_equal(cpu.guest.rsi, 2);
	assert_int_equal(take(), 0);
	cpu.guest.rdx = 0;
	assert_int_equal(guest_sample_branches(&cpu), PMUVISOR_E_ARGUMENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(no_ring_no_sample, setup),
		cmocka_unit_test_setup(one_sample_of_each_event, setup),
		cmocka_unit_test_setup(root_mode_is_told_apart, setup),
		cmocka_unit_test_setup(branches_of_this_capture, setup),
		cmocka_unit_test_setup(round_and_round, setup),
		cmocka_unit_test_setup(a_full_ring_keeps_what_it_has, setup),
		cmocka_unit_test_setup(the_guest_takes_them_one_by_one, setup),
		cmocka_unit_test_setup(those_on_the_serial_line_are_not_the_guest_s, setup),
		cmocka_unit_test_setup(and_its_branches_by_two, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
