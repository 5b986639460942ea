#include "cpu.h"

#include "world.h"

#define CPUID_AMD_FEATURES 0x80000001
#define CPUID_SVM          0x8000000a
#define ECX_SVM            BIT(2)
#define MSR_EFER           0xc0000080
#define EFER_SVME          BIT(12)
#define MSR_VM_CR          0xc0010114
#define VM_CR_SVMDIS       BIT(4)
#define MSR_VM_HSAVE_PA    0xc0010117
#define MSR_PAT            0x277
#define PAGE               4096
#define VMCB_ES            0x400 /* CS, SS, DS: 16 bytes each; selector, attributes, limit, base */
#define VMCB_GDTR          0x460
#define VMCB_EFER          0x4d0
#define VMCB_CR4           0x548
#define VMCB_CR3           0x550
#define VMCB_CR0           0x558
#define VMCB_DR7           0x560
#define VMCB_DR6           0x568
#define VMCB_PAT           0x668
#define ATTRIBUTES_CODE64  0xa9b
#define ATTRIBUTES_DATA    0xc93
#define RFLAGS_FIXED       2
#define DR6_FIXED          0xffff0ff0
#define DR7_FIXED          0x400

struct table_register {
	uint16_t limit;
	uint64_t base;
} __attribute__((packed));

static uint8_t vmcb[PAGE] __attribute__((aligned(PAGE)));
static uint8_t host_save[PAGE] __attribute__((aligned(PAGE)));
static uint8_t msrpm[2 * PAGE] __attribute__((aligned(PAGE)));
static uint8_t guest_stack[PAGE] __attribute__((aligned(16)));

void world_enter(uint64_t vmcb_address);

uint64_t vmcb_read(unsigned offset)
{
	return *(volatile uint64_t *)(vmcb + offset);
}

uint8_t vmcb_read8(unsigned offset)
{
	return *(volatile uint8_t *)(vmcb + offset);
}

void vmcb_write(unsigned offset, uint64_t value)
{
	*(volatile uint64_t *)(vmcb + offset) = value;
}

uint32_t vmcb_read32(unsigned offset)
{
	return *(volatile uint32_t *)(vmcb + offset);
}

void vmcb_write32(unsigned offset, uint32_t value)
{
	*(volatile uint32_t *)(vmcb + offset) = value;
}

uint32_t world_features(void)
{
	return cpuid(CPUID_SVM, 0).edx;
}

bool world_init(void)
{
	if (!(cpuid(CPUID_AMD_FEATURES, 0).ecx & ECX_SVM) || rdmsr(MSR_VM_CR) & VM_CR_SVMDIS)
		return false;
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SVME);
	wrmsr(MSR_VM_HSAVE_PA, (uint64_t)host_save);
	return true;
}

static void write_segment(unsigned n, uint16_t selector, uint16_t attributes)
{
	vmcb_write(VMCB_ES + 16 * n, selector | (uint32_t)attributes << 16 | UINT64_C(0xffffffff) << 32);
	vmcb_write(VMCB_ES + 16 * n + 8, 0);
}

static void write_table(unsigned offset, const struct table_register *table)
{
	vmcb_write(offset, (uint64_t)table->limit << 32);
	vmcb_write(offset + 8, table->base);
}

static void write_registers(void)
{
	struct table_register gdt, idt;
	uint16_t cs, ss;
	uint64_t cr3;

	asm volatile("mov %%cs, %0" : "=r"(cs));
	asm volatile("mov %%ss, %0" : "=r"(ss));
	asm volatile("sgdt %0" : "=m"(gdt));
	asm volatile("sidt %0" : "=m"(idt));
	asm volatile("mov %%cr3, %0" : "=r"(cr3));
	write_segment(0, ss, ATTRIBUTES_DATA);
	write_segment(1, cs, ATTRIBUTES_CODE64);
	write_segment(2, ss, ATTRIBUTES_DATA);
	write_segment(3, ss, ATTRIBUTES_DATA);
	write_table(VMCB_GDTR, &gdt);
	write_table(VMCB_IDTR, &idt);
	vmcb_write(VMCB_EFER, rdmsr(MSR_EFER));
	vmcb_write(VMCB_CR0, read_cr0());
	vmcb_write(VMCB_CR3, cr3);
	vmcb_write(VMCB_CR4, read_cr4());
	vmcb_write(VMCB_DR6, DR6_FIXED);
	vmcb_write(VMCB_DR7, DR7_FIXED);
	vmcb_write(VMCB_RFLAGS, RFLAGS_FIXED);
	vmcb_write(VMCB_RSP, (uint64_t)(guest_stack + sizeof(guest_stack)));
	vmcb_write(VMCB_PAT, rdmsr(MSR_PAT));
}

void world_new(void (*code)(void))
{
	for (unsigned i = 0; i < PAGE; i++)
		vmcb[i] = 0;
	for (unsigned i = 0; i < 2 * PAGE; i++)
		msrpm[i] = 0;
	world_intercept(INTERCEPT_VMRUN | INTERCEPT_VMMCALL);
	vmcb_write(VMCB_MSRPM, (uint64_t)msrpm);
	vmcb_write32(VMCB_ASID, 1);
	write_registers();
	vmcb_write(VMCB_RIP, (uint64_t)code);
}

void world_intercept(uint64_t intercepts)
{
	*(volatile uint32_t *)(vmcb + VMCB_INTERCEPTS) |= (uint32_t)intercepts;
	*(volatile uint32_t *)(vmcb + VMCB_INTERCEPTS + 4) |= (uint32_t)(intercepts >> 32);
}

void world_intercept_msr(uint32_t msr)
{
	unsigned range = msr >> 30 ? 1 + (msr >> 16 & 1) : 0;

	msrpm[range * 0x800 + (msr & 0x1fff) / 4] |= (uint8_t)(3 << 2 * (msr & 3));
}

uint64_t world_run(void)
{
	world_enter((uint64_t)vmcb);
	return vmcb_read(VMCB_EXIT_CODE);
}
