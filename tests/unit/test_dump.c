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
#include "hv/frame.h"
#include "hv/text.h"

#define TSC_HZ     UINT64_C(2000000000)
#define MS         (TSC_HZ / 1000)
#define FIFO_TICKS UINT64_C(2777777)
#define NR_CPUS    4

static char output[16384];
static size_t length;
static unsigned queued, writes, flushes, polls;
static bool has_room, tsc_moves;
static uint64_t tsc, timers[NR_CPUS];
static uint64_t counts[NR_CPUS][CONFIG_MAX_EVENTS];
static struct cpu cpus[NR_CPUS];
static struct sample_ring rings[NR_CPUS];
static union {
	struct boot_info info;
	uint8_t bytes[sizeof(struct boot_info) + NR_CPUS * sizeof(struct boot_processor)];
} memory;
static struct boot_info *const boot = &memory.info;

uint64_t reg_rdtsc(void)
{
	tsc += tsc_moves ? TSC_HZ / 1000 : 0;
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
	assert_true(n < (strncmp(start, "pmuvisor samples", 16) ? TEXT_LINE_MAX : FRAME_LINE_MAX)); /* equal: cut */
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

uint64_t console_written(void)
{
	return length;
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
	(void)polled;
	polls++;
}

uint64_t pmu_host_count(const struct pmu *pmu, const struct pmu_host_event *event)
{
	for (unsigned i = 0; i < NR_CPUS; i++) {
		if (pmu == &cpus[i].pmu)
			return counts[i][event - pmu->events];
	}
	fail();
	return 0;
}

static void set_timer(struct cpu *owner, uint64_t ticks)
{
	timers[owner->id] = ticks;
}

void guest_events_rotate(struct cpu *owner)
{
	(void)owner;
	fail();
}

void guest_page_refresh(struct cpu *owner)
{
	(void)owner;
}

struct guest_event_counts guest_event_counts(struct cpu *owner, unsigned id, uint64_t now)
{
	(void)owner, (void)now;
	return (struct guest_event_counts){
		.count = 100 + id, .overflows = 7, .enabled = 200 + id, .running = 150 + id
	};
}

static const struct hv_ops ops = { .name = "VMX", .set_timer = set_timer };
static const struct pmu_ops pmu_ops = { .name = "Intel" };

static void add_event(unsigned counter, struct config_event config)
{
	unsigned n = boot->config.nr_events++;

	boot->config.events[n] = config;
	for (unsigned i = 0; i < NR_CPUS; i++) {
		cpus[i].pmu.nr_events = n + 1;
		cpus[i].pmu.events[n].config = &boot->config.events[n];
		cpus[i].pmu.events[n].counter = counter;
	}
}

static int setup(void **state)
{
	(void)state;
	memset(cpus, 0, sizeof(cpus));
	memset(&memory, 0, sizeof(memory));
	memset(counts, 0, sizeof(counts));
	memset(&dump, 0, sizeof(dump));
	for (unsigned i = 0; i < NR_CPUS; i++) {
		cpus[i].id = i;
		cpus[i].ops = &ops;
		cpus[i].boot = boot;
		cpus[i].pmu.ops = &pmu_ops;
		cpus[i].time.started = 1000;
		timers[i] = 99;
	}
	boot->nr_cpus = boot->nr_processors = 1;
	boot->cpu_area_size = sizeof(cpus[0]);
	boot->tsc_hz = TSC_HZ;
	tsc = cpus[0].time.started;
	length = 0;
	output[0] = '\0';
	queued = writes = flushes = polls = 0;
	has_room = true;
	tsc_moves = false;
	return 0;
}

static void start_block(void **state)
{
	(void)state;
	cpus[0].pmu.caps = (struct pmu_caps){ .version = 5, .nr_gp = 8, .width = 48, .fixed = 0xf };
	cpus[0].pmu.host = BITS(7, 6) | BIT(33);
	cpus[0].pmu.guest = BITS(5, 0) | BIT(32) | BITS(35, 34);
	cpus[0].pmu.shared = true;
	boot->config.hypervisor_bit = true;
	boot->config.dump_ms = 500;
	boot->region_pa = 0x7f000000;
	boot->region_size = 2097152;
	boot->cpu_area_size = 81920;
	boot->ept_pages = 100;
	dump_start(&cpus[0]);
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
	assert_int_equal(dump.due, tsc + 500 * MS);
	assert_int_equal(timers[0], FIFO_TICKS);
}

static void start_block_the_other_way(void **state)
{
	(void)state;
	cpus[0].pmu.gate.rdpmc_open = true;
	cpus[0].x2apic = true;
	dump_start(&cpus[0]);
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
	cpus[0].pmu.caps.metrics = true;
	for (unsigned i = 0; i < ARRAY_SIZE(pebs); i++) {
		length = 0;
		cpus[0].pmu.pebs.offer = (enum pebs_offer)i;
		cpus[0].pmu.controls = i == 1 ? PMU_METRICS : 0;
		dump_start(&cpus[0]);
		assert_non_null(strstr(output, pebs[i]));
		assert_non_null(strstr(output, i == 1 ? " metrics guest\n" : " metrics host\n"));
	}
}

static void tick_until_done(void)
{
	dump_tick(&cpus[0]);
	for (unsigned i = 0; dump.active; i++) {
		assert_int_equal(timers[0], FIFO_TICKS);
		assert_true(i < 100);
		dump_tick(&cpus[0]);
	}
}

static void fill(void)
{
	cpus[0].pmu.shared = true;
	add_event(7,
		  (struct config_event){ "instructions", .guest = true, .host = true, .user = true, .kernel = true });
	add_event(6, (struct config_event){ "cycles", .host = true, .kernel = true, .period = 1000 });
	add_event(33, (struct config_event){ "event=0xc4,umask=0x11", .event = 0xc4, .umask = 0x11, .guest = true,
					     .user = true });
	counts[0][0] = 123456789;
	counts[0][1] = 2000;
	cpus[0].pmu.events[1].overflows = 2;
	cpus[0].counts.exits[EXIT_CPUID] = 41;
	cpus[0].counts.exits[EXIT_SIPI] = 1;
	cpus[0].counts.faults_injected = 5;
	cpus[0].counts.hidden_touches = 6;
	cpus[0].pmu.stats = (struct pmu_stats){ .host_pmis = 10,
						.host_late = 11,
						.guest_pmis = 12,
						.guest_pmis_emulated = 13,
						.guest_pmis_masked = 14,
						.guest_nmis = 15,
						.root_nmis = 16,
						.merged_nmis = 17,
						.windows = 18,
						.paused_tsc = 19,
						.emulated = 20,
						.hidden_writes = 21 };
	tsc = cpus[0].time.started + 2500 * MS;
	cpus[0].time.root = 50 * MS - tsc; /* entries less exits, and now is one more entry */
}

static const char whole_dump[] = "pmuvisor dump number 1 cpu 0 ms 2500 mode shared\n"
				 "  counter 7 event instructions in guest,host at user,kernel count 123456789\n"
				 "  counter 6 event cycles in host at kernel count 2000 period 1000 overflows 2\n"
				 "  counter 33 event event=0xc4,umask=0x11 in guest at user count 0\n"
				 "  exits cpuid count 41\n"
				 "  exits sipi count 1\n"
				 "  pmi host 10 host-late 11 guest 12 guest-emulated 13 guest-masked 14\n"
				 "  nmi guest 15 in-root 16 merged 17\n"
				 "  time root-ticks 100000000 root-share 2.00% paused-ticks 19 windows 18\n"
				 "  guest emulated 20 faults 5 hidden-memory 6 hidden-counters 21 lost-characters 17\n"
				 "end\n";

static void one_line_for_each_tick(void **state)
{
	(void)state;
	fill();
	dump_request(&cpus[0]);
	assert_int_equal(polls, 1);
	assert_int_equal(timers[0], FIFO_TICKS);
	assert_int_equal(dump_pending(), 1);
	dump_tick(&cpus[0]);
	assert_int_equal(writes, 1);
	assert_int_equal(dump_pending(), queued + 1);
	dump_request(&cpus[0]); /* one is under way */
	assert_int_equal(dump.number, 1);
	tick_until_done();
	assert_string_equal(output, whole_dump);
	assert_int_equal(flushes, 0);
	dump_tick(&cpus[0]);
	assert_int_equal(dump_pending(), 0);
	assert_int_equal(timers[0], 0);
}

static void pebs_has_a_line_once_it_is_used(void **state)
{
	(void)state;
	cpus[0].pmu.pebs.stats = (struct pebs_stats){ .exits = 1 };
	dump_final(&cpus[0]);
	assert_null(strstr(output, "\n  pebs "));
	cpus[0].pmu.pebs.stats = (struct pebs_stats){ 1, 2, 3, 4, 5, 6 };
	dump_final(&cpus[0]);
	assert_non_null(strstr(output, " guest-masked 0\n  pebs starts 1 exits 2 ds-areas 3 unmapped 4 hidden 5 "
				       "hidden-records 6\n  nmi "));
}

static void start_block_says_whose_the_lbrs_are(void **state)
{
	static const struct lbr_ops kind = { .name = "architectural" };
	static const char *const owners[] = { "none", "guest", "host", "both" };
	char expected[80];

	(void)state;
	cpus[0].pmu.lbr.ops = &kind;
	cpus[0].pmu.lbr.caps.entries = 16;
	for (unsigned i = 0; i < ARRAY_SIZE(owners); i++) {
		length = 0;
		cpus[0].pmu.lbr.guests = i & 1;
		cpus[0].pmu.lbr.hosts = i & 2;
		dump_start(&cpus[0]);
		snprintf(expected, sizeof(expected), "\n  lbr %s kind architectural entries 16\n", owners[i]);
		assert_non_null(strstr(output, expected));
	}
}

/* Captures that come while a dump is printed don't get into it. */
static void branches_are_of_one_capture(void **state)
{
	(void)state;
	fill();
	cpus[0].pmu.lbr.hosts = true;
	cpus[0].pmu.lbr.captures = 7;
	cpus[0].pmu.lbr.nr_branches = LBR_MAX_ENTRIES;
	for (unsigned i = 0; i < LBR_MAX_ENTRIES; i++)
		cpus[0].pmu.lbr.branches[i] = (struct lbr_branch){ 0x1000 + i, UINT64_C(0xffffffff80000000) + i };
	dump_request(&cpus[0]);
	cpus[0].pmu.lbr.captures = 8;
	memset(cpus[0].pmu.lbr.branches, 0, sizeof(cpus[0].pmu.lbr.branches));
	tick_until_done();
	assert_non_null(strstr(output, " guest-masked 14\n  lbr captures 7\n"
				       "  branch from 0x1000 to 0xffffffff80000000\n"
				       "  branch from 0x1001 to 0xffffffff80000001\n"
				       "  branch from 0x1002 to 0xffffffff80000002\n"
				       "  branch from 0x1003 to 0xffffffff80000003\n  nmi "));
	length = 0;
	cpus[0].pmu.lbr.nr_branches = 1;
	dump_final(&cpus[0]);
	assert_non_null(strstr(output, "\n  lbr captures 8\n  branch from 0x0 to 0x0\n  nmi "));
}

static void full_queue_puts_lines_off(void **state)
{
	(void)state;
	fill();
	dump_request(&cpus[0]);
	for (unsigned i = 0; i < 150; i++) {
		has_room = i % 3 == 2;
		dump_tick(&cpus[0]);
	}
	assert_string_equal(output, whole_dump);
}

static void final_dump_waits(void **state)
{
	(void)state;
	fill();
	dump_final(&cpus[0]);
	assert_string_equal(output, whole_dump);
	assert_int_equal(queued, 0);
	assert_false(dump.active);
}

/* One that was under way is finished, not begun again. */
static void final_dump_in_a_dump(void **state)
{
	(void)state;
	fill();
	dump_request(&cpus[0]);
	dump_tick(&cpus[0]);
	dump_tick(&cpus[0]);
	dump_final(&cpus[0]);
	assert_string_equal(output, whole_dump);
}

static void dumps_come_in_time(void **state)
{
	(void)state;
	boot->config.dump_ms = 100;
	dump.due = tsc + 100 * MS;
	dump_tick(&cpus[0]);
	assert_int_equal(timers[0], 100 * MS);
	assert_int_equal(writes, 0);
	tsc += 100 * MS - 1;
	dump_tick(&cpus[0]);
	assert_int_equal(timers[0], 1);
	assert_int_equal(writes, 0);
	tsc += 5;
	tick_until_done();
	assert_int_equal(dump.number, 1);
	assert_int_equal(dump.due, tsc + 100 * MS);
	dump_tick(&cpus[0]);
	assert_int_equal(timers[0], 100 * MS);
	tsc += 1000 * MS; /* the guest kept the timer waiting: one dump, not ten */
	tick_until_done();
	assert_int_equal(dump.number, 2);
	assert_int_equal(dump.due, tsc + 100 * MS);
}

static void longest_lines_fit(void **state)
{
	const uint64_t most = UINT64_MAX;

	(void)state;
	dump.number = most - 1;
	add_event(47, (struct config_event){ "abcdefghijklmnopqrstuvwxyz01234", .guest = true, .host = true,
					     .user = true, .kernel = true, .period = most });
	counts[0][0] = cpus[0].pmu.events[0].overflows = most;
	for (unsigned i = 0; i < EXIT_REASONS; i++)
		cpus[0].counts.exits[i] = most;
	cpus[0].counts.faults_injected = cpus[0].counts.hidden_touches = most;
	cpus[0].pmu.stats = (struct pmu_stats){ .host_pmis = most,
						.host_late = most,
						.guest_pmis = most,
						.guest_pmis_emulated = most,
						.guest_pmis_masked = most,
						.guest_nmis = most,
						.root_nmis = most,
						.merged_nmis = most,
						.windows = most,
						.paused_tsc = most,
						.emulated = most,
						.hidden_writes = most };
	cpus[0].pmu.pebs.stats = (struct pebs_stats){ most, most, most, most, most, most };
	tsc = most - 1;
	dump_final(&cpus[0]); /* console_write() sees that none is cut */
	assert_non_null(strstr(output, " overflows 18446744073709551615\n"));
	assert_string_equal(output + length - 5, "\nend\n");
	boot->config.dump_csv = true;
	dump_final(&cpus[0]);
	assert_string_equal(output + length - 7, "\n# end\n");
}

/* CPU 1 has counted as much as CPU 0 of everything but of what the test changes. */
static void fill_two(void)
{
	boot->nr_cpus = boot->nr_processors = 2;
	fill();
	cpus[1].pmu = cpus[0].pmu;
	cpus[1].counts = cpus[0].counts;
	cpus[1].time = cpus[0].time;
}

static void publish_all(void)
{
	for (unsigned i = 0; i < boot->nr_cpus; i++)
		report_publish(&cpus[i]);
}

static void processors_of_the_start_block(void **state)
{
	static const struct lbr_ops kind = { .name = "legacy" };

	(void)state;
	boot->nr_cpus = 2;
	boot->nr_processors = 4;
	for (unsigned i = 0; i < NR_CPUS; i++)
		boot->processors[i] = (struct boot_processor){ .number = i, .apic_id = 2 * i, .enabled = i != 3 };
	cpus[0].pmu.guest = BITS(5, 0) | BITS(34, 32);
	cpus[0].pmu.host = BITS(7, 6);
	cpus[0].pmu.caps.version = 5;
	cpus[1].pmu.guest = BITS(3, 0) | BITS(34, 32);
	cpus[1].pmu.host = BITS(5, 4);
	cpus[1].pmu.caps.version = 6;
	cpus[1].pmu.pebs.offer = PEBS_OFFERED;
	cpus[1].pmu.lbr = (struct lbr){ .ops = &kind, .guests = true, .caps.entries = 32 };
	dump_start(&cpus[0]);
	assert_non_null(strstr(output, "\n  lbr none kind none entries 0\n"
				       "  processors all 4 cpus 2\n"
				       "  processor apic-id 0 cpu 0 version 5 guest counters 0-5 fixed 0-2 "
				       "host counters 6-7 fixed none pebs none lbr none kind none entries 0\n"
				       "  processor apic-id 2 cpu 1 version 6 guest counters 0-3 fixed 0-2 "
				       "host counters 4-5 fixed none pebs guest lbr guest kind legacy entries 32\n"
				       "  processor apic-id 4 not pmuvisor's\n"
				       "  processor apic-id 6 disabled by the firmware\n  memory "));
}

/* What doesn't fit into the queue at once comes line by line. */
static void a_long_start_block_is_put_off(void **state)
{
	(void)state;
	has_room = false;
	dump_start(&cpus[0]);
	assert_int_equal(length, 0);
	has_room = true;
	tick_until_done();
	assert_string_equal(output + length - 5, "\nend\n");
	assert_int_equal(dump.number, 0);
}

static const char second_cpu[] = "pmuvisor dump number 1 cpu 1 ms 2400 mode direct\n"
				 "  counter 7 event instructions in guest,host at user,kernel count 11\n"
				 "  counter 6 event cycles in host at kernel count 1000 period 1000 overflows 1\n"
				 "  counter 33 event event=0xc4,umask=0x11 in guest at user count 0\n"
				 "  exits cpuid count 1\n"
				 "  exits timer count 3\n"
				 "  pmi host 10 host-late 11 guest 12 guest-emulated 13 guest-masked 14\n"
				 "  nmi guest 15 in-root 16 merged 17\n"
				 "  time root-ticks 50000000 root-share 1.04% paused-ticks 19 windows 18\n"
				 "  guest emulated 20 faults 5 hidden-memory 6 hidden-counters 21 lost-characters 17\n"
				 "end\n";
static const char sum[] = "pmuvisor total number 1 cpus 2 ms 2500\n"
			  "  event instructions in guest,host at user,kernel count 123456800\n"
			  "  event cycles in host at kernel count 3000 period 1000 overflows 3\n"
			  "  event event=0xc4,umask=0x11 in guest at user count 0\n"
			  "  exits cpuid count 42\n"
			  "  exits timer count 3\n"
			  "  exits sipi count 1\n"
			  "  pmi host 20 host-late 22 guest 24 guest-emulated 26 guest-masked 28\n"
			  "  nmi guest 30 in-root 32 merged 34\n"
			  "  time root-ticks 150000000 root-share 1.53% paused-ticks 38 windows 36\n"
			  "  guest emulated 40 faults 10 hidden-memory 12 hidden-counters 42 lost-characters 17\n"
			  "end\n";

static const char csv_dump[] = "# pmuvisor dump number 1 cpu 0 ms 2500\n"
			       "CPU0,123456789,,instructions,2400000000,96.00,,\n"
			       "CPU0,2000,,cycles:kH,2400000000,96.00,,\n"
			       "CPU0,0,,r11c4:uG,2400000000,96.00,,\n"
			       "CPU0,41,,pmuvisor/exits-cpuid/,2500000000,100.00,,\n"
			       "CPU0,1,,pmuvisor/exits-sipi/,2500000000,100.00,,\n"
			       "CPU0,10,,pmuvisor/pmi-host/,2500000000,100.00,,\n"
			       "CPU0,11,,pmuvisor/pmi-host-late/,2500000000,100.00,,\n"
			       "CPU0,12,,pmuvisor/pmi-guest/,2500000000,100.00,,\n"
			       "CPU0,13,,pmuvisor/pmi-guest-emulated/,2500000000,100.00,,\n"
			       "CPU0,14,,pmuvisor/pmi-guest-masked/,2500000000,100.00,,\n"
			       "CPU0,15,,pmuvisor/nmi-guest/,2500000000,100.00,,\n"
			       "CPU0,16,,pmuvisor/nmi-in-root/,2500000000,100.00,,\n"
			       "CPU0,100000000,,pmuvisor/root-ticks/,2500000000,100.00,,\n"
			       "CPU0,200000000,,pmuvisor/paused-ticks/,2500000000,100.00,,\n"
			       "CPU0,18,,pmuvisor/windows/,2500000000,100.00,,\n"
			       "CPU0,20,,pmuvisor/emulated/,2500000000,100.00,,\n"
			       "CPU0,5,,pmuvisor/faults/,2500000000,100.00,,\n"
			       "CPU0,0,,pmuvisor/samples-taken/,2500000000,100.00,,\n"
			       "CPU0,0,,pmuvisor/samples-lost/,2500000000,100.00,,\n"
			       "# end\n";

static void fields_of_perf_stat(void **state)
{
	(void)state;
	fill();
	boot->config.dump_csv = true;
	cpus[0].pmu.stats.paused_tsc = 100 * MS;
	dump_request(&cpus[0]);
	tick_until_done();
	assert_string_equal(output, csv_dump);
}

/* Between the host's and what pmuvisor did; ticks are half nanoseconds here. */
static void fields_of_the_guest_s_events(void **state)
{
	static const struct config_event branches = { .name = "branches", .user = true, .guest = true };
	static const struct config_event raw = { .name = "event=0xd1,umask=0x1",
						 .event = 0xd1,
						 .umask = 1,
						 .user = true,
						 .kernel = true,
						 .guest = true,
						 .host = true };

	(void)state;
	fill();
	boot->config.dump_csv = true;
	cpus[0].guest_events.open = BIT(2) | BIT(15);
	cpus[0].guest_events.event[2] = (struct guest_event){ .config = branches, .counter = 7 };
	cpus[0].guest_events.event[15] = (struct guest_event){ .config = raw, .counter = PMU_NO_COUNTER };
	dump_request(&cpus[0]);
	tick_until_done();
	assert_non_null(strstr(output, ",,\n"
				       "CPU0,102,,guest-event-2/branches/uG,76,75.24,,\n"
				       "CPU0,115,,guest-event-15/r01d1,82,76.74,,\n"
				       "CPU0,"));
}

/* Nothing else follows what each CPU counted. */
static void fields_of_two_cpus(void **state)
{
	(void)state;
	fill_two();
	publish_all();
	boot->config.dump_csv = true;
	dump_request(&cpus[0]);
	tick_until_done();
	assert_non_null(strstr(output, "# end\n# pmuvisor dump number 1 cpu 1 ms 2500\nCPU1,0,,instructions,"));
	assert_string_equal(output + length - 6, "# end\n");
	assert_null(strstr(output, "total"));
}

/* The other runs its guest meanwhile: what is printed of it is what it has published, all of one moment. */
static void two_cpus_and_their_sum(void **state)
{
	(void)state;
	fill_two();
	cpus[1].pmu.shared = false;
	counts[1][0] = 11;
	counts[1][1] = 1000;
	cpus[1].pmu.events[1].overflows = 1;
	cpus[1].counts = (struct cpu_counts){ .faults_injected = 5, .hidden_touches = 6 };
	cpus[1].counts.exits[EXIT_CPUID] = 1;
	cpus[1].counts.exits[EXIT_TIMER] = 3;
	tsc -= 100 * MS;
	cpus[1].time.root = 50000000 - tsc;
	report_publish(&cpus[1]);
	tsc += 100 * MS;
	counts[1][0] = 12;
	cpus[1].counts.exits[EXIT_TIMER] = 4;
	cpus[1].pmu.stats.host_pmis++;
	dump_request(&cpus[0]);
	tick_until_done();
	assert_memory_equal(output, whole_dump, sizeof(whole_dump) - 1);
	assert_memory_equal(output + sizeof(whole_dump) - 1, second_cpu, sizeof(second_cpu) - 1);
	assert_string_equal(output + sizeof(whole_dump) + sizeof(second_cpu) - 2, sum);
}

/* A publication under way is not read half. */
static void reports_are_whole(void **state)
{
	struct report copy = { .tsc = 7 };

	(void)state;
	fill_two();
	publish_all();
	report_read(&cpus[1], &copy);
	assert_int_equal(copy.tsc, tsc);
	assert_int_equal(copy.sequence % 2, 0);
	tsc++;
	report_publish(&cpus[1]);
	assert_int_equal(cpus[1].report.sequence, copy.sequence + 2);
	assert_int_equal(cpus[1].report.tsc, tsc);
}

/* Only CPU 0 begins dumps by itself; the others publish when they are due. */
static void others_publish_in_time(void **state)
{
	(void)state;
	fill_two();
	boot->config.dump_ms = 100;
	dump.due = tsc + 60 * MS;
	dump_tick(&cpus[1]);
	assert_int_equal(timers[1], 60 * MS);
	assert_int_equal(cpus[1].report.tsc, tsc);
	tsc += 61 * MS;
	dump_tick(&cpus[1]);
	assert_int_equal(timers[1], 100 * MS);
	assert_false(dump.active);
	boot->config.dump_ms = 0;
	dump_tick(&cpus[1]);
	assert_int_equal(timers[1], 0);
	assert_int_equal(writes, 0);
}

/* Whoever asks for a dump prints it. CPU 0 waits with its own, and does not touch the other's. */
static void who_asks_prints(void **state)
{
	(void)state;
	fill_two();
	boot->config.dump_ms = 100;
	publish_all();
	dump_request(&cpus[1]);
	assert_int_equal(timers[1], FIFO_TICKS);
	assert_int_equal(timers[0], 99);
	dump_tick(&cpus[0]); /* its own is due, but this one is under way */
	assert_int_equal(timers[0], FIFO_TICKS);
	assert_int_equal(writes, 0);
	for (unsigned i = 0; dump_pending(); i++) {
		assert_true(i < 100);
		dump_tick(&cpus[1]);
	}
	assert_int_equal(dump.number, 1);
	assert_int_equal(dump.printer, 0);
	dump_tick(&cpus[0]);
	assert_int_equal(dump.number, 2);
}

/* Its timer stands still while it waits for a SIPI. */
static void a_printer_that_is_gone_is_replaced(void **state)
{
	(void)state;
	fill_two();
	publish_all();
	dump_request(&cpus[1]);
	dump_tick(&cpus[1]);
	tsc += TSC_HZ;
	dump_tick(&cpus[0]);
	assert_int_equal(writes, 1);
	tsc += 2;
	for (unsigned i = 0; dump_pending(); i++) {
		assert_true(i < 100);
		dump_tick(&cpus[0]);
	}
	assert_string_equal(output + length - 5, "\nend\n");
	dump_tick(&cpus[1]);
	assert_int_equal(timers[1], 0);
}

/* Nobody waits for another's line: it comes again later. */
static void a_tick_waits_for_nobody(void **state)
{
	(void)state;
	fill_two();
	publish_all();
	dump_request(&cpus[0]);
	dump.lock = 2;
	dump_tick(&cpus[0]);
	assert_int_equal(writes, 0);
	assert_int_equal(timers[0], FIFO_TICKS);
	dump_request(&cpus[1]); /* CPU 1 holds it itself */
	assert_int_equal(dump.lock, 0);
	dump_tick(&cpus[0]);
	assert_int_equal(writes, 1);
}

/* The CPU that stops finishes what another prints, and keeps it from printing. */
static void a_stop_has_the_console_to_itself(void **state)
{
	(void)state;
	fill_two();
	publish_all();
	dump_request(&cpus[0]);
	dump_tick(&cpus[0]);
	dump_seize(&cpus[1]);
	dump_tick(&cpus[0]);
	assert_int_equal(writes, 1);
	dump_final(&cpus[1]);
	assert_int_equal(queued, 0);
	assert_non_null(strstr(output, "\npmuvisor total number 1 cpus 2 "));
	assert_int_equal(dump.lock, 0);
	dump_tick(&cpus[0]);
	assert_int_equal(timers[0], 0);
}

/* CPU 1 has it and never gives it back. */
static void a_stop_prints_even_so(void **state)
{
	(void)state;
	fill_two();
	publish_all();
	tsc_moves = true;
	dump.lock = 2;
	dump_final(&cpus[0]);
	assert_non_null(strstr(output, "pmuvisor dump number 1 cpu 0 "));
}

static uint64_t read_guest(struct cpu *cpu, enum guest_register reg)
{
	(void)cpu;
	return reg == GUEST_RIP ? 0x1000 : 0;
}

static void sample(unsigned cpu, unsigned n)
{
	while (n--)
		sample_take(&cpus[cpu], BIT(6), false);
}

static void fill_samples(void)
{
	static const struct hv_ops sampling_ops = { .name = "VMX", .set_timer = set_timer, .read = read_guest };

	fill_two();
	memset(rings, 0, sizeof(rings));
	boot->sample_rings = (uintptr_t)rings;
	boot->config.samples = CONFIG_SAMPLES_SERIAL;
	cpus[0].ops = cpus[1].ops = &sampling_ops;
	publish_all();
}

static unsigned count(const char *words)
{
	unsigned n = 0;

	for (const char *at = output; (at = strstr(at, words)); at++)
		n++;
	return n;
}

static void samples_are_announced(void **state)
{
	static const struct boot_image images[] = {
		{ 0x3ff83000, 139264, "DxeCore", "D6A2CB7F-6A18-4E2F-B43B-9920A733700A" }, { 0x1000, 77, "", "" }
	};

	(void)state;
	fill_samples();
	boot->images = (uintptr_t)images;
	boot->nr_images = ARRAY_SIZE(images);
	has_room = false;
	dump_start(&cpus[0]);
	has_room = true;
	for (unsigned i = 0; dump.active; i++) {
		assert_true(i < 100);
		sample(0, 2); /* these wait for its end */
		dump_tick(&cpus[0]);
	}
	assert_null(strstr(output, "pmuvisor samples"));
	assert_non_null(strstr(output,
			       "\n  samples format 1 branches 0 ring 69632 ticks 1024\n"
			       "  sampled 1 event cycles in host at kernel period 1000\n"
			       "  image at 0x3ff83000 bytes 139264 guid D6A2CB7F-6A18-4E2F-B43B-9920A733700A name "
			       "DxeCore\n"
			       "  image at 0x1000 bytes 77 guid none name none\n  processors "));
	assert_null(strstr(output, "  sampled 0"));
}

/* Nobody prints, and somebody has enough for a frame. What is less waits for the next dump. */
static void enough_samples_are_sent(void **state)
{
	(void)state;
	fill_samples();
	timers[1] = 99;
	sample(1, FRAME_SAMPLES - 1);
	assert_int_equal(timers[1], 99);
	assert_int_equal(dump.printer, 0);
	sample(1, 1);
	assert_int_equal(timers[1], FIFO_TICKS);
	sample(0, FRAME_SAMPLES + 5); /* CPU 1 sends them too */
	for (unsigned i = 0; dump.printer; i++) {
		assert_true(i < 10);
		assert_int_equal(dump_pending(), 0); /* no dump */
		dump_tick(&cpus[1]);
	}
	assert_int_equal(count("pmuvisor samples cpu 1 first 0 lost 0 "), 1);
	assert_int_equal(count("pmuvisor samples cpu 0 first 0 lost 0 "), 1);
	assert_int_equal(count("\n"), 2);
	assert_int_equal(rings[0].sent, FRAME_SAMPLES);
}

/* They are the guest's to take. */
static void the_guest_s_samples_are_not_sent(void **state)
{
	(void)state;
	fill_samples();
	boot->config.samples = CONFIG_SAMPLES_GUEST;
	sample(1, FRAME_SAMPLES);
	sample(0, SAMPLE_SLOTS);
	dump_request(&cpus[0]);
	for (unsigned i = 0; dump.active; i++) {
		assert_true(i < 200);
		dump_tick(&cpus[0]);
	}
	assert_int_equal(count("pmuvisor samples"), 0);
	assert_true(count("  samples taken 2048 lost 0") > 0);
	assert_int_equal(rings[0].sent + rings[1].sent, 0);
}

/* They wait in the rings: with a frame in the queue there is no other. */
static void samples_do_not_fill_the_queue(void **state)
{
	(void)state;
	fill_samples();
	sample(0, 3 * FRAME_SAMPLES);
	dump_tick(&cpus[0]);
	assert_int_equal(writes, 1);
	assert_true(dump_samples_send(&cpus[0]));
	assert_int_equal(writes, 1);
	assert_int_equal(rings[0].sent, FRAME_SAMPLES);
}

/* All that were there when it began, though more come while they are sent; then no others until its end. */
static void a_dump_comes_after_the_samples_before_it(void **state)
{
	const char *next;
	unsigned published;

	(void)state;
	fill_samples();
	sample(0, FRAME_SAMPLES + 1);
	sample(1, 1);
	report_publish(&cpus[1]);
	published = polls;
	dump_request(&cpus[0]);
	for (unsigned i = 0; dump.active; i++) {
		assert_true(i < 200);
		sample(0, 7);
		dump_tick(&cpus[0]);
	}
	assert_non_null(strstr(output, "pmuvisor samples cpu 1 first 0"));
	assert_true(strstr(output, "pmuvisor samples cpu 1 first 0") < strstr(output, "pmuvisor dump"));
	next = strstr(strstr(output, "pmuvisor dump"), "pmuvisor samples");
	assert_true(next > strstr(strstr(output, "pmuvisor total"), "\nend\n")); /* goes on with the samples */
	assert_int_equal(rings[1].sent, 1);
	assert_int_equal(polls, published + 2); /* CPU 0 again, when they are out */
	assert_true(rings[0].sent >= FRAME_SAMPLES + 1 && rings[0].sent < rings[0].taken);
	assert_int_equal(count("  samples taken "), 3);
	assert_non_null(strstr(output, "\n  samples taken 1 lost 0\n  nmi "));
	assert_true(dump.printer == 1);
}

/* A guest that waits for the end of its dump sees it although samples never end. */
static void the_end_of_a_dump_is_seen(void **state)
{
	unsigned i = 0;

	(void)state;
	fill_samples();
	dump_request(&cpus[0]);
	while (dump_pending()) {
		assert_true(i++ < 200);
		sample(0, FRAME_SAMPLES);
		dump_tick(&cpus[0]);
	}
	assert_int_equal(dump.number, 1);
	assert_non_null(strstr(output, "pmuvisor total number 1 "));
}

/*
 * What is due is done in an exit that there is anyway, and the timer's own then comes late: but not for who falls
 * behind, nor before an NMI of the guest's.
 */
static void exits_of_samples_send_them(void **state)
{
	(void)state;
	fill_samples();
	sample(0, FRAME_SAMPLES);
	dump_look(&cpus[0]);
	assert_int_equal(writes, 0);
	tsc += FIFO_TICKS;
	cpus[0].nmi.pending = true;
	dump_look(&cpus[0]);
	assert_int_equal(writes, 0);
	cpus[0].nmi.pending = false;
	dump_look(&cpus[0]);
	assert_int_equal(writes, 1);
	assert_int_equal(timers[0], FIFO_TICKS + TSC_HZ / 64);
	tsc += FIFO_TICKS + TSC_HZ / 64;
	dump_tick(&cpus[0]); /* nobody else came */
	sample(0, FRAME_SAMPLES);
	timer_tick(&cpus[0]);
	assert_int_equal(timers[0], FIFO_TICKS);
	sample(0, SAMPLE_SLOTS / 2);
	tsc += FIFO_TICKS;
	dump_look(&cpus[0]);
	assert_int_equal(timers[0], FIFO_TICKS);
}

static void samples_of_a_printer_that_is_gone(void **state)
{
	(void)state;
	fill_samples();
	sample(1, FRAME_SAMPLES);
	assert_int_equal(dump.printer, 2);
	sample(0, FRAME_SAMPLES);
	assert_int_equal(dump.printer, 2);
	tsc += TSC_HZ + 1;
	sample(0, 1);
	assert_int_equal(dump.printer, 1);
	assert_int_equal(timers[0], FIFO_TICKS);
}

static void a_stop_sends_what_there_is(void **state)
{
	(void)state;
	fill_samples();
	sample(0, 3);
	dump_final(&cpus[0]);
	assert_int_equal(rings[0].sent, 3);
	assert_non_null(strstr(output, "\n  samples taken 3 lost 0\n"));
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

static void guest_events(void **state)
{
	static const struct config_event branches = { .name = "branches", .user = true, .guest = true };
	static const struct config_event raw = {
		.name = "event=0xd1,umask=0x1", .user = true, .kernel = true, .host = true, .period = 5000
	};

	(void)state;
	cpus[0].guest_events.open = BIT(2) | BIT(15);
	cpus[0].guest_events.event[2] = (struct guest_event){ .config = branches, .counter = 7 };
	cpus[0].guest_events.event[15] = (struct guest_event){ .config = raw, .counter = PMU_NO_COUNTER };
	dump_final(&cpus[0]);
	assert_non_null(strstr(output,
			       "mode direct\n"
			       "  guest-event 2 counter 7 event branches in guest at user count 102\n"
			       "  guest-time 2 enabled-ticks 202 running-ticks 152\n"
			       "  guest-event 15 counter none event event=0xd1,umask=0x1 in host at user,kernel "
			       "count 115 period 5000 overflows 7\n"
			       "  guest-time 15 enabled-ticks 215 running-ticks 165\n"
			       "  pmi host"));
}

/* Two wait for the one timer: the earlier sets it, and the other is still called in time. */
static void timers_of_two(void **state)
{
	(void)state;
	boot->config.dump_ms = 1000;
	timer_set(&cpus[0], TIMER_GUEST_EVENTS, 500 * MS);
	assert_int_equal(timers[0], 500 * MS);
	timer_set(&cpus[0], TIMER_DUMP, 700 * MS);
	assert_int_equal(timers[0], 500 * MS);
	timer_set(&cpus[0], TIMER_DUMP, 100 * MS);
	assert_int_equal(timers[0], 100 * MS);
	timer_set(&cpus[0], TIMER_DUMP, 0);
	assert_int_equal(timers[0], 500 * MS);
	timer_set(&cpus[0], TIMER_GUEST_EVENTS, 0);
	assert_int_equal(timers[0], 0);
	timer_set(&cpus[0], TIMER_GUEST_EVENTS, 500 * MS);
	timer_set(&cpus[0], TIMER_DUMP, 100 * MS);
	tsc += 99 * MS; /* it came early */
	timer_tick(&cpus[0]);
	assert_int_equal(timers[0], MS);
	tsc += 2 * MS;
	timer_tick(&cpus[0]);
	assert_int_not_equal(cpus[0].timer.due[TIMER_DUMP], 0); /* dump_tick() waits again */
	assert_true(timers[0] <= 399 * MS);
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
		cmocka_unit_test_setup(samples_are_announced, setup),
		cmocka_unit_test_setup(fields_of_perf_stat, setup),
		cmocka_unit_test_setup(fields_of_the_guest_s_events, setup),
		cmocka_unit_test_setup(fields_of_two_cpus, setup),
		cmocka_unit_test_setup(the_guest_s_samples_are_not_sent, setup),
		cmocka_unit_test_setup(enough_samples_are_sent, setup),
		cmocka_unit_test_setup(samples_do_not_fill_the_queue, setup),
		cmocka_unit_test_setup(exits_of_samples_send_them, setup),
		cmocka_unit_test_setup(a_dump_comes_after_the_samples_before_it, setup),
		cmocka_unit_test_setup(the_end_of_a_dump_is_seen, setup),
		cmocka_unit_test_setup(samples_of_a_printer_that_is_gone, setup),
		cmocka_unit_test_setup(a_stop_sends_what_there_is, setup),
		cmocka_unit_test_setup(processors_of_the_start_block, setup),
		cmocka_unit_test_setup(a_long_start_block_is_put_off, setup),
		cmocka_unit_test_setup(two_cpus_and_their_sum, setup),
		cmocka_unit_test_setup(reports_are_whole, setup),
		cmocka_unit_test_setup(others_publish_in_time, setup),
		cmocka_unit_test_setup(who_asks_prints, setup),
		cmocka_unit_test_setup(a_printer_that_is_gone_is_replaced, setup),
		cmocka_unit_test_setup(a_tick_waits_for_nobody, setup),
		cmocka_unit_test_setup(a_stop_has_the_console_to_itself, setup),
		cmocka_unit_test_setup(a_stop_prints_even_so, setup),
		cmocka_unit_test_setup(guest_events, setup),
		cmocka_unit_test_setup(timers_of_two, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
