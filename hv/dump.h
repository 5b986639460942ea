/*
 * What pmuvisor prints. docs/serial.md has the grammar.
 *
 * One CPU prints at a time. CPU 0 does it when a dump is due; another does when its guest asks for a dump or when it
 * stops. It reads what the others count while they go on.
 */
#ifndef HV_DUMP_H
#define HV_DUMP_H

#include "cpu.h"
#include "sample.h"

/* Whose are sent next. */
struct dump_samples {
	bool old;       /* those from before the dump, CPU by CPU; */
	unsigned cpu;   /* this one's, */
	uint64_t until; /* as far as its ring was full when its turn came: words put in; 0: not yet looked */
};

/* One for all CPUs. Whoever holds `lock` may look at it, and nobody waits for it but who will not go on. */
struct dump {
	uint64_t lock;    /* the index of the CPU that holds it, plus one */
	uint64_t printer; /* the same of the CPU whose timer sends what is queued; 0: nothing is */
	uint64_t ticked;  /* TSC at its last tick */
	uint64_t number;
	uint64_t due; /* TSC; others read it too */
	uint64_t end; /* characters written to the console up to its last line */
	bool active, start;
	struct dump_samples samples;
	unsigned block;       /* the CPU it is about, and behind the last: all of them */
	unsigned line;        /* the next one to print */
	struct report report; /* of that CPU, */
	struct figures total; /* and the sum of the blocks so far */
	const struct figures *shown;
};
extern struct dump dump;

/* On CPU 0, the last to start: what was found and decided. */
void dump_start(struct cpu *cpu);
/* A timer exit: publish, print on, or begin the next dump when it is due; sets the timer again. */
void dump_tick(struct cpu *cpu);
/*
 * An NMI has exited, perhaps a sample's. Many such exits leave the timer few: what is due is done here already.
 */
void dump_look(struct cpu *cpu);
/* Publishes what this CPU counts, and begins a dump now, unless one is under way. */
void dump_request(struct cpu *cpu);
/* Characters not yet sent up to the end of the last dump, one at least while it is under way. */
uint64_t dump_pending(void);
/* A sample was put into this CPU's ring: sees to it that somebody sends it in time. */
void dump_samples_wait(struct cpu *cpu);
/* For a CPU that stops: nobody else prints from here to dump_final(). */
void dump_seize(struct cpu *cpu);
/* A last dump, waiting for the UART: only when this CPU's guest will not run again. */
void dump_final(struct cpu *cpu);

/* dump_samples.c. Has this CPU samples enough for a frame? */
bool dump_samples_due(const struct cpu *cpu);
/* A dump begins. */
void dump_samples_begin(const struct cpu *cpu);
/* False: no samples are to be sent before the next line of a dump. */
bool dump_samples_send(const struct cpu *cpu);

/* dump_start.c, dump_counts.c and dump_csv.c: the lines of each kind of block, empty where there is nothing to say. */
struct dump_section {
	void (*one)(const struct cpu *cpu, struct text *text);
	/* Or several. */
	unsigned (*lines)(const struct cpu *cpu);
	void (*each)(const struct cpu *cpu, unsigned n, struct text *text);
};
extern const struct dump_section dump_start_sections[], dump_cpu_sections[], dump_csv_sections[],
	dump_total_sections[]; /* each ends with {} */
/* " event NAME in MODES at LEVELS" */
void dump_put_event(const struct config_event *config, struct text *text);
/* Takes this CPU's last report, and adds its figures to the total. */
void dump_take_report(const struct cpu *cpu);

#endif
