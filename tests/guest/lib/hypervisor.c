#include <stdint.h>

#include "hypervisor.h"
#include "guest-api/pmuvisor.h"

static uint64_t vmcall(uint64_t operation)
{
	uint64_t answer = PMUVISOR_CALL_MAGIC;

	asm volatile("vmcall" : "+a"(answer) : "c"(operation) : "memory");
	return answer;
}

/* It is sent by a timer that runs only in the guest: so the guest is mostly there. */
static void wait_until_sent(void)
{
	while (vmcall(PMUVISOR_CALL_PENDING)) {
		for (unsigned i = 0; i < 1000; i++)
			asm volatile("pause");
	}
}

/* One may be under way already, with older counts: that one first. */
void hypervisor_dump(void)
{
	wait_until_sent();
	vmcall(PMUVISOR_CALL_DUMP);
	wait_until_sent();
}
