/* What Intel's and AMD's event selectors have in common: SDM Vol. 3B, "IA32_PERFEVTSELx MSRs"; APM Vol. 2, "PerfCtr". */
#ifndef ARCH_X86_SELECTOR_H
#define ARCH_X86_SELECTOR_H

#include <stdbool.h>
#include <stdint.h>

#include "msr.h"

/*
 * Whether one event at this privilege, of the kind that is selected, is one count. One event is in one cycle: with a
 * counter mask the question is whether 1 reaches it. Version 6's EQ asks for "equal" and, inverted, "below but not 0": for
 * 1 that is the same. An edge (a cycle without the event before this one) can't be known here and isn't counted.
 */
static inline bool selector_counts_one(uint64_t selector, bool user)
{
	uint64_t cmask = FIELD_GET(PERFEVTSEL_CMASK, selector);

	if (!(selector & PERFEVTSEL_EN) || !(selector & (user ? PERFEVTSEL_USR : PERFEVTSEL_OS)) ||
	    selector & PERFEVTSEL_EDGE)
		return false;
	return cmask == 0 || (selector & PERFEVTSEL_INV ? cmask > 1 : cmask == 1);
}

#endif
