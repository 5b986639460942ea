/*
 * PEBS records between Bochs and the PMU model: the model says what is written, Bochs' paging says where, and whether.
 */
#include <string.h>

#define NEED_CPU_REG_SHORTCUTS 1
#include "bochs.h"
#include "cpu/cpu.h"

/* A processor that keeps a record whose access faults takes the fault: Bochs then leaves by its own longjmp. */
static void access_qwords(struct machine_cpu *machine, uint64_t linear, void *data, unsigned size, bool write)
{
	uint8_t *bytes = (uint8_t *)data;
	Bit64u value;

	for (unsigned i = 0; i < size; i += sizeof(value)) {
		if (write) {
			memcpy(&value, bytes + i, sizeof(value));
			machine->cpu->system_write_qword(linear + i, value);
		} else {
			value = machine->cpu->system_read_qword(linear + i);
			memcpy(bytes + i, &value, sizeof(value));
		}
	}
}

/* One that loses it goes on as if nothing had happened. */
static bool access_or_fail(struct machine_cpu *machine, uint64_t linear, void *data, unsigned size, bool write)
{
	jmp_buf escape;
	bool faulted = setjmp(escape);

	machine->escape = faulted ? NULL : &escape;
	if (!faulted)
		access_qwords(machine, linear, data, size, write);
	machine->escape = NULL;
	return !faulted;
}

static bool access_ds(struct machine_cpu *machine, uint64_t linear, void *data, unsigned size, bool write)
{
	if (!pmu_model_caps_of(machine->model)->pebs_ept_friendly)
		return access_or_fail(machine, linear, data, size, write);
	access_qwords(machine, linear, data, size, write);
	return true;
}

bool machine_ds_read(void *opaque, uint64_t linear, void *data, unsigned size)
{
	return access_ds((struct machine_cpu *)opaque, linear, data, size, false);
}

bool machine_ds_write(void *opaque, uint64_t linear, const void *data, unsigned size)
{
	return access_ds((struct machine_cpu *)opaque, linear, const_cast<void *>(data), size, true);
}

void machine_registers(void *opaque, struct pmu_model_regs *regs)
{
	const struct machine_cpu *machine = (struct machine_cpu *)opaque;
	BX_CPU_C *cpu = machine->cpu;

	regs->event_ip = machine->event_ip;
	regs->rip = cpu->get_rip();
	regs->rflags = cpu->read_eflags();
	for (unsigned i = 0; i < 16; i++) {
		regs->gpr[i] = cpu->gen_reg[i].rrx;
		regs->xmm[i][0] = cpu->vmm[i].vmm64u(0);
		regs->xmm[i][1] = cpu->vmm[i].vmm64u(1);
	}
}

/* Called at the commit of the instruction, which is the last one of its trace now. */
void machine_pebs_due(void *opaque)
{
	struct machine_cpu *machine = (struct machine_cpu *)opaque;

	machine->pebs_due = true;
	machine->event_ip = machine->cpu->prev_rip;
	machine->cpu->async_event = 1;
}

/*
 * A halt begins after the record. If the record exits, the halt is saved with the guest; if it faults, the handler
 * returns behind the HLT.
 */
void machine_pebs_assist(struct machine_cpu *machine)
{
	BX_CPU_C *cpu = machine->cpu;
	unsigned state = cpu->activity_state;

	machine->pebs_due = false;
	machine->assisting = true;
	if (state != BX_CPU_C::BX_ACTIVITY_STATE_ACTIVE) {
		machine->woken_from = state;
		cpu->activity_state = BX_CPU_C::BX_ACTIVITY_STATE_ACTIVE;
	}
	pmu_model_pebs_assist(machine->model);
	pmu_model_abort(machine->model); /* what it accessed is no instruction's */
	machine->assisting = false;
	machine->woken_from = 0;
	cpu->activity_state = state;
}
