/* What each call answers, and that nothing else is one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "arch/x86/reg.h"
#include "arch/x86/platform.h"
#include "guest-api/pmuvisor.h"
#include "hv/cpu.h"
#include "hv/dump.h"
#include "hv/hypercall.h"
#include "hv/sample.h"

#define TSC_HZ UINT64_C(2000000000)
#define MAGIC  PMUVISOR_CALL_MAGIC

static struct cpu cpu;
static struct boot_info boot;
static struct sample_ring rings[4];
static uint64_t tsc, cpl;
static unsigned dumps;
static bool loader;

uint64_t reg_rdtsc(void)
{
	return tsc;
}

void dump_request(struct cpu *owner)
{
	assert_ptr_equal(owner, &cpu);
	dumps++;
}

uint64_t dump_pending(void)
{
	return 77;
}

bool platform_knows_loader(const struct cpu *owner)
{
	assert_ptr_equal(owner, &cpu);
	return loader;
}

void hv_leave(struct cpu *owner)
{
	(void)owner;
	mock_assert(0, "left", __FILE__, __LINE__);
	abort();
}

/* Of guest_event.c: what was asked of it last. */
static const char *asked;
static uint64_t asked_events;

int64_t guest_event_open(struct cpu *owner, uint64_t config, uint64_t period, uint64_t *id)
{
	assert_ptr_equal(owner, &cpu);
	assert_int_equal(period, 11);
	asked = "open";
	*id = 9;
	return config == 5 ? 0 : PMUVISOR_E_EVENT;
}

static int64_t record(const char *operation, uint64_t events)
{
	asked = operation;
	asked_events = events;
	return events == 5 ? 0 : PMUVISOR_E_ID;
}

int64_t guest_events_close(struct cpu *owner, uint64_t events)
{
	assert_ptr_equal(owner, &cpu);
	return record("close", events);
}

int64_t guest_events_enable(struct cpu *owner, uint64_t events)
{
	assert_ptr_equal(owner, &cpu);
	return record("enable", events);
}

int64_t guest_events_disable(struct cpu *owner, uint64_t events)
{
	assert_ptr_equal(owner, &cpu);
	return record("disable", events);
}

int64_t guest_events_reset(struct cpu *owner, uint64_t events)
{
	assert_ptr_equal(owner, &cpu);
	return record("reset", events);
}

int64_t guest_event_read(struct cpu *owner, uint64_t id, struct guest_event_counts *counts)
{
	assert_ptr_equal(owner, &cpu);
	*counts = (struct guest_event_counts){ .count = 21, .enabled = 22, .running = 23, .overflows = 24 };
	return record("read", id);
}

int64_t guest_page_keep(struct cpu *owner, uint64_t kept, uint64_t refresh, uint64_t *address)
{
	assert_ptr_equal(owner, &cpu);
	assert_int_equal(refresh, 11);
	asked = "page";
	*address = 0x12345000;
	return kept == 5 ? 0 : PMUVISOR_E_ARGUMENT;
}

int64_t guest_sample_take(struct cpu *owner)
{
	assert_ptr_equal(owner, &cpu);
	return record("sample", owner->guest.rdx);
}

int64_t guest_sample_branches(struct cpu *owner)
{
	assert_ptr_equal(owner, &cpu);
	return record("branches", owner->guest.rdx);
}

static uint64_t read_guest(struct cpu *owner, enum guest_register reg)
{
	assert_ptr_equal(owner, &cpu);
	assert_int_equal(reg, GUEST_CPL);
	return cpl;
}

static const struct hv_ops ops = { .read = read_guest };

static int setup(void **state)
{
	(void)state;
	cpu = (struct cpu){ .id = 3, .ops = &ops, .boot = &boot };
	boot = (struct boot_info){ .tsc_hz = TSC_HZ };
	tsc = 1000000;
	cpl = 0;
	dumps = 0;
	loader = false;
	return 0;
}

/* Values that nobody asked for stay. */
static int64_t call(uint64_t operation, uint64_t rdx)
{
	cpu.guest = (struct regs){
		.rax = MAGIC, .rcx = operation, .rdx = rdx, .rsi = 11, .rdi = 12, .rbx = 13, .r8 = 14
	};
	assert_int_equal(hypercall(&cpu), ADVANCE);
	assert_int_equal(cpu.guest.rcx, operation);
	assert_int_equal(cpu.guest.rsi, 11);
	assert_int_equal(cpu.guest.rdi, 12);
	assert_int_equal(cpu.guest.rbx, 13);
	assert_int_equal(cpu.guest.r8, 14);
	return (int64_t)cpu.guest.rax;
}

static void others_are_undefined(void **state)
{
	(void)state;
	cpu.guest = (struct regs){ .rax = MAGIC + 1, .rcx = PMUVISOR_CALL_QUERY };
	assert_int_equal(hypercall(&cpu), INJECT_UD);
	for (cpl = 1; cpl < 4; cpl++) {
		cpu.guest = (struct regs){ .rax = MAGIC, .rcx = PMUVISOR_CALL_QUERY };
		assert_int_equal(hypercall(&cpu), INJECT_UD);
		assert_int_equal(cpu.guest.rax, MAGIC);
	}
}

static void unknown_operations(void **state)
{
	static const uint64_t unknown[] = { 0, 34, 0x100000001, UINT64_MAX };

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(call(unknown[i], 5), PMUVISOR_E_OPERATION);
		assert_int_equal(cpu.guest.rdx, 5);
	}
}

static void leaving_is_the_loaders(void **state)
{
	(void)state;
	cpu.guest = (struct regs){ .rax = MAGIC, .rcx = HV_CALL_LEAVE };
	assert_int_equal(hypercall(&cpu), INJECT_UD);
	loader = true;
	expect_assert_failure(hypercall(&cpu));
}

static void queries(void **state)
{
	(void)state;
	assert_int_equal(call(PMUVISOR_CALL_QUERY, PMUVISOR_QUERY_CPU), 0);
	assert_int_equal(cpu.guest.rdx, 3);
	assert_int_equal(call(PMUVISOR_CALL_QUERY, PMUVISOR_QUERY_TSC_HZ), 0);
	assert_int_equal(cpu.guest.rdx, TSC_HZ);
	for (unsigned shared = 0; shared < 2; shared++) {
		cpu.pmu.shared = shared;
		assert_int_equal(call(PMUVISOR_CALL_QUERY, PMUVISOR_QUERY_SHARED), 0);
		assert_int_equal(cpu.guest.rdx, shared);
	}
	assert_int_equal(call(PMUVISOR_CALL_QUERY, UINT64_MAX), PMUVISOR_E_ARGUMENT);
	assert_int_equal(cpu.guest.rdx, UINT64_MAX);
}

static void changes_of_events(void **state)
{
	static const struct {
		uint64_t operation;
		const char *name;
	} changes[] = {
		{ PMUVISOR_CALL_CLOSE, "close" },     { PMUVISOR_CALL_ENABLE, "enable" },
		{ PMUVISOR_CALL_DISABLE, "disable" }, { PMUVISOR_CALL_RESET, "reset" },
		{ PMUVISOR_CALL_SAMPLE, "sample" },   { PMUVISOR_CALL_BRANCHES, "branches" },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(changes); i++) {
		assert_int_equal(call(changes[i].operation, 5), 0);
		assert_string_equal(asked, changes[i].name);
		assert_int_equal(asked_events, 5);
		assert_int_equal(call(changes[i].operation, UINT64_MAX), PMUVISOR_E_ID);
		assert_int_equal(asked_events, UINT64_MAX);
		assert_int_equal(cpu.guest.rdx, UINT64_MAX);
	}
	assert_int_equal(call(PMUVISOR_CALL_OPEN, 5), 0);
	assert_int_equal(cpu.guest.rdx, 9);
	assert_int_equal(call(PMUVISOR_CALL_OPEN, 6), PMUVISOR_E_EVENT);
	assert_int_equal(cpu.guest.rdx, 6);
	cpu.guest_events.open = 0x8001;
	assert_int_equal(call(PMUVISOR_CALL_QUERY, PMUVISOR_QUERY_OPEN), 0);
	assert_int_equal(cpu.guest.rdx, 0x8001);
}

static void events_are_read(void **state)
{
	(void)state;
	assert_int_equal(call(PMUVISOR_CALL_READ, 6), PMUVISOR_E_ID);
	cpu.guest = (struct regs){ .rax = MAGIC, .rcx = PMUVISOR_CALL_READ, .rdx = 5 };
	assert_int_equal(hypercall(&cpu), ADVANCE);
	assert_int_equal(cpu.guest.rax, 0);
	assert_int_equal(cpu.guest.rdx, 21);
	assert_int_equal(cpu.guest.rsi, 22);
	assert_int_equal(cpu.guest.rdi, 23);
	assert_int_equal(cpu.guest.rbx, 24);
}

static void a_page_is_kept(void **state)
{
	(void)state;
	assert_int_equal(call(PMUVISOR_CALL_PAGE, 5), 0);
	assert_int_equal(cpu.guest.rdx, 0x12345000);
	assert_int_equal(call(PMUVISOR_CALL_PAGE, 6), PMUVISOR_E_ARGUMENT);
	assert_int_equal(cpu.guest.rdx, 6);
}

static uint64_t read_statistic(uint64_t number)
{
	assert_int_equal(call(PMUVISOR_CALL_STATISTIC, number), 0);
	return cpu.guest.rdx;
}

/* Every counted one has a place of its own. */
static void statistics(void **state)
{
	uint64_t *const stats = (uint64_t *)&cpu.pmu.stats, sum = 0;

	(void)state;
	for (unsigned i = 0; i < EXIT_REASONS; i++)
		sum += cpu.counts.exits[i] = 100 + i;
	for (unsigned i = 0; i < sizeof(cpu.pmu.stats) / sizeof(*stats); i++)
		stats[i] = 1000 + i;
	cpu.counts.faults_injected = 2001;
	cpu.counts.hidden_touches = 2002;
	for (unsigned i = 0; i < EXIT_REASONS; i++)
		assert_int_equal(read_statistic(PMUVISOR_STAT_EXIT(i)), 100 + i);
	assert_int_equal(read_statistic(PMUVISOR_STAT_EXITS), sum);
	assert_int_equal(read_statistic(PMUVISOR_STAT_FAULTS), 2001);
	assert_int_equal(read_statistic(PMUVISOR_STAT_HIDDEN), 2002);
	assert_int_equal(read_statistic(PMUVISOR_STAT_PMIS_HOST), cpu.pmu.stats.host_pmis);
	assert_int_equal(read_statistic(PMUVISOR_STAT_PMIS_LATE), cpu.pmu.stats.host_late);
	assert_int_equal(read_statistic(PMUVISOR_STAT_PMIS_GUEST), cpu.pmu.stats.guest_pmis);
	assert_int_equal(read_statistic(PMUVISOR_STAT_PMIS_EMULATED), cpu.pmu.stats.guest_pmis_emulated);
	assert_int_equal(read_statistic(PMUVISOR_STAT_PMIS_MASKED), cpu.pmu.stats.guest_pmis_masked);
	assert_int_equal(read_statistic(PMUVISOR_STAT_NMIS), cpu.pmu.stats.guest_nmis);
	assert_int_equal(read_statistic(PMUVISOR_STAT_NMIS_ROOT), cpu.pmu.stats.root_nmis);
	assert_int_equal(read_statistic(PMUVISOR_STAT_NMIS_MERGED), cpu.pmu.stats.merged_nmis);
	assert_int_equal(read_statistic(PMUVISOR_STAT_PAUSED_TICKS), cpu.pmu.stats.paused_tsc);
	assert_int_equal(read_statistic(PMUVISOR_STAT_WINDOWS), cpu.pmu.stats.windows);
	assert_int_equal(read_statistic(PMUVISOR_STAT_EMULATED), cpu.pmu.stats.emulated);
	assert_int_equal(read_statistic(PMUVISOR_STAT_SAMPLES), 0);
	boot.sample_rings = (uintptr_t)rings;
	rings[3].taken = 3001;
	rings[3].lost = 3002;
	assert_int_equal(read_statistic(PMUVISOR_STAT_SAMPLES), 3001);
	assert_int_equal(read_statistic(PMUVISOR_STAT_SAMPLES_LOST), 3002);
	assert_int_equal(call(PMUVISOR_CALL_STATISTIC, PMUVISOR_STATISTICS), PMUVISOR_E_ARGUMENT);
	assert_int_equal(call(PMUVISOR_CALL_STATISTIC, UINT64_MAX), PMUVISOR_E_ARGUMENT);
}

/* In root mode `root` lacks the entry to come: 300 ticks before the last exit, which was 40 ticks ago. */
static void times(void **state)
{
	(void)state;
	cpu.time.started = 400000;
	cpu.time.root = 300 - (tsc - 40);
	assert_int_equal(read_statistic(PMUVISOR_STAT_TICKS), 600000);
	assert_int_equal(read_statistic(PMUVISOR_STAT_ROOT_TICKS), 340);
}

static void dumps_are_limited(void **state)
{
	(void)state;
	for (unsigned i = 0; i < HYPERCALLS_PER_MS + 10; i++)
		assert_int_equal(call(PMUVISOR_CALL_DUMP, 0), 77);
	assert_int_equal(dumps, HYPERCALLS_PER_MS);
	assert_int_equal(call(PMUVISOR_CALL_PENDING, 0), 77);
	tsc += TSC_HZ / 1000;
	assert_int_equal(call(PMUVISOR_CALL_DUMP, 0), 77);
	assert_int_equal(dumps, HYPERCALLS_PER_MS + 1);
}

static void changes_are_limited(void **state)
{
	(void)state;
	for (unsigned i = 0; i < HYPERCALLS_PER_MS; i++)
		assert_int_equal(call(PMUVISOR_CALL_DISABLE, 5), 0);
	asked = NULL;
	for (unsigned operation = PMUVISOR_CALL_OPEN; operation <= PMUVISOR_CALL_RESET; operation++)
		assert_int_equal(call(operation, 5), PMUVISOR_E_BUSY);
	assert_int_equal(call(PMUVISOR_CALL_PAGE, 5), PMUVISOR_E_BUSY);
	assert_null(asked);
	assert_int_equal(call(PMUVISOR_CALL_QUERY, PMUVISOR_QUERY_CPU), 0); /* is not */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(others_are_undefined, setup),
		cmocka_unit_test_setup(unknown_operations, setup),
		cmocka_unit_test_setup(leaving_is_the_loaders, setup),
		cmocka_unit_test_setup(queries, setup),
		cmocka_unit_test_setup(statistics, setup),
		cmocka_unit_test_setup(times, setup),
		cmocka_unit_test_setup(dumps_are_limited, setup),
		cmocka_unit_test_setup(changes_of_events, setup),
		cmocka_unit_test_setup(events_are_read, setup),
		cmocka_unit_test_setup(a_page_is_kept, setup),
		cmocka_unit_test_setup(changes_are_limited, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
