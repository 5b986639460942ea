/*
 * The guest's RDMSR, WRMSR and RDPMC where they exit. An MSR that traps and has no handler here is one the guest
 * doesn't have: #GP. Writes that the CPU alone can judge are tried in root mode, under a fix-up, and its answer is
 * passed on.
 */
#include "guest_msr.h"
#include "apic.h"
#include "msr.h"
#include "mtrr.h"
#include "arch/x86/reg.h"

static bool in_region(const struct boot_info *boot, uint64_t pa)
{
	return pa - boot->region_pa < boot->region_size;
}

/* The APIC answers before memory does: laid over pmuvisor's pages it would replace them. */
static bool write_apic_base(struct cpu *cpu, uint32_t msr, uint64_t value)
{
	uint64_t page = value & APIC_BASE_ADDRESS;

	if (in_region(cpu->boot, page) || !reg_wrmsr_safe(msr, value))
		return false;
	cpu->x2apic = value & APIC_BASE_X2APIC;
	if (page != cpu->apic_page) {
		cpu->apic_page = page;
		reg_move_window(&cpu->apic, page);
		cpu->ops->remap(cpu);
	}
	pmu_apic_mode_changed(cpu);
	cpu->pmu.gate.dirty = true; /* what traps depends on the mode */
	return true;
}

static bool read_lvtpc(struct cpu *cpu, uint32_t msr, uint64_t *value)
{
	(void)msr;
	return cpu->x2apic && pmu_read_lvtpc(cpu, value);
}

static bool write_lvtpc(struct cpu *cpu, uint32_t msr, uint64_t value)
{
	(void)msr;
	return cpu->x2apic && pmu_write_lvtpc(cpu, value);
}

/*
 * A mask with holes repeats its range all over memory, more often than there are page tables for. Software has no use
 * for one: SDM Vol. 3A, "Range Size and Alignment Requirement".
 */
static bool has_holes(const struct cpu *cpu, uint64_t mask)
{
	mask &= MTRR_ADDRESS;
	return mask && mask + LOWEST_BIT(mask) != cpu->address_mask + 1;
}

static bool write_mtrr_range(struct cpu *cpu, uint32_t msr, uint64_t value)
{
	return !(msr & 1 && has_holes(cpu, value)) && reg_wrmsr_safe(msr, value);
}

/*
 * The guest's memory types come from EPT, so EPT follows the MTRRs. Software changes them with the MTRRs disabled and
 * enables them at the end: SDM Vol. 3A, "MTRR Considerations in MP Systems". That is when EPT is rebuilt.
 */
static bool write_mtrr(struct cpu *cpu, uint32_t msr, uint64_t value)
{
	if (!reg_wrmsr_safe(msr, value))
		return false;
	if (msr == MSR_IA32_MTRR_DEF_TYPE && value & MTRR_DEF_TYPE_ENABLE)
		cpu->ops->remap(cpu);
	return true;
}

/* DEBUGCTL while closed: the freeze bits are pmuvisor's to do, and the rest is what the next entry loads. */
static uint64_t debugctl_hidden(const struct pmu *pmu)
{
	return DEBUGCTL_FREEZE | pmu->ops->msrs->debugctl_ignored(pmu);
}

static bool read_debugctl(struct cpu *cpu, uint32_t msr, uint64_t *value)
{
	(void)msr;
	*value = cpu->ops->read(cpu, GUEST_DEBUGCTL) & ~debugctl_hidden(&cpu->pmu);
	*value |= freeze_debugctl(cpu->pmu.guest_freeze);
	return true;
}

/* Recording and freezing are not tried: root mode must not record, and a PMI of the host's would freeze its counters. */
static bool write_debugctl(struct cpu *cpu, uint32_t msr, uint64_t value)
{
	if (value & ~cpu->pmu.ops->msrs->debugctl(&cpu->pmu) ||
	    !reg_wrmsr_safe(msr, value & ~(DEBUGCTL_LBR | DEBUGCTL_FREEZE)))
		return false;
	reg_wrmsr(msr, 0);
	if (cpu->pmu.lbr.now)
		cpu->pmu.lbr.ops->record(true);
	cpu->ops->write_debugctl(cpu, value & ~debugctl_hidden(&cpu->pmu));
	pmu_write_freeze(cpu, debugctl_freeze(value));
	return true;
}

static const struct guest_msr common[] = {
	{ MSR_IA32_DEBUGCTL, 1, TRAP_BOTH, CLOSED, read_debugctl, write_debugctl },
	{ MSR_IA32_APIC_BASE, 1, TRAP_WRITE, ALWAYS, NULL, write_apic_base },
	{ MSR_IA32_MTRR_PHYSBASE0, 0x20, TRAP_WRITE, ALWAYS, NULL, write_mtrr_range },
	{ MSR_IA32_MTRR_FIX64K_00000, 1, TRAP_WRITE, ALWAYS, NULL, write_mtrr },
	{ MSR_IA32_MTRR_FIX16K_80000, 2, TRAP_WRITE, ALWAYS, NULL, write_mtrr },
	{ MSR_IA32_MTRR_FIX4K_C0000, 8, TRAP_WRITE, ALWAYS, NULL, write_mtrr },
	{ MSR_IA32_MTRR_DEF_TYPE, 1, TRAP_WRITE, ALWAYS, NULL, write_mtrr },
	{ MSR_X2APIC_LVTPC, 1, TRAP_BOTH, CLOSED, read_lvtpc, write_lvtpc },
};

static bool applies(const struct pmu *pmu, unsigned when, bool open)
{
	switch (when) {
	case ALWAYS: return true;
	case CLOSED: return !open;
	default: return pmu->ops->msrs->applies(pmu, when);
	}
}

static void trap_entries(const struct pmu *pmu, bool open, const struct guest_msr *entries, unsigned count,
			 guest_msr_set set, void *context)
{
	for (unsigned i = 0; i < count; i++) {
		if (!applies(pmu, entries[i].when, open))
			continue;
		for (uint32_t n = 0; n < entries[i].count; n++)
			set(context, entries[i].first + n, entries[i].trap);
	}
}

void guest_msr_traps(const struct pmu *pmu, bool open, void (*set)(void *context, uint32_t msr, enum msr_trap trap),
		     void *context)
{
	const struct guest_msrs *vendor = pmu->ops->msrs;

	trap_entries(pmu, open, vendor->entries, vendor->count, set, context);
	trap_entries(pmu, open, common, ARRAY_SIZE(common), set, context);
	vendor->trap_host(pmu, set, context);
}

static const struct guest_msr *find_in(const struct pmu *pmu, uint32_t msr, const struct guest_msr *entries,
				       unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		if (msr - entries[i].first < entries[i].count && applies(pmu, entries[i].when, false))
			return &entries[i];
	}
	return NULL;
}

static const struct guest_msr *find(const struct pmu *pmu, uint32_t msr)
{
	const struct guest_msrs *vendor = pmu->ops->msrs;
	const struct guest_msr *entry = find_in(pmu, msr, vendor->entries, vendor->count);

	return entry ? entry : find_in(pmu, msr, common, ARRAY_SIZE(common));
}

enum verdict guest_rdmsr(struct cpu *cpu)
{
	const struct guest_msr *entry = find(&cpu->pmu, (uint32_t)cpu->guest.rcx);
	uint64_t value;

	if (!entry || !entry->read || !entry->read(cpu, (uint32_t)cpu->guest.rcx, &value))
		return INJECT_GP;
	cpu->guest.rax = (uint32_t)value;
	cpu->guest.rdx = value >> 32;
	return ADVANCE;
}

enum verdict guest_wrmsr(struct cpu *cpu)
{
	const struct guest_msr *entry = find(&cpu->pmu, (uint32_t)cpu->guest.rcx);
	uint64_t value = (cpu->guest.rdx & BITS(31, 0)) << 32 | (uint32_t)cpu->guest.rax;

	if (!entry || !entry->write || !entry->write(cpu, (uint32_t)cpu->guest.rcx, value))
		return INJECT_GP;
	return ADVANCE;
}

/* The privilege check came before the exit. */
enum verdict guest_rdpmc(struct cpu *cpu)
{
	uint32_t ecx = (uint32_t)cpu->guest.rcx;
	uint64_t value;

	if (!cpu->pmu.ops->msrs->may_rdpmc(&cpu->pmu, ecx))
		return INJECT_GP;
	value = reg_rdpmc(ecx);
	cpu->guest.rax = (uint32_t)value;
	cpu->guest.rdx = value >> 32;
	return ADVANCE;
}
