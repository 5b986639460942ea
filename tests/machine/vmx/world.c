#include "world.h"

#include "cpu.h"

#define CPUID_1_ECX_VMX        BIT(5)
#define FEATURE_CONTROL_LOCKED BIT(0)
#define FEATURE_CONTROL_VMX    BIT(2)
#define MSR_VMX_TRUE_PIN       0x48d
#define MSR_VMX_TRUE_PROC      0x48e
#define MSR_VMX_TRUE_EXIT      0x48f
#define MSR_VMX_TRUE_ENTRY     0x490
#define MSR_FS_BASE            0xc0000100
#define MSR_GS_BASE            0xc0000101
#define PAGE                   4096
#define NO_LINK                UINT64_MAX
#define ACCESS_CODE64          0xa09b /* present, accessed, execute and read, long */
#define ACCESS_DATA            0xc093 /* present, accessed, read and write, 4 GiB */
#define ACCESS_TSS             0x8b   /* present, busy 64-bit TSS */
#define DR7_FIXED              0x400

struct table_register {
	uint16_t limit;
	uint64_t base;
} __attribute__((packed));
_Static_assert(sizeof(struct table_register) == 10, "SGDT and SIDT store ten bytes");

static uint8_t vmxon_region[PAGE] __attribute__((aligned(PAGE)));
static uint8_t vmcs_region[PAGE] __attribute__((aligned(PAGE)));
static uint8_t msr_bitmap[PAGE] __attribute__((aligned(PAGE)));
static uint8_t guest_stack[PAGE] __attribute__((aligned(16)));
static bool launched;

uint64_t world_rax, world_rdx;
unsigned world_enter(bool launched_before);
void world_left(void);

uint64_t vmread(enum vmcs_field field)
{
	uint64_t value;

	asm volatile("vmread %1, %0" : "=r"(value) : "r"((uint64_t)field) : "cc", "memory");
	return value;
}

void vmwrite(enum vmcs_field field, uint64_t value)
{
	asm volatile("vmwrite %1, %0" : : "r"((uint64_t)field), "r"(value) : "cc", "memory");
}

static void set_revision(uint8_t region[PAGE])
{
	*(uint32_t *)region = (uint32_t)rdmsr(MSR_IA32_VMX_BASIC) & 0x7fffffff;
}

bool world_init(void)
{
	const uint64_t region = (uint64_t)vmxon_region;
	uint64_t control;

	if (!(cpuid(1, 0).ecx & CPUID_1_ECX_VMX))
		return false;
	control = rdmsr(MSR_IA32_FEATURE_CONTROL);
	if (!(control & FEATURE_CONTROL_LOCKED))
		wrmsr(MSR_IA32_FEATURE_CONTROL, control | FEATURE_CONTROL_LOCKED | FEATURE_CONTROL_VMX);
	else if (!(control & FEATURE_CONTROL_VMX))
		return false;
	write_cr4(read_cr4() | CR4_VMXE);
	set_revision(vmxon_region);
	asm volatile("vmxon %0" : : "m"(region) : "cc", "memory");
	return true;
}

static uint32_t capability(enum vmcs_field field)
{
	return field == VMCS_PIN_CONTROLS    ? MSR_VMX_TRUE_PIN
	       : field == VMCS_PROC_CONTROLS ? MSR_VMX_TRUE_PROC
	       : field == VMCS_EXIT_CONTROLS ? MSR_VMX_TRUE_EXIT
					     : MSR_VMX_TRUE_ENTRY;
}

bool world_allows(enum vmcs_field field, uint64_t bits)
{
	return (rdmsr(capability(field)) >> 32 & bits) == bits;
}

uint64_t world_control(enum vmcs_field field, uint64_t bits)
{
	const uint64_t allowed = rdmsr(capability(field));
	const uint64_t value = (vmread(field) | bits | (uint32_t)allowed) & allowed >> 32;

	vmwrite(field, value);
	return value;
}

static uint16_t selector_tr(void)
{
	uint16_t selector;

	asm volatile("str %0" : "=r"(selector));
	return selector;
}

static uint64_t base_tr(const struct table_register *gdt)
{
	const uint64_t *descriptor = (const uint64_t *)(gdt->base + selector_tr());

	return (descriptor[0] >> 16 & 0xffffff) | (descriptor[0] >> 56) << 24 | descriptor[1] << 32;
}

static void write_segments(const struct table_register *gdt)
{
	uint16_t cs, ss;

	asm volatile("mov %%cs, %0" : "=r"(cs));
	asm volatile("mov %%ss, %0" : "=r"(ss));
	for (unsigned i = SEGMENT_ES; i <= SEGMENT_GS; i++) {
		vmwrite(VMCS_GUEST_SELECTOR(i), i == SEGMENT_CS ? cs : ss);
		vmwrite(VMCS_GUEST_LIMIT(i), UINT32_MAX);
		vmwrite(VMCS_GUEST_ACCESS(i), i == SEGMENT_CS ? ACCESS_CODE64 : ACCESS_DATA);
		vmwrite(VMCS_GUEST_BASE(i), 0);
	}
	vmwrite(VMCS_GUEST_ACCESS(SEGMENT_LDTR), SEGMENT_UNUSABLE);
	vmwrite(VMCS_GUEST_SELECTOR(SEGMENT_TR), selector_tr());
	vmwrite(VMCS_GUEST_LIMIT(SEGMENT_TR), 0x67);
	vmwrite(VMCS_GUEST_ACCESS(SEGMENT_TR), ACCESS_TSS);
	vmwrite(VMCS_GUEST_BASE(SEGMENT_TR), base_tr(gdt));
	vmwrite(VMCS_HOST_CS_SELECTOR, cs);
	vmwrite(VMCS_HOST_SS_SELECTOR, ss);
	vmwrite(VMCS_HOST_TR_SELECTOR, selector_tr());
	vmwrite(VMCS_HOST_TR_BASE, base_tr(gdt));
}

static void write_registers(void)
{
	struct table_register gdt, idt;

	asm volatile("sgdt %0" : "=m"(gdt));
	asm volatile("sidt %0" : "=m"(idt));
	write_segments(&gdt);
	vmwrite(VMCS_HOST_CR0, read_cr0());
	vmwrite(VMCS_HOST_CR3, read_cr3());
	vmwrite(VMCS_HOST_CR4, read_cr4());
	vmwrite(VMCS_HOST_FS_BASE, rdmsr(MSR_FS_BASE));
	vmwrite(VMCS_HOST_GS_BASE, rdmsr(MSR_GS_BASE));
	vmwrite(VMCS_HOST_GDTR_BASE, gdt.base);
	vmwrite(VMCS_HOST_IDTR_BASE, idt.base);
	vmwrite(VMCS_HOST_RIP, (uint64_t)world_left);
	vmwrite(VMCS_GUEST_CR0, read_cr0());
	vmwrite(VMCS_GUEST_CR3, read_cr3());
	vmwrite(VMCS_GUEST_CR4, read_cr4());
	vmwrite(VMCS_GUEST_GDTR_BASE, gdt.base);
	vmwrite(VMCS_GUEST_GDTR_LIMIT, gdt.limit);
	vmwrite(VMCS_GUEST_IDTR_BASE, idt.base);
	vmwrite(VMCS_GUEST_IDTR_LIMIT, idt.limit);
	vmwrite(VMCS_GUEST_DR7, DR7_FIXED);
	vmwrite(VMCS_GUEST_RFLAGS, RFLAGS_FIXED);
	vmwrite(VMCS_GUEST_RSP, (uint64_t)(guest_stack + sizeof(guest_stack)));
}

void world_new(void (*code)(void))
{
	const uint64_t region = (uint64_t)vmcs_region;

	asm volatile("vmclear %0" : : "m"(region) : "cc", "memory");
	for (unsigned i = 0; i < PAGE; i++)
		vmcs_region[i] = 0;
	set_revision(vmcs_region);
	asm volatile("vmclear %0" : : "m"(region) : "cc", "memory");
	asm volatile("vmptrld %0" : : "m"(region) : "cc", "memory");
	launched = false;
	world_control(VMCS_PIN_CONTROLS, 0);
	world_control(VMCS_PROC_CONTROLS, PROC_MSR_BITMAPS);
	world_control(VMCS_EXIT_CONTROLS, EXIT_HOST_64);
	world_control(VMCS_ENTRY_CONTROLS, ENTRY_IA32E);
	vmwrite(VMCS_MSR_BITMAP, (uint64_t)msr_bitmap);
	vmwrite(VMCS_LINK_POINTER, NO_LINK);
	write_registers();
	vmwrite(VMCS_GUEST_RIP, (uint64_t)code);
}

struct world_exit world_run(void)
{
	struct world_exit left = { .entered = world_enter(launched) == 0 };

	left.rax = world_rax;
	left.rdx = world_rdx;
	if (!left.entered) {
		left.error = vmread(VMCS_INSTRUCTION_ERROR);
		return left;
	}
	left.reason = vmread(VMCS_EXIT_REASON);
	launched |= !(left.reason & ENTRY_FAILED);
	return left;
}
