#include "sampler.h"
#include "apic.h"
#include "boot.h"
#include "pmu.h"
#include "trap.h"

struct sampler_state samplers[SMP_MAX];

/* What has been counted past the overflow belongs to the next period. */
static void reload(unsigned counter)
{
	pmu_write(counter, (pmu_read(counter) - sampler.period[counter]) & pmu.value_mask);
}

static void acknowledge(uint64_t status)
{
	pmu_acknowledge(status);
	for (unsigned counter = 0; counter < SAMPLER_MAX; counter++) {
		if (!(status & BIT(counter)))
			continue;
		sampler.owed += sampler.late;
		if (sampler.period[counter]) {
			sampler.samples[counter]++;
			reload(counter);
		} else {
			sampler.strangers++;
		}
	}
}

void sampler_on_pmi(struct trap_frame *frame)
{
	uint64_t status;

	pmu_enable(0);
	status = pmu_overflowed();
	sampler.user_returns += (frame->cs & 3) != 0;
	if (status)
		sampler.pmis++;
	else if (!sampler.owed)
		sampler.duplicates++;
	for (; status; status = pmu_overflowed())
		acknowledge(status);
	sampler.owed -= sampler.owed > 0;
	pmu_enable(sampler.counters);
	apic_write(APIC_LVTPC, sampler.lvtpc);
	if (frame->vector != VECTOR_NMI)
		apic_eoi();
}

void sampler_clear(unsigned vector)
{
	pmu_reset();
	sampler = (struct sampler_state){
		.lvtpc = vector == VECTOR_NMI ? LVT_NMI : vector,
		.late = boot_number("skid", 0) != 0,
	};
	apic_write(APIC_LVTPC, sampler.lvtpc);
}

void sampler_init(unsigned vector)
{
	trap_handle(vector, sampler_on_pmi);
	sampler_clear(vector);
}

void sampler_add(unsigned counter, uint64_t event, uint64_t rings, uint64_t period)
{
	uint64_t fixed = (rings & PERFEVTSEL_USR ? FIXED_USR : 0) | (rings & PERFEVTSEL_OS ? FIXED_OS : 0) |
			 (period ? FIXED_PMI : 0);

	sampler.counters |= BIT(counter);
	sampler.period[counter] = period;
	pmu_write(counter, pmu_preset(period));
	if (counter >= FIXED(0))
		wrmsr(MSR_IA32_FIXED_CTR_CTRL,
		      rdmsr(MSR_IA32_FIXED_CTR_CTRL) | FIXED_CTR_CTRL(counter - FIXED(0), fixed));
	else
		pmu_select(counter, event | rings | PERFEVTSEL_EN | (period ? PERFEVTSEL_INT : 0));
}

void sampler_enable(void)
{
	pmu_enable(sampler.counters);
}

void sampler_disable(void)
{
	pmu_enable(0);
}

void sampler_run(void (*work)(void))
{
	sampler_enable();
	user_run(work);
	sampler_disable();
	if (!sampler.late)
		return;
	asm volatile("sti; nop; nop; cli"); /* the last one may have come in ring 0 */
	sampler_disable();
}

uint64_t sampler_user_events(uint64_t events)
{
	return events + (pmu.amd ? sampler.user_returns : 0);
}

uint64_t sampler_total(unsigned counter)
{
	uint64_t period = sampler.period[counter];

	return sampler.samples[counter] * period + ((pmu_read(counter) + period) & pmu.value_mask);
}
