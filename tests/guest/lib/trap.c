#include "trap.h"
#include "cpu.h"
#include "tap.h"
#include "this_cpu.h"

#define STACK_SIZE  16384
#define USER_STACK  8192
#define NR_VECTORS  256
#define STUB_SIZE   16
#define KERNEL_CODE 0x08

#define GDT_CODE64 UINT64_C(0x00209a0000000000)
#define GDT_DATA   UINT64_C(0x0000920000000000)
#define GDT_RING3  UINT64_C(0x0000600000000000)
#define GDT_TSS    UINT64_C(0x0000890000000000)
#define GATE_INT   UINT64_C(0x8e00)
#define GATE_RING3 UINT64_C(0x6000)

/* SDM Vol. 3A, "Task Management in 64-bit Mode". */
struct tss {
	uint32_t reserved0;
	uint32_t rsp0[2];
	uint32_t rest[22];
	uint32_t io_map; /* high half: offset of the I/O bitmap; past the limit means none */
};
_Static_assert(sizeof(struct tss) == 104, "64-bit TSS");

struct gate {
	uint64_t low, high;
};

struct table_register {
	uint16_t limit;
	uint64_t base;
} __attribute__((packed));
_Static_assert(sizeof(struct table_register) == 10, "LGDT and LIDT operand in 64-bit mode");

extern const uint8_t trap_stubs[];
void trap_load(const struct table_register *gdtr, const struct table_register *idtr);
void trap_dispatch(struct trap_frame *frame);

uint64_t guard_resume;
int64_t guard_vector;
uint64_t guard_error;

static struct processor {
	uint8_t trap_stack[STACK_SIZE] __attribute__((aligned(16)));
	uint8_t user_stack[USER_STACK] __attribute__((aligned(16)));
	struct this_cpu this_cpu;
	uint64_t gdt[7];
	struct tss tss;
} processors[SMP_MAX];

static struct gate idt[NR_VECTORS];
static trap_handler handlers[NR_VECTORS];

static struct gate gate_of(unsigned vector, uint64_t type)
{
	uint64_t target = (uint64_t)trap_stubs + vector * STUB_SIZE;
	struct gate gate;

	gate.low = (target & 0xffff) | (uint64_t)KERNEL_CODE << 16 | type << 32 | (target >> 16 & 0xffff) << 48;
	gate.high = target >> 32;
	return gate;
}

/* In the order of the selectors in entry.asm: kernel code and data, user data and code, TSS. */
static void gdt_fill(uint64_t gdt[7], const struct tss *tss)
{
	uint64_t base = (uint64_t)tss;

	gdt[1] = GDT_CODE64;
	gdt[2] = GDT_DATA;
	gdt[3] = GDT_DATA | GDT_RING3;
	gdt[4] = GDT_CODE64 | GDT_RING3;
	gdt[5] = GDT_TSS | (sizeof(*tss) - 1) | (base & 0xffffff) << 16 | (base >> 24 & 0xff) << 56;
	gdt[6] = base >> 32;
}

static void tss_fill(struct tss *tss, const uint8_t *stack_top)
{
	tss->rsp0[0] = (uint32_t)(uint64_t)stack_top;
	tss->rsp0[1] = (uint32_t)((uint64_t)stack_top >> 32);
	tss->io_map = (uint32_t)sizeof(*tss) << 16;
}

/* With no selector in GS, IRET to ring 3 leaves its base alone. */
static void this_cpu_load(struct processor *processor, unsigned number)
{
	processor->this_cpu.number = number;
	processor->this_cpu.user_stack_top = (uint64_t)(processor->user_stack + USER_STACK);
	asm volatile("mov %0, %%gs" : : "r"(0));
	wrmsr(MSR_IA32_GS_BASE, (uint64_t)&processor->this_cpu);
}

void trap_init(unsigned number)
{
	struct processor *processor = &processors[number];
	const struct table_register gdtr = { sizeof(processor->gdt) - 1, (uint64_t)processor->gdt };
	const struct table_register idtr = { sizeof(idt) - 1, (uint64_t)idt };

	gdt_fill(processor->gdt, &processor->tss);
	for (unsigned vector = 0; vector < NR_VECTORS; vector++)
		idt[vector] = gate_of(vector, vector == VECTOR_USER_EXIT ? GATE_INT | GATE_RING3 : GATE_INT);
	tss_fill(&processor->tss, processor->trap_stack + STACK_SIZE);
	trap_load(&gdtr, &idtr);
	this_cpu_load(processor, number);
}

void trap_handle(unsigned vector, trap_handler handler)
{
	handlers[vector] = handler;
}

/* A handler comes first: an NMI may arrive while a guard is up, and is none of the guard's business. */
void trap_dispatch(struct trap_frame *frame)
{
	if (handlers[frame->vector]) {
		handlers[frame->vector](frame);
		return;
	}
	if (guard_resume && frame->vector < 32) {
		guard_vector = (int64_t)frame->vector;
		guard_error = frame->error;
		frame->rip = guard_resume;
		return;
	}
	tap_abort("unexpected vector %lu, error %lx, at %lx (image at %lx), cs %lx", frame->vector, frame->error,
		  frame->rip, tap_image_base(), frame->cs);
}
