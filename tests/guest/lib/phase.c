#include "phase.h"
#include "mark.h"
#include "tap.h"

static uint32_t next_mark = MARK_PHASES;

void phase_begin(void)
{
	mark(next_mark);
}

void phase_end(const char *name, uint64_t actions)
{
	mark(next_mark + 1);
	tap_phase(name, next_mark, actions);
	next_mark += 2;
}
