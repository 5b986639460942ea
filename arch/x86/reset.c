#include "reset.h"
#include "cpuid.h"
#include "guest.h"
#include "reg.h"

#define LIMIT 0xffff

#define ACCESS_DATA 0x93 /* writable, accessed */
#define ACCESS_CODE 0x9b /* readable, accessed */
#define ACCESS_LDT  0x82
#define ACCESS_TSS  0x8b /* busy */

const struct reset_state reset_state = {
	.data = { 0, ACCESS_DATA, LIMIT, 0 },
	.code = { 0xf000, ACCESS_CODE, LIMIT, 0xffff0000 },
	.ldtr = { 0, ACCESS_LDT, LIMIT, 0 },
	.tr = { 0, ACCESS_TSS, LIMIT, 0 },
	.table = { .limit = LIMIT },
	.rip = 0xfff0,
	.rflags = 2,
	.dr6 = DR6_RESET,
	.dr7 = DR7_RESET,
};

uint64_t reset_cr0(uint64_t cr0)
{
	return (cr0 & (CR0_NW | CR0_CD)) | CR0_ET;
}

void reset_registers(struct cpu *cpu)
{
	uint32_t regs[4];

	reg_cpuid(CPUID_FEATURES, 0, regs);
	cpu->guest = (struct regs){ .rdx = regs[0] };
	asm volatile("mov %0, %%dr0; mov %0, %%dr1; mov %0, %%dr2; mov %0, %%dr3" : : "r"(UINT64_C(0)));
}

struct reset_segment startup_code(uint64_t vector)
{
	return (struct reset_segment){ (uint16_t)(vector << 8), ACCESS_CODE, LIMIT, vector << 12 };
}
