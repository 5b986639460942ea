/* Offsets for enter.asm: compiled to assembly, never linked; boot.mk turns each line marked NASM into handoff.inc. */
#include <stddef.h>

#include "hv/boot_info.h"

#define OFFSET(name, member) asm volatile("\n#NASM %%define " #name " %c0" ::"i"(offsetof(struct handoff, member)))

void offsets(void);

void offsets(void)
{
	OFFSET(HANDOFF_CR3, cr3);
	OFFSET(HANDOFF_ENTRY, entry);
	OFFSET(HANDOFF_STACK_TOP, stack_top);
	OFFSET(HANDOFF_FW_CR3, fw_cr3);
	OFFSET(HANDOFF_FW_RSP, fw_rsp);
	OFFSET(HANDOFF_FW_RIP, fw_rip);
	OFFSET(HANDOFF_FW_RFLAGS, fw_rflags);
	OFFSET(HANDOFF_LEAVE, leave);
	OFFSET(HANDOFF_RESULT, result);
	OFFSET(HANDOFF_VMMCALL, vmmcall);
}
