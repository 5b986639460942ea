/* Where a run ends that shouldn't: says why, in words, and does not return. */
#ifndef REFINEMENT_DIFFERENCE_H
#define REFINEMENT_DIFFERENCE_H

_Noreturn void difference(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
