/*
 * Samples in frames: each is a line of text that says how many were before it and how many were lost, has the samples
 * themselves in as few characters as can be, and ends with a checksum of all that. docs/serial.md, "Samples".
 */
#ifndef HV_FRAME_H
#define HV_FRAME_H

#include "sample.h"
#include "text.h"

#define FRAME_FORMAT   1    /* another number for what older readers would not understand */
#define FRAME_SAMPLES  64   /* at most */
#define FRAME_LINE_MAX 1152 /* characters, with every number at its largest */
#define FRAME_TIME     1024 /* TSC ticks in a unit of time */

/* Takes samples out of the ring of this CPU, as many as a frame holds, one at least; there must be one. */
void frame_make(uint64_t cpu, struct sample_ring *ring, struct text *text);

#endif
