/*
 * The hypervisor's own memory is not there for the guest.
 *
 * What the hardware does: an address that no device answers reads as all ones. The hypervisor's pages,
 * EfiReservedMemoryType in the memory map, are absent from the guest's address space; an access exits, is logged, and
 * reads the same. What breaks: pages left mapped (the guest reads secrets, or writes code that runs in root mode), or
 * an exit that nobody handles. How the test tells: it reads every reserved range of the map, and then runs and writes
 * those that are all ones. Bare none of them is all ones, which shows that the test can fail; under pmuvisor one
 * range of the hypervisor's size is, but for the one page in it that is for the guest to read.
 */
#include "boot.h"
#include "cpu.h"
#include "guest_event.h"
#include "tap.h"
#include "trap.h"

const char test_title[] = "memory: the hypervisor's pages read as all ones";

#define SIZE_4K    UINT64_C(0x1000)
#define SIZE_4G    UINT64_C(0x100000000)
#define HIDDEN_MIN (64 * SIZE_4K) /* the resident image and its stacks are larger */
#define ALL_ONES   (~UINT64_C(0))

static uint64_t shown; /* the page of events; 0: there is none */

static volatile uint64_t *word_at(uint64_t address)
{
	return (volatile uint64_t *)address;
}

static bool page_is_ones(uint64_t address)
{
	return *word_at(address) == ALL_ONES && *(volatile uint8_t *)(address + 1) == UINT8_MAX &&
	       *(volatile uint32_t *)(address + 12) == UINT32_MAX && *word_at(address + SIZE_4K - 8) == ALL_ONES;
}

static bool is_hidden(uint64_t address)
{
	return address == shown || page_is_ones(address);
}

/* Where a write goes is not said, only where it does not: into the hypervisor, which must survive this. */
static void scribble(const struct boot_range *range)
{
	for (uint64_t offset = 0; offset < range->size; offset += SIZE_4K) {
		*word_at(range->base + offset) = 0;
		*(volatile uint8_t *)(range->base + offset + 8) = 0;
		*word_at(range->base + offset + SIZE_4K - 8) = 0;
	}
}

/* Narrows a reserved range to the pages that are all ones: the loader's own reserved pages may lie beside them. */
static bool narrow(struct boot_range *range)
{
	uint64_t end = range->base + range->size;

	if (range->type != BOOT_MEMORY_RESERVED || end > SIZE_4G)
		return false;
	while (range->base < end && !is_hidden(range->base))
		range->base += SIZE_4K;
	for (range->size = 0; range->base + range->size < end; range->size += SIZE_4K) {
		if (!is_hidden(range->base + range->size))
			break;
	}
	return range->size >= HIDDEN_MIN;
}

static void test_shown(void)
{
	uint64_t bits = 0;

	if (event_call(PMUVISOR_CALL_PAGE, 0, 0, &shown))
		tap_abort("it shows no page");
	for (uint64_t offset = 0; offset < SIZE_4K; offset += 8)
		bits |= *word_at(shown + offset);
	tap_equal(bits, 0, "the page to read has nothing in it");
}

static void test_range(const struct boot_range *range)
{
	struct cpuid_regs before = cpuid(PMUVISOR_CPUID_LEAF, 0), after;

	tap_check(true, "%lu bytes at %lx read as if nothing were there", range->size, range->base);
	asm volatile(GUARD("jmp *%0") : : "r"(range->base) : "r11", "memory");
	tap_check(guard_vector == FAULT_UD, "code there is all ones too: undefined");
	scribble(range);
	after = cpuid(PMUVISOR_CPUID_LEAF, 0);
	tap_check(before.eax == after.eax && before.ebx == after.ebx, "the hypervisor lives on after writes to it");
}

void test_main(void)
{
	unsigned nr_ranges = 0, nr_hidden = 0;
	struct boot_range range;

	if (boot_mode() != MODE_BARE)
		test_shown();
	for (; boot_memory(nr_ranges, &range); nr_ranges++) {
		if (!narrow(&range))
			continue;
		nr_hidden++;
		tap_figure("hidden_bytes", range.size);
		if (boot_mode() != MODE_BARE)
			test_range(&range);
	}
	tap_check(nr_ranges > 0, "the memory map has %u ranges", nr_ranges);
	tap_equal(nr_hidden, boot_mode() != MODE_BARE, "hidden ranges: none bare, one under pmuvisor");
}
