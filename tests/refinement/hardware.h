/*
 * The machine under pmuvisor: a processor with the whole PMU, VMX as far as the PMU notices it, and pmuvisor's own
 * sources as its root mode. The guest's steps run here as they do on the bare processor.
 */
#ifndef REFINEMENT_HARDWARE_H
#define REFINEMENT_HARDWARE_H

#include "processor.h"
#include "run.h"

void hardware_start(const struct plan *plan);
void hardware_stop(void);

void hardware_execute(const struct step *step, struct outcome *outcome);
/* Between two instructions. `late`: an NMI that is due waits for the next exit. */
void hardware_boundary(bool late);

/* What has come: PMIs to the guest's LVTPC, by the hardware or by pmuvisor, whatever it held; NMIs to the guest. */
struct arrivals {
	uint64_t pmis, nmis;
};
struct arrivals hardware_arrivals(void);
/* Before the last instruction took effect, and before it was counted. */
struct arrivals hardware_arrivals_at_commit(void);
struct arrivals hardware_arrivals_at_retirement(void);

/* An NMI waits to be taken by the guest, wherever. */
bool hardware_nmi_waits(void);
/* It will be there after the next instruction. */
bool hardware_nmi_is_late(void);
/* The last instruction brought a PMI and, later in its course, sent another. */
bool hardware_overtaken(void);

/* The guest's part of the machine. */
struct processor *hardware_processor(void);
/* What RDMSR would give the guest now, without anything else happening. */
uint64_t hardware_peek(uint32_t msr);
uint32_t hardware_peek_lvtpc(void);

/*
 * The global registers are untrapped: direct mode, or a window. RDPMC is. The host's events are live, or in a window.
 */
bool hardware_is_open(void);
bool hardware_rdpmc_is_open(void);
bool hardware_in_window(void);
/* The host has events with a period, live or not. */
bool hardware_samples(void);
/* The LBRs are the guest's in the guest and may be the host's in root mode. */
bool hardware_shares_lbr(void);
/* By how much a guest's counter is ahead until the next exit, which comes before the guest can see it. */
uint64_t hardware_ahead(unsigned counter);
/* Of the guest's NMIs, pmuvisor knows only those that it has injected. */
bool hardware_blocking_is_unknown(void);
/* Bits of GLOBAL_CTRL and STATUS of what the guest doesn't have: counters, metrics. */
uint64_t hardware_hidden(void);
/* pmuvisor wants PMIs as NMIs whatever the guest's LVTPC says, and hasn't put one of its own there yet. */
bool hardware_needs_lvtpc(void);

/* One exit that means nothing to the guest, with pmuvisor's periodic work done in it. */
void hardware_poll(void);
/* Compares what pmuvisor says it counted for the host with what there was to count. */
void hardware_check_host(void);
void hardware_report(struct result *result);

#endif
