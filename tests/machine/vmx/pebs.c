/* What VM exits do to a PEBS record that is due, and what a record does that EPT stops. */
#include "ds.h"
#include "machine_vmx.h"
#include "pmu.h"
#include "tap.h"
#include "world.h"

#define VMCS_EPT_POINTER    ((enum vmcs_field)0x201a)
#define REASON_CPUID        10
#define REASON_EPT          48
#define EPT_READ_WRITE_EXEC UINT64_C(7)
#define EPT_WRITE_BACK      (UINT64_C(6) << 3)
#define EPT_LARGE           BIT(7)
#define EPT_POINTER_FLAGS   (UINT64_C(3) << 3 | 6) /* four levels, write-back */
#define VIOLATION_READ      BIT(0)
#define VIOLATION_WRITE     BIT(1)
#define SIZE_4K             UINT64_C(4096)
#define SIZE_2M             (512 * SIZE_4K)
#define GIBS                4
#define ENTRIES             512
#define COUNTER             1
#define CPUID_LENGTH        2

struct table {
	uint64_t entries[ENTRIES];
} __attribute__((aligned(4096)));

static struct table level4, level3, level2[GIBS], level1;
static uint8_t buffer[SIZE_4K] __attribute__((aligned(4096)));
static struct ds_area area __attribute__((aligned(4096)));
static struct msr_entry at_entry[1] __attribute__((aligned(16))), at_exit[1] __attribute__((aligned(16)));

extern const uint8_t sampled_1[], sampled_2[], sampled_exit[], sampled_3[], sampled_4[], sampled_end[];

/* The first jump overflows the counter. Two of them come before the first exit, or one. */
__attribute__((naked)) static void guest_jumps_twice(void)
{
	asm(".globl sampled_1, sampled_2, sampled_exit, sampled_3, sampled_4, sampled_end\n"
	    "sampled_1: jmp sampled_2; nop\n"
	    "sampled_2: jmp sampled_exit; nop\n"
	    "sampled_exit: cpuid\n"
	    "sampled_3: jmp sampled_4; nop\n"
	    "sampled_4: jmp sampled_end; nop\n"
	    "sampled_end: vmcall");
}

__attribute__((naked)) static void guest_jumps_once(void)
{
	asm("jmp sampled_exit");
}

static uint64_t *entry_of(const void *page)
{
	return &level1.entries[(uint64_t)page / SIZE_4K % ENTRIES];
}

/* One to one, with 4-KiB pages around the buffer and the area, which are neighbours or nearly. */
static void map_everything(void)
{
	uint64_t split = (uint64_t)buffer / SIZE_2M * SIZE_2M;

	level4.entries[0] = (uint64_t)&level3 | EPT_READ_WRITE_EXEC;
	for (uint64_t i = 0; i < GIBS * ENTRIES; i++)
		level2[i / ENTRIES].entries[i % ENTRIES] = i * SIZE_2M | EPT_READ_WRITE_EXEC | EPT_WRITE_BACK |
							   EPT_LARGE;
	for (uint64_t i = 0; i < GIBS; i++)
		level3.entries[i] = (uint64_t)&level2[i] | EPT_READ_WRITE_EXEC;
	for (uint64_t i = 0; i < ENTRIES; i++)
		level1.entries[i] = (split + i * SIZE_4K) | EPT_READ_WRITE_EXEC | EPT_WRITE_BACK;
	level2[split / SIZE_2M / ENTRIES].entries[split / SIZE_2M % ENTRIES] = (uint64_t)&level1 | EPT_READ_WRITE_EXEC;
}

static void prepare_counter(void)
{
	pmu_reset();
	area.pebs_base = area.pebs_index = (uint64_t)buffer;
	area.pebs_maximum = area.pebs_threshold = (uint64_t)buffer + SIZE_4K;
	for (unsigned i = 0; i < DS_RESETS; i++)
		area.reset[i] = 0;
	wrmsr(MSR_IA32_DS_AREA, (uint64_t)&area);
	wrmsr(MSR_PEBS_DATA_CFG, 0);
	wrmsr(pmu_selector(COUNTER), EVENT_BRANCHES | PERFEVTSEL_OS | PERFEVTSEL_EN);
	pmu_write(COUNTER, pmu_preset(1));
}

/* It counts in the guest alone. With the lists, PEBS too is on in the guest alone. */
static void new_sampled_guest(void (*code)(void), bool lists)
{
	prepare_counter();
	world_new(code);
	world_control(VMCS_ENTRY_CONTROLS, ENTRY_LOAD_PERF_GLOBAL_CTRL);
	world_control(VMCS_EXIT_CONTROLS, EXIT_LOAD_PERF_GLOBAL_CTRL);
	vmwrite(VMCS_GUEST_PERF_GLOBAL_CTRL, BIT(COUNTER));
	if (!lists) {
		wrmsr(MSR_IA32_PEBS_ENABLE, BIT(COUNTER));
		return;
	}
	at_entry[0] = (struct msr_entry){ .index = MSR_IA32_PEBS_ENABLE, .value = BIT(COUNTER) };
	at_exit[0] = (struct msr_entry){ .index = MSR_IA32_PEBS_ENABLE };
	vmwrite(VMCS_ENTRY_MSR_LOAD_ADDRESS, (uint64_t)at_entry);
	vmwrite(VMCS_ENTRY_MSR_LOAD_COUNT, 1);
	vmwrite(VMCS_EXIT_MSR_LOAD_ADDRESS, (uint64_t)at_exit);
	vmwrite(VMCS_EXIT_MSR_LOAD_COUNT, 1);
}

static void use_ept(void)
{
	map_everything();
	world_control(VMCS_PROC_CONTROLS, PROC_SECONDARY);
	vmwrite(VMCS_PROC_CONTROLS2, PROC2_EPT);
	vmwrite(VMCS_EPT_POINTER, (uint64_t)&level4 | EPT_POINTER_FLAGS);
}

static unsigned records(void)
{
	return (unsigned)((area.pebs_index - area.pebs_base) / sizeof(struct pebs_basic));
}

static bool only_record_is_of(const uint8_t *instruction)
{
	const struct pebs_basic *record = (const struct pebs_basic *)(uintptr_t)buffer;

	return records() == 1 && record->ip == (uint64_t)instruction && record->counters == BIT(COUNTER);
}

static bool is_in_guest(uint64_t ip)
{
	return ip >= (uint64_t)sampled_1 && ip <= (uint64_t)sampled_end;
}

static bool armed(void)
{
	return rdmsr(MSR_IA32_PERF_GLOBAL_STATUS) == BIT(COUNTER);
}

/* Nothing but PEBS_ENABLE holds a record back that an exit overtook. */
static void record_in_root(void)
{
	const struct pebs_basic *record = (const struct pebs_basic *)(uintptr_t)buffer;
	struct world_exit left;

	new_sampled_guest(guest_jumps_once, false);
	left = world_run();
	tap_equal(left.reason, REASON_CPUID, "PEBS: an exit between the overflow and its record");
	tap_equal(rdmsr(MSR_IA32_PEBS_ENABLE), BIT(COUNTER), "PEBS: leaves PEBS_ENABLE alone");
	tap_check(records() == 1 && !is_in_guest(record->ip), "PEBS: root mode gets the record, of %lx", record->ip);
	tap_equal(rdmsr(MSR_IA32_PERF_GLOBAL_STATUS), 0, "PEBS: and the guest's counter is not armed any more");
	wrmsr(MSR_IA32_PEBS_ENABLE, 0);
}

static void record_survives_the_exit(void)
{
	struct world_exit left;

	new_sampled_guest(guest_jumps_once, true);
	left = world_run();
	tap_check(left.reason == REASON_CPUID && !records() && armed(), "PEBS: switched off by the exit, it waits");
	vmwrite(VMCS_GUEST_RIP, vmread(VMCS_GUEST_RIP) + CPUID_LENGTH);
	left = world_run();
	tap_check(left.reason == REASON_VMCALL && only_record_is_of(sampled_3),
		  "PEBS: switched on by the entry, it is of the next event");
	tap_equal(rdmsr(MSR_IA32_PERF_GLOBAL_STATUS), 0, "PEBS: and nothing is armed");
}

/* The exit is of no instruction: the second jump is done. Its record comes when the page is there, at the next event. */
static void record_meets_no_page(const void *page, uint64_t access, const char *name)
{
	struct world_exit left;
	uint64_t present, qualification;

	new_sampled_guest(guest_jumps_twice, true);
	use_ept();
	present = *entry_of(page);
	*entry_of(page) = 0;
	left = world_run();
	qualification = vmread(VMCS_EXIT_QUALIFICATION);
	tap_equal(left.reason, REASON_EPT, "PEBS: %s that EPT doesn't have exits", name);
	tap_check(qualification & EPT_VIOLATION_ASYNCHRONOUS && (qualification & 7) == access,
		  "PEBS: %s: asynchronous, qualification %lx", name, qualification);
	tap_equal(vmread(VMCS_GUEST_PHYSICAL_ADDRESS) / SIZE_4K, (uint64_t)page / SIZE_4K, "PEBS: %s: where", name);
	tap_equal(vmread(VMCS_GUEST_RIP), (uint64_t)sampled_exit, "PEBS: %s: behind the instruction", name);
	tap_equal(vmread(VMCS_IDT_VECTORING_INFO) & INTERRUPTION_VALID, 0, "PEBS: %s: during no event", name);
	tap_check(!records() && armed(), "PEBS: %s: no record, and it is still due", name);
	*entry_of(page) = present;
	left = world_run();
	tap_check(left.reason == REASON_CPUID && !records(), "PEBS: %s: it waits for an event", name);
	vmwrite(VMCS_GUEST_RIP, vmread(VMCS_GUEST_RIP) + CPUID_LENGTH);
	left = world_run();
	tap_check(left.reason == REASON_VMCALL && only_record_is_of(sampled_3), "PEBS: %s: and is written then", name);
}

void pebs_transitions(void)
{
	if (!ds_has_pebs())
		tap_abort("there is no PEBS");
	record_in_root();
	record_survives_the_exit();
	record_meets_no_page(buffer, VIOLATION_WRITE, "a buffer");
	record_meets_no_page(&area, VIOLATION_READ, "a DS area");
	pmu_reset();
}
