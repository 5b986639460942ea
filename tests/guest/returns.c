/*
 * An EFI image may return to the one that started it; the firmware is still there and goes on.
 *
 * What breaks: a hypervisor that runs under the firmware must survive its guest image, and its loader must return too,
 * so that the firmware can try the next boot entry. How the test tells: this image keeps boot services and returns; the
 * runner sees its plan, and what the loader and the firmware say afterwards.
 */
#include "boot.h"
#include "cpu.h"
#include "tap.h"

const char test_title[] = "returns: the guest image comes back to its loader";
const bool boot_keeps_firmware = true;

#define CPUID_1_ECX_HYPERVISOR BIT(31)

void test_main(void)
{
	bool announced = cpuid(1, 0).ecx & CPUID_1_ECX_HYPERVISOR;

	tap_check(announced == (boot_mode() != MODE_BARE), "the hypervisor is where it should be");
}
