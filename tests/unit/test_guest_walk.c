/* Where page tables lead, made by hand in a few pages of memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/guest.h"
#include "arch/x86/guest_walk.h"
#include "arch/x86/paging.h"
#include "arch/x86/reg.h"

#define TABLES       6
#define REGION       UINT64_C(0x10000000)
#define REGION_SIZE  UINT64_C(0x200000)
#define LINEAR       UINT64_C(0xffff800012345f80)
#define PTE_RW       (PTE_PRESENT | PTE_WRITABLE)
#define PHYSICAL_MAX BIT(36)
#define CR4_LA57     BIT(12)
#define EFER_LMA     BIT(10)

static struct cpu cpu;
static struct boot_info boot;
static uint64_t tables[TABLES][512]; /* at physical address PAGE_SIZE times their number */
static uint64_t cr0, cr3, cr4, efer;
static unsigned reads;

uint64_t reg_read_physical(const struct hv_window *aperture, uint64_t pa)
{
	assert_memory_equal(aperture, &cpu.aperture, sizeof(*aperture));
	assert_in_range(pa, 0, sizeof(tables) - 8);
	assert_int_equal(pa % 8, 0);
	reads++;
	return tables[pa / PAGE_SIZE][pa % PAGE_SIZE / 8];
}

static uint64_t read_guest(struct cpu *owner, enum guest_register reg)
{
	assert_ptr_equal(owner, &cpu);
	switch (reg) {
	case GUEST_CR0: return cr0;
	case GUEST_CR3: return cr3;
	case GUEST_CR4: return cr4;
	case GUEST_EFER: return efer;
	case GUEST_CPL:
	case GUEST_RIP:
	case GUEST_DEBUGCTL:
	case GUEST_FREEZE: break;
	}
	fail();
	return 0;
}

static const struct hv_ops ops = { .read = read_guest };

static uint64_t *entry(unsigned table, unsigned level)
{
	return &tables[table][LINEAR >> (12 + 9 * (level - 1)) & 0x1ff];
}

/* Tables 1 to 4 map LINEAR's page and the next one; 5 is the PML5. */
static int setup(void **state)
{
	(void)state;
	memset(tables, 0, sizeof(tables));
	cpu = (struct cpu){ .ops = &ops, .boot = &boot, .address_mask = PHYSICAL_MAX - 1 };
	boot = (struct boot_info){ .region_pa = REGION, .region_size = REGION_SIZE };
	cr0 = CR0_PE | CR0_PG | CR0_WP;
	cr3 = 4 * PAGE_SIZE | 0xfff; /* a PCID is no address */
	cr4 = CR4_PAE;
	efer = EFER_LMA;
	for (unsigned level = 4; level > 1; level--)
		*entry(level, level) = (level - 1) * PAGE_SIZE | PTE_RW;
	entry(1, 1)[0] = 0x5000000 | PTE_RW;
	entry(1, 1)[1] = 0x7000000 | PTE_RW | PTE_NX;
	reads = 0;
	return 0;
}

static void leads_to(enum guest_memory expected)
{
	assert_int_equal(guest_memory_at(&cpu, LINEAR, 0xa0), expected);
}

static void mapped(void **state)
{
	(void)state;
	leads_to(MEMORY_WRITABLE);
	assert_int_equal(reads, 8);
	entry(1, 1)[1] = 0;
	assert_int_equal(guest_memory_at(&cpu, LINEAR, 0x80), MEMORY_WRITABLE); /* up to the page's end */
	leads_to(MEMORY_UNMAPPED);
}

static void no_level_may_lack_it(void **state)
{
	(void)state;
	for (unsigned level = 1; level <= 4; level++) {
		*entry(level, level) &= ~PTE_PRESENT;
		leads_to(MEMORY_UNMAPPED);
		*entry(level, level) |= PTE_PRESENT;
		*entry(level, level) &= ~PTE_WRITABLE;
		leads_to(MEMORY_UNMAPPED);
		cr0 &= ~CR0_WP;
		leads_to(MEMORY_WRITABLE);
		cr0 |= CR0_WP;
		*entry(level, level) |= PTE_WRITABLE | PHYSICAL_MAX;
		leads_to(MEMORY_UNMAPPED);
		*entry(level, level) &= ~PHYSICAL_MAX;
	}
	leads_to(MEMORY_WRITABLE);
}

static void in_the_region(void **state)
{
	(void)state;
	entry(1, 1)[1] = (REGION + REGION_SIZE - PAGE_SIZE) | PTE_RW;
	leads_to(MEMORY_HIDDEN);
	entry(1, 1)[1] = (REGION + REGION_SIZE) | PTE_RW;
	leads_to(MEMORY_WRITABLE);
	*entry(2, 2) = REGION | PTE_RW; /* a table there is not even read */
	leads_to(MEMORY_HIDDEN);
	cr3 = REGION;
	leads_to(MEMORY_HIDDEN);
}

static void large_pages(void **state)
{
	(void)state;
	*entry(2, 2) = (REGION - 0x200000) | PTE_LARGE | PTE_RW | BIT(12); /* bit 12 is a memory type */
	leads_to(MEMORY_WRITABLE);
	*entry(2, 2) = REGION | PTE_LARGE | PTE_RW;
	leads_to(MEMORY_HIDDEN);
	*entry(3, 3) = PTE_LARGE | PTE_RW; /* 12345f80h in the first GiB */
	leads_to(MEMORY_WRITABLE);
	boot.region_pa = 0x12345000;
	boot.region_size = PAGE_SIZE;
	leads_to(MEMORY_HIDDEN);
	*entry(4, 4) |= PTE_LARGE; /* reserved there, and not taken for a page */
	leads_to(MEMORY_HIDDEN);
}

static void five_levels(void **state)
{
	(void)state;
	cr4 |= CR4_LA57;
	cr3 = 5 * PAGE_SIZE;
	leads_to(MEMORY_UNMAPPED);
	*entry(5, 5) = 4 * PAGE_SIZE | PTE_RW;
	leads_to(MEMORY_WRITABLE);
	assert_int_equal(guest_memory_at(&cpu, BIT(56), 8), MEMORY_UNMAPPED); /* not canonical */
}

static void addresses_that_are_none(void **state)
{
	(void)state;
	assert_int_equal(guest_memory_at(&cpu, LINEAR & BITS(47, 0), 8), MEMORY_UNMAPPED);
	assert_int_equal(guest_memory_at(&cpu, BIT(47) - 8, 8), MEMORY_UNMAPPED);
	assert_int_equal(guest_memory_at(&cpu, UINT64_MAX - 7, 0xa0), MEMORY_UNMAPPED);
}

static void without_paging(void **state)
{
	(void)state;
	cr0 &= ~CR0_PG;
	efer = 0;
	leads_to(MEMORY_WRITABLE);
	assert_int_equal(guest_memory_at(&cpu, REGION - 8, 0xa0), MEMORY_HIDDEN);
	assert_int_equal(guest_memory_at(&cpu, REGION - 8, 8), MEMORY_WRITABLE);
	assert_int_equal(reads, 0);
	cr0 |= CR0_PG;
	efer = 0;
	leads_to(MEMORY_UNKNOWN);
	assert_int_equal(reads, 0);
}

/* Memory that may only be read is as good; the guest is at the byte, so nothing about it can be missing but paging. */
static void bytes(void **state)
{
	(void)state;
	entry(1, 1)[0] = 5 * PAGE_SIZE | PTE_PRESENT;
	tables[5][0xf80 / 8] = UINT64_C(0x8877665544332211);
	assert_int_equal(guest_byte_at(&cpu, LINEAR + 6), 0x77);
	assert_int_equal(reads, 5);
	entry(1, 1)[0] = REGION | PTE_PRESENT;
	assert_int_equal(guest_byte_at(&cpu, LINEAR), -1);
	entry(1, 1)[0] = 0;
	assert_int_equal(guest_byte_at(&cpu, LINEAR), -1);
	efer = 0;
	assert_int_equal(guest_byte_at(&cpu, LINEAR), -1);
	cr0 &= ~CR0_PG;
	assert_int_equal(guest_byte_at(&cpu, 5 * PAGE_SIZE + 0xf87), 0x88);
	assert_int_equal(guest_byte_at(&cpu, REGION), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(mapped, setup),         cmocka_unit_test_setup(no_level_may_lack_it, setup),
		cmocka_unit_test_setup(in_the_region, setup),  cmocka_unit_test_setup(large_pages, setup),
		cmocka_unit_test_setup(five_levels, setup),    cmocka_unit_test_setup(addresses_that_are_none, setup),
		cmocka_unit_test_setup(without_paging, setup), cmocka_unit_test_setup(bytes, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
