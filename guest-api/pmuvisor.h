/*
 * What a guest may ask of pmuvisor. C and C++, on its own: it includes nothing. docs/guest-api.md says the rest. This
 * file may be taken by anyone, for any purpose.
 *
 * Calls are VMCALL on Intel and VMMCALL on AMD processors, at CPL 0 in 64-bit mode:
 *	in	RAX = PMUVISOR_CALL_MAGIC, RCX = the operation, RDX, RSI = its arguments
 *	out	RAX = 0 or a PMUVISOR_E_*, as a signed number; RDX, RSI, RDI, RBX = its values, or unchanged
 * At any other privilege, or without the magic, the instruction is the #UD that it is without a hypervisor. No call
 * takes an address, waits, or concerns another CPU. What events count can be read without a call, from a page.
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
#define PMUVISOR_VERSION                0x00010001u /* 1.1 */

#define PMUVISOR_FEATURE_VMMCALL 0x1u /* the instruction is VMMCALL */
#define PMUVISOR_FEATURE_SAMPLES 0x2u /* PMUVISOR_CALL_SAMPLE has samples to give */

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
#define PMUVISOR_E_NONE            (-8)  /* there is none now */
#define PMUVISOR_E_COUNTERS        (-64) /* the host has left no counter for it */
#define PMUVISOR_E_SAMPLES         (-65) /* the host takes no samples for the guest */
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
/* 1: GLOBAL_* registers exit, as some event on the host's counters counts in the guest or has a period; 0: not now. */
#define PMUVISOR_QUERY_SHARED 2u
#define PMUVISOR_QUERY_OPEN   3u /* bitmap of the events that are open */
/* RDX = one of the statistics below. Returns it in RDX, of this CPU since pmuvisor started there, this exit too. */
#define PMUVISOR_CALL_STATISTIC 4u
/*
 * Events count on counters that the host's own left free. RDX = what, RSI = the period, or 0. Opens one, disabled and
 * at 0; returns its number, below PMUVISOR_EVENTS, in RDX.
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
/*
 * RDX = 1: from now on this CPU's page below is kept up to date, 0: no longer. RSI = 0, or how many TSC ticks old at
 * most it should get where nothing changes, a 1000th of a second at least. Returns the page's guest-physical address in
 * RDX.
 */
#define PMUVISOR_CALL_PAGE 11u
/*
 * Takes this CPU's oldest sample: where an overflow of a host event with a period found the processor. Returns RDX =
 * TSC, RSI = RIP, RDI = CR3, RBX = PMUVISOR_SAMPLE_*.
 */
#define PMUVISOR_CALL_SAMPLE 32u
/*
 * RDX = n: of the sample that was taken last, two branches, from the n-th newest on, counted from 0. Returns RDX = from
 * where, RSI = where to, and RDI, RBX = the same of the next, 0 if there is none.
 */
#define PMUVISOR_CALL_BRANCHES 33u

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

#define PMUVISOR_SAMPLE_EVENT    0xffull     /* its number in the configuration, counted from 0 */
#define PMUVISOR_SAMPLE_CPL      0x300ull    /* the guest's */
#define PMUVISOR_SAMPLE_ROOT     0x400ull    /* in pmuvisor: RIP is its own, CR3 the guest's */
#define PMUVISOR_SAMPLE_BRANCHES 0xff0000ull /* how many it has */

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
#define PMUVISOR_STAT_SAMPLES          36u /* taken by pmuvisor; */
#define PMUVISOR_STAT_SAMPLES_LOST     37u /* those beside them that found no room */
#define PMUVISOR_STATISTICS            38u

/*
 * A CPU's events, for it and others to read, not to write: who writes to the page finds ones there from then on.
 * `rdpmc` is for the CPU itself: unless it is 0, the event's count now is `ahead` plus its counter, sign-extended from
 * `width`.
 */
#define PMUVISOR_PAGE_VERSION   1u
#define PMUVISOR_STATE_OPEN     1u
#define PMUVISOR_STATE_ENABLED  2u
#define PMUVISOR_STATE_COUNTING 4u /* it has a counter, which isn't paused */

struct pmuvisor_page_event {
	pmuvisor_u32 state;     /* PMUVISOR_STATE_*; if not open, the rest is 0 */
	pmuvisor_u32 rdpmc;     /* its counter as RDPMC takes it in ECX, plus 1; 0: reading it would fault, or none */
	pmuvisor_u64 count;     /* these as PMUVISOR_CALL_READ returns them, */
	pmuvisor_u64 enabled;   /* at page.tsc: */
	pmuvisor_u64 running;   /* times go on from there while enabled and counting */
	pmuvisor_u64 overflows; /* those that have been noticed: a masked LVTPC may keep one for later */
	pmuvisor_u64 ahead;
	pmuvisor_u64 reserved[2];
};
PMUVISOR_ASSERT(sizeof(struct pmuvisor_page_event) == 64);

struct pmuvisor_page {
	pmuvisor_u32 version;  /* PMUVISOR_PAGE_VERSION; anything else: the page isn't kept */
	pmuvisor_u32 sequence; /* odd while the rest changes */
	pmuvisor_u64 tsc;      /* when the rest was written */
	pmuvisor_u32 cpu;      /* PMUVISOR_QUERY_CPU */
	pmuvisor_u32 width;    /* of counters, in bits */
	pmuvisor_u64 reserved[5];
	struct pmuvisor_page_event event[PMUVISOR_EVENTS];
	pmuvisor_u64 unused[376];
};
PMUVISOR_ASSERT(sizeof(struct pmuvisor_page) == 4096);

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

static inline pmuvisor_u64 pmuvisor_rdtsc(void)
{
	pmuvisor_u32 low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
	return (pmuvisor_u64)high << 32 | low;
}

/* Of `width` bits, sign-extended. */
static inline pmuvisor_u64 pmuvisor_rdpmc(pmuvisor_u32 counter, pmuvisor_u32 width)
{
	pmuvisor_u32 low, high;

	__asm__ volatile("rdpmc" : "=a"(low), "=d"(high) : "c"(counter) : "memory");
	return (pmuvisor_u64)((pmuvisor_s64)(((pmuvisor_u64)high << 32 | low) << (64 - width)) >> (64 - width));
}

struct pmuvisor_counts {
	pmuvisor_u64 count, enabled, running, overflows;
};

/* What is in the page now; it may be changing. */
static inline int pmuvisor_page_look(const volatile struct pmuvisor_page *page, pmuvisor_u32 id, int here,
				     struct pmuvisor_counts *counts)
{
	const volatile struct pmuvisor_page_event *event = &page->event[id];
	pmuvisor_u32 state = event->state, rdpmc = here ? event->rdpmc : 0;
	pmuvisor_u64 since = pmuvisor_rdtsc() - page->tsc;

	counts->count = rdpmc ? event->ahead + pmuvisor_rdpmc(rdpmc - 1, page->width) : event->count;
	counts->enabled = event->enabled + (state & PMUVISOR_STATE_ENABLED ? since : 0);
	counts->running = event->running + (state & PMUVISOR_STATE_COUNTING ? since : 0);
	counts->overflows = event->overflows;
	return rdpmc || !(state & PMUVISOR_STATE_COUNTING);
}

#define PMUVISOR_PAGE_TRIES 100

/*
 * What PMUVISOR_CALL_READ would return of event `id`, without a call. `here`: this is the page's CPU, and stays so, and
 * may execute RDPMC. Returns 1; or 0: the count is not newer than page->tsc; or -1: the page isn't kept.
 */
static inline int pmuvisor_page_read(const volatile struct pmuvisor_page *page, pmuvisor_u32 id, int here,
				     struct pmuvisor_counts *counts)
{
	const struct pmuvisor_counts none = { 0, 0, 0, 0 };

	for (int i = 0; i < PMUVISOR_PAGE_TRIES && page->version == PMUVISOR_PAGE_VERSION; i++) {
		pmuvisor_u32 sequence = __atomic_load_n(&page->sequence, __ATOMIC_ACQUIRE);
		int now = pmuvisor_page_look(page, id, here, counts);

		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (!(sequence & 1) && page->sequence == sequence)
			return now;
	}
	*counts = none;
	return -1;
}

#endif
#endif
