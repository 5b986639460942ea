/* Fills the VMCB: intercepts, and the firmware as the guest. */
#include "cpu_area.h"
#include "guest.h"
#include "msr.h"
#include "reg.h"
#include "reset.h"
#include "svm.h"

#define ASID_GUEST 1

#define INTERCEPTS1                                                                                                    \
	(INTERCEPT_INIT | INTERCEPT_CPUID | INTERCEPT_INVD | INTERCEPT_INVLPGA | INTERCEPT_IO | INTERCEPT_MSR |        \
	 INTERCEPT_SHUTDOWN)
/* VMRUN because an entry demands it; the others are #UD to a guest whose EFER.SVME reads 0. */
#define INTERCEPTS2                                                                                                    \
	(INTERCEPT_VMRUN | INTERCEPT_VMMCALL | INTERCEPT_VMLOAD | INTERCEPT_VMSAVE | INTERCEPT_STGI | INTERCEPT_CLGI | \
	 INTERCEPT_SKINIT)

static void trap_msr(void *map, uint32_t msr, enum msr_trap trap)
{
	svm_msr_permission_set(map, msr, trap);
}

static void setup_msrs(const struct pmu *pmu, bool open, struct svm_msr_permission *map)
{
	guest_msr_traps(pmu, open, trap_msr, map);
	trap_msr(map, MSR_IA32_EFER, TRAP_BOTH);
}

/* The guest must not reach pmuvisor's UART; every other port is its own. */
static void setup_controls(struct cpu *cpu)
{
	struct svm_cpu *svm = svm_of(cpu);
	struct vmcb *vmcb = &svm->vmcb;
	unsigned port = cpu->boot->config.serial_port;

	setup_msrs(&cpu->pmu, true, &svm->msrs_open);
	setup_msrs(&cpu->pmu, false, &svm->msrs_closed);
	if (port)
		svm->io_permission[port / 8] = 0xff; /* eight ports, at a multiple of eight */
	vmcb->intercept1 = (uint32_t)INTERCEPTS1;
	vmcb->intercept2 = (uint32_t)INTERCEPTS2;
	vmcb->iopm_pa = hv_pa(svm->io_permission);
	vmcb->msrpm_pa = hv_pa(&svm->msrs_closed);
	vmcb->asid = ASID_GUEST;
	vmcb->tlb_control = TLB_FLUSH_ALL; /* also what an earlier user of SVM has left */
	vmcb->nested_ctl = NESTED_PAGING;
	vmcb->nested_cr3 = svm->space.map.pool_pa;
	vmcb->virt_ext = svm->lbr ? VIRT_LBR : 0;
}

static struct vmcb_segment flat(uint16_t selector, uint64_t base, uint16_t attributes)
{
	return (struct vmcb_segment){ selector, attributes, (uint32_t)BITS(31, 0), base };
}

/* The loader has the access rights as a VMCS holds them. */
static uint16_t attributes(uint32_t access)
{
	return (uint16_t)((access & 0xff) | (access >> 4 & 0xf00));
}

static struct vmcb_segment table(const struct table_register *table)
{
	return (struct vmcb_segment){ .limit = table->limit, .base = table->base };
}

/* UEFI runs in flat 64-bit segments (UEFI Specification, "x64 Platforms"), so their descriptors need no decoding. */
static void setup_segments(struct vmcb *vmcb, const struct handoff *handoff, const struct firmware *firmware)
{
	const uint16_t *selectors = firmware->selectors;

	vmcb->es = flat(selectors[0], 0, ATTRIBUTES_DATA);
	vmcb->cs = flat(selectors[1], 0, ATTRIBUTES_CODE_64);
	vmcb->ss = flat(selectors[2], 0, ATTRIBUTES_DATA);
	vmcb->ds = flat(selectors[3], 0, ATTRIBUTES_DATA);
	vmcb->fs = flat(selectors[4], firmware->fs_base, ATTRIBUTES_DATA);
	vmcb->gs = flat(selectors[5], firmware->gs_base, ATTRIBUTES_DATA);
	vmcb->tr = (struct vmcb_segment){ selectors[7], attributes(handoff->fw_tr_access), handoff->fw_tr_limit,
					  handoff->fw_tr_base };
	vmcb->gdtr = table(&firmware->gdt);
	vmcb->idtr = table(&firmware->idt);
}

static void setup_guest(struct vmcb *vmcb, const struct handoff *handoff, const struct firmware *firmware)
{
	setup_segments(vmcb, handoff, firmware);
	vmcb->cr0 = firmware->cr0;
	vmcb->cr3 = handoff->fw_cr3;
	vmcb->cr4 = firmware->cr4;
	vmcb->efer = firmware->efer | EFER_SVME;
	vmcb->pat = firmware->pat;
	vmcb->dr6 = DR6_RESET;
	vmcb->dr7 = DR7_RESET;
	vmcb->rsp = handoff->fw_rsp;
	vmcb->rip = handoff->fw_rip;
	vmcb->rflags = handoff->fw_rflags;
}

/* What VMLOAD takes and root mode doesn't use is as the firmware left it: it goes on with the guest. */
static void setup_loaded(struct vmcb *vmcb, const struct vmcb *host)
{
	vmcb->star = host->star;
	vmcb->lstar = host->lstar;
	vmcb->cstar = host->cstar;
	vmcb->sfmask = host->sfmask;
	vmcb->kernel_gs_base = host->kernel_gs_base;
	vmcb->sysenter_cs = host->sysenter_cs;
	vmcb->sysenter_esp = host->sysenter_esp;
	vmcb->sysenter_eip = host->sysenter_eip;
}

void svm_setup(struct cpu *cpu, const struct handoff *handoff, const struct firmware *firmware)
{
	struct svm_cpu *svm = svm_of(cpu);

	setup_controls(cpu);
	setup_guest(&svm->vmcb, handoff, firmware);
	setup_loaded(&svm->vmcb, &svm->host);
}
