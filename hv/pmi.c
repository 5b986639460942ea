/*
 * What an NMI means, and how a PMI reaches the guest.
 *
 * There is one LVTPC for both owners. In xAPIC mode it lies in the page that also holds EOI, so as a rule it isn't
 * trapped: the guest writes the hardware's, and as long as it keeps an unmasked NMI there, the host's PMIs come the
 * same way. Where it doesn't, and the host needs PMIs, the host "borrows" the entry: it writes an unmasked NMI, and
 * while that lasts every access of the guest to the APIC's page exits and is stepped over with the guest's own value
 * in place.
 */
#include "arch/x86/apic.h"
#include "pmu_private.h"
#include "sample.h"

static bool is_nmi(uint32_t lvtpc)
{
	return (lvtpc & LVT_MODE) == LVT_NMI;
}

static uint32_t lvtpc_read(void)
{
	return apic_read(APIC_LVTPC) & ~LVT_PENDING;
}

/*
 * A PMI is under way from its overflow to the APIC; no manual says for how long. Here: not longer than this many reads
 * of LVTPC, some thousand cycles.
 */
#define LANDING_READS 16

/* One of them has come already: where the APIC masks the entry, only if it did. */
static uint64_t without_first(const struct pmu *pmu, uint64_t overflowed, uint32_t lvtpc)
{
	return !pmu->caps.pmi_masks || lvtpc & LVT_MASKED ? overflowed & (overflowed - 1) : overflowed;
}

/* Until the entry is no longer `first`, or another NMI is there. Returns the entry. */
static uint32_t lvtpc_watch(const struct cpu *cpu, uint32_t first)
{
	uint32_t now = first;
	uint8_t in_root = nmi_in_root(&cpu->nmi);

	for (unsigned i = 0; i < LANDING_READS && now == first && in_root == nmi_in_root(&cpu->nmi); i++)
		now = lvtpc_read();
	return now;
}

/*
 * Waits until no PMI of `overflowed` is under way; nothing overflows meanwhile. If an NMI has `arrived`, it is that of
 * one of them. Ends early when another comes. Returns the entry.
 */
static uint32_t lvtpc_await(const struct cpu *cpu, uint64_t overflowed, bool arrived)
{
	uint32_t first = lvtpc_read();

	if (arrived)
		overflowed = without_first(&cpu->pmu, overflowed, first);
	return overflowed ? lvtpc_watch(cpu, first) : first;
}

static void lvtpc_write(uint32_t value)
{
	apic_write(APIC_LVTPC, value);
}

/*
 * The guest's own entry is in place and may change without an exit: in xAPIC mode the guest can write it, and a fixed
 * interrupt goes to it directly, which masks it.
 */
static bool is_untrapped(const struct pmu *pmu)
{
	return (!pmu->borrowed || pmu->gate.step) && !(apic_is_x2apic() && is_nmi(pmu->guest_lvtpc));
}

/*
 * An NMI has come. Was it a PMI? Where the APIC masks the entry when it accepts one (SDM Vol. 3A, "Local Vector
 * Table"), that tells; where it doesn't, or the guest may have masked it itself, or the APIC has because it is disabled
 * by software, there must be a counter that has overflowed: `caused`. Learns what the guest has written without an
 * exit. `now`: the hardware's entry.
 */
static bool sync(struct pmu *pmu, uint32_t now, bool caused)
{
	bool masks = pmu->caps.pmi_masks;
	bool delivered = is_nmi(now) && (now & LVT_MASKED ? masks : !masks && caused);

	if (!is_untrapped(pmu))
		return delivered && (caused || apic_is_enabled()) &&
		       (pmu->borrowed || !(pmu->guest_lvtpc & LVT_MASKED));
	pmu->guest_lvtpc = delivered && caused ? now & ~LVT_MASKED : now;
	return delivered && caused;
}

/* The same when no NMI has come. */
static void learn(struct pmu *pmu)
{
	if (is_untrapped(pmu))
		pmu->guest_lvtpc = lvtpc_read();
}

/* In x2APIC mode the MSR traps while the global registers are closed, which they are while anything is borrowed. */
static void borrow(struct pmu *pmu, bool borrowed)
{
	bool trapped = borrowed && !apic_is_x2apic();

	pmu->borrowed = borrowed;
	lvtpc_write(borrowed ? LVT_NMI : pmu->guest_lvtpc);
	pmu->gate.dirty |= pmu->gate.apic_trapped != trapped;
	pmu->gate.apic_trapped = trapped;
}

/* Makes the hardware's entry what guest and host together need. */
static void settle(struct pmu *pmu)
{
	bool needed = pmu->host_sampling || pmu->guest_freeze;
	bool usable = is_nmi(pmu->guest_lvtpc) && !(pmu->guest_lvtpc & LVT_MASKED);

	borrow(pmu, needed && !usable);
}

/* Not if a window is about to open: there the entry is the guest's alone. */
void lvtpc_settle(struct cpu *cpu)
{
	if (!cpu->nmi.window || cpu->ops->nmi_blocked(cpu))
		settle(&cpu->pmu);
}

void lvtpc_open(struct pmu *pmu)
{
	learn(pmu);
	pmu->gate.step = false;
	borrow(pmu, false);
}

void lvtpc_close(struct pmu *pmu)
{
	pmu->guest_lvtpc = lvtpc_read();
	settle(pmu);
}

static void pend(struct cpu *cpu)
{
	if (cpu->nmi.pending)
		cpu->pmu.stats.merged_nmis++;
	cpu->nmi.pending = true;
}

static void pass_on(struct cpu *cpu)
{
	pend(cpu);
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
 * Masks the guest's entry, where the APIC does so when it delivers. A borrowed one stays so: what the guest has then is
 * not an unmasked NMI, and only pmu->guest_lvtpc knows.
 */
static void lvtpc_accept(struct pmu *pmu, uint32_t lvtpc)
{
	if (!pmu->caps.pmi_masks)
		return;
	pmu->guest_lvtpc = lvtpc | LVT_MASKED;
	if (!pmu->borrowed)
		lvtpc_write(pmu->guest_lvtpc);
}

static void freeze(struct cpu *cpu)
{
	struct pmu *pmu = &cpu->pmu;
	uint64_t wanted = pmu_guest_freeze(cpu);

	if (!wanted)
		return;
	pmu_raise_status(pmu, wanted);
	pmu_update_gate(pmu);
}

void guest_pmi(struct cpu *cpu)
{
	struct pmu *pmu = &cpu->pmu;
	uint32_t lvtpc = pmu_is_open(pmu) ? lvtpc_read() : pmu->guest_lvtpc;

	freeze(cpu);
	if (!is_deliverable(lvtpc)) {
		pmu->stats.guest_pmis_masked++;
		return;
	}
	lvtpc_accept(pmu, lvtpc);
	if (is_nmi(lvtpc)) {
		pend(cpu);
		cpu->nmi.window = true;
	} else {
		/* Through the real APIC, so that IRR, ISR and PPR are what the handler's EOI expects. */
		apic_self_ipi(lvtpc & LVT_VECTOR);
	}
}

/*
 * From here to the next entry no host counter that samples root mode can overflow: what the hardware's entry and the
 * status say then holds still. The next exit starts them again.
 */
static void quiesce(struct pmu *pmu)
{
	if (pmu->host_in_host & pmu->host_sampling)
		pmu->ops->enable(0);
}

/* Of these counters of the guest's, those that ask for a PMI. */
static uint64_t interrupting(const struct pmu *pmu, uint64_t counters)
{
	return counters ? pmu->ops->interrupting(counters) : 0;
}

/* Of the overflows in `status`, the same. */
static uint64_t sending(const struct pmu *pmu, uint64_t status)
{
	return (status & (pmu->host_sampling | PMU_STATUS_PMI)) | interrupting(pmu, status & pmu->guest);
}

/*
 * Before overflows are taken that no NMI has announced, and before the entry changes: what is under way comes now. The
 * record of a counter that has PEBS and interrupts too may have taken its status bit already.
 */
static uint64_t land(const struct cpu *cpu)
{
	const struct pmu *pmu = &cpu->pmu;
	uint64_t status = pmu->ops->status(), overflowed = sending(pmu, status | pmu->gate.pebs_enable);

	if (overflowed)
		lvtpc_await(cpu, overflowed, cpu->nmi.in_root);
	return status;
}

/* The instruction that accesses the APIC's page is done, or will come again. */
static void step_end(struct cpu *cpu)
{
	struct pmu *pmu = &cpu->pmu;

	if (!pmu->gate.step)
		return;
	pmu->gate.step = false;
	pmu->gate.dirty = true;
	host_events_hold(cpu, false);
}

/* The PMI of a counter that has PEBS and interrupts too comes when its record has taken the status bit with it. */
static bool silent(const struct pmu *pmu)
{
	return interrupting(pmu, pmu->gate.pebs_enable);
}

/* What has overflowed is in `status`, the host's among it. */
static void sample(struct cpu *cpu, uint64_t status)
{
	struct pmu *pmu = &cpu->pmu;
	bool captured = status & PMU_STATUS_LBR_FROZEN && pmu_freezes_for_host(pmu);

	if (captured)
		lbr_capture(pmu);
	pmu->gate.dirty |= pmu->gate.records; /* a #DB in the guest may have stopped recording */
	sample_take(cpu, host_events_ended(pmu, status & pmu->host_sampling), captured);
}

/* What makes an NMI a PMI. Where the APIC's mask tells, that something overflowed is enough. */
static uint64_t causes_in(const struct pmu *pmu, uint64_t status)
{
	if (!pmu->caps.pmi_masks)
		return sending(pmu, status);
	return status & (pmu->host_sampling | pmu->guest | PMU_STATUS_PMI);
}

/*
 * Waits for the PMIs of `causes`, of which one has come. Without a mask that would drop them the others come as NMIs of
 * their own, which find nothing that they could be of: those that are there are taken here, and those that come before
 * the next entry are `owed`. Returns the entry.
 */
static uint32_t await_causes(struct cpu *cpu, uint64_t causes)
{
	uint32_t now = lvtpc_await(cpu, causes, true);

	if (cpu->pmu.caps.pmi_masks)
		return now;
	for (causes &= causes - 1; causes && nmi_in_root(&cpu->nmi); causes &= causes - 1) {
		nmi_take(&cpu->nmi);
		cpu->pmu.stats.root_nmis++;
		lvtpc_await(cpu, causes, true);
	}
	cpu->nmi.owed = (uint8_t)(cpu->nmi.owed + __builtin_popcountll(causes));
	return now;
}

/* An NMI, and no PMI. */
static void pass_on_or_drop(struct cpu *cpu, uint64_t causes)
{
	if (!causes && cpu->nmi.owed)
		cpu->nmi.owed--;
	else
		pass_on(cpu);
}

static void shared_nmi(struct cpu *cpu)
{
	struct pmu *pmu = &cpu->pmu;
	uint64_t status, host, guest, causes;
	bool pmi;

	quiesce(pmu);
	status = pmu->ops->status();
	host = status & pmu->host;
	guest = status & ~pmu->host;
	causes = causes_in(pmu, status);
	if (host & pmu->host_sampling)
		sample(cpu, status);
	pmi = sync(pmu, await_causes(cpu, causes), causes || silent(pmu));
	step_end(cpu);
	if (guest)
		pmu->guest_status |= pmu_take_status(pmu, guest);
	if (host)
		host_events_overflowed(cpu, host);
	pmu->stats.host_pmis += (uint64_t)__builtin_popcountll(host);
	if (pmi && (!host || sending(pmu, guest))) {
		pmu->stats.guest_pmis++;
		guest_pmi(cpu);
		lvtpc_settle(cpu);
		return;
	}
	if (!pmi)
		pass_on_or_drop(cpu, causes);
	settle(pmu);
}

/* A host PMI that struck in root mode since the exit was decided: its mask must not be taken for the guest's. */
static void take_in_root(struct cpu *cpu)
{
	quiesce(&cpu->pmu);
	pmu_root_nmis(cpu);
}

uint64_t pmi_land(struct cpu *cpu)
{
	uint64_t status;

	quiesce(&cpu->pmu);
	status = land(cpu);
	if (!cpu->nmi.in_root)
		return status;
	take_in_root(cpu);
	return cpu->pmu.ops->status();
}

void lvtpc_refresh(struct cpu *cpu)
{
	struct pmu *pmu = &cpu->pmu;

	pmi_land(cpu);
	learn(pmu);
	settle(pmu);
}

void pmu_tell_guest(struct cpu *cpu)
{
	struct pmu *pmu = &cpu->pmu;

	pmu->told = false;
	if (cpu->nmi.window)
		return; /* one is on its way already, and stands for both */
	if (!pmu_is_open(pmu))
		lvtpc_refresh(cpu); /* the guest may have unmasked it since the last exit */
	guest_pmi(cpu);
	if (!pmu_is_open(pmu))
		lvtpc_settle(cpu);
}

/* Who enables a counter has set up LVTPC before: better a look at it now than at the first PMI. */
void lvtpc_look(struct cpu *cpu)
{
	struct pmu *pmu = &cpu->pmu;

	if (is_untrapped(pmu) && lvtpc_read() != pmu->guest_lvtpc)
		lvtpc_refresh(cpu);
}

/* While open, the host counts nothing: any NMI is the guest's. */
void pmu_nmi(struct cpu *cpu)
{
	if (pmu_is_open(&cpu->pmu))
		pass_on(cpu);
	else
		shared_nmi(cpu);
	cpu->nmi.root_rip = 0;
}

/* Each by itself: one may be a PMI and another not. Those that come meanwhile are found by the vendor's last look. */
void pmu_root_nmis(struct cpu *cpu)
{
	for (unsigned n = cpu->nmi.in_root; n && cpu->nmi.in_root; n--) {
		nmi_take(&cpu->nmi);
		cpu->pmu.stats.root_nmis++;
		pmu_nmi(cpu);
	}
}

void pmu_nmi_blocked(struct cpu *cpu)
{
	cpu->pmu.gate.nmi_window = true;
	pmu_update_gate(&cpu->pmu);
}

/* Overflows that no NMI announced, as the entry was masked. */
static void take_late(struct cpu *cpu, uint64_t status)
{
	struct pmu *pmu = &cpu->pmu;
	uint64_t host = status & pmu->host;

	if (host)
		host_events_overflowed(cpu, host);
	pmu->stats.host_late += (uint64_t)__builtin_popcountll(host & pmu->host_sampling);
}

bool pmu_read_lvtpc(struct cpu *cpu, uint64_t *value)
{
	learn(&cpu->pmu);
	*value = cpu->pmu.guest_lvtpc;
	return true;
}

bool pmu_write_lvtpc(struct cpu *cpu, uint64_t value)
{
	if (value & ~(uint64_t)(LVT_VECTOR | LVT_MODE | LVT_PENDING | LVT_MASKED))
		return false;
	take_late(cpu, pmi_land(cpu)); /* of while the APIC was software-disabled, as an INIT leaves it */
	cpu->pmu.guest_lvtpc = (uint32_t)value & ~LVT_PENDING;
	settle(&cpu->pmu);
	return true;
}

/*
 * From here on the entry is trapped, or no longer: what the guest last wrote is still in the hardware. (A disabled APIC
 * forgets its LVT: SDM Vol. 3A, "Local APIC State After It Has Been Software Disabled" and after reset.)
 */
void pmu_apic_mode_changed(struct cpu *cpu)
{
	struct pmu *pmu = &cpu->pmu;

	if (pmu_is_open(pmu))
		return;
	quiesce(pmu);
	land(cpu);
	if (!pmu->borrowed)
		pmu->guest_lvtpc = lvtpc_read() & ~(cpu->nmi.in_root && pmu->caps.pmi_masks ? LVT_MASKED : 0);
	take_in_root(cpu);
	settle(pmu);
}

/* Those of before an INIT; what comes from here on in is behind it. */
static void forget_nmis(struct cpu *cpu)
{
	if (pmu_is_open(&cpu->pmu)) {
		while (cpu->nmi.in_root)
			nmi_take(&cpu->nmi);
	} else {
		pmi_land(cpu); /* the host's are not forgotten */
	}
	cpu->nmi.pending = cpu->nmi.window = false;
	cpu->pmu.gate.nmi_window = false;
}

/*
 * SDM Vol. 3A, "Local APIC State After an INIT Reset": the guest's entry is masked. Counters, selectors and global
 * registers stay as they are ("Processor State After Reset").
 */
void pmu_reset(struct cpu *cpu)
{
	struct pmu *pmu = &cpu->pmu;

	pmu_window_end(cpu);
	forget_nmis(cpu);
	if (pmu_is_open(pmu)) {
		lvtpc_write(LVT_MASKED);
	} else {
		step_end(cpu);
		pmu->guest_lvtpc = LVT_MASKED;
		settle(pmu);
	}
	if (pmu->pebs.offer == PEBS_OFFERED)
		pebs_write_enable(pmu, 0); /* SDM Vol. 3B, "DS Mechanism Software Guidelines" */
	pmu_update_gate(pmu);
}

void pmu_poll(struct cpu *cpu)
{
	struct pmu *pmu = &cpu->pmu;

	if (pmu_is_open(pmu))
		return;
	pmi_land(cpu);
	take_late(cpu, pmu->ops->status());
	lvtpc_refresh(cpu);
}

/*
 * For one instruction the guest's own entry is in place. It would take the host's PMIs to the guest, or nowhere: the
 * host's counters are held back meanwhile.
 */
void pmu_apic_access(struct cpu *cpu)
{
	struct pmu *pmu = &cpu->pmu;
	uint64_t status, taken;

	quiesce(pmu);
	status = land(cpu);
	if (cpu->nmi.in_root)
		return; /* comes first; the guest's access exits again */
	taken = pmu_take_status(pmu, status);
	pmu->guest_status |= taken;
	pmu->step_armed = status & ~taken;
	take_late(cpu, status);
	host_events_hold(cpu, true);
	lvtpc_write(pmu->guest_lvtpc);
	pmu->gate.apic_trapped = false;
	pmu->gate.step = true;
	pmu->gate.dirty = true;
}

/* If the instruction itself overflowed a counter, the hardware did all but the freeze. */
void pmu_apic_accessed(struct cpu *cpu)
{
	struct pmu *pmu = &cpu->pmu;
	uint64_t status;

	if (!pmu->gate.step)
		return; /* an NMI came first */
	quiesce(pmu);
	status = land(cpu);
	step_end(cpu);
	if (!pmu->borrowed)
		return; /* a window has opened meanwhile */
	pmu->guest_lvtpc = lvtpc_read();
	pmu->guest_status |= pmu_take_status(pmu, status);
	if (sending(pmu, status & ~pmu->host & ~pmu->step_armed))
		freeze(cpu);
	settle(pmu);
}
