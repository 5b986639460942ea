#include "hypercall.h"
#include "cpu.h"
#include "dump.h"
#include "arch/x86/platform.h"
#include "guest-api/pmuvisor.h"

/* Kernel mode only, and only what is known: anything else is the #UD a machine without VMX gives. */
enum verdict hypercall(struct cpu *cpu)
{
	struct regs *guest = &cpu->guest;

	if (guest->rax != PMUVISOR_CALL_MAGIC || cpu->ops->read(cpu, GUEST_CPL) != 0)
		return INJECT_UD;
	switch (guest->rcx) {
	case PMUVISOR_CALL_DUMP:
		dump_request(cpu);
		guest->rax = dump_pending();
		return ADVANCE;
	case PMUVISOR_CALL_PENDING: guest->rax = dump_pending(); return ADVANCE;
	case HV_CALL_LEAVE:
		if (!platform_knows_loader(cpu))
			return INJECT_UD;
		hv_leave(cpu);
	default: return INJECT_UD;
	}
}
