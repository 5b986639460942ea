/* Whose the LBRs are, and when: the registers are played here by one number, what they hold by its owner. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "hv/pmu_private.h"

#define GUEST_EVENT BIT(6) /* of the host's, in the guest */
#define ROOT_EVENT  BIT(7) /* and in root mode */
#define FIRMWARES   0x11
#define EMPTY       0
#define GUESTS      0x22
#define HOSTS       0x33

static struct pmu pmu;
static uint64_t hardware_status;
static uint8_t hardware; /* what the LBRs hold */
static bool recording, present, switchable;
static unsigned switches;

static bool ident(struct lbr_caps *caps)
{
	caps->entries = 16;
	caps->switchable = switchable;
	return present;
}

static bool absent(struct lbr_caps *caps)
{
	(void)caps;
	return false;
}

static void record(bool on)
{
	recording = on;
}

static void clear(unsigned entries)
{
	assert_int_equal(entries, 16);
	assert_false(recording);
	hardware = EMPTY;
}

static void save(struct lbr_state *state, unsigned entries)
{
	state->bytes[0] = hardware;
	clear(entries);
	switches++;
}

static void load(const struct lbr_state *state, unsigned entries)
{
	assert_int_equal(entries, 16);
	assert_false(recording);
	hardware = state->bytes[0];
	switches++;
}

static unsigned read_branches(struct lbr_branch branches[LBR_MAX_ENTRIES], unsigned entries)
{
	assert_int_equal(entries, 16);
	branches[0] = (struct lbr_branch){ .from = hardware, .to = 1 };
	return 1;
}

static const struct lbr_ops kind = {
	.ident = ident,
	.record = record,
	.clear = clear,
	.save = save,
	.load = load,
	.read = read_branches,
	.debugctl = 1,
};
static const struct lbr_ops other_kind = { .ident = absent };

static uint64_t read_status(void)
{
	return hardware_status;
}

static void clear_status(uint64_t bits)
{
	hardware_status &= ~bits;
}

static void set_status(uint64_t bits)
{
	hardware_status |= bits;
}

static const struct pmu_ops ops = {
	.status = read_status,
	.clear_status = clear_status,
	.set_status = set_status,
	.lbr = { &other_kind, &kind },
};

static void start(enum config_lbr owner, uint64_t sampling)
{
	pmu = (struct pmu){ .ops = &ops, .shared = sampling != 0, .host_sampling = sampling };
	pmu.host_in_guest = sampling & GUEST_EVENT;
	pmu.host_in_host = sampling & ROOT_EVENT;
	hardware_status = 0;
	hardware = FIRMWARES;
	recording = true;
	switches = 0;
	lbr_init(&pmu, owner);
	lbr_update_gate(&pmu);
}

static int setup(void **state)
{
	(void)state;
	present = switchable = true;
	return 0;
}

static void nothing_records_at_first(void **state)
{
	static const enum config_lbr all[] = { CONFIG_LBR_GUEST, CONFIG_LBR_HOST, CONFIG_LBR_BOTH };

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(all); i++) {
		start(all[i], 0);
		assert_false(recording || pmu.gate.records || pmu.lbr.root);
		assert_int_equal(hardware, all[i] == CONFIG_LBR_HOST ? EMPTY : FIRMWARES);
	}
}

static void owners(void **state)
{
	(void)state;
	start(CONFIG_LBR_GUEST, GUEST_EVENT | ROOT_EVENT);
	assert_true(pmu.lbr.guests && !pmu.lbr.hosts);
	start(CONFIG_LBR_HOST, GUEST_EVENT | ROOT_EVENT);
	assert_true(!pmu.lbr.guests && pmu.lbr.hosts);
	start(CONFIG_LBR_BOTH, GUEST_EVENT | ROOT_EVENT);
	assert_true(pmu.lbr.guests && pmu.lbr.hosts);
}

/* Without a way to stop them at an exit they are nobody's. */
static void what_cannot_be_switched_is_nobody_s(void **state)
{
	static const enum config_lbr all[] = { CONFIG_LBR_GUEST, CONFIG_LBR_HOST, CONFIG_LBR_BOTH };

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(all); i++) {
		present = true;
		switchable = false;
		start(all[i], GUEST_EVENT | ROOT_EVENT);
		assert_false(pmu.lbr.guests || pmu.lbr.hosts || pmu.lbr.root || pmu.gate.records);
		present = false;
		switchable = true;
		start(all[i], GUEST_EVENT | ROOT_EVENT);
		assert_false(pmu.lbr.guests || pmu.lbr.hosts || pmu.lbr.root || pmu.gate.records);
	}
}

static void the_guest_s_are_never_taken(void **state)
{
	(void)state;
	start(CONFIG_LBR_GUEST, GUEST_EVENT | ROOT_EVENT);
	assert_false(pmu.lbr.root || pmu.gate.records);
	assert_true(pmu.status_stays & PMU_STATUS_LBR_FROZEN);
}

static void the_host_s_record_where_it_samples(void **state)
{
	(void)state;
	start(CONFIG_LBR_HOST, GUEST_EVENT);
	assert_true(pmu.gate.records && !pmu.lbr.root);
	start(CONFIG_LBR_HOST, ROOT_EVENT);
	assert_true(!pmu.gate.records && pmu.lbr.root);
	start(CONFIG_LBR_HOST, 0);
	assert_false(pmu.gate.records || pmu.lbr.root);
	assert_false(pmu.status_stays & PMU_STATUS_LBR_FROZEN);
}

static void shared_ones_are_the_guest_s_in_the_guest(void **state)
{
	(void)state;
	start(CONFIG_LBR_BOTH, GUEST_EVENT);
	assert_false(pmu.gate.records || pmu.lbr.root);
	start(CONFIG_LBR_BOTH, GUEST_EVENT | ROOT_EVENT);
	assert_true(!pmu.gate.records && pmu.lbr.root);
}

/* The host is paused there. */
static void a_window_stops_the_host_s(void **state)
{
	(void)state;
	start(CONFIG_LBR_HOST, GUEST_EVENT | ROOT_EVENT);
	pmu.window = true;
	lbr_update_gate(&pmu);
	assert_false(pmu.gate.records || pmu.lbr.root);
}

static void root_mode_switches_the_whole_stack(void **state)
{
	(void)state;
	start(CONFIG_LBR_BOTH, ROOT_EVENT);
	hardware = GUESTS;
	recording = false; /* by the exit */
	lbr_root_begin(&pmu);
	assert_true(recording && pmu.lbr.now && pmu.gate.dirty);
	assert_int_equal(hardware, EMPTY);
	hardware = HOSTS;
	lbr_root_end(&pmu);
	assert_false(recording || pmu.lbr.now);
	assert_int_equal(hardware, GUESTS);
	lbr_root_begin(&pmu);
	assert_int_equal(hardware, EMPTY);
	assert_int_equal(switches, 3);
}

static void without_the_guest_s_nothing_is_switched(void **state)
{
	(void)state;
	start(CONFIG_LBR_HOST, ROOT_EVENT);
	lbr_root_begin(&pmu);
	assert_true(recording && pmu.lbr.now);
	lbr_root_end(&pmu);
	assert_false(pmu.lbr.now);
	assert_int_equal(switches, 0);
}

static void the_freeze_goes_with_the_stack(void **state)
{
	(void)state;
	start(CONFIG_LBR_BOTH, ROOT_EVENT);
	recording = false;
	hardware_status = PMU_STATUS_LBR_FROZEN | BIT(0);
	lbr_root_begin(&pmu);
	assert_int_equal(hardware_status, BIT(0));
	assert_int_equal(pmu.guest_status, PMU_STATUS_LBR_FROZEN);
	hardware_status |= PMU_STATUS_LBR_FROZEN; /* the host's, which nobody has acknowledged */
	pmu.guest_status = 0;                     /* the guest has reset it, in this exit */
	lbr_root_end(&pmu);
	assert_int_equal(hardware_status, BIT(0));
	lbr_root_begin(&pmu);
	pmu.guest_status = PMU_STATUS_LBR_FROZEN;
	lbr_root_end(&pmu);
	assert_int_equal(hardware_status, PMU_STATUS_LBR_FROZEN | BIT(0));
	assert_int_equal(pmu.guest_status, 0);
}

static void a_capture_copies_the_newest(void **state)
{
	(void)state;
	start(CONFIG_LBR_HOST, GUEST_EVENT);
	hardware = HOSTS;
	lbr_capture(&pmu);
	assert_int_equal(pmu.lbr.captures, 1);
	assert_int_equal(pmu.lbr.nr_branches, 1);
	assert_int_equal(pmu.lbr.branches[0].from, HOSTS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(nothing_records_at_first, setup),
		cmocka_unit_test_setup(owners, setup),
		cmocka_unit_test_setup(what_cannot_be_switched_is_nobody_s, setup),
		cmocka_unit_test_setup(the_guest_s_are_never_taken, setup),
		cmocka_unit_test_setup(the_host_s_record_where_it_samples, setup),
		cmocka_unit_test_setup(shared_ones_are_the_guest_s_in_the_guest, setup),
		cmocka_unit_test_setup(a_window_stops_the_host_s, setup),
		cmocka_unit_test_setup(root_mode_switches_the_whole_stack, setup),
		cmocka_unit_test_setup(without_the_guest_s_nothing_is_switched, setup),
		cmocka_unit_test_setup(the_freeze_goes_with_the_stack, setup),
		cmocka_unit_test_setup(a_capture_copies_the_newest, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
