/*
 * Which of the guest's MSRs exit, and what the guest gets from them: what guest_msr.c has for every processor, and what
 * each vendor's guest_msr_*.c adds.
 */
#ifndef ARCH_X86_GUEST_MSR_H
#define ARCH_X86_GUEST_MSR_H

#include "guest.h"

/* Under which conditions an entry applies; beside these each vendor has its own, from GUEST_MSR_VENDOR on. */
enum guest_msr_when {
	ALWAYS,
	CLOSED, /* only while the global registers are closed to the guest */
	GUEST_MSR_VENDOR,
};

struct guest_msr {
	uint32_t first, count;
	enum msr_trap trap;
	unsigned when;
	bool (*read)(struct cpu *cpu, uint32_t msr, uint64_t *value); /* NULL: #GP */
	bool (*write)(struct cpu *cpu, uint32_t msr, uint64_t value);
};

typedef void (*guest_msr_set)(void *context, uint32_t msr, enum msr_trap trap);

/* One vendor's. */
struct guest_msrs {
	const struct guest_msr *entries; /* searched from the top */
	unsigned count;
	/* For conditions from GUEST_MSR_VENDOR on. */
	bool (*applies)(const struct pmu *pmu, unsigned when);
	/* Traps what depends on the partition. */
	void (*trap_host)(const struct pmu *pmu, guest_msr_set set, void *context);
	/* Is this counter the guest's to read with RDPMC? */
	bool (*may_rdpmc)(const struct pmu *pmu, uint32_t ecx);
	uint64_t (*debugctl)(const struct pmu *pmu);         /* the bits the guest may set, */
	uint64_t (*debugctl_ignored)(const struct pmu *pmu); /* and those of them that stay 0 */
};
extern const struct guest_msrs guest_msrs_intel, guest_msrs_amd;

#endif
