/*
 * The test machine's SVM, judged bare before pmuvisor is: what VMRUN and #VMEXIT do to the PMU and the LBRs, where NMIs
 * go, and what an exit tells of the instruction.
 */
#include "apic.h"
#include "boot.h"
#include "pmu.h"
#include "tap.h"
#include "trap.h"
#include "world.h"

const char test_title[] = "machine_svm: the test machine's SVM and the PMU";

#define VECTOR_DB            1
#define FEATURE_NPT          BIT(0)
#define FEATURE_LBRV         BIT(1)
#define FEATURE_NRIPS        BIT(3)
#define FEATURE_CLEAN        BIT(5)
#define FEATURE_DECODE       BIT(7)
#define FEATURE_VNMI         BIT(25)
#define ENTRIES_COUNTED      50
#define LOOP_ROUNDS          1000
#define LOOP_INSTRUCTIONS    (1 + 2 * LOOP_ROUNDS) /* VMMCALL exits and does not retire */
#define MSR_LBR_SELECT       0xc000010e
#define MSR_DBG_EXTN_CFG     0xc000010f
#define DBG_EXTN_LBRV2EN     BIT(6)
#define MSR_SAMP_BR_FROM     0xc0010300
#define MSR_STAR             0xc0000081
#define MSR_WRITTEN          1
#define CR_WRITE             BIT(63)
#define NPF_PRESENT_IN_GUEST BIT(32)
#define CR2_OF_GUEST         UINT64_C(0x123456789000)
#define DELIVERED_NMI        0x80000202u /* EXITINTINFO: valid, type NMI, vector 2 */
#define INT_CTL_V_NMI_BITS   (INT_CTL_V_NMI | INT_CTL_V_NMI_MASK | INT_CTL_V_NMI_ENABLE)

#define GUEST(name, text)                                                                                              \
	__attribute__((naked)) static void name(void)                                                                  \
	{                                                                                                              \
		asm(text "\n\tvmmcall");                                                                               \
	}

GUEST(guest_vmmcall, "")
GUEST(guest_cpuid, "cpuid")
GUEST(guest_loop, "mov $1000, %ecx\n1:\tdec %ecx\n\tjnz 1b")
GUEST(guest_writes_star, "mov $0xc0000081, %ecx\n\twrmsr")
GUEST(guest_writes_cr3, "mov %cr3, %r9\n\tmov %r9, %cr3")
GUEST(guest_reads_counter_0, "xor %ecx, %ecx\n\trdpmc")
GUEST(guest_reads_no_counter, "mov $9, %ecx\n\trdpmc")
GUEST(guest_reads_cr2, "mov %cr2, %rax")
GUEST(guest_halts, "hlt")
GUEST(guest_undefined, "ud2")
GUEST(guest_stores, "mov $0x7fe00000, %r8d\n\tmovb $1, (%r8)")

static unsigned nr_nmis;

static bool another; /* is sent by the handler of the next */

static void on_nmi(struct trap_frame *frame __attribute__((unused)))
{
	nr_nmis++;
	if (!another)
		return;
	another = false;
	apic_self_nmi();
}

static void features_offered(void)
{
	tap_check(world_features() & FEATURE_NPT, "nested paging");
	tap_check(world_features() & FEATURE_LBRV, "LBR virtualization");
	tap_check(world_features() & FEATURE_NRIPS, "next RIP");
	tap_check(world_features() & FEATURE_CLEAN, "VMCB clean bits");
	tap_check(world_features() & FEATURE_DECODE, "decode assists");
}

static void exits_tell_of_instructions(void)
{
	world_new(guest_cpuid);
	world_intercept(INTERCEPT_CPUID);
	tap_equal(world_run(), EXIT_CPUID, "CPUID exits");
	tap_equal(vmcb_read(VMCB_NEXT_RIP) - vmcb_read(VMCB_RIP), 2, "and the next RIP is behind it");
	vmcb_write(VMCB_RIP, vmcb_read(VMCB_NEXT_RIP));
	tap_equal(world_run(), EXIT_VMMCALL, "the guest goes on there");
	world_new(guest_writes_star);
	world_intercept(INTERCEPT_MSR);
	world_intercept_msr(MSR_STAR);
	tap_equal(world_run(), EXIT_MSR, "WRMSR exits by the permission map");
	tap_equal(vmcb_read(VMCB_EXIT_INFO_1), MSR_WRITTEN, "as a write");
	world_new(guest_writes_cr3);
	vmcb_write32(VMCB_CR_WRITES & ~3u, BIT(3) << 16);
	tap_equal(world_run(), EXIT_CR3_WRITE, "MOV to CR3 exits");
	tap_equal(vmcb_read(VMCB_EXIT_INFO_1), CR_WRITE | 9, "and the exit tells of R9");
}

static unsigned nr_debug_traps;

static void on_debug(struct trap_frame *frame)
{
	(void)frame;
	nr_debug_traps++;
}

/* APM Vol. 2, "VMRUN and TF/RF Bits in EFLAGS": what the guest's trap flag began with an instruction ends at its exit. */
static void trap_flag_is_the_guests(void)
{
	nr_debug_traps = 0;
	trap_handle(VECTOR_DB, on_debug);
	world_new(guest_cpuid);
	world_intercept(INTERCEPT_CPUID);
	vmcb_write(VMCB_RFLAGS, vmcb_read(VMCB_RFLAGS) | RFLAGS_TF);
	tap_equal(world_run(), EXIT_CPUID, "with the trap flag set CPUID exits");
	tap_equal(nr_debug_traps, 0, "and traps on neither side");
}

/* What software alone would not notice for long. */
static void state_is_loaded(void)
{
	world_new(guest_reads_cr2);
	vmcb_write(VMCB_CR2, CR2_OF_GUEST);
	tap_equal(world_run(), EXIT_VMMCALL, "a guest reads CR2");
	tap_equal(vmcb_read(VMCB_RAX), CR2_OF_GUEST, "which VMRUN has loaded");
	world_new(guest_vmmcall);
	vmcb_write32(VMCB_ASID, 0);
	vmcb_write(VMCB_RAX, CR2_OF_GUEST);
	tap_equal(world_run(), EXIT_INVALID, "ASID 0 is the host's");
	tap_equal(vmcb_read(VMCB_RAX), CR2_OF_GUEST, "a VMRUN that fails leaves the guest's state as it was");
}

static void halts_and_shutdowns_exit(void)
{
	world_new(guest_halts);
	world_intercept(INTERCEPT_HLT);
	tap_equal(world_run(), EXIT_HLT, "HLT exits");
	tap_equal(vmcb_read(VMCB_NEXT_RIP) - vmcb_read(VMCB_RIP), 1, "before it has halted");
	world_new(guest_undefined);
	world_intercept(INTERCEPT_SHUTDOWN);
	vmcb_write(VMCB_IDTR, 0);
	tap_equal(world_run(), EXIT_SHUTDOWN, "so does an exception without a table");
}

/* All exceptions, that of a wrong index too, come before the intercept. */
static void rdpmc_faults_first(void)
{
	world_new(guest_reads_counter_0);
	world_intercept(INTERCEPT_RDPMC);
	tap_equal(world_run(), EXIT_RDPMC, "RDPMC of a counter exits");
	world_new(guest_reads_no_counter);
	world_intercept(INTERCEPT_RDPMC);
	vmcb_write32(VMCB_EXCEPTIONS, 1u << FAULT_GP);
	tap_equal(world_run(), EXIT_GP, "RDPMC of none faults first");
}

/* A guest of `code`, entered until it has exited by VMMCALL `times` times; counter 0 of the guest, 1 of the host. */
static void count(uint64_t event, void (*code)(void), unsigned times)
{
	pmu_reset();
	pmu_select(0, event | PERFEVTSEL_OS | PERFEVTSEL_EN | PERF_CTL_GUEST_ONLY);
	pmu_select(1, event | PERFEVTSEL_OS | PERFEVTSEL_EN | PERF_CTL_HOST_ONLY);
	for (unsigned i = 0; i < times; i++) {
		world_new(code);
		pmu_enable(BIT(0));
		world_run();
		pmu_enable(0);
	}
}

/* VMRUN is the guest's, an instruction and a branch; what exits does not retire. */
static void vmrun_counts_in_the_guest(void)
{
	count(EVENT_INSTRUCTIONS, guest_loop, 1);
	tap_equal(pmu_read(0), LOOP_INSTRUCTIONS + 1, "GuestOnly: the guest's instructions, and VMRUN");
	tap_equal(pmu_read(1), 0, "the host's counter is closed");
	count(EVENT_INSTRUCTIONS, guest_vmmcall, ENTRIES_COUNTED);
	tap_equal(pmu_read(0), ENTRIES_COUNTED, "every entry is one instruction");
	count(pmu.branches, guest_vmmcall, ENTRIES_COUNTED);
	tap_equal(pmu_read(0), ENTRIES_COUNTED, "and one branch");
	count(pmu.branches, guest_loop, 1);
	tap_equal(pmu_read(0), LOOP_ROUNDS + 1, "besides the guest's own");
}

/* #VMEXIT is an event of the host's; CLGI, STGI and what is around them are no branches but for the call and RET. */
static void exits_count_in_the_host(void)
{
	uint64_t one, many;

	count(pmu.branches, guest_vmmcall, 0);
	world_new(guest_vmmcall);
	pmu_enable(BIT(1));
	world_run();
	pmu_enable(0);
	one = pmu_read(1);
	world_new(guest_cpuid);
	world_intercept(INTERCEPT_CPUID);
	pmu_write(1, 0);
	pmu_enable(BIT(1));
	world_run();
	pmu_enable(0);
	many = pmu_read(1);
	tap_equal(one, many, "HostOnly: what the guest does between is not the host's");
	tap_check(one >= 3, "and the exit is among the host's %lu branches", one);
}

/* The overflow happens in the guest; the NMI exits, waits for STGI, and is the host's. */
static void nmi_exits_and_waits(void)
{
	pmu_reset();
	nr_nmis = 0;
	apic_write(APIC_LVTPC, LVT_NMI);
	pmu_select(0, EVENT_INSTRUCTIONS | PERFEVTSEL_OS | PERFEVTSEL_INT | PERFEVTSEL_EN | PERF_CTL_GUEST_ONLY);
	pmu_write(0, pmu_preset(100));
	world_new(guest_loop);
	world_intercept(INTERCEPT_NMI);
	pmu_enable(BIT(0));
	tap_equal(world_run(), EXIT_NMI, "a PMI exits");
	pmu_enable(0);
	tap_equal(nr_nmis, 1, "and is taken by the host after STGI");
	tap_equal(pmu_read(0), 0, "at the instruction that overflowed");
	tap_equal(world_run(), EXIT_VMMCALL, "the guest goes on");
}

static void nmi_without_intercept(void)
{
	nr_nmis = 0;
	world_new(guest_vmmcall);
	vmcb_write32(VMCB_EVENT_INJECTION, INJECT_NMI);
	tap_equal(world_run(), EXIT_VMMCALL, "an injected NMI is delivered");
	tap_equal(nr_nmis, 1, "once, by the guest's table");
}

/* An injected NMI blocks no others: what comes in its handler exits there. */
static void nmi_in_the_handler_of_an_injected_one(void)
{
	nr_nmis = 0;
	another = true;
	world_new(guest_vmmcall);
	world_intercept(INTERCEPT_NMI);
	vmcb_write32(VMCB_EVENT_INJECTION, INJECT_NMI);
	tap_equal(world_run(), EXIT_NMI, "an NMI exits from the handler of an injected one");
	tap_equal(nr_nmis, 2, "and is the host's");
	vmcb_write32(VMCB_EVENT_INJECTION, 0);
	tap_equal(world_run(), EXIT_VMMCALL, "the handler goes on");
	tap_equal(nr_nmis, 2, "and no third came");
}

static void gif_holds_nmis(void)
{
	nr_nmis = 0;
	asm volatile("clgi" : : : "memory");
	apic_self_nmi();
	tap_equal(nr_nmis, 0, "without GIF an NMI waits");
	asm volatile("stgi; nop" : : : "memory");
	tap_equal(nr_nmis, 1, "and comes with it");
}

static void run_with_v_nmi(uint32_t bits)
{
	nr_nmis = 0;
	world_new(guest_loop);
	world_intercept(INTERCEPT_NMI);
	vmcb_write32(VMCB_INT_CTL, (uint32_t)INT_CTL_V_NMI_ENABLE | bits);
}

static void virtual_nmis(void)
{
	run_with_v_nmi((uint32_t)INT_CTL_V_NMI);
	tap_equal(world_run(), EXIT_VMMCALL, "a virtual NMI does not exit");
	tap_equal(nr_nmis, 1, "and is the guest's");
	tap_equal(vmcb_read32(VMCB_INT_CTL) & INT_CTL_V_NMI_BITS, INT_CTL_V_NMI_ENABLE, "its IRET ends the blocking");
	run_with_v_nmi((uint32_t)(INT_CTL_V_NMI | INT_CTL_V_NMI_MASK));
	tap_equal(world_run(), EXIT_VMMCALL, "blocked, it waits");
	tap_equal(nr_nmis, 0, "all the time");
	tap_equal(vmcb_read32(VMCB_INT_CTL) & INT_CTL_V_NMI_BITS, INT_CTL_V_NMI_BITS, "and is kept");
	world_new(guest_vmmcall);
	vmcb_write32(VMCB_INT_CTL, (uint32_t)INT_CTL_V_NMI_ENABLE);
	tap_equal(world_run(), EXIT_INVALID, "virtual NMIs without the intercept are invalid");
}

static void clear_lbrs(void)
{
	for (unsigned i = 0; i < 32; i++)
		wrmsr(MSR_SAMP_BR_FROM + i, 0);
	wrmsr(MSR_LBR_SELECT, 0);
}

/* The guest's in the VMCB; the exit leaves its stack in the registers too, but switches the host's control again. */
static void lbr_virtualization(void)
{
	clear_lbrs();
	wrmsr(MSR_SAMP_BR_FROM, 0x1234);
	world_new(guest_loop);
	vmcb_write(VMCB_VIRT_EXT, VIRT_EXT_LBR);
	vmcb_write(VMCB_DBG_EXTN_CFG, DBG_EXTN_LBRV2EN);
	vmcb_write(VMCB_LBR_SELECT, BIT(3));
	world_run();
	tap_equal(rdmsr(MSR_DBG_EXTN_CFG), 0, "LBR virtualization: the host's enable bit is there again");
	tap_check(vmcb_read(VMCB_LBR_FROM_TO) - (uint64_t)guest_loop < 16, "the guest's newest branch is in the VMCB");
	tap_equal(rdmsr(MSR_SAMP_BR_FROM), vmcb_read(VMCB_LBR_FROM_TO), "and still in the register");
	tap_equal(vmcb_read(VMCB_LBR_FROM_TO), vmcb_read(VMCB_LBR_FROM_TO + 16 * 15), "and so are the oldest");
	tap_equal(vmcb_read(VMCB_LBR_SELECT), BIT(3), "and LBR_SELECT");
}

/* Without it they are whoever's runs. VMRUN and #VMEXIT are no records. */
static void lbrs_shared(void)
{
	clear_lbrs();
	world_new(guest_loop);
	wrmsr(MSR_DBG_EXTN_CFG, DBG_EXTN_LBRV2EN);
	world_run();
	wrmsr(MSR_DBG_EXTN_CFG, 0);
	tap_check(rdmsr(MSR_SAMP_BR_FROM + 2 * 2) - (uint64_t)guest_loop < 16,
		  "shared LBRs: the guest's branches are before the host's RETs");
	clear_lbrs();
}

#define ENTRIES      512
#define PAGE_OPEN    UINT64_C(7)
#define PAGE_LARGE   BIT(7)
#define SIZE_2M      UINT64_C(0x200000)
#define HOLE         UINT64_C(0x7fe00000) /* where guest_stores stores */
#define NPF_WRITE    BIT(1)
#define STORE_LENGTH 4

static uint64_t nested_pml4[ENTRIES] __attribute__((aligned(4096)));
static uint64_t nested_pdpt[ENTRIES] __attribute__((aligned(4096)));
static uint64_t nested_directory[4 * ENTRIES] __attribute__((aligned(4096)));

static void nested_tables(void)
{
	nested_pml4[0] = (uint64_t)nested_pdpt | PAGE_OPEN;
	for (unsigned gib = 0; gib < 4; gib++)
		nested_pdpt[gib] = (uint64_t)&nested_directory[gib * ENTRIES] | PAGE_OPEN;
	for (unsigned i = 0; i < 4 * ENTRIES; i++)
		nested_directory[i] = i * SIZE_2M == HOLE ? 0 : i * SIZE_2M | PAGE_OPEN | PAGE_LARGE;
}

static void nested_page_fault(void)
{
	static const uint8_t store[STORE_LENGTH] = { 0x41, 0xc6, 0x00, 0x01 };
	unsigned wrong = 0;

	nested_tables();
	world_new(guest_stores);
	vmcb_write(VMCB_NESTED_CTL, 1);
	vmcb_write(VMCB_NESTED_CR3, (uint64_t)nested_pml4);
	tap_equal(world_run(), EXIT_NPF, "a store into a hole of the nested tables exits");
	tap_equal(vmcb_read(VMCB_EXIT_INFO_2), HOLE, "with its address");
	tap_check(vmcb_read(VMCB_EXIT_INFO_1) & NPF_WRITE && vmcb_read(VMCB_EXIT_INFO_1) & NPF_PRESENT_IN_GUEST,
		  "as a write to the last level");
	tap_check(vmcb_read8(VMCB_BYTES_LENGTH) >= STORE_LENGTH, "and %u bytes of code", vmcb_read8(VMCB_BYTES_LENGTH));
	for (unsigned i = 0; i < STORE_LENGTH; i++)
		wrong += vmcb_read8(VMCB_BYTES_LENGTH + 1 + i) != store[i];
	tap_equal(wrong, 0, "which are the store's");
	tap_equal(vmcb_read32(VMCB_EXIT_INT_INFO), 0, "nothing was being delivered");
}

/* The guest's stack is in the hole: the NMI's frame can't be pushed. */
static void fault_in_a_delivery(void)
{
	nr_nmis = 0;
	world_new(guest_loop);
	vmcb_write(VMCB_NESTED_CTL, 1);
	vmcb_write(VMCB_NESTED_CR3, (uint64_t)nested_pml4);
	vmcb_write(VMCB_RSP, HOLE + 0x1000);
	vmcb_write32(VMCB_EVENT_INJECTION, INJECT_NMI);
	tap_equal(world_run(), EXIT_NPF, "a delivery that can't push exits");
	tap_equal(vmcb_read32(VMCB_EXIT_INT_INFO), DELIVERED_NMI, "and the exit tells what was being delivered");
	tap_equal(nr_nmis, 0, "which has not happened");
}

void test_main(void)
{
	pmu_init();
	apic_init();
	trap_handle(VECTOR_NMI, on_nmi);
	if (!world_init())
		tap_abort("no SVM");
	features_offered();
	exits_tell_of_instructions();
	trap_flag_is_the_guests();
	state_is_loaded();
	halts_and_shutdowns_exit();
	rdpmc_faults_first();
	vmrun_counts_in_the_guest();
	exits_count_in_the_host();
	nmi_exits_and_waits();
	nmi_without_intercept();
	nmi_in_the_handler_of_an_injected_one();
	gif_holds_nmis();
	if (world_features() & FEATURE_VNMI)
		virtual_nmis();
	if (pmu.global_ctrl) {
		lbr_virtualization();
		lbrs_shared();
	}
	nested_page_fault();
	fault_in_a_delivery();
}
