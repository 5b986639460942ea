/* The `event` line: what the host counts. docs/configuration.md, "Events". */
#include "bits.h"
#include "config_private.h"

#define HOST_MIN_PERIOD 10000

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

	if ((number = word_after(field, "event=")) && word_number(number, 0xff, &n)) {
		event->event = (uint8_t)n;
		*has_event = true;
	} else if ((number = word_after(field, "umask=")) && word_number(number, 0xff, &n)) {
		event->umask = (uint8_t)n;
	} else {
		return config_bad(p, "\"%s\" is neither an event's name, nor event=N or umask=N with N up to 0xff.",
				  field);
	}
	return true;
}

static bool parse_raw_event(struct parser *p, struct config_event *event)
{
	char text[sizeof(event->name)];
	bool has_event = false;

	if (!word_copy(p, text, sizeof(text), event->name))
		return false;
	for (char *rest = text; rest;)
		if (!parse_event_field(p, word_cut(&rest, ','), event, &has_event))
			return false;
	if (!has_event)
		return config_bad(p, "\"%s\" lacks event=N.", event->name);
	/* Event 0 is how some tools spell fixed counters; no general-purpose counter counts it. */
	if (!event->event)
		return config_bad(p, "event 0x0 is for fixed counters, and host events count on general-purpose ones.");
	return true;
}

static bool parse_event_name(struct parser *p, const char *name, struct config_event *event)
{
	if (!word_copy(p, event->name, sizeof(event->name), name))
		return false;
	for (unsigned i = 0; i < sizeof(architectural_events) / sizeof(architectural_events[0]); i++) {
		if (word_equal(name, architectural_events[i].name)) {
			event->event = architectural_events[i].event;
			event->umask = architectural_events[i].umask;
			return true;
		}
	}
	return parse_raw_event(p, event);
}

static bool parse_modifier(struct parser *p, const char *modifier, struct config_event *event)
{
	bool *flag = word_equal(modifier, "guest")    ? &event->guest
		     : word_equal(modifier, "host")   ? &event->host
		     : word_equal(modifier, "user")   ? &event->user
		     : word_equal(modifier, "kernel") ? &event->kernel
						      : NULL;

	if (!flag)
		return config_bad(p, "\":%s\" is none of :guest, :host, :user and :kernel.", modifier);
	if (*flag)
		return config_bad(p, "\":%s\" is given twice.", modifier);
	*flag = true;
	return true;
}

static bool parse_event_option(struct parser *p, const char *option, struct config_event *event)
{
	const char *number = word_after(option, "period=");

	if (!number)
		return config_bad(p, "\"%s\" is not period=N.", option);
	if (event->period)
		return config_bad(p, "period is given twice.");
	/* A counter starts at 2^48 - period and must not start in the lower half, where it would look overflowed. */
	if (!word_number(number, (UINT64_C(1) << 47) - 1, &event->period) || !event->period)
		return config_bad(p, "period \"%s\" is not a number from 1 to 2^47 - 1.", number);
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
		return config_bad(p, "an event that counts pmuvisor itself needs a period of at least %u, or :guest.",
				  HOST_MIN_PERIOD);
	return true;
}

bool config_parse_event(struct parser *p, char *value)
{
	struct config_event event = { .period = 0 };
	char *rest = value;
	char *modifiers = word_cut(&rest, ' ');

	if (!parse_event_name(p, word_cut(&modifiers, ':'), &event))
		return false;
	while (modifiers)
		if (!parse_modifier(p, word_cut(&modifiers, ':'), &event))
			return false;
	while (rest) {
		char *option = word_cut(&rest, ' ');

		if (*option && !parse_event_option(p, option, &event))
			return false;
	}
	if (!check_event(p, &event))
		return false;
	if (!p->seen[KEY_EVENT])
		p->config->nr_events = 0;
	if (p->config->nr_events == CONFIG_MAX_EVENTS)
		return config_bad(p, "there are more than %u events.", CONFIG_MAX_EVENTS);
	p->config->events[p->config->nr_events++] = event;
	return true;
}
