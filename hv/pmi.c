/*
 * What an NMI means, and how a PMI reaches the guest.
 *
 * There is one LVTPC for both owners. In xAPIC mode it lies in the page that also holds EOI, so as a rule it isn't
 * trapped: the guest writes the hardware's, and as long as it keeps an unmasked NMI there, the host's PMIs come the same
 * way. Where it doesn't, and the host needs PMIs, the host "borrows" the entry: it writes an unmasked NMI, and while that
 * lasts every access of the guest to the APIC's page exits and is stepped over with the guest's own value in place.
 */
#include "arch/x86/apic.h"
#include "pmu_private.h"

static bool is_nmi(uint32_t lvtpc)
{
	return (lvtpc & LVT_MODE) == LVT_NMI;
}

static uint32_t lvtpc_read(void)
{
	return apic_read(APIC_LVTPC) & ~LVT_PENDING;
}

static void lvtpc_write(uint32_t value)
{
	if (lvtpc_read() != value)
		apic_write(APIC_LVTPC, value);
}

/*
 * Learns what the guest may have written without an exit. `nmi`: an NMI has just come. The APIC masks the entry when it
 * accepts a PMI (SDM Vol. 3A, "Local Vector Table"), so a mask found then is the hardware's, not the guest's: unless the
 * guest's own entry is in place for one step. Returns whether the NMI can be a PMI.
 */
static bool sync(struct pmu *pmu, bool nmi)
{
	uint32_t now = lvtpc_read();
	bool accepted = nmi && !pmu->gate.step && is_nmi(now) && (now & LVT_MASKED);

	if (!pmu->borrowed && !apic_is_x2apic())
		pmu->guest_lvtpc = accepted ? now & ~LVT_MASKED : now;
	return accepted;
}

/* In x2APIC mode the MSR traps while the global registers are closed, which they are while anything is borrowed. */
static void borrow(struct pmu *pmu, bool borrowed)
{
	pmu->borrowed = borrowed;
	lvtpc_write(borrowed ? LVT_NMI : pmu->guest_lvtpc);
	pmu->gate.apic_trapped = borrowed && !apic_is_x2apic();
	pmu->gate.dirty = true;
}

/* Makes the hardware's entry what guest and host together need. */
static void settle(struct pmu *pmu)
{
	bool needed = pmu->host_sampling || pmu->guest_freeze;
	bool usable = is_nmi(pmu->guest_lvtpc) && !(pmu->guest_lvtpc & LVT_MASKED);

	borrow(pmu, needed && !usable);
}

void lvtpc_open(struct pmu *pmu)
{
	borrow(pmu, false);
}

void lvtpc_close(struct pmu *pmu)
{
	pmu->guest_lvtpc = lvtpc_read();
	settle(pmu);
}

void lvtpc_refresh(struct pmu *pmu)
{
	sync(pmu, false);
	settle(pmu);
}

static void pass_on(struct cpu *cpu)
{
	cpu->nmi.pending = true;
	cpu->pmu.stats.guest_nmis++;
}

/*
 * The APIC delivers neither a masked PMI nor one of a mode that it lacks for this entry (SDM Vol. 3A, "Local Vector
 * Table"). SMI it has, but only for itself: nothing sends a processor its own.
 */
static bool is_deliverable(uint32_t lvtpc)
{
	return !(lvtpc & LVT_MASKED) && (is_nmi(lvtpc) || !(lvtpc & LVT_MODE));
}

/*
 * Masks the guest's entry, as the APIC does when it delivers. A borrowed one stays so: what the guest has then is not an
 * unmasked NMI, and only pmu->guest_lvtpc knows.
 */
static void lvtpc_accept(struct pmu *pmu, uint32_t lvtpc)
{
	pmu->guest_lvtpc = lvtpc | LVT_MASKED;
	if (pmu_is_open(pmu) || is_nmi(lvtpc))
		lvtpc_write(pmu->guest_lvtpc);
}

static void freeze(struct pmu *pmu)
{
	if (!pmu->guest_freeze)
		return;
	if (pmu_is_open(pmu))
		pmu->ops->set_status(pmu->guest_freeze);
	else
		pmu->guest_status |= pmu->guest_freeze;
	pmu_update_gate(pmu);
}

void guest_pmi(struct cpu *cpu)
{
	struct pmu *pmu = &cpu->pmu;
	uint32_t lvtpc = pmu_is_open(pmu) ? lvtpc_read() : pmu->guest_lvtpc;

	freeze(pmu);
	if (!is_deliverable(lvtpc)) {
		pmu->stats.guest_pmis_masked++;
		return;
	}
	lvtpc_accept(pmu, lvtpc);
	if (is_nmi(lvtpc)) {
		cpu->nmi.pending = true;
		cpu->nmi.window = true;
	} else {
		/* Through the real APIC, so that IRR, ISR and PPR are what the handler's EOI expects. */
		apic_self_ipi(lvtpc & LVT_VECTOR);
	}
}

static void shared_nmi(struct cpu *cpu)
{
	struct pmu *pmu = &cpu->pmu;
	uint64_t status = pmu->ops->status();
	uint64_t host = status & pmu->host;
	uint64_t guest = pmu_take_status(pmu, status);
	bool pmi = sync(pmu, true);

	pmu->guest_status |= guest;
	if (host)
		host_events_overflowed(pmu, host);
	pmu->stats.host_pmis += (uint64_t)__builtin_popcountll(host);
	if (!pmi) {
		pass_on(cpu);
	} else if (!host || pmu->ops->interrupting(guest & pmu->guest)) {
		pmu->stats.guest_pmis++;
		guest_pmi(cpu);
	}
	if (!cpu->nmi.pending)
		settle(pmu);
}

/* While open, the host counts nothing: any NMI is the guest's. */
void pmu_nmi(struct cpu *cpu)
{
	if (pmu_is_open(&cpu->pmu))
		pass_on(cpu);
	else
		shared_nmi(cpu);
}

void pmu_nmi_blocked(struct cpu *cpu)
{
	struct pmu *pmu = &cpu->pmu;

	if (!pmu_is_open(pmu))
		lvtpc_refresh(pmu);
	pmu->gate.nmi_window = true;
	pmu_update_gate(pmu);
}

bool pmu_read_lvtpc(struct cpu *cpu, uint64_t *value)
{
	*value = cpu->pmu.guest_lvtpc;
	return true;
}

bool pmu_write_lvtpc(struct cpu *cpu, uint64_t value)
{
	if (value & ~(uint64_t)(LVT_VECTOR | LVT_MODE | LVT_PENDING | LVT_MASKED))
		return false;
	cpu->pmu.guest_lvtpc = (uint32_t)value & ~LVT_PENDING;
	settle(&cpu->pmu);
	return true;
}

/* A disabled APIC forgets its LVT: SDM Vol. 3A, "Local APIC State After It Has Been Software Disabled" and after reset. */
void pmu_apic_mode_changed(struct cpu *cpu)
{
	if (!pmu_is_open(&cpu->pmu))
		settle(&cpu->pmu);
}

static void host_overflows_without_nmi(struct pmu *pmu)
{
	uint64_t host = pmu->ops->status() & pmu->host;

	if (host)
		host_events_overflowed(pmu, host);
	pmu->stats.host_late += (uint64_t)__builtin_popcountll(host & pmu->host_sampling);
}

void pmu_poll(struct cpu *cpu)
{
	if (pmu_is_open(&cpu->pmu) || cpu->nmi.in_root)
		return;
	host_overflows_without_nmi(&cpu->pmu);
	lvtpc_refresh(&cpu->pmu);
}

void pmu_apic_access(struct cpu *cpu)
{
	struct pmu *pmu = &cpu->pmu;

	lvtpc_write(pmu->guest_lvtpc);
	pmu->gate.apic_trapped = false;
	pmu->gate.step = true;
	pmu->gate.dirty = true;
}

void pmu_apic_accessed(struct cpu *cpu)
{
	struct pmu *pmu = &cpu->pmu;

	pmu->gate.step = false;
	pmu->gate.dirty = true;
	if (!pmu->borrowed)
		return; /* a window has opened meanwhile */
	pmu->guest_lvtpc = lvtpc_read();
	settle(pmu);
	host_overflows_without_nmi(pmu);
}
