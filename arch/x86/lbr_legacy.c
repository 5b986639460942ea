/*
 * The older LBRs: a ring of model-specific registers, and a pointer to its newest entry. SDM Vol. 3B, "LBR Stack",
 * "Last Branch Recording in Processors Based on Skylake Microarchitecture" (Ice Lake's are alike).
 */
#include "hv/lbr.h"
#include "cpuid.h"
#include "msr.h"
#include "arch/x86/reg.h"

/* PERF_CAPABILITIES[5:0], "LBR Stack and IA32_PERF_CAPABILITIES": those with a third register for each entry. */
#define FORMAT_EIP_INFO 5
#define FORMAT_LIP_INFO 7
#define ENTRIES         32 /* of every processor that has these formats */

struct legacy_entry {
	uint64_t from, to, info;
};

/* LER isn't in it: SDM Vol. 4 has it read-only. */
struct legacy_state {
	uint64_t select, tos;
	struct legacy_entry entries[ENTRIES];
};
_Static_assert(sizeof(struct legacy_state) <= LBR_STATE_SIZE, "hv/lbr.h has room for it");

static bool legacy_ident(struct lbr_caps *caps)
{
	uint32_t regs[4];
	uint64_t format, last;

	reg_cpuid(CPUID_FEATURES, 0, regs);
	if (!(regs[2] & CPUID_1_ECX_PDCM))
		return false;
	format = reg_rdmsr(MSR_IA32_PERF_CAPABILITIES) & PERF_CAP_LBR_FMT;
	if (format != FORMAT_EIP_INFO && format != FORMAT_LIP_INFO)
		return false;
	if (!reg_rdmsr_safe(MSR_LBR_INFO_0 + ENTRIES - 1, &last))
		return false; /* a hypervisor below keeps them */
	caps->entries = ENTRIES;
	caps->switchable = true; /* DEBUGCTL is cleared by every exit and loaded by the entry */
	return true;
}

static void legacy_record(bool on)
{
	reg_wrmsr(MSR_IA32_DEBUGCTL, on ? DEBUGCTL_LBR | DEBUGCTL_FREEZE_LBRS_ON_PMI : 0);
}

/* A branch from nowhere ends the stack; a filter of 0 suppresses nothing. */
static void legacy_clear(unsigned entries)
{
	reg_wrmsr(MSR_LBR_SELECT, 0);
	for (uint32_t i = 0; i < entries; i++)
		reg_wrmsr(MSR_LASTBRANCH_0_FROM + i, 0);
}

static void legacy_save(struct lbr_state *to, unsigned entries)
{
	struct legacy_state *state = (struct legacy_state *)to->bytes;

	state->select = reg_rdmsr(MSR_LBR_SELECT);
	state->tos = reg_rdmsr(MSR_LASTBRANCH_TOS);
	for (uint32_t i = 0; i < entries; i++) {
		state->entries[i].from = reg_rdmsr(MSR_LASTBRANCH_0_FROM + i);
		state->entries[i].to = reg_rdmsr(MSR_LASTBRANCH_0_TO + i);
		state->entries[i].info = reg_rdmsr(MSR_LBR_INFO_0 + i);
	}
	legacy_clear(entries);
}

static void legacy_load(const struct lbr_state *from, unsigned entries)
{
	const struct legacy_state *state = (const struct legacy_state *)from->bytes;

	reg_wrmsr(MSR_LBR_SELECT, state->select);
	reg_wrmsr(MSR_LASTBRANCH_TOS, state->tos);
	for (uint32_t i = 0; i < entries; i++) {
		reg_wrmsr(MSR_LASTBRANCH_0_FROM + i, state->entries[i].from);
		reg_wrmsr(MSR_LASTBRANCH_0_TO + i, state->entries[i].to);
		reg_wrmsr(MSR_LBR_INFO_0 + i, state->entries[i].info);
	}
}

static unsigned legacy_read(struct lbr_branch branches[LBR_MAX_ENTRIES], unsigned entries)
{
	uint32_t newest = (uint32_t)reg_rdmsr(MSR_LASTBRANCH_TOS);

	for (uint32_t i = 0; i < entries; i++) {
		uint32_t n = (newest - i) % entries;

		branches[i].from = reg_rdmsr(MSR_LASTBRANCH_0_FROM + n);
		branches[i].to = reg_rdmsr(MSR_LASTBRANCH_0_TO + n);
		if (!branches[i].from)
			return i;
	}
	return entries;
}

const struct lbr_ops lbr_legacy = {
	.name = "legacy",
	.ident = legacy_ident,
	.record = legacy_record,
	.clear = legacy_clear,
	.save = legacy_save,
	.load = legacy_load,
	.read = legacy_read,
	.debugctl = DEBUGCTL_LBR,
};
