/* Where the guest goes on behind an instruction that was completed for it. */
#include "svm.h"
#include "guest.h"
#include "guest_walk.h"
#include "msr.h"

#define LONGEST_INSTRUCTION 15
#define ESCAPE              0x0f

static bool runs_64_bit_code(const struct vmcb *vmcb)
{
	return vmcb->efer & EFER_LMA && vmcb->cs.attributes & ATTRIBUTES_L;
}

/* Of these instructions alone, without prefixes: APM Vol. 3. */
static unsigned opcode_length(uint64_t exit_code)
{
	return exit_code == SVM_EXIT_VMMCALL ? 3 : 2;
}

/*
 * All of them begin with the same byte, which is no prefix (APM Vol. 3, "Instruction Prefixes"). Where it can't be
 * found the usual form is taken, without any.
 */
static unsigned prefixes(struct cpu *cpu, uint64_t linear)
{
	for (unsigned n = 0; n < LONGEST_INSTRUCTION; n++) {
		int byte = guest_byte_at(cpu, linear + n);

		if (byte == ESCAPE)
			return n;
		if (byte < 0)
			break;
	}
	return 0;
}

/* At 4 GiB the instruction pointer of 32-bit code wraps. */
uint64_t svm_find_next_rip(struct cpu *cpu)
{
	const struct vmcb *vmcb = &svm_of(cpu)->vmcb;
	bool code64 = runs_64_bit_code(vmcb);
	uint64_t next;

	if (vmcb->exit_code == SVM_EXIT_IO)
		return vmcb->exit_info2;
	next = vmcb->rip + prefixes(cpu, vmcb->rip + (code64 ? 0 : vmcb->cs.base)) + opcode_length(vmcb->exit_code);
	return code64 ? next : next & BITS(31, 0);
}
