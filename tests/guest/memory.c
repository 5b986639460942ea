/*
 * The hypervisor's own memory is not there for the guest.
 *
 * What the hardware does: an address that no device answers reads as all ones and swallows writes. The hypervisor's
 * pages, EfiReservedMemoryType in the memory map, are absent from the guest's address space; an access exits, is
 * logged, and gets the same answer. What breaks: pages left mapped (the guest reads secrets, or writes code that runs in
 * root mode), or an exit that nobody handles. How the test tells: it reads and writes every reserved range of the map.
 * Bare none of them is all ones, which shows that the test can fail; under pmuvisor at least one large range is.
 */
#include "boot.h"
#include "cpu.h"
#include "tap.h"
#include "trap.h"

const char test_title[] = "memory: the hypervisor's pages read as all ones";

#define SIZE_4K    UINT64_C(0x1000)
#define SIZE_4G    UINT64_C(0x100000000)
#define HIDDEN_MIN (64 * SIZE_4K) /* the resident image and its stacks are larger */
#define ALL_ONES   (~UINT64_C(0))
#define TOUCHES    8 /* pages of a range that are tried, spread over it */

static volatile uint64_t *word_at(uint64_t address)
{
	return (volatile uint64_t *)address;
}

/* Reads and writes in sizes that an instruction decoder could get wrong. */
static unsigned touch_page(uint64_t address)
{
	unsigned wrong = *word_at(address) != ALL_ONES;

	wrong += *(volatile uint8_t *)(address + 1) != 0xff;
	*word_at(address) = 0;
	*(volatile uint8_t *)(address + 8) = 0;
	wrong += *word_at(address) != ALL_ONES || *word_at(address + 8) != ALL_ONES;
	wrong += *word_at(address + SIZE_4K - 8) != ALL_ONES;
	return wrong;
}

static unsigned touch_range(const struct boot_range *range)
{
	uint64_t step = range->size / TOUCHES & ~(SIZE_4K - 1);
	unsigned wrong = 0;

	for (unsigned i = 0; i < TOUCHES; i++)
		wrong += touch_page(range->base + i * step);
	return wrong + touch_page(range->base + range->size - SIZE_4K);
}

static bool candidate(const struct boot_range *range)
{
	return range->type == BOOT_MEMORY_RESERVED && range->size >= HIDDEN_MIN &&
	       range->base + range->size <= SIZE_4G && *word_at(range->base) == ALL_ONES;
}

/* The pages before and after belong to somebody else: firmware or nobody, but not to the hypervisor. */
static void test_range(const struct boot_range *range)
{
	uint64_t before = *word_at(range->base - 8);

	tap_note("hidden: %lx, %lu bytes", range->base, range->size);
	tap_equal(touch_range(range), 0, "every access is answered as if nothing were there");
	tap_check(*word_at(range->base - 8) == before, "the page before is as it was");
	asm volatile(GUARD("jmp *%0") : : "r"(range->base) : "r11", "memory");
	tap_check(guard_vector != NO_FAULT, "code can't be run there");
}

void test_main(void)
{
	unsigned nr_ranges = 0, nr_hidden = 0;
	struct boot_range range;

	for (unsigned n = 0; boot_memory(n, &range); n++) {
		nr_ranges++;
		if (!candidate(&range))
			continue;
		nr_hidden++;
		if (boot_mode() != MODE_BARE)
			test_range(&range);
	}
	tap_check(nr_ranges > 0, "the memory map has %u ranges", nr_ranges);
	if (boot_mode() == MODE_BARE)
		tap_equal(nr_hidden, 0, "bare, none of them reads as all ones");
	else
		tap_check(nr_hidden > 0, "%u of them are hidden", nr_hidden);
	tap_figure("hidden_ranges", nr_hidden);
}
