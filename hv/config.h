/*
 * What the user asked for: the lines of pmuvisor.conf, checked. Pure C: the loader parses with it, host tests too.
 */
#ifndef HV_CONFIG_H
#define HV_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONFIG_MAX_EVENTS 8
#define CONFIG_PATH_MAX   128
#define CONFIG_ARGS_MAX   512
#define CONFIG_ERROR_MAX  200

/* An event by its architectural name, or by event and umask. */
struct config_event {
	char name[32]; /* as the user wrote it: "instructions", "event=0xc4,umask=0x11" */
	uint8_t event;
	uint8_t umask;
	bool user, kernel; /* CPL filter; default both */
	bool guest, host;  /* counts while the guest runs, while pmuvisor runs; default both */
	uint64_t period;   /* events between overflows; 0: only counted */
};

enum config_rdpmc { CONFIG_RDPMC_TRAP, CONFIG_RDPMC_DIRECT };

/* Whether the guest gets PEBS: auto is on processors that write its records through EPT without harm. */
enum config_lbr { CONFIG_LBR_GUEST, CONFIG_LBR_HOST, CONFIG_LBR_BOTH };

/* Where samples of the events with a period go. */
enum config_samples { CONFIG_SAMPLES_OFF, CONFIG_SAMPLES_SERIAL, CONFIG_SAMPLES_GUEST };

enum config_pebs { CONFIG_PEBS_AUTO, CONFIG_PEBS_ON, CONFIG_PEBS_OFF };

struct hv_config {
	unsigned host_counters; /* general-purpose counters the host keeps, the highest ones; default 2. Event i counts
				 * on the i-th of them */
	uint32_t host_fixed;    /* bitmap of fixed counters the host keeps; default 0 */
	unsigned nr_events;
	struct config_event events[CONFIG_MAX_EVENTS];
	enum config_rdpmc rdpmc;     /* RDPMC in shared mode; default trap */
	enum config_pebs pebs;       /* default auto */
	enum config_lbr lbr;         /* who has the last branch records; default guest */
	enum config_samples samples; /* default off */
	unsigned sample_branches;    /* branches in each sample, at most 32; default 0 */
	bool hypervisor_bit;         /* CPUID.1:ECX[31] and leaf 0x40000000; default on */
	bool boot_cpu_only;          /* "cpus = boot": run although there are others; default off */
	uint16_t serial_port;        /* 0: no serial output; default 0x2f8 */
	uint32_t serial_baud;        /* default 115200 */
	uint32_t dump_ms;            /* milliseconds between dumps; 0: only at start and end; default 10000 */
	bool dump_csv;               /* their format; default text */
	char guest[CONFIG_PATH_MAX]; /* EFI path of the guest image; empty: the next boot loader */
	char guest_args[CONFIG_ARGS_MAX];
};

void config_defaults(struct hv_config *config);

/*
 * Applies the lines of `text` ('\n' or "\r\n", '#' starts a comment) on top of `config`; `source` names it in errors
 * ("pmuvisor.conf", "command line"). Returns 0, or the number of the first bad line with one sentence in `error`.
 * A key given twice in one source is an error, except `event`, which adds; the first `event` of a source replaces the
 * events of an earlier source. After each source the keys must agree with each other (no more events than counters).
 */
unsigned config_parse(struct hv_config *config, const char *source, const char *text, size_t length,
		      char error[static CONFIG_ERROR_MAX]);

/*
 * The same for a command line: words "key=value" set apart by blanks, a value with blanks in double quotes. A first
 * word that ends in ".efi" is the program's name, which the UEFI shell puts there, and is skipped. Errors count words.
 */
unsigned config_parse_words(struct hv_config *config, const char *source, const char *text, size_t length,
			    char error[static CONFIG_ERROR_MAX]);

/*
 * Does it fit this PMU, of whose general-purpose counters software expects so many without asking (0: it asks)? Without
 * counters nobody gets any, and all does. False: one sentence in `error`.
 */
bool config_fits(const struct hv_config *config, unsigned nr_gp, unsigned nr_named, uint32_t fixed_bitmap,
		 char error[static CONFIG_ERROR_MAX]);

#endif
