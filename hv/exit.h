/* Why the guest stopped, in words both vendors share, and what is to be done about it. */
#ifndef HV_EXIT_H
#define HV_EXIT_H

#include <stdint.h>

enum exit_reason {
	EXIT_CPUID,
	EXIT_RDMSR,
	EXIT_WRMSR,
	EXIT_RDPMC,
	EXIT_NMI,
	EXIT_NMI_WINDOW,
	EXIT_TIMER,
	EXIT_STEP, /* the one instruction the gate asked for is done */
	EXIT_HYPERCALL,
	EXIT_VIRTUALIZATION, /* VMXON, VMRUN and their kind: hidden from the guest */
	EXIT_INVD,
	EXIT_XSETBV,
	EXIT_INIT,
	EXIT_SHUTDOWN, /* triple fault */
	EXIT_UNKNOWN,
	EXIT_IO, /* pmuvisor's own UART */
	EXIT_FIRST_WITH_DETAIL = EXIT_IO,
	EXIT_CONTROL_REGISTER,
	EXIT_HIDDEN_MEMORY, /* the guest touched memory it doesn't have */
	EXIT_APIC_ACCESS,   /* the guest is about to access its APIC's page */
	EXIT_SIPI,
	EXIT_REASONS
};
extern const char *const exit_names[EXIT_REASONS];

#define EXIT_IO_IN     0x10u
#define EXIT_IO_STRING 0x20u

struct vm_exit {
	enum exit_reason reason;
	uint64_t raw;     /* the vendor's exit code */
	uint64_t detail;  /* EXIT_IO: size in bytes | EXIT_IO_*; else the vendor's, where the reason has one */
	uint64_t address; /* guest-physical for EXIT_HIDDEN_MEMORY and EXIT_APIC_ACCESS, the port for EXIT_IO */
};

enum verdict {
	RESUME,  /* run the instruction again, or go on where the guest was */
	ADVANCE, /* the instruction was completed for the guest: past it, and count it */
	INJECT_UD,
	INJECT_GP, /* error code 0 */
	INJECT_NMI,
	STOP, /* nobody handles this: dump and halt */
};

struct cpu;

/* Everything between an exit and the next entry (exit.c). The vendor calls it, and enters when it returns. */
void answer_exit(struct cpu *cpu, const struct vm_exit *exit);

/* Its end, once more: for what the vendor does after it and that may have found an NMI for the guest. */
void answer_rest(struct cpu *cpu);

#endif
