/*
 * The PMU under two owners: which counters are the guest's, which the host's (pmuvisor's), and how the registers both
 * need are merged. Vendor-neutral: counters are named by their bit in the global control register (n: general-purpose
 * counter n, 32 + m: fixed counter m); no register number stands here.
 *
 * direct: the host counts nothing while the guest runs. The guest reaches the global registers, RDPMC and its PMI
 *	   itself.
 * shared: host counters run with the guest's. The global registers are "closed": accesses exit and are merged. When a
 *	   PMI is delivered to the guest as an NMI they are opened, with the host paused, until the guest's IRET ends
 *	   the handler ("window").
 */
#ifndef HV_PMU_H
#define HV_PMU_H

#include <stdbool.h>
#include <stdint.h>

#include "bits.h"
#include "config.h"
#include "lbr.h"
#include "pebs.h"

/* Bits of the global status register beside the counters'; the same for both vendors. */
#define PMU_METRICS           BIT(48) /* also of the control register: PERF_METRICS, which goes with fixed counter 3 */
#define PMU_STATUS_LBR_FROZEN BIT(58)
#define PMU_STATUS_CTR_FROZEN BIT(59)
#define PMU_STATUS_PEBS       BIT(62)                         /* a PEBS buffer has reached its threshold */
#define PMU_STATUS_PMI        (PMU_METRICS | PMU_STATUS_PEBS) /* interrupt of themselves, with no selector to ask */
#define PMU_METRICS_COUNTER   BIT(35)

/* What this CPU's PMU has. Filled once by the vendor's ident(); after that nobody asks "Intel?". */
struct pmu_caps {
	unsigned version;
	unsigned nr_gp, width; /* width in bits, of every counter */
	uint32_t fixed;        /* bitmap */
	uint64_t counters;     /* all of them, in the global layout */
	uint64_t clear_flags;  /* status bits beside the counters' that a guest may clear, */
	uint64_t set_flags;    /* and set */
	uint64_t capabilities; /* IA32_PERF_CAPABILITIES, 0 where there is none */
	unsigned nr_named;     /* what software takes the general-purpose counters to be; 0: what CPUID says */
	bool global;           /* there are global registers; if not, the vendor's operations stand for them */
	bool pmi_masks;        /* the local APIC masks LVTPC when it delivers a PMI */
	bool metrics;
	bool pebs;              /* with records that the guest can shape and on every counter: Ice Lake and later */
	bool pebs_ept_friendly; /* a record that exits or faults is kept, and written after the next entry */
	unsigned pebs_format;   /* of its records */
	unsigned ds_size;       /* of its management area, in bytes */
};

enum pmu_global { PMU_CTRL, PMU_STATUS, PMU_STATUS_CLEAR, PMU_STATUS_SET, PMU_INUSE };

struct guest_msrs;

/* The vendor's registers. Every access is one MSR access unless said otherwise; all run in root mode. */
struct pmu_ops {
	const char *name;
	bool (*ident)(struct pmu_caps *caps);
	void (*enable)(uint64_t counters); /* the global control register, now, in root mode */
	uint64_t (*enabled)(void);         /* the global control register */
	uint64_t (*status)(void);
	void (*clear_status)(uint64_t bits);
	void (*set_status)(uint64_t bits);
	uint64_t (*read)(unsigned counter);
	void (*write)(unsigned counter, uint64_t value);
	void (*program)(unsigned counter, const struct config_event *event); /* NULL: off */
	/* Of `counters`, those whose selectors are set to anything. */
	uint64_t (*used)(uint64_t counters);
	/* Of `counters`, those that count a retired instruction at this privilege (reads one selector each). */
	uint64_t (*counts_instructions)(uint64_t counters, bool user);
	/*
	 * Of `counters`, those that count the entry into the guest as an event of the guest's. NULL: an entry is none.
	 */
	uint64_t (*counts_entry)(uint64_t counters, bool user);
	/* Switches counters of the guest's off for a while, and on again. With counts_entry. */
	void (*suspend)(uint64_t counters, bool suspended);
	/* Of `counters`, those whose overflow asks for a PMI (reads one selector each). */
	uint64_t (*interrupting)(uint64_t counters);
	/* The in-use register as it would read with these counters alone, and whether PEBS is enabled for one. */
	uint64_t (*inuse)(uint64_t counters, bool pebs);
	/* Where caps.pebs says so. Enabling in root mode lets records be written there. */
	uint64_t (*pebs_enabled)(void);
	void (*pebs_enable)(uint64_t counters);
	/* The kinds of LBRs there may be; the first that this CPU has is taken. */
	const struct lbr_ops *lbr[2];
	const struct guest_msrs *msrs; /* the guest's, as far as their accesses exit */
};
extern const struct pmu_ops pmu_intel, pmu_amd;

/* What the next VM entry must establish. Written here, carried into the VMCS or VMCB by the vendor when `dirty`. */
struct pmu_gate {
	bool dirty;
	bool open; /* global registers and DEBUGCTL untrapped; the vendor keeps guest_ctrl up to date at each exit */
	bool rdpmc_open;
	bool nmi_exits;       /* NMIs exit, and the guest has virtual NMI blocking */
	bool nmi_window;      /* exit as soon as an NMI could be injected */
	bool apic_trapped;    /* xAPIC mode: accesses to the APIC's page exit */
	bool step;            /* exit after the next instruction */
	uint64_t guest_ctrl;  /* global control while the guest runs, */
	uint64_t host_ctrl;   /* and from the exit on */
	bool pebs_active;     /* exits store and clear PEBS_ENABLE, entries load it; while open it doesn't trap */
	uint64_t pebs_enable; /* what they load: the guest's; 0 while not active */
	bool records;         /* the LBRs record for the host in the guest, which must not see it */
	uint64_t disguised;   /* selectors that differ from what the guest wrote: reading them exits */
	/*
	 * PMU_STATUS_*_FROZEN: which freezes on PMI the hardware does; from opening to closing the guest's own to
	 * change.
	 */
	uint64_t freeze;
};

/*
 * Whether the guest's DEBUGCTL must be put together anew, from what was last applied. While open it is the guest's; and
 * while it records for the host, a #DB or a write of the guest's may have changed it.
 */
static inline bool pmu_debugctl_changes(const struct pmu_gate *gate, bool open, uint64_t freeze, bool records)
{
	if (gate->open || open)
		return gate->open != open;
	return gate->freeze != freeze || gate->records || records;
}

#define PMU_MAX_KEPT 8

/*
 * What a vendor's operations know without reading a register, because the guest's accesses to it exit or because it
 * isn't there. Counters are general-purpose ones; [0] is privilege level 0, [1] the others.
 */
struct pmu_kept {
	uint64_t ctrl;                    /* global control; while open, as of the last exit */
	uint64_t status;                  /* overflows, where no register has them */
	uint64_t selectors[PMU_MAX_KEPT]; /* as written to the hardware, */
	uint64_t written[PMU_MAX_KEPT];   /* and by the guest */
	uint64_t seen[PMU_MAX_KEPT];      /* where no register has the overflows: the counters when last looked at */
	uint64_t interrupting;            /* by their selectors these ask for PMIs, */
	uint64_t instructions[2];         /* count retired instructions, */
	uint64_t entries[2];              /* and entries into the guest */
};

#define PMU_MAX_HOST_EVENTS (CONFIG_MAX_EVENTS + 16) /* as many counters as the host can keep */

struct pmu_host_event {
	const struct config_event *config;
	unsigned counter;
	bool tells;           /* its overflows are PMIs of the guest's too */
	uint64_t overflows;   /* of the period */
	uint64_t total;       /* events counted up to the last write of the counter */
	uint64_t start;       /* the value last written to the counter, */
	uint64_t entered;     /* entries until then that it counted, */
	uint64_t left;        /* and events of the period that were still to come */
	bool counts_entry[2]; /* at privilege level 0, and at others */
	uint64_t paused_at;   /* its value while a window is open */
};

/* Since pmuvisor started; printed by dump.c. */
struct pmu_stats {
	uint64_t host_pmis;           /* overflows of host counters that came by an NMI */
	uint64_t host_late;           /* and those found without one, because the guest kept the LVTPC masked */
	uint64_t guest_pmis;          /* hardware PMIs passed on to the guest in shared mode */
	uint64_t guest_pmis_emulated; /* PMIs of an overflow by an emulated instruction */
	uint64_t guest_pmis_masked;   /* PMIs the guest's LVTPC had masked, dropped as the APIC does */
	uint64_t guest_nmis;          /* NMIs that no counter explains, passed on */
	uint64_t root_nmis;           /* NMIs of any kind that arrived in root mode */
	uint64_t merged_nmis;         /* NMIs for the guest that came while one still waited to be taken */
	uint64_t windows;
	uint64_t paused_tsc;    /* time with the host's counters paused, in TSC ticks */
	uint64_t emulated;      /* instructions completed for the guest and counted */
	uint64_t hidden_writes; /* exits that found the guest had enabled a hidden counter's bit (harmless) */
};

struct pmu {
	const struct pmu_ops *ops;
	struct pmu_caps caps;
	uint64_t guest, host; /* the partition, in the global layout */
	uint64_t controls; /* bits of the global control register that are the guest's: its counters, perhaps metrics */
	bool shared, window;
	bool rdpmc_direct;
	/* The guest's own registers, where the hardware can't hold them because the host's share it: */
	uint64_t guest_ctrl;   /* while closed */
	uint64_t guest_status; /* while closed: bits taken out of the hardware, or set by emulation */
	uint64_t status_stays; /* bits beside the counters' that are the guest's in the hardware, closed or not */
	uint64_t guest_freeze; /* while closed: DEBUGCTL's two freeze bits, as PMU_STATUS_*_FROZEN */
	uint32_t guest_lvtpc;  /* while closed: what the guest's LVTPC holds, */
	bool borrowed;         /* and whether the hardware's holds the host's instead */
	bool emulated;         /* where entries count: the next one stands for an emulated instruction; */
	uint64_t entries[2];   /* so many while a counter of the host's counted them: at level 0, at others; */
	uint64_t taken;        /* these counters have one taken off for the entry, */
	uint64_t ahead;        /* these will have counted one that stands for nothing, */
	uint64_t suspended;    /* and these are off till the next exit */
	uint64_t step_armed;   /* overflows of before gate.step, whose records are still to come */
	/* The host's: */
	uint64_t host_in_guest, host_in_host; /* counters live in guest mode, in root mode */
	uint64_t host_sampling;               /* counters with a period, */
	bool held;                            /* for now kept far from overflowing */
	uint64_t window_since;                /* TSC */
	unsigned nr_events;                   /* the configuration's, */
	unsigned nr_live;                     /* and behind them those that the guest has opened */
	struct pmu_host_event events[PMU_MAX_HOST_EVENTS];
	bool told; /* one that tells has overflowed, and the guest's PMI is still to be made */
	struct pmu_kept kept;
	struct pebs pebs;
	struct lbr lbr;
	struct pmu_gate gate;
	struct pmu_stats stats;
};

struct cpu;

/*
 * Takes over this CPU's PMU for `config`, which config_fits() has accepted: the host's counters are cleared and
 * programmed. False: the vendor's ident() found no PMU it can use, and nothing was changed.
 */
bool pmu_init(struct cpu *cpu, const struct pmu_ops *ops, const struct hv_config *config);

/* Gives it back as it was, for a start that goes no further. */
void pmu_release(struct cpu *cpu);

/* Start or stop the host's events: stopped, the PMU is in direct mode. The guest can't tell. */
void pmu_host_enable(struct cpu *cpu, bool enable);

/* The guest's accesses to trapped registers. False: the access takes #GP. */
bool pmu_read_global(struct cpu *cpu, enum pmu_global reg, uint64_t *value);
bool pmu_write_global(struct cpu *cpu, enum pmu_global reg, uint64_t value);
void pmu_write_freeze(struct cpu *cpu, uint64_t freeze);
/* While open the guest has written the global control register, in which `own` bits were pmuvisor's. */
void pmu_ctrl_written(struct pmu *pmu, uint64_t ctrl, uint64_t own);
/* The guest is about to let a counter that interrupts count, other than by PMU_CTRL. */
void pmu_counter_enabled(struct cpu *cpu);

/* An instruction was completed on the guest's behalf: it counts as one retired. */
void pmu_emulated(struct cpu *cpu);

/*
 * Where entries count. The guest is about to be entered: returns the counters that will be one ahead until the next
 * exit; the guest must not reach them without one. `to_kernel`: by an event it comes to privilege level 0 at once, and
 * exits before it leaves that.
 */
uint64_t pmu_entering(struct cpu *cpu, bool to_kernel);
/* Has that changed anything? */
static inline bool pmu_entry_counts(const struct pmu *pmu)
{
	return pmu->taken | pmu->ahead | pmu->suspended;
}
/* If so: it was entered and has exited; or it wasn't after all. */
void pmu_entered(struct cpu *cpu);
void pmu_not_entered(struct cpu *cpu);

/* An NMI exited, or arrived in root mode. Afterwards cpu->nmi says whether the guest gets one. */
void pmu_nmi(struct cpu *cpu);
/* The same for those that arrived in root mode so far. */
void pmu_root_nmis(struct cpu *cpu);
/* The guest's handler of a PMI has ended: close the window, resume the host. */
void pmu_window_end(struct cpu *cpu);
/* The vendor has injected the NMI that pmu_nmi() asked for. */
void pmu_nmi_injected(struct cpu *cpu);

/* The guest can't take its NMI yet. */
void pmu_nmi_blocked(struct cpu *cpu);
/* LVTPC where it is trapped: closed, in x2APIC mode. False: #GP. */
bool pmu_read_lvtpc(struct cpu *cpu, uint64_t *value);
bool pmu_write_lvtpc(struct cpu *cpu, uint64_t value);
/* IA32_APIC_BASE was written. */
void pmu_apic_mode_changed(struct cpu *cpu);

/* INIT reached this CPU. NMIs under way end with it. */
void pmu_reset(struct cpu *cpu);

/* While the LVTPC is borrowed: the guest is about to access the APIC's page, and has done so. */
void pmu_apic_access(struct cpu *cpu);
void pmu_apic_accessed(struct cpu *cpu);

/* pmu->told: events that the guest has opened have overflowed, and it gets the PMI that it asked for with them. */
void pmu_tell_guest(struct cpu *cpu);

/* Overflows that no NMI announced. Called with each dump. */
void pmu_poll(struct cpu *cpu);

/*
 * Between these two events are added to the host's, and removed. If a window is open it ends. Afterwards the mode is
 * what all of them together need.
 */
void pmu_host_change_begin(struct cpu *cpu);
void pmu_host_change_end(struct cpu *cpu);
/* A counter that could count it, of the host's counters `free`; PMU_NO_COUNTER: there is none. */
#define PMU_NO_COUNTER 64u
unsigned pmu_host_counter_for(const struct pmu *pmu, const struct config_event *event, uint64_t free);
/* Host counters without an event. */
uint64_t pmu_host_free(const struct pmu *pmu);
/* Starts on such a counter, with `done` events of the period behind it. `config` stays where it is. */
void pmu_host_add(struct pmu *pmu, unsigned counter, const struct config_event *config, uint64_t done, bool tells);
/* The event on this counter; NULL: none. */
struct pmu_host_event *pmu_host_event_on(struct pmu *pmu, unsigned counter);
/* Takes it off. Its count and overflows are those of *event then; `*done`: events of the period behind it. */
void pmu_host_remove(struct pmu *pmu, unsigned counter, struct pmu_host_event *event, uint64_t *done);
/* Events counted so far; exact while this CPU is in root mode. */
uint64_t pmu_host_count(const struct pmu *pmu, const struct pmu_host_event *event);
/* The same less what the counter holds, sign-extended: it changes only in root mode. */
uint64_t pmu_host_ahead(struct pmu *pmu, unsigned counter);

#endif
