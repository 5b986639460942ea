#include <stdint.h>

#include "hypervisor.h"
#include "cpu.h"
#include "guest-api/pmuvisor.h"

#define VENDOR_AMD 0x68747541 /* "Auth", "enti", "cAMD" */

static uint64_t hypercall(uint64_t operation)
{
	uint64_t answer = PMUVISOR_CALL_MAGIC;

	if (cpuid(0, 0).ebx == VENDOR_AMD)
		asm volatile("vmmcall" : "+a"(answer) : "c"(operation) : "memory");
	else
		asm volatile("vmcall" : "+a"(answer) : "c"(operation) : "memory");
	return answer;
}

void hypervisor_publish(void)
{
	hypercall(PMUVISOR_CALL_DUMP);
}

/* It is sent by a timer that runs only in the guest: so the guest is mostly there. */
void hypervisor_wait(void)
{
	while (hypercall(PMUVISOR_CALL_PENDING)) {
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
