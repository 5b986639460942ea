/*
 * The machine's processors, by the PI Specification's Vol. 2, "MP Services Protocol", as far as it is used here;
 * GNU-EFI doesn't know it.
 */
#include "loader.h"

#include "arch/x86/requirements.h"
#include "hv/sentence.h"

#define MP_SERVICES_GUID                                                                                               \
	{                                                                                                              \
		0x3fdda605, 0xa76e, 0x4f46,                                                                            \
		{                                                                                                      \
			0xad, 0x29, 0x12, 0xf4, 0x53, 0x1b, 0x3d, 0x08                                                 \
		}                                                                                                      \
	}

#define STATUS_BOOT    1
#define STATUS_ENABLED 2

#define TIMEOUT_US 10000000 /* far beyond what any processor needs here */

struct processor_information {
	UINT64 id; /* of its local APIC */
	UINT32 status;
	UINT32 package, core, thread;
	UINT32 later_revisions[16];
};

struct mp_services {
	EFI_STATUS(EFIAPI *get_number_of_processors)(struct mp_services *this, UINTN *all, UINTN *enabled);
	EFI_STATUS(EFIAPI *get_processor_info)
	(struct mp_services *this, UINTN number, struct processor_information *information);
	void *startup_all_aps;
	EFI_STATUS(EFIAPI *startup_this_ap)
	(struct mp_services *this, mp_procedure procedure, UINTN number, EFI_EVENT wait, UINTN timeout_us,
	 void *argument, BOOLEAN *finished);
};

static uint32_t own_apic_id(void)
{
	return processor.cpuid(1, 0).ebx >> 24;
}

/* Firmware that doesn't tell has one processor, as far as anyone can know. */
static EFI_STATUS take_this_one(struct loader *loader)
{
	static struct boot_processor alone;

	alone = (struct boot_processor){ .apic_id = own_apic_id(), .enabled = true };
	loader->mp = (struct mp){ .nr_cpus = 1, .nr_processors = 1, .processors = &alone };
	return EFI_SUCCESS;
}

/* Makes room at `place`, so that the others keep the firmware's order. */
static void insert(struct mp *mp, unsigned place, struct boot_processor new)
{
	for (unsigned i = mp->nr_processors++; i > place; i--)
		mp->processors[i] = mp->processors[i - 1];
	mp->processors[place] = new;
}

/* The one that booted, those that are enabled, the rest. */
static EFI_STATUS list_processors(struct mp *mp, UINTN all)
{
	for (UINTN number = 0; number < all; number++) {
		struct processor_information information = { .id = 0 };
		EFI_STATUS status = uefi_call_wrapper(mp->services->get_processor_info, 3, mp->services, number,
						      &information);
		bool enabled = information.status & STATUS_ENABLED;

		if (EFI_ERROR(status))
			return status;
		insert(mp,
		       information.status & STATUS_BOOT ? 0
		       : enabled                        ? mp->nr_cpus
							: mp->nr_processors,
		       (struct boot_processor){ (uint32_t)number, (uint32_t)information.id, enabled });
		mp->nr_cpus += enabled;
	}
	return EFI_SUCCESS;
}

EFI_STATUS mp_find(struct loader *loader)
{
	EFI_GUID guid = MP_SERVICES_GUID;
	struct mp *mp = &loader->mp;
	UINTN all = 0, enabled;
	EFI_STATUS status;

	if (EFI_ERROR(uefi_call_wrapper(BS->LocateProtocol, 3, &guid, NULL, (void **)&mp->services)))
		return take_this_one(loader);
	status = uefi_call_wrapper(mp->services->get_number_of_processors, 3, mp->services, &all, &enabled);
	mp->processors = AllocatePool(all * sizeof(mp->processors[0]));
	if (!EFI_ERROR(status))
		status = mp->processors ? list_processors(mp, all) : EFI_OUT_OF_RESOURCES;
	if (EFI_ERROR(status))
		return fail(loader, status, "the firmware doesn't say which processors there are.");
	if (loader->config.boot_cpu_only)
		mp->nr_cpus = 1;
	return EFI_SUCCESS;
}

EFI_STATUS mp_run(const struct mp *mp, unsigned cpu, mp_procedure procedure, void *argument)
{
	if (cpu) {
		return uefi_call_wrapper(mp->services->startup_this_ap, 7, mp->services, procedure,
					 mp->processors[cpu].number, NULL, TIMEOUT_US, argument, NULL);
	}
	procedure(argument);
	return EFI_SUCCESS;
}

void mp_blame(struct loader *loader, unsigned cpu, const char *why)
{
	size_t length = 0;

	if (loader->mp.nr_cpus > 1)
		length = sentence(loader->error, sizeof(loader->error), "CPU %u (APIC ID %u): ", cpu,
				  loader->mp.processors[cpu].apic_id);
	for (; *why && length < sizeof(loader->error) - 1; why++)
		loader->error[length++] = *why;
	loader->error[length] = '\0';
}
