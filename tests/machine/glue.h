/*
 * Between Bochs and the plain C of the PMU model and the statistics. Included by Bochs' cpu.h through instrument.h;
 * every processor object holds one struct machine_cpu.
 */
#ifndef MACHINE_GLUE_H
#define MACHINE_GLUE_H

#include <setjmp.h>

extern "C" {
#include "pmu_model.h"
#include "stats.h"
#include "vmcb_clean.h"
}

class BX_CPU_C;

struct machine_cpu {
	struct stats stats; /* first: stats.retired is written for every instruction */
	struct pmu_model *model;
	BX_CPU_C *cpu;

	/* What is committed next is no retirement: a REP instruction that has to go on, or a VM entry, counted before. */
	bool unfinished;
	bool far; /* the instruction is a far transfer, executed in CPL far_cpl */
	unsigned far_cpl;
	bool halted;
	unsigned woken_from; /* the activity state an event ended, until the event is delivered; 0: none */

	bool sipi_pending; /* SIPI arrived; the processor starts, or exits, in its next slice */
	unsigned sipi_vector;

	struct vmcb_clean clean;

	/* glue_pebs.cc */
	bool pebs_due;
	Bit64u event_ip; /* of the instruction that the record is due for */
	bool assisting;  /* what is accessed is the DS area */
	jmp_buf *escape; /* where a fault of it goes; NULL: it is delivered */
};

/* Where a run's files go. */
#define ENV_DIRECTORY "MACHINE_DIRECTORY"

/* Life of the machine. None of the four ends returns. */
void machine_new_cpu(struct machine_cpu *machine, BX_CPU_C *cpu, unsigned number);
void machine_start(void);
void machine_set_deadline(uint64_t ticks); /* 0: none */
void machine_devices(void);
void machine_reset_cpu(struct machine_cpu *machine, bool hardware);
void machine_power_off(void);
void machine_shutdown(void);
void machine_broken(void);
void machine_wrong(const char *what);
/* glue_serve.cc: a machine may wait here, and only copies of it go on. */
void machine_disk_command(void);
void machine_out(unsigned port, unsigned size, Bit32u value);

/* -1: not a PMU register; 0: #GP; 1: done. */
int machine_rdmsr(struct machine_cpu *machine, Bit32u msr, Bit64u *value);
int machine_wrmsr(struct machine_cpu *machine, Bit32u msr, Bit64u value);
/* False: #GP. */
bool machine_rdpmc(struct machine_cpu *machine, Bit32u ecx, Bit64u *value);
void machine_cpuid(struct machine_cpu *machine, Bit32u leaf, Bit32u subleaf, Bit32u *eax, Bit32u *ebx, Bit32u *ecx,
		   Bit32u *edx);

/* VM entry, all checks passed, nothing loaded yet. */
void machine_vmentry(struct machine_cpu *machine, const struct pmu_model_vmcs *vmcs);
/* SVM: EFER.SVME in the host; VMRUN, the guest's state loaded, in its CPL; #VMEXIT, which fills `debug`. */
void machine_svme(struct machine_cpu *machine, bool on);
void machine_vmrun(struct machine_cpu *machine, const struct pmu_model_vmcb *debug, unsigned cpl);
/* The VMCB as VMRUN finds it, and as #VMEXIT leaves it. */
void machine_vmcb_run(struct machine_cpu *machine, Bit64u address, const Bit8u *vmcb);
void machine_vmcb_left(struct machine_cpu *machine, Bit64u address, const Bit8u *vmcb);
void machine_svm_exit(struct machine_cpu *machine, int reason, struct pmu_model_vmcb *debug);
/* An exception or a VM exit abandoned the instruction. */
void machine_unwound(struct machine_cpu *machine);

/* The processor stops executing instructions, or goes on. */
static inline void machine_halted(struct machine_cpu *machine, bool halted)
{
	if (machine->halted != halted)
		pmu_model_halted(machine->model, halted);
	machine->halted = halted;
}

/* From here to the next call, what reaches a local APIC was sent by this processor; NULL: by a device. */
void machine_ipi_from(struct machine_cpu *sender);
/* A message reaches a processor's local APIC; `mode` is the delivery mode. */
void machine_ipi_to(struct machine_cpu *receiver, unsigned mode);

/* Interrupt and event delivery touched memory for no instruction. */
static inline void machine_between_instructions(struct machine_cpu *machine)
{
	pmu_model_abort(machine->model);
	machine->woken_from = 0;
}

/* PEBS: the operations for the model. */
bool machine_ds_read(void *opaque, uint64_t linear, void *data, unsigned size);
bool machine_ds_write(void *opaque, uint64_t linear, const void *data, unsigned size);
void machine_registers(void *opaque, struct pmu_model_regs *regs);
void machine_pebs_due(void *opaque);

void machine_pebs_assist(struct machine_cpu *machine);

/* Between instructions, before all else: a record due is written, or it faults or exits and does not return. */
static inline void machine_pebs(struct machine_cpu *machine)
{
	if (machine->pebs_due)
		machine_pebs_assist(machine);
}

/* An exception or VM exit is about to happen. Does not return if it is none because it was the DS area's. */
static inline void machine_pebs_fault(struct machine_cpu *machine)
{
	if (machine->escape)
		longjmp(*machine->escape, 1);
}

void machine_commit_unusual(struct machine_cpu *machine, unsigned cpl);

/* The commit point of an instruction; `cpl` is the CPL after it, which only far transfers change. */
static inline void machine_commit(struct machine_cpu *machine, unsigned cpl)
{
	if (__builtin_expect(machine->unfinished | machine->far, false)) {
		machine_commit_unusual(machine, cpl);
		return;
	}
	machine->stats.retired++;
	pmu_model_retire(machine->model, cpl);
}

/* `rw` is Bochs' BX_READ 0, BX_WRITE 1 or BX_RW 3, and more in the bits above. */
static inline void machine_access(struct machine_cpu *machine, unsigned rw, Bit64u linear, Bit64u physical,
				  unsigned size)
{
	const unsigned load = (rw & 3) != 1 ? PMU_MODEL_LOAD : 0, store = rw & 1 ? PMU_MODEL_STORE : 0;

	pmu_model_access(machine->model, load | store, linear, physical, size);
}

static inline void machine_far_branch(struct machine_cpu *machine, enum pmu_model_branch kind,
				      const struct pmu_model_transfer &far)
{
	machine->far = true;
	machine->far_cpl = far.from_cpl;
	pmu_model_branch(machine->model, kind, true, far);
}

/* `what` is one of Bochs' BX_INSTR_IS_*, `length` the instruction's. */
static inline void machine_near_branch(struct machine_cpu *machine, unsigned what, unsigned length,
				       const struct pmu_model_transfer &near)
{
	/* Bochs numbers them in this order from BX_INSTR_IS_JMP on. */
	static const unsigned char kinds[] = { PMU_MODEL_JMP, PMU_MODEL_JMP_INDIRECT, PMU_MODEL_CALL,
					       PMU_MODEL_CALL_INDIRECT, PMU_MODEL_RET };
	enum pmu_model_branch kind = (enum pmu_model_branch)kinds[what - 10];

	if (kind == PMU_MODEL_CALL && near.to - near.from == length)
		kind = PMU_MODEL_CALL_NEXT;
	pmu_model_branch(machine->model, kind, true, near);
}

#endif
