/* Where the guest goes on behind an instruction that was completed for it. */
#include "svm.h"
#include "guest.h"
#include "guest_walk.h"
#include "msr.h"

#define LONGEST_INSTRUCTION 15

static bool runs_64_bit_code(const struct vmcb *vmcb)
{
	return vmcb->efer & EFER_LMA && vmcb->cs.attributes & ATTRIBUTES_L;
}

/* Of these instructions alone, without prefixes: APM Vol. 3. */
static unsigned opcode_length(uint64_t exit_code)
{
	return exit_code == SVM_EXIT_VMMCALL ? 3 : 2;
}

/* APM Vol. 3, "Instruction Prefixes": the legacy ones, and REX, which is last and in 64-bit code alone. */
static bool is_prefix(uint8_t byte, bool code64)
{
	switch (byte) {
	case 0x26:
	case 0x2e:
	case 0x36:
	case 0x3e:
	case 0x64:
	case 0x65:
	case 0x66:
	case 0x67:
	case 0xf0:
	case 0xf2:
	case 0xf3: return true;
	default: return code64 && (byte & 0xf0) == 0x40;
	}
}

/* Where the guest's memory can't be read the usual form is taken, without any. */
static unsigned prefixes(struct cpu *cpu)
{
	const struct vmcb *vmcb = &svm_of(cpu)->vmcb;
	bool code64 = runs_64_bit_code(vmcb);
	uint64_t linear = vmcb->rip + (code64 ? 0 : vmcb->cs.base);
	unsigned n = 0;
	uint8_t byte;

	while (n < LONGEST_INSTRUCTION && guest_read_byte(cpu, linear + n, &byte) && is_prefix(byte, code64))
		n++;
	return n;
}

/* At 4 GiB the instruction pointer of 32-bit code wraps. */
uint64_t svm_find_next_rip(struct cpu *cpu)
{
	const struct vmcb *vmcb = &svm_of(cpu)->vmcb;
	uint64_t next;

	if (vmcb->exit_code == SVM_EXIT_IO)
		return vmcb->exit_info2;
	next = vmcb->rip + prefixes(cpu) + opcode_length(vmcb->exit_code);
	return runs_64_bit_code(vmcb) ? next : next & BITS(31, 0);
}
