/*
 * The last branch records (LBRs): who has them when. SDM Vol. 3B, "Last Branch, Interrupt, and Exception Recording" and
 * "Last Branch Records". Vendor-neutral: no register number stands here.
 *
 * guest: they are the guest's. VM exit stops them, VM entry starts them again; nothing is switched.
 * host:  the guest has none. They record behind its back while a host event with a period counts in the guest, and in
 *	  root mode while one counts there. What they hold at a PMI of such an event is captured.
 * both:  in the guest they are the guest's. While a host event with a period counts in root mode they are the host's
 *	  there: the exit saves the guest's, the entry loads them. The host's begin empty at each exit, so that what is
 *	  captured is one path.
 */
#ifndef HV_LBR_H
#define HV_LBR_H

#include <stdbool.h>
#include <stdint.h>

#include "config.h"

#define LBR_MAX_ENTRIES 32
#define LBR_STATE_SIZE  1440 /* bytes; the larger kind's: an XSAVE area with nothing but LBRs, and room to align it */

struct lbr_branch {
	uint64_t from, to; /* linear addresses */
};

/*
 * The guest's, while the host has the registers; the layout is the vendor's, and so is an alignment beyond this one: as
 * the member's it would be that of every structure around it.
 */
struct lbr_state {
	_Alignas(uint64_t) uint8_t bytes[LBR_STATE_SIZE];
};

struct lbr_caps {
	unsigned entries; /* at most LBR_MAX_ENTRIES */
	bool switchable;  /* VM entry and exit start and stop recording, and the state can be saved and loaded */
};

/* One kind of LBRs. All run in root mode. */
struct lbr_ops {
	const char *name;
	bool (*ident)(struct lbr_caps *caps); /* false: this processor has none of this kind */
	/* Records every branch from now on, until a PMI freezes it; or stops. */
	void (*record)(bool on);
	/* While nothing records: empties the stack. */
	void (*clear)(unsigned entries);
	/* The same, once all registers are in `state`. */
	void (*save)(struct lbr_state *state, unsigned entries);
	/* While nothing records: back to what was saved. */
	void (*load)(const struct lbr_state *state, unsigned entries);
	/* While nothing records: the branches, newest first. Returns how many there are. */
	unsigned (*read)(struct lbr_branch branches[LBR_MAX_ENTRIES], unsigned entries);
	bool switches_ler; /* save() and load() do, with all the rest, the last exception record */
	/* What makes them record every branch: the bit in DEBUGCTL, or a control register of their own; the other is 0. */
	uint64_t debugctl, control;
};

extern const struct lbr_ops lbr_legacy, lbr_arch, lbr_amd;

struct lbr {
	const struct lbr_ops *ops; /* NULL: this processor has none */
	struct lbr_caps caps;
	bool guests; /* the guest has them, in the guest; where not, they are hidden from it, */
	bool hosts;  /* and the host has them, or shares them */
	bool root;   /* from the next exit on they are the host's in root mode, */
	bool now;    /* and they are now */
	struct lbr_state guest_state;
	/* The newest capture. */
	struct lbr_branch branches[LBR_MAX_ENTRIES];
	unsigned nr_branches;
	uint64_t captures; /* since pmuvisor started */
};

struct pmu;

/* Finds out which kind there is and gives them to their owner; nothing records. */
void lbr_init(struct pmu *pmu, enum config_lbr owner);
/* The vendor, right after an exit with lbr.root; and with lbr.now, as the last thing that it does for the gate. */
void lbr_root_begin(struct pmu *pmu);
void lbr_root_end(struct pmu *pmu);

#endif
