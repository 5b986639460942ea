#include "hypercall.h"
#include "cpu.h"
#include "dump.h"
#include "statistic.h"
#include "arch/x86/reg.h"
#include "arch/x86/platform.h"
#include "guest-api/pmuvisor.h"

/* Of calls that make others wait, or work for later: so many a millisecond. */
static bool within_limit(struct cpu *cpu)
{
	struct call_limit *limit = &cpu->call_limit;
	uint64_t now = reg_rdtsc();

	if (now - limit->since >= cpu->boot->tsc_hz / 1000) {
		limit->since = now;
		limit->calls = 0;
	}
	return limit->calls++ < HYPERCALLS_PER_MS;
}

static int64_t query(struct cpu *cpu)
{
	uint64_t *value = &cpu->guest.rdx;

	switch (*value) {
	case PMUVISOR_QUERY_CPU: *value = cpu->id; return 0;
	case PMUVISOR_QUERY_TSC_HZ: *value = cpu->boot->tsc_hz; return 0;
	case PMUVISOR_QUERY_SHARED: *value = cpu->pmu.shared; return 0;
	case PMUVISOR_QUERY_OPEN: *value = cpu->guest_events.open; return 0;
	default: return PMUVISOR_E_ARGUMENT;
	}
}

static int64_t read_statistic(struct cpu *cpu)
{
	if (cpu->guest.rdx >= PMUVISOR_STATISTICS)
		return PMUVISOR_E_ARGUMENT;
	cpu->guest.rdx = statistic(cpu, cpu->guest.rdx);
	return 0;
}

static int64_t request_dump(struct cpu *cpu)
{
	if (within_limit(cpu))
		dump_request(cpu);
	return (int64_t)dump_pending();
}

static int64_t open_event(struct cpu *cpu)
{
	uint64_t id;
	int64_t error = guest_event_open(cpu, cpu->guest.rdx, cpu->guest.rsi, &id);

	if (!error)
		cpu->guest.rdx = id;
	return error;
}

static int64_t read_event(struct cpu *cpu)
{
	struct regs *guest = &cpu->guest;
	struct guest_event_counts counts;
	int64_t error = guest_event_read(cpu, guest->rdx, &counts);

	if (error)
		return error;
	guest->rdx = counts.count;
	guest->rsi = counts.enabled;
	guest->rdi = counts.running;
	guest->rbx = counts.overflows;
	return 0;
}

static int64_t keep_page(struct cpu *cpu)
{
	uint64_t address;
	int64_t error = guest_page_keep(cpu, cpu->guest.rdx, cpu->guest.rsi, &address);

	if (!error)
		cpu->guest.rdx = address;
	return error;
}

static int64_t change_events(struct cpu *cpu)
{
	uint64_t events = cpu->guest.rdx;

	if (!within_limit(cpu))
		return PMUVISOR_E_BUSY;
	switch (cpu->guest.rcx) {
	case PMUVISOR_CALL_OPEN: return open_event(cpu);
	case PMUVISOR_CALL_CLOSE: return guest_events_close(cpu, events);
	case PMUVISOR_CALL_ENABLE: return guest_events_enable(cpu, events);
	case PMUVISOR_CALL_DISABLE: return guest_events_disable(cpu, events);
	case PMUVISOR_CALL_PAGE: return keep_page(cpu);
	default: return guest_events_reset(cpu, events);
	}
}

static int64_t answer(struct cpu *cpu)
{
	switch (cpu->guest.rcx) {
	case PMUVISOR_CALL_DUMP: return request_dump(cpu);
	case PMUVISOR_CALL_PENDING: return (int64_t)dump_pending();
	case PMUVISOR_CALL_QUERY: return query(cpu);
	case PMUVISOR_CALL_STATISTIC: return read_statistic(cpu);
	case PMUVISOR_CALL_OPEN:
	case PMUVISOR_CALL_CLOSE:
	case PMUVISOR_CALL_ENABLE:
	case PMUVISOR_CALL_DISABLE:
	case PMUVISOR_CALL_PAGE:
	case PMUVISOR_CALL_RESET: return change_events(cpu);
	case PMUVISOR_CALL_READ: return read_event(cpu);
	case PMUVISOR_CALL_SAMPLE: return guest_sample_take(cpu);
	case PMUVISOR_CALL_BRANCHES: return guest_sample_branches(cpu);
	default: return PMUVISOR_E_OPERATION;
	}
}

/* Kernel mode only, and only with the magic: anything else is the #UD a machine without a hypervisor gives. */
enum verdict hypercall(struct cpu *cpu)
{
	struct regs *guest = &cpu->guest;

	if (guest->rax != PMUVISOR_CALL_MAGIC || cpu->ops->read(cpu, GUEST_CPL) != 0)
		return INJECT_UD;
	if (guest->rcx == HV_CALL_LEAVE) {
		if (!platform_knows_loader(cpu))
			return INJECT_UD;
		hv_leave(cpu);
	}
	guest->rax = (uint64_t)answer(cpu);
	return ADVANCE;
}
