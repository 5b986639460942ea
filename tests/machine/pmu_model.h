/*
 * A functional model of one logical processor's PMU: Intel's, architectural versions 4 to 6 (Ice Lake server, Sapphire
 * Rapids or a performance core of Arrow Lake), or AMD's, with PerfMonV2 and LBR v2 (Zen 4) or without (Zen 3).
 *
 * Written from the architecture, not from what pmuvisor needs. Plain C: the test machine (Bochs) and the host tests
 * link the same file. The caller reports what the processor does (an instruction retired, a branch, a memory access, a
 * VMX transition); the model counts, sets status, freezes, and delivers PMIs through its LVTPC by a callback.
 *
 * The rules and where they come from are named in the sources, one comment per rule: pmu_registers.c, pmu_count.c
 * (selection, overflow), pmu_events.c (and the predictor and cycle models), pmu_cache.c, pmu_pebs.c (when a record is
 * written), pmu_record.c (what is in it), pmu_model.c (PMI, VMX), pmu_cpuid.c; AMD's are in pmu_amd.c (registers,
 * events, CPUID, SVM) and pmu_amd_lbr.c.
 */
#ifndef PMU_MODEL_H
#define PMU_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PMU_MODEL_MAX_GP    10
#define PMU_MODEL_MAX_FIXED 4
#define PMU_MODEL_MAX_LBRS  32
#define PMU_MODEL_LEVELS    4  /* of the memory hierarchy, and none */
#define PMU_MODEL_LBRS_V2   16 /* AMD's LBR v2 */

enum pmu_model_vendor { PMU_MODEL_INTEL, PMU_MODEL_AMD };

/* What this processor has; the caller owns it and may describe a smaller one (fewer counters) for comparison. */
struct pmu_model_caps {
	const char *name;
	uint32_t signature; /* family, model and stepping: CPUID.01H:EAX */
	enum pmu_model_vendor vendor;
	uint32_t core;              /* kind and native model of the core: CPUID.1AH:EAX of a hybrid package; 0: none */
	bool hybrid;                /* there are cores of other kinds in the package; the caller's to say */
	unsigned version;           /* CPUID.0AH:EAX[7:0]: 4 to 6 */
	unsigned nr_gp;             /* 1..10; above 8 only in version 6 */
	unsigned nr_fixed;          /* 0..4, contiguous from 0 */
	unsigned common_fixed;      /* those of CPUID.0AH: what every kind of core in the package has */
	unsigned width;             /* counter width in bits: 48 */
	uint32_t events;            /* architectural events, numbered as in CPUID.0AH:EBX; a 1 for each there is */
	uint32_t common_events;     /* those of CPUID.0AH */
	bool umask2, eq;            /* version 6: the selectors' fields of these names */
	bool reference_is_tsc;      /* event 3CH/01H counts at the time-stamp counter's rate, not the crystal's */
	bool saves_global_ctrl;     /* VM-exit control 30 */
	uint64_t perf_capabilities; /* IA32_PERF_CAPABILITIES, 345H; with LBR_FMT; bit 14: PEBS */
	unsigned lbr_depth;         /* model-specific LBR stack: 32 entries; 0: none */
	/* CPUID.1CH:EAX, EBX, ECX, architectural LBR: EAX[7:0], the depths, 0: none. A processor has one kind at most. */
	uint32_t arch_lbr[3];
	/* PEBS, beyond what perf_capabilities says. Counters are numbered as in GLOBAL_STATUS. */
	uint64_t pebs_pdist;         /* counters whose record is of the instruction that overflowed them */
	bool pebs_ept_friendly;      /* a DS access may fault or exit: the record is kept, and tried again later */
	uint32_t pebs_load_latency;  /* general-purpose counters that count event CDH/01H */
	uint32_t pebs_store_latency; /* and CDH/02H; if any does, a record has the cache's latency apart */
	uint8_t pebs_sources[PMU_MODEL_LEVELS]; /* as records name them: nothing, first and last cache, memory */
	uint64_t pebs_frontend;                 /* bits of MSR_PEBS_FRONTEND that can be written */
	bool metrics_level_2;                   /* PERF_METRICS has an upper half */
	unsigned linear_width;                  /* bits of a canonical linear address: 48 or 57 */
	/* AMD: CPUID.8000_0022H:EAX[2:0]. Of the fields above only names, counters, width and skid mean anything there. */
	bool core_ext;     /* PerfCtrExtCore: registers of their own for all counters, not only older ones for four */
	bool perfmon_v2;   /* the global registers */
	bool lbr_v2;       /* the stack of PMU_MODEL_LBRS_V2 */
	bool freezes;      /* DebugCtl[12:11] */
	bool vnmi;         /* CPUID.8000_000AH:EDX[25]: virtual NMIs */
	unsigned pmi_skid; /* instructions that still retire between an overflow and its PMI */
};
extern const struct pmu_model_caps pmu_model_icelake, pmu_model_sapphire_rapids, pmu_model_arrow_lake,
	pmu_model_arrow_lake_e;
extern const struct pmu_model_caps pmu_model_zen3, pmu_model_zen4;
/* NULL: there is none of that name. */
const struct pmu_model_caps *pmu_model_named(const char *name);

enum pmu_model_delivery { PMU_MODEL_FIXED = 0, PMU_MODEL_SMI = 2, PMU_MODEL_NMI = 4 }; /* LVTPC[10:8] */

struct pmu_model_regs {
	uint64_t event_ip; /* RIP of the instruction that just retired */
	uint64_t rip;      /* of the next */
	uint64_t rflags;
	uint64_t gpr[16]; /* RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8 to R15: their numbers in instructions */
	uint64_t xmm[16][2];
};

struct pmu_model_ops {
	/*
	 * The local APIC accepted a PMI: LVTPC was unmasked, and is masked now on Intel. `vector` matters for FIXED
	 * only; the caller is the APIC, so an illegal one (below 16) is for its error status.
	 */
	void (*deliver_pmi)(void *opaque, enum pmu_model_delivery mode, unsigned vector);
	/*
	 * Access the DS area at a linear address, in the current context, with supervisor rights; may cross pages. Both
	 * are called from pmu_model_pebs_assist() alone, and writes after all reads. False: the access faulted. They
	 * may also leave by longjmp: the model is then as if the record had not fallen due yet. NULL where
	 * perf_capabilities offers no PEBS.
	 */
	bool (*ds_read)(void *opaque, uint64_t linear, void *data, unsigned size);
	bool (*ds_write)(void *opaque, uint64_t linear, const void *data, unsigned size);
	/* The architectural state for a PEBS record: between the instruction that it is of and the next. */
	void (*registers)(void *opaque, struct pmu_model_regs *regs);
	/*
	 * A record fell due with the instruction retiring now, the one to report as `event_ip`. NULL: the caller asks
	 * pmu_model_pebs_due() after every instruction.
	 */
	void (*pebs_due)(void *opaque);
	/* The time-stamp counter, for reference cycles; never goes back. May be NULL: then one tick a core cycle. */
	uint64_t (*tsc)(void *opaque);
};

enum pmu_model_answer {
	PMU_MODEL_DONE,    /* handled */
	PMU_MODEL_GP,      /* handled: the access takes #GP(0) */
	PMU_MODEL_UNKNOWN, /* not a PMU register: somebody else's */
};

enum pmu_model_branch {
	PMU_MODEL_JCC,
	PMU_MODEL_JMP,
	PMU_MODEL_JMP_INDIRECT,
	PMU_MODEL_CALL,
	PMU_MODEL_CALL_NEXT, /* a direct call of the next instruction, displacement 0 */
	PMU_MODEL_CALL_INDIRECT,
	PMU_MODEL_RET,
	PMU_MODEL_FAR, /* far transfers that are instructions: far call/jmp/ret, iret, syscall, sysret */
	PMU_MODEL_INT, /* int n, int3, into, int1 */
};

/*
 * A change of control. Addresses are instruction pointers, not linear addresses: what LBR_FMT 5 and a clear
 * CPUID.1CH:EAX[31] promise. `from` is the branch instruction, or for an event the instruction that did not execute.
 */
struct pmu_model_transfer {
	uint64_t from, to;
	unsigned from_cpl, to_cpl;
};

/* A read-modify-write is both. */
enum pmu_model_access { PMU_MODEL_LOAD = 1, PMU_MODEL_STORE = 2 };

struct pmu_model;

/*
 * The front of struct pmu_model, here only for the inline calls below: they run for every emulated instruction.
 * Index 0 is CPL 0, index 1 is CPL 1 to 3, the two classes a selector can tell apart (OS, USR).
 */
struct pmu_model_hot {
	uint64_t budget[2]; /* instructions that may retire before the model has to look at one */
	bool pending;       /* the instruction being executed caused events */
	bool pebs_due;      /* a PEBS record is to be written before the next instruction */
	bool branches;      /* somebody counts branches, or they are recorded */
	bool accesses;      /* somebody counts memory accesses */
	bool records;       /* the LBR stack records */
	bool events;        /* delivered exceptions and interrupts are recorded, or counted as on AMD */
};

static inline struct pmu_model_hot *pmu_model_hot_part(struct pmu_model *model)
{
	return (struct pmu_model_hot *)model;
}

/* NULL: no memory. `caps` and `ops` are copied. The new model is as after pmu_model_reset(). */
struct pmu_model *pmu_model_new(const struct pmu_model_caps *caps, const struct pmu_model_ops *ops, void *opaque);
void pmu_model_free(struct pmu_model *model);
const struct pmu_model_caps *pmu_model_caps_of(const struct pmu_model *model);
/* RESET# or power-up. LVTPC has a call of its own: INIT too resets the APIC. */
void pmu_model_reset(struct pmu_model *model);
/* INIT leaves the PMU as it is, except that nothing more goes to the DS area. */
void pmu_model_init(struct pmu_model *model);
/*
 * Also software-disables the APIC, as either reset does to SVR: say when the guest enables it,
 * pmu_model_apic_enabled().
 */
void pmu_model_reset_lvtpc(struct pmu_model *model);

/*
 * RDMSR, WRMSR at CPL 0; RDPMC after the CPL/CR4.PCE check and the VMX intercept. MISC_ENABLE and DEBUGCTL are the
 * model's.
 */
enum pmu_model_answer pmu_model_rdmsr(struct pmu_model *model, uint32_t msr, uint64_t *value);
enum pmu_model_answer pmu_model_wrmsr(struct pmu_model *model, uint32_t msr, uint64_t value);
enum pmu_model_answer pmu_model_rdpmc(struct pmu_model *model, uint32_t ecx, uint64_t *value);
/* Local APIC register 340H. The write drops read-only bits; the caller has checked x2APIC's reserved bits. */
uint32_t pmu_model_read_lvtpc(const struct pmu_model *model);
void pmu_model_write_lvtpc(struct pmu_model *model, uint32_t value);
/* SVR[8]: a software-disabled APIC masks every LVT entry (and keeps it masked until enabled). */
void pmu_model_apic_enabled(struct pmu_model *model, bool enabled);
/* Patches the PMU fields of a CPUID leaf already filled in by the processor; regs = EAX, EBX, ECX, EDX. */
void pmu_model_cpuid(const struct pmu_model *model, uint32_t leaf, uint32_t subleaf, uint32_t regs[4]);

void pmu_model_retire_one(struct pmu_model *model, unsigned cpl);
void pmu_model_count_branch(struct pmu_model *model, enum pmu_model_branch kind, bool taken,
			    const struct pmu_model_transfer *transfer);
void pmu_model_record_event(struct pmu_model *model, const struct pmu_model_transfer *transfer);
void pmu_model_count_access(struct pmu_model *model, unsigned kinds, uint64_t linear, uint64_t physical, unsigned size);
void pmu_model_forget(struct pmu_model *model);

/*
 * One instruction retired; `cpl` is the CPL that pmu_model_counted_cpl() says. A REP string instruction retires once,
 * at its last iteration; a faulting or VM-exiting instruction never. Branches and memory accesses of the instruction
 * are reported before it retires and belong to it. A PMI caused by it is delivered before this returns, if the skid is
 * 0; a PEBS record that is due then, with its PMI, is for pmu_model_pebs_assist().
 */
static inline void pmu_model_retire(struct pmu_model *model, unsigned cpl)
{
	struct pmu_model_hot *hot = pmu_model_hot_part(model);

	if (--hot->budget[cpl != 0] == 0 || hot->pending)
		pmu_model_retire_one(model, cpl);
}

/* Whether pmu_model_branch() has anything to do, for a caller to whom it is dear to say where a branch goes. */
static inline bool pmu_model_watches_branches(struct pmu_model *model)
{
	return __builtin_expect(pmu_model_hot_part(model)->branches, false);
}

/* The instruction being executed is a branch; not taken, `to` is the next instruction. */
static inline void pmu_model_branch(struct pmu_model *model, enum pmu_model_branch kind, bool taken,
				    struct pmu_model_transfer transfer)
{
	if (pmu_model_watches_branches(model))
		pmu_model_count_branch(model, kind, taken, &transfer);
}

/*
 * An exception or interrupt was delivered, or one that VM entry injected: between instructions, and after the whole
 * delivery. An exit during it leaves nothing to report. INT n and its like are branches, unless injected.
 */
static inline void pmu_model_event(struct pmu_model *model, struct pmu_model_transfer transfer)
{
	if (pmu_model_hot_part(model)->events)
		pmu_model_record_event(model, &transfer);
}

/* A #DB is about to be delivered, and did not exit; not for one that VM entry injects. */
void pmu_model_debug_exception(struct pmu_model *model);

/* `kinds` of enum pmu_model_access; `linear` is for the PEBS record; `size` in bytes, at least 1. */
static inline void pmu_model_access(struct pmu_model *model, unsigned kinds, uint64_t linear, uint64_t physical,
				    unsigned size)
{
	if (pmu_model_hot_part(model)->accesses)
		pmu_model_count_access(model, kinds, linear, physical, size);
}

static inline bool pmu_model_pebs_due(struct pmu_model *model)
{
	return pmu_model_hot_part(model)->pebs_due;
}

/*
 * Writes the record that is due, and raises the PMIs that come with it; does nothing if none is due. To be called
 * between instructions, before anything else that may happen there (traps, interrupts). False: a DS access faulted.
 */
bool pmu_model_pebs_assist(struct pmu_model *model);

void pmu_model_clflush(struct pmu_model *model, uint64_t physical);

/* The instruction being executed faulted or exited: what was reported of it is forgotten. */
static inline void pmu_model_abort(struct pmu_model *model)
{
	if (pmu_model_hot_part(model)->pending)
		pmu_model_forget(model);
}

/* Time passes without retirement but not halted (unused by default), or halted: reference/core cycles stop in HLT. */
void pmu_model_halted(struct pmu_model *model, bool halted);

/* For tests: look at every instruction. What is counted must not depend on it. */
void pmu_model_no_shortcuts(struct pmu_model *model, bool on);

/*
 * VMX transitions. SDM Vol. 3C, "VM Entries" and "VM Exits": the caller does the MSR areas through rdmsr/wrmsr above,
 * in the architecture's order around these calls (entry loads after vmentry; exit stores before vmexit, exit loads
 * after). VMLAUNCH and VMRESUME retire in root operation: the caller retires them before vmentry, and not again
 * afterwards.
 */
struct pmu_model_vmcs {
	bool load_global_ctrl, load_debugctl;       /* VM-entry controls 13, 2 */
	uint64_t guest_global_ctrl, guest_debugctl; /* 2808H, 2802H */
	bool save_global_ctrl, save_debugctl; /* VM-exit controls 30, 2: where set, vmexit writes the guest fields */
	bool load_host_global_ctrl;           /* VM-exit control 12 */
	uint64_t host_global_ctrl;            /* 2C04H */
	/* Only with architectural LBR: VM-entry control 21, VM-exit control 26, and 2816H, which every exit writes. */
	bool load_lbr_ctl, clear_lbr_ctl;
	uint64_t guest_lbr_ctl;
};
bool pmu_model_vmentry_host_ok(const struct pmu_model *model,
			       const struct pmu_model_vmcs *vmcs); /* else VMfailValid 8 */
bool pmu_model_vmentry_guest_ok(const struct pmu_model *model,
				const struct pmu_model_vmcs *vmcs); /* else exit reason 33 */
void pmu_model_vmentry(struct pmu_model *model, const struct pmu_model_vmcs *vmcs);
void pmu_model_vmexit(struct pmu_model *model, struct pmu_model_vmcs *vmcs);

/* Of an instruction that changed the CPL: whether it counts where it executed (Intel) or where it led (AMD). */
unsigned pmu_model_counted_cpl(const struct pmu_model *model, unsigned before, unsigned after);

/*
 * SVM transitions, and EFER.SVME, whenever it may have changed. VMRUN is an instruction of the guest for AMD's
 * counters: the caller retires it after pmu_model_vmrun(), in the guest's CPL. #VMEXIT is an event of the host's. With
 * LBR virtualization the fields below are loaded by VMRUN and written by #VMEXIT, else they are left alone.
 */
struct pmu_model_vmcb {
	bool lbr_virtualization;                             /* 0B8H[0] */
	uint64_t debugctl, br_from, br_to, int_from, int_to; /* 670H to 690H */
	uint64_t dbg_extn_cfg, lbr_select;                   /* 698H, B70H: with LBR v2 */
	struct pmu_model_branch_v2 {
		uint64_t from, to;
	} lbrs[PMU_MODEL_LBRS_V2]; /* A70H: the newest first */
};
void pmu_model_svme(struct pmu_model *model, bool on);
void pmu_model_vmrun(struct pmu_model *model, const struct pmu_model_vmcb *vmcb);
void pmu_model_svm_exit(struct pmu_model *model, struct pmu_model_vmcb *vmcb);

/*
 * SDM Vol. 1, "Architectural LBR State": XSAVE component 15, only with architectural LBR. The image is the component in
 * the standard format. xsave fills the front and returns how many bytes, as many as the depth needs; xrstor is false
 * for #GP(0); xinit is what XRSTORS does for a clear XSTATE_BV[15].
 */
#define PMU_MODEL_LBR_XSAVE_SIZE 808
bool pmu_model_has_arch_lbr(const struct pmu_model *model);
bool pmu_model_lbr_in_use(const struct pmu_model *model); /* XINUSE[15]: not in its initial state */
unsigned pmu_model_lbr_xsave(const struct pmu_model *model, void *image);
bool pmu_model_lbr_xrstor(struct pmu_model *model, const void *image);
void pmu_model_lbr_xinit(struct pmu_model *model);

/*
 * What no guest can see, for tests. Counter numbers are GLOBAL_STATUS bit numbers (n, 32+m). From power-on.
 * overflows: wraps. pmis: wraps whose PMI enable was set (a PMI was signalled). pmis_delivered: PMIs the APIC accepted,
 * of any counter.
 */
uint64_t pmu_model_overflows(const struct pmu_model *model, unsigned counter);
uint64_t pmu_model_pmis(const struct pmu_model *model, unsigned counter);
uint64_t pmu_model_pmis_delivered(const struct pmu_model *model);
uint64_t pmu_model_pmis_dropped(const struct pmu_model *model); /* LVTPC was masked */
/*
 * PEBS records, from power-on. written: all, of these in_root: since a VM exit, before the next entry. dropped: for
 * want of room, or because a DS access faulted where caps say that it must not. retried: DS accesses that faulted or
 * exited; the record came later, if at all.
 */
struct pmu_model_records {
	uint64_t written, in_root, dropped, retried;
};
struct pmu_model_records pmu_model_records(const struct pmu_model *model);
/* Branches and events that the LBR stack took, from power-on: all, or those since a VM exit, before the next entry. */
uint64_t pmu_model_branches_recorded(const struct pmu_model *model, bool in_root);

#ifdef __cplusplus
}
#endif

#endif
