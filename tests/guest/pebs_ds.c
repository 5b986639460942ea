/*
 * The DS area: what the processor reads there before a record and writes after it.
 *
 * What the hardware does: for each record it reads where the buffer is, how full it may become and what the counter
 * goes on from; it moves the index, sets OvfBuf and interrupts when the index reaches the threshold, freezes if
 * DEBUGCTL says so, and writes nothing once the buffer is full. What breaks: a hypervisor that reads the area in the
 * processor's stead, forgets OvfBuf or the freeze that comes with it, or reloads the wrong counter. How the test tells:
 * each field is given a value that no other has, and every effect is checked alone.
 */
#include "apic.h"
#include "ds.h"
#include "pmu.h"
#include "tap.h"
#include "trap.h"
#include "workload.h"

const char test_title[] = "pebs_ds: threshold, maximum, index and reset values";

#define ROUNDS  500
#define PERIOD  100
#define SIZE    sizeof(struct pebs_basic)
#define EVENTS  WORK_LOOP_INSTRUCTIONS(ROUNDS)
#define RECORDS (EVENTS / (PERIOD + 1)) /* reduced skid: the reload takes one event more */
#define SIZE_4K 4096
#define NEVER   (BIT(32) - 1) /* so many events none of the runs here has */

static struct {
	unsigned pmis;
	uint64_t status; /* at the first PMI */
	unsigned fewest, most;
} seen;

static unsigned records_in(const struct ds_area *area)
{
	return (unsigned)((area->pebs_index - area->pebs_base) / SIZE);
}

/* Takes what is there and lets the counters go on. */
static void on_pmi(struct trap_frame *frame)
{
	unsigned n = records_in(&ds_area);

	(void)frame;
	if (!seen.pmis++) {
		seen.status = rdmsr(MSR_IA32_PERF_GLOBAL_STATUS);
		seen.fewest = seen.most = n;
	}
	seen.fewest = n < seen.fewest ? n : seen.fewest;
	seen.most = n > seen.most ? n : seen.most;
	ds_drain();
	wrmsr(MSR_IA32_PERF_GLOBAL_STATUS_RESET, PERF_GLOBAL_STATUS_OVF_BUF);
	apic_write(APIC_LVTPC, LVT_NMI);
}

/* Leaves everything as it is, frozen. */
static void on_frozen_pmi(struct trap_frame *frame)
{
	(void)frame;
	if (!seen.pmis++)
		seen.status = rdmsr(MSR_IA32_PERF_GLOBAL_STATUS);
}

/* An empty buffer with room for 1024, whose threshold none of the runs here reaches. */
static void begin(void)
{
	pmu_reset();
	wrmsr(MSR_IA32_PEBS_ENABLE, 0);
	wrmsr(MSR_PEBS_DATA_CFG, 0);
	ds_init(1024, SIZE);
	work_rounds = ROUNDS;
	seen.pmis = 0;
	trap_handle(VECTOR_NMI, on_pmi);
	apic_write(APIC_LVTPC, LVT_NMI);
}

/* The counter overflows after `left` events in ring 3, and then after every `period`. */
static void add(unsigned counter, uint64_t left, uint64_t period)
{
	unsigned m = counter - FIXED(0);

	pmu_write(counter, pmu_preset(left));
	ds_set_reset(counter, pmu_preset(period));
	if (counter < FIXED(0))
		wrmsr(pmu_selector(counter), EVENT_INSTRUCTIONS | PERFEVTSEL_USR | PERFEVTSEL_EN);
	else
		wrmsr(MSR_IA32_FIXED_CTR_CTRL, rdmsr(MSR_IA32_FIXED_CTR_CTRL) | FIXED_CTR_CTRL(m, FIXED_USR));
}

static void run(uint64_t sampled, uint64_t counted)
{
	wrmsr(MSR_IA32_PEBS_ENABLE, sampled);
	wrmsr(MSR_IA32_PERF_GLOBAL_CTRL, sampled | counted);
	user_run(work_loop);
	wrmsr(MSR_IA32_PERF_GLOBAL_CTRL, 0);
	wrmsr(MSR_IA32_PEBS_ENABLE, 0);
}

#define HIGH_BITS UINT64_C(0xabcd000000000000)
#define MARK      UINT64_C(0x0000123400000000)

/* Every slot another value; the counter's own has bits that it can't hold. */
static bool finds_its_slot(unsigned counter)
{
	begin();
	for (unsigned i = 0; i < DS_RESETS; i++)
		ds_area.reset[i] = (uint64_t)(i + 1) << 32;
	add(counter, 10, 0);
	ds_set_reset(counter, HIGH_BITS | MARK);
	run(BIT(counter), 0);
	return records_in(&ds_area) == 1 && pmu_read(counter) >> 32 == MARK >> 32;
}

static void test_slots(void)
{
	unsigned counters = 0, wrong = 0;

	for (unsigned counter = 0; counter < 64; counter++) {
		if (!((pmu.gp_mask | pmu.fixed_mask) & BIT(counter)))
			continue;
		counters++;
		if (!finds_its_slot(counter)) {
			tap_note("counter %u went on from %lx after %u records", counter, pmu_read(counter),
				 records_in(&ds_area));
			wrong++;
		}
	}
	tap_check(counters >= 2, "%u counters have PEBS", counters);
	tap_equal(wrong, 0, "each goes on from its own slot, cut to the width of a counter");
}

/*
 * From anywhere before the wrap comes a record, from 0 there is none. (Not that it would be worth a threshold: the one
 * here is the first record.)
 */
static bool starts_from(unsigned counter, uint64_t start)
{
	uint64_t status = start ? PERF_GLOBAL_STATUS_OVF_BUF : 0;

	begin();
	apic_write(APIC_LVTPC, LVT_MASKED);
	ds_area.pebs_threshold = ds_area.pebs_base + SIZE;
	add(counter, start, 0);
	run(BIT(counter), 0);
	return records_in(&ds_area) == !!start && rdmsr(MSR_IA32_PERF_GLOBAL_STATUS) == status;
}

static void test_starts(void)
{
	static const uint64_t starts[] = { 0, 1, 2, 16 };

	for (unsigned i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
		unsigned wrong = 0;

		for (unsigned counter = 0; counter < 64; counter++)
			if ((pmu.gp_mask | pmu.fixed_mask) & BIT(counter))
				wrong += !starts_from(counter, starts[i]);
		tap_equal(wrong, 0, "%lu before the wrap: a record and OvfBuf from every counter, or neither",
			  starts[i]);
	}
}

/* The reload is of counters that were in the record, and it takes their status bits and no others. */
static void test_applicable(void)
{
	const struct pebs_basic *record;

	begin();
	add(0, 50, NEVER);
	add(1, 50, PERIOD);
	add(FIXED_INSTRUCTIONS, NEVER, NEVER);
	run(BIT(0) | BIT(FIXED_INSTRUCTIONS), BIT(1));
	record = ds_next(NULL);
	tap_check(record && record->counters == BIT(0), "one of three counters is due: the record is its alone");
	tap_equal(records_in(&ds_area), 1, "and no other record comes");
	tap_equal(rdmsr(MSR_IA32_PERF_GLOBAL_STATUS), BIT(1), "an overflow without PEBS keeps its status bit");
	tap_equal(pmu_read(1), EVENTS - 50, "and isn't reloaded");
	tap_equal(pmu_read(0), pmu_preset(NEVER) + EVENTS - 51, "the counter with the record is");
	tap_equal(pmu_read(FIXED_INSTRUCTIONS), pmu_preset(NEVER) + EVENTS, "the one that wasn't due isn't");
}

static void test_threshold(const char *name, uint64_t threshold, unsigned records)
{
	begin();
	ds_area.pebs_threshold = threshold;
	add(1, PERIOD, PERIOD);
	run(BIT(1), 0);
	tap_equal(seen.pmis, RECORDS / records, "threshold %s: PMIs", name);
	tap_equal(seen.status, PERF_GLOBAL_STATUS_OVF_BUF, "threshold %s: OvfBuf and nothing else", name);
	tap_check(seen.fewest == records && seen.most == records, "threshold %s: %u to %u records each", name,
		  seen.fewest, seen.most);
}

static void test_thresholds(void)
{
	uint64_t base;

	ds_init(1, SIZE);
	base = ds_area.pebs_base;
	test_threshold("at the first record", base + SIZE, 1);
	test_threshold("behind it by a byte", base + SIZE + 1, 2);
	test_threshold("at the third record", base + 3 * SIZE, 3);
	test_threshold("below the buffer", 0, 1);
}

/* A masked PMI is dropped for good; OvfBuf is set all the same, and stays until it is cleared. */
static void test_masked(void)
{
	begin();
	apic_write(APIC_LVTPC, LVT_MASKED);
	ds_area.pebs_threshold = ds_area.pebs_base + 2 * SIZE;
	add(1, PERIOD, PERIOD);
	run(BIT(1), 0);
	tap_equal(rdmsr(MSR_IA32_PERF_GLOBAL_STATUS), PERF_GLOBAL_STATUS_OVF_BUF, "LVTPC masked: OvfBuf");
	tap_equal(records_in(&ds_area), RECORDS, "LVTPC masked: the records go on");
	apic_write(APIC_LVTPC, LVT_NMI);
	cpuid(0, 0);
	tap_equal(seen.pmis, 0, "LVTPC masked: no PMI, not then nor when it is unmasked");
	wrmsr(MSR_IA32_PERF_GLOBAL_STATUS_RESET, PERF_GLOBAL_STATUS_OVF_BUF);
	tap_equal(rdmsr(MSR_IA32_PERF_GLOBAL_STATUS), 0, "RESET clears OvfBuf");
	wrmsr(MSR_IA32_PERF_GLOBAL_STATUS_SET, PERF_GLOBAL_STATUS_OVF_BUF);
	tap_equal(rdmsr(MSR_IA32_PERF_GLOBAL_STATUS), PERF_GLOBAL_STATUS_OVF_BUF, "SET sets it");
	wrmsr(MSR_IA32_PERF_GLOBAL_STATUS_RESET, PERF_GLOBAL_STATUS_OVF_BUF);
}

#define SENTINEL UINT64_C(0x5e5e5e5e5e5e5e5e)

static void test_full(void)
{
	uint64_t *behind, value;

	begin();
	ds_area.pebs_maximum = ds_area.pebs_base + 2 * SIZE;
	ds_area.pebs_threshold = ds_area.pebs_maximum + 1;
	behind = (uint64_t *)(uintptr_t)ds_area.pebs_maximum;
	*behind = SENTINEL;
	add(1, PERIOD, PERIOD);
	run(BIT(1), 0);
	tap_equal(ds_area.pebs_index, ds_area.pebs_maximum, "a full buffer: the index stays at the maximum");
	tap_equal(*behind, SENTINEL, "a full buffer: nothing is written behind it");
	tap_equal(rdmsr(MSR_IA32_PERF_GLOBAL_STATUS), 0, "a full buffer: no status bit says so");
	tap_equal(seen.pmis, 0, "a full buffer: nor does a PMI");
	value = pmu_read(1);
	tap_equal(value, pmu_preset(PERIOD) + EVENTS % (PERIOD + 1), "a full buffer: the counter is reloaded");
	ds_drain();
	run(BIT(1), 0);
	tap_equal(ds_area.pebs_index, ds_area.pebs_maximum, "emptied, it takes records again");
}

static void test_freeze(void)
{
	begin();
	trap_handle(VECTOR_NMI, on_frozen_pmi);
	wrmsr(MSR_IA32_DEBUGCTL, DEBUGCTL_FREEZE_PERFMON_ON_PMI);
	ds_area.pebs_threshold = ds_area.pebs_base + 3 * SIZE;
	add(1, PERIOD, PERIOD);
	add(2, NEVER, NEVER);
	run(BIT(1), BIT(2));
	tap_equal(seen.pmis, 1, "freeze: one PMI");
	tap_equal(seen.status, PERF_GLOBAL_STATUS_OVF_BUF | PERF_GLOBAL_STATUS_CTR_FRZ, "freeze: OvfBuf and CTR_Frz");
	tap_equal(records_in(&ds_area), 3, "freeze: at the record that reaches the threshold, not before");
	tap_equal(pmu_read(1), pmu_preset(PERIOD), "freeze: the counter has been reloaded, and stands");
	tap_equal(pmu_read(2), pmu_preset(NEVER) + 3 * (PERIOD + 1), "freeze: so does the one beside it");
	wrmsr(MSR_IA32_PERF_GLOBAL_STATUS_RESET, PERF_GLOBAL_STATUS_OVF_BUF | PERF_GLOBAL_STATUS_CTR_FRZ);
	wrmsr(MSR_IA32_DEBUGCTL, 0);
	run(BIT(1), BIT(2));
	tap_equal(records_in(&ds_area), 3 + RECORDS, "thawed, it goes on");
	wrmsr(MSR_IA32_PERF_GLOBAL_STATUS_RESET, PERF_GLOBAL_STATUS_OVF_BUF);
}

static uint8_t pages[3 * SIZE_4K] __attribute__((aligned(SIZE_4K)));

static unsigned wrong_records(const struct ds_area *area)
{
	const struct pebs_basic *record = (const struct pebs_basic *)(uintptr_t)area->pebs_base;
	unsigned wrong = 0;

	for (unsigned i = 0; i < records_in(area); i++, record++)
		wrong += record->format != SIZE << 48 || record->counters != BIT(1) ||
			 record->ip < (uint64_t)work_loop || record->ip > (uint64_t)work_loop + 64;
	return wrong;
}

/* An area in two pages, and records across the boundary to the third. */
static void test_places(void)
{
	struct ds_area *area = (struct ds_area *)(void *)(pages + SIZE_4K - offsetof(struct ds_area, pebs_maximum));

	begin();
	add(1, PERIOD, PERIOD);
	*area = ds_area;
	area->pebs_base = area->pebs_index = (uint64_t)(uintptr_t)pages + 2 * SIZE_4K - 5 * SIZE - 24;
	area->pebs_maximum = area->pebs_threshold = area->pebs_base + 16 * SIZE;
	wrmsr(MSR_IA32_DS_AREA, (uint64_t)(uintptr_t)area);
	run(BIT(1), 0);
	tap_equal(seen.pmis, 1, "another area: its threshold counts");
	tap_equal(records_in(area), 16, "another area: records across pages");
	tap_equal(wrong_records(area), 0, "another area: all as they should be");
	tap_equal(records_in(&ds_area), 0, "another area: the one before gets none");
	wrmsr(MSR_IA32_DS_AREA, (uint64_t)(uintptr_t)&ds_area);
	run(BIT(1), 0);
	tap_check(records_in(&ds_area) > 0 && records_in(area) == 16, "and the other way round");
}

static void test_time(void)
{
	uint64_t before, after, last;
	unsigned wrong = 0;

	begin();
	add(1, PERIOD, PERIOD);
	before = last = rdtsc();
	run(BIT(1), 0);
	after = rdtsc();
	for (const struct pebs_basic *record = ds_next(NULL); record; record = ds_next(record)) {
		wrong += record->tsc < last + PERIOD || record->tsc > after;
		last = record->tsc;
	}
	tap_equal(wrong, 0, "time stamps: one period after the other, from %lu to %lu", before, after);
}

void test_main(void)
{
	pmu_init();
	if (!ds_has_pebs())
		tap_abort("there is no PEBS");
	test_slots();
	test_starts();
	test_applicable();
	test_thresholds();
	test_masked();
	test_full();
	test_freeze();
	test_places();
	test_time();
}
