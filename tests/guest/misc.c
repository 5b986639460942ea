/*
 * What a hypervisor must complete beside the PMU: XSETBV, control registers, time, and the port it keeps for itself.
 *
 * What the hardware does: XSETBV and MOV to CR0 or CR4 take #GP for values the manual forbids, and only for those; the
 * time-stamp counter never goes back. What breaks: an intercept that lets a bad value through (the hypervisor then
 * faults in root mode) or refuses a good one. How the test tells: both kinds of value; and under pmuvisor its serial
 * port reads as if no device were there.
 */
#include "boot.h"
#include "cpu.h"
#include "tap.h"
#include "trap.h"

const char test_title[] = "misc: XSETBV, control registers, time, ports";

#define XCR0_X87        BIT(0)
#define XCR0_SSE        BIT(1)
#define XCR0_AVX        BIT(2)
#define CPUID_1_ECX_AVX BIT(28)
#define CR0_MP          BIT(1)
#define CR0_TS          BIT(3)
#define CR0_NW          BIT(29)
#define CR0_CD          BIT(30)
#define CR4_TSD         BIT(2)
#define CR4_PAE         BIT(5)
#define CR4_PCIDE       BIT(17)
#define LINE_STATUS     5
#define LINE_IDLE       0x60
#define HOST_SERIAL     0x2f8

static uint64_t xgetbv(uint32_t index)
{
	uint32_t low, high;

	asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(index));
	return (uint64_t)high << 32 | low;
}

static void test_xsetbv(void)
{
	uint64_t before;

	write_cr4(read_cr4() & ~CR4_OSXSAVE);
	tap_check(xsetbv_guarded(0, XCR0_X87) == FAULT_UD, "XSETBV is undefined without CR4.OSXSAVE");
	write_cr4(read_cr4() | CR4_OSXSAVE);
	before = xgetbv(0);
	tap_check(xsetbv_guarded(0, XCR0_X87 | XCR0_SSE) == NO_FAULT, "XCR0 takes x87 and SSE");
	tap_equal(xgetbv(0), XCR0_X87 | XCR0_SSE, "and shows them");
	tap_check(xsetbv_guarded(0, 0) == FAULT_GP, "XCR0 without x87 faults");
	tap_check(xsetbv_guarded(0, XCR0_X87 | XCR0_AVX) == FAULT_GP, "AVX without SSE faults");
	tap_check(xsetbv_guarded(0, XCR0_X87 | BIT(62)) == FAULT_GP, "a reserved bit faults");
	tap_check(xsetbv_guarded(1, XCR0_X87) == FAULT_GP, "XCR1 faults");
	tap_equal(xgetbv(0), XCR0_X87 | XCR0_SSE, "none of them changed XCR0");
	if (cpuid(1, 0).ecx & CPUID_1_ECX_AVX)
		tap_check(xsetbv_guarded(0, XCR0_X87 | XCR0_SSE | XCR0_AVX) == NO_FAULT, "AVX can be turned on");
	tap_check(xsetbv_guarded(0, before) == NO_FAULT, "and XCR0 be put back");
}

static int ring3_vector;

static void xsetbv_in_ring3(void)
{
	ring3_vector = xsetbv_guarded(0, XCR0_X87);
	asm volatile(USER_EXIT);
}

static void test_control_registers(void)
{
	uint64_t cr0 = read_cr0(), cr4 = read_cr4();

	tap_check(write_cr0_guarded(cr0 & ~CR0_PE) == FAULT_GP, "paging without protection faults");
	tap_check(write_cr0_guarded((cr0 & ~CR0_CD) | CR0_NW) == FAULT_GP, "NW without CD faults");
	tap_check(write_cr0_guarded(cr0 | BIT(32)) == FAULT_GP, "the high half of CR0 is reserved");
	tap_check(write_cr0_guarded(cr0 ^ CR0_WP) == NO_FAULT && read_cr0() == (cr0 ^ CR0_WP), "CR0.WP can be changed");
	tap_check(write_cr0_guarded(cr0 & ~CR0_NE) == NO_FAULT && read_cr0() == (cr0 & ~CR0_NE), "so can CR0.NE");
	tap_check(write_cr0_guarded(cr0 ^ CR0_TS) == NO_FAULT && read_cr0() == (cr0 ^ CR0_TS), "and CR0.TS");
	tap_check(write_cr0_guarded(cr0) == NO_FAULT && read_cr0() == cr0, "CR0 is as it was");
	tap_check(write_cr4_guarded(cr4 & ~CR4_PAE) == FAULT_GP, "64-bit mode without CR4.PAE faults");
	tap_check(write_cr4_guarded(cr4 | BIT(31)) == FAULT_GP, "a reserved bit of CR4 faults");
	tap_check(write_cr4_guarded(cr4 ^ CR4_PCE) == NO_FAULT && read_cr4() == (cr4 ^ CR4_PCE),
		  "CR4.PCE can be changed");
	tap_check(write_cr4_guarded(cr4) == NO_FAULT && read_cr4() == cr4, "CR4 is as it was");
	user_run(xsetbv_in_ring3);
	tap_check(ring3_vector == FAULT_GP, "XSETBV in ring 3 faults");
}

static void test_time(void)
{
	uint64_t last = rdtsc();
	unsigned backwards = 0;

	for (unsigned i = 0; i < 1000; i++) {
		uint64_t now;

		if (i % 10 == 0)
			cpuid(0, 0);
		now = rdtsc();
		backwards += now <= last;
		last = now;
	}
	tap_equal(backwards, 0, "time only goes forward");
}

/* Caches may hold writes that INVD throws away, so only WBINVD is tried on memory that matters. */
static void test_cache(void)
{
	static volatile uint64_t word;

	word = 42;
	asm volatile("wbinvd" : : : "memory");
	tap_equal(word, 42, "WBINVD keeps what was written");
}

/* Its line status says idle instead of nothing: whoever polls the port must not wait for ever. */
static void test_port(void)
{
	unsigned wrong = 0;

	for (uint16_t i = 0; i < 8; i++) {
		out8(HOST_SERIAL + i, 0);
		wrong += in8(HOST_SERIAL + i) != (i == LINE_STATUS ? LINE_IDLE : 0xff);
	}
	tap_equal(wrong, 0, "the hypervisor's serial port is not there");
}

void test_main(void)
{
	test_xsetbv();
	test_control_registers();
	test_time();
	test_cache();
	if (boot_mode() != MODE_BARE)
		test_port();
}
