/* Where the guest goes on, where only a look at its code tells: any prefixes, the few lengths, and a hostile guest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/guest_walk.h"
#include "arch/x86/msr.h"
#include "arch/x86/svm.h"

#define RIP  UINT64_C(0xffff800000001000)
#define BASE UINT64_C(0xfff0000)

static struct svm_cpu svm;
static struct cpu cpu;
static uint8_t code[32];
static uint64_t code_at;
static unsigned there; /* bytes of it that can be read */

int guest_byte_at(struct cpu *of, uint64_t linear)
{
	assert_ptr_equal(of, &cpu);
	assert_in_range(linear - code_at, 0, sizeof(code) - 1);
	return linear - code_at < there ? code[linear - code_at] : -1;
}

/* 64-bit code at RIP. */
static int setup(void **state)
{
	(void)state;
	memset(&svm, 0, sizeof(svm));
	svm.vmcb.efer = EFER_LMA;
	svm.vmcb.cs.attributes = ATTRIBUTES_L;
	svm.vmcb.cs.base = BASE; /* which 64-bit code ignores */
	svm.vmcb.rip = code_at = RIP;
	svm.vmcb.exit_code = SVM_EXIT_CPUID;
	cpu = (struct cpu){ .vendor = (struct vendor_cpu *)&svm };
	there = sizeof(code);
	return 0;
}

static void instruction(const char *bytes)
{
	memset(code, 0, sizeof(code));
	memcpy(code, bytes, strlen(bytes));
}

static void lengths(void **state)
{
	(void)state;
	instruction("\x0f\xa2");
	assert_int_equal(svm_find_next_rip(&cpu), RIP + 2);
	svm.vmcb.exit_code = SVM_EXIT_VMMCALL;
	instruction("\x0f\x01\xd9");
	assert_int_equal(svm_find_next_rip(&cpu), RIP + 3);
	svm.vmcb.exit_code = SVM_EXIT_IO; /* of which the processor tells */
	svm.vmcb.exit_info2 = RIP + 7;
	assert_int_equal(svm_find_next_rip(&cpu), RIP + 7);
}

static void prefixes(void **state)
{
	(void)state;
	instruction("\x66\xf2\x2e\x48\x0f\xa2");
	assert_int_equal(svm_find_next_rip(&cpu), RIP + 6);
	instruction("\x3e\x3e\x3e\x3e\x3e\x3e\x3e\x3e\x3e\x3e\x3e\x3e\x3e\x0f\xa2"); /* the longest there is */
	assert_int_equal(svm_find_next_rip(&cpu), RIP + 15);
}

/* Another of the guest's processors has changed the code, or the page tables, meanwhile. */
static void not_to_be_found(void **state)
{
	(void)state;
	instruction("\x3e\x0f\xa2");
	there = 1;
	assert_int_equal(svm_find_next_rip(&cpu), RIP + 2);
	there = sizeof(code);
	memset(code, 0x3e, sizeof(code));
	assert_int_equal(svm_find_next_rip(&cpu), RIP + 2);
}

static void code_of_32_bits(void **state)
{
	(void)state;
	svm.vmcb.cs.attributes = 0;
	svm.vmcb.rip = 0xfffffffd;
	code_at = BASE + svm.vmcb.rip;
	instruction("\x3e\x0f\xa2");
	assert_int_equal(svm_find_next_rip(&cpu), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(lengths, setup),
		cmocka_unit_test_setup(prefixes, setup),
		cmocka_unit_test_setup(not_to_be_found, setup),
		cmocka_unit_test_setup(code_of_32_bits, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
