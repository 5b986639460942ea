#include "requirements.h"
#include "cpuid.h"
#include "msr.h"

#include "guest-api/pmuvisor.h"
#include "hv/sentence.h"

/* Beside those of cpuid.h, which are the ones the guest sees changed. */
#define CPUID_1_ECX_POPCNT     BIT(23) /* the resident image is compiled with it */
#define CPUID_1_EDX_APIC       BIT(9)
#define CPUID_1_EDX_MTRR       BIT(12)
#define CPUID_1_EDX_PAT        BIT(16)
#define CPUID_EXTENDED_EDX_NX  BIT(20)
#define CPUID_EXTENDED_EDX_1GB BIT(26)

#define PMU_VERSION_MIN 4 /* the first with IA32_PERF_GLOBAL_STATUS_SET and _INUSE */

/* Where a required bit stands. */
enum place { CPUID_1_ECX, CPUID_1_EDX, CPUID_EXTENDED_ECX, CPUID_EXTENDED_EDX, CPUID_SVM_EDX, MSR_BIT, MSR_CONTROL };

struct requirement {
	enum place place;
	uint32_t msr;
	uint64_t bit; /* for MSR_CONTROL its bit in the VMCS field */
	const char *what;
};

/* In this order: a line may rely on those above it for its MSR to exist. */
static const struct requirement in_any[] = {
	{ CPUID_1_ECX, 0, CPUID_1_ECX_POPCNT, "POPCNT instruction" },
	{ CPUID_1_EDX, 0, CPUID_1_EDX_APIC, "local APIC, or the firmware has switched it off" },
	{ CPUID_1_EDX, 0, CPUID_1_EDX_MTRR, "memory type range registers (MTRRs)" },
	{ CPUID_1_EDX, 0, CPUID_1_EDX_PAT, "page attribute table (PAT)" },
	{ CPUID_EXTENDED_EDX, 0, CPUID_EXTENDED_EDX_NX, "no-execute pages, or the firmware has switched them off" },
	{ MSR_BIT, MSR_IA32_APIC_BASE, APIC_BASE_ENABLE, "local APIC that is switched on" },
};

static const struct requirement before_vmx[] = {
	{ CPUID_1_ECX, 0, CPUID_1_ECX_VMX, "VMX" },
	{ CPUID_1_ECX, 0, CPUID_1_ECX_PDCM, "IA32_PERF_CAPABILITIES register" },
	{ MSR_BIT, MSR_IA32_PERF_CAPABILITIES, PERF_CAP_FW_WRITE, "full-width writes to performance counters" },
};

/* Bit numbers: SDM Vol. 3C, "VM-Execution Control Fields" and its neighbours for exit and entry; Vol. 3D, App. A. */
static const struct requirement within_vmx[] = {
	{ MSR_BIT, MSR_IA32_VMX_BASIC, VMX_BASIC_TRUE_CONTROLS, "VMX capability registers of the newer kind (TRUE)" },
	{ MSR_CONTROL, MSR_IA32_VMX_PINBASED_CTLS, BIT(3), "VMX exits on NMIs" },
	{ MSR_CONTROL, MSR_IA32_VMX_PINBASED_CTLS, BIT(5), "virtual NMIs in VMX" },
	{ MSR_CONTROL, MSR_IA32_VMX_PINBASED_CTLS, BIT(6), "VMX preemption timer" },
	{ MSR_CONTROL, MSR_IA32_VMX_PROCBASED_CTLS, BIT(11), "VMX exits on RDPMC" },
	{ MSR_CONTROL, MSR_IA32_VMX_PROCBASED_CTLS, BIT(22), "NMI-window exits in VMX" },
	{ MSR_CONTROL, MSR_IA32_VMX_PROCBASED_CTLS, BIT(25), "I/O bitmaps in VMX" },
	{ MSR_CONTROL, MSR_IA32_VMX_PROCBASED_CTLS, BIT(27), "monitor trap flag in VMX" },
	{ MSR_CONTROL, MSR_IA32_VMX_PROCBASED_CTLS, BIT(28), "MSR bitmaps in VMX" },
	{ MSR_CONTROL, MSR_IA32_VMX_PROCBASED_CTLS, BIT(31), "secondary controls in VMX, so no EPT" },
	{ MSR_CONTROL, MSR_IA32_VMX_PROCBASED_CTLS2, BIT(1), "extended page tables (EPT)" },
	{ MSR_CONTROL, MSR_IA32_VMX_PROCBASED_CTLS2, BIT(7), "unrestricted guests in VMX" },
	{ MSR_BIT, MSR_IA32_VMX_EPT_VPID_CAP, BIT(6), "EPT of four levels" },
	{ MSR_BIT, MSR_IA32_VMX_EPT_VPID_CAP, BIT(14), "write-back memory for EPT structures" },
	{ MSR_BIT, MSR_IA32_VMX_EPT_VPID_CAP, BIT(16), "EPT pages of 2 MiB" },
	{ MSR_BIT, MSR_IA32_VMX_EPT_VPID_CAP, BIT(17), "EPT pages of 1 GiB" },
	{ MSR_BIT, MSR_IA32_VMX_EPT_VPID_CAP, BIT(20) | BIT(25), "INVEPT instruction for one context" },
	{ MSR_CONTROL, MSR_IA32_VMX_EXIT_CTLS, BIT(9), "64-bit hosts in VMX" },
	{ MSR_CONTROL, MSR_IA32_VMX_EXIT_CTLS, BIT(12), "loading of IA32_PERF_GLOBAL_CTRL on VM exits" },
	{ MSR_CONTROL, MSR_IA32_VMX_EXIT_CTLS, BIT(18) | BIT(19), "saving and loading of IA32_PAT on VM exits" },
	{ MSR_CONTROL, MSR_IA32_VMX_EXIT_CTLS, BIT(20) | BIT(21), "saving and loading of IA32_EFER on VM exits" },
	{ MSR_CONTROL, MSR_IA32_VMX_EXIT_CTLS, BIT(22), "saving of the VMX preemption timer" },
	{ MSR_CONTROL, MSR_IA32_VMX_ENTRY_CTLS, BIT(9), "64-bit guests in VMX" },
	{ MSR_CONTROL, MSR_IA32_VMX_ENTRY_CTLS, BIT(13), "loading of IA32_PERF_GLOBAL_CTRL on VM entries" },
	{ MSR_CONTROL, MSR_IA32_VMX_ENTRY_CTLS, BIT(14), "loading of IA32_PAT on VM entries" },
	{ MSR_CONTROL, MSR_IA32_VMX_ENTRY_CTLS, BIT(15), "loading of IA32_EFER on VM entries" },
	{ MSR_BIT, MSR_IA32_VMX_MISC, BIT(5), "saving of EFER.LMA on VM exits" },
};

static const struct requirement within_svm[] = {
	{ CPUID_EXTENDED_ECX, 0, CPUID_EXTENDED_ECX_SVM, "SVM" },
	{ CPUID_EXTENDED_EDX, 0, CPUID_EXTENDED_EDX_1GB, "pages of 1 GiB" },
	{ CPUID_SVM_EDX, 0, CPUID_SVM_EDX_NESTED_PAGING, "nested paging in SVM" },
};

/*
 * The bits that may be 1 in the control field that `msr` describes: the high half, of the TRUE twin where there is
 * one.
 */
static uint64_t allowed_ones(const struct cpu_registers *cpu, uint32_t msr)
{
	if (msr >= MSR_IA32_VMX_PINBASED_CTLS && msr <= MSR_IA32_VMX_ENTRY_CTLS)
		msr += MSR_IA32_VMX_TRUE_PINBASED_CTLS - MSR_IA32_VMX_PINBASED_CTLS;
	return cpu->rdmsr(msr) >> 32;
}

static uint64_t read_place(const struct cpu_registers *cpu, const struct requirement *requirement)
{
	switch (requirement->place) {
	case CPUID_1_ECX: return cpu->cpuid(1, 0).ecx;
	case CPUID_1_EDX: return cpu->cpuid(1, 0).edx;
	case CPUID_EXTENDED_ECX: return cpu->cpuid(CPUID_EXTENDED, 0).ecx;
	case CPUID_EXTENDED_EDX: return cpu->cpuid(CPUID_EXTENDED, 0).edx;
	case CPUID_SVM_EDX: return cpu->cpuid(CPUID_SVM, 0).edx;
	case MSR_BIT: return cpu->rdmsr(requirement->msr);
	case MSR_CONTROL: return allowed_ones(cpu, requirement->msr);
	}
	return 0;
}

static bool all_met(const struct cpu_registers *cpu, const struct requirement *list, unsigned n,
		    char error[static CONFIG_ERROR_MAX])
{
	for (unsigned i = 0; i < n; i++) {
		if ((read_place(cpu, &list[i]) & list[i].bit) != list[i].bit) {
			sentence(error, CONFIG_ERROR_MAX, "this processor has no %s.", list[i].what);
			return false;
		}
	}
	return true;
}

static bool is_intel(const struct cpu_registers *cpu)
{
	struct cpuid leaf = cpu->cpuid(CPUID_VENDOR, 0);

	return leaf.ebx == CPUID_0_EBX_INTEL && leaf.edx == 0x49656e69 && leaf.ecx == 0x6c65746e;
}

bool processor_is_amd(const struct cpu_registers *cpu)
{
	struct cpuid leaf = cpu->cpuid(CPUID_VENDOR, 0);

	return (leaf.ebx == CPUID_0_EBX_AMD && leaf.edx == 0x69746e65 && leaf.ecx == 0x444d4163) ||
	       (leaf.ebx == CPUID_0_EBX_HYGON && leaf.edx == 0x6e65476e && leaf.ecx == 0x656e6975);
}

/* A locked register without the bit stays so until reset; an unlocked one is the loader's to set. */
static bool vmx_locked_off(const struct cpu_registers *cpu)
{
	uint64_t control = cpu->rdmsr(MSR_IA32_FEATURE_CONTROL);

	return (control & FEATURE_CONTROL_LOCK) && !(control & FEATURE_CONTROL_VMX);
}

/*
 * With several memory-encryption keys the upper bits of a physical address choose the key, and each page of pmuvisor's
 * has other names there, which the guest's map would not hide. "Intel Total Memory Encryption - Multi-Key":
 * TME_ACTIVATE.
 */
static bool memory_has_aliases(const struct cpu_registers *cpu)
{
	return (cpu->cpuid(CPUID_EXTENDED_FEATURES, 0).ecx & CPUID_7_ECX_TME) &&
	       (cpu->rdmsr(MSR_IA32_TME_ACTIVATE) & TME_ACTIVATE_KEYID_BITS);
}

static unsigned pmu_version(const struct cpu_registers *cpu)
{
	return cpu->cpuid(0, 0).eax < CPUID_PMU ? 0 : cpu->cpuid(CPUID_PMU, 0).eax & CPUID_PMU_EAX_VERSION;
}

static bool intel_met(const struct cpu_registers *cpu, char error[static CONFIG_ERROR_MAX])
{
	if (!all_met(cpu, before_vmx, ARRAY_SIZE(before_vmx), error))
		return false;
	if (pmu_version(cpu) < PMU_VERSION_MIN) {
		sentence(error, CONFIG_ERROR_MAX, "this processor has a PMU of version %u, and version %u is needed.",
			 pmu_version(cpu), PMU_VERSION_MIN);
		return false;
	}
	if (vmx_locked_off(cpu)) {
		sentence(error, CONFIG_ERROR_MAX,
			 "the firmware has locked VMX off: its setup may have a switch for it.");
		return false;
	}
	if (memory_has_aliases(cpu)) {
		sentence(
			error, CONFIG_ERROR_MAX,
			"the firmware has several memory-encryption keys active (MK-TME): its setup may have a switch.");
		return false;
	}
	return all_met(cpu, within_vmx, ARRAY_SIZE(within_vmx), error);
}

/*
 * With it, a bit of a physical address says "encrypted", and each page of pmuvisor's has another name. APM Vol. 2,
 * "Secure Memory Encryption".
 */
static bool memory_is_encrypted(const struct cpu_registers *cpu)
{
	return cpu->cpuid(CPUID_LARGEST_EXTENDED, 0).eax >= CPUID_MEMORY_ENCRYPTION &&
	       cpu->cpuid(CPUID_MEMORY_ENCRYPTION, 0).eax & 1 && cpu->rdmsr(MSR_AMD_SYSCFG) & SYSCFG_MEMORY_ENCRYPTION;
}

/* Under another hypervisor, which may have no PMU to give, pmuvisor runs without. */
static bool has_counters(const struct cpu_registers *cpu)
{
	return pmu_general_counters(cpu) || cpu->cpuid(CPUID_FEATURES, 0).ecx & CPUID_1_ECX_HYPERVISOR;
}

static bool amd_met(const struct cpu_registers *cpu, char error[static CONFIG_ERROR_MAX])
{
	const char *why = NULL;

	if (!all_met(cpu, within_svm, ARRAY_SIZE(within_svm), error))
		return false;
	if (cpu->rdmsr(MSR_AMD_VM_CR) & VM_CR_SVM_DISABLED)
		why = "the firmware has switched SVM off: its setup may have a switch for it.";
	else if (memory_is_encrypted(cpu))
		why = "the firmware has memory encryption (SME) active: its setup may have a switch.";
	else if (!has_counters(cpu))
		why = "this processor has no core performance counters of the extended kind.";
	if (why)
		sentence(error, CONFIG_ERROR_MAX, "%s", why);
	return !why;
}

bool requirements_met(const struct cpu_registers *cpu, char error[static CONFIG_ERROR_MAX])
{
	bool intel = is_intel(cpu);

	if (!intel && !processor_is_amd(cpu)) {
		sentence(error, CONFIG_ERROR_MAX, "this processor is made neither by Intel nor by AMD.");
		return false;
	}
	return all_met(cpu, in_any, ARRAY_SIZE(in_any), error) && (intel ? intel_met : amd_met)(cpu, error);
}

bool pmuvisor_is_running(const struct cpu_registers *cpu)
{
	if (!(cpu->cpuid(1, 0).ecx & CPUID_1_ECX_HYPERVISOR))
		return false;

	struct cpuid leaf = cpu->cpuid(PMUVISOR_CPUID_LEAF, 0);

	return leaf.ebx == PMUVISOR_CPUID_EBX && leaf.ecx == PMUVISOR_CPUID_ECX && leaf.edx == PMUVISOR_CPUID_EDX;
}

static bool has_perfmon_v2(const struct cpu_registers *cpu)
{
	return cpu->cpuid(CPUID_LARGEST_EXTENDED, 0).eax >= CPUID_PERFMON_V2 &&
	       cpu->cpuid(CPUID_PERFMON_V2, 0).eax & CPUID_PERFMON_V2_EAX;
}

/* APM Vol. 2, "Performance Monitoring Counters": without PerfMonV2 no leaf says how many there are. */
static unsigned amd_counters(const struct cpu_registers *cpu)
{
	if (has_perfmon_v2(cpu))
		return cpu->cpuid(CPUID_PERFMON_V2, 0).ebx & CPUID_PERFMON_V2_EBX_COUNTERS;
	return cpu->cpuid(CPUID_EXTENDED, 0).ecx & CPUID_EXTENDED_ECX_PERF_CORE ? CORE_COUNTERS : 0;
}

unsigned pmu_named_counters(const struct cpu_registers *cpu)
{
	return processor_is_amd(cpu) && !has_perfmon_v2(cpu) && amd_counters(cpu) ? NR_LEGACY_COUNTERS : 0;
}

/* SDM Vol. 3B, "Architectural Performance Monitoring Version 6": leaf 0AH does not know all counters there. */
unsigned pmu_general_counters(const struct cpu_registers *cpu)
{
	if (processor_is_amd(cpu))
		return amd_counters(cpu);
	if (pmu_version(cpu) >= 6)
		return (unsigned)__builtin_ctzll(
			~(uint64_t)cpu->cpuid(CPUID_PMU_EXTENDED, CPUID_PMU_EXTENDED_COUNTERS).eax);
	return (unsigned)FIELD_GET(CPUID_PMU_EAX_COUNTERS, cpu->cpuid(CPUID_PMU, 0).eax);
}

/* SDM Vol. 3B, "Architectural Performance Monitoring Version 5": in the bitmap, or below the number. */
uint32_t pmu_fixed_counters(const struct cpu_registers *cpu)
{
	struct cpuid leaf;
	uint32_t below;

	if (processor_is_amd(cpu))
		return 0;
	leaf = cpu->cpuid(CPUID_PMU, 0);
	below = (UINT32_C(1) << (leaf.edx & CPUID_PMU_EDX_FIXED)) - 1;
	if (pmu_version(cpu) >= 6)
		return cpu->cpuid(CPUID_PMU_EXTENDED, CPUID_PMU_EXTENDED_COUNTERS).ebx;
	return (pmu_version(cpu) >= 5 ? leaf.ecx : 0) | below;
}
