#include "pebs_sampler.h"
#include "apic.h"
#include "pmu.h"
#include "trap.h"

struct pebs_sampler pebs_sampler;

static void drain(void)
{
	for (const struct pebs_basic *record = ds_next(NULL); record; record = ds_next(record))
		if (pebs_sampler.on_record)
			pebs_sampler.on_record(record);
	pebs_sampler.samples += ds_drain();
}

/* The bits of counters that still owe a record stay: clearing them would disarm. */
static void on_pmi(struct trap_frame *frame)
{
	uint64_t status;

	(void)frame;
	wrmsr(MSR_IA32_PERF_GLOBAL_CTRL, 0);
	status = rdmsr(MSR_IA32_PERF_GLOBAL_STATUS);
	if (status & PERF_GLOBAL_STATUS_OVF_BUF)
		pebs_sampler.pmis++;
	else if (status & pebs_sampler.counters)
		pebs_sampler.armed++;
	if (!status || status & ~(PERF_GLOBAL_STATUS_OVF_BUF | pebs_sampler.counters))
		pebs_sampler.strays++;
	wrmsr(MSR_IA32_PERF_GLOBAL_STATUS_RESET, status & ~pebs_sampler.counters);
	drain();
	wrmsr(MSR_IA32_PERF_GLOBAL_CTRL, pebs_sampler.counters | pebs_sampler.others);
	apic_write(APIC_LVTPC, LVT_NMI);
}

void pebs_sampler_init(void (*on_record)(const struct pebs_basic *record))
{
	pmu_reset();
	wrmsr(MSR_IA32_PEBS_ENABLE, 0);
	wrmsr(MSR_PEBS_DATA_CFG, 0);
	pebs_sampler = (struct pebs_sampler){ .on_record = on_record };
	trap_handle(VECTOR_NMI, on_pmi);
	apic_write(APIC_LVTPC, LVT_NMI);
}

static void add_fixed(unsigned m, uint64_t rings)
{
	uint64_t bits = (rings & PERFEVTSEL_USR ? FIXED_USR : 0) | (rings & PERFEVTSEL_OS ? FIXED_OS : 0) |
			(rings & PERFEVTSEL_INT ? FIXED_PMI : 0);

	wrmsr(MSR_IA32_FIXED_CTR_CTRL, rdmsr(MSR_IA32_FIXED_CTR_CTRL) | FIXED_CTR_CTRL(m, bits));
}

void pebs_sampler_add(unsigned counter, uint64_t event, uint64_t rings, uint64_t period)
{
	pebs_sampler.counters |= BIT(counter);
	pmu_write(counter, pmu_preset(period));
	ds_set_reset(counter, pmu_preset(period));
	if (counter >= FIXED(0))
		add_fixed(counter - FIXED(0), rings);
	else
		wrmsr(pmu_selector(counter), event | rings | PERFEVTSEL_EN);
}

void pebs_sampler_adaptive(uint64_t config)
{
	uint64_t fixed = 0;

	pebs_sampler.config = config;
	for (unsigned counter = 0; counter < 64; counter++) {
		if (!(pebs_sampler.counters & BIT(counter)))
			continue;
		if (counter >= FIXED(0))
			fixed |= FIXED_ADAPTIVE(counter - FIXED(0));
		else
			wrmsr(pmu_selector(counter), rdmsr(pmu_selector(counter)) | PERFEVTSEL_ADAPTIVE);
	}
	wrmsr(MSR_IA32_FIXED_CTR_CTRL, rdmsr(MSR_IA32_FIXED_CTR_CTRL) | fixed);
	wrmsr(MSR_PEBS_DATA_CFG, config);
}

/* The order of Linux. */
void pebs_sampler_enable(unsigned records)
{
	ds_init(records, (unsigned)ds_record_size(pebs_sampler.config));
	wrmsr(MSR_IA32_PEBS_ENABLE, pebs_sampler.counters);
	wrmsr(MSR_IA32_PERF_GLOBAL_CTRL, pebs_sampler.counters | pebs_sampler.others);
}

void pebs_sampler_disable(void)
{
	wrmsr(MSR_IA32_PERF_GLOBAL_CTRL, 0);
	wrmsr(MSR_IA32_PEBS_ENABLE, 0);
	drain();
}

void pebs_sampler_run(unsigned records, void (*work)(void))
{
	pebs_sampler_enable(records);
	user_run(work);
	pebs_sampler_disable();
}
