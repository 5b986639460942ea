/*
 * The PMU model's life, its interrupt, and what VMX transitions do to it.
 *
 * Titles in comments are of the Intel SDM, Volume 3B unless another is named.
 */
#include <stdlib.h>
#include <string.h>

#include "pmu_private.h"

/* Vol. 3A, "Local Vector Table". Bit 12, delivery status, is read-only, and a PMI is never seen in transit here. */
#define LVT_VECTOR   0xff
#define LVT_MODE     0x700
#define LVT_MASKED   0x10000
#define LVT_WRITABLE (LVT_VECTOR | LVT_MODE | LVT_MASKED)

uint32_t pmu_model_read_lvtpc(const struct pmu_model *model)
{
	return model->lvtpc;
}

/* Vol. 3A, "Local APIC State After It Has Been Software Disabled": the mask bits are set and cannot be cleared. */
void pmu_model_write_lvtpc(struct pmu_model *model, uint32_t value)
{
	model->lvtpc = (value & LVT_WRITABLE) | (model->apic_enabled ? 0 : LVT_MASKED);
}

void pmu_model_apic_enabled(struct pmu_model *model, bool enabled)
{
	model->apic_enabled = enabled;
	if (!enabled)
		model->lvtpc |= LVT_MASKED;
}

void pmu_model_reset_lvtpc(struct pmu_model *model)
{
	model->lvtpc = 0;
	pmu_model_apic_enabled(model, false);
}

/* Vol. 3A, "Local Vector Table": INIT and ExtINT are not supported for this entry, and the other codes are reserved. */
static bool deliverable(uint32_t lvtpc)
{
	unsigned mode = (lvtpc & LVT_MODE) >> 8;

	return !(lvtpc & LVT_MASKED) && (mode == PMU_MODEL_FIXED || mode == PMU_MODEL_SMI || mode == PMU_MODEL_NMI);
}

/*
 * Vol. 3A, "Local Vector Table": handling a PMI sets the mask. A PMI that finds it set is dropped, not kept for later.
 * AMD's APIC does not set it: Linux' arch/x86/events/amd/core.c never clears it.
 */
void pmu_deliver_pmi(struct pmu_model *model)
{
	uint32_t lvtpc = model->lvtpc;

	if (!deliverable(lvtpc)) {
		model->dropped++;
		return;
	}
	model->lvtpc |= pmu_is_amd(model) ? 0 : LVT_MASKED;
	model->delivered++;
	model->ops.deliver_pmi(model->opaque, (enum pmu_model_delivery)((lvtpc & LVT_MODE) >> 8), lvtpc & LVT_VECTOR);
}

/*
 * "Freezing LBR and Performance Counters on PMI", the streamlined form of version 4: the freeze bits of GLOBAL_STATUS
 * are set and nothing else changes, whether or not the APIC then takes the interrupt. Only the interrupt skids; those
 * signalled while one is under way come with it.
 */
void pmu_raise_pmi(struct pmu_model *model)
{
	if (model->debugctl & DEBUGCTL_FREEZE_LBRS_ON_PMI)
		model->global_status |= STATUS_LBR_FRZ;
	if (model->debugctl & DEBUGCTL_FREEZE_PERFMON_ON_PMI)
		model->global_status |= STATUS_CTR_FRZ;
	if (model->pmi_delay == 0)
		model->pmi_delay = model->caps.pmi_skid;
	pmu_configure(model);
	if (model->caps.pmi_skid == 0)
		pmu_deliver_pmi(model);
}

/* Vol. 3C, "Checks on Host Control Registers, MSRs, and SSP": reserved bits, if the control would load them. */
bool pmu_model_vmentry_host_ok(const struct pmu_model *model, const struct pmu_model_vmcs *vmcs)
{
	return !vmcs->load_host_global_ctrl || !(vmcs->host_global_ctrl & ~pmu_global_ctrl_writable(model));
}

/* Vol. 3C, "Checks on Guest Control Registers, Debug Registers, and MSRs". */
bool pmu_model_vmentry_guest_ok(const struct pmu_model *model, const struct pmu_model_vmcs *vmcs)
{
	if (vmcs->load_debugctl && vmcs->guest_debugctl & ~DEBUGCTL_WRITABLE)
		return false;
	if (vmcs->load_lbr_ctl && vmcs->guest_lbr_ctl & ~pmu_lbr_ctl_writable(model))
		return false;
	return !vmcs->load_global_ctrl || !(vmcs->guest_global_ctrl & ~pmu_global_ctrl_writable(model));
}

/* Vol. 3C, "Loading Guest Control Registers, Debug Registers, and MSRs". */
void pmu_model_vmentry(struct pmu_model *model, const struct pmu_model_vmcs *vmcs)
{
	pmu_fold(model);
	if (vmcs->load_debugctl)
		model->debugctl = pmu_lbr_debugctl(model, vmcs->guest_debugctl);
	if (vmcs->load_lbr_ctl)
		model->lbr.ctl = vmcs->guest_lbr_ctl;
	if (vmcs->load_global_ctrl)
		model->global_ctrl = vmcs->guest_global_ctrl;
	model->pebs.in_root = false;
	model->pebs.late = 0;
	pmu_configure(model);
}

/*
 * Vol. 3C, "Saving Control Registers, Debug Registers, and MSRs" and "Loading Host Control Registers, Debug Registers,
 * MSRs": DEBUGCTL is cleared by every exit, GLOBAL_CTRL and LBR_CTL only change if a control says so. LBR_CTL is saved
 * without being asked.
 */
void pmu_model_vmexit(struct pmu_model *model, struct pmu_model_vmcs *vmcs)
{
	pmu_model_abort(model);
	pmu_fold(model);
	if (vmcs->save_debugctl)
		vmcs->guest_debugctl = model->debugctl;
	if (vmcs->save_global_ctrl)
		vmcs->guest_global_ctrl = model->global_ctrl;
	vmcs->guest_lbr_ctl = model->lbr.ctl;
	model->debugctl = 0;
	if (vmcs->clear_lbr_ctl)
		model->lbr.ctl = 0;
	if (vmcs->load_host_global_ctrl)
		model->global_ctrl = vmcs->host_global_ctrl;
	model->pebs.in_root = true;
	model->pebs.late = pmu_armed(model);
	pmu_configure(model);
}

void pmu_model_reset(struct pmu_model *model)
{
	pmu_reset_registers(model);
	model->halted = false;
	model->pmi_delay = 0;
	pmu_model_forget(model);
	pmu_model_reset_lvtpc(model);
	pmu_configure(model);
}

struct pmu_model *pmu_model_new(const struct pmu_model_caps *caps, const struct pmu_model_ops *ops, void *opaque)
{
	struct pmu_model *model = calloc(1, sizeof(*model));

	if (!model)
		return NULL;
	model->caps = *caps;
	model->ops = *ops;
	model->opaque = opaque;
	pmu_model_reset(model);
	return model;
}

void pmu_model_free(struct pmu_model *model)
{
	free(model);
}

const struct pmu_model_caps *pmu_model_caps_of(const struct pmu_model *model)
{
	return &model->caps;
}

static const struct pmu_counter *counter_of(const struct pmu_model *model, unsigned status_bit)
{
	return &model->counters[status_bit < 32 ? status_bit : PMU_MODEL_MAX_GP + status_bit - 32];
}

uint64_t pmu_model_overflows(const struct pmu_model *model, unsigned counter)
{
	return counter_of(model, counter)->overflows;
}

uint64_t pmu_model_pmis(const struct pmu_model *model, unsigned counter)
{
	return counter_of(model, counter)->pmis;
}

uint64_t pmu_model_pmis_delivered(const struct pmu_model *model)
{
	return model->delivered;
}

uint64_t pmu_model_pmis_dropped(const struct pmu_model *model)
{
	return model->dropped;
}
