/*
 * What PEBS costs below the guest, in phases as in exits.c: an exit while PEBS was never used and while it is, and a PMI
 * at each record. And a long run, with `records=` in the arguments as many as that: none may be lost.
 */
#include "apic.h"
#include "boot.h"
#include "ds.h"
#include "mark.h"
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

static unsigned nr_phases;

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

static void start(uint64_t period, unsigned threshold)
{
	pmu_reset();
	trap_handle(VECTOR_NMI, on_pmi);
	apic_write(APIC_LVTPC, LVT_NMI);
	ds_init(threshold, sizeof(struct pebs_basic));
	ds_set_reset(COUNTER, pmu_preset(period));
	pmu_write(COUNTER, pmu_preset(period));
	wrmsr(MSR_IA32_PERFEVTSEL0 + COUNTER, EVENT_BRANCHES | PERFEVTSEL_USR | PERFEVTSEL_EN);
	wrmsr(MSR_IA32_PEBS_ENABLE, BIT(COUNTER));
	wrmsr(MSR_IA32_PERF_GLOBAL_CTRL, BIT(COUNTER));
	taken.pmis = taken.records = taken.strangers = 0;
}

static void stop(void)
{
	wrmsr(MSR_IA32_PERF_GLOBAL_CTRL, 0);
	wrmsr(MSR_IA32_PEBS_ENABLE, 0);
	taken.records += ds_drain();
}

static uint32_t phase_mark(void)
{
	return MARK_EXITS + 2 * nr_phases;
}

static void report(const char *name, uint64_t actions)
{
	tap_phase(name, phase_mark(), actions);
	nr_phases++;
}

static void measure_cpuid(const char *name)
{
	mark(phase_mark());
	for (unsigned i = 0; i < ACTIONS; i++)
		cpuid(0, 0);
	mark(phase_mark() + 1);
	report(name, ACTIONS);
}

static void measure_exits(void)
{
	measure_cpuid("cpuid");
	start(PERIOD * ACTIONS, 1);
	measure_cpuid("cpuid_pebs");
	stop();
	tap_equal(taken.records, 0, "a counter of user mode has no record from ring 0");
}

/* The same work first without and then with PMIs, so that the difference is theirs. */
static void measure_pmi(void)
{
	work_rounds = ACTIONS * PERIOD / 3;
	start(PERIOD * ACTIONS, 1);
	mark(phase_mark());
	user_run(work_loop);
	mark(phase_mark() + 1);
	stop();
	report("work", 1);
	start(PERIOD, 1);
	mark(phase_mark());
	user_run(work_loop);
	mark(phase_mark() + 1);
	stop();
	report("pmi", taken.pmis);
	tap_equal(taken.pmis, WORK_LOOP_BRANCHES(work_rounds) / (PERIOD + 1), "every PMI came");
	tap_equal(taken.records, taken.pmis, "with a record each");
}

static void measure_records(void)
{
	uint64_t records = boot_number("records", DEFAULT_RECORDS);

	work_rounds = records * (LONG_PERIOD + 1) / 3;
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
	if (!ds_has_pebs())
		tap_abort("there is no adaptive PEBS");
	measure_exits();
	measure_pmi();
	measure_records();
}
