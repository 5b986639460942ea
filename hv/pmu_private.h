/* Shared by pmu.c, pmi.c, emulated.c, lbr.c and host_event.c; nobody else includes it. */
#ifndef HV_PMU_PRIVATE_H
#define HV_PMU_PRIVATE_H

#include "cpu.h"
#include "arch/x86/reg.h"

/* Inline, as every emulated instruction asks. */
static inline bool pmu_is_open(const struct pmu *pmu)
{
	return !pmu->shared || pmu->window;
}

/* The guest's global control register, wherever it is. */
static inline uint64_t pmu_guest_ctrl(const struct pmu *pmu)
{
	return pmu_is_open(pmu) ? pmu->gate.guest_ctrl : pmu->guest_ctrl;
}

/* Whether it is the host that LBR_FRZ in the hardware belongs to. */
static inline bool pmu_freezes_for_host(const struct pmu *pmu)
{
	return pmu->gate.records || pmu->lbr.now;
}

/* pmu.c */
void pmu_update_gate(struct pmu *pmu);
/* The guest's DEBUGCTL freeze bits, wherever they are. */
uint64_t pmu_guest_freeze(struct cpu *cpu);
uint64_t pmu_take_status(struct pmu *pmu, uint64_t status);
/* Sets the guest's status bits as an overflow would; raises no PMI. */
void pmu_raise_status(struct pmu *pmu, uint64_t bits);

/* pmi.c: the guest's local vector table entry, and the hardware's, which the host needs too. */
void lvtpc_open(struct pmu *pmu);
void lvtpc_close(struct pmu *pmu);
/* While closed: learns what the guest has written, and makes the hardware's entry what both together need. */
void lvtpc_refresh(struct cpu *cpu);
void lvtpc_settle(struct cpu *cpu);
void lvtpc_look(struct cpu *cpu);
/*
 * Before anything that moves the LVTPC, or takes or drops overflows without an NMI: waits for PMIs that are under way,
 * so that none comes when its cause is no longer to be seen, and decides them. Returns the global status afterwards.
 */
uint64_t pmi_land(struct cpu *cpu);
/* A guest counter with its PMI enabled has overflowed; the status bit is set already. */
void guest_pmi(struct cpu *cpu);

/* lbr.c */
void lbr_update_gate(struct pmu *pmu);
/* A PMI has frozen the host's: their branches are copied. The freeze is the caller's to end. */
void lbr_capture(struct pmu *pmu);

/* host_event.c */
void host_events_init(struct pmu *pmu, const struct hv_config *config);
void host_events_program(struct pmu *pmu);
void host_events_clear(struct cpu *cpu);
/*
 * Stops root counting, so that nothing is lost between reading a counter and writing it, and takes what has overflowed.
 */
void host_events_stop_root(struct cpu *cpu);
/* Around a window: the counters read 0 in between, and their counts are kept. */
void host_events_pause(struct cpu *cpu);
void host_events_resume(struct cpu *cpu);
/* Keeps the counters that sample far from overflowing, and back. Those that sample root mode are stopped. */
void host_events_hold(struct cpu *cpu, bool hold);
/* Of `counters`, which have overflowed, those whose period is over. */
uint64_t host_events_ended(const struct pmu *pmu, uint64_t counters);
/*
 * Overflows of `counters`: acknowledged, counted, reloaded. If they count in root mode, they do so again from the
 * next exit.
 */
void host_events_overflowed(struct cpu *cpu, uint64_t counters);

#endif
