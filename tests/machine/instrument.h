/*
 * The points where Bochs lets an observer in, bound to glue.h. The names are Bochs' own; those nobody needs are empty.
 * Everything is inline: out-of-line hooks cost 60 % of the machine's speed.
 */
#include "glue.h"

#define BX_INSTR_INIT_ENV()
#define BX_INSTR_EXIT_ENV() machine_broken()

#define BX_INSTR_INITIALIZE(cpu_id) machine_start()
#define BX_INSTR_EXIT(cpu_id)
#define BX_INSTR_RESET(cpu_id, type) machine_reset_cpu(&BX_CPU_THIS_PTR machine, (type) == BX_RESET_HARDWARE)
#define BX_INSTR_HLT(cpu_id)
#define BX_INSTR_MWAIT(cpu_id, addr, len, flags)

#define BX_INSTR_DEBUG_PROMPT()
#define BX_INSTR_DEBUG_CMD(cmd)

#define MACHINE_NEAR(from, to) (pmu_model_transfer{ from, to, CPL, CPL })
/* The compiler would put the addresses together first, and look whether anybody wants them then. */
#define MACHINE_BRANCH(report)                                                                                         \
	do {                                                                                                           \
		if (pmu_model_watches_branches(BX_CPU_THIS_PTR machine.model))                                         \
			report;                                                                                        \
	} while (0)
#define BX_INSTR_CNEAR_BRANCH_TAKEN(cpu_id, from, to)                                                                  \
	MACHINE_BRANCH(pmu_model_branch(BX_CPU_THIS_PTR machine.model, PMU_MODEL_JCC, true, MACHINE_NEAR(from, to)))
#define BX_INSTR_CNEAR_BRANCH_NOT_TAKEN(cpu_id, from)                                                                  \
	MACHINE_BRANCH(pmu_model_branch(BX_CPU_THIS_PTR machine.model, PMU_MODEL_JCC, false, MACHINE_NEAR(from, RIP)))
#define BX_INSTR_UCNEAR_BRANCH(cpu_id, what, from, to)                                                                 \
	MACHINE_BRANCH(machine_near_branch(&BX_CPU_THIS_PTR machine, what, i->ilen(), MACHINE_NEAR(from, to)))
#define BX_INSTR_FAR_BRANCH(cpu_id, what, prev_cs, prev_eip, new_cs, new_eip)                                          \
	machine_far_branch(&BX_CPU_THIS_PTR machine, (what) == BX_INSTR_IS_INT ? PMU_MODEL_INT : PMU_MODEL_FAR,        \
			   pmu_model_transfer{ prev_eip, new_eip, BX_CPU_THIS_PTR far_branch.prev_cpl, CPL })

#define BX_INSTR_OPCODE(cpu_id, i, opcode, len, is32, is64)

#define BX_INSTR_EXCEPTION(cpu_id, vector, error_code)
/* Delivery through the IDT makes the processor active before anything in it can exit. */
#define BX_INSTR_INTERRUPT(cpu_id, vector) BX_CPU_THIS_PTR machine.woken_from = 0
#define BX_INSTR_HWINTERRUPT(cpu_id, vector, cs, eip)

#define BX_INSTR_CLFLUSH(cpu_id, laddr, paddr) pmu_model_clflush(BX_CPU_THIS_PTR machine.model, paddr)
#define BX_INSTR_CACHE_CNTRL(cpu_id, what)
#define BX_INSTR_TLB_CNTRL(cpu_id, what, new_cr3)
#define BX_INSTR_PREFETCH_HINT(cpu_id, what, seg, offset) (void)(offset)

#define BX_INSTR_BEFORE_EXECUTION(cpu_id, i)
#define BX_INSTR_AFTER_EXECUTION(cpu_id, i) machine_commit(&BX_CPU_THIS_PTR machine, CPL)
#define BX_INSTR_REPEAT_ITERATION(cpu_id, i)

#define BX_INSTR_LIN_ACCESS(cpu_id, lin, phy, len, memtype, rw)                                                        \
	machine_access(&BX_CPU_THIS_PTR machine, rw, lin, phy, len)
#define BX_INSTR_PHY_ACCESS(cpu_id, phy, len, memtype, rw)

#define BX_INSTR_INP(addr, len)
#define BX_INSTR_INP2(addr, len, val)
#define BX_INSTR_OUTP(addr, len, val) machine_out(addr, len, val)

#define BX_INSTR_WRMSR(cpu_id, addr, value)

#define BX_INSTR_VMEXIT(cpu_id, reason, qualification) stats_vmexit(&BX_CPU_THIS_PTR machine.stats, reason)
