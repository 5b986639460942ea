#include "descriptor.h"
#include "cpu_area.h"

/* SDM Vol. 3A, "Segment Descriptors": present, accessed, so that loading never writes to the table. */
#define DESCRIPTOR_CODE_64 UINT64_C(0x00af9b000000ffff)
#define DESCRIPTOR_DATA    UINT64_C(0x00cf93000000ffff)
#define DESCRIPTOR_TSS     UINT64_C(0x0000890000000000)
/* "64-Bit Mode IDT": a present interrupt gate */
#define GATE_INTERRUPT UINT64_C(0x00008e0000000000)

extern const uint64_t trap_entries[EXCEPTION_VECTORS]; /* trap_entry.asm */

static void set_stack(struct tss *tss, unsigned ist, const uint8_t *top)
{
	tss->ist[2 * (ist - 1)] = (uint32_t)(uintptr_t)top;
	tss->ist[2 * (ist - 1) + 1] = (uint32_t)((uintptr_t)top >> 32);
}

static void set_tss_descriptor(uint64_t *gdt, const struct tss *tss)
{
	uint64_t base = (uintptr_t)tss;

	gdt[0] = DESCRIPTOR_TSS | (sizeof(*tss) - 1) | FIELD_PUT(BITS(39, 16), base & BITS(23, 0)) |
		 FIELD_PUT(BITS(63, 56), base >> 24 & 0xff);
	gdt[1] = base >> 32;
}

static void set_gate(uint64_t *gate, uint64_t entry, unsigned ist)
{
	gate[0] = GATE_INTERRUPT | (uint64_t)SELECTOR_CODE << 16 | (uint64_t)ist << 32 | (entry & BITS(15, 0)) |
		  FIELD_PUT(BITS(63, 48), entry >> 16 & 0xffff);
	gate[1] = entry >> 32;
}

static unsigned stack_of(unsigned vector)
{
	switch (vector) {
	case VECTOR_NMI: return IST_NMI;
	case VECTOR_DF: return IST_DF;
	case VECTOR_MC: return IST_MC;
	default: return 0;
	}
}

void descriptors_init(struct cpu_area *area)
{
	struct descriptors *tables = &area->descriptors;

	tables->gdt[SELECTOR_CODE / 8] = DESCRIPTOR_CODE_64;
	tables->gdt[SELECTOR_DATA / 8] = DESCRIPTOR_DATA;
	set_tss_descriptor(&tables->gdt[SELECTOR_TSS / 8], &tables->tss);
	tables->tss.io_map = sizeof(tables->tss);
	set_stack(&tables->tss, IST_NMI, area->nmi_stack + sizeof(area->nmi_stack));
	set_stack(&tables->tss, IST_DF, area->df_stack + sizeof(area->df_stack));
	set_stack(&tables->tss, IST_MC, area->mc_stack + sizeof(area->mc_stack));
	for (unsigned vector = 0; vector < EXCEPTION_VECTORS; vector++)
		set_gate(&tables->idt[2 * vector], trap_entries[vector], stack_of(vector));
}

static void load_selectors(void)
{
	asm volatile("	pushq %[code]\n"
		     "	leaq 1f(%%rip), %%rax\n"
		     "	pushq %%rax\n"
		     "	lretq\n"
		     "1:	movl %[data], %%eax\n"
		     "	movl %%eax, %%ss\n"
		     "	movl %%eax, %%ds\n"
		     "	movl %%eax, %%es\n"
		     "	ltr %[tss]"
		     :
		     : [code] "i"(SELECTOR_CODE), [data] "i"(SELECTOR_DATA), [tss] "r"((uint16_t)SELECTOR_TSS)
		     : "rax", "memory");
}

void descriptors_load(struct descriptors *descriptors)
{
	struct table_register gdt = { sizeof(descriptors->gdt) - 1, (uintptr_t)descriptors->gdt };
	struct table_register idt = { sizeof(descriptors->idt) - 1, (uintptr_t)descriptors->idt };

	asm volatile("lgdt %0" : : "m"(gdt));
	asm volatile("lidt %0" : : "m"(idt));
	load_selectors();
}
