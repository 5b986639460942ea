/*
 * What PEBS costs below the guest, in phases as in exits.c: an exit before PEBS is used, while a counter counts, and
 * while it has records; and a PMI at each record. With `pebs=0` in the arguments, an exit where PEBS is hidden. And a
 * long run, with `records=` in the arguments as many as that: none may be lost.
 */
#include "apic.h"
#include "boot.h"
#include "ds.h"
#include "mark.h"
#include "phase.h"
#include "pmu.h"
#include "tap.h"
#include "trap.h"
#include "workload.h"

const char test_title[] = "pebs: the cost of records";

#define ACTIONS         1000
#define PERIOD          997 /* branches; a record is of the one after */
#define DEFAULT_RECORDS 2000
#define LONG_PERIOD     97
#define LONG_THRESHOLD  61 /* records for each PMI of the long run */
#define COUNTER         0

#define BRANCHES_A_ROUND (WORK_LOOP_BRANCHES(1) - WORK_LOOP_BRANCHES(0))

static struct {
	uint64_t pmis, records;
	uint64_t strangers; /* status bits other than that of the buffer, added up */
} taken;

static void on_pmi(struct trap_frame *frame)
{
	uint64_t status;

	(void)frame;
	wrmsr(MSR_IA32_PERF_GLOBAL_CTRL, 0);
	status = rdmsr(MSR_IA32_PERF_GLOBAL_STATUS);
	wrmsr(MSR_IA32_PERF_GLOBAL_STATUS_RESET, status);
	taken.strangers += (status & ~PERF_GLOBAL_STATUS_OVF_BUF) != 0;
	taken.records += ds_drain();
	taken.pmis++;
	wrmsr(MSR_IA32_PERF_GLOBAL_CTRL, BIT(COUNTER));
	apic_write(APIC_LVTPC, LVT_NMI);
}

/* The counter alone, without PEBS. */
static void start_counting(uint64_t period)
{
	pmu_reset();
	trap_handle(VECTOR_NMI, on_pmi);
	apic_write(APIC_LVTPC, LVT_NMI);
	pmu_write(COUNTER, pmu_preset(period));
	wrmsr(MSR_IA32_PERFEVTSEL0 + COUNTER, EVENT_BRANCHES | PERFEVTSEL_USR | PERFEVTSEL_EN);
	wrmsr(MSR_IA32_PERF_GLOBAL_CTRL, BIT(COUNTER));
}

static void start(uint64_t period, unsigned threshold)
{
	taken.pmis = taken.records = taken.strangers = 0;
	ds_init(threshold, sizeof(struct pebs_basic));
	ds_set_reset(COUNTER, pmu_preset(period));
	wrmsr(MSR_IA32_PEBS_ENABLE, BIT(COUNTER));
	start_counting(period);
}

static void stop(void)
{
	wrmsr(MSR_IA32_PERF_GLOBAL_CTRL, 0);
	wrmsr(MSR_IA32_PEBS_ENABLE, 0);
	taken.records += ds_drain();
}

static void measure_cpuid(const char *name)
{
	phase_begin();
	for (unsigned i = 0; i < ACTIONS; i++)
		cpuid(0, 0);
	phase_end(name, ACTIONS);
}

static void measure_exits(void)
{
	start_counting(PERIOD * ACTIONS);
	measure_cpuid("cpuid_counted");
	start(PERIOD * ACTIONS, 1);
	measure_cpuid("cpuid_pebs");
	stop();
	tap_equal(taken.records, 0, "a counter of user mode has no record from ring 0");
}

static void run_work(const char *name)
{
	phase_begin();
	user_run(work_loop);
	phase_end(name, taken.pmis ? taken.pmis : 1);
}

/* The same work first without and then with PMIs, so that the difference is theirs. */
static void measure_pmi(void)
{
	work_rounds = ACTIONS * PERIOD / BRANCHES_A_ROUND;
	start(2 * PERIOD * ACTIONS, 1);
	run_work("work");
	stop();
	start(PERIOD, 1);
	run_work("pmi");
	stop();
	tap_equal(taken.pmis, WORK_LOOP_BRANCHES(work_rounds) / (PERIOD + 1), "every PMI came");
	tap_equal(taken.records, taken.pmis, "with a record each");
}

static void measure_records(void)
{
	uint64_t records = boot_number("records", DEFAULT_RECORDS);

	work_rounds = records * (LONG_PERIOD + 1) / BRANCHES_A_ROUND + 1;
	start(LONG_PERIOD, LONG_THRESHOLD);
	mark(MARK_PEBS_BEGIN);
	user_run(work_loop);
	mark(MARK_PEBS_END);
	stop();
	records = WORK_LOOP_BRANCHES(work_rounds) / (LONG_PERIOD + 1);
	tap_equal(taken.records, records, "a record each period and one");
	tap_equal(taken.pmis, records / LONG_THRESHOLD, "a PMI each time that the threshold is reached");
	tap_equal(taken.strangers, 0, "no status bit but that of the buffer");
	tap_figure("pebs_records_taken", taken.records);
	tap_figure("pebs_records_expected", records);
}

void test_main(void)
{
	pmu_init();
	measure_cpuid("cpuid");
	tap_equal(ds_has_pebs(), boot_number("pebs", 1), "PEBS is there, or hidden");
	if (!ds_has_pebs())
		return;
	measure_exits();
	measure_pmi();
	measure_records();
}
