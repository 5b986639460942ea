#include "config_private.h"
#include "lbr.h"
#include "sentence.h"

#define ITEM_MAX    (CONFIG_ARGS_MAX + 64) /* one line or word, with its key */
#define FIXED_MAX   16                     /* IA32_FIXED_CTR_CTRL has four bits for each */
#define DUMP_MIN_MS 100                    /* a block takes about that long at 115200 baud */
#define DUMP_MAX_MS 86400000               /* a day */
#define UART_CLOCK  115200                 /* baud at divisor 1 */

static bool parse_host_counters(struct parser *p, char *value)
{
	uint64_t n;

	if (!word_number(value, CONFIG_MAX_EVENTS, &n))
		return config_bad(p, "\"%s\" is not a number from 0 to %u.", value, CONFIG_MAX_EVENTS);
	p->config->host_counters = (unsigned)n;
	return true;
}

static bool parse_host_fixed(struct parser *p, char *value)
{
	uint32_t bitmap = 0;
	uint64_t n;

	for (char *rest = word_equal(value, "none") ? NULL : value; rest;) {
		char *part = word_trim(word_cut(&rest, ','));

		if (!word_number(part, FIXED_MAX - 1, &n))
			return config_bad(p, "\"%s\" is not a fixed counter from 0 to %u, nor is it \"none\".", part,
					  FIXED_MAX - 1);
		if (bitmap >> n & 1)
			return config_bad(p, "fixed counter %u is named twice.", (unsigned)n);
		bitmap |= UINT32_C(1) << n;
	}
	p->config->host_fixed = bitmap;
	return true;
}

/* The value must be one of two words. */
static bool parse_choice(struct parser *p, const char *value, const char *no, const char *yes, bool *chosen)
{
	*chosen = word_equal(value, yes);
	if (!*chosen && !word_equal(value, no))
		return config_bad(p, "\"%s\" is neither \"%s\" nor \"%s\".", value, no, yes);
	return true;
}

/* The value must be one of three words; `chosen` is its place. */
static bool parse_one_of(struct parser *p, const char *value, const char *const words[static 3], unsigned *chosen)
{
	for (*chosen = 0; *chosen < 3; ++*chosen)
		if (word_equal(value, words[*chosen]))
			return true;
	return config_bad(p, "\"%s\" is none of %s, %s and %s.", value, words[0], words[1], words[2]);
}

static bool parse_rdpmc(struct parser *p, char *value)
{
	bool direct;

	if (!parse_choice(p, value, "trap", "direct", &direct))
		return false;
	p->config->rdpmc = direct ? CONFIG_RDPMC_DIRECT : CONFIG_RDPMC_TRAP;
	return true;
}

static bool parse_pebs(struct parser *p, char *value)
{
	static const char *const words[] = {
		[CONFIG_PEBS_AUTO] = "auto", [CONFIG_PEBS_ON] = "on", [CONFIG_PEBS_OFF] = "off"
	};
	unsigned chosen;

	if (!parse_one_of(p, value, words, &chosen))
		return false;
	p->config->pebs = (enum config_pebs)chosen;
	return true;
}

static bool parse_lbr(struct parser *p, char *value)
{
	static const char *const words[] = {
		[CONFIG_LBR_GUEST] = "guest", [CONFIG_LBR_HOST] = "host", [CONFIG_LBR_BOTH] = "both"
	};
	unsigned chosen;

	if (!parse_one_of(p, value, words, &chosen))
		return false;
	p->config->lbr = (enum config_lbr)chosen;
	return true;
}

static bool parse_samples(struct parser *p, char *value)
{
	static const char *const words[] = {
		[CONFIG_SAMPLES_OFF] = "off", [CONFIG_SAMPLES_SERIAL] = "serial", [CONFIG_SAMPLES_GUEST] = "guest"
	};
	unsigned chosen;

	if (!parse_one_of(p, value, words, &chosen))
		return false;
	p->config->samples = (enum config_samples)chosen;
	return true;
}

static bool parse_sample_branches(struct parser *p, char *value)
{
	uint64_t n;

	if (!word_number(value, LBR_MAX_ENTRIES, &n))
		return config_bad(p, "\"%s\" is not a number from 0 to %u.", value, LBR_MAX_ENTRIES);
	p->config->sample_branches = (unsigned)n;
	return true;
}

static bool parse_hypervisor_bit(struct parser *p, char *value)
{
	return parse_choice(p, value, "off", "on", &p->config->hypervisor_bit);
}

static bool parse_cpus(struct parser *p, char *value)
{
	if (!word_equal(value, "boot"))
		return config_bad(p, "\"%s\" is not \"boot\".", value);
	p->config->boot_cpu_only = true;
	return true;
}

static bool parse_serial(struct parser *p, char *value)
{
	uint64_t port = 0;

	if (word_equal(value, "com1"))
		port = 0x3f8;
	else if (word_equal(value, "com2"))
		port = 0x2f8;
	else if (!word_equal(value, "off") && (!word_number(value, 0xfff8, &port) || port < 0x100))
		return config_bad(p, "\"%s\" is none of com1, com2, off and a port from 0x100 to 0xfff8.", value);
	p->config->serial_port = (uint16_t)port;
	/* Dumps and samples that an earlier source asked for go with the port; those of this source clash. */
	if (!port && !p->seen[KEY_DUMP])
		p->config->dump_ms = 0;
	if (!port && !p->seen[KEY_SAMPLES] && p->config->samples == CONFIG_SAMPLES_SERIAL)
		p->config->samples = CONFIG_SAMPLES_OFF;
	return true;
}

static bool parse_serial_baud(struct parser *p, char *value)
{
	uint64_t baud;

	if (!word_number(value, UART_CLOCK, &baud) || !baud || UART_CLOCK % baud)
		return config_bad(p, "\"%s\" does not divide %u.", value, UART_CLOCK);
	p->config->serial_baud = (uint32_t)baud;
	return true;
}

static bool parse_dump(struct parser *p, char *value)
{
	uint64_t n;
	const char *unit = word_read_number(value, DUMP_MAX_MS, &n);
	uint64_t ms = unit && word_equal(unit, "s") ? n * 1000 : n;

	if (word_equal(value, "off")) {
		p->config->dump_ms = 0;
		return true;
	}
	if (!unit || (!word_equal(unit, "s") && !word_equal(unit, "ms")))
		return config_bad(p, "\"%s\" is not a time such as 500ms or 10s, nor is it \"off\".", value);
	if (ms < DUMP_MIN_MS || ms > DUMP_MAX_MS)
		return config_bad(p, "%s is not between %ums and %us.", value, DUMP_MIN_MS, DUMP_MAX_MS / 1000);
	p->config->dump_ms = (uint32_t)ms;
	return true;
}

static bool parse_dump_format(struct parser *p, char *value)
{
	return parse_choice(p, value, "text", "csv", &p->config->dump_csv);
}

static bool parse_guest(struct parser *p, char *value)
{
	/* Firmware wants backslashes and a path from the volume's root. */
	for (char *c = value; *c; c++)
		if (*c == '/')
			*c = '\\';
	if (*value == '\\')
		return word_copy(p, p->config->guest, sizeof(p->config->guest), value);
	p->config->guest[0] = '\\';
	return word_copy(p, p->config->guest + 1, sizeof(p->config->guest) - 1, value);
}

static bool parse_guest_args(struct parser *p, char *value)
{
	return word_copy(p, p->config->guest_args, sizeof(p->config->guest_args), value);
}

static const struct {
	const char *name;
	bool (*parse)(struct parser *p, char *value);
} keys[NR_KEYS] = {
	[KEY_HOST_COUNTERS] = { "host-counters", parse_host_counters },
	[KEY_HOST_FIXED] = { "host-fixed", parse_host_fixed },
	[KEY_EVENT] = { "event", config_parse_event },
	[KEY_RDPMC] = { "rdpmc", parse_rdpmc },
	[KEY_PEBS] = { "pebs", parse_pebs },
	[KEY_LBR] = { "lbr", parse_lbr },
	[KEY_SAMPLES] = { "samples", parse_samples },
	[KEY_SAMPLE_BRANCHES] = { "sample-branches", parse_sample_branches },
	[KEY_HYPERVISOR_BIT] = { "hypervisor-bit", parse_hypervisor_bit },
	[KEY_CPUS] = { "cpus", parse_cpus },
	[KEY_SERIAL] = { "serial", parse_serial },
	[KEY_SERIAL_BAUD] = { "serial-baud", parse_serial_baud },
	[KEY_DUMP] = { "dump", parse_dump },
	[KEY_DUMP_FORMAT] = { "dump-format", parse_dump_format },
	[KEY_GUEST] = { "guest", parse_guest },
	[KEY_GUEST_ARGS] = { "guest-args", parse_guest_args },
};

static bool parse_value(struct parser *p, enum config_key key, char *value)
{
	size_t length = word_length(value);

	p->key = keys[key].name;
	if (p->seen[key] && key != KEY_EVENT)
		return config_bad(p, "was already given in %s %u.", p->unit, p->seen[key]);
	if (length >= 2 && value[0] == '"' && value[length - 1] == '"') {
		value[length - 1] = '\0';
		value = word_trim(value + 1);
	}
	if (!*value)
		return config_bad(p, "has no value.");
	if (!keys[key].parse(p, value))
		return false;
	p->seen[key] = p->number;
	p->key = NULL;
	return true;
}

static bool parse_item(struct parser *p, char *item)
{
	char *value = item;
	const char *name = word_trim(word_cut(&value, '='));

	for (enum config_key key = 0; key < NR_KEYS; key++)
		if (value && word_equal(name, keys[key].name))
			return parse_value(p, key, word_trim(value));
	if (!value)
		return config_bad(p, "\"%s\" is not of the form key = value.", name);
	return config_bad(p, "there is no key \"%s\".", name);
}

/* Copies one line or word, without its comment, to where it can be cut up. */
static bool parse_slice(struct parser *p, const char *text, size_t length, bool comments)
{
	char item[ITEM_MAX];
	size_t n = 0;
	bool quoted = false;

	for (size_t i = 0; i < length && !(comments && !quoted && text[i] == '#'); i++) {
		if (n == sizeof(item) - 1)
			return config_bad(p, "is longer than %u characters.", ITEM_MAX - 1);
		if ((text[i] < ' ' || text[i] > '~') && !word_is_blank(text[i]))
			return config_bad(p, "has a character that is not plain ASCII.");
		quoted ^= text[i] == '"';
		item[n++] = text[i] == '\t' ? ' ' : text[i];
	}
	if (quoted)
		return config_bad(p, "has a quote that is not closed.");
	item[n] = '\0';
	return !*word_trim(item) || parse_item(p, word_trim(item));
}

/*
 * Reports a clash at the later of the two keys' lines: at least one is in this source, or it would have shown before.
 */
static bool clash(struct parser *p, enum config_key a, enum config_key b, const char *reason)
{
	enum config_key later = p->seen[a] > p->seen[b] ? a : b;

	p->number = p->seen[later];
	p->key = keys[later].name;
	return config_bad(p, "clashes with \"%s\"%s", keys[later == a ? b : a].name, reason);
}

static bool check_together(struct parser *p)
{
	const struct hv_config *config = p->config;

	if (!config->serial_port && config->dump_ms)
		return clash(p, KEY_SERIAL, KEY_DUMP, ": without a serial port there is nothing to dump to.");
	if (!config->serial_port && config->samples == CONFIG_SAMPLES_SERIAL)
		return clash(p, KEY_SERIAL, KEY_SAMPLES,
			     ": without a serial port there is nothing to send samples to.");
	if (config->sample_branches && config->lbr == CONFIG_LBR_GUEST)
		return clash(p, KEY_SAMPLE_BRANCHES, KEY_LBR,
			     ": the host must have the branch records, or share them.");
	if (config->nr_events > config->host_counters)
		return clash(p, KEY_HOST_COUNTERS, KEY_EVENT, ": each event needs a counter of its own.");
	if (config->guest_args[0] && !config->guest[0])
		return clash(p, KEY_GUEST_ARGS, KEY_GUEST, ": arguments need a guest image named to take them.");
	return true;
}

void config_defaults(struct hv_config *config)
{
	*config = (struct hv_config){
		.host_counters = 2,
		.hypervisor_bit = true,
		.serial_port = 0x2f8,
		.serial_baud = UART_CLOCK,
		.dump_ms = 10000,
	};
}

unsigned config_parse(struct hv_config *config, const char *source, const char *text, size_t length,
		      char error[static CONFIG_ERROR_MAX])
{
	struct parser p = { .config = config, .source = source, .unit = "line", .error = error };

	size_t start = length >= 3 && word_after(text, "\xef\xbb\xbf") ? 3 : 0; /* some editors' UTF-8 mark */

	for (size_t end; start < length; start = end + 1) {
		for (end = start; end < length && text[end] != '\n';)
			end++;
		p.number++;
		if (!parse_slice(&p, text + start, end - start, true))
			return p.number;
	}
	return check_together(&p) ? 0 : p.number;
}

static bool is_program_name(const char *word, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (word[i] == '=')
			return false;
	return length > 4 && word[length - 4] == '.' && (word[length - 3] | 0x20) == 'e' &&
	       (word[length - 2] | 0x20) == 'f' && (word[length - 1] | 0x20) == 'i';
}

unsigned config_parse_words(struct hv_config *config, const char *source, const char *text, size_t length,
			    char error[static CONFIG_ERROR_MAX])
{
	struct parser p = { .config = config, .source = source, .unit = "word", .error = error };

	for (size_t start = 0, end; start < length; start = end) {
		bool quoted = false;

		for (end = start; end < length && (quoted || !word_is_blank(text[end])); end++)
			quoted ^= text[end] == '"';
		if (end == start) {
			end++;
			continue;
		}
		if (!p.number++ && is_program_name(text + start, end - start))
			continue;
		if (!parse_slice(&p, text + start, end - start, false))
			return p.number;
	}
	return check_together(&p) ? 0 : p.number;
}

bool config_fits(const struct hv_config *config, unsigned nr_gp, unsigned nr_named, uint32_t fixed_bitmap,
		 char error[static CONFIG_ERROR_MAX])
{
	uint32_t missing = config->host_fixed & ~fixed_bitmap;

	if (nr_gp && config->host_counters >= nr_gp) {
		sentence(error, CONFIG_ERROR_MAX,
			 "host-counters: this processor has %u general-purpose counters, so %u for the host leave none "
			 "for the guest.",
			 nr_gp, config->host_counters);
		return false;
	}
	if (config->host_counters + nr_named > nr_gp && nr_named) {
		sentence(
			error, CONFIG_ERROR_MAX,
			"host-counters: software expects %u counters on this processor, so of its %u the host can have no "
			"more than %u.",
			nr_named, nr_gp, nr_gp - nr_named);
		return false;
	}
	for (unsigned i = 0; i < FIXED_MAX; i++) {
		if (missing >> i & 1) {
			sentence(error, CONFIG_ERROR_MAX, "host-fixed: this processor has no fixed counter %u.", i);
			return false;
		}
	}
	return true;
}
