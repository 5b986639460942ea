#include <stdint.h>

#include "hypervisor.h"
#include "guest-api/pmuvisor.h"

static uint64_t vmcall(uint64_t operation)
{
	uint64_t answer = PMUVISOR_CALL_MAGIC;

	asm volatile("vmcall" : "+a"(answer) : "c"(operation) : "memory");
	return answer;
}

/* One may be under way already, with older counts: that one first. */
void hypervisor_dump(void)
{
	while (vmcall(PMUVISOR_CALL_PENDING))
		;
	vmcall(PMUVISOR_CALL_DUMP);
	while (vmcall(PMUVISOR_CALL_PENDING))
		;
}
