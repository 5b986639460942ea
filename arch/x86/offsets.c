/* Offsets for assembly: compiled to assembly, never linked; each line marked NASM becomes a line of offsets.inc. */
#include <stddef.h>

#include "hv/cpu.h"

#define OFFSET(name, member) asm volatile("\n#NASM %%define " #name " %c0" ::"i"(offsetof(struct cpu, member)))

_Static_assert(offsetof(struct cpu, nmi.init_in_root) == offsetof(struct cpu, nmi.in_root) + 1, "one word");

void offsets(void);

void offsets(void)
{
	OFFSET(CPU_SELF, self);
	OFFSET(CPU_RAX, guest.rax);
	OFFSET(CPU_RCX, guest.rcx);
	OFFSET(CPU_RDX, guest.rdx);
	OFFSET(CPU_RBX, guest.rbx);
	OFFSET(CPU_RBP, guest.rbp);
	OFFSET(CPU_RSI, guest.rsi);
	OFFSET(CPU_RDI, guest.rdi);
	OFFSET(CPU_R8, guest.r8);
	OFFSET(CPU_R9, guest.r9);
	OFFSET(CPU_R10, guest.r10);
	OFFSET(CPU_R11, guest.r11);
	OFFSET(CPU_R12, guest.r12);
	OFFSET(CPU_R13, guest.r13);
	OFFSET(CPU_R14, guest.r14);
	OFFSET(CPU_R15, guest.r15);
	OFFSET(CPU_NMI_IN_ROOT, nmi.in_root);
	OFFSET(CPU_IN_ROOT, nmi.in_root); /* and nmi.init_in_root */
}
