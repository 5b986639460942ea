/*
 * The little that the guest's programs need of Linux, without a C library: every user-mode instruction from the first
 * to the last is this directory's, so that two runs of one binary retire the same number of them.
 */
#ifndef LINUX_SYS_H
#define LINUX_SYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A system call; the kernel's answer, negative errno included. */
long sys(long number, long a, long b, long c, long d, long e);
/* From now on nothing but interrupts comes between this process' instructions, as long as it does not wait. */
void keep_kernel_threads_off(void);
__attribute__((noreturn)) void sys_exit(int status);
/* One sentence on standard error, then exit status 1. */
__attribute__((noreturn)) void die(const char *sentence);

size_t text_length(const char *text);
bool same(const char *a, const char *b);
/* Decimal; anything else ends the program. */
uint64_t parse_number(const char *text);

void print(const char *text);
/* The line "figure PREFIX_NAME VALUE": what tests/linux/run.sh collects. */
void print_figure(const char *prefix, const char *name, uint64_t value);

int main(int argc, char **argv);

#endif
