/*
 * The guest's calls under libFuzzer: its bytes are steps of a guest, calls good and hostile, time, events that happen,
 * PMIs, what a guest does with its LVTPC and its global registers meanwhile. The code under test is pmuvisor's from the
 * call down to the PMU's operations, which are played here. Behind every step: nothing of the guest's share and of the
 * host's own events was touched, and every event has counted exactly what happened while it was on a counter.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arch/x86/apic.h"
#include "arch/x86/reg.h"
#include "arch/x86/platform.h"
#include "guest-api/pmuvisor.h"
#include "hv/dump.h"
#include "hv/hypercall.h"
#include "hv/pmu_private.h"
#include "hv/sample.h"

#define NR_GP    8
#define COUNTERS (BITS(NR_GP - 1, 0) | BITS(35, 32))
#define WIDTH    48
#define TSC_HZ   UINT64_C(2000000000)
#define RIP      UINT64_C(0x401000)
#define CR3      UINT64_C(0x7000)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static struct cpu cpu;
static struct boot_info boot;
static struct pmuvisor_page page;
static struct sample_ring ring;
static uint64_t samples; /* that the guest has taken */
static uint64_t tsc, cpl, status, enabled, counters[64], timer;
static const struct config_event *selectors[64];
static uint32_t lvtpc;
static uint64_t truth[PMUVISOR_EVENTS], enabled_truth[PMUVISOR_EVENTS], running_truth[PMUVISOR_EVENTS];
static uint64_t host_truth[CONFIG_MAX_EVENTS];
static uint64_t calls, good_calls;

static void fail(const char *what, uint64_t number)
{
	printf("api fuzz: %s, %" PRIu64 "\n", what, number);
	fflush(stdout);
	abort();
}

/* The processor. */
static bool ident(struct pmu_caps *caps)
{
	*caps = (struct pmu_caps){
		.version = 5,
		.nr_gp = NR_GP,
		.width = WIDTH,
		.fixed = 0xf,
		.counters = COUNTERS,
		.clear_flags = BITS(63, 58),
		.set_flags = BITS(62, 58),
	};
	return true;
}

static void enable(uint64_t bits)
{
	enabled = bits;
}

static uint64_t read_enabled(void)
{
	return enabled;
}

static uint64_t read_status(void)
{
	return status;
}

static void clear_status(uint64_t bits)
{
	status &= ~bits;
}

static void set_status(uint64_t bits)
{
	status |= bits;
}

static void hosts_only(unsigned n)
{
	if (!(cpu.pmu.host & BIT(n)))
		fail("a counter of the guest's is touched", n);
}

static uint64_t read_counter(unsigned n)
{
	hosts_only(n);
	return counters[n];
}

static void write_counter(unsigned n, uint64_t value)
{
	hosts_only(n);
	counters[n] = value & BITS(WIDTH - 1, 0);
}

static void program(unsigned n, const struct config_event *event)
{
	hosts_only(n);
	selectors[n] = event;
}

static uint64_t none(uint64_t bits)
{
	(void)bits;
	return 0;
}

static uint64_t counts_nothing(uint64_t bits, bool user)
{
	(void)bits, (void)user;
	return 0;
}

static uint64_t inuse(uint64_t bits, bool pebs)
{
	(void)pebs;
	return bits;
}

static const struct pmu_ops pmu_ops = {
	.ident = ident,
	.enable = enable,
	.enabled = read_enabled,
	.status = read_status,
	.clear_status = clear_status,
	.set_status = set_status,
	.read = read_counter,
	.write = write_counter,
	.program = program,
	.used = none,
	.counts_instructions = counts_nothing,
	.interrupting = none,
	.inuse = inuse,
};

uint64_t reg_rdtsc(void)
{
	return tsc;
}

bool apic_is_x2apic(void)
{
	return cpu.x2apic;
}

bool apic_is_enabled(void)
{
	return true;
}

uint32_t apic_read(unsigned offset)
{
	(void)offset;
	return lvtpc;
}

void apic_write(unsigned offset, uint32_t value)
{
	(void)offset;
	lvtpc = value;
}

void apic_self_ipi(uint32_t vector)
{
	(void)vector;
}

/* The rest of pmuvisor. */
void dump_tick(struct cpu *owner)
{
	(void)owner;
}

void dump_request(struct cpu *owner)
{
	(void)owner;
}

uint64_t dump_pending(void)
{
	return 0;
}

void dump_samples_wait(struct cpu *owner)
{
	(void)owner;
}

bool platform_knows_loader(const struct cpu *owner)
{
	(void)owner;
	return false;
}

void hv_leave(struct cpu *owner)
{
	(void)owner;
	fail("the guest's call has made pmuvisor leave", 0);
	abort();
}

static bool nmi_blocked(struct cpu *owner)
{
	return owner->pmu.window;
}

static uint64_t read_guest(struct cpu *owner, enum guest_register reg)
{
	(void)owner;
	return reg == GUEST_CPL ? cpl : reg == GUEST_RIP ? RIP : reg == GUEST_CR3 ? CR3 : 0;
}

static void set_timer(struct cpu *owner, uint64_t ticks)
{
	(void)owner;
	timer = ticks;
}

static const struct hv_ops ops = { .nmi_blocked = nmi_blocked, .read = read_guest, .set_timer = set_timer };

/* The guest. Its bytes come again and again, each time others, so that a short input makes a long run too. */
#define STEPS 256

struct input {
	const uint8_t *begin, *end, *at;
	uint8_t round;
};

static uint8_t take_byte(struct input *input)
{
	if (input->at == input->end) {
		input->at = input->begin;
		input->round = (uint8_t)(input->round * 5 + 17);
	}
	return (uint8_t)((input->at < input->end ? *input->at++ : 0) + input->round);
}

static uint64_t take(struct input *input, unsigned bytes)
{
	uint64_t value = 0;

	while (bytes--)
		value = value << 8 | take_byte(input);
	return value;
}

/* What exits leave to the entry. */
static void enter(void)
{
	if (cpu.pmu.told)
		pmu_tell_guest(&cpu);
	if (cpu.nmi.pending && !nmi_blocked(&cpu)) {
		cpu.nmi.pending = false;
		pmu_nmi_injected(&cpu);
	}
	if (cpu.pmu.gate.dirty)
		guest_page_publish(&cpu);
	cpu.pmu.gate.dirty = false;
}

/* Time passes: for whoever is enabled, and for whoever counts. */
static void pass(uint64_t ticks)
{
	const struct guest_events *events = &cpu.guest_events;

	tsc += ticks;
	for_each_bit(id, events->enabled & events->open) {
		enabled_truth[id] += ticks;
		if (events->event[id].counter != PMU_NO_COUNTER && !cpu.pmu.window)
			running_truth[id] += ticks;
	}
}

/* Some of the open events, at least one if there is any. */
static uint64_t some_open(struct input *input)
{
	uint64_t open = cpu.guest_events.open, some = open & take(input, 2);

	return some ? some : open & -open;
}

/* A call that may be good. */
static void choose(struct input *input, struct regs *regs)
{
	static const uint8_t operations[] = { PMUVISOR_CALL_OPEN,   PMUVISOR_CALL_OPEN,    PMUVISOR_CALL_ENABLE,
					      PMUVISOR_CALL_ENABLE, PMUVISOR_CALL_READ,    PMUVISOR_CALL_READ,
					      PMUVISOR_CALL_RESET,  PMUVISOR_CALL_DISABLE, PMUVISOR_CALL_PAGE,
					      PMUVISOR_CALL_SAMPLE };
	uint64_t choice = take(input, 1);

	regs->rcx = choice ? operations[choice % sizeof(operations)] : PMUVISOR_CALL_CLOSE;
	regs->rdx = some_open(input);
	if (regs->rcx == PMUVISOR_CALL_PAGE) {
		regs->rdx = choice < 240;
		regs->rsi = 0;
	}
	if (regs->rcx == PMUVISOR_CALL_READ)
		regs->rdx = regs->rdx ? (uint64_t)__builtin_ctzll(regs->rdx) : 0;
	if (regs->rcx != PMUVISOR_CALL_OPEN)
		return;
	choice = take(input, 1);
	regs->rsi = choice & 1 ? 1000 + take(input, 2) : 0;
	regs->rdx = PMUVISOR_EVENT_NAMED(1 + choice % 5) | PMUVISOR_EVENT_USER | PMUVISOR_EVENT_GUEST |
		    (choice & 0x80 && regs->rsi >= PMUVISOR_MIN_PERIOD_ROOT ? PMUVISOR_EVENT_HOST : 0) |
		    (choice & 0x40 && regs->rsi ? PMUVISOR_EVENT_PMI : 0);
	choice = take(input, 1);
	regs->rdx |= choice < 64 ? BIT(choice) : 0;
}

/* In order, and each the configuration's; none but when there is none. */
static void follow_sample(const struct regs *answer)
{
	static uint64_t last;
	uint64_t event = FIELD_GET(PMUVISOR_SAMPLE_EVENT, answer->rbx);

	last = samples++ ? last : 0;
	if (boot.config.samples != CONFIG_SAMPLES_GUEST || samples > ring.taken)
		fail("a sample is given that isn't there", samples);
	if (answer->rdx < last || answer->rdx > tsc || answer->rsi != RIP || answer->rdi != CR3)
		fail("a sample is of another time", answer->rdx);
	if (event >= cpu.pmu.nr_events || !boot.config.events[event].period)
		fail("a sample is of an event that has none", event);
	last = answer->rdx;
}

/* Mostly what can't be. */
static uint64_t argument(struct input *input, uint64_t operation)
{
	uint64_t choice = take(input, 1);

	if (choice < 16)
		return take(input, 8);
	if (operation == PMUVISOR_CALL_OPEN)
		return (take(input, 1) % 8) << 24 | (take(input, 1) % 32) << 16 | (choice & 1 ? take(input, 1) : 0);
	if (operation >= PMUVISOR_CALL_CLOSE && operation <= PMUVISOR_CALL_RESET)
		return choice & 1 ? cpu.guest_events.open & take(input, 2) : take(input, 2);
	return take(input, 1) % 64;
}

/* What can't be opened, the call must have refused. */
static void check_opened(uint64_t config)
{
	if ((unsigned)__builtin_popcountll(cpu.pmu.host) <= cpu.pmu.nr_events)
		fail("an event is open that no counter is left for", config);
	if (config & ~UINT64_C(0xff1fffff) || !(config & 0x30000) || !(config & 0xc0000))
		fail("an event is open that is none", config);
}

static void follow(uint64_t operation, uint64_t argument, const struct regs *answer)
{
	for (unsigned id = 0; id < PMUVISOR_EVENTS; id++) {
		if (operation == PMUVISOR_CALL_RESET && argument & BIT(id))
			truth[id] = 0;
	}
	if (operation == PMUVISOR_CALL_OPEN) {
		truth[answer->rdx] = enabled_truth[answer->rdx] = running_truth[answer->rdx] = 0;
		check_opened(argument);
	}
	if (operation == PMUVISOR_CALL_SAMPLE)
		follow_sample(answer);
	if (operation != PMUVISOR_CALL_READ)
		return;
	if (answer->rdx != truth[argument])
		fail("an event's count is off by", answer->rdx - truth[argument]);
	if (answer->rsi != enabled_truth[argument])
		fail("it was enabled for", answer->rsi);
	if (answer->rdi != running_truth[argument])
		fail("it was counting for", answer->rdi);
	if (cpu.guest_events.event[argument].config.period &&
	    answer->rbx != truth[argument] / cpu.guest_events.event[argument].config.period)
		fail("periods that ended", answer->rbx);
}

static void issue(struct input *input)
{
	uint64_t operation = take(input, 1) % 16, version = page.version, open = cpu.guest_events.open,
		 on = cpu.guest_events.enabled;
	struct regs before = { .rax = PMUVISOR_CALL_MAGIC, .rcx = operation };
	uint64_t changed;

	if (operation > PMUVISOR_CALL_PAGE)
		before.rcx = operation < 15 ? PMUVISOR_CALL_SAMPLE + operation % 2 : take(input, 8);
	before.rdx = argument(input, operation);
	before.rsi = take(input, 1) & 1 ? take(input, 3) : take(input, 1) & 1 ? take(input, 8) : 0;
	before.rdi = before.rbx = 1;
	if (take(input, 1) & 3)
		choose(input, &before);
	cpl = take(input, 1) < 8;
	before.rax += take(input, 1) < 2;
	cpu.guest = before;
	calls++;
	if (hypercall(&cpu) != ADVANCE) {
		if (!cpl && before.rax == PMUVISOR_CALL_MAGIC && before.rcx != HV_CALL_LEAVE)
			fail("a call is undefined", before.rcx);
		return;
	}
	if (cpl || before.rax != PMUVISOR_CALL_MAGIC)
		fail("a call is answered at level", cpl);
	if ((int64_t)cpu.guest.rax >= 0) {
		good_calls++;
		follow(before.rcx, before.rdx, &cpu.guest);
		return;
	}
	changed = (cpu.guest.rdx ^ before.rdx) | (cpu.guest.rsi ^ before.rsi) | (cpu.guest.rdi ^ before.rdi) |
		  (cpu.guest.rbx ^ before.rbx) | (version ^ page.version) | (open ^ cpu.guest_events.open) |
		  (on ^ cpu.guest_events.enabled);
	if (changed)
		fail("an error has changed something, operation", before.rcx);
}

/* It overflows, with a PMI if it asks for one and the entry lets it pass. */
static bool count(unsigned n, uint64_t events)
{
	uint64_t before = counters[n];

	counters[n] = (before + events) & BITS(WIDTH - 1, 0);
	if (counters[n] >= before)
		return false;
	status |= BIT(n);
	return selectors[n]->period;
}

static void run_guest(uint64_t events)
{
	const struct pmu *pmu = &cpu.pmu;
	bool pmi = false;

	pass(events);
	for (unsigned i = 0; i < pmu->nr_live && !pmu->window; i++) {
		const struct pmu_host_event *event = &pmu->events[i];

		if (!(pmu->gate.guest_ctrl & BIT(event->counter)) || !event->config->guest)
			continue;
		pmi |= count(event->counter, events);
		for (unsigned id = 0; id < PMUVISOR_EVENTS; id++)
			truth[id] += event->config == &cpu.guest_events.event[id].config ? events : 0;
		if (i < pmu->nr_events)
			host_truth[i] += events;
	}
	if (!pmi || lvtpc & LVT_MASKED || (lvtpc & LVT_MODE) != LVT_NMI)
		return;
	lvtpc |= LVT_MASKED;
	pmu_nmi(&cpu);
}

static void write_lvtpc(uint64_t choice)
{
	static const uint32_t values[] = { LVT_NMI, LVT_NMI | LVT_MASKED, 0x50, 0x50 | LVT_MASKED };

	if (pmu_is_open(&cpu.pmu) || !(cpu.x2apic || cpu.pmu.borrowed))
		lvtpc = values[choice % 4];
	else if (cpu.x2apic)
		pmu_write_lvtpc(&cpu, values[choice % 4]);
}

static void step(struct input *input)
{
	uint64_t kind = take(input, 1) % 16;

	switch (kind) {
	case 0:
	case 1:
	case 2: run_guest(take(input, 2)); break;
	case 3: pmu_window_end(&cpu); break;
	case 4:
		pass(take(input, 3));
		timer_tick(&cpu);
		break;
	case 5: write_lvtpc(take(input, 1)); break;
	case 6:
		if (!pmu_is_open(&cpu.pmu))
			pmu_write_global(&cpu, PMU_CTRL, take(input, 1) & cpu.pmu.controls);
		break;
	case 7: pmu_poll(&cpu); break;
	default: issue(input); break;
	}
	enter();
}

/* As the guest reads it, without a call. */
static void check_shown(unsigned id)
{
	const struct pmuvisor_page_event *event = &page.event[id];
	uint64_t since = tsc - page.tsc, count = event->count;
	unsigned counter;

	if (event->rdpmc) {
		counter = event->rdpmc - 1;
		counter = counter & BIT(30) ? counter - BIT(30) + 32 : counter;
		if (!cpu.pmu.gate.rdpmc_open || counter >= 64)
			fail("the page offers a counter that faults", counter);
		count = event->ahead + (uint64_t)((int64_t)(counters[counter] << (64 - WIDTH)) >> (64 - WIDTH));
	}
	if ((event->rdpmc || !(event->state & PMUVISOR_STATE_COUNTING)) && count != truth[id])
		fail("the page's count is off by", count - truth[id]);
	if (count > truth[id])
		fail("the page has counted more than there was", count - truth[id]);
	if (event->enabled + (event->state & PMUVISOR_STATE_ENABLED ? since : 0) != enabled_truth[id])
		fail("by the page it was enabled for", event->enabled);
	if (event->running + (event->state & PMUVISOR_STATE_COUNTING ? since : 0) != running_truth[id])
		fail("by the page it was counting for", event->running);
}

static void check_page(void)
{
	static const struct pmuvisor_page_event none;

	if (page.sequence & 1)
		fail("the page is never finished", page.sequence);
	for (unsigned id = 0; id < PMUVISOR_EVENTS; id++) {
		if (cpu.guest_events.open & BIT(id))
			check_shown(id);
		else if (memcmp(&page.event[id], &none, sizeof(none)))
			fail("the page has an event that isn't open", id);
	}
}

static void check(void)
{
	const struct pmu *pmu = &cpu.pmu;

	if (page.version)
		check_page();

	if (pmu->nr_live > (unsigned)__builtin_popcountll(pmu->host))
		fail("more events are on counters than there are", pmu->nr_live);
	for (unsigned i = 0; i < pmu->nr_events; i++) {
		const struct pmu_host_event *event = &pmu->events[i];

		if (event->config != &boot.config.events[i] || selectors[event->counter] != event->config)
			fail("an event of the host's has lost its counter", i);
		if (pmu_host_count(pmu, event) != host_truth[i])
			fail("an event of the host's has counted", pmu_host_count(pmu, event));
	}
	for (unsigned i = pmu->nr_events; i < pmu->nr_live; i++) {
		size_t id = (size_t)((const struct guest_event *)pmu->events[i].config - cpu.guest_events.event);

		if (id >= PMUVISOR_EVENTS || !(cpu.guest_events.enabled & cpu.guest_events.open & BIT(id)))
			fail("what is on a counter is no event", id);
	}
}

static void start(uint64_t choice)
{
	cpu = (struct cpu){ .ops = &ops, .boot = &boot, .x2apic = choice & 1 };
	boot = (struct boot_info){ .tsc_hz = TSC_HZ };
	boot.sample_rings = choice & 0x10 ? (uintptr_t)&ring : 0;
	boot.config = (struct hv_config){ .host_counters = 1 + (choice >> 1) % 6, .host_fixed = (uint32_t)choice >> 6 };
	boot.config.samples = boot.sample_rings ? CONFIG_SAMPLES_GUEST : CONFIG_SAMPLES_OFF;
	boot.config.nr_events = (choice >> 4) % 3 <= boot.config.host_counters ? (choice >> 4) % 3 : 0;
	for (unsigned i = 0; i < boot.config.nr_events; i++)
		boot.config.events[i] = (struct config_event){
			.event = 0xc4, .user = true, .kernel = true, .guest = true, .period = i ? 1009 : 0
		};
	memset(&page, 0, sizeof(page));
	memset(&ring, 0, offsetof(struct sample_ring, slots));
	samples = 0;
	cpu.page.shown = &page;
	memset(counters, 0, sizeof(counters));
	memset(selectors, 0, sizeof(selectors));
	memset(truth, 0, sizeof(truth));
	memset(enabled_truth, 0, sizeof(enabled_truth));
	memset(running_truth, 0, sizeof(running_truth));
	memset(host_truth, 0, sizeof(host_truth));
	status = enabled = timer = 0;
	tsc = 1000;
	lvtpc = LVT_MASKED;
	cpu.pmu.host = COUNTERS; /* until it is known */
	if (!pmu_init(&cpu, &pmu_ops, &boot.config))
		fail("there is no PMU", 0);
}

static void report(void)
{
	printf("api_fuzz_calls %" PRIu64 "\napi_fuzz_calls_answered %" PRIu64 "\n", calls, good_calls);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct input input = { bytes, bytes + size, bytes, 0 };
	static bool begun;

	if (!begun)
		atexit(report);
	begun = true;
	start(take(&input, 1));
	for (unsigned i = 0; i < STEPS; i++) {
		step(&input);
		check();
	}
	return 0;
}
