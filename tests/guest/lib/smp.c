#include <stddef.h>

#include "smp.h"
#include "apic.h"
#include "boot.h"
#include "cpu.h"
#include "trap.h"

#define STACK_SIZE     16384
#define PAGE_SIZE      4096
#define LOW_MEMORY     UINT64_C(0x100000)
#define TOPOLOGY_LEAF  0x0b
#define TOPOLOGY_CORES 1
#define MSR_IA32_EFER  0xc0000080
#define EFER_LMA       BIT(10)
/* In ticks of the time-stamp counter: what the manual wants between INIT and SIPI, 10 ms, at up to 5 GHz; and patience. */
#define AFTER_INIT UINT64_C(1000000)
#define AFTER_SIPI UINT64_C(2000000)
#define TASK_LIMIT UINT64_C(4000000000)

/* What ap_start.asm reads at the end of the page that it is copied to. */
struct start_page {
	uint8_t code[PAGE_SIZE - 64];
	uint32_t cr0, cr3, cr4, efer;
	uint64_t entry;
	volatile uint64_t nmis;
	uint64_t unused[4];
};
_Static_assert(sizeof(struct start_page) == PAGE_SIZE, "ap_start.asm");

extern const uint8_t ap_start[], ap_start_nmi[], ap_start_end[], ap_entry[];
/* ap_start.asm comes here on the stack of the processor's number. */
void smp_enter(unsigned number);

uint8_t smp_stacks[SMP_MAX][STACK_SIZE] __attribute__((aligned(16)));

static struct {
	void (*volatile task)(void);
	volatile bool running;
	uint64_t apic_base;
	uint32_t apic[APIC_REGISTERS]; /* by the register's offset / 16, as found */
} processors[SMP_MAX];

static bool wait_for(const volatile bool *flag, bool value, uint64_t ticks)
{
	uint64_t start = rdtsc();

	while (*flag != value && rdtsc() - start < ticks)
		asm volatile("pause");
	return *flag == value;
}

unsigned smp_processors(void)
{
	unsigned processors_there = cpuid(TOPOLOGY_LEAF, TOPOLOGY_CORES).ebx & 0xffff;

	return processors_there < SMP_MAX ? processors_there : SMP_MAX;
}

static void note_apic(unsigned number)
{
	static const uint16_t offsets[] = { APIC_TPR,        APIC_SVR,       APIC_LVT_TIMER,  APIC_LVT_THERMAL,
					    APIC_LVTPC,      APIC_ISR,       APIC_ISR + 0x10, APIC_ISR + 0x20,
					    APIC_ISR + 0x30, APIC_LVT_LINT0, APIC_LVT_LINT1,  APIC_TIMER_DIVIDE };

	processors[number].apic_base = rdmsr(MSR_IA32_APIC_BASE);
	for (unsigned i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++)
		processors[number].apic[offsets[i] / 16] = apic_read(offsets[i]);
	if (!(processors[number].apic_base & APIC_BASE_X2APIC)) /* there it follows from the ID */
		processors[number].apic[APIC_LDR / 16] = apic_read(APIC_LDR);
}

void smp_enter(unsigned number)
{
	trap_init(number);
	note_apic(number);
	apic_init_other();
	processors[number].task = NULL;
	processors[number].running = true;
	for (;;) {
		while (!processors[number].task)
			asm volatile("pause");
		processors[number].task();
		processors[number].task = NULL;
	}
}

/* A page below 1 MiB that was the firmware's to give: SIPI has eight bits for its number. */
static struct start_page *low_page(void)
{
	struct boot_range range;

	for (unsigned n = 0; boot_memory(n, &range); n++) {
		if (range.type == BOOT_MEMORY_FREE && range.base >= PAGE_SIZE && range.base + PAGE_SIZE <= LOW_MEMORY)
			return (struct start_page *)range.base;
	}
	return NULL;
}

/* Where INIT has the interrupt table: at address 0. */
static void real_mode_vector(unsigned vector, const struct start_page *page, uint32_t offset)
{
	uint64_t address = 4 * vector;

	asm volatile("movl %0, (%1)" : : "r"((uint32_t)((uint64_t)page >> 4) << 16 | offset), "r"(address) : "memory");
}

/* Returns the vector for a SIPI. */
static uint32_t prepare(void)
{
	struct start_page *page = low_page();

	for (unsigned i = 0; ap_start + i < ap_start_end; i++)
		page->code[i] = ap_start[i];
	real_mode_vector(VECTOR_NMI, page, (uint32_t)(ap_start_nmi - ap_start));
	page->nmis = 0;
	page->cr0 = (uint32_t)read_cr0();
	page->cr3 = (uint32_t)read_cr3();
	page->cr4 = (uint32_t)read_cr4();
	page->entry = (uint64_t)ap_entry;
	page->efer = (uint32_t)(rdmsr(MSR_IA32_EFER) & ~EFER_LMA);
	return (uint32_t)((uint64_t)page / PAGE_SIZE);
}

/* SDM Vol. 3A, "Typical BSP Initialization Sequence": INIT, SIPI and, where nothing comes of it, another. */
static bool start(unsigned number, uint32_t vector)
{
	static const bool never;

	processors[number].running = false;
	apic_send(number, ICR_INIT | ICR_ASSERT);
	wait_for(&never, true, AFTER_INIT);
	apic_send(number, ICR_STARTUP | ICR_ASSERT | vector);
	if (wait_for(&processors[number].running, true, AFTER_SIPI))
		return true;
	apic_send(number, ICR_STARTUP | ICR_ASSERT | vector);
	return wait_for(&processors[number].running, true, AFTER_SIPI);
}

bool smp_start(unsigned number)
{
	return start(number, prepare());
}

static uint32_t startup_vector;

void smp_init(unsigned number)
{
	startup_vector = prepare();
	processors[number].running = false;
	apic_send(number, ICR_INIT | ICR_ASSERT);
}

void smp_startup(unsigned number)
{
	apic_send(number, ICR_STARTUP | ICR_ASSERT | startup_vector);
}

void smp_forget_start(unsigned number)
{
	processors[number].running = false;
	low_page()->nmis = 0;
}

bool smp_started(unsigned number, uint64_t ticks)
{
	return wait_for(&processors[number].running, true, ticks);
}

unsigned smp_nmis_at_start(void)
{
	return (unsigned)low_page()->nmis;
}

uint32_t smp_apic_at_start(unsigned number, unsigned offset)
{
	return processors[number].apic[offset / 16];
}

bool smp_restart(unsigned number, uint64_t ticks)
{
	static const bool never;

	smp_init(number);
	wait_for(&never, true, ticks);
	smp_startup(number);
	smp_startup(number);
	return smp_started(number, AFTER_SIPI);
}

unsigned smp_start_all(void)
{
	uint32_t vector = prepare();
	unsigned nr_running = 1;

	for (unsigned number = 1; number < smp_processors(); number++)
		nr_running += start(number, vector);
	return nr_running;
}

uint64_t smp_apic_base_at_start(unsigned number)
{
	return processors[number].apic_base;
}

void smp_run(unsigned number, void (*task)(void))
{
	processors[number].task = task;
}

bool smp_busy(unsigned number)
{
	return processors[number].task;
}

bool smp_wait(unsigned number)
{
	uint64_t start_time = rdtsc();

	while (processors[number].task && rdtsc() - start_time < TASK_LIMIT)
		asm volatile("pause");
	return !processors[number].task;
}

bool smp_run_all(void (*task)(void))
{
	bool done = true;

	for (unsigned number = 1; number < smp_processors(); number++)
		smp_run(number, task);
	task();
	for (unsigned number = 1; number < smp_processors(); number++)
		done &= smp_wait(number);
	return done;
}
