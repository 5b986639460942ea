/* What VM entries and exits do to the recording of branches. */
#include "lbr.h"
#include "machine_vmx.h"
#include "pmu.h"
#include "tap.h"
#include "trap.h"
#include "world.h"

#define EVENT_VALID          BIT(31)
#define EVENT_NMI            UINT64_C(0x202)
#define EVENT_DB             UINT64_C(0x301) /* as a hardware exception */
#define VECTOR_DB            1
#define STUB_SIZE            16
#define LBR_CTL_RESERVED     BIT(5)
#define JUMPS_IN_RING_0      (LBR_CTL_EN | LBR_CTL_OS | BIT(17))
#define EVERYTHING_IN_RING_0 (LBR_CTL_EN | LBR_CTL_OS | UINT64_C(0x7f0000))

extern const uint8_t trap_stubs[], jumps_from[], jumps_to[];

/* A jump, and an exit. */
__attribute__((naked)) static void guest_jumps(void)
{
	asm(".globl jumps_from, jumps_to\n"
	    "jumps_from: jmp jumps_to; nop\n"
	    "jumps_to: vmcall");
}

static void on_event(struct trap_frame *frame)
{
	(void)frame;
	asm volatile("vmcall" : : : "memory");
}

/* A guest at guest_jumps with the recording on, and off in root mode. */
static void new_recording_guest(uint64_t ctl)
{
	lbr_reset();
	world_new(guest_jumps);
	if (lbr.architectural) {
		world_control(VMCS_ENTRY_CONTROLS, ENTRY_LOAD_LBR_CTL);
		world_control(VMCS_EXIT_CONTROLS, EXIT_CLEAR_LBR_CTL);
		vmwrite(VMCS_GUEST_LBR_CTL, ctl);
	} else {
		world_control(VMCS_ENTRY_CONTROLS, ENTRY_LOAD_DEBUG);
		world_control(VMCS_EXIT_CONTROLS, EXIT_SAVE_DEBUG);
		vmwrite(VMCS_GUEST_DEBUGCTL, DEBUGCTL_LBR);
		wrmsr(MSR_LBR_SELECT, 0);
	}
}

static bool guest_still_records(void)
{
	return lbr.architectural ? vmread(VMCS_GUEST_LBR_CTL) & LBR_CTL_EN : vmread(VMCS_GUEST_DEBUGCTL) & DEBUGCTL_LBR;
}

static bool is_jump(struct lbr_entry entry)
{
	return entry.from == (uint64_t)jumps_from && entry.to == (uint64_t)jumps_to;
}

static void guest_alone_is_recorded(void)
{
	struct lbr_entry second;

	new_recording_guest(EVERYTHING_IN_RING_0);
	world_run();
	tap_check(!lbr_running() && guest_still_records(), "LBR: the exit switches it off, and saves that it was on");
	tap_check(is_jump(lbr_entry(0)), "LBR: the guest's jump is the newest entry");
	second = lbr_entry(1);
	tap_check(!second.from && !second.to, "LBR: neither the entry nor the exit nor root mode is in the stack");
}

/* What is oldest in the stack came first. */
static struct lbr_entry first_record(void)
{
	struct lbr_entry oldest = { 0 };

	for (unsigned age = 0; age < lbr.depth; age++) {
		struct lbr_entry entry = lbr_entry(age);

		if (entry.from || entry.to)
			oldest = entry;
	}
	return oldest;
}

static void injected(unsigned vector, uint64_t event, const char *name)
{
	struct lbr_entry first;

	trap_handle(vector, on_event);
	new_recording_guest(EVERYTHING_IN_RING_0);
	vmwrite(VMCS_ENTRY_INTERRUPTION_INFO, EVENT_VALID | event);
	world_run();
	trap_handle(vector, 0);
	first = first_record();
	tap_check(first.from == (uint64_t)jumps_from && first.to == (uint64_t)trap_stubs + vector * STUB_SIZE,
		  "LBR: an injected %s is recorded, from %lx to %lx", name, first.from, first.to);
	tap_check(guest_still_records(), "LBR: and does not switch it off");
}

/* Without the two controls the architectural stack records on both sides of the transitions. */
static void arch_recording_goes_on(void)
{
	unsigned found = 0;

	lbr_reset();
	world_new(guest_jumps);
	wrmsr(MSR_IA32_LBR_CTL, JUMPS_IN_RING_0);
	world_run();
	tap_equal(rdmsr(MSR_IA32_LBR_CTL), JUMPS_IN_RING_0, "LBR: without its control no exit clears LBR_CTL");
	wrmsr(MSR_IA32_LBR_CTL, 0);
	tap_equal(vmread(VMCS_GUEST_LBR_CTL), JUMPS_IN_RING_0, "LBR: every exit saves it");
	for (unsigned age = 0; age < lbr.depth; age++)
		found += is_jump(lbr_entry(age));
	tap_equal(found, 1, "LBR: and the guest is recorded like root mode");
}

void lbr_transitions(void)
{
	bool offered = world_allows(VMCS_ENTRY_CONTROLS, ENTRY_LOAD_LBR_CTL) &&
		       world_allows(VMCS_EXIT_CONTROLS, EXIT_CLEAR_LBR_CTL);

	tap_check(offered == lbr.architectural, "the controls of LBR_CTL are offered where there is one");
	guest_alone_is_recorded();
	injected(VECTOR_NMI, EVENT_NMI, "NMI");
	injected(VECTOR_DB, EVENT_DB, "#DB");
	if (lbr.architectural) {
		arch_recording_goes_on();
		reserved_guest(VMCS_GUEST_LBR_CTL, ENTRY_LOAD_LBR_CTL, LBR_CTL_RESERVED, "LBR_CTL");
	}
	lbr_reset();
}
