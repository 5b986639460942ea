/* Shared by config.c, config_event.c and config_word.c; nobody else includes it. */
#ifndef HV_CONFIG_PRIVATE_H
#define HV_CONFIG_PRIVATE_H

#include "config.h"

enum config_key {
	KEY_HOST_COUNTERS,
	KEY_HOST_FIXED,
	KEY_EVENT,
	KEY_RDPMC,
	KEY_PEBS,
	KEY_LBR,
	KEY_SAMPLES,
	KEY_SAMPLE_BRANCHES,
	KEY_HYPERVISOR_BIT,
	KEY_CPUS,
	KEY_SERIAL,
	KEY_SERIAL_BAUD,
	KEY_DUMP,
	KEY_DUMP_FORMAT,
	KEY_GUEST,
	KEY_GUEST_ARGS,
	NR_KEYS
};

struct parser {
	struct hv_config *config;
	const char *source;
	const char *unit; /* what `number` counts: "line" or "word" */
	unsigned number;
	const char *key;        /* while its value is read; null before */
	unsigned seen[NR_KEYS]; /* number of the line or word that gave the key last; 0: not in this source */
	char *error;
};

/* Says what is wrong, and where. Returns false for the caller to return. */
bool config_bad(struct parser *p, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* config_event.c: the value of `event`, which is cut up. */
bool config_parse_event(struct parser *p, char *value);

/* config_word.c */
bool word_is_blank(char c);
size_t word_length(const char *text);
bool word_equal(const char *a, const char *b);
/* What follows `prefix` in `text`, or null. */
const char *word_after(const char *text, const char *prefix);
/* Without the blanks at both ends; those behind it are overwritten. */
char *word_trim(char *text);
/* Ends the part of *rest before the first `separator`, returns that part and moves *rest behind it, or to null. */
char *word_cut(char **rest, char separator);
/* False, with an error, if it is empty or doesn't fit. */
bool word_copy(struct parser *p, char *to, size_t size, const char *from);
/* Reads a decimal or 0x number of at most `max`. Returns what follows it, or null. */
const char *word_read_number(const char *text, uint64_t max, uint64_t *value);
/* The same; nothing may follow. */
bool word_number(const char *text, uint64_t max, uint64_t *value);

#endif
