#include "hypervisor.h"
#include "cpu.h"

#define VENDOR_AMD 0x68747541 /* "Auth", "enti", "cAMD" */

int64_t hypervisor_call(struct pmuvisor_registers *regs)
{
	return pmuvisor_call(cpuid(0, 0).ebx == VENDOR_AMD ? PMUVISOR_FEATURE_VMMCALL : 0, regs);
}

static uint64_t call(uint64_t operation)
{
	struct pmuvisor_registers regs = { .rcx = operation };

	return (uint64_t)hypervisor_call(&regs);
}

void hypervisor_publish(void)
{
	call(PMUVISOR_CALL_DUMP);
}

/* It is sent by a timer that runs only in the guest: so the guest is mostly there. */
void hypervisor_wait(void)
{
	while (call(PMUVISOR_CALL_PENDING)) {
		for (unsigned i = 0; i < 1000; i++)
			asm volatile("pause");
	}
}

/* One may be under way already, with older counts: that one first. */
void hypervisor_dump(void)
{
	hypervisor_wait();
	hypervisor_publish();
	hypervisor_wait();
}
