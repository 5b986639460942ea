#include <stddef.h>

#include "guest_event.h"
#include "tap.h"

int64_t event_call(uint64_t operation, uint64_t rdx, uint64_t rsi, uint64_t *value)
{
	struct pmuvisor_registers regs = { .rcx = operation, .rdx = rdx, .rsi = rsi };
	int64_t status = hypervisor_call(&regs);

	if (value)
		*value = regs.rdx;
	return status;
}

uint64_t event_open(uint64_t config, uint64_t period)
{
	uint64_t id = 0;
	int64_t error = event_call(PMUVISOR_CALL_OPEN, config, period, &id);

	if (error)
		tap_abort("an event %lx can't be opened: error %d", config, (int)error);
	return id;
}

void event_do(uint64_t operation, uint64_t events)
{
	int64_t error = event_call(operation, events, 0, NULL);

	if (error)
		tap_abort("operation %lu on the events %lx: error %d", operation, events, (int)error);
}

struct event_counts event_read(uint64_t id)
{
	struct pmuvisor_registers regs = { .rcx = PMUVISOR_CALL_READ, .rdx = id };
	int64_t error = hypervisor_call(&regs);

	if (error)
		tap_abort("event %lu can't be read: error %d", id, (int)error);
	return (struct event_counts){ regs.rdx, regs.rsi, regs.rdi, regs.rbx };
}
