/* The processor in root mode: each register access of pmuvisor's is an instruction of its own. */
#include <inttypes.h>
#include <string.h>

#include "arch/x86/apic.h"
#include "arch/x86/cpuid.h"
#include "arch/x86/reg.h"
#include "arch/x86/vmcs.h"
#include "difference.h"
#include "hardware_private.h"

#define ROOT_HANDLER UINT64_C(0x7f008000)
/* A whole period of the slowest clock an event counts, so that root mode leaves its phase alone. */
#define ROOT_TICKS    32
#define PHYSICAL_BITS 46

/* An NMI in root mode does what trap.c does with it: leaves a note. */
void root_boundary(void)
{
	if (!hw.guest.nmi_latched || hw.root_nmi_blocked || hw.entering)
		return;
	hw.guest.nmi_latched = false;
	if (hw.cpu.nmi.in_root < UINT8_MAX)
		hw.cpu.nmi.in_root++;
	hw.cpu.nmi.root_rip = ROOT_RIP;
	pmu_model_event(hw.guest.model, (struct pmu_model_transfer){ ROOT_RIP, ROOT_HANDLER, 0, 0 });
	truth_interrupted(&hw.truth, &hw.guest, &hw.cpu.pmu, TRUTH_ROOT);
}

void root_retire(void)
{
	if (hw.quiet)
		return;
	truth_retired(&hw.truth, &hw.guest, &hw.cpu.pmu, TRUTH_ROOT, 0, false);
	processor_retire(&hw.guest, 0, ROOT_TICKS);
	hardware_note_pmi();
	root_boundary();
}

static void root_branch(void)
{
	pmu_model_branch(hw.guest.model, PMU_MODEL_JMP, true, (struct pmu_model_transfer){ ROOT_RIP, ROOT_RIP, 0, 0 });
	truth_retired(&hw.truth, &hw.guest, &hw.cpu.pmu, TRUTH_ROOT, 0, true);
	processor_retire(&hw.guest, 0, ROOT_TICKS);
	hardware_note_pmi();
	root_boundary();
}

void root_instructions(void)
{
	for (unsigned i = 0; i < hw.step->root; i++) {
		if (i % 4 == 3)
			root_branch();
		else
			root_retire();
	}
}

/* Of VMX and XSAVES, what the PMU code asks for. */
static bool read_other(uint32_t msr, uint64_t *value)
{
	switch (msr) {
	case MSR_IA32_VMX_TRUE_ENTRY_CTLS: *value = (uint64_t)ENTRY_LOAD_LBR_CTL << 32; return true;
	case MSR_IA32_VMX_TRUE_EXIT_CTLS: *value = (uint64_t)EXIT_CLEAR_LBR_CTL << 32; return true;
	case MSR_IA32_XSS: *value = hw.xss; return true;
	}
	return false;
}

static bool write_other(uint32_t msr, uint64_t value)
{
	if (msr == MSR_IA32_XSS)
		hw.xss = value;
	return msr == MSR_IA32_XSS;
}

bool reg_rdmsr_safe(uint32_t msr, uint64_t *value)
{
	bool done = processor_rdmsr(&hw.guest, msr, value) || read_other(msr, value);

	if (done)
		root_retire();
	return done;
}

bool reg_wrmsr_safe(uint32_t msr, uint64_t value)
{
	bool done = processor_wrmsr(&hw.guest, msr, value) || write_other(msr, value);

	if (done)
		root_retire();
	return done;
}

uint64_t reg_rdmsr(uint32_t msr)
{
	uint64_t value;

	if (!reg_rdmsr_safe(msr, &value))
		difference("pmuvisor's RDMSR %#" PRIx32 " takes #GP", msr);
	return value;
}

void reg_wrmsr(uint32_t msr, uint64_t value)
{
	if (!reg_wrmsr_safe(msr, value))
		difference("pmuvisor's WRMSR %#" PRIx32 " of %#" PRIx64 " takes #GP", msr, value);
}

bool reg_xsetbv_safe(uint32_t xcr, uint64_t value)
{
	difference("XSETBV %" PRIu32 " of %#" PRIx64 ": no guest of this test asks for it", xcr, value);
}

uint64_t reg_rdpmc(uint32_t counter)
{
	uint64_t value;

	if (pmu_model_rdpmc(hw.guest.model, counter, &value) != PMU_MODEL_DONE)
		difference("pmuvisor's RDPMC %#" PRIx32 " takes #GP", counter);
	root_retire();
	return value;
}

uint64_t reg_rdtsc(void)
{
	root_retire();
	return hw.guest.clock;
}

void reg_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t regs[4])
{
	regs[0] = regs[1] = regs[2] = regs[3] = 0;
	if (leaf == CPUID_SVM)
		regs[3] = CPUID_SVM_EDX_LBR;
	pmu_model_cpuid(hw.guest.model, leaf, subleaf, regs);
	if (leaf == CPUID_ADDRESS_SIZES)
		regs[0] = PHYSICAL_BITS;
	if (leaf == CPUID_XSAVE && subleaf == 1) {
		regs[0] |= CPUID_XSAVE_1_EAX_XSAVES;
		regs[2] |= XSTATE_LBR;
	}
	root_retire();
}

/* Component 15 alone, behind the legacy region and the header: SDM Vol. 1, "XSAVE Area". */
#define XSAVE_HEADER      512
#define XSAVE_EXTENDED    576
#define XCOMP_BV          (BIT(63) | XSTATE_LBR)
#define HEADER_WORD(area) ((uint64_t *)((uint8_t *)(area) + XSAVE_HEADER))

void reg_xsaves(void *area, uint64_t components)
{
	bool in_use = hw.xss & components && pmu_model_lbr_in_use(hw.guest.model);

	if (components != XSTATE_LBR)
		difference("pmuvisor's XSAVES of %#" PRIx64, components);
	HEADER_WORD(area)[0] = in_use ? XSTATE_LBR : 0;
	HEADER_WORD(area)[1] = XCOMP_BV;
	if (in_use)
		pmu_model_lbr_xsave(hw.guest.model, (uint8_t *)area + XSAVE_EXTENDED);
	root_retire();
}

void reg_xrstors(const void *area, uint64_t components)
{
	uint64_t header[2];

	memcpy(header, (const uint8_t *)area + XSAVE_HEADER, sizeof(header));
	if (components != XSTATE_LBR || header[1] != XCOMP_BV || !(hw.xss & XSTATE_LBR))
		difference("pmuvisor's XRSTORS of %#" PRIx64 " takes #GP", components);
	if (!(header[0] & XSTATE_LBR))
		pmu_model_lbr_xinit(hw.guest.model);
	else if (!pmu_model_lbr_xrstor(hw.guest.model, (const uint8_t *)area + XSAVE_EXTENDED))
		difference("pmuvisor's XRSTORS takes #GP");
	root_retire();
}

void reg_move_window(const struct hv_window *window, uint64_t pa)
{
	(void)window;
	(void)pa;
	root_retire();
}

/* No guest of this test has page tables. */
uint64_t reg_read_physical(const struct hv_window *aperture, uint64_t pa)
{
	(void)aperture;
	difference("pmuvisor reads memory at %#" PRIx64, pa);
}

uint32_t reg_read_xapic(const struct hv_window *apic, unsigned offset)
{
	bool spurious = offset == APIC_SPURIOUS;
	uint32_t value = spurious ? SPURIOUS_ENABLE : pmu_model_read_lvtpc(hw.guest.model);

	(void)apic;
	if (hw.guest.x2apic || (offset != APIC_LVTPC && !spurious))
		difference("pmuvisor reads APIC register %#x where there is none", offset);
	root_retire();
	return value;
}

void reg_write_xapic(const struct hv_window *apic, unsigned offset, uint32_t value)
{
	(void)apic;
	if (hw.guest.x2apic)
		difference("pmuvisor writes APIC register %#x in x2APIC mode", offset);
	if (offset == APIC_LVTPC)
		pmu_model_write_lvtpc(hw.guest.model, value);
	else if (offset == APIC_ICR && (value & ~LVT_VECTOR) == ICR_SELF)
		processor_interrupt(&hw.guest, value & LVT_VECTOR);
	else
		difference("pmuvisor writes %#" PRIx32 " to APIC register %#x", value, offset);
	root_retire();
}
