/*
 * What a guest may ask of pmuvisor. C and C++, on its own: it includes nothing. docs/guest-api.md says the rest. This
 * file may be taken by anyone, for any purpose.
 *
 * Calls are VMCALL on Intel and VMMCALL on AMD processors, at CPL 0 in 64-bit mode:
 *	in	RAX = PMUVISOR_CALL_MAGIC, RCX = the operation, RDX, RSI = its arguments
 *	out	RAX = 0 or a PMUVISOR_E_*, as a signed number; RDX, RSI, RDI, RBX = its values, each kept where there is none
 * At any other privilege, or without the magic, the instruction is the #UD that it is without a hypervisor. No call
 * takes an address, waits, or concerns another CPU.
 */
#ifndef PMUVISOR_H
#define PMUVISOR_H

typedef unsigned int pmuvisor_u32;
typedef unsigned long long pmuvisor_u64;
typedef long long pmuvisor_s64;

#ifdef __cplusplus
#define PMUVISOR_ASSERT(what) static_assert(what, #what)
#else
#define PMUVISOR_ASSERT(what) _Static_assert(what, #what)
#endif

/* CPUID leaf 0x40000000: EAX = highest hypervisor leaf, EBX:ECX:EDX = "pmuv" "isor" 0. */
#define PMUVISOR_CPUID_LEAF 0x40000000u
#define PMUVISOR_CPUID_EBX  0x76756d70u /* "pmuv" */
#define PMUVISOR_CPUID_ECX  0x726f7369u /* "isor" */
#define PMUVISOR_CPUID_EDX  0u
/*
 * CPUID leaf 0x40000001, the calls: EAX = PMUVISOR_VERSION of the hypervisor, EBX = features, ECX = how many statistics
 * there are, EDX = calls that change something, in a millisecond, beyond which they get PMUVISOR_E_BUSY.
 *
 * A minor version adds operations, features, statistics and bits that had to be 0; it changes nothing that there was. A
 * guest asks for its own major version, and for a minor one of at least its own.
 */
#define PMUVISOR_CPUID_CALLS            0x40000001u
#define PMUVISOR_VERSION_OF(version)    ((version) >> 16)
#define PMUVISOR_VERSION_MINOR(version) ((version)&0xffffu)
#define PMUVISOR_VERSION                0x00010000u /* 1.0 */

#define PMUVISOR_FEATURE_VMMCALL 0x1u /* the instruction is VMMCALL */

/*
 * CPUID leaf 0x40000002, events, of the CPU it is executed on: EAX = how many may be open at a time, EBX = how many can
 * count at a time, ECX = the shortest period, EDX = the shortest of events that count pmuvisor's own work.
 */
#define PMUVISOR_CPUID_EVENTS    0x40000002u
#define PMUVISOR_EVENTS          16u
#define PMUVISOR_MIN_PERIOD      1000u
#define PMUVISOR_MIN_PERIOD_ROOT 10000u

#define PMUVISOR_CALL_MAGIC 0x726f736976756d70ull /* "pmuvisor" */

/*
 * Errors: the guest's, up to -63, are of the call that gets them and come again with it; the host's, from -64 on, are
 * not the guest's fault, and another configuration of pmuvisor may cure them.
 */
#define PMUVISOR_E_OPERATION (-1) /* there is no such operation */
#define PMUVISOR_E_ARGUMENT                                                                                            \
	(-2) /* a number out of range, a bit that must be 0, or a pair of bits of which one must be 1 */
#define PMUVISOR_E_BUSY            (-3)  /* more calls than the limit in CPUID: again in a millisecond */
#define PMUVISOR_E_EVENT           (-4)  /* there is no event of that name or number */
#define PMUVISOR_E_PERIOD          (-5)  /* too short, or above 2^47 - 1, or none where a PMI is asked for */
#define PMUVISOR_E_ID              (-6)  /* no event of that number is open on this CPU; or no number is given */
#define PMUVISOR_E_FULL            (-7)  /* as many events are open as may be */
#define PMUVISOR_E_COUNTERS        (-64) /* the host has left no counter for it */
#define PMUVISOR_E_IS_HOSTS(error) ((error) <= -64)

/*
 * Start a dump of the host's counters on the serial console, unless one is under way.
 * Returns in RAX the number of bytes not yet sent, 0 when all is out. Never waits.
 */
#define PMUVISOR_CALL_DUMP 1u
/* The same, without starting one: how many bytes are still to be sent? */
#define PMUVISOR_CALL_PENDING 2u
/* RDX = one of the following. Returns it in RDX, of this CPU. */
#define PMUVISOR_CALL_QUERY   3u
#define PMUVISOR_QUERY_CPU    0u /* its number, as in dumps */
#define PMUVISOR_QUERY_TSC_HZ 1u /* ticks in a second, as pmuvisor has measured them: good to a few percent */
/* 1: GLOBAL_* registers and RDPMC exit, as host events count in the guest; 0: not now. */
#define PMUVISOR_QUERY_SHARED 2u
#define PMUVISOR_QUERY_OPEN   3u /* bitmap of the events that are open */
/* RDX = one of the statistics below. Returns it in RDX, of this CPU since pmuvisor started there, this exit too. */
#define PMUVISOR_CALL_STATISTIC 4u
/*
 * Events count on counters that the host's own left free. RDX = what, RSI = the period, or 0. Opens one, disabled and at
 * 0; returns its number, below PMUVISOR_EVENTS, in RDX.
 */
#define PMUVISOR_CALL_OPEN 5u
/* RDX = a bitmap of such numbers. Either all of them are, at one instruction of the guest's, or there is an error. */
#define PMUVISOR_CALL_CLOSE   6u
#define PMUVISOR_CALL_ENABLE  7u
#define PMUVISOR_CALL_DISABLE 8u
#define PMUVISOR_CALL_RESET   9u /* count and overflows are 0, and a period begins; the times go on */
/*
 * RDX = one number. Returns RDX = its count, RSI and RDI = for how many TSC ticks it has been enabled, and of these
 * been counting; RBX = how often its period has ended.
 */
#define PMUVISOR_CALL_READ 10u

/* What an event counts: by name, or the event and unit mask of the processor's manual. One of each pair at least. */
#define PMUVISOR_EVENT_SELECT       0xffull
#define PMUVISOR_EVENT_UMASK        0xff00ull
#define PMUVISOR_EVENT_USER         0x10000ull  /* at privilege levels 1 to 3, */
#define PMUVISOR_EVENT_KERNEL       0x20000ull  /* at level 0; */
#define PMUVISOR_EVENT_GUEST        0x40000ull  /* in the guest, */
#define PMUVISOR_EVENT_HOST         0x80000ull  /* in pmuvisor, which is at level 0 */
#define PMUVISOR_EVENT_PMI          0x100000ull /* each period's end is a PMI, by the guest's LVTPC */
#define PMUVISOR_EVENT_NAME         0xff000000ull
#define PMUVISOR_EVENT_NAMED(name)  ((pmuvisor_u64)(name) << 24)
#define PMUVISOR_NAME_INSTRUCTIONS  1u
#define PMUVISOR_NAME_CYCLES        2u
#define PMUVISOR_NAME_BRANCHES      3u
#define PMUVISOR_NAME_BRANCH_MISSES 4u
#define PMUVISOR_NAME_LLC_MISSES    5u

/* Time is in ticks of the time-stamp counter. */
#define PMUVISOR_STAT_TICKS            0u  /* since pmuvisor started here */
#define PMUVISOR_STAT_ROOT_TICKS       1u  /* of these, in pmuvisor */
#define PMUVISOR_STAT_PAUSED_TICKS     2u  /* with the host's counters paused, while the guest handled its own PMIs */
#define PMUVISOR_STAT_WINDOWS          3u  /* how often that was */
#define PMUVISOR_STAT_EXITS            4u  /* of all reasons */
#define PMUVISOR_STAT_EMULATED         5u  /* instructions completed for the guest */
#define PMUVISOR_STAT_FAULTS           6u  /* injected */
#define PMUVISOR_STAT_HIDDEN           7u  /* pages of pmuvisor's that the guest touched */
#define PMUVISOR_STAT_PMIS_HOST        8u  /* overflows of host counters that came by an NMI */
#define PMUVISOR_STAT_PMIS_LATE        9u  /* and those that were found without one */
#define PMUVISOR_STAT_PMIS_GUEST       10u /* PMIs of the guest's own counters that exited and were passed on */
#define PMUVISOR_STAT_PMIS_EMULATED    11u /* PMIs of overflows by emulated instructions */
#define PMUVISOR_STAT_PMIS_MASKED      12u /* of these two, dropped because the guest's LVTPC was masked */
#define PMUVISOR_STAT_NMIS             13u /* NMIs that no counter explains, passed on */
#define PMUVISOR_STAT_NMIS_ROOT        14u /* NMIs that arrived in pmuvisor */
#define PMUVISOR_STAT_NMIS_MERGED      15u /* NMIs that came while another still waited to be taken */
#define PMUVISOR_STAT_EXIT(reason)     (16u + (reason))
#define PMUVISOR_EXIT_CPUID            0u
#define PMUVISOR_EXIT_RDMSR            1u
#define PMUVISOR_EXIT_WRMSR            2u
#define PMUVISOR_EXIT_RDPMC            3u
#define PMUVISOR_EXIT_NMI              4u
#define PMUVISOR_EXIT_NMI_WINDOW       5u
#define PMUVISOR_EXIT_TIMER            6u
#define PMUVISOR_EXIT_STEP             7u
#define PMUVISOR_EXIT_HYPERCALL        8u
#define PMUVISOR_EXIT_VIRTUALIZATION   9u
#define PMUVISOR_EXIT_INVD             10u
#define PMUVISOR_EXIT_XSETBV           11u
#define PMUVISOR_EXIT_INIT             12u
#define PMUVISOR_EXIT_SHUTDOWN         13u
#define PMUVISOR_EXIT_UNKNOWN          14u
#define PMUVISOR_EXIT_IO               15u
#define PMUVISOR_EXIT_CONTROL_REGISTER 16u
#define PMUVISOR_EXIT_HIDDEN_MEMORY    17u
#define PMUVISOR_EXIT_APIC_ACCESS      18u
#define PMUVISOR_EXIT_SIPI             19u
#define PMUVISOR_STATISTICS            36u

/* The registers of a call, in and out. */
struct pmuvisor_registers {
	pmuvisor_u64 rax, rcx, rdx, rsi, rdi, rbx;
};
PMUVISOR_ASSERT(sizeof(struct pmuvisor_registers) == 48);

#if defined(__GNUC__) && defined(__x86_64__)

struct pmuvisor_leaf {
	pmuvisor_u32 eax, ebx, ecx, edx;
};
PMUVISOR_ASSERT(sizeof(struct pmuvisor_leaf) == 16);

static inline struct pmuvisor_leaf pmuvisor_cpuid(pmuvisor_u32 leaf)
{
	struct pmuvisor_leaf regs;

	__asm__ volatile("cpuid" : "=a"(regs.eax), "=b"(regs.ebx), "=c"(regs.ecx), "=d"(regs.edx) : "a"(leaf), "c"(0));
	return regs;
}

/* Is this pmuvisor, with calls of this header's version? Their leaf is in `calls` then. */
static inline int pmuvisor_find(struct pmuvisor_leaf *calls)
{
	struct pmuvisor_leaf signature = pmuvisor_cpuid(PMUVISOR_CPUID_LEAF);

	if (signature.ebx != PMUVISOR_CPUID_EBX || signature.ecx != PMUVISOR_CPUID_ECX ||
	    signature.edx != PMUVISOR_CPUID_EDX || signature.eax < PMUVISOR_CPUID_CALLS)
		return 0;
	*calls = pmuvisor_cpuid(PMUVISOR_CPUID_CALLS);
	return PMUVISOR_VERSION_OF(calls->eax) == PMUVISOR_VERSION_OF(PMUVISOR_VERSION) &&
	       calls->eax >= PMUVISOR_VERSION;
}

static inline void pmuvisor_vmcall(struct pmuvisor_registers *regs)
{
	__asm__ volatile("vmcall"
			 : "+a"(regs->rax), "+c"(regs->rcx), "+d"(regs->rdx), "+S"(regs->rsi), "+D"(regs->rdi),
			   "+b"(regs->rbx)
			 :
			 : "memory");
}

static inline void pmuvisor_vmmcall(struct pmuvisor_registers *regs)
{
	__asm__ volatile("vmmcall"
			 : "+a"(regs->rax), "+c"(regs->rcx), "+d"(regs->rdx), "+S"(regs->rsi), "+D"(regs->rdi),
			   "+b"(regs->rbx)
			 :
			 : "memory");
}

/* With RCX and the arguments in `regs`; returns RAX. `features`: EBX of the leaf. */
static inline pmuvisor_s64 pmuvisor_call(pmuvisor_u32 features, struct pmuvisor_registers *regs)
{
	regs->rax = PMUVISOR_CALL_MAGIC;
	if (features & PMUVISOR_FEATURE_VMMCALL)
		pmuvisor_vmmcall(regs);
	else
		pmuvisor_vmcall(regs);
	return (pmuvisor_s64)regs->rax;
}

#endif
#endif
