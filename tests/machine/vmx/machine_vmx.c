/*
 * The test machine itself, bare: VM entries and exits do to the PMU, to a halted processor and to INIT what the manual
 * says. pmuvisor rests on every line of this, so it is judged before pmuvisor runs.
 */
#include "apic.h"
#include "lbr.h"
#include "machine_vmx.h"
#include "pmu.h"
#include "tap.h"
#include "world.h"

const char test_title[] = "machine: VMX and the PMU, halted guests, INIT";

#define CTRL(n)           BIT(n)
#define CTRL_RESERVED     BIT(20)
#define DEBUGCTL_RESERVED BIT(20)
#define MSR_X2APIC_LVTPC  0x834
#define EVTSEL_RESERVED   BIT(63)
#define LOOPS             1000
#define LOOP_INSTRUCTIONS (1 + 2 * LOOPS) /* of guest_loop, without its VMCALL, which exits */

__attribute__((naked)) static void guest_vmcall(void)
{
	asm("vmcall");
}

__attribute__((naked)) static void guest_reads_ctrl(void)
{
	asm("mov $0x38f, %ecx; rdmsr; vmcall");
}

__attribute__((naked)) static void guest_reads_debugctl(void)
{
	asm("mov $0x1d9, %ecx; rdmsr; vmcall");
}

__attribute__((naked)) static void guest_reads_no_counter(void)
{
	asm("mov $0x55, %ecx; rdpmc; vmcall");
}

__attribute__((naked)) static void guest_loop(void)
{
	asm("mov $1000, %ecx; 1: dec %ecx; jnz 1b; vmcall");
}

static void controls_offered(void)
{
	tap_check(world_allows(VMCS_ENTRY_CONTROLS, ENTRY_LOAD_PERF_GLOBAL_CTRL | ENTRY_LOAD_DEBUG),
		  "entry can load GLOBAL_CTRL and DEBUGCTL");
	tap_check(world_allows(VMCS_EXIT_CONTROLS, EXIT_LOAD_PERF_GLOBAL_CTRL | EXIT_SAVE_DEBUG),
		  "exit can load GLOBAL_CTRL and save DEBUGCTL");
	tap_check(world_allows(VMCS_EXIT_CONTROLS, EXIT_SAVE_PERF_GLOBAL_CTRL) == lbr.architectural,
		  "exit can save GLOBAL_CTRL from Sapphire Rapids on, which brought architectural LBR too");
}

/* A reserved bit stops the entry if the control that would load it is set, and only then. */
static void reserved_host_ctrl(void)
{
	struct world_exit left;

	world_new(guest_vmcall);
	vmwrite(VMCS_HOST_PERF_GLOBAL_CTRL, CTRL_RESERVED);
	left = world_run();
	tap_check(left.entered && left.reason == REASON_VMCALL, "host GLOBAL_CTRL is not checked without its control");
	world_control(VMCS_EXIT_CONTROLS, EXIT_LOAD_PERF_GLOBAL_CTRL);
	left = world_run();
	tap_check(!left.entered && left.error == ERROR_HOST_STATE, "reserved bit in host GLOBAL_CTRL: VMfailValid 8");
}

void reserved_guest(enum vmcs_field field, uint64_t control, uint64_t bit, const char *name)
{
	struct world_exit left;

	world_new(guest_vmcall);
	vmwrite(field, bit);
	left = world_run();
	tap_check(left.entered && left.reason == REASON_VMCALL, "guest %s is not checked without its control", name);
	world_control(VMCS_ENTRY_CONTROLS, control);
	vmwrite(field, bit); /* the exit may have saved over it */
	left = world_run();
	tap_check(left.entered && left.reason == REASON_GUEST_STATE, "reserved bit in guest %s: exit 33", name);
}

static void ctrl_switches(void)
{
	struct world_exit left;

	world_new(guest_reads_ctrl);
	wrmsr(MSR_IA32_PERF_GLOBAL_CTRL, CTRL(1));
	left = world_run();
	tap_equal(left.rax, CTRL(1), "entry leaves GLOBAL_CTRL alone without its control");

	world_new(guest_reads_ctrl);
	world_control(VMCS_ENTRY_CONTROLS, ENTRY_LOAD_PERF_GLOBAL_CTRL);
	vmwrite(VMCS_GUEST_PERF_GLOBAL_CTRL, CTRL(2));
	left = world_run();
	tap_equal(left.rax, CTRL(2), "entry loads GLOBAL_CTRL");
	tap_equal(rdmsr(MSR_IA32_PERF_GLOBAL_CTRL), CTRL(2), "exit leaves GLOBAL_CTRL alone without its control");

	world_new(guest_reads_ctrl);
	world_control(VMCS_EXIT_CONTROLS, EXIT_LOAD_PERF_GLOBAL_CTRL);
	vmwrite(VMCS_HOST_PERF_GLOBAL_CTRL, CTRL(3));
	world_run();
	tap_equal(rdmsr(MSR_IA32_PERF_GLOBAL_CTRL), CTRL(3), "exit loads GLOBAL_CTRL");
	wrmsr(MSR_IA32_PERF_GLOBAL_CTRL, 0);
}

static void debugctl_switches(void)
{
	struct world_exit left;

	world_new(guest_reads_debugctl);
	world_control(VMCS_ENTRY_CONTROLS, ENTRY_LOAD_DEBUG);
	world_control(VMCS_EXIT_CONTROLS, EXIT_SAVE_DEBUG);
	vmwrite(VMCS_GUEST_DEBUGCTL, DEBUGCTL_FREEZE_PERFMON_ON_PMI);
	left = world_run();
	tap_equal(left.rax, DEBUGCTL_FREEZE_PERFMON_ON_PMI, "entry loads DEBUGCTL");
	tap_equal(rdmsr(MSR_IA32_DEBUGCTL), 0, "exit clears DEBUGCTL");
	tap_equal(vmread(VMCS_GUEST_DEBUGCTL), DEBUGCTL_FREEZE_PERFMON_ON_PMI, "exit saves DEBUGCTL");
}

static void entry_area_fails(uint32_t msr, uint64_t value, const char *name)
{
	static struct msr_entry area[2] __attribute__((aligned(16)));
	struct world_exit left;

	area[0] = (struct msr_entry){ .index = MSR_IA32_PMC0, .value = 5 };
	area[1] = (struct msr_entry){ .index = msr, .value = value };
	world_new(guest_vmcall);
	vmwrite(VMCS_ENTRY_MSR_LOAD_ADDRESS, (uint64_t)area);
	vmwrite(VMCS_ENTRY_MSR_LOAD_COUNT, 2);
	left = world_run();
	tap_check(left.reason == REASON_MSR_LOAD && vmread(VMCS_EXIT_QUALIFICATION) == 2,
		  "%s in the entry area: exit 34, second entry", name);
}

/* The store area runs before host state is loaded, the load area after. */
static void exit_areas_in_order(void)
{
	static struct msr_entry store[1] __attribute__((aligned(16)));
	static struct msr_entry load[1] __attribute__((aligned(16)));

	store[0].index = load[0].index = MSR_IA32_PERF_GLOBAL_CTRL;
	load[0].value = CTRL(6);
	world_new(guest_vmcall);
	world_control(VMCS_ENTRY_CONTROLS, ENTRY_LOAD_PERF_GLOBAL_CTRL);
	world_control(VMCS_EXIT_CONTROLS, EXIT_LOAD_PERF_GLOBAL_CTRL);
	vmwrite(VMCS_GUEST_PERF_GLOBAL_CTRL, CTRL(4));
	vmwrite(VMCS_HOST_PERF_GLOBAL_CTRL, CTRL(5));
	vmwrite(VMCS_EXIT_MSR_STORE_ADDRESS, (uint64_t)store);
	vmwrite(VMCS_EXIT_MSR_STORE_COUNT, 1);
	vmwrite(VMCS_EXIT_MSR_LOAD_ADDRESS, (uint64_t)load);
	vmwrite(VMCS_EXIT_MSR_LOAD_COUNT, 1);
	world_run();
	tap_equal(store[0].value, CTRL(4), "the exit store area sees the guest's GLOBAL_CTRL");
	tap_equal(rdmsr(MSR_IA32_PERF_GLOBAL_CTRL), CTRL(6), "the exit load area comes after host state");
	wrmsr(MSR_IA32_PERF_GLOBAL_CTRL, 0);
}

/* Neither the entry nor the instruction that exits is the guest's. */
static void guest_only_count(void)
{
	wrmsr(MSR_IA32_PERFEVTSEL0, EVENT_INSTRUCTIONS | PERFEVTSEL_OS | PERFEVTSEL_EN);
	pmu_write(0, 0);
	world_new(guest_loop);
	world_control(VMCS_ENTRY_CONTROLS, ENTRY_LOAD_PERF_GLOBAL_CTRL);
	world_control(VMCS_EXIT_CONTROLS, EXIT_LOAD_PERF_GLOBAL_CTRL);
	vmwrite(VMCS_GUEST_PERF_GLOBAL_CTRL, CTRL(0));
	world_run();
	tap_equal(pmu_read(0), LOOP_INSTRUCTIONS,
		  "a counter enabled in the guest alone counts the guest's instructions");
	pmu_reset();
}

static void rdpmc_exits_first(void)
{
	struct world_exit left;

	world_new(guest_reads_no_counter);
	world_control(VMCS_PROC_CONTROLS, PROC_RDPMC_EXITING);
	left = world_run();
	tap_equal(left.reason, REASON_RDPMC, "RDPMC exits before its index is looked at");
}

void test_main(void)
{
	pmu_init();
	lbr_init();
	apic_init();
	apic_base_cycle();
	if (!world_init())
		tap_abort("no VMX");
	controls_offered();
	reserved_host_ctrl();
	reserved_guest(VMCS_GUEST_PERF_GLOBAL_CTRL, ENTRY_LOAD_PERF_GLOBAL_CTRL, CTRL_RESERVED, "GLOBAL_CTRL");
	reserved_guest(VMCS_GUEST_DEBUGCTL, ENTRY_LOAD_DEBUG, DEBUGCTL_RESERVED, "DEBUGCTL");
	ctrl_switches();
	debugctl_switches();
	entry_area_fails(MSR_X2APIC_LVTPC, LVT_MASKED, "an x2APIC register");
	entry_area_fails(MSR_IA32_PERFEVTSEL0, EVTSEL_RESERVED, "a reserved selector bit");
	exit_areas_in_order();
	guest_only_count();
	rdpmc_exits_first();
	lbr_transitions();
	pebs_transitions();
	five_level_guest();
	halted_guests();
	init_is_latched();
}
