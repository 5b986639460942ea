/*
 * Where the guest's page tables lead, as they are at the moment: a look, not a promise. It reads the guest's memory,
 * one entry for each level.
 */
#ifndef ARCH_X86_GUEST_WALK_H
#define ARCH_X86_GUEST_WALK_H

#include "hv/cpu.h"

/* For a write by the processor itself to the `size` bytes at `linear`; the worst of the pages they lie on. */
enum guest_memory guest_memory_at(struct cpu *cpu, uint64_t linear, uint64_t size);

/* -1: nothing is there, it is pmuvisor's, or the paging is of another kind than long mode's. */
int guest_byte_at(struct cpu *cpu, uint64_t linear);

#endif
