/* What the processor must have: a model Ice Lake passes, and a Zen; with any one thing taken away the answer names that thing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/requirements.h"

#define ALL_CONTROLS UINT64_C(0xffffffff00000000) /* nothing must be 1, everything may */

static struct cpuid leaves[16], leaf_23, extended, svm, encryption, perfmon, hypervisor;
static uint32_t largest_extended;
static uint64_t vm_cr, syscfg;
static uint64_t msrs[0xa00];

static struct cpuid fake_extended(uint32_t leaf)
{
	assert_in_range(leaf, 0x80000000, largest_extended);
	switch (leaf) {
	case 0x80000000: return (struct cpuid){ .eax = largest_extended };
	case 0x80000001: return extended;
	case 0x8000000a: return svm;
	case 0x8000001f: return encryption;
	case 0x80000022: return perfmon;
	}
	fail_msg("leaf %x is read", leaf);
	return (struct cpuid){ 0 };
}

static struct cpuid fake_cpuid(uint32_t leaf, uint32_t subleaf)
{
	if (leaf == 0x23 && subleaf == 1)
		return leaf_23;
	assert_int_equal(subleaf, 0);
	if (leaf >= 0x80000000)
		return fake_extended(leaf);
	if (leaf == 0x40000000)
		return hypervisor;
	assert_in_range(leaf, 0, leaves[0].eax);
	return leaves[leaf];
}

static uint64_t fake_rdmsr(uint32_t msr)
{
	if (msr == 0xc0010114)
		return vm_cr;
	if (msr == 0xc0010010)
		return syscfg;
	assert_in_range(msr, 0, 0x9ff);
	return msrs[msr];
}

static const struct cpu_registers cpu = { fake_cpuid, fake_rdmsr };
static char error[CONFIG_ERROR_MAX];

static int ice_lake(void **state)
{
	(void)state;
	leaves[0] = (struct cpuid){ 0x0b, 0x756e6547, 0x6c65746e, 0x49656e69 };
	leaves[1] = (struct cpuid){ .ecx = 1u << 5 | 1u << 15 | 1u << 23, .edx = 1u << 9 | 1u << 12 | 1u << 16 };
	leaves[10] = (struct cpuid){ 0x08300805, 0, 0xf, 0x8604 };
	largest_extended = 0x80000008;
	extended = (struct cpuid){ .edx = 1u << 20 };
	hypervisor = (struct cpuid){ .eax = 0 };
	memset(msrs, 0, sizeof(msrs));
	msrs[0x1b] = 0xfee00900;
	msrs[0x3a] = 5;
	msrs[0x345] = 1 << 13;
	msrs[0x480] = UINT64_C(1) << 55;
	for (unsigned i = 0x48d; i <= 0x490; i++)
		msrs[i] = ALL_CONTROLS;
	msrs[0x48b] = ALL_CONTROLS;
	msrs[0x48c] = 1 << 6 | 1 << 14 | 1 << 16 | 1 << 17 | 1 << 20 | 1 << 25;
	msrs[0x485] = 1 << 5;
	error[0] = '\0';
	return 0;
}

static void ice_lake_will_do(void **state)
{
	(void)state;
	assert_true(requirements_met(&cpu, error));
	assert_string_equal(error, "");
	assert_int_equal(pmu_general_counters(&cpu), 8);
	assert_int_equal(pmu_fixed_counters(&cpu), 0xf);
}

static void fixed_counters_by_version(void **state)
{
	(void)state;
	leaves[10] = (struct cpuid){ 0x07300404, 0, 0xdead, 0x603 };
	assert_int_equal(pmu_fixed_counters(&cpu), 0x7);
	leaves[10] = (struct cpuid){ 0x07300405, 0, 0x21, 0x603 };
	assert_int_equal(pmu_fixed_counters(&cpu), 0x27);
}

/* A processor of several kinds of cores: leaf 0AH has what all have, leaf 23H what this one has. */
static void counters_of_version_6(void **state)
{
	(void)state;
	leaves[10] = (struct cpuid){ 0x0d300806, 0x280, 0x7, 0x8603 };
	leaf_23 = (struct cpuid){ 0x3ff, 0xf, 0, 0 };
	assert_true(requirements_met(&cpu, error));
	assert_int_equal(pmu_general_counters(&cpu), 10);
	assert_int_equal(pmu_fixed_counters(&cpu), 0xf);
	leaf_23 = (struct cpuid){ 0xff, 0x77, 0, 0 };
	assert_int_equal(pmu_general_counters(&cpu), 8);
	assert_int_equal(pmu_named_counters(&cpu), 0);
	assert_int_equal(pmu_fixed_counters(&cpu), 0x77);
}

static void missing(uint32_t *word, unsigned bit, const char *expected)
{
	*word ^= UINT32_C(1) << bit;
	assert_false(requirements_met(&cpu, error));
	assert_non_null(strstr(error, expected));
	*word ^= UINT32_C(1) << bit;
}

static void each_feature_is_missed(void **state)
{
	(void)state;
	missing(&leaves[0].ebx, 0, "neither by Intel nor by AMD");
	missing(&leaves[1].ecx, 5, "this processor has no VMX.");
	missing(&leaves[1].ecx, 23, "POPCNT");
	missing(&leaves[1].ecx, 15, "IA32_PERF_CAPABILITIES");
	missing(&leaves[1].edx, 9, "local APIC");
	missing(&leaves[1].edx, 12, "MTRR");
	missing(&leaves[1].edx, 16, "PAT");
	missing(&extended.edx, 20, "no-execute");
	leaves[10].eax = 0x08300803;
	assert_false(requirements_met(&cpu, error));
	assert_string_equal(error, "this processor has a PMU of version 3, and version 4 is needed.");
	leaves[0].eax = 9;
	assert_false(requirements_met(&cpu, error));
	assert_string_equal(error, "this processor has a PMU of version 0, and version 4 is needed.");
}

static const struct {
	uint32_t msr;
	unsigned bit;
	const char *expected;
} msr_bits[] = {
	{ 0x01b, 11, "local APIC that is switched on" },
	{ 0x345, 13, "full-width writes" },
	{ 0x485, 5, "EFER.LMA" },
	{ 0x48b, 32 + 1, "(EPT)" },
	{ 0x48b, 32 + 7, "unrestricted guests" },
	{ 0x48c, 6, "four levels" },
	{ 0x48c, 14, "write-back" },
	{ 0x48c, 16, "2 MiB" },
	{ 0x48c, 17, "1 GiB" },
	{ 0x48c, 20, "INVEPT" },
	{ 0x48c, 25, "INVEPT" },
	{ 0x480, 55, "TRUE" },
	{ 0x48d, 32 + 3, "exits on NMIs" },
	{ 0x48d, 32 + 5, "virtual NMIs" },
	{ 0x48d, 32 + 6, "preemption timer" },
	{ 0x48e, 32 + 11, "RDPMC" },
	{ 0x48e, 32 + 22, "NMI-window" },
	{ 0x48e, 32 + 25, "I/O bitmaps" },
	{ 0x48e, 32 + 27, "monitor trap flag" },
	{ 0x48e, 32 + 28, "MSR bitmaps" },
	{ 0x48e, 32 + 31, "secondary controls" },
	{ 0x48f, 32 + 9, "64-bit hosts" },
	{ 0x48f, 32 + 12, "IA32_PERF_GLOBAL_CTRL on VM exits" },
	{ 0x48f, 32 + 18, "IA32_PAT on VM exits" },
	{ 0x48f, 32 + 19, "IA32_PAT on VM exits" },
	{ 0x48f, 32 + 20, "IA32_EFER on VM exits" },
	{ 0x48f, 32 + 21, "IA32_EFER on VM exits" },
	{ 0x48f, 32 + 22, "saving of the VMX preemption timer" },
	{ 0x490, 32 + 9, "64-bit guests" },
	{ 0x490, 32 + 13, "IA32_PERF_GLOBAL_CTRL on VM entries" },
	{ 0x490, 32 + 14, "IA32_PAT on VM entries" },
	{ 0x490, 32 + 15, "IA32_EFER on VM entries" },
};

static void each_msr_bit_is_missed(void **state)
{
	(void)state;
	for (unsigned i = 0; i < sizeof(msr_bits) / sizeof(msr_bits[0]); i++) {
		ice_lake(NULL);
		msrs[msr_bits[i].msr] &= ~(UINT64_C(1) << msr_bits[i].bit);
		assert_false(requirements_met(&cpu, error));
		assert_non_null(strstr(error, msr_bits[i].expected));
		assert_int_equal(error[strlen(error) - 1], '.');
	}
}

static void memory_has_one_name(void **state)
{
	(void)state;
	leaves[7].ecx = 1u << 13;
	msrs[0x982] = 3; /* one key for all of memory changes no address */
	assert_true(requirements_met(&cpu, error));
	msrs[0x982] = UINT64_C(6) << 32 | 3;
	assert_false(requirements_met(&cpu, error));
	assert_non_null(strstr(error, "MK-TME"));
	leaves[7].ecx = 0; /* the register doesn't exist */
	assert_true(requirements_met(&cpu, error));
}

static void vmx_lock(void **state)
{
	(void)state;
	msrs[0x3a] = 0; /* bare firmware leaves it open: the loader sets it */
	assert_true(requirements_met(&cpu, error));
	msrs[0x3a] = 4;
	assert_true(requirements_met(&cpu, error));
	msrs[0x3a] = 3; /* locked, and on inside SMX alone */
	assert_false(requirements_met(&cpu, error));
	assert_string_equal(error, "the firmware has locked VMX off: its setup may have a switch for it.");
}

static void pmuvisor_is_recognized(void **state)
{
	(void)state;
	hypervisor = (struct cpuid){ 0x40000001, 0, 0, 0 };
	memcpy(&hypervisor.ebx, "pmuv", 4);
	memcpy(&hypervisor.ecx, "isor", 4);
	assert_false(pmuvisor_is_running(&cpu)); /* the leaf means nothing without the hypervisor bit */
	leaves[1].ecx |= 1u << 31;
	assert_true(pmuvisor_is_running(&cpu));
	memcpy(&hypervisor.ebx, "KVMK", 4);
	assert_false(pmuvisor_is_running(&cpu));
}

/* With what a Zen 4 has; its MSRs are those above and the APIC's base. */
static int zen(void **state)
{
	ice_lake(state);
	leaves[0] = (struct cpuid){ 0x10, 0x68747541, 0x444d4163, 0x69746e65 };
	largest_extended = 0x80000022;
	extended = (struct cpuid){ .ecx = 1u << 2 | 1u << 23, .edx = 1u << 20 | 1u << 26 };
	svm = (struct cpuid){ .edx = 1 };
	encryption = (struct cpuid){ .eax = 0 };
	perfmon = (struct cpuid){ .eax = 1, .ebx = 6 };
	vm_cr = syscfg = 0;
	memset(msrs, 0, sizeof(msrs));
	msrs[0x1b] = 0xfee00900;
	return 0;
}

static void zen_will_do(void **state)
{
	(void)state;
	assert_true(requirements_met(&cpu, error));
	assert_string_equal(error, "");
	assert_int_equal(pmu_general_counters(&cpu), 6);
	assert_int_equal(pmu_named_counters(&cpu), 0);
	assert_int_equal(pmu_fixed_counters(&cpu), 0);
	perfmon.ebx = 0x10f5; /* beside other numbers */
	assert_int_equal(pmu_general_counters(&cpu), 5);
	largest_extended = 0x80000021;
	assert_int_equal(pmu_general_counters(&cpu), 6);
	assert_int_equal(pmu_named_counters(&cpu), 4); /* of Zen 3 software knows them without a leaf */
	assert_true(processor_is_amd(&cpu));
	memcpy(&leaves[0].ebx, "Hygo", 4);
	memcpy(&leaves[0].edx, "nGen", 4);
	memcpy(&leaves[0].ecx, "uine", 4);
	assert_true(requirements_met(&cpu, error));
	assert_true(processor_is_amd(&cpu));
}

static void each_feature_of_zen_is_missed(void **state)
{
	(void)state;
	missing(&leaves[0].ecx, 0, "neither by Intel nor by AMD");
	missing(&leaves[1].ecx, 23, "POPCNT");
	missing(&leaves[1].edx, 12, "MTRR");
	missing(&extended.edx, 20, "no-execute");
	missing(&extended.ecx, 2, "this processor has no SVM.");
	missing(&extended.edx, 26, "pages of 1 GiB");
	missing(&svm.edx, 0, "nested paging");
	vm_cr = 1 << 4;
	assert_false(requirements_met(&cpu, error));
	assert_non_null(strstr(error, "switched SVM off"));
}

static void encrypted_memory_has_other_names(void **state)
{
	(void)state;
	syscfg = 1 << 23;
	assert_true(requirements_met(&cpu, error)); /* the bit means nothing where there is no encryption */
	encryption.eax = 1;
	assert_false(requirements_met(&cpu, error));
	assert_non_null(strstr(error, "(SME)"));
	syscfg = 0;
	assert_true(requirements_met(&cpu, error));
}

/* A hypervisor may have none to give; a processor always has. */
static void without_counters(void **state)
{
	(void)state;
	extended.ecx &= ~(1u << 23);
	perfmon.eax = 0;
	assert_int_equal(pmu_general_counters(&cpu), 0);
	assert_int_equal(pmu_named_counters(&cpu), 0);
	assert_false(requirements_met(&cpu, error));
	assert_non_null(strstr(error, "counters"));
	leaves[1].ecx |= 1u << 31;
	assert_true(requirements_met(&cpu, error));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(ice_lake_will_do, ice_lake),
		cmocka_unit_test_setup(fixed_counters_by_version, ice_lake),
		cmocka_unit_test_setup(counters_of_version_6, ice_lake),
		cmocka_unit_test_setup(each_feature_is_missed, ice_lake),
		cmocka_unit_test_setup(each_msr_bit_is_missed, ice_lake),
		cmocka_unit_test_setup(memory_has_one_name, ice_lake),
		cmocka_unit_test_setup(vmx_lock, ice_lake),
		cmocka_unit_test_setup(pmuvisor_is_recognized, ice_lake),
		cmocka_unit_test_setup(zen_will_do, zen),
		cmocka_unit_test_setup(each_feature_of_zen_is_missed, zen),
		cmocka_unit_test_setup(encrypted_memory_has_other_names, zen),
		cmocka_unit_test_setup(without_counters, zen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
