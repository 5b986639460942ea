#include "loader.h"

#include "arch/x86/cpuid.h"
#include "arch/x86/guest_map.h"
#include "arch/x86/msr.h"
#include "arch/x86/requirements.h"
#include "hv/sentence.h"

#define CR4_LA57 (UINT64_C(1) << 12)

/* What one CPU finds about itself. */
struct check {
	const struct hv_config *config;
	bool passed;
	char why[CONFIG_ERROR_MAX]; /* not */
	unsigned ept_pages;
};

static bool find_out(struct check *check)
{
	unsigned physical_bits, variable_mtrrs;

	if (!requirements_met(&processor, check->why))
		return false;
	if (read_cr4() & CR4_LA57) {
		sentence(check->why, sizeof(check->why), "the firmware uses page tables of five levels.");
		return false;
	}
	physical_bits = processor.cpuid(CPUID_ADDRESS_SIZES, 0).eax & 0xff;
	variable_mtrrs = (unsigned)FIELD_GET(MTRRCAP_VARIABLE, processor.rdmsr(MSR_IA32_MTRRCAP));
	check->ept_pages = guest_map_pool_pages(physical_bits, variable_mtrrs);
	return config_fits(check->config, pmu_general_counters(&processor), pmu_named_counters(&processor),
			   pmu_fixed_counters(&processor), check->why);
}

static void EFIAPI check_here(void *argument)
{
	struct check *check = argument;

	check->passed = find_out(check);
}

static EFI_STATUS check_cpu(struct loader *loader, unsigned cpu)
{
	struct check check = { .config = &loader->config };
	EFI_STATUS status = mp_run(&loader->mp, cpu, check_here, &check);

	if (EFI_ERROR(status)) {
		mp_blame(loader, cpu, "the firmware can't start it.");
		return status;
	}
	if (!check.passed) {
		mp_blame(loader, cpu, check.why);
		return EFI_UNSUPPORTED;
	}
	if (check.ept_pages > loader->region.ept_pages)
		loader->region.ept_pages = check.ept_pages;
	return EFI_SUCCESS;
}

EFI_STATUS check_machine(struct loader *loader)
{
	EFI_STATUS status = mp_find(loader);

	if (pmuvisor_is_running(&processor))
		return fail(loader, EFI_ALREADY_STARTED, "pmuvisor is already running.");
	for (unsigned cpu = 0; !EFI_ERROR(status) && cpu < loader->mp.nr_cpus; cpu++)
		status = check_cpu(loader, cpu);
	return status;
}
