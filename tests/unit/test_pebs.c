/* When PEBS_ENABLE is switched, and where the status bits of armed counters are, with the two registers played here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "hv/pmu_private.h"

#define GUEST (BITS(5, 0) | BITS(34, 32))
#define HOST  (BITS(7, 6) | BIT(35))

static struct pmu pmu;
static uint64_t hardware_status, hardware_enable;

static uint64_t read_status(void)
{
	return hardware_status;
}

static void set_status(uint64_t bits)
{
	hardware_status |= bits;
}

static uint64_t read_enable(void)
{
	return hardware_enable;
}

static void write_enable(uint64_t counters)
{
	hardware_enable = counters;
}

static const struct pmu_ops ops = {
	.status = read_status,
	.set_status = set_status,
	.pebs_enabled = read_enable,
	.pebs_enable = write_enable,
};

uint64_t pmu_take_status(struct pmu *owner, uint64_t status)
{
	assert_ptr_equal(owner, &pmu);
	hardware_status &= ~status;
	return status;
}

static int setup(void **state)
{
	(void)state;
	pmu = (struct pmu){ .ops = &ops, .guest = GUEST, .host = HOST };
	pmu.caps = (struct pmu_caps){ .counters = GUEST | HOST, .pebs = true, .pebs_ept_friendly = true };
	hardware_status = hardware_enable = 0;
	pebs_init(&pmu, CONFIG_PEBS_AUTO);
	pmu.gate.dirty = false;
	return 0;
}

static enum pebs_offer offered(bool pebs, bool friendly, enum config_pebs wanted)
{
	pmu.caps.pebs = pebs;
	pmu.caps.pebs_ept_friendly = friendly;
	pebs_init(&pmu, wanted);
	return pmu.pebs.offer;
}

static void offers(void **state)
{
	(void)state;
	assert_int_equal(offered(true, true, CONFIG_PEBS_AUTO), PEBS_OFFERED);
	assert_int_equal(offered(true, false, CONFIG_PEBS_AUTO), PEBS_UNSAFE);
	assert_int_equal(offered(true, false, CONFIG_PEBS_ON), PEBS_OFFERED);
	assert_int_equal(offered(true, true, CONFIG_PEBS_OFF), PEBS_OFF);
	assert_int_equal(offered(false, false, CONFIG_PEBS_ON), PEBS_ABSENT);
	assert_int_equal(offered(false, false, CONFIG_PEBS_OFF), PEBS_ABSENT);
}

static void the_firmware_s_value_is_the_guest_s(void **state)
{
	(void)state;
	hardware_enable = BIT(0) | BIT(7);
	pebs_init(&pmu, CONFIG_PEBS_AUTO);
	assert_true(pmu.gate.pebs_active);
	assert_int_equal(pmu.gate.pebs_enable, BIT(0));
	assert_int_equal(hardware_enable, 0);
	setup(NULL);
	hardware_enable = BIT(0);
	pebs_init(&pmu, CONFIG_PEBS_OFF);
	assert_false(pmu.gate.pebs_active);
	assert_int_equal(hardware_enable, 0);
}

static void first_use_begins_it(void **state)
{
	(void)state;
	assert_true(pebs_write_enable(&pmu, 0));
	assert_false(pmu.gate.pebs_active);
	assert_int_equal(pmu.pebs.stats.starts, 0);
	assert_true(pebs_write_enable(&pmu, GUEST));
	assert_true(pmu.gate.pebs_active && pmu.gate.dirty);
	assert_int_equal(pmu.gate.pebs_enable, GUEST);
	assert_int_equal(pmu.pebs.stats.starts, 1);
	assert_false(pebs_write_enable(&pmu, GUEST | BIT(6)));
	assert_false(pebs_write_enable(&pmu, BIT(35)));
	assert_false(pebs_write_enable(&pmu, BIT(60)));
	assert_int_equal(pmu.gate.pebs_enable, GUEST);
}

static void an_exit_learns_what_the_guest_wrote(void **state)
{
	(void)state;
	pebs_write_enable(&pmu, BIT(0));
	pmu.gate.dirty = false;
	pebs_exited(&pmu, BIT(0));
	assert_false(pmu.gate.dirty);
	pebs_exited(&pmu, BIT(1));
	assert_true(pmu.gate.dirty);
	assert_int_equal(pmu.gate.pebs_enable, BIT(1));
	pmu.gate.dirty = false;
	pebs_exited(&pmu, BIT(1) | BIT(7) | BIT(35)); /* while open it can write anything */
	assert_int_equal(pmu.gate.pebs_enable, BIT(1));
	assert_int_equal(pmu.stats.hidden_writes, 1);
	assert_int_equal(pmu.pebs.stats.exits, 3);
}

static void idle_exits_end_it(void **state)
{
	(void)state;
	pebs_write_enable(&pmu, BIT(0));
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 1; i < PEBS_IDLE_EXITS; i++)
			pebs_exited(&pmu, 0);
		assert_true(pmu.gate.pebs_active);
		pebs_exited(&pmu, BIT(0)); /* a profiler that stops and starts pays nothing */
	}
	for (unsigned i = 0; i < PEBS_IDLE_EXITS; i++) {
		assert_true(pmu.gate.pebs_active);
		pebs_exited(&pmu, 0);
	}
	assert_false(pmu.gate.pebs_active);
	assert_true(pmu.gate.dirty);
	assert_int_equal(pmu.pebs.stats.starts, 1);
	pebs_write_enable(&pmu, BIT(0));
	assert_true(pmu.gate.pebs_active);
	assert_int_equal(pmu.pebs.stats.starts, 2);
}

/* Closed: the bits of armed counters in the hardware, of all others in memory. */
static void status_bits_follow_the_enable_bits(void **state)
{
	(void)state;
	pmu.shared = true;
	pmu.guest_status = BIT(0) | BIT(1) | PMU_STATUS_PEBS;
	pebs_write_enable(&pmu, BIT(1) | BIT(2));
	assert_int_equal(pmu.guest_status, BIT(0) | PMU_STATUS_PEBS);
	assert_int_equal(hardware_status, BIT(1));
	hardware_status |= BIT(2) | BIT(3); /* one wraps, armed; another has just overflowed */
	pebs_write_enable(&pmu, BIT(1));
	assert_int_equal(pmu.guest_status, BIT(0) | BIT(2) | PMU_STATUS_PEBS);
	assert_int_equal(hardware_status, BIT(1) | BIT(3));
	pebs_write_enable(&pmu, BIT(2));
	assert_int_equal(pmu.guest_status, BIT(0) | BIT(1) | PMU_STATUS_PEBS);
	assert_int_equal(hardware_status, BIT(2) | BIT(3));
}

static void open_they_are_the_hardware_s(void **state)
{
	(void)state;
	hardware_status = BIT(0);
	pebs_write_enable(&pmu, BIT(0));
	pebs_write_enable(&pmu, 0);
	assert_int_equal(hardware_status, BIT(0));
	assert_int_equal(pmu.guest_status, 0);
}

static void ds_areas(void **state)
{
	(void)state;
	assert_false(pebs_is_used(&pmu.pebs));
	assert_true(pebs_accept_ds_area(&pmu, MEMORY_WRITABLE));
	assert_true(pebs_accept_ds_area(&pmu, MEMORY_UNMAPPED));
	assert_true(pebs_accept_ds_area(&pmu, MEMORY_HIDDEN));
	assert_true(pebs_accept_ds_area(&pmu, MEMORY_UNKNOWN));
	assert_true(pebs_is_used(&pmu.pebs));
	pmu.caps.pebs_ept_friendly = false;
	assert_true(pebs_accept_ds_area(&pmu, MEMORY_WRITABLE));
	assert_true(pebs_accept_ds_area(&pmu, MEMORY_UNMAPPED)); /* of no harm to anyone else */
	assert_false(pebs_accept_ds_area(&pmu, MEMORY_HIDDEN));
	assert_false(pebs_accept_ds_area(&pmu, MEMORY_UNKNOWN));
	assert_int_equal(pmu.pebs.stats.ds_areas, 6);
	assert_int_equal(pmu.pebs.stats.ds_unmapped, 2);
	assert_int_equal(pmu.pebs.stats.ds_hidden, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(offers, setup),
		cmocka_unit_test_setup(the_firmware_s_value_is_the_guest_s, setup),
		cmocka_unit_test_setup(first_use_begins_it, setup),
		cmocka_unit_test_setup(an_exit_learns_what_the_guest_wrote, setup),
		cmocka_unit_test_setup(idle_exits_end_it, setup),
		cmocka_unit_test_setup(status_bits_follow_the_enable_bits, setup),
		cmocka_unit_test_setup(open_they_are_the_hardware_s, setup),
		cmocka_unit_test_setup(ds_areas, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
