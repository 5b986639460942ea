/*
 * In x2APIC mode LVTPC is an MSR, which a hypervisor can intercept; the guest must not notice.
 *
 * What breaks: a trapped LVTPC that forgets the mask set by delivery, takes reserved bits, or re-arms at another moment
 * than the real one; a WRMSR that exits and is not counted as an instruction. How the test tells: the sampling of
 * pmi.c, and reads of LVTPC, after the switch to x2APIC mode.
 */
#include "apic.h"
#include "pmu.h"
#include "sampler.h"
#include "tap.h"
#include "trap.h"
#include "workload.h"

const char test_title[] = "pmi_x2apic: PMIs with LVTPC as an MSR";

#define MSR_X2APIC_LVTPC   0x834
#define CPUID_1_ECX_X2APIC BIT(21)
#define ROUNDS             5000
#define EMULATED_ROUNDS    1000
#define LVTPC_RESERVED     (BIT(63) | BIT(32) | BIT(17) | BIT(13) | BIT(8 + 3))

static void sample(const char *name, unsigned vector, void (*work)(void), uint64_t events, uint64_t period)
{
	uint64_t total;

	sampler_init(vector);
	sampler_add(0, EVENT_INSTRUCTIONS, PERFEVTSEL_USR, period);
	sampler_run(work);
	total = sampler_user_events(events);
	tap_equal(sampler.samples[0], total / period, "%s: one overflow a period", name);
	tap_equal(sampler.pmis, total / period, "%s: one PMI each", name);
	tap_equal(sampler.duplicates + sampler.strangers, 0, "%s: none too many", name);
	tap_equal(sampler_total(0), total, "%s: everything is counted", name);
}

/* Ring 0 counts, the handler's WRMSR of LVTPC included. */
static void sample_kernel(void)
{
	work_rounds = ROUNDS;
	sampler_init(VECTOR_NMI);
	sampler_add(0, EVENT_INSTRUCTIONS, PERFEVTSEL_OS | PERFEVTSEL_USR, 1009);
	sampler_run(work_loop);
	tap_equal(sampler.pmis, sampler.samples[0], "ring 0 and 3: one PMI each");
	tap_equal(sampler.duplicates + sampler.strangers, 0, "ring 0 and 3: none too many");
	tap_figure("pmi_x2apic_kernel_instructions", sampler_total(0));
	tap_figure("pmi_x2apic_kernel_samples", sampler.samples[0]);
}

static void test_register(void)
{
	unsigned wrong = 0;

	apic_write(APIC_LVTPC, LVT_NMI);
	tap_equal(rdmsr(MSR_X2APIC_LVTPC), LVT_NMI, "LVTPC reads as written");
	apic_write(APIC_LVTPC, LVT_MASKED | VECTOR_PMI);
	tap_equal(rdmsr(MSR_X2APIC_LVTPC), LVT_MASKED | VECTOR_PMI, "also masked with a vector");
	for (unsigned bit = 0; bit < 64; bit++) {
		if ((LVTPC_RESERVED & BIT(bit)) && wrmsr_guarded(MSR_X2APIC_LVTPC, BIT(bit) | LVT_NMI) != FAULT_GP) {
			tap_note("bit %u did not fault", bit);
			wrong++;
		}
	}
	tap_equal(wrong, 0, "reserved bits of LVTPC fault");
	tap_equal(rdmsr(MSR_X2APIC_LVTPC), LVT_MASKED | VECTOR_PMI, "and leave it unchanged");
}

void test_main(void)
{
	pmu_init();
	if (!tap_check(cpuid(1, 0).ecx & CPUID_1_ECX_X2APIC, "the processor has x2APIC mode"))
		return;
	apic_enter_x2apic();
	test_register();
	work_rounds = ROUNDS;
	sample("NMI", VECTOR_NMI, work_loop, WORK_LOOP_INSTRUCTIONS(ROUNDS), 103);
	sample("fixed", VECTOR_PMI, work_loop, WORK_LOOP_INSTRUCTIONS(ROUNDS), 107);
	work_rounds = EMULATED_ROUNDS;
	sample("CPUID in the loop, NMI", VECTOR_NMI, work_cpuid, WORK_CPUID_INSTRUCTIONS(EMULATED_ROUNDS), 5);
	sample("CPUID in the loop, fixed", VECTOR_PMI, work_cpuid, WORK_CPUID_INSTRUCTIONS(EMULATED_ROUNDS), 7);
	sample_kernel();
}
