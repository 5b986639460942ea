#include "apic.h"
#include "cpu.h"
#include "machine_vmx.h"
#include "tap.h"
#include "world.h"

#define APIC_TIMER_INITIAL 0x380
#define TIMER_VECTOR       0x40
#define TIMER_COUNT        10000
#define ICR_INIT_ASSERT    0x4500
#define ICR_DESTINATION    24 /* of the APIC identifier, in xAPIC mode */

__attribute__((naked)) static void guest_vmcall(void)
{
	asm("vmcall");
}

void apic_base_cycle(void)
{
	const uint64_t base = rdmsr(MSR_IA32_APIC_BASE);

	apic_write(APIC_LVTPC, LVT_NMI);
	wrmsr(MSR_IA32_APIC_BASE, base & ~APIC_BASE_ENABLE);
	tap_check(wrmsr_guarded(MSR_IA32_APIC_BASE, base | APIC_BASE_X2APIC) == FAULT_GP,
		  "a disabled APIC does not enter x2APIC mode");
	wrmsr(MSR_IA32_APIC_BASE, base);
	tap_equal(rdmsr(MSR_IA32_APIC_BASE), base, "a disabled APIC can be enabled again");
	tap_equal(apic_read(APIC_LVTPC) & LVT_MASKED, LVT_MASKED, "LVTPC comes back masked");
	apic_init();
}

/* A guest that begins halted and must leave by `reason`. */
static void halted_guest(uint64_t reason, const char *name)
{
	struct world_exit left;

	vmwrite(VMCS_GUEST_ACTIVITY, ACTIVITY_HLT);
	left = world_run();
	tap_equal(left.reason, reason, "%s ends the halt of a guest", name);
	tap_equal(vmread(VMCS_GUEST_ACTIVITY), ACTIVITY_HLT, "%s: the guest is still halted after the exit", name);
}

void halted_guests(void)
{
	world_new(guest_vmcall);
	world_control(VMCS_PROC_CONTROLS, PROC_INTERRUPT_WINDOW);
	vmwrite(VMCS_GUEST_RFLAGS, RFLAGS_FIXED | RFLAGS_IF);
	halted_guest(REASON_INTERRUPT_WINDOW, "an interrupt window");

	world_new(guest_vmcall);
	world_control(VMCS_PIN_CONTROLS, PIN_NMI_EXITING | PIN_VIRTUAL_NMIS);
	world_control(VMCS_PROC_CONTROLS, PROC_NMI_WINDOW);
	halted_guest(REASON_NMI_WINDOW, "an NMI window");

	world_new(guest_vmcall);
	world_control(VMCS_PIN_CONTROLS, PIN_EXTERNAL_INTERRUPT);
	apic_write(APIC_LVT_TIMER, TIMER_VECTOR);
	apic_write(APIC_TIMER_INITIAL, TIMER_COUNT);
	halted_guest(REASON_INTERRUPT, "an interrupt that exits, with IF = 0,");
	apic_write(APIC_LVT_TIMER, LVT_MASKED);
}

void init_is_latched(void)
{
	struct world_exit left;

	world_new(guest_vmcall);
	apic_write(APIC_ICR_HIGH, apic_read(APIC_ID) >> ICR_DESTINATION << ICR_DESTINATION);
	apic_write(APIC_ICR_LOW, ICR_INIT_ASSERT);
	left = world_run();
	tap_equal(left.reason, REASON_INIT, "an INIT in root mode waits for the next entry");
	left = world_run();
	tap_equal(left.reason, REASON_VMCALL, "and comes once");
}
