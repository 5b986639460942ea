/* AMD SVM: what one CPU needs for it. APM Vol. 2, "Secure Virtual Machine". */
#ifndef ARCH_X86_SVM_H
#define ARCH_X86_SVM_H

#include <stdbool.h>

#include "firmware.h"
#include "guest_space.h"
#include "hv/cpu.h"
#include "msr_permission.h"
#include "vmcb.h"

/* What a CPU does for the guest, or STARTUP_SIPI and the vector that it is to start at. */
enum svm_startup {
	STARTUP_RUNS,
	STARTUP_FIRMWARE, /* so far only the firmware's code */
	STARTUP_WAITS,    /* for a SIPI: an INIT is on its way, or has come */
	STARTUP_SIPI = 0x100,
};

/* How the guest finds the page of its APIC. */
enum svm_apic {
	APIC_TRAPPED,
	APIC_OPEN,
	APIC_LENT, /* a page of pmuvisor's stands in for it: guest_space_lend() */
};

#define SVM_NEVER UINT64_MAX

/* Page aligned; zero at first. */
struct svm_cpu {
	struct vmcb vmcb;
	struct vmcb host; /* what VMLOAD takes of it */
	uint8_t host_save[4096];
	struct svm_msr_permission msrs_open, msrs_closed;
	uint8_t io_permission[3 * 4096];
	struct guest_space space;
	uint64_t deadline;            /* of set_timer(), TSC; SVM_NEVER: none */
	bool passing;                 /* svm_timer.c: an interrupt is on its way to the guest */
	uint64_t stepped_from;        /* RFLAGS of before `stepping` */
	bool stepping, stepping_iret; /* the trap flag is set behind the guest's back */
	bool vnmi;                    /* the processor knows when the guest can't take an NMI; */
	bool nmi_masked;              /* without, it can't from the injection to the IRET, */
	bool iret_begun;              /* which is about to be executed: its exit was before it, */
	uint64_t iret_rip;            /* here */
	bool nmi_exits;               /* as last set, */
	bool nmi_watched;             /* and whether something ends with the guest's handler */
	bool faulting;                /* the event to be injected is the fault of the instruction that exited */
	uint64_t guarded;             /* counters that exit until the next exit: svm_pmu.c */
	uint64_t disguised;           /* selectors whose reads exit, as last set */
	bool open;                    /* the traps as last set: */
	bool tracks_ctrl;             /* the guest writes the global control register itself */
	bool next_rip;                /* exits save it */
	bool lbr;                     /* VMRUN and exits switch DEBUGCTL and the LBRs */
	bool records;                 /* gate.records and gate.freeze, as last applied */
	uint64_t freeze;
	uint8_t flush;           /* the narrowest TLB control there is */
	enum svm_apic apic_page; /* as last set */
	enum svm_apic apic_step; /* while one access to it is made, APIC_OPEN or APIC_LENT */
	bool icr_trapped;        /* writes of the interrupt command register exit; others read it */
	unsigned calm;           /* accesses to the APIC that exited since no CPU waits */
	uint32_t startup;        /* enum svm_startup; others write it */
	bool summoned;           /* others write it: the next INIT is pmuvisor's own */
	bool init_redirected;    /* INIT comes as #SX */
	struct cpu *cpu;         /* that this belongs to */
};

static inline struct svm_cpu *svm_of(const struct cpu *cpu)
{
	return (struct svm_cpu *)cpu->vendor;
}

/* What was changed in the VMCB since the last exit. */
static inline void vmcb_dirty(struct svm_cpu *svm, uint64_t groups)
{
	svm->vmcb.clean &= ~groups;
}

/* svm_setup.c: fills the VMCB with this CPU's intercepts and the firmware's state as the guest's. */
void svm_setup(struct cpu *cpu, const struct handoff *handoff, const struct firmware *firmware);

/* svm_start.c */
int svm_cpu_init(struct cpu *cpu, struct handoff *handoff);
void svm_cpu_leave(struct cpu *cpu);

/* svm_startup.c: INIT, SIPI, and the interrupt command register. */
void svm_startup_init(struct cpu *cpu);
/* The guest's WRMSR of it in x2APIC mode. */
enum verdict svm_write_icr(struct cpu *cpu);
/* An access to the APIC's page, and the step that made it. */
void svm_apic_access(struct cpu *cpu, uint64_t address, bool write);
void svm_apic_accessed(struct cpu *cpu);
/* The access won't be made. */
void svm_apic_forget(struct cpu *cpu);
/* An INIT has come. True: it was another CPU's pmuvisor that sent it, and is answered. */
bool svm_summoned(struct cpu *cpu);
/* This CPU was sent an INIT while not all of them are under pmuvisor: it is no longer, either. */
_Noreturn void svm_leave_by_init(struct cpu *cpu);
/* This CPU was sent an INIT. The vector it starts at. */
uint32_t svm_wait_for_sipi(struct cpu *cpu);
void svm_started(struct svm_cpu *svm);

/* svm_event.c: exits that only SVM code can answer. */
enum verdict svm_handle(struct cpu *cpu, const struct vm_exit *exit);
void svm_remap(struct cpu *cpu);
void svm_show_apic(struct cpu *cpu, enum svm_apic how);
/* An exit in the middle of delivering an event: it is put back. */
void svm_restore_event(struct svm_cpu *svm);

/* svm_nmi.c */
bool svm_nmi_blocked(struct cpu *cpu);
void svm_nmi_inject(struct cpu *cpu);
/* Returns the intercepts that NMIs need. */
uint32_t svm_apply_nmi(struct svm_cpu *svm, const struct pmu_gate *gate);
/* After any exit, while something ends with the guest's handler. */
void svm_nmi_exited(struct cpu *cpu);
/* An IRET has exited. True: that was the NMI window's exit. */
bool svm_nmi_iret(struct cpu *cpu);
/* Does the guest begin with the handler of an NMI, whose IRET exits? */
bool svm_nmi_comes_first(const struct svm_cpu *svm);
void svm_nmi_reset(struct svm_cpu *svm);

/* svm_step.c: one instruction at a time. */
void svm_step_begin(struct svm_cpu *svm);
void svm_step_iret(struct svm_cpu *svm);
void svm_step_cancel(struct cpu *cpu);
/* Whether the guest's interrupts wait, whatever its own flag says. */
void svm_hold_interrupts(struct svm_cpu *svm, bool held);
/* What the exit of a step is for shared code; false: nothing. */
bool svm_stepped(struct cpu *cpu, struct vm_exit *exit);

/* svm_timer.c: set_timer(), and the exits that it needs. */
void svm_set_timer(struct cpu *cpu, uint64_t ticks);
/* An interrupt has exited; and the IRET that ends its handler. */
void svm_timer_pass(struct cpu *cpu);
void svm_timer_passed(struct cpu *cpu);
/* The deadline is over. */
void svm_timer_over(struct cpu *cpu);
/* After any exit. */
static inline void svm_look_at_clock(struct cpu *cpu, uint64_t now)
{
	if (now >= svm_of(cpu)->deadline)
		svm_timer_over(cpu);
}

/* svm_pmu.c: around an entry that counts as an event of the guest's. */
void svm_pmu_entering(struct cpu *cpu);
/* It was entered and has exited. */
void svm_pmu_entered(struct cpu *cpu);
/* Nothing was entered. */
void svm_pmu_not_entered(struct cpu *cpu);
/* The guest has written the global control register itself. */
void svm_pmu_ctrl_written(struct pmu *pmu, uint64_t ctrl);
/* struct pmu_gate */
void svm_apply_disguised(struct cpu *cpu, uint64_t disguised);

/* Counters of either side that are on and count the next entry. */
static inline uint64_t svm_counting_entry(const struct pmu *pmu)
{
	return (pmu->kept.entries[0] | pmu->kept.entries[1]) & pmu->kept.ctrl;
}

/* svm_lbr.c: the guest's DEBUGCTL, and what records behind its back. */
uint64_t svm_read_debugctl(const struct svm_cpu *svm);
void svm_write_debugctl(struct cpu *cpu, uint64_t value);
void svm_apply_debugctl(struct cpu *cpu, const struct pmu_gate *gate);

/*
 * svm_length.c: address of the instruction after the one that exited, without the processor's word for it: found by
 * looking for what may stand before an instruction that is known.
 */
uint64_t svm_find_next_rip(struct cpu *cpu);

/* svm_entry.asm: enters the guest for the first time and after each exit, with svm_exited() in between. */
_Noreturn void svm_enter(struct cpu *cpu, uint64_t guest, uint64_t host);
void svm_exited(struct cpu *cpu, bool entered);

#endif
