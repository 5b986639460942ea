/* One logical processor under pmuvisor, and the seam to its virtualization hardware. */
#ifndef HV_CPU_H
#define HV_CPU_H

#include <stdbool.h>
#include <stdint.h>

#include "bits.h"
#include "boot_info.h"
#include "exit.h"
#include "guest_event.h"
#include "guest_page.h"
#include "guest_sample.h"
#include "pmu.h"
#include "report.h"
#include "timer.h"

/* The guest's general registers, saved and loaded by vmx_entry.asm / svm_entry.asm; RSP is in the VMCS or VMCB. */
struct regs {
	uint64_t rax, rcx, rdx, rbx, rbp, rsi, rdi;
	uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
};

/* NMIs on their way to the guest; and INIT, where it comes as an exception. */
struct nmi {
	uint8_t in_root;   /* so many arrived in root mode, counted by the handler there, and wait for pmu_nmi() */
	bool init_in_root; /* right behind in_root: svm_entry.asm looks at both at once */
	bool init_sent;    /* set by another CPU: the next NMI is an INIT (svm_startup.c) */
	bool pending;      /* the guest is to get one as soon as it can take it; another would be the same */
	bool window;       /* and when it does, the global registers are opened */
	uint8_t owed;      /* so many more may come before the next entry, of PMIs that have been decided */
	uint64_t root_rip; /* where the newest of those in root mode struck, until one is decided; else 0 */
};

/* Time-stamp counter ticks. */
struct cpu_time {
	uint64_t started;
	uint64_t root; /* less the time of the last exit while in root mode, plus that of the entry after it */
};

/* Of calls that are limited, those of this millisecond. */
struct call_limit {
	uint64_t since; /* TSC */
	uint64_t calls;
};

struct vendor_cpu;

struct text;

enum guest_register {
	GUEST_CPL, /* current privilege level, 0 to 3; read-only */
	GUEST_RIP, /* read-only */
	GUEST_CR0, /* read-only, as are the next three */
	GUEST_CR3,
	GUEST_CR4, /* as the guest sees it */
	GUEST_EFER,
	GUEST_DEBUGCTL, /* while closed less the freeze bits, which are in struct pmu */
	GUEST_FREEZE,   /* DEBUGCTL's freeze bits, as PMU_STATUS_*_FROZEN; while open; read-only */
};

/*
 * Everything one CPU owns; nobody else writes it, but for nmi.init_sent, and what others read of it is said in report.h
 * and dump.h. It is the last part of the CPU's area (arch/x86/cpu_area.h), at GS:0 in root mode.
 */
struct cpu {
	struct cpu *self;
	uint64_t id; /* index, not the APIC ID */
	const struct hv_ops *ops;
	const struct boot_info *boot;
	struct regs guest;
	struct nmi nmi;
	/* Both follow IA32_APIC_BASE, whose writes exit. */
	bool x2apic;           /* the local APIC's mode, */
	uint64_t apic_page;    /* and where its registers are in xAPIC mode */
	uint64_t address_mask; /* of the processor's physical addresses */
	struct hv_window apic, aperture;
	struct pmu pmu;
	struct cpu_counts counts;
	struct cpu_time time;
	struct report report;
	struct call_limit call_limit;
	struct timer timer;
	struct guest_events guest_events;
	struct guest_page page;
	struct guest_sample guest_sample;
	struct vendor_cpu *vendor;
	struct handoff *handoff; /* where it started from, while platform_knows_loader() */
};

/*
 * What a virtualization extension does for the shared code; vmx.c and svm.c each end with one. The vendor decodes, the
 * shared code decides: run() makes a neutral exit, handle_exit() answers with a verdict, the rest carries it out.
 */
struct hv_ops {
	const char *name;
	bool vmmcall; /* the guest's calls are VMMCALL, not VMCALL */
	/* Prepares this CPU to run the firmware state in `handoff` as its guest; 0, or one sentence in handoff->why. */
	int (*cpu_init)(struct cpu *cpu, struct handoff *handoff);
	/* Ends what cpu_init() began: this CPU's firmware state becomes what the guest's is now. */
	void (*cpu_leave)(struct cpu *cpu);
	/*
	 * Runs the guest for good. After each exit it calls answer_exit(), and carries out the gate's wishes before
	 * it enters.
	 */
	void (*run)(struct cpu *cpu);
	/* The instruction that exited has been completed for the guest. The only code that moves RIP. */
	void (*advance)(struct cpu *cpu);
	/* One of INJECT_*. */
	void (*inject)(struct cpu *cpu, enum verdict what);
	/* May an NMI be injected now? Blocking by NMI, STI and MOV SS says no. */
	bool (*nmi_blocked)(struct cpu *cpu);
	/* A guest register that the VMCS or VMCB holds. */
	uint64_t (*read)(struct cpu *cpu, enum guest_register reg);
	void (*write_debugctl)(struct cpu *cpu, uint64_t value);
	/* The MTRRs or the APIC's page have changed: the guest's map follows. */
	void (*remap)(struct cpu *cpu);
	/* Exit after this many TSC ticks in the guest, or rarely with 0. */
	void (*set_timer)(struct cpu *cpu, uint64_t ticks);
	/* What the exit hands over to vendor code alone: control registers, XSETBV, INIT, SIPI, hidden memory. */
	enum verdict (*handle)(struct cpu *cpu, const struct vm_exit *exit);
	/* Everything a person needs after a stop. */
	void (*dump)(struct cpu *cpu, struct text *text);
};

static inline struct cpu *this_cpu(void)
{
	struct cpu *cpu;

	asm volatile("mov %%gs:0, %0" : "=r"(cpu));
	return cpu;
}

/* Another CPU. The areas lie side by side. */
static inline const struct cpu *cpu_at(const struct cpu *cpu, uint64_t index)
{
	return (const struct cpu *)((uintptr_t)cpu + (index - cpu->id) * cpu->boot->cpu_area_size);
}

/* One of those that arrived in root mode is about to be decided: one instruction, as another may arrive at any time. */
static inline void nmi_take(struct nmi *nmi)
{
	asm volatile("decb %0" : "+m"(nmi->in_root) : : "cc");
}

/* How many there are now: the handler counts them up at any time. */
static inline uint8_t nmi_in_root(const struct nmi *nmi)
{
	return __atomic_load_n(&nmi->in_root, __ATOMIC_RELAXED);
}

/* main.c: back to the firmware in root mode, where its guest is now. Only while platform_knows_loader(). */
_Noreturn void hv_leave(struct cpu *cpu);

/* Physical address of something in the resident's region. */
static inline uint64_t hv_pa(const void *address)
{
	return (uintptr_t)address - HV_BASE + this_cpu()->boot->region_pa;
}

#endif
