/*
 * Exceptions and NMIs in root mode. Expected are an NMI, which is noted and decided at the next entry, INIT in the same
 * way (under SVM it comes as #SX: APM Vol. 2, "INIT Support"), and #GP in an instruction with a fix-up; nothing else.
 * The rest is a bug of ours: dump and stop.
 */
#include "descriptor.h"
#include "hv/cpu.h"
#include "hv/stop.h"

/* Pushed by trap_entry.asm and the CPU. */
struct trap {
	struct regs regs;
	uint64_t vector, error;
	uint64_t rip, cs, rflags, rsp, ss;
};

struct fixup {
	uint64_t at, continue_at;
};
extern const struct fixup fixups[], fixups_end[]; /* linker.ld */

/* vmx_entry.asm: from the last look at nmi.in_root up to the entry itself. */
extern const uint8_t vmx_enter_check[], vmx_enter_last[];

/*
 * An NMI between the check and the entry would wait until the next exit. The check is made again instead: nothing
 * behind it has changed a register.
 */
static void note_nmi(struct trap *trap)
{
	struct nmi *nmi = &this_cpu()->nmi;

	if (__atomic_exchange_n(&nmi->init_sent, false, __ATOMIC_ACQUIRE)) {
		nmi->init_in_root = true;
		return;
	}
	if (nmi->in_root < UINT8_MAX)
		nmi->in_root++;
	nmi->root_rip = trap->rip;
	if (trap->rip >= (uintptr_t)vmx_enter_check && trap->rip <= (uintptr_t)vmx_enter_last)
		trap->rip = (uintptr_t)vmx_enter_check;
}

static bool fix_up(struct trap *trap)
{
	for (const struct fixup *fixup = fixups; fixup < fixups_end; fixup++) {
		if (fixup->at == trap->rip) {
			trap->rip = fixup->continue_at;
			return true;
		}
	}
	return false;
}

void trap_handle(struct trap *trap);

void trap_handle(struct trap *trap)
{
	if (trap->vector == VECTOR_NMI) {
		note_nmi(trap);
		return;
	}
	if (trap->vector == VECTOR_SX) {
		this_cpu()->nmi.init_in_root = true;
		return;
	}
	if (trap->vector == VECTOR_GP && fix_up(trap))
		return;
	stop_on_trap(trap->vector, trap->error, trap->rip, trap->rsp);
}
