#include "loader.h"

#include "arch/x86/requirements.h"

#define CR4_LA57 (UINT64_C(1) << 12)

/* PI Specification Vol. 2, "MP Services Protocol", as far as it is used here; GNU-EFI doesn't know it. */
#define MP_SERVICES_GUID                                                                                               \
	{                                                                                                              \
		0x3fdda605, 0xa76e, 0x4f46,                                                                            \
		{                                                                                                      \
			0xad, 0x29, 0x12, 0xf4, 0x53, 0x1b, 0x3d, 0x08                                                 \
		}                                                                                                      \
	}

struct mp_services {
	EFI_STATUS(EFIAPI *get_number_of_processors)(struct mp_services *this, UINTN *all, UINTN *enabled);
};

/* Firmware that doesn't tell has one processor, as far as anyone can know. */
static unsigned enabled_processors(void)
{
	EFI_GUID guid = MP_SERVICES_GUID;
	struct mp_services *services;
	UINTN all, enabled;

	if (EFI_ERROR(uefi_call_wrapper(BS->LocateProtocol, 3, &guid, NULL, (void **)&services)))
		return 1;
	if (EFI_ERROR(uefi_call_wrapper(services->get_number_of_processors, 3, services, &all, &enabled)))
		return 1;
	return (unsigned)enabled;
}

EFI_STATUS check_machine(struct loader *loader)
{
	unsigned processors = enabled_processors();

	if (pmuvisor_is_running(&processor))
		return fail(loader, EFI_ALREADY_STARTED, "pmuvisor is already running.");
	if (!requirements_met(&processor, loader->error))
		return EFI_UNSUPPORTED;
	if (read_cr4() & CR4_LA57)
		return fail(loader, EFI_UNSUPPORTED, "the firmware uses page tables of five levels.");
	if (!config_fits(&loader->config, pmu_general_counters(&processor), pmu_fixed_counters(&processor),
			 loader->error))
		return EFI_UNSUPPORTED;
	if (processors > 1 && !loader->config.boot_cpu_only)
		return fail(loader, EFI_UNSUPPORTED,
			    "this machine has %u processors, and pmuvisor runs on one: cpus=boot makes do with that.",
			    processors);
	return EFI_SUCCESS;
}
