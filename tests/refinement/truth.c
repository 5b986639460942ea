#include "truth.h"

#include <inttypes.h>

#include "arch/x86/msr.h"
#include "difference.h"

static uint64_t read_msr(const struct processor *cpu, uint32_t msr)
{
	uint64_t value = 0;

	return pmu_model_rdmsr(cpu->model, msr, &value) == PMU_MODEL_DONE ? value : 0;
}

static bool selected(const struct processor *cpu, unsigned n)
{
	if (n < 8)
		return read_msr(cpu, MSR_IA32_PERFEVTSEL0 + n) & PERFEVTSEL_EN;
	if (n < 32)
		return read_msr(cpu, MSR_IA32_PMC_GP0_CFG_A + 4 * n) & PERFEVTSEL_EN;
	return read_msr(cpu, MSR_IA32_FIXED_CTR_CTRL) >> 4 * (n - 32) & (FIXED_CTR_USR | FIXED_CTR_OS);
}

/* The registers let this counter count: pmuvisor stops its own while it works on them, and that is no loss. */
static bool running(const struct processor *cpu, unsigned n)
{
	return read_msr(cpu, MSR_IA32_PERF_GLOBAL_CTRL) & BIT(n) && selected(cpu, n) &&
	       !(read_msr(cpu, MSR_IA32_PERF_GLOBAL_STATUS) & PMU_STATUS_CTR_FROZEN);
}

/* A counter of AMD's knows its side, so the host's never count in the guest what they should not. */
static bool counted_amd(const struct processor *cpu, const struct pmu *pmu, const struct pmu_host_event *event,
			enum truth_mode mode)
{
	uint64_t selector = read_msr(cpu, MSR_AMD_PERF_CTL0 + 2 * event->counter);
	uint64_t status = read_msr(cpu, MSR_AMD_PERF_GLOBAL_STATUS);
	uint64_t ctrl = pmu->caps.global ? read_msr(cpu, MSR_AMD_PERF_GLOBAL_CTL) : pmu->host;

	if (mode != TRUTH_ROOT)
		return mode == TRUTH_CLOSED && event->config->guest;
	return !pmu->window && event->config->host && ctrl & BIT(event->counter) && selector & PERFEVTSEL_EN &&
	       !(status & PMU_STATUS_CTR_FROZEN);
}

/*
 * Closed, the rule is the configuration's alone. Open, the host is paused; but a guest may enable a hidden counter in
 * direct mode, and counts in it what the host doesn't want counted.
 */
static bool counted(const struct processor *cpu, const struct pmu *pmu, const struct pmu_host_event *event,
		    enum truth_mode mode)
{
	if (pmu->ops == &pmu_amd)
		return counted_amd(cpu, pmu, event, mode);
	if (mode == TRUTH_CLOSED)
		return event->config->guest;
	return !pmu->window && running(cpu, event->counter);
}

static unsigned weight(const struct config_event *event, bool branch)
{
	switch (event->event) {
	case 0xc0: return 1;
	case 0xc4: return branch;
	default: return 2; /* core cycles: pmu_events.c says two an instruction */
	}
}

void truth_retired(struct truth *truth, const struct processor *cpu, const struct pmu *pmu, enum truth_mode mode,
		   unsigned cpl, bool branch)
{
	for (unsigned i = 0; i < pmu->nr_events; i++) {
		const struct pmu_host_event *event = &pmu->events[i];
		unsigned events = weight(event->config, branch);

		if (events && (cpl ? event->config->user : event->config->kernel) && counted(cpu, pmu, event, mode))
			truth->counts[i] += events;
	}
}

void truth_interrupted(struct truth *truth, const struct processor *cpu, const struct pmu *pmu, enum truth_mode mode)
{
	for (unsigned i = 0; pmu->ops == &pmu_amd && i < pmu->nr_events; i++) {
		const struct pmu_host_event *event = &pmu->events[i];

		if (event->config->event == 0xc4 && event->config->kernel && counted(cpu, pmu, event, mode))
			truth->counts[i]++;
	}
}

static void check_periods(const struct pmu_host_event *event, unsigned i, uint64_t count)
{
	if (event->overflows != count / event->config->period)
		difference("host event %u (%s) overflowed %" PRIu64 " times in %" PRIu64
			   " events with a period of %" PRIu64,
			   i, event->config->name, event->overflows, count, event->config->period);
}

void truth_check(const struct truth *truth, const struct pmu *pmu, uint64_t status)
{
	for (unsigned i = 0; i < pmu->nr_events; i++) {
		const struct pmu_host_event *event = &pmu->events[i];
		uint64_t count = pmu_host_count(pmu, event);

		if (count != truth->counts[i])
			difference("host event %u (%s) counted %" PRIu64 " of %" PRIu64, i, event->config->name, count,
				   truth->counts[i]);
		if (event->config->period && !truth->restarted && !(status & BIT(event->counter)))
			check_periods(event, i, count);
	}
}
