#include "vmcb_clean.h"

#include <string.h>

#define CLEAN_BITS 0x0c0

/* What a bit covers: the comments in KVM's svm.h, and which field's change makes KVM clear which bit. */
static const struct {
	unsigned bit;
	uint16_t start, end; /* offsets; the end is exclusive */
} covered[] = {
	{ 0, 0x000, 0x018 },  /* intercepts */
	{ 0, 0x03c, 0x040 },  /* pause filter */
	{ 0, 0x050, 0x058 },  /* time-stamp counter's offset */
	{ 1, 0x040, 0x050 },  /* permission maps' addresses */
	{ 2, 0x058, 0x05c },  /* ASID */
	{ 3, 0x060, 0x068 },  /* virtual interrupts and NMIs */
	{ 4, 0x090, 0x098 },  /* nested paging */
	{ 4, 0x0b0, 0x0b8 },  /* its tables */
	{ 4, 0x668, 0x670 },  /* PAT */
	{ 5, 0x4d0, 0x4d8 },  /* EFER */
	{ 5, 0x548, 0x560 },  /* CR4, CR3, CR0 */
	{ 6, 0x560, 0x570 },  /* DR7, DR6 */
	{ 7, 0x460, 0x470 },  /* GDTR */
	{ 7, 0x480, 0x490 },  /* IDTR */
	{ 8, 0x400, 0x440 },  /* ES, CS, SS, DS */
	{ 8, 0x4cb, 0x4cc },  /* CPL */
	{ 9, 0x640, 0x648 },  /* CR2 */
	{ 10, 0x670, 0x6a0 }, /* DebugCtl and the LBRs */
	{ 10, 0xa70, 0xb78 },
};

void vmcb_clean_left(struct vmcb_clean *clean, uint64_t address, const uint8_t *vmcb)
{
	clean->address = address;
	memcpy(clean->as_left, vmcb, VMCB_SIZE);
}

uint32_t vmcb_clean_wrong(const struct vmcb_clean *clean, uint64_t address, const uint8_t *vmcb)
{
	uint32_t bits, wrong = 0;

	memcpy(&bits, vmcb + CLEAN_BITS, sizeof(bits));
	if (address != clean->address)
		return bits;
	for (unsigned i = 0; i < sizeof(covered) / sizeof(covered[0]); i++)
		if (memcmp(vmcb + covered[i].start, clean->as_left + covered[i].start,
			   (size_t)(covered[i].end - covered[i].start)) != 0)
			wrong |= 1u << covered[i].bit;
	return bits & wrong;
}
