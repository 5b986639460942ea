#include "processor.h"

#include <assert.h>
#include <string.h>

#include "tests/machine/pmu_private.h"

#define MSR_IA32_APIC_BASE  0x1b
#define MSR_X2APIC_LVTPC    0x834
#define MSR_X2APIC_SELF_IPI 0x83f
#define APIC_BASE_DEFAULT   UINT64_C(0xfee00900) /* enabled, boot processor */
#define APIC_BASE_X2APIC    BIT(10)
#define LVTPC_IMPLEMENTED   UINT64_C(0x117ff)
#define CPUID_PMU           0x0a
#define GUEST_TICKS         2

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

void processor_start(struct processor *cpu, unsigned nr_gp, unsigned nr_fixed, bool x2apic)
{
	static const struct pmu_model_ops ops = { .deliver_pmi = deliver_pmi, .tsc = tsc };
	struct pmu_model_caps caps = pmu_model_icelake;

	caps.nr_gp = nr_gp;
	caps.nr_fixed = nr_fixed;
	/* Hidden from the guest: neither side has them. */
	caps.lbr_depth = 0;
	caps.perf_capabilities = PERF_CAP_FW_WRITE;
	*cpu = (struct processor){ .x2apic = x2apic };
	cpu->model = pmu_model_new(&caps, &ops, cpu);
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

void processor_boundary(struct processor *cpu)
{
	if (!cpu->nmi_latched || cpu->nmi_blocked)
		return;
	cpu->nmi_latched = false;
	cpu->nmi_blocked = true;
	cpu->nmis++;
}

void processor_retire(struct processor *cpu, unsigned cpl, unsigned ticks)
{
	cpu->clock += ticks;
	pmu_model_retire(cpu->model, cpl);
}

/* SDM Vol. 3A, "x2APIC Register Availability": the MSRs of the APIC exist in this mode alone. */
static bool read_apic(const struct processor *cpu, uint32_t msr, uint64_t *value)
{
	if (msr == MSR_IA32_APIC_BASE) {
		*value = APIC_BASE_DEFAULT | (cpu->x2apic ? APIC_BASE_X2APIC : 0);
		return true;
	}
	if (msr != MSR_X2APIC_LVTPC || !cpu->x2apic)
		return false;
	*value = pmu_model_read_lvtpc(cpu->model);
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

static void branch(struct processor *cpu, enum pmu_model_branch kind, bool taken)
{
	pmu_model_branch(cpu->model, kind, taken, (struct pmu_model_transfer){ 0x1000, 0x2000, 0, 0 });
}

static bool perform(struct processor *cpu, const struct step *step, struct outcome *outcome)
{
	switch (step->kind) {
	case STEP_BRANCH: branch(cpu, (enum pmu_model_branch)step->index, step->value); return true;
	case STEP_CPUID:
		if (step->index == CPUID_PMU)
			pmu_model_cpuid(cpu->model, CPUID_PMU, 0, outcome->regs);
		return true;
	case STEP_RDMSR: return processor_rdmsr(cpu, step->index, &outcome->value);
	case STEP_WRMSR: return processor_wrmsr(cpu, step->index, step->value);
	case STEP_RDPMC: return pmu_model_rdpmc(cpu->model, step->index, &outcome->value) == PMU_MODEL_DONE;
	case STEP_READ_LVTPC: return read_lvtpc(cpu, &outcome->value);
	case STEP_WRITE_LVTPC: return write_lvtpc(cpu, step->value);
	case STEP_IRET:
		branch(cpu, PMU_MODEL_FAR, true);
		cpu->nmi_blocked = false;
		return true;
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

void processor_execute(struct processor *cpu, const struct step *step, struct outcome *outcome)
{
	outcome->fault = !perform(cpu, step, outcome);
	if (step->kind == STEP_NMI)
		cpu->nmi_latched = true;
	if (outcome->fault)
		outcome->value = 0;
	if (cpu->lands)
		processor_land(cpu);
	cpu->lands = false;
	if (!outcome->fault && is_instruction(step))
		processor_retire(cpu, step->cpl, GUEST_TICKS);
}

/* The model adds the cycles of every instruction to what was signalled before it retires: here they cancel out. */
void processor_execute_timeless(struct processor *cpu, const struct step *step, struct outcome *outcome)
{
	static const enum pmu_signal time[] = { SIGNAL_CORE_CYCLES, SIGNAL_SLOTS };

	outcome->fault = !perform(cpu, step, outcome);
	if (outcome->fault)
		return;
	for (unsigned i = 0; i < 2; i++)
		cpu->model->signals[time[i]] -= pmu_signal_rate(time[i]);
	cpu->model->hot.pending = true;
	processor_retire(cpu, step->cpl, 0);
}
