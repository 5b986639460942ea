/*
 * The inside of the PMU model: what its sources share, and nobody else but its tests includes.
 */
#ifndef PMU_PRIVATE_H
#define PMU_PRIVATE_H

#include <stddef.h>

#include "pmu_model.h"

#define BIT(n)       (UINT64_C(1) << (n))
#define BITS(hi, lo) ((BIT(hi) << 1) - BIT(lo)) /* BITS(63, 0) works: the shift wraps to 0 */

/* SDM Vol. 4, "IA-32 Architectural MSRs" and "MSRs in the Ice Lake microarchitecture" (MSR_ names). */
#define MSR_IA32_PMC0                  0x0c1
#define MSR_IA32_PERFEVTSEL0           0x186
#define EVTSEL_USR                     BIT(16)
#define EVTSEL_OS                      BIT(17)
#define EVTSEL_EDGE                    BIT(18)
#define EVTSEL_INT                     BIT(20)
#define EVTSEL_ANY                     BIT(21)
#define EVTSEL_EN                      BIT(22)
#define EVTSEL_INV                     BIT(23)
#define EVTSEL_ADAPTIVE                BIT(34)
#define EVTSEL_EQ                      BIT(36)
#define EVTSEL_UMASK2                  BITS(47, 40)
#define MSR_IA32_MISC_ENABLE           0x1a0
#define MISC_ENABLE_PERFMON            BIT(7)
#define MSR_OFFCORE_RSP_0              0x1a6
#define MSR_LBR_SELECT                 0x1c8
#define MSR_LASTBRANCH_TOS             0x1c9
#define MSR_IA32_DEBUGCTL              0x1d9
#define MSR_LER_FROM_IP                0x1dd /* TO follows */
#define MSR_IA32_LER_INFO              0x1e0
#define DEBUGCTL_LBR                   BIT(0)
#define DEBUGCTL_BTF                   BIT(1)
#define DEBUGCTL_TR                    BIT(6)
#define DEBUGCTL_FREEZE_LBRS_ON_PMI    BIT(11)
#define DEBUGCTL_FREEZE_PERFMON_ON_PMI BIT(12)
#define DEBUGCTL_ENABLE_UNCORE_PMI     BIT(13)
#define DEBUGCTL_FREEZE_WHILE_SMM      BIT(14)
/*
 * "IA32_DEBUGCTL MSR". Reserved here: bus-lock detection and RTM, which this processor lacks, and all of BTS. Bit 14
 * can be written whether or not PERF_CAPABILITIES announces it: Linux writes it from version 2 on.
 */
#define DEBUGCTL_WRITABLE                                                                                              \
	(DEBUGCTL_LBR | DEBUGCTL_BTF | DEBUGCTL_TR | DEBUGCTL_FREEZE_LBRS_ON_PMI | DEBUGCTL_FREEZE_PERFMON_ON_PMI |    \
	 DEBUGCTL_ENABLE_UNCORE_PMI | DEBUGCTL_FREEZE_WHILE_SMM)
#define MSR_IA32_FIXED_CTR0               0x309
#define MSR_PERF_METRICS                  0x329
#define MSR_IA32_PERF_CAPABILITIES        0x345
#define PERF_CAP_LBR_FMT                  BITS(5, 0)
#define LBR_FMT_INFO                      UINT64_C(5) /* the mispredict bit is in LBR_INFO */
#define PERF_CAP_PEBS_TRAP                BIT(6)
#define PERF_CAP_PEBS_ARCH_REG            BIT(7)
#define PERF_CAP_PEBS(format)             (UINT64_C(format) << 8)
#define PERF_CAP_PEBS_FORMAT(caps)        ((caps)->perf_capabilities >> 8 & 0xf)
#define PERF_CAP_FW_WRITE                 BIT(13)
#define PERF_CAP_PEBS_BASELINE            BIT(14)
#define PERF_CAP_METRICS                  BIT(15)
#define PERF_CAP_METRICS_CLEAR            BIT(19)
#define MSR_IA32_FIXED_CTR_CTRL           0x38d
#define FIXED_OS(m)                       BIT(4 * (m))
#define FIXED_USR(m)                      BIT(4 * (m) + 1)
#define FIXED_ANY(m)                      BIT(4 * (m) + 2)
#define FIXED_PMI(m)                      BIT(4 * (m) + 3)
#define FIXED_ADAPTIVE(m)                 BIT(32 + 4 * (m))
#define FIXED_METRICS_CLEAR_EN            BIT(14)
#define MSR_IA32_PERF_GLOBAL_STATUS       0x38e
#define STATUS_PERF_METRICS               BIT(48)
#define STATUS_LBR_FRZ                    BIT(58)
#define STATUS_CTR_FRZ                    BIT(59)
#define STATUS_OVF_UNCORE                 BIT(61)
#define STATUS_OVF_BUF                    BIT(62)
#define STATUS_COND_CHGD                  BIT(63)
#define MSR_IA32_PERF_GLOBAL_CTRL         0x38f
#define MSR_IA32_PERF_GLOBAL_STATUS_RESET 0x390
#define MSR_IA32_PERF_GLOBAL_STATUS_SET   0x391
#define MSR_IA32_PERF_GLOBAL_INUSE        0x392
#define INUSE_PMI                         BIT(63)
#define MSR_IA32_PEBS_ENABLE              0x3f1
#define MSR_PEBS_DATA_CFG                 0x3f2
#define PEBS_CFG_MEMORY                   BIT(0)
#define PEBS_CFG_GPR                      BIT(1)
#define PEBS_CFG_XMM                      BIT(2)
#define PEBS_CFG_LBR                      BIT(3)
#define PEBS_CFG_COUNTERS                 BIT(4)
#define PEBS_CFG_METRICS                  BIT(5)
#define PEBS_CFG_NR_LBRS                  BITS(31, 24) /* less one */
#define PEBS_CFG_GP_MASK                  BITS(47, 32)
#define PEBS_CFG_FIXED_MASK               BITS(55, 48)
#define MSR_PEBS_LD_LAT                   0x3f6
#define MSR_PEBS_FRONTEND                 0x3f7
#define MSR_IA32_A_PMC0                   0x4c1
#define MSR_IA32_DS_AREA                  0x600
#define MSR_LASTBRANCH_0_FROM_IP          0x680
#define MSR_LASTBRANCH_0_TO_IP            0x6c0
#define MSR_LBR_INFO_0                    0xdc0
#define MSR_IA32_LBR_0_INFO               0x1200
#define MSR_IA32_LBR_CTL                  0x14ce
#define LBR_CTL_EN                        BIT(0)
#define LBR_CTL_OS                        BIT(1)
#define LBR_CTL_USR                       BIT(2)
#define LBR_CTL_CALL_STACK                BIT(3)
#define LBR_CTL_TYPES                     BITS(22, 16)
#define MSR_IA32_LBR_DEPTH                0x14cf
#define MSR_IA32_LBR_0_FROM_IP            0x1500
#define MSR_IA32_LBR_0_TO_IP              0x1600
#define LBR_INFO_CYCLES                   BITS(15, 0)
#define LBR_INFO_CYCLES_VALID             BIT(60)
#define LBR_INFO_TSX_ABORT                BIT(61)
#define LBR_INFO_IN_TSX                   BIT(62)
#define LBR_INFO_MISPREDICTED             BIT(63)
#define MSR_IA32_PMC_GP0_CTR              0x1900 /* version 6: four addresses a counter, also from 1980H on */
#define MSR_IA32_PMC_FX0_CTR              0x1980
#define NR_PMC_BLOCK                      0x100

#define NR_OLD_GP   8 /* general-purpose counters that the addresses from before version 6 reach */
#define NR_COUNTERS (PMU_MODEL_MAX_GP + PMU_MODEL_MAX_FIXED) /* fixed last */

/* What can happen while one instruction executes, and how often; see pmu_events.c. */
enum pmu_signal {
	SIGNAL_NONE,
	SIGNAL_INSTRUCTIONS,
	SIGNAL_CORE_CYCLES,
	SIGNAL_SLOTS,
	SIGNAL_SLOTS_RETIRING,
	SIGNAL_SLOTS_BAD_SPECULATION,
	SIGNAL_SLOTS_FRONTEND,
	SIGNAL_SLOTS_BACKEND,
	SIGNAL_TSC_CYCLES,
	SIGNAL_CRYSTAL_CYCLES,
	SIGNAL_LLC_REFERENCES,
	SIGNAL_LLC_MISSES,
	SIGNAL_LOADS,
	SIGNAL_SLOW_LOADS, /* above the threshold in MSR_PEBS_LD_LAT */
	SIGNAL_STORES,
	SIGNAL_BRANCHES,
	SIGNAL_COND,
	SIGNAL_COND_TAKEN,
	SIGNAL_COND_NOT_TAKEN,
	SIGNAL_NEAR_CALLS,
	SIGNAL_NEAR_RETURNS,
	SIGNAL_NEAR_TAKEN,
	SIGNAL_FAR,
	SIGNAL_INDIRECT,
	SIGNAL_MISPREDICTED,
	SIGNAL_MISPREDICTED_COND,
	SIGNAL_TAKEN, /* near or far */
	NR_SIGNALS,
};

enum pmu_privilege { PRIVILEGE_OS, PRIVILEGE_USR, NR_PRIVILEGES };

struct pmu_counter {
	uint64_t value;
	/* Worked out from the registers by pmu_configure(). */
	enum pmu_signal signal;
	bool counts[NR_PRIVILEGES]; /* enabled everywhere it must be, for instructions of that class */
	bool pmi;
	bool edge, invert;
	unsigned cmask;
	bool equal;     /* cmask is compared with "equal", not "at least" */
	bool condition; /* whether the condition held at the last instruction: the edge detector's memory */
	/* For tests; from power-on. */
	uint64_t overflows, pmis;
};

#define PREDICTOR_JCCS    4096
#define PREDICTOR_TARGETS 512
#define PREDICTOR_RETURNS 16

struct pmu_predictor {
	uint8_t jccs[PREDICTOR_JCCS];
	uint64_t targets[PREDICTOR_TARGETS];
	uint64_t returns[PREDICTOR_RETURNS];
	unsigned top;
};

#define FIRST_LINES 512
#define LLC_SETS    1024
#define LLC_WAYS    8

enum pmu_source { SOURCE_NONE, SOURCE_L1, SOURCE_L3, SOURCE_LOCAL_MEMORY };
_Static_assert(SOURCE_LOCAL_MEMORY + 1 == PMU_MODEL_LEVELS, "pmu_model_caps has a code for each");

struct pmu_access {
	uint64_t linear;
	enum pmu_source source; /* SOURCE_NONE: there was no such access */
	unsigned latency;       /* core cycles */
};

struct pmu_cache {
	uint64_t first[FIRST_LINES];      /* line number + 1; 0 is empty */
	uint64_t llc[LLC_SETS][LLC_WAYS]; /* sector number + 1, most recently used first; 0 is empty */
};

/* SDM Vol. 3B, "Branch Type Information": what IA32_LBR_x_INFO.BR_TYPE holds. */
enum pmu_lbr_type {
	LBR_COND,
	LBR_NEAR_IND_JMP,
	LBR_NEAR_REL_JMP,
	LBR_NEAR_IND_CALL,
	LBR_NEAR_REL_CALL,
	LBR_NEAR_RET,
	LBR_OTHER = 8,
};

struct pmu_lbr_entry {
	uint64_t from, to, info;
};

struct pmu_lbr {
	struct pmu_lbr_entry entries[PMU_MODEL_MAX_LBRS]; /* a ring of pmu_lbr_depth(), the newest at `top` */
	struct pmu_lbr_entry last, ler;                   /* the last one recorded; as it was before the last event */
	unsigned top;                                     /* MSR_LASTBRANCH_TOS */
	uint64_t select;                                  /* MSR_LBR_SELECT */
	uint64_t ctl, depth;                              /* IA32_LBR_CTL, IA32_LBR_DEPTH */
	bool timed;                                       /* there was a record to count cycles from: */
	uint64_t instructions;                            /* retired when it was made */
	/* The taken branch that is being executed: recorded when it retires. */
	bool branching;
	enum pmu_model_branch kind;
	bool mispredicted;
	struct pmu_model_transfer transfer;
};

/*
 * Sets of counters are numbered as in GLOBAL_STATUS. A counter is armed while its bits in GLOBAL_STATUS and PEBS_ENABLE
 * are both set: nothing more is kept of it.
 */
struct pmu_pebs {
	uint64_t enable, data_cfg, ds_area, latency, frontend;
	/* Worked out from the registers by pmu_configure(). */
	uint64_t precise, pdist;
	uint64_t late;                 /* armed when the last VM exit came; none in a guest */
	bool in_root;                  /* there was a VM exit, and no entry since */
	bool overflow_pmi;             /* raised after the record that is due */
	struct pmu_access load, store; /* of the instruction whose record is due */
	/* For tests; from power-on. */
	uint64_t attempts, finished, written, written_in_root, dropped;
};

struct pmu_metrics {
	uint64_t value; /* MSR_PERF_METRICS as of the last fold */
	uint64_t slots; /* fixed counter 3 then */
	bool on;        /* worked out from the registers */
	bool stale;     /* fixed counter 3 was written, and the metrics not since */
};

/* pmu_amd.c, pmu_amd_lbr.c */
struct pmu_amd {
	bool svme, in_guest;
	uint64_t dbg_extn_cfg;
	struct pmu_model_vmcb host; /* what LBR virtualization keeps for #VMEXIT */
};

struct pmu_model {
	struct pmu_model_hot hot; /* first: pmu_model.h reaches it by a cast */
	struct pmu_model_caps caps;
	struct pmu_model_ops ops;
	void *opaque;

	struct pmu_counter counters[NR_COUNTERS];
	uint64_t evtsel[PMU_MODEL_MAX_GP];
	uint64_t fixed_ctr_ctrl, global_ctrl, global_status, debugctl, misc_enable;
	uint64_t offcore_rsp[2];
	uint32_t lvtpc;
	bool apic_enabled;

	/* pmu_count.c */
	uint64_t granted[NR_PRIVILEGES]; /* hot.budget as last folded: the difference retired since */
	bool no_shortcuts;
	bool halted;
	bool watches_clock;      /* somebody counts reference cycles */
	bool watches_accesses;   /* somebody counts loads or stores */
	bool watches_all;        /* somebody must see every instruction, also those without his events */
	uint8_t on[NR_COUNTERS]; /* the counters that count in either class: the others have nothing to do */
	unsigned nr_on;
	uint64_t clock;               /* the time-stamp counter when last looked at */
	uint64_t cycles;              /* stands in for a missing time-stamp counter */
	uint64_t signals[NR_SIGNALS]; /* of the instruction being executed, with what every one adds */
	uint64_t delivered, dropped;
	uint64_t retired;   /* as of the last fold */
	unsigned pmi_delay; /* instructions until the PMI that is under way is delivered; 0: none is */

	struct pmu_lbr lbr; /* pmu_lbr.c, pmu_lbr_arch.c */
	uint64_t branches_recorded, branches_recorded_in_root;

	/* pmu_events.c */
	struct pmu_predictor predictor;

	/* pmu_cache.c: the first load and the first store of the instruction being executed. */
	struct pmu_cache cache;
	struct pmu_access load, store;

	struct pmu_pebs pebs;       /* pmu_pebs.c */
	struct pmu_metrics metrics; /* pmu_metrics.c */
	struct pmu_amd amd;
};
_Static_assert(offsetof(struct pmu_model, hot) == 0, "the inline calls in pmu_model.h cast to it");

/* GLOBAL_STATUS and GLOBAL_CTRL bit number of counter index `i`, 0..NR_COUNTERS - 1. */
static inline unsigned pmu_status_bit(unsigned i)
{
	return i < PMU_MODEL_MAX_GP ? i : 32 + i - PMU_MODEL_MAX_GP;
}

/* What the processor has of PERF_CAPABILITIES. */
static inline bool pmu_has(const struct pmu_model *model, uint64_t capability)
{
	return model->caps.perf_capabilities & capability;
}

static inline bool pmu_is_amd(const struct pmu_model *model)
{
	return model->caps.vendor == PMU_MODEL_AMD;
}

static inline uint64_t pmu_counter_mask(const struct pmu_model *model)
{
	return BITS(model->caps.width - 1, 0);
}

/* pmu_events.c */
/* What general-purpose counter `n` counts if it is told so. */
enum pmu_signal pmu_event_signal(const struct pmu_model_caps *caps, unsigned n, uint64_t evtsel);
enum pmu_signal pmu_fixed_signal(unsigned fixed);
/* What every instruction adds to a signal; 0 for those that an instruction may or may not cause. */
extern const uint64_t pmu_signal_rates[NR_SIGNALS];

/*
 * pmu_count.c: call fold before reading or writing a counter, configure after any change to what counts or to a value.
 */
void pmu_fold(struct pmu_model *model);
void pmu_configure(struct pmu_model *model);
/* AMD: an exception, an interrupt or #VMEXIT, which led to `cpl`. */
void pmu_count_event(struct pmu_model *model, unsigned cpl);

/*
 * pmu_lbr.c. A taken branch, reported before it retires; pmu_lbr_retire() records it then, if there was one. Entry 0 is
 * the newest; false: no entry so old.
 */
bool pmu_lbr_enabled(const struct pmu_model *model);
void pmu_lbr_branch(struct pmu_model *model, enum pmu_model_branch kind, bool mispredicted,
		    const struct pmu_model_transfer *transfer);
void pmu_lbr_retire(struct pmu_model *model);
/* A branch of that type is one that LBR_SELECT or IA32_LBR_CTL asks for. */
bool pmu_lbr_selected(const struct pmu_model *model, enum pmu_lbr_type type, const struct pmu_model_transfer *transfer);
void pmu_lbr_push(struct pmu_model *model, const struct pmu_lbr_entry *entry);
unsigned pmu_lbr_depth(const struct pmu_model *model);
bool pmu_lbr_entry(const struct pmu_model *model, unsigned age, struct pmu_lbr_entry *entry);
void pmu_lbr_reset(struct pmu_model *model);
uint64_t pmu_lbr_canonical(uint64_t address);
/* What DEBUGCTL holds when `value` is written to it. */
uint64_t pmu_lbr_debugctl(const struct pmu_model *model, uint64_t value);

/* pmu_lbr_arch.c: what architectural LBR does otherwise. */
uint64_t pmu_lbr_ctl_writable(const struct pmu_model *model);
bool pmu_lbr_arch_selected(const struct pmu_model *model, enum pmu_lbr_type type,
			   const struct pmu_model_transfer *transfer);
bool pmu_lbr_arch_call_stack(const struct pmu_model *model);
void pmu_lbr_arch_finish(const struct pmu_model *model, enum pmu_lbr_type type,
			 const struct pmu_model_transfer *transfer, struct pmu_lbr_entry *entry);
unsigned pmu_lbr_arch_max_depth(const struct pmu_model *model);

/*
 * Registers of one kind, `count` of them from `first`, with one read and one write. `n` is the number within the kind.
 * Both return false for #GP(0). A table of them ends with a count of 0.
 */
struct pmu_register_kind {
	uint32_t first, count;
	bool (*read)(struct pmu_model *model, unsigned n, uint64_t *value);
	bool (*write)(struct pmu_model *model, unsigned n, uint64_t value);
};
extern const struct pmu_register_kind pmu_lbr_registers[], pmu_lbr_arch_registers[], pmu_pebs_registers[],
	pmu_metrics_registers[];

/* pmu_metrics.c: settle belongs to a fold, written to a write of a counter. False where there are no metrics. */
void pmu_settle_metrics(struct pmu_model *model);
void pmu_configure_metrics(struct pmu_model *model);
void pmu_counter_written(struct pmu_model *model, unsigned i);
void pmu_metrics_reloaded(struct pmu_model *model);
bool pmu_is_metrics_counter(const struct pmu_model *model, unsigned i);
bool pmu_read_metrics(struct pmu_model *model, uint64_t *value);
bool pmu_rdpmc_metrics(struct pmu_model *model, uint64_t *value);
void pmu_clear_metrics(struct pmu_model *model);
void pmu_reset_metrics(struct pmu_model *model);

/* pmu_amd.c, pmu_amd_lbr.c: what AMD does otherwise. */
extern const struct pmu_register_kind pmu_amd_registers[], pmu_amd_lbr_registers[];
enum pmu_signal pmu_amd_signal(uint64_t ctl);
bool pmu_amd_counts_here(const struct pmu_model *model, uint64_t ctl);
bool pmu_amd_rdpmc(struct pmu_model *model, uint32_t ecx, uint64_t *value);
void pmu_amd_cpuid(const struct pmu_model_caps *caps, uint32_t leaf, uint32_t regs[4]);
uint64_t pmu_amd_debugctl_writable(const struct pmu_model *model);
bool pmu_amd_lbr_enabled(const struct pmu_model *model);
void pmu_amd_event(struct pmu_model *model, const struct pmu_model_transfer *transfer);
/* `event`: an exception or interrupt, or INT n and its like, which are one too. */
void pmu_amd_lbr_record(struct pmu_model *model, enum pmu_lbr_type type, bool event, bool mispredicted,
			const struct pmu_model_transfer *transfer);
void pmu_amd_lbr_read(const struct pmu_model *model, struct pmu_model_vmcb *state);
void pmu_amd_lbr_write(struct pmu_model *model, const struct pmu_model_vmcb *state);
void pmu_amd_lbr_control(struct pmu_model *model, const struct pmu_model_vmcb *state);

/* pmu_cache.c */
void pmu_forget_accesses(struct pmu_model *model);

/* pmu_pebs.c */
void pmu_configure_pebs(struct pmu_model *model);
void pmu_reset_pebs(struct pmu_model *model);
uint64_t pmu_armed(const struct pmu_model *model);
/*
 * An instruction retired that had `armed` as armed counters before it counted, and caused events for `counted`. True: a
 * record fell due with it.
 */
bool pmu_trigger_pebs(struct pmu_model *model, uint64_t armed, uint64_t counted);

/*
 * pmu_record.c: a record of the state now for counters `applicable`. Returns its size in bytes.
 */
#define PEBS_RECORD_MAX 2048
size_t pmu_build_record(struct pmu_model *model, uint64_t applicable, void *record);
/* The groups of that record, as in PEBS_DATA_CFG. */
uint64_t pmu_record_config(const struct pmu_model *model, uint64_t applicable);

/* pmu_registers.c. A write to a register that decides what counts: false, and nothing done, if it is not `writable`. */
bool pmu_read_counter(struct pmu_model *model, unsigned i, uint64_t *value);
void pmu_write_counter(struct pmu_model *model, unsigned i, uint64_t value);
bool pmu_write_config(struct pmu_model *model, uint64_t *reg, uint64_t value, uint64_t writable);
uint64_t pmu_gp_bits(const struct pmu_model *model);
uint64_t pmu_fixed_bits(const struct pmu_model *model);
uint64_t pmu_global_ctrl_writable(const struct pmu_model *model);
void pmu_reset_registers(struct pmu_model *model);

/* pmu_model.c: a performance-monitoring interrupt was signalled; it reaches the local APIC. */
void pmu_raise_pmi(struct pmu_model *model);
void pmu_deliver_pmi(struct pmu_model *model);

#endif
