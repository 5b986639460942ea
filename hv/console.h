/*
 * The serial console: a queue of text that drains a few characters at a time from timer exits, so that no exit waits
 * for the UART. What finds the queue full is dropped and counted.
 */
#ifndef HV_CONSOLE_H
#define HV_CONSOLE_H

#include <stdbool.h>
#include <stdint.h>

#include "text.h"

struct hv_config;

/* False: no UART there; everything written is lost. */
bool console_init(const struct hv_config *config);
/* Appends what was written to the text since `start`, whole or not at all. */
void console_write(const char *start, const struct text *text);
/* Sends what the UART takes now. */
void console_drain(void);
/* Sends everything, waiting: only when the guest will not run again. */
void console_flush(void);
unsigned console_queued(void);  /* characters */
uint64_t console_written(void); /* characters, those that are queued among them */
bool console_has_room(void);    /* for one line at least */
uint64_t console_lost(void);    /* characters */
/* TSC ticks the UART takes for a full FIFO. */
uint64_t console_fifo_ticks(uint64_t tsc_hz);

#endif
