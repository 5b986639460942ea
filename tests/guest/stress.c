/*
 * Everything at once on all processors: interrupts and NMIs from each to the next, PMIs of both sides, and one
 * processor after another that INIT and SIPIs start over, at work or asleep, while the rest go on.
 *
 * What breaks: whatever two of these can do to each other. How the test tells: each message is waited for by who sent
 * it; a counter that samples and one that does not must agree; and everything is counted, for tests/guest/storms.py to
 * compare with what the machine sent and what pmuvisor says: messages, NMIs, PMIs of the guest's counters, overflows of
 * the host's. `restarts=` in the arguments asks for a long run, `sleep=` for so many ticks of idleness after each
 * restart.
 */
#include "apic.h"
#include "boot.h"
#include "hypervisor.h"
#include "mark.h"
#include "pmu.h"
#include "sampler.h"
#include "smp.h"
#include "tap.h"
#include "trap.h"
#include "workload.h"

const char test_title[] = "stress: interrupts, NMIs, PMIs and INITs on all processors";

#define VECTOR_STORM 0x60
#define VECTOR_WAKE  0x61
#define VECTOR_TIMER 0x62
#define RESTARTS     30 /* in each APIC mode, if the runner doesn't say another number */
#define SLEEP        20000
#define SAMPLED      0
#define PERIOD       1009
#define VICTIM_FLOOR 211              /* in ring 3 alone, so that the handler needs no room */
#define ROUNDS       40               /* of work in ring 3 while a message is under way */
#define PATIENCE     UINT64_C(200000) /* ticks, until an NMI is taken to have met another */
#define OUT_OF_STEP  611
#define MAX_RESENT   10
#define LIMIT        UINT64_C(400000000) /* ticks, for whatever must not be lost */
#define PRINTING     40000000            /* ticks that a dump of four processors takes, and more */
#define AFTER_INIT   20000
#define IN_HANDLER   UINT64_C(1)
#define ONE_PMI      UINT64_C(2)

/* What one processor did; the others read it. */
static struct processor {
	volatile uint64_t ipis_sent, ipis_taken, nmis_sent, nmis_taken; /* to it; by it */
	uint64_t sent[2];                                               /* by it, resent ones too: IPIs, NMIs */
	uint64_t resent, wakes, timers, restarts;
	volatile uint64_t pmis; /* ONE_PMI for each that it found the sampling counter's, IN_HANDLER meanwhile */
	uint64_t unseen;        /* PMIs that an INIT came before */
	uint64_t totals, counts, samples;
	bool claimed; /* by one that sends to it */
	volatile bool leave, lost;
} processors[SMP_MAX];

#define NOBODY SMP_MAX

static unsigned nr_processors;
static volatile unsigned present; /* processors that messages may be sent to */
static volatile bool sleeping;
static volatile unsigned nr_asleep;

/* The one that does not sample: fixed, where there is such a one. */
static unsigned counted(void)
{
	return pmu.fixed_mask & BIT(FIXED_INSTRUCTIONS) ? FIXED_INSTRUCTIONS : 1;
}

/* Interrupts are taken here. */
static void breathe(void)
{
	asm volatile("sti; pause; cli" : : : "memory");
}

static void on_storm(struct trap_frame *frame __attribute__((unused)))
{
	processors[this_cpu()].ipis_taken++;
	apic_eoi();
}

static void on_wake(struct trap_frame *frame __attribute__((unused)))
{
	processors[this_cpu()].wakes++;
	apic_eoi();
}

static void on_timer(struct trap_frame *frame __attribute__((unused)))
{
	processors[this_cpu()].timers++;
	apic_eoi();
}

/* An INIT may come between any two instructions: one store says that the PMI is counted, and that the handler has begun. */
static void on_nmi(struct trap_frame *frame)
{
	struct processor *self = &processors[this_cpu()];
	uint64_t duplicates = sampler.duplicates;

	pmu_enable(0);
	self->pmis += (pmu_overflowed() & BIT(SAMPLED) ? ONE_PMI : 0) + IN_HANDLER;
	sampler_on_pmi(frame);
	if (sampler.duplicates != duplicates)
		self->nmis_taken = self->nmis_sent;
	self->pmis -= IN_HANDLER;
}

static void send_ipi(struct processor *self, unsigned to)
{
	processors[to].ipis_sent++;
	self->sent[0]++;
	apic_send(to, VECTOR_STORM | ICR_ASSERT);
}

static void send_nmi(struct processor *self, unsigned to)
{
	self->sent[1]++;
	apic_send(to, ICR_NMI);
}

static bool nmi_taken(const struct processor *other, uint64_t patience)
{
	uint64_t start = rdtsc();

	while (other->nmis_taken != other->nmis_sent && rdtsc() - start < patience)
		breathe();
	return other->nmis_taken == other->nmis_sent;
}

/* One that met a PMI under way is the same NMI; it is sent again, not in step with the PMIs. */
static void await_nmi(struct processor *self, unsigned to)
{
	for (unsigned i = 0; !nmi_taken(&processors[to], PATIENCE + i * OUT_OF_STEP); i++) {
		self->lost |= i == MAX_RESENT;
		if (self->lost)
			return;
		self->resent++;
		send_nmi(self, to);
	}
}

static void await_ipi(struct processor *self, unsigned to)
{
	uint64_t start = rdtsc();

	while (processors[to].ipis_taken != processors[to].ipis_sent && !self->lost) {
		self->lost |= rdtsc() - start > LIMIT;
		breathe();
	}
}

/* Another that may be sent to, and that nobody else is sending to; it doesn't leave meanwhile. */
static unsigned claim(const struct processor *self)
{
	for (unsigned i = 1; i < nr_processors; i++) {
		unsigned step = 1 + (unsigned)(self->sent[0] + i) % (nr_processors - 1);
		unsigned to = (this_cpu() + step) % nr_processors;

		if (__atomic_exchange_n(&processors[to].claimed, true, __ATOMIC_SEQ_CST))
			continue;
		if (present & 1u << to)
			return to;
		processors[to].claimed = false;
	}
	return NOBODY;
}

static void one_round(struct processor *self)
{
	unsigned to = claim(self);

	if (to != NOBODY) {
		send_ipi(self, to);
		processors[to].nmis_sent++;
		send_nmi(self, to);
	}
	user_run(work_loop);
	if (to != NOBODY) {
		await_ipi(self, to);
		await_nmi(self, to);
		processors[to].claimed = false;
	}
	breathe();
}

static void halt(void)
{
	asm volatile("sti; hlt; cli" : : : "memory");
}

static void sleep(struct processor *self)
{
	__atomic_fetch_add(&nr_asleep, 1, __ATOMIC_SEQ_CST);
	while (sleeping && !self->leave)
		halt();
	__atomic_fetch_sub(&nr_asleep, 1, __ATOMIC_SEQ_CST);
}

static void join(struct processor *self)
{
	sampler_clear(VECTOR_NMI);
	sampler_add(SAMPLED, EVENT_INSTRUCTIONS, PERFEVTSEL_USR | PERFEVTSEL_OS, PERIOD);
	sampler_add(counted(), EVENT_INSTRUCTIONS, PERFEVTSEL_USR | PERFEVTSEL_OS, 0);
	sampler_enable();
	self->leave = false;
	__atomic_fetch_or(&present, 1u << this_cpu(), __ATOMIC_SEQ_CST);
}

static void part(struct processor *self)
{
	sampler_disable();
	self->totals += sampler_total(SAMPLED);
	self->counts += pmu_read(counted());
	self->samples += sampler.samples[SAMPLED];
}

/* What all but the first do, until they are told to leave. */
static void storm(void)
{
	struct processor *self = &processors[this_cpu()];

	join(self);
	while (!self->leave) {
		one_round(self);
		if (sleeping)
			sleep(self);
	}
	part(self);
}

/* Called with interrupts on: the caller's own messages go on arriving. */
static void wait_until_done(unsigned number)
{
	while (smp_busy(number))
		asm volatile("pause");
}

static void take_out(unsigned number)
{
	__atomic_fetch_and(&present, ~(1u << number), __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&processors[number].claimed, __ATOMIC_SEQ_CST))
		asm volatile("pause");
	processors[number].leave = true;
	wait_until_done(number);
}

/* In ring 3 alone: nothing more of it overflows after the INIT. */
static void sample_forever(void)
{
	sampler_clear(VECTOR_NMI);
	sampler_add(SAMPLED, EVENT_INSTRUCTIONS, PERFEVTSEL_USR, VICTIM_FLOOR + processors[this_cpu()].restarts % 97);
	sampler_enable();
	for (;;)
		user_run(work_loop);
}

static void halt_forever(void)
{
	for (;;)
		asm volatile("hlt");
}

/* The status and the counters are as they were when the INIT came. */
static void account(void)
{
	struct processor *self = &processors[this_cpu()];

	pmu_enable(0);
	self->unseen += pmu_overflowed() & BIT(SAMPLED) && !(self->pmis & IN_HANDLER);
	self->pmis &= ~IN_HANDLER;
	self->restarts++;
	pmu_reset();
}

static void pass(uint64_t ticks)
{
	uint64_t start = rdtsc();

	while (rdtsc() - start < ticks)
		asm volatile("pause");
}

static void restart(unsigned number, unsigned n)
{
	struct processor *other = &processors[number];

	asm volatile("sti");
	take_out(number);
	smp_run(number, n % 4 == 3 ? halt_forever : sample_forever);
	pass(3000 + n * 977 % 5000);
	other->lost |= !smp_restart(number, AFTER_INIT + n % 64 * 100);
	smp_run(number, account);
	wait_until_done(number);
	smp_run(number, storm);
	asm volatile("cli");
}

static void wake(struct processor *self)
{
	sleeping = false;
	for (unsigned n = 1; n < nr_processors; n++) {
		self->sent[0]++;
		apic_send(n, VECTOR_WAKE | ICR_ASSERT);
	}
}

static void idle(struct processor *self, uint32_t ticks)
{
	uint64_t before = self->timers;

	apic_write(APIC_TIMER_DIVIDE, TIMER_DIVIDE_BY_1);
	apic_write(APIC_LVT_TIMER, VECTOR_TIMER);
	apic_write(APIC_TIMER_COUNT, ticks);
	while (self->timers == before)
		halt();
	apic_write(APIC_LVT_TIMER, LVT_MASKED);
}

static void sleep_all(struct processor *self, uint32_t ticks)
{
	sleeping = true;
	while (nr_asleep < nr_processors - 1)
		breathe();
	idle(self, ticks);
	wake(self);
}

/* The first one leads, and takes part. */
static void lead(unsigned restarts, uint32_t ticks)
{
	struct processor *self = &processors[0];

	join(self);
	for (unsigned i = 0; i < restarts; i++) {
		one_round(self);
		restart(1 + i % (nr_processors - 1), i);
		one_round(self);
		if (ticks)
			sleep_all(self, ticks);
	}
	asm volatile("sti");
	for (unsigned n = nr_processors; n-- > 1;)
		take_out(n);
	asm volatile("cli");
	part(self);
	__atomic_fetch_and(&present, ~1u, __ATOMIC_SEQ_CST);
}

static void test_storm(const char *when)
{
	trap_handle(VECTOR_NMI, on_nmi);
	for (unsigned n = 1; n < nr_processors; n++)
		smp_run(n, storm);
	lead((unsigned)boot_number("restarts", RESTARTS), (uint32_t)boot_number("sleep", SLEEP));
	for (unsigned n = 0; n < nr_processors; n++) {
		struct processor *processor = &processors[n];

		tap_check(!processor->lost, "%s: processor %u misses nothing that it sent", when, n);
		tap_equal(processor->ipis_taken, processor->ipis_sent, "%s: interrupts that it was sent and took",
			  when);
		tap_equal(processor->nmis_taken, processor->nmis_sent, "%s: NMIs that it was sent and took", when);
		tap_equal(processor->totals, processor->counts, "%s: samples and a counter agree", when);
		tap_check(n == 0 || processor->restarts > 0, "%s: it was started %lu times", when, processor->restarts);
	}
}

/*
 * The host's counters, between two marks of the machine's. The processor executes next to nothing more until they are
 * printed: the others never, the first one until its timer fires.
 */
static void report(void)
{
	struct processor *self = &processors[this_cpu()];

	mark(MARK_STORM + 1 + 2 * this_cpu());
	if (boot_mode() != MODE_BARE)
		hypervisor_publish();
	if (this_cpu() == 0)
		idle(self, boot_mode() != MODE_BARE ? PRINTING : 1);
	mark(MARK_STORM + 2 + 2 * this_cpu());
	self->leave = false;
	if (this_cpu() != 0)
		halt_forever();
}

static void report_all(void)
{
	for (unsigned n = nr_processors; n-- > 1;) {
		smp_run(n, report);
		while (processors[n].leave)
			asm volatile("pause");
	}
	if (boot_mode() != MODE_BARE)
		hypervisor_wait();
	report();
	if (boot_mode() != MODE_BARE)
		hypervisor_wait();
}

static void print(unsigned n)
{
	const struct processor *processor = &processors[n];

	tap_note("storm %u sent %lu %lu resent %lu taken %lu %lu restarts %lu pmis %lu unseen %lu samples %lu", n,
		 processor->sent[0], processor->sent[1], processor->resent,
		 processor->ipis_taken + processor->wakes + processor->timers, processor->nmis_taken,
		 processor->restarts, processor->pmis / ONE_PMI, processor->unseen, processor->samples);
}

void test_main(void)
{
	pmu_init();
	work_rounds = ROUNDS;
	nr_processors = smp_processors();
	trap_handle(VECTOR_STORM, on_storm);
	trap_handle(VECTOR_WAKE, on_wake);
	trap_handle(VECTOR_TIMER, on_timer);
	tap_equal(smp_start_all(), boot_number("cpus", 0), "processors that run");
	mark(MARK_STORM);
	test_storm("xAPIC");
	smp_run_all(apic_enter_x2apic);
	tap_equal(smp_start_all(), nr_processors, "processors that run after INIT in x2APIC mode");
	test_storm("x2APIC");
	report_all();
	for (unsigned n = 0; n < nr_processors; n++)
		print(n);
}
