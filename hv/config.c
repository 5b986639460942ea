#include "config.h"
#include "sentence.h"

#define ITEM_MAX        (CONFIG_ARGS_MAX + 64) /* one line or word, with its key */
#define FIXED_MAX       16                     /* IA32_FIXED_CTR_CTRL has four bits for each */
#define DUMP_MIN_MS     100                    /* a block takes about that long at 115200 baud */
#define DUMP_MAX_MS     86400000               /* a day */
#define UART_CLOCK      115200                 /* baud at divisor 1 */
#define HOST_MIN_PERIOD 10000

enum key {
	KEY_HOST_COUNTERS,
	KEY_HOST_FIXED,
	KEY_EVENT,
	KEY_RDPMC,
	KEY_HYPERVISOR_BIT,
	KEY_CPUS,
	KEY_SERIAL,
	KEY_SERIAL_BAUD,
	KEY_DUMP,
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
static bool __attribute__((format(printf, 2, 3))) bad(struct parser *p, const char *format, ...)
{
	va_list arguments;
	size_t length = sentence(p->error, CONFIG_ERROR_MAX, "%s, %s %u: ", p->source, p->unit, p->number);

	if (p->key)
		length += sentence(p->error + length, CONFIG_ERROR_MAX - length, "%s: ", p->key);
	va_start(arguments, format);
	sentence_v(p->error + length, CONFIG_ERROR_MAX - length, format, arguments);
	va_end(arguments);
	return false;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static size_t text_length(const char *text)
{
	size_t n = 0;

	while (text[n])
		n++;
	return n;
}

static bool text_equal(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

/* What follows `prefix` in `text`, or null. */
static const char *text_after(const char *text, const char *prefix)
{
	while (*prefix)
		if (*text++ != *prefix++)
			return NULL;
	return text;
}

static char *trim(char *text)
{
	while (is_blank(*text))
		text++;
	for (size_t n = text_length(text); n && is_blank(text[n - 1]); n--)
		text[n - 1] = '\0';
	return text;
}

/* Ends the part of *rest before the first `separator`, returns that part and moves *rest behind it, or to null. */
static char *cut(char **rest, char separator)
{
	char *part = *rest;

	for (char *c = part; *c; c++) {
		if (*c == separator) {
			*c = '\0';
			*rest = c + 1;
			return part;
		}
	}
	*rest = NULL;
	return part;
}

static bool copy(struct parser *p, char *to, size_t size, const char *from)
{
	size_t length = text_length(from);

	if (!length)
		return bad(p, "has no value.");
	if (length >= size)
		return bad(p, "is longer than %u characters.", (unsigned)size - 1);
	for (size_t i = 0; i <= length; i++)
		to[i] = from[i];
	return true;
}

static unsigned digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned)(c - '0');
	if (c >= 'a' && c <= 'f')
		return (unsigned)(c - 'a') + 10;
	if (c >= 'A' && c <= 'F')
		return (unsigned)(c - 'A') + 10;
	return 16;
}

/* Reads a decimal or 0x number of at most `max`. Returns what follows it, or null. */
static const char *read_number(const char *text, uint64_t max, uint64_t *value)
{
	const char *hex = text_after(text, "0x");
	unsigned base = hex ? 16 : 10;
	const char *start = hex ? hex : text;

	*value = 0;
	for (text = start; digit_value(*text) < base; text++) {
		unsigned digit = digit_value(*text);

		if (digit > max || *value > (max - digit) / base)
			return NULL;
		*value = *value * base + digit;
	}
	return text == start ? NULL : text;
}

static bool is_number(const char *text, uint64_t max, uint64_t *value)
{
	const char *end = read_number(text, max, value);

	return end && !*end;
}

static bool parse_host_counters(struct parser *p, char *value)
{
	uint64_t n;

	if (!is_number(value, CONFIG_MAX_EVENTS, &n))
		return bad(p, "\"%s\" is not a number from 0 to %u.", value, CONFIG_MAX_EVENTS);
	p->config->host_counters = (unsigned)n;
	return true;
}

static bool parse_host_fixed(struct parser *p, char *value)
{
	uint32_t bitmap = 0;
	uint64_t n;

	for (char *rest = text_equal(value, "none") ? NULL : value; rest;) {
		char *part = trim(cut(&rest, ','));

		if (!is_number(part, FIXED_MAX - 1, &n))
			return bad(p, "\"%s\" is not a fixed counter from 0 to %u, nor is it \"none\".", part,
				   FIXED_MAX - 1);
		if (bitmap >> n & 1)
			return bad(p, "fixed counter %u is named twice.", (unsigned)n);
		bitmap |= UINT32_C(1) << n;
	}
	p->config->host_fixed = bitmap;
	return true;
}

/* SDM Vol. 3B, "Pre-defined Architectural Performance Events". */
static const struct {
	const char *name;
	uint8_t event, umask;
} architectural_events[] = {
	{ "instructions", 0xc0, 0x00 },  { "cycles", 0x3c, 0x00 },     { "branches", 0xc4, 0x00 },
	{ "branch-misses", 0xc5, 0x00 }, { "llc-misses", 0x2e, 0x41 },
};

static bool parse_event_field(struct parser *p, const char *field, struct config_event *event, bool *has_event)
{
	const char *number;
	uint64_t n;

	if ((number = text_after(field, "event=")) && is_number(number, 0xff, &n)) {
		event->event = (uint8_t)n;
		*has_event = true;
	} else if ((number = text_after(field, "umask=")) && is_number(number, 0xff, &n)) {
		event->umask = (uint8_t)n;
	} else {
		return bad(p, "\"%s\" is neither an event's name, nor event=N or umask=N with N up to 0xff.", field);
	}
	return true;
}

static bool parse_raw_event(struct parser *p, struct config_event *event)
{
	char text[sizeof(event->name)];
	bool has_event = false;

	if (!copy(p, text, sizeof(text), event->name))
		return false;
	for (char *rest = text; rest;)
		if (!parse_event_field(p, cut(&rest, ','), event, &has_event))
			return false;
	if (!has_event)
		return bad(p, "\"%s\" lacks event=N.", event->name);
	/* Event 0 is how some tools spell fixed counters; no general-purpose counter counts it. */
	if (!event->event)
		return bad(p, "event 0x0 is for fixed counters, and host events count on general-purpose ones.");
	return true;
}

static bool parse_event_name(struct parser *p, const char *name, struct config_event *event)
{
	if (!copy(p, event->name, sizeof(event->name), name))
		return false;
	for (unsigned i = 0; i < sizeof(architectural_events) / sizeof(architectural_events[0]); i++) {
		if (text_equal(name, architectural_events[i].name)) {
			event->event = architectural_events[i].event;
			event->umask = architectural_events[i].umask;
			return true;
		}
	}
	return parse_raw_event(p, event);
}

static bool parse_modifier(struct parser *p, const char *modifier, struct config_event *event)
{
	bool *flag = text_equal(modifier, "guest")    ? &event->guest
		     : text_equal(modifier, "host")   ? &event->host
		     : text_equal(modifier, "user")   ? &event->user
		     : text_equal(modifier, "kernel") ? &event->kernel
						      : NULL;

	if (!flag)
		return bad(p, "\":%s\" is none of :guest, :host, :user and :kernel.", modifier);
	if (*flag)
		return bad(p, "\":%s\" is given twice.", modifier);
	*flag = true;
	return true;
}

static bool parse_event_option(struct parser *p, const char *option, struct config_event *event)
{
	const char *number = text_after(option, "period=");

	if (!number)
		return bad(p, "\"%s\" is not period=N.", option);
	if (event->period)
		return bad(p, "period is given twice.");
	/* A counter starts at 2^48 - period and must not start in the lower half, where it would look overflowed. */
	if (!is_number(number, (UINT64_C(1) << 47) - 1, &event->period) || !event->period)
		return bad(p, "period \"%s\" is not a number from 1 to 2^47 - 1.", number);
	return true;
}

static bool check_event(struct parser *p, struct config_event *event)
{
	/* Neither of a pair means both of it. */
	if (!event->guest && !event->host)
		event->guest = event->host = true;
	if (!event->user && !event->kernel)
		event->user = event->kernel = true;
	/* Otherwise handling one overflow could cause the next, and the guest would never run. */
	if (event->period && event->period < HOST_MIN_PERIOD && event->host && event->kernel)
		return bad(p, "an event that counts pmuvisor itself needs a period of at least %u, or :guest.",
			   HOST_MIN_PERIOD);
	return true;
}

static bool parse_event(struct parser *p, char *value)
{
	struct config_event event = { .period = 0 };
	char *rest = value;
	char *modifiers = cut(&rest, ' ');

	if (!parse_event_name(p, cut(&modifiers, ':'), &event))
		return false;
	while (modifiers)
		if (!parse_modifier(p, cut(&modifiers, ':'), &event))
			return false;
	while (rest) {
		char *option = cut(&rest, ' ');

		if (*option && !parse_event_option(p, option, &event))
			return false;
	}
	if (!check_event(p, &event))
		return false;
	if (!p->seen[KEY_EVENT])
		p->config->nr_events = 0;
	if (p->config->nr_events == CONFIG_MAX_EVENTS)
		return bad(p, "there are more than %u events.", CONFIG_MAX_EVENTS);
	p->config->events[p->config->nr_events++] = event;
	return true;
}

/* The value must be one of two words. */
static bool parse_choice(struct parser *p, const char *value, const char *no, const char *yes, bool *chosen)
{
	*chosen = text_equal(value, yes);
	if (!*chosen && !text_equal(value, no))
		return bad(p, "\"%s\" is neither \"%s\" nor \"%s\".", value, no, yes);
	return true;
}

static bool parse_rdpmc(struct parser *p, char *value)
{
	bool direct;

	if (!parse_choice(p, value, "trap", "direct", &direct))
		return false;
	p->config->rdpmc = direct ? CONFIG_RDPMC_DIRECT : CONFIG_RDPMC_TRAP;
	return true;
}

static bool parse_hypervisor_bit(struct parser *p, char *value)
{
	return parse_choice(p, value, "off", "on", &p->config->hypervisor_bit);
}

static bool parse_cpus(struct parser *p, char *value)
{
	if (!text_equal(value, "boot"))
		return bad(p, "\"%s\" is not \"boot\".", value);
	p->config->boot_cpu_only = true;
	return true;
}

static bool parse_serial(struct parser *p, char *value)
{
	uint64_t port = 0;

	if (text_equal(value, "com1"))
		port = 0x3f8;
	else if (text_equal(value, "com2"))
		port = 0x2f8;
	else if (!text_equal(value, "off") && (!is_number(value, 0xfff8, &port) || port < 0x100))
		return bad(p, "\"%s\" is none of com1, com2, off and a port from 0x100 to 0xfff8.", value);
	p->config->serial_port = (uint16_t)port;
	/* Dumps that an earlier source asked for go with the port; those of this source clash. */
	if (!port && !p->seen[KEY_DUMP])
		p->config->dump_ms = 0;
	return true;
}

static bool parse_serial_baud(struct parser *p, char *value)
{
	uint64_t baud;

	if (!is_number(value, UART_CLOCK, &baud) || !baud || UART_CLOCK % baud)
		return bad(p, "\"%s\" does not divide %u.", value, UART_CLOCK);
	p->config->serial_baud = (uint32_t)baud;
	return true;
}

static bool parse_dump(struct parser *p, char *value)
{
	uint64_t n;
	const char *unit = read_number(value, DUMP_MAX_MS, &n);
	uint64_t ms = unit && text_equal(unit, "s") ? n * 1000 : n;

	if (text_equal(value, "off")) {
		p->config->dump_ms = 0;
		return true;
	}
	if (!unit || (!text_equal(unit, "s") && !text_equal(unit, "ms")))
		return bad(p, "\"%s\" is not a time such as 500ms or 10s, nor is it \"off\".", value);
	if (ms < DUMP_MIN_MS || ms > DUMP_MAX_MS)
		return bad(p, "%s is not between %ums and %us.", value, DUMP_MIN_MS, DUMP_MAX_MS / 1000);
	p->config->dump_ms = (uint32_t)ms;
	return true;
}

static bool parse_guest(struct parser *p, char *value)
{
	/* Firmware wants backslashes and a path from the volume's root. */
	for (char *c = value; *c; c++)
		if (*c == '/')
			*c = '\\';
	if (*value == '\\')
		return copy(p, p->config->guest, sizeof(p->config->guest), value);
	p->config->guest[0] = '\\';
	return copy(p, p->config->guest + 1, sizeof(p->config->guest) - 1, value);
}

static bool parse_guest_args(struct parser *p, char *value)
{
	return copy(p, p->config->guest_args, sizeof(p->config->guest_args), value);
}

static const struct {
	const char *name;
	bool (*parse)(struct parser *p, char *value);
} keys[NR_KEYS] = {
	[KEY_HOST_COUNTERS] = { "host-counters", parse_host_counters },
	[KEY_HOST_FIXED] = { "host-fixed", parse_host_fixed },
	[KEY_EVENT] = { "event", parse_event },
	[KEY_RDPMC] = { "rdpmc", parse_rdpmc },
	[KEY_HYPERVISOR_BIT] = { "hypervisor-bit", parse_hypervisor_bit },
	[KEY_CPUS] = { "cpus", parse_cpus },
	[KEY_SERIAL] = { "serial", parse_serial },
	[KEY_SERIAL_BAUD] = { "serial-baud", parse_serial_baud },
	[KEY_DUMP] = { "dump", parse_dump },
	[KEY_GUEST] = { "guest", parse_guest },
	[KEY_GUEST_ARGS] = { "guest-args", parse_guest_args },
};

static bool parse_value(struct parser *p, enum key key, char *value)
{
	size_t length = text_length(value);

	p->key = keys[key].name;
	if (p->seen[key] && key != KEY_EVENT)
		return bad(p, "was already given in %s %u.", p->unit, p->seen[key]);
	if (length >= 2 && value[0] == '"' && value[length - 1] == '"') {
		value[length - 1] = '\0';
		value = trim(value + 1);
	}
	if (!*value)
		return bad(p, "has no value.");
	if (!keys[key].parse(p, value))
		return false;
	p->seen[key] = p->number;
	p->key = NULL;
	return true;
}

static bool parse_item(struct parser *p, char *item)
{
	char *value = item;
	const char *name = trim(cut(&value, '='));

	for (enum key key = 0; key < NR_KEYS; key++)
		if (value && text_equal(name, keys[key].name))
			return parse_value(p, key, trim(value));
	if (!value)
		return bad(p, "\"%s\" is not of the form key = value.", name);
	return bad(p, "there is no key \"%s\".", name);
}

/* Copies one line or word, without its comment, to where it can be cut up. */
static bool parse_slice(struct parser *p, const char *text, size_t length, bool comments)
{
	char item[ITEM_MAX];
	size_t n = 0;
	bool quoted = false;

	for (size_t i = 0; i < length && !(comments && !quoted && text[i] == '#'); i++) {
		if (n == sizeof(item) - 1)
			return bad(p, "is longer than %u characters.", ITEM_MAX - 1);
		if ((text[i] < ' ' || text[i] > '~') && !is_blank(text[i]))
			return bad(p, "has a character that is not plain ASCII.");
		quoted ^= text[i] == '"';
		item[n++] = text[i] == '\t' ? ' ' : text[i];
	}
	if (quoted)
		return bad(p, "has a quote that is not closed.");
	item[n] = '\0';
	return !*trim(item) || parse_item(p, trim(item));
}

/*
 * Reports a clash at the later of the two keys' lines: at least one is in this source, or it would have shown before.
 */
static bool clash(struct parser *p, enum key a, enum key b, const char *reason)
{
	enum key later = p->seen[a] > p->seen[b] ? a : b;

	p->number = p->seen[later];
	p->key = keys[later].name;
	return bad(p, "clashes with \"%s\"%s", keys[later == a ? b : a].name, reason);
}

static bool check_together(struct parser *p)
{
	const struct hv_config *config = p->config;

	if (!config->serial_port && config->dump_ms)
		return clash(p, KEY_SERIAL, KEY_DUMP, ": without a serial port there is nothing to dump to.");
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

	size_t start = length >= 3 && text_after(text, "\xef\xbb\xbf") ? 3 : 0; /* some editors' UTF-8 mark */

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

		for (end = start; end < length && (quoted || !is_blank(text[end])); end++)
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

bool config_fits(const struct hv_config *config, unsigned nr_gp, uint32_t fixed_bitmap,
		 char error[static CONFIG_ERROR_MAX])
{
	uint32_t missing = config->host_fixed & ~fixed_bitmap;

	if (config->host_counters >= nr_gp) {
		sentence(error, CONFIG_ERROR_MAX,
			 "host-counters: this processor has %u general-purpose counters, so %u for the host leave none "
			 "for the guest.",
			 nr_gp, config->host_counters);
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
