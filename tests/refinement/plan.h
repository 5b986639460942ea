/*
 * One run of the refinement test: a configuration and the guest's steps. All chance is in here; a plan replays
 * exactly.
 */
#ifndef REFINEMENT_PLAN_H
#define REFINEMENT_PLAN_H

#include <stdio.h>

#include "hv/bits.h"
#include "hv/config.h"

#define PLAN_MAX_STEPS 400
#define PLAN_MAX_SKID  12

#define SELECTOR_ADAPTIVE BIT(34) /* SDM Vol. 3B, "Adaptive PEBS" */

enum step_kind {
	STEP_RETIRE, /* `value` instructions that nobody stops */
	STEP_BRANCH, /* `index` is an enum pmu_model_branch, `value` whether it is taken */
	STEP_CPUID,  /* leaf `index` */
	STEP_RDMSR,
	STEP_WRMSR,
	STEP_RDPMC,
	STEP_READ_LVTPC, /* the way the APIC's mode says */
	STEP_WRITE_LVTPC,
	STEP_IRET,
	STEP_NMI,   /* from outside, a watchdog's */
	STEP_POLL,  /* pmuvisor's timer: looks for overflows that no NMI announced */
	STEP_HOST,  /* pmuvisor's own: the host's events stop, or start again */
	STEP_STORE, /* 8 bytes to memory, `index` bytes into it (processor.h) */
	NR_STEP_KINDS,
};

struct step {
	enum step_kind kind;
	unsigned skid;  /* a PMI that this step signals arrives so many instructions later; only if plan.skids */
	bool late;      /* an NMI due before this instruction is recognized only after its exit */
	unsigned cpl;   /* 0 or 3 */
	unsigned root;  /* instructions pmuvisor runs in each exit of this step, beside its register accesses */
	uint32_t index; /* MSR, ECX of RDPMC, CPUID leaf ... */
	uint64_t value;
};

struct plan {
	uint64_t seed;
	struct hv_config config;
	unsigned model;  /* of plan_models */
	bool x2apic;     /* at the start; a later WRMSR may switch it on */
	bool saves_ctrl; /* the CPU has the VM-exit control that saves PERF_GLOBAL_CTRL */
	bool skids;      /* PMIs arrive late under pmuvisor, and bare when they do there */
	unsigned nr_steps;
	struct step steps[PLAN_MAX_STEPS];
};

/* The events that guest and host count: event and umask as in a selector, and as configured. */
#define NR_PLAN_SELECTED 10
#define NR_PLAN_EVENTS   3
extern const uint16_t plan_selected[NR_PLAN_SELECTED], plan_selected_amd[NR_PLAN_SELECTED];
extern const struct config_event plan_events[NR_PLAN_EVENTS];

void plan_generate(struct plan *plan, uint64_t seed);
/* Makes what a plan may not hold something else (allow.c). */
void plan_allow(struct plan *plan);

/* Any bytes are a plan; those of a plan are that plan, but for its seed. PLAN_MAX_BYTES hold any. */
#define PLAN_MAX_BYTES (16 + 16 * PLAN_MAX_STEPS)
void plan_decode(struct plan *plan, const uint8_t *bytes, size_t size);
size_t plan_encode(const struct plan *plan, uint8_t *bytes);

void plan_print(const struct plan *plan, FILE *out);
void step_print(const struct step *step, FILE *out);

/* The processors: one as it is, and one that has what the guest has, as a bare one. */
#define NR_PLAN_MODELS       5
#define NR_PLAN_MODELS_INTEL 3
struct pmu_model_caps;
extern const struct pmu_model_caps *const plan_models[NR_PLAN_MODELS];
void plan_bare_caps(const struct plan *plan, struct pmu_model_caps *caps);
bool plan_is_amd(const struct plan *plan);
/* Not Zen 3: no global registers. */
bool plan_has_globals(const struct plan *plan);
/* The global status register, and a counter's, by its bit there. */
uint32_t plan_status_msr(const struct plan *plan);
uint32_t plan_counter_msr(const struct plan *plan, unsigned n);
/* The general-purpose counter whose selector this MSR is, or -1. */
int plan_selected_by(uint32_t msr);
/* What an LBR_INFO register tells of time: docs/contract.md, deviation 8. */
#define PLAN_LBR_TIME (BITS(15, 0) | BIT(60))
bool plan_is_lbr_info(uint32_t msr);
/* What of it the guest has. */
bool plan_has_pebs(const struct plan *plan);
bool plan_has_lbr(const struct plan *plan);

/* The partition of `config`, as a bitmap in the layout of the global control register. */
uint64_t plan_guest_counters(const struct plan *plan);

#endif
