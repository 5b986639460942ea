/*
 * Several processors: each has a PMU of its own, and NMIs between them arrive, whatever PMIs the two sides take.
 *
 * What breaks: a hypervisor's state that two processors share; an INIT or SIPI that a processor under it misses, or
 * takes in the wrong APIC mode; an NMI that is taken for a PMI, or the other way round; a PMI that is credited to the
 * processor that happens to look. How the test tells: every processor counts work of known length, a different length
 * on each, all at the same time; every NMI sent is waited for, while both sides sample; and the counters' totals must
 * agree with a counter that does not sample.
 */
#include "apic.h"
#include "boot.h"
#include "hypervisor.h"
#include "pmu.h"
#include "sampler.h"
#include "smp.h"
#include "tap.h"
#include "trap.h"
#include "workload.h"

const char test_title[] = "smp: processors, their counters, NMIs between them";

#define ROUNDS      20000
#define NMIS        200  /* to each processor, if the runner doesn't say another number */
#define NMI_PERIOD  1009 /* instructions, while NMIs go round; */
#define NMI_STEP    31 /* and so many more for each next processor: in step with each other they would send into PMIs */
#define SAMPLED     0
#define CLOCK_READS 2000
#define PATIENCE    UINT64_C(200000) /* ticks of the time-stamp counter */
#define MAX_RESENT  10
#define OUT_OF_STEP 611 /* ticks */

static unsigned nr_processors;
static uint64_t counts[SMP_MAX], totals[SMP_MAX], samples[SMP_MAX], expected[SMP_MAX];

/* The one that does not sample: fixed, where there is such a one. */
static unsigned counted(void)
{
	return pmu.fixed_mask & BIT(FIXED_INSTRUCTIONS) ? FIXED_INSTRUCTIONS : 1;
}

/* Processor n does the work n + 1 times, in ring 3, where nothing else runs. */
static void work(void)
{
	for (unsigned i = 0; i <= this_cpu(); i++)
		user_run(work_loop);
}

static void count_work(void)
{
	sampler_init(VECTOR_NMI);
	sampler_add(counted(), EVENT_INSTRUCTIONS, PERFEVTSEL_USR, 0);
	sampler_enable();
	work();
	sampler_disable();
	counts[this_cpu()] = pmu_read(counted());
}

/* Counters of one that does nothing stay still while another works. */
static void count_nothing(void)
{
	sampler_init(VECTOR_NMI);
	sampler_add(counted(), EVENT_INSTRUCTIONS, PERFEVTSEL_USR, 0);
	sampler_enable();
}

static void read_counter(void)
{
	sampler_disable();
	counts[this_cpu()] = pmu_read(counted());
}

static void test_counts(const char *when)
{
	work_rounds = ROUNDS;
	tap_check(smp_run_all(count_work), "%s: all have done their work", when);
	for (unsigned n = 0; n < nr_processors; n++)
		tap_equal(counts[n], (n + 1) * WORK_LOOP_INSTRUCTIONS(ROUNDS), "%s: instructions of processor %u", when,
			  n);
	for (unsigned n = 1; n < nr_processors; n++) {
		smp_run(n, count_nothing);
		smp_wait(n);
	}
	count_work();
	for (unsigned n = 1; n < nr_processors; n++) {
		smp_run(n, read_counter);
		smp_wait(n);
		tap_equal(counts[n], 0, "%s: processor %u counts nothing of the first one's work", when, n);
	}
}

/* Ring 3 is sampled with NMIs, on all processors at once. */
static void sample_work(void)
{
	sampler_init(VECTOR_NMI);
	sampler_add(SAMPLED, EVENT_INSTRUCTIONS, PERFEVTSEL_USR, 1000 + this_cpu());
	sampler_enable();
	work();
	sampler_disable();
	totals[this_cpu()] = sampler_total(SAMPLED);
	samples[this_cpu()] = sampler.samples[SAMPLED];
	expected[this_cpu()] = sampler_user_events((this_cpu() + 1) * WORK_LOOP_INSTRUCTIONS(ROUNDS));
}

static void test_samples(const char *when)
{
	tap_check(smp_run_all(sample_work), "%s: all have been sampled", when);
	for (unsigned n = 0; n < nr_processors; n++) {
		tap_equal(totals[n], expected[n], "%s: what processor %u's samples add up to", when, n);
		tap_equal(samples[n], expected[n] / (1000 + n), "%s: its samples", when);
	}
}

/*
 * NMIs go round: each processor sends to the next, and waits until it has taken it. One that meets a pending PMI is the
 * same NMI, and taken for the PMI; it is sent again, and the machine knows how many have merged.
 */
static volatile unsigned nmis_sent[SMP_MAX], nmis_taken[SMP_MAX];
static unsigned nmis, nmis_resent, nr_ready, nr_done;
static bool nmi_lost[SMP_MAX];

static void on_nmi(struct trap_frame *frame)
{
	uint64_t duplicates = sampler.duplicates;

	sampler_on_pmi(frame);
	if (sampler.duplicates != duplicates)
		nmis_taken[this_cpu()] = nmis_sent[this_cpu()];
}

static bool taken(unsigned to, uint64_t patience)
{
	uint64_t start = rdtsc();

	while (nmis_taken[to] != nmis_sent[to] && rdtsc() - start < patience)
		asm volatile("pause");
	return nmis_taken[to] == nmis_sent[to];
}

static void send_nmi(unsigned to)
{
	nmis_sent[to]++;
	apic_send(to, ICR_NMI);
	/* Not in step with the PMIs, or each attempt would meet one. */
	for (unsigned i = 0; !taken(to, PATIENCE + i * OUT_OF_STEP); i++) {
		nmi_lost[to] = i == MAX_RESENT;
		if (nmi_lost[to])
			return;
		__atomic_fetch_add(&nmis_resent, 1, __ATOMIC_RELAXED);
		apic_send(to, ICR_NMI);
	}
}

/* Goes on when all have come here. */
static void meet(unsigned *arrived)
{
	__atomic_fetch_add(arrived, 1, __ATOMIC_RELEASE);
	while (__atomic_load_n(arrived, __ATOMIC_ACQUIRE) < nr_processors)
		asm volatile("pause");
}

/* Without a global register they stop one after the other, and none of them may interrupt in between. */
static void stop_counters(void)
{
	while (pmu.value_mask - pmu_read(SAMPLED) < NMI_PERIOD / 2)
		asm volatile("pause");
	sampler_disable();
}

/*
 * Two counters of the same event, in both rings: one samples, one does not. No NMI comes while they start, nor while
 * they stop, where its handler would start them again.
 */
static void storm(void)
{
	unsigned to = (this_cpu() + 1) % nr_processors;

	sampler_enable();
	meet(&nr_ready);
	for (unsigned i = 0; i < nmis && !nmi_lost[to]; i++)
		send_nmi(to);
	meet(&nr_done);
	stop_counters();
	totals[this_cpu()] = sampler_total(SAMPLED);
	samples[this_cpu()] = sampler.samples[SAMPLED];
	counts[this_cpu()] = pmu_read(counted());
}

/* Before anyone sends: the handler of an NMI enables all there is. */
static void prepare_storm(void)
{
	sampler_init(VECTOR_NMI);
	sampler_add(SAMPLED, EVENT_INSTRUCTIONS, PERFEVTSEL_USR | PERFEVTSEL_OS, NMI_PERIOD + this_cpu() * NMI_STEP);
	sampler_add(counted(), EVENT_INSTRUCTIONS, PERFEVTSEL_USR | PERFEVTSEL_OS, 0);
}

static void test_storm(const char *when)
{
	nr_ready = nr_done = 0;
	for (unsigned n = 0; n < nr_processors; n++)
		nmis_sent[n] = nmis_taken[n] = nmi_lost[n] = 0;
	smp_run_all(prepare_storm);
	trap_handle(VECTOR_NMI, on_nmi); /* in place of the sampler's own */
	tap_check(smp_run_all(storm), "%s: NMIs have gone round", when);
	for (unsigned n = 0; n < nr_processors; n++) {
		tap_equal(nmis_taken[n], nmis, "%s: NMIs that processor %u was sent and took", when, n);
		tap_equal(totals[n], counts[n], "%s: samples and a counter agree on its instructions", when);
		tap_check(samples[n] >= nmis / 10, "%s: %lu samples were taken meanwhile", when, samples[n]);
	}
}

/* Whoever reads the clock after another, as memory tells, reads no less. */
static volatile uint64_t newest;
static volatile unsigned clock_lock;
static uint64_t steps_back;

static void read_clock(void)
{
	for (unsigned i = 0; i < CLOCK_READS; i++) {
		uint64_t now;

		while (__atomic_exchange_n(&clock_lock, 1, __ATOMIC_ACQUIRE))
			asm volatile("pause");
		now = rdtsc();
		steps_back += now < newest;
		newest = now;
		__atomic_store_n(&clock_lock, 0, __ATOMIC_RELEASE);
	}
}

static void test_clock(void)
{
	tap_check(smp_run_all(read_clock), "all have read the clock");
	tap_equal(steps_back, 0, "the time-stamp counters are one");
}

static uint64_t apic_bases[SMP_MAX], apic_ids[SMP_MAX];

static void note_apic(void)
{
	apic_bases[this_cpu()] = rdmsr(MSR_IA32_APIC_BASE);
	apic_ids[this_cpu()] = apic_bases[this_cpu()] & APIC_BASE_X2APIC ? apic_read(APIC_ID)
									 : apic_read(APIC_ID) >> 24;
}

static void test_apic(const char *when, uint64_t mode)
{
	smp_run_all(note_apic);
	for (unsigned n = 0; n < nr_processors; n++) {
		tap_equal(apic_bases[n] & APIC_BASE_X2APIC, mode, "%s: the APIC's mode of processor %u", when, n);
		tap_equal(apic_ids[n], n, "%s: its APIC's ID", when);
	}
}

/* A processor that is working, with counters on, starts anew by INIT and SIPI, and what it does then is right. */
static void work_forever(void)
{
	count_nothing();
	for (;;)
		user_run(work_loop);
}

static void test_restart(const char *when, uint64_t apic_mode)
{
	for (unsigned n = 1; n < nr_processors; n++) {
		smp_run(n, work_forever);
		tap_check(smp_start(n), "%s: processor %u starts anew", when, n);
		tap_equal(smp_apic_base_at_start(n) & APIC_BASE_X2APIC, apic_mode,
			  "%s: INIT left the APIC's mode alone", when);
	}
}

static void test_all(const char *when, uint64_t apic_mode)
{
	test_apic(when, apic_mode);
	test_counts(when);
	test_samples(when);
	test_storm(when);
	test_restart(when, apic_mode);
	test_counts(when);
}

/* Leaf 0AH tells what cores of all kinds have. AMD has cores of one kind, and nothing there. */
static void keep_to_common(void)
{
	struct cpuid_regs leaf = cpuid(0x0a, 0);
	unsigned nr_gp = leaf.eax >> 8 & 0xff, nr_fixed = leaf.edx & 0x1f;

	if (pmu.amd)
		return;
	if (pmu.nr_gp > nr_gp)
		pmu.nr_gp = nr_gp;
	pmu.gp_mask &= BIT(nr_gp) - 1;
	pmu.fixed_mask &= (BIT(nr_fixed) - 1) << 32;
}

/* For the judge: of each what it is by now. Who asks first prints. */
static void dump_all(void)
{
	hypervisor_publish();
	smp_run_all(hypervisor_publish);
	hypervisor_dump();
}

void test_main(void)
{
	pmu_init();
	keep_to_common();
	nr_processors = smp_processors();
	nmis = (unsigned)boot_number("nmis", NMIS);
	tap_equal(nr_processors, boot_number("cpus", nr_processors), "processors that CPUID tells of");
	tap_equal(smp_start_all(), nr_processors, "processors that run");
	test_clock();
	test_all("xAPIC", 0);
	smp_run_all(apic_enter_x2apic);
	tap_equal(smp_start_all(), nr_processors, "processors that run after INIT in x2APIC mode");
	test_all("x2APIC", APIC_BASE_X2APIC);
	tap_figure("smp_nmis_resent", nmis_resent);
	if (boot_number("dump", 0))
		dump_all();
}
