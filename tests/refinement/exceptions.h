/*
 * Where a guest under pmuvisor may see something else than a bare one: the whole list. Each has its reason where it is
 * defined.
 */
#ifndef REFINEMENT_EXCEPTIONS_H
#define REFINEMENT_EXCEPTIONS_H

#include "processor.h"

/* Steps that are left out on both sides. */
bool exception_stale_status(const struct processor *bare, const struct step *step);
bool exception_rdpmc_hidden(const struct step *step, uint64_t guest_counters);
bool exception_taken_back(const struct processor *bare, const struct step *step);
bool exception_record_and_pmi(const struct processor *bare, const struct step *step);
bool exception_blocking_unknown(const struct processor *bare, const struct step *step);
bool exception_may_open(const struct step *step);
bool exception_hidden_pebs(const struct step *step);
/* What of a read value isn't the same. */
uint64_t exception_bits(const struct step *step, bool hidden_bits);
/* Steps that do more than they would bare. */
bool exception_hidden_bits(const struct step *step);
/* An NMI that can't be late. */
bool exception_nmi_merges(const struct step *step);
/* Afterwards an exit is due before a counter overflows. */
bool exception_lvtpc_gap(const struct processor *cpu, const struct step *step);

#endif
