/*
 * Whose the LBRs are, and the host's captures. A PMI freezes the host's by hardware (SDM Vol. 3B, "Streamlined
 * Freeze_LBR_On_PMI"), in the guest as in root mode: what was recorded up to the overflow is still there when the NMI
 * is decided, however many branches the way there takes.
 */
#include "lbr.h"
#include "pmu_private.h"

static const struct lbr_ops *find(const struct pmu_ops *ops, struct lbr_caps *caps)
{
	for (unsigned i = 0; i < ARRAY_SIZE(ops->lbr); i++) {
		if (ops->lbr[i] && ops->lbr[i]->ident(caps))
			return ops->lbr[i];
	}
	return NULL;
}

void lbr_init(struct pmu *pmu, enum config_lbr owner)
{
	struct lbr *lbr = &pmu->lbr;

	lbr->ops = find(pmu->ops, &lbr->caps);
	if (!lbr->ops || !lbr->caps.switchable)
		return;
	lbr->ops->record(false);
	lbr->guests = owner != CONFIG_LBR_HOST;
	lbr->hosts = owner != CONFIG_LBR_GUEST;
	if (lbr->guests)
		pmu->status_stays |= PMU_STATUS_LBR_FROZEN;
	else
		lbr->ops->clear(lbr->caps.entries); /* of what the firmware recorded */
}

void lbr_update_gate(struct pmu *pmu)
{
	struct lbr *lbr = &pmu->lbr;
	uint64_t sampling = lbr->hosts && !pmu_is_open(pmu) ? pmu->host_sampling : 0;

	lbr->root = sampling & pmu->host_in_host;
	pmu->gate.records = !lbr->guests && sampling & pmu->host_in_guest;
}

/*
 * With `both`, LBR_FRZ in the hardware goes with the stack: the guest's is kept in memory meanwhile, with the rest of
 * its status.
 */
static void to_host(struct pmu *pmu)
{
	struct lbr *lbr = &pmu->lbr;

	lbr->ops->save(&lbr->guest_state, lbr->caps.entries);
	pmu->status_stays &= ~PMU_STATUS_LBR_FROZEN;
	if (pmu->ops->status() & PMU_STATUS_LBR_FROZEN) {
		pmu->guest_status |= PMU_STATUS_LBR_FROZEN;
		pmu->ops->clear_status(PMU_STATUS_LBR_FROZEN);
	}
}

static void to_guest(struct pmu *pmu)
{
	struct lbr *lbr = &pmu->lbr;

	lbr->ops->record(false);
	lbr->ops->load(&lbr->guest_state, lbr->caps.entries);
	pmu->status_stays |= PMU_STATUS_LBR_FROZEN;
	if (pmu_is_open(pmu))
		return; /* a window has opened: the guest's status is in the hardware already */
	if (pmu->guest_status & PMU_STATUS_LBR_FROZEN)
		pmu->ops->set_status(PMU_STATUS_LBR_FROZEN);
	else
		pmu->ops->clear_status(PMU_STATUS_LBR_FROZEN);
	pmu->guest_status &= ~PMU_STATUS_LBR_FROZEN;
}

/* What the guest has is given back by the gate. Where it has none, the entry itself loads what records next. */
void lbr_root_begin(struct pmu *pmu)
{
	if (pmu->lbr.guests) {
		to_host(pmu);
		pmu->gate.dirty = true;
	}
	pmu->lbr.ops->record(true);
	pmu->lbr.now = true;
}

void lbr_root_end(struct pmu *pmu)
{
	if (pmu->lbr.guests)
		to_guest(pmu);
	pmu->lbr.now = false;
}

void lbr_capture(struct pmu *pmu)
{
	struct lbr *lbr = &pmu->lbr;

	lbr->nr_branches = lbr->ops->read(lbr->branches, lbr->caps.entries);
	lbr->captures++;
}
