/* How many levels a guest's page tables have is its own affair: VM entry and exit change CR4.LA57 in long mode. */
#include "cpu.h"
#include "machine_vmx.h"
#include "tap.h"
#include "world.h"

#define CPUID_7_ECX_LA57  BIT(16)
#define CR4_LA57          BIT(12)
#define TABLE_ENTRIES     512
#define PRESENT_AND_WRITE UINT64_C(3)
#define WIDE_ADDRESS      BIT(50) /* canonical in five levels only */

__attribute__((naked)) static void guest_exits(void)
{
	asm("vmcall");
}

void five_level_guest(void)
{
	static uint64_t root[TABLE_ENTRIES] __attribute__((aligned(4096)));
	struct world_exit left;

	if (!(cpuid(7, 0).ecx & CPUID_7_ECX_LA57))
		return;
	world_new(guest_exits);
	root[0] = vmread(VMCS_GUEST_CR3) | PRESENT_AND_WRITE;
	vmwrite(VMCS_GUEST_CR3, (uint64_t)root);
	vmwrite(VMCS_GUEST_CR4, vmread(VMCS_GUEST_CR4) | CR4_LA57);
	vmwrite(VMCS_GUEST_BASE(SEGMENT_GS), WIDE_ADDRESS);
	left = world_run();
	tap_check(left.entered && left.reason == REASON_VMCALL, "a guest with five levels runs under a host with four");
	tap_check(vmread(VMCS_GUEST_CR4) & CR4_LA57 && !(read_cr4() & CR4_LA57),
		  "and the exit restores the host's four");
	tap_equal(vmread(VMCS_GUEST_BASE(SEGMENT_GS)), WIDE_ADDRESS, "such a guest has bases of 57 bits");
	left = world_run();
	tap_check(left.entered && left.reason == REASON_VMCALL, "and it goes on after the exit");
}
