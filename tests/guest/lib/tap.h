/*
 * How a test guest speaks: TAP and figures on COM1, a verdict on the machine's exit port.
 */
#ifndef GUEST_TAP_H
#define GUEST_TAP_H

#include <stdbool.h>
#include <stdint.h>

/* Each test defines these two; the library calls test_main() once and reports. */
extern const char test_title[];
void test_main(void);

/*
 * The formats are %u and %d (int), %lu and %lx (64 bits), %s, %%: no widths. One call of tap_check() is one TAP test.
 * Returns `passed`.
 */
bool tap_check(bool passed, const char *format, ...) __attribute__((format(printf, 2, 3)));
void tap_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A failed check that shows both numbers. */
bool tap_equal(uint64_t got, uint64_t expected, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* `name value`, for the table. */
void tap_figure(const char *name, uint64_t value);
/* `phase NAME MARK ACTIONS`, for tests/bench/figures.py. */
void tap_phase(const char *name, uint32_t mark, uint64_t actions);
/* The test can't go on. */
_Noreturn void tap_abort(const char *format, ...) __attribute__((format(printf, 1, 2)));

void tap_begin(void);
/* Plan, verdict, power off. Nothing checked is a failure. */
_Noreturn void tap_end(void);
/* As tap_end(), but comes back: for a test that ends the machine its own way, or returns to its loader. */
bool tap_conclude(void);

uint64_t tap_image_base(void);

#endif
