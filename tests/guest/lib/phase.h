/*
 * Phases of a measurement: what lies between two marks in the machine's statistics. tests/bench/figures.py subtracts.
 */
#ifndef GUEST_PHASE_H
#define GUEST_PHASE_H

#include <stdint.h>

void phase_begin(void);
/* Since phase_begin() so many actions were carried out. Reports what the phase was called. */
void phase_end(const char *name, uint64_t actions);

#endif
