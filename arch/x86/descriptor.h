/*
 * pmuvisor's own GDT, TSS and IDT in root mode; one set for each CPU. SDM Vol. 3A, "Protected-Mode Memory
 * Management".
 */
#ifndef ARCH_X86_DESCRIPTOR_H
#define ARCH_X86_DESCRIPTOR_H

#include <stdint.h>

#define SELECTOR_CODE 0x08
#define SELECTOR_DATA 0x10
/*
 * A task register that was null can't be made so again: LTR doesn't take a null selector. What a CPU is left with then,
 * if pmuvisor doesn't stay, lies beyond any firmware's GDT, so that firmware which saves and loads it (edk2's MP
 * services) sees that it isn't its own.
 */
#define SELECTOR_TSS 0x7f0

#define IST_NMI 1
#define IST_DF  2
#define IST_MC  3

#define VECTOR_DB         1
#define VECTOR_NMI        2
#define VECTOR_UD         6
#define VECTOR_DF         8
#define VECTOR_GP         13
#define VECTOR_MC         18
#define VECTOR_SX         30
#define EXCEPTION_VECTORS 32

#define RFLAGS_TF BIT(8)
#define RFLAGS_RF BIT(16)

struct table_register { /* the operand of LGDT, SGDT, LIDT, SIDT */
	uint16_t limit;
	uint64_t base;
} __attribute__((packed));
_Static_assert(sizeof(struct table_register) == 10, "SDM Vol. 2A, \"LGDT/LIDT\"");

struct tss {
	uint32_t reserved0;
	uint32_t rsp[6]; /* three 64-bit stack pointers, misaligned by 4 */
	uint32_t reserved1[2];
	uint32_t ist[14]; /* seven, each low half first */
	uint32_t reserved2[2];
	uint16_t reserved3, io_map;
};
_Static_assert(sizeof(struct tss) == 104, "SDM Vol. 3A, \"64-Bit TSS Format\"");

struct descriptors {
	uint64_t gdt[SELECTOR_TSS / 8 + 2]; /* null, code, data; at the end the TSS (two entries) */
	struct tss tss;
	uint64_t idt[2 * EXCEPTION_VECTORS];
};

struct cpu_area;

/* Fills the tables of this CPU. They are not loaded. */
void descriptors_init(struct cpu_area *area);
/* Loads them, and the selectors above; GS stays as it is. */
void descriptors_load(struct descriptors *descriptors);

static inline void table_store_gdt(struct table_register *table)
{
	asm volatile("sgdt %0" : "=m"(*table));
}

static inline void table_store_idt(struct table_register *table)
{
	asm volatile("sidt %0" : "=m"(*table));
}

#endif
