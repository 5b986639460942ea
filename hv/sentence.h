/*
 * Sentences for people, put together without a C library: what the configuration parser and the processor check answer.
 */
#ifndef HV_SENTENCE_H
#define HV_SENTENCE_H

#include <stdarg.h>
#include <stddef.h>

/* A string argument is cut after this many characters, so that a long word of the user's cannot push the reason out. */
#define SENTENCE_WORD_MAX 72

/*
 * Writes `format` into `out`, always NUL-terminated and at most `size` bytes (at least 1) with the NUL. Knows %s, %u,
 * %x (both unsigned) and %%. Returns the length written.
 */
size_t sentence(char *out, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
size_t sentence_v(char *out, size_t size, const char *format, va_list arguments);

#endif
