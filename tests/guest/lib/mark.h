/*
 * Marks in the machine's statistics file. The scripts that read it know these numbers.
 */
#ifndef GUEST_MARK_H
#define GUEST_MARK_H

#include "cpu.h"
#include "tests/machine/ports.h"

#define MARK_PMI_BEGIN  100
#define MARK_PMI_END    101
#define MARK_PEBS_BEGIN 102
#define MARK_PEBS_END   103
#define MARK_STORM      110 /* stress.c: and around processor n's report, 111 + 2n and 112 + 2n */
#define MARK_PHASES     200 /* phase.h: phase n begins at 200 + 2n and ends at 201 + 2n */

static inline void mark(uint32_t number)
{
	out32(MACHINE_PORT_MARK, number);
}

#endif
