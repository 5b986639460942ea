/* The guest's map while it runs, whichever of EPT and nested page tables it is made of. */
#ifndef ARCH_X86_GUEST_SPACE_H
#define ARCH_X86_GUEST_SPACE_H

#include "guest_map.h"
#include "hv/cpu.h"

struct guest_space {
	struct guest_map map;
	struct mtrrs mtrrs;                 /* that it follows */
	uint64_t lent;                      /* the APIC page's entry while another page stands in for it */
	_Alignas(4096) uint8_t decoy[4096]; /* all ones: what a guest finds where pmuvisor is */
};

/* Builds it for this CPU. `memtype`: as in struct guest_map. -1: there are too few page tables, as the handoff says. */
int guest_space_init(struct cpu *cpu, struct guest_space *space, uint64_t memtype, struct handoff *handoff);

/*
 * The MTRRs or the APIC's page may have changed. True: the map was built anew, the APIC's page in it is not trapped,
 * and the vendor has translations to forget. Stops if there are too few page tables.
 */
bool guest_space_follow(struct cpu *cpu, struct guest_space *space);

/* Accesses to the APIC's page exit from now on, or no longer, once the vendor has forgotten the translation. */
void guest_space_trap_apic(struct cpu *cpu, struct guest_space *space, bool trapped);

/*
 * While an access to the APIC's page is stepped over, the page of ones stands in for it, with `value` in the register
 * at `offset`. What is there afterwards is what the guest has written.
 */
void guest_space_lend(struct cpu *cpu, struct guest_space *space, unsigned offset, uint32_t value);
uint32_t guest_space_take_back(struct cpu *cpu, struct guest_space *space, unsigned offset);

/*
 * Nothing is where pmuvisor is, but for each CPU's page for the guest to read: a page of ones takes the place of the
 * page touched, so that an access of any kind or size finishes without an instruction being decoded here. It is the
 * guest's to write on; nobody else looks at it. False: that is no page of pmuvisor's.
 */
bool guest_space_touch_hidden(struct guest_space *space, uint64_t pa);

#endif
