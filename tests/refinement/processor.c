#include "processor.h"

#include <assert.h>
#include <string.h>

#include "tests/machine/pmu_private.h"

#define MSR_IA32_APIC_BASE    0x1b
#define MSR_X2APIC_SPURIOUS   0x80f
#define MSR_X2APIC_LVTPC      0x834
#define APIC_SPURIOUS_ENABLED 0x1ff /* in every plan */
#define MSR_X2APIC_SELF_IPI   0x83f
#define APIC_BASE_DEFAULT     UINT64_C(0xfee00900) /* enabled, boot processor */
#define APIC_BASE_X2APIC      BIT(10)
#define LVTPC_IMPLEMENTED     UINT64_C(0x117ff)
#define GUEST_TICKS           2
#define HANDLER               UINT64_C(0x8000) /* of whatever comes */

static void deliver_pmi(void *opaque, enum pmu_model_delivery mode, unsigned vector)
{
	struct processor *cpu = opaque;

	cpu->pmi_is_nmi = mode == PMU_MODEL_NMI;
	if (cpu->pmi_is_nmi)
		cpu->nmi_latched = true;
	else
		processor_interrupt(cpu, vector);
}

static uint64_t tsc(void *opaque)
{
	return ((const struct processor *)opaque)->clock;
}

void processor_start(struct processor *cpu, const struct pmu_model_caps *caps, bool x2apic)
{
	static const struct pmu_model_ops ops = {
		.deliver_pmi = deliver_pmi,
		.ds_read = debug_store_read,
		.ds_write = debug_store_write,
		.registers = debug_store_registers,
		.tsc = tsc,
	};

	*cpu = (struct processor){ .x2apic = x2apic };
	cpu->model = pmu_model_new(caps, &ops, cpu);
	assert(cpu->model);
	pmu_model_apic_enabled(cpu->model, true);
}

void processor_stop(struct processor *cpu)
{
	pmu_model_free(cpu->model);
	cpu->model = NULL;
}

void processor_interrupt(struct processor *cpu, unsigned vector)
{
	cpu->interrupts++;
	cpu->vector = vector;
}

void processor_set_skid(struct processor *cpu, unsigned instructions)
{
	if (!processor_pmi_under_way(cpu))
		cpu->model->caps.pmi_skid = instructions;
}

bool processor_pmi_under_way(const struct processor *cpu)
{
	return cpu->model->pmi_delay;
}

void processor_land(struct processor *cpu)
{
	if (!cpu->model->pmi_delay)
		return;
	cpu->model->pmi_delay = 0;
	pmu_deliver_pmi(cpu->model);
}

void processor_event(struct processor *cpu)
{
	pmu_model_event(cpu->model, (struct pmu_model_transfer){ cpu->rip, HANDLER, 0, 0 });
}

bool processor_same_lbr(const struct processor *a, const struct processor *b)
{
	const struct pmu_lbr *x = &a->model->lbr, *y = &b->model->lbr;
	unsigned depth = pmu_lbr_depth(a->model);
	bool newest_first = pmu_model_has_arch_lbr(a->model) || pmu_is_amd(a->model);

	for (unsigned age = 0; age < depth; age++) {
		struct pmu_lbr_entry first, second;

		if (!pmu_lbr_entry(a->model, age, &first) || !pmu_lbr_entry(b->model, age, &second) ||
		    first.from != second.from || first.to != second.to || (first.info ^ second.info) & ~PLAN_LBR_TIME)
			return false;
	}
	return x->select == y->select && x->ctl == y->ctl && (newest_first || x->top == y->top) &&
	       a->model->amd.dbg_extn_cfg == b->model->amd.dbg_extn_cfg;
}

void processor_boundary(struct processor *cpu)
{
	if (!cpu->nmi_latched || cpu->nmi_blocked)
		return;
	cpu->nmi_latched = false;
	cpu->nmi_blocked = true;
	cpu->nmis++;
	processor_event(cpu); /* which may be counted, and bring the next */
}

void processor_retire(struct processor *cpu, unsigned cpl, unsigned ticks)
{
	cpu->clock += ticks;
	pmu_model_retire(cpu->model, cpl);
	if (pmu_model_pebs_assist(cpu->model) || !cpu->model->pebs.overflow_pmi)
		return;
	/* A PMI of the same instruction doesn't wait here until the record can be written. */
	cpu->model->pebs.overflow_pmi = false;
	pmu_raise_pmi(cpu->model);
}

/* SDM Vol. 3A, "x2APIC Register Availability": the MSRs of the APIC exist in this mode alone. */
static bool read_apic(const struct processor *cpu, uint32_t msr, uint64_t *value)
{
	if (msr == MSR_IA32_APIC_BASE) {
		*value = APIC_BASE_DEFAULT | (cpu->x2apic ? APIC_BASE_X2APIC : 0);
		return true;
	}
	if ((msr != MSR_X2APIC_LVTPC && msr != MSR_X2APIC_SPURIOUS) || !cpu->x2apic)
		return false;
	*value = msr == MSR_X2APIC_LVTPC ? pmu_model_read_lvtpc(cpu->model) : APIC_SPURIOUS_ENABLED;
	return true;
}

/* Reserved bits of an x2APIC register fault: "Reserved Bit Checking". The way back to xAPIC leads through a reset. */
static bool write_apic(struct processor *cpu, uint32_t msr, uint64_t value)
{
	if (msr == MSR_IA32_APIC_BASE) {
		if ((value & ~APIC_BASE_X2APIC) != APIC_BASE_DEFAULT || (cpu->x2apic && !(value & APIC_BASE_X2APIC)))
			return false;
		cpu->x2apic = value & APIC_BASE_X2APIC;
		return true;
	}
	if (!cpu->x2apic)
		return false;
	if (msr == MSR_X2APIC_SELF_IPI)
		processor_interrupt(cpu, (unsigned)value);
	else if (msr != MSR_X2APIC_LVTPC || value & ~LVTPC_IMPLEMENTED)
		return false;
	else
		pmu_model_write_lvtpc(cpu->model, (uint32_t)value);
	return true;
}

bool processor_rdmsr(struct processor *cpu, uint32_t msr, uint64_t *value)
{
	enum pmu_model_answer answer = pmu_model_rdmsr(cpu->model, msr, value);

	return answer == PMU_MODEL_UNKNOWN ? read_apic(cpu, msr, value) : answer == PMU_MODEL_DONE;
}

bool processor_wrmsr(struct processor *cpu, uint32_t msr, uint64_t value)
{
	enum pmu_model_answer answer = pmu_model_wrmsr(cpu->model, msr, value);

	return answer == PMU_MODEL_UNKNOWN ? write_apic(cpu, msr, value) : answer == PMU_MODEL_DONE;
}

static bool read_lvtpc(struct processor *cpu, uint64_t *value)
{
	*value = pmu_model_read_lvtpc(cpu->model);
	return true;
}

static bool write_lvtpc(struct processor *cpu, uint64_t value)
{
	if (cpu->x2apic)
		return processor_wrmsr(cpu, MSR_X2APIC_LVTPC, value);
	pmu_model_write_lvtpc(cpu->model, (uint32_t)value);
	return true;
}

static void branch(struct processor *cpu, enum pmu_model_branch kind, bool taken, unsigned cpl)
{
	pmu_model_branch(cpu->model, kind, taken,
			 (struct pmu_model_transfer){ cpu->rip, cpu->rip + PROCESSOR_INSTRUCTION, cpl, cpl });
}

static bool perform(struct processor *cpu, const struct step *step, struct outcome *outcome)
{
	switch (step->kind) {
	case STEP_BRANCH: branch(cpu, (enum pmu_model_branch)step->index, step->value, step->cpl); return true;
	case STEP_CPUID: pmu_model_cpuid(cpu->model, step->index, (uint32_t)step->value, outcome->regs); return true;
	case STEP_RDMSR: return processor_rdmsr(cpu, step->index, &outcome->value);
	case STEP_WRMSR: return processor_wrmsr(cpu, step->index, step->value);
	case STEP_RDPMC: return pmu_model_rdpmc(cpu->model, step->index, &outcome->value) == PMU_MODEL_DONE;
	case STEP_READ_LVTPC: return read_lvtpc(cpu, &outcome->value);
	case STEP_WRITE_LVTPC: return write_lvtpc(cpu, step->value);
	case STEP_IRET:
		branch(cpu, PMU_MODEL_FAR, true, 0);
		cpu->nmi_blocked = false;
		return true;
	case STEP_STORE: memcpy(cpu->memory + step->index, &step->value, sizeof(step->value)); return true;
	case STEP_RETIRE:
	case STEP_NMI:
	case STEP_POLL:
	case STEP_HOST:
	case NR_STEP_KINDS: break;
	}
	return true;
}

static bool is_instruction(const struct step *step)
{
	return step->kind != STEP_NMI && step->kind != STEP_POLL && step->kind != STEP_HOST;
}

static void fault(struct processor *cpu, struct outcome *outcome)
{
	outcome->value = 0;
	processor_event(cpu);
}

static void retire(struct processor *cpu, const struct step *step)
{
	processor_retire(cpu, step->cpl, GUEST_TICKS);
	cpu->rip += PROCESSOR_INSTRUCTION;
}

void processor_execute(struct processor *cpu, const struct step *step, struct outcome *outcome)
{
	outcome->fault = !perform(cpu, step, outcome);
	if (step->kind == STEP_NMI)
		cpu->nmi_latched = true;
	if (outcome->fault)
		fault(cpu, outcome);
	if (cpu->lands)
		processor_land(cpu);
	cpu->lands = false;
	if (!outcome->fault && is_instruction(step))
		retire(cpu, step);
}

/* An emulated instruction has no record: docs/contract.md, deviation 20. */
static void retire_without_record(struct processor *cpu, unsigned cpl)
{
	struct pmu_pebs *pebs = &cpu->model->pebs;
	uint64_t enable = pebs->enable;

	pebs->enable = 0;
	processor_retire(cpu, cpl, 0);
	pebs->enable = enable;
	pmu_configure(cpu->model);
}

/* The model adds the cycles of every instruction to what was signalled before it retires: here they cancel out. */
void processor_retire_timeless(struct processor *cpu, unsigned cpl)
{
	static const enum pmu_signal time[] = { SIGNAL_CORE_CYCLES, SIGNAL_SLOTS };

	for (unsigned i = 0; i < 2; i++)
		cpu->model->signals[time[i]] -= pmu_signal_rates[time[i]];
	cpu->model->hot.pending = true;
	retire_without_record(cpu, cpl);
}

void processor_execute_timeless(struct processor *cpu, const struct step *step, struct outcome *outcome)
{
	outcome->fault = !perform(cpu, step, outcome);
	if (cpu->lands)
		processor_land(cpu);
	cpu->lands = false;
	if (outcome->fault)
		return;
	processor_retire_timeless(cpu, step->cpl);
	cpu->rip += PROCESSOR_INSTRUCTION;
}
