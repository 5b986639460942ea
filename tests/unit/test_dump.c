/* What pmuvisor prints, whole blocks against the text a person would see, and when it prints it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/reg.h"
#include "hv/console.h"
#include "hv/dump.h"

#define TSC_HZ     UINT64_C(2000000000)
#define MS         (TSC_HZ / 1000)
#define FIFO_TICKS UINT64_C(2777777)

static char output[8192];
static size_t length;
static unsigned queued, writes, flushes, polls;
static bool has_room;
static uint64_t tsc, timer;
static uint64_t counts[CONFIG_MAX_EVENTS];
static struct cpu cpu;
static struct boot_info boot;

uint64_t reg_rdtsc(void)
{
	return tsc;
}

void reg_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t regs[4])
{
	static const char brand[48] = "Intel(R) Xeon(R) test";

	assert_in_range(leaf, 0x80000002, 0x80000004);
	assert_int_equal(subleaf, 0);
	memcpy(regs, brand + 16 * (leaf - 0x80000002), 16);
}

void console_write(const char *start, const struct text *text)
{
	size_t n = (size_t)(text->at - start);

	if (!n)
		return;
	assert_true(n < TEXT_LINE_MAX); /* equal: something may have been cut */
	assert_true(length + n < sizeof(output));
	memcpy(output + length, start, n);
	length += n;
	output[length] = '\0';
	queued += (unsigned)n;
	writes++;
}

void console_drain(void)
{
	queued = 0;
}

void console_flush(void)
{
	queued = 0;
	flushes++;
}

unsigned console_queued(void)
{
	return queued;
}

bool console_has_room(void)
{
	return has_room;
}

uint64_t console_lost(void)
{
	return 17;
}

uint64_t console_fifo_ticks(uint64_t tsc_hz)
{
	assert_int_equal(tsc_hz, TSC_HZ);
	return FIFO_TICKS;
}

void pmu_poll(struct cpu *polled)
{
	assert_ptr_equal(polled, &cpu);
	polls++;
}

uint64_t pmu_host_count(const struct pmu *pmu, const struct pmu_host_event *event)
{
	assert_ptr_equal(pmu, &cpu.pmu);
	return counts[event - pmu->events];
}

static void set_timer(struct cpu *owner, uint64_t ticks)
{
	assert_ptr_equal(owner, &cpu);
	timer = ticks;
}

static const struct hv_ops ops = { .name = "VMX", .set_timer = set_timer };
static const struct pmu_ops pmu_ops = { .name = "Intel" };

static void add_event(unsigned counter, struct config_event config)
{
	unsigned n = cpu.pmu.nr_events++;

	boot.config.events[n] = config;
	cpu.pmu.events[n].config = &boot.config.events[n];
	cpu.pmu.events[n].counter = counter;
}

static int setup(void **state)
{
	(void)state;
	memset(&cpu, 0, sizeof(cpu));
	memset(&boot, 0, sizeof(boot));
	memset(counts, 0, sizeof(counts));
	cpu.ops = &ops;
	cpu.boot = &boot;
	cpu.pmu.ops = &pmu_ops;
	cpu.stats.started = 1000;
	boot.tsc_hz = TSC_HZ;
	tsc = cpu.stats.started;
	length = 0;
	output[0] = '\0';
	queued = writes = flushes = polls = 0;
	timer = 99;
	has_room = true;
	return 0;
}

static void start_block(void **state)
{
	(void)state;
	cpu.pmu.caps = (struct pmu_caps){ .version = 5, .nr_gp = 8, .width = 48, .fixed = 0xf };
	cpu.pmu.host = BITS(7, 6) | BIT(33);
	cpu.pmu.guest = BITS(5, 0) | BIT(32) | BITS(35, 34);
	cpu.pmu.shared = true;
	boot.config.hypervisor_bit = true;
	boot.config.dump_ms = 500;
	boot.region_pa = 0x7f000000;
	boot.region_size = 2097152;
	boot.cpu_area_size = 81920;
	boot.ept_pages = 100;
	dump_start(&cpu);
	assert_string_equal(output, "pmuvisor start\n"
				    "  version 0.1 VMX\n"
				    "  cpu Intel(R) Xeon(R) test\n"
				    "  pmu Intel version 5 counters 8 width 48 fixed 0-3\n"
				    "  guest counters 0-5 fixed 0,2-3\n"
				    "  host counters 6-7 fixed 1\n"
				    "  mode shared rdpmc trap hypervisor-bit on apic xapic\n"
				    "  pebs none metrics none\n"
				    "  lbr none kind none entries 0\n"
				    "  memory at 0x7f000000 bytes 2097152 per-cpu 81920 ept 409600\n"
				    "  tsc hz 2000000000 dump-ms 500\n"
				    "end\n");
	assert_int_equal(cpu.dump.due, tsc + 500 * MS);
	assert_int_equal(timer, FIFO_TICKS);
}

static void start_block_the_other_way(void **state)
{
	(void)state;
	cpu.pmu.gate.rdpmc_open = true;
	cpu.x2apic = true;
	dump_start(&cpu);
	assert_non_null(strstr(output, "\n  mode direct rdpmc direct hypervisor-bit off apic x2apic\n"));
	assert_non_null(strstr(output, "\n  host counters none fixed none\n"));
}

static void start_block_says_who_samples(void **state)
{
	static const char *const pebs[] = {
		[PEBS_ABSENT] = "\n  pebs none ",
		[PEBS_OFFERED] = "\n  pebs guest ",
		[PEBS_OFF] = "\n  pebs off ",
		[PEBS_UNSAFE] = "\n  pebs unsafe ",
	};

	(void)state;
	cpu.pmu.caps.metrics = true;
	for (unsigned i = 0; i < ARRAY_SIZE(pebs); i++) {
		length = 0;
		cpu.pmu.pebs.offer = (enum pebs_offer)i;
		cpu.pmu.controls = i == 1 ? PMU_METRICS : 0;
		dump_start(&cpu);
		assert_non_null(strstr(output, pebs[i]));
		assert_non_null(strstr(output, i == 1 ? " metrics guest\n" : " metrics host\n"));
	}
}

static void tick_until_done(void)
{
	dump_tick(&cpu);
	for (unsigned i = 0; cpu.dump.active; i++) {
		assert_int_equal(timer, FIFO_TICKS);
		assert_true(i < 100);
		dump_tick(&cpu);
	}
}

static void fill(void)
{
	cpu.id = 3;
	cpu.pmu.shared = true;
	add_event(7,
		  (struct config_event){ "instructions", .guest = true, .host = true, .user = true, .kernel = true });
	add_event(6, (struct config_event){ "cycles", .host = true, .kernel = true, .period = 1000 });
	add_event(33, (struct config_event){ "event=0xc4,umask=0x11", .guest = true, .user = true });
	counts[0] = 123456789;
	counts[1] = 2000;
	cpu.pmu.events[1].overflows = 2;
	cpu.stats.exits[EXIT_CPUID] = 41;
	cpu.stats.exits[EXIT_SIPI] = 1;
	cpu.stats.faults_injected = 5;
	cpu.stats.hidden_touches = 6;
	cpu.pmu.stats = (struct pmu_stats){ .host_pmis = 10,
					    .host_late = 11,
					    .guest_pmis = 12,
					    .guest_pmis_emulated = 13,
					    .guest_pmis_masked = 14,
					    .guest_nmis = 15,
					    .root_nmis = 16,
					    .windows = 18,
					    .paused_tsc = 19,
					    .emulated = 20,
					    .hidden_writes = 21 };
	tsc = cpu.stats.started + 2500 * MS;
	cpu.stats.root_tsc = 50 * MS - tsc; /* entries less exits, and now is one more entry */
}

static const char whole_dump[] = "pmuvisor dump number 1 cpu 3 ms 2500 mode shared\n"
				 "  counter 7 event instructions in guest,host at user,kernel count 123456789\n"
				 "  counter 6 event cycles in host at kernel count 2000 period 1000 overflows 2\n"
				 "  counter 33 event event=0xc4,umask=0x11 in guest at user count 0\n"
				 "  exits cpuid count 41\n"
				 "  exits sipi count 1\n"
				 "  pmi host 10 host-late 11 guest 12 guest-emulated 13 guest-masked 14\n"
				 "  nmi guest 15 in-root 16\n"
				 "  time root-ticks 100000000 root-share 2.00% paused-ticks 19 windows 18\n"
				 "  guest emulated 20 faults 5 hidden-memory 6 hidden-counters 21 lost-characters 17\n"
				 "end\n";

static void one_line_for_each_tick(void **state)
{
	(void)state;
	fill();
	dump_request(&cpu);
	assert_int_equal(polls, 1);
	assert_int_equal(timer, FIFO_TICKS);
	assert_int_equal(dump_pending(&cpu), 1);
	dump_tick(&cpu);
	assert_int_equal(writes, 1);
	assert_int_equal(dump_pending(&cpu), queued + 1);
	dump_request(&cpu); /* one is under way */
	assert_int_equal(polls, 1);
	tick_until_done();
	assert_string_equal(output, whole_dump);
	assert_int_equal(flushes, 0);
	dump_tick(&cpu);
	assert_int_equal(dump_pending(&cpu), 0);
	assert_int_equal(timer, 0);
}

static void pebs_has_a_line_once_it_is_used(void **state)
{
	(void)state;
	cpu.pmu.pebs.stats = (struct pebs_stats){ .exits = 1 };
	dump_final(&cpu);
	assert_null(strstr(output, "\n  pebs "));
	cpu.pmu.pebs.stats = (struct pebs_stats){ 1, 2, 3, 4, 5, 6 };
	dump_final(&cpu);
	assert_non_null(strstr(output, " guest-masked 0\n  pebs starts 1 exits 2 ds-areas 3 unmapped 4 hidden 5 "
				       "hidden-records 6\n  nmi "));
}

static void start_block_says_whose_the_lbrs_are(void **state)
{
	static const struct lbr_ops kind = { .name = "architectural" };
	static const char *const owners[] = { "none", "guest", "host", "both" };
	char expected[80];

	(void)state;
	cpu.pmu.lbr.ops = &kind;
	cpu.pmu.lbr.caps.entries = 16;
	for (unsigned i = 0; i < ARRAY_SIZE(owners); i++) {
		length = 0;
		cpu.pmu.lbr.guests = i & 1;
		cpu.pmu.lbr.hosts = i & 2;
		dump_start(&cpu);
		snprintf(expected, sizeof(expected), "\n  lbr %s kind architectural entries 16\n", owners[i]);
		assert_non_null(strstr(output, expected));
	}
}

/* Captures that come while a dump is printed don't get into it. */
static void branches_are_of_one_capture(void **state)
{
	(void)state;
	fill();
	cpu.pmu.lbr.hosts = true;
	cpu.pmu.lbr.captures = 7;
	cpu.pmu.lbr.nr_branches = LBR_MAX_ENTRIES;
	for (unsigned i = 0; i < LBR_MAX_ENTRIES; i++)
		cpu.pmu.lbr.branches[i] = (struct lbr_branch){ 0x1000 + i, UINT64_C(0xffffffff80000000) + i };
	dump_request(&cpu);
	cpu.pmu.lbr.captures = 8;
	memset(cpu.pmu.lbr.branches, 0, sizeof(cpu.pmu.lbr.branches));
	tick_until_done();
	assert_non_null(strstr(output, " guest-masked 14\n  lbr captures 7\n"
				       "  branch from 0x1000 to 0xffffffff80000000\n"
				       "  branch from 0x1001 to 0xffffffff80000001\n"
				       "  branch from 0x1002 to 0xffffffff80000002\n"
				       "  branch from 0x1003 to 0xffffffff80000003\n  nmi "));
	length = 0;
	cpu.pmu.lbr.nr_branches = 1;
	dump_final(&cpu);
	assert_non_null(strstr(output, "\n  lbr captures 8\n  branch from 0x0 to 0x0\n  nmi "));
}

static void full_queue_puts_lines_off(void **state)
{
	(void)state;
	fill();
	dump_request(&cpu);
	for (unsigned i = 0; i < 150; i++) {
		has_room = i % 3 == 2;
		dump_tick(&cpu);
	}
	assert_string_equal(output, whole_dump);
}

static void final_dump_waits(void **state)
{
	(void)state;
	fill();
	dump_final(&cpu);
	assert_string_equal(output, whole_dump);
	assert_int_equal(queued, 0);
	assert_false(cpu.dump.active);
}

/* One that was under way is finished, not begun again. */
static void final_dump_in_a_dump(void **state)
{
	(void)state;
	fill();
	dump_request(&cpu);
	dump_tick(&cpu);
	dump_tick(&cpu);
	dump_final(&cpu);
	assert_string_equal(output, whole_dump);
}

static void dumps_come_in_time(void **state)
{
	(void)state;
	boot.config.dump_ms = 100;
	cpu.dump.due = tsc + 100 * MS;
	dump_tick(&cpu);
	assert_int_equal(timer, 100 * MS);
	assert_int_equal(writes, 0);
	tsc += 100 * MS - 1;
	dump_tick(&cpu);
	assert_int_equal(timer, 1);
	assert_int_equal(writes, 0);
	tsc += 5;
	tick_until_done();
	assert_int_equal(cpu.dump.number, 1);
	assert_int_equal(cpu.dump.due, tsc + 100 * MS);
	dump_tick(&cpu);
	assert_int_equal(timer, 100 * MS);
	tsc += 1000 * MS; /* the guest kept the timer waiting: one dump, not ten */
	tick_until_done();
	assert_int_equal(cpu.dump.number, 2);
	assert_int_equal(cpu.dump.due, tsc + 100 * MS);
}

static void longest_lines_fit(void **state)
{
	const uint64_t most = UINT64_MAX;

	(void)state;
	cpu.id = cpu.dump.number = most - 1;
	add_event(47, (struct config_event){ "abcdefghijklmnopqrstuvwxyz01234", .guest = true, .host = true,
					     .user = true, .kernel = true, .period = most });
	counts[0] = cpu.pmu.events[0].overflows = most;
	for (unsigned i = 0; i < EXIT_REASONS; i++)
		cpu.stats.exits[i] = most;
	cpu.stats.faults_injected = cpu.stats.hidden_touches = most;
	cpu.pmu.stats = (struct pmu_stats){ .host_pmis = most,
					    .host_late = most,
					    .guest_pmis = most,
					    .guest_pmis_emulated = most,
					    .guest_pmis_masked = most,
					    .guest_nmis = most,
					    .root_nmis = most,
					    .windows = most,
					    .paused_tsc = most,
					    .emulated = most,
					    .hidden_writes = most };
	cpu.pmu.pebs.stats = (struct pebs_stats){ most, most, most, most, most, most };
	tsc = most - 1;
	dump_final(&cpu); /* console_write() sees that none is cut */
	assert_non_null(strstr(output, " overflows 18446744073709551615\n"));
	assert_string_equal(output + length - 5, "\nend\n");
}

static void every_exit_has_a_name(void **state)
{
	(void)state;
	for (unsigned i = 0; i < EXIT_REASONS; i++) {
		assert_non_null(exit_names[i]);
		assert_int_equal(strspn(exit_names[i], "abcdefghijklmnopqrstuvwxyz-"), strlen(exit_names[i]));
		for (unsigned j = 0; j < i; j++)
			assert_string_not_equal(exit_names[i], exit_names[j]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(start_block, setup),
		cmocka_unit_test_setup(start_block_the_other_way, setup),
		cmocka_unit_test_setup(start_block_says_who_samples, setup),
		cmocka_unit_test_setup(one_line_for_each_tick, setup),
		cmocka_unit_test_setup(pebs_has_a_line_once_it_is_used, setup),
		cmocka_unit_test_setup(start_block_says_whose_the_lbrs_are, setup),
		cmocka_unit_test_setup(branches_are_of_one_capture, setup),
		cmocka_unit_test_setup(full_queue_puts_lines_off, setup),
		cmocka_unit_test_setup(final_dump_waits, setup),
		cmocka_unit_test_setup(final_dump_in_a_dump, setup),
		cmocka_unit_test_setup(dumps_come_in_time, setup),
		cmocka_unit_test_setup(longest_lines_fit, setup),
		cmocka_unit_test_setup(every_exit_has_a_name, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
