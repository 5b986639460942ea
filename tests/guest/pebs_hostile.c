/*
 * PEBS records that a guest aims where none may land, or cuts off on their way.
 *
 * What the hardware does: it writes a record to whatever linear address the DS area names, through the page tables of
 * the moment, some time after the overflow. A fault is the guest's own; an overflow whose record is still to come
 * outlives a VM exit. What breaks: a record in the hypervisor's memory, one written in root mode, one that is lost in
 * an exit, an exit that repeats for ever. How the test tells: it aims DS area and buffer at the hypervisor's memory, at
 * memory that is nobody's, at pages that are not there or change, and outside the buffer; it goes on afterwards, and
 * counts the records that had to come. tests/guest/judge.py sees that none was written in root mode.
 */
#include "apic.h"
#include "boot.h"
#include "cpu.h"
#include "ds.h"
#include "guest-api/pmuvisor.h"
#include "hypervisor.h"
#include "pmu.h"
#include "tap.h"
#include "trap.h"
#include "workload.h"

const char test_title[] = "pebs_hostile: records go nowhere they may not, and none is lost";

#define SIZE_4K    UINT64_C(0x1000)
#define SIZE_4G    UINT64_C(0x100000000)
#define NOBODY     UINT64_C(0x90000000) /* between memory and devices: reads as ones */
#define ALL_ONES   (~UINT64_C(0))
#define HIDDEN_MIN (64 * SIZE_4K)
#define SOMEWHERE  UINT64_C(0x700000000000) /* a linear address that no table has */
#define VECTOR_PF  14
#define RECORDS    64
#define PERIOD     100

#define PAGE_PRESENT             BIT(0)
#define PAGE_WRITE               BIT(1)
#define PTE_INDEX(linear, level) ((linear) >> (12 + 9 * ((level)-1)) & 0x1ff)

static uint64_t tables[3][512] __attribute__((aligned(4096))); /* for SOMEWHERE: levels 3, 2, 1 */
static struct ds_area other_area __attribute__((aligned(4096)));
static unsigned page_faults;
static void (*on_page_fault)(void);

static void page_fault(struct trap_frame *frame)
{
	uint64_t address;

	asm volatile("mov %%cr2, %0" : "=r"(address));
	if ((address & ~(SIZE_4K - 1)) != SOMEWHERE)
		tap_abort("page fault at %lx, rip %lx", address, frame->rip);
	page_faults++;
	on_page_fault();
}

static uint64_t *entry_of_somewhere(void)
{
	return &tables[2][PTE_INDEX(SOMEWHERE, 1)];
}

static void map_somewhere(uint64_t physical)
{
	*entry_of_somewhere() = physical | PAGE_PRESENT | PAGE_WRITE;
	asm volatile("invlpg (%0)" : : "r"(SOMEWHERE) : "memory");
}

static void unmap_somewhere(void)
{
	*entry_of_somewhere() = 0;
	asm volatile("invlpg (%0)" : : "r"(SOMEWHERE) : "memory");
}

static void make_tables(void)
{
	uint64_t *pml4;

	asm volatile("mov %%cr3, %0" : "=r"(pml4));
	pml4[PTE_INDEX(SOMEWHERE, 4)] = (uint64_t)tables[0] | PAGE_PRESENT | PAGE_WRITE;
	tables[0][PTE_INDEX(SOMEWHERE, 3)] = (uint64_t)tables[1] | PAGE_PRESENT | PAGE_WRITE;
	tables[1][PTE_INDEX(SOMEWHERE, 2)] = (uint64_t)tables[2] | PAGE_PRESENT | PAGE_WRITE;
	trap_handle(VECTOR_PF, page_fault);
}

/* Counter 0, instructions in ring 0, a record every PERIOD; not yet on. */
static void prepare(void)
{
	pmu_reset();
	ds_init(RECORDS, sizeof(struct pebs_basic));
	ds_set_reset(0, pmu_preset(PERIOD));
	pmu_write(0, pmu_preset(PERIOD));
	wrmsr(MSR_IA32_PERFEVTSEL0, EVENT_INSTRUCTIONS | PERFEVTSEL_OS | PERFEVTSEL_EN);
	wrmsr(MSR_IA32_PEBS_ENABLE, BIT(0));
}

static void run(uint64_t rounds)
{
	wrmsr(MSR_IA32_PERF_GLOBAL_CTRL, BIT(0));
	for (uint64_t i = 0; i < rounds; i++)
		asm volatile("nop; nop; nop");
	wrmsr(MSR_IA32_PERF_GLOBAL_CTRL, 0);
	wrmsr(MSR_IA32_PEBS_ENABLE, 0);
	wrmsr(MSR_IA32_PERF_GLOBAL_STATUS_RESET, rdmsr(MSR_IA32_PERF_GLOBAL_STATUS));
}

/* After whatever went before: PEBS as it should be. */
static void still_works(const char *after)
{
	prepare();
	run(1000);
	tap_check(ds_drain() > 20, "records come again after %s", after);
}

static void aim_at(uint64_t physical, const char *whose)
{
	prepare();
	wrmsr(MSR_IA32_DS_AREA, physical);
	run(1000);
	tap_check(true, "the DS area in %s memory: harmless", whose);
	prepare();
	ds_area.pebs_base = ds_area.pebs_index = physical;
	ds_area.pebs_threshold = ds_area.pebs_maximum = physical + SIZE_4K;
	run(1000);
	tap_check(ds_area.pebs_index > physical, "a buffer in %s memory takes records", whose);
	prepare();
	wrmsr(MSR_IA32_DS_AREA, physical + SIZE_4K - 16); /* across a page boundary */
	run(1000);
	still_works(whose);
}

/* The page is the guest's when DS_AREA is written, and another's when the record comes. */
static void change_page(uint64_t physical, const char *whose)
{
	prepare();
	other_area = ds_area;
	map_somewhere((uint64_t)&other_area);
	wrmsr(MSR_IA32_DS_AREA, SOMEWHERE);
	map_somewhere(physical);
	run(1000);
	tap_equal(other_area.pebs_index, ds_area.pebs_index, "a DS area that became %s memory: no record", whose);
	unmap_somewhere();
}

static void stop_pebs(void)
{
	wrmsr(MSR_IA32_PEBS_ENABLE, 0);
}

static void give_page_back(void)
{
	map_somewhere((uint64_t)&other_area);
}

/* In ring 3: in ring 0 the fault's own handler would make the next record fall due, and fault again. */
static void run_user(void)
{
	wrmsr(MSR_IA32_PERFEVTSEL0, EVENT_INSTRUCTIONS | PERFEVTSEL_USR | PERFEVTSEL_EN);
	wrmsr(MSR_IA32_PERF_GLOBAL_CTRL, BIT(0));
	user_run(work_loop);
	run(0);
}

static void test_unmapped(void)
{
	work_rounds = 1000;
	unmap_somewhere();
	page_faults = 0;
	on_page_fault = stop_pebs;
	prepare();
	wrmsr(MSR_IA32_DS_AREA, SOMEWHERE);
	run_user();
	tap_equal(page_faults, 1, "a DS area that is not mapped is a page fault of the guest");
	page_faults = 0;
	on_page_fault = give_page_back;
	prepare();
	other_area = ds_area;
	map_somewhere((uint64_t)&other_area);
	wrmsr(MSR_IA32_DS_AREA, SOMEWHERE);
	unmap_somewhere();
	run_user();
	tap_equal(page_faults, 1, "one whose page goes and comes back faults once");
	tap_check(other_area.pebs_index > other_area.pebs_base + 20 * sizeof(struct pebs_basic),
		  "and gets its records");
	unmap_somewhere();
}

static void test_outside(uint64_t index, const char *where)
{
	prepare();
	ds_area.pebs_index = index;
	wrmsr(MSR_IA32_PERF_GLOBAL_CTRL, BIT(0));
	for (unsigned i = 0; i < PERIOD; i++)
		asm volatile("nop");
	wrmsr(MSR_IA32_PERF_GLOBAL_CTRL, 0);
	tap_equal(ds_area.pebs_index, index, "an index %s the buffer takes no record", where);
	tap_equal(rdmsr(MSR_IA32_PERF_GLOBAL_STATUS), PERF_GLOBAL_STATUS_OVF_BUF, "and is signalled");
	stop_pebs();
	still_works(where);
}

/* A counter that is not the guest's, whether the processor has it or not. */
static void test_other_counters(void)
{
	static const struct {
		uint64_t bit;
		const char *name;
	} others[] = { { BIT(62), "a reserved bit" }, { 0, "the next counter" } };

	for (unsigned i = 0; i < 2; i++) {
		uint64_t bit = others[i].bit ? others[i].bit : BIT(pmu.nr_gp);
		bool faulted;

		prepare();
		faulted = wrmsr_guarded(MSR_IA32_PEBS_ENABLE, BIT(0) | bit) == FAULT_GP;
		wrmsr_guarded(MSR_IA32_PERF_GLOBAL_STATUS_SET, bit);
		cpuid(0, 0);
		tap_equal(rdmsr(MSR_IA32_PEBS_ENABLE), BIT(0), "PEBS_ENABLE keeps nothing of %s", others[i].name);
		tap_check(faulted || boot_mode() == MODE_DIRECT, "a write of it faults, except in direct mode");
		run(1000);
		tap_check(ds_drain() > 20, "and counter 0 has its records");
	}
}

static unsigned pmis;

static void on_pmi(struct trap_frame *frame)
{
	(void)frame;
	wrmsr(MSR_IA32_PERF_GLOBAL_CTRL, 0);
	pmis += rdmsr(MSR_IA32_PERF_GLOBAL_STATUS) == PERF_GLOBAL_STATUS_OVF_BUF;
	wrmsr(MSR_IA32_PERF_GLOBAL_STATUS_RESET, PERF_GLOBAL_STATUS_OVF_BUF);
	apic_write(APIC_LVTPC, LVT_NMI);
}

static void select_event(unsigned counter, uint64_t event)
{
	if (counter >= FIXED(0))
		wrmsr(MSR_IA32_FIXED_CTR_CTRL, FIXED_CTR_CTRL(counter - FIXED(0), FIXED_OS));
	else
		wrmsr(MSR_IA32_PERFEVTSEL0 + counter, event | PERFEVTSEL_OS | PERFEVTSEL_EN);
}

/*
 * The overflow `distance` events ahead falls before, between and on CPUIDs: whatever comes first, one record comes, and
 * its PMI, as there is no second overflow.
 */
static unsigned storm(unsigned counter, uint64_t event, uint64_t distance)
{
	pmu_reset();
	ds_init(1, sizeof(struct pebs_basic));
	ds_set_reset(counter, 0);
	pmu_write(counter, pmu_preset(distance));
	select_event(counter, event);
	wrmsr(MSR_IA32_PEBS_ENABLE, BIT(counter));
	apic_write(APIC_LVTPC, LVT_NMI);
	wrmsr(MSR_IA32_PERF_GLOBAL_CTRL, BIT(counter));
	for (unsigned i = 0; i < 4; i++) {
		asm volatile("xor %%eax, %%eax; cpuid; xor %%eax, %%eax; cpuid; cpuid; cpuid; nop"
			     :
			     :
			     : "eax", "ebx", "ecx", "edx", "memory");
	}
	wrmsr(MSR_IA32_PERF_GLOBAL_CTRL, 0);
	apic_write(APIC_LVTPC, LVT_MASKED);
	stop_pebs();
	return ds_drain();
}

static void test_storm(unsigned counter, uint64_t event, uint64_t distances, const char *name)
{
	unsigned wrong = 0;

	pmis = 0;
	trap_handle(VECTOR_NMI, on_pmi);
	for (uint64_t distance = 1; distance <= distances; distance++)
		wrong += storm(counter, event, distance) != 1;
	tap_equal(wrong, 0, "%s: each overflow among exits has its one record", name);
	tap_equal(pmis, distances, "%s: and each record its PMI", name);
}

/* Pages that read as ones, in reserved memory: tests/guest/memory.c. Under pmuvisor they are its own. */
static uint64_t hidden_memory(void)
{
	struct boot_range range;

	for (unsigned n = 0; boot_memory(n, &range); n++) {
		uint64_t end = range.base + range.size;

		if (range.type != BOOT_MEMORY_RESERVED || end > SIZE_4G || range.size < HIDDEN_MIN)
			continue;
		/* Not the first pages: the records are to be the first touch of those they meet. */
		if (*(volatile uint64_t *)range.base == ALL_ONES)
			return range.base + HIDDEN_MIN / 2;
	}
	return 0;
}

void test_main(void)
{
	uint64_t hidden;

	pmu_init();
	if (!ds_has_pebs())
		tap_abort("there is no PEBS");
	make_tables();
	hidden = hidden_memory();
	tap_equal(hidden != 0, boot_mode() != MODE_BARE, "there is hidden memory under pmuvisor, and only there");
	aim_at(NOBODY, "nobody's");
	change_page(NOBODY, "nobody's");
	if (hidden) {
		aim_at(hidden, "the hypervisor's");
		change_page(hidden + 2 * SIZE_4K, "the hypervisor's");
	}
	test_unmapped();
	test_outside(0, "below");
	test_outside(ALL_ONES - 0xff, "above");
	test_other_counters();
	test_storm(0, EVENT_INSTRUCTIONS, 24, "instructions");
	test_storm(FIXED_INSTRUCTIONS, 0, 24, "fixed counter 0");
	test_storm(1, EVENT_CORE_CYCLES, 48, "core cycles, which are imprecise");
	still_works("all of this");
	if (boot_mode() != MODE_BARE)
		hypervisor_dump();
}
