/* The configuration parser: what it understands, and that each thing it can't obey is one sentence that says where. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "hv/config.h"

static struct hv_config config;
static char error[CONFIG_ERROR_MAX];

static unsigned parse(const char *text)
{
	error[0] = '\0';
	return config_parse(&config, "pmuvisor.conf", text, strlen(text), error);
}

static unsigned parse_words(const char *text)
{
	error[0] = '\0';
	return config_parse_words(&config, "command line", text, strlen(text), error);
}

static int defaults(void **state)
{
	(void)state;
	config_defaults(&config);
	return 0;
}

static void empty_text_leaves_defaults(void **state)
{
	(void)state;
	assert_int_equal(parse("\n  # nothing\r\n\n"), 0);
	assert_int_equal(config.host_counters, 2);
	assert_int_equal(config.host_fixed, 0);
	assert_int_equal(config.nr_events, 0);
	assert_int_equal(config.rdpmc, CONFIG_RDPMC_TRAP);
	assert_int_equal(config.pebs, CONFIG_PEBS_AUTO);
	assert_int_equal(config.lbr, CONFIG_LBR_GUEST);
	assert_int_equal(config.samples, CONFIG_SAMPLES_OFF);
	assert_int_equal(config.sample_branches, 0);
	assert_true(config.hypervisor_bit);
	assert_false(config.boot_cpu_only);
	assert_int_equal(config.serial_port, 0x2f8);
	assert_int_equal(config.serial_baud, 115200);
	assert_int_equal(config.dump_ms, 10000);
	assert_false(config.dump_csv);
	assert_string_equal(config.guest, "");
	assert_string_equal(config.guest_args, "");
}

static void every_key_is_obeyed(void **state)
{
	(void)state;
	assert_int_equal(parse("\xef\xbb\xbf# first line\r\n"
			       "host-counters = 3\r\n"
			       "host-fixed=0, 2\n"
			       "rdpmc = direct  # opened\n"
			       "pebs = on\n"
			       "lbr = both\n"
			       "samples = serial\n"
			       "sample-branches = 8\n"
			       "hypervisor-bit = off\n"
			       "cpus = boot\n"
			       "serial = 0x3e8\n"
			       "serial-baud = 57600\n"
			       "dump = 500ms\n"
			       "dump-format = csv\n"
			       "guest = EFI/debian/grubx64.efi\n"
			       "guest-args = \"console=ttyS0 a=#b\""),
			 0);
	assert_int_equal(config.host_counters, 3);
	assert_int_equal(config.host_fixed, 5);
	assert_int_equal(config.rdpmc, CONFIG_RDPMC_DIRECT);
	assert_int_equal(config.pebs, CONFIG_PEBS_ON);
	assert_int_equal(config.lbr, CONFIG_LBR_BOTH);
	assert_int_equal(config.samples, CONFIG_SAMPLES_SERIAL);
	assert_int_equal(config.sample_branches, 8);
	assert_false(config.hypervisor_bit);
	assert_true(config.boot_cpu_only);
	assert_int_equal(config.serial_port, 0x3e8);
	assert_int_equal(config.serial_baud, 57600);
	assert_int_equal(config.dump_ms, 500);
	assert_true(config.dump_csv);
	assert_string_equal(config.guest, "\\EFI\\debian\\grubx64.efi");
	assert_string_equal(config.guest_args, "console=ttyS0 a=#b");
}

static void other_spellings(void **state)
{
	(void)state;
	assert_int_equal(parse("serial=com1\ndump=10s\nhost-fixed=none\nguest=\\vmlinuz\nguest-args=a  b"), 0);
	assert_int_equal(config.serial_port, 0x3f8);
	assert_int_equal(config.dump_ms, 10000);
	assert_string_equal(config.guest, "\\vmlinuz");
	assert_string_equal(config.guest_args, "a  b");
	assert_int_equal(parse("samples = serial"), 0);
	assert_int_equal(parse("serial = off"), 0);
	assert_int_equal(config.samples, CONFIG_SAMPLES_OFF);
	assert_int_equal(parse("samples = guest"), 0);
	assert_int_equal(parse("serial = off"), 0);
	assert_int_equal(config.samples, CONFIG_SAMPLES_GUEST);
	assert_int_equal(config.serial_port, 0);
	assert_int_equal(config.dump_ms, 0);
}

static void assert_event(const struct config_event *event, const struct config_event *expected)
{
	assert_string_equal(event->name, expected->name);
	assert_int_equal(event->event, expected->event);
	assert_int_equal(event->umask, expected->umask);
	assert_int_equal(event->user, expected->user);
	assert_int_equal(event->kernel, expected->kernel);
	assert_int_equal(event->guest, expected->guest);
	assert_int_equal(event->host, expected->host);
	assert_int_equal(event->period, expected->period);
}

static void events_are_read(void **state)
{
	static const struct config_event expected[] = {
		{ "instructions", 0xc0, 0, true, true, true, false, 100000 },
		{ "branches", 0xc4, 0, true, false, false, true, 0 },
		{ "event=0xc4,umask=0x11", 0xc4, 0x11, true, true, true, false, 7 },
		{ "cycles", 0x3c, 0, true, true, true, true, 0 },
		{ "branch-misses", 0xc5, 0, false, true, true, true, 0 },
		{ "llc-misses", 0x2e, 0x41, true, true, true, true, 0 },
	};

	(void)state;
	assert_int_equal(parse("host-counters = 6\n"
			       "event = instructions:guest   period=100000\n"
			       "event = branches:host:user\n"
			       "event = event=0xc4,umask=0x11:guest\tperiod=7\n"
			       "event = cycles:guest:host\n"
			       "event = branch-misses:kernel\n"
			       "event = llc-misses\n"),
			 0);
	assert_int_equal(config.nr_events, 6);
	for (unsigned i = 0; i < 6; i++)
		assert_event(&config.events[i], &expected[i]);
}

static void later_source_replaces_events(void **state)
{
	(void)state;
	assert_int_equal(parse("event = cycles\nevent = branches\ndump = 1s"), 0);
	assert_int_equal(parse_words("pmuvisor.EFI event=instructions:user serial=off"), 0);
	assert_int_equal(config.nr_events, 1);
	assert_string_equal(config.events[0].name, "instructions");
	assert_false(config.events[0].kernel);
	assert_int_equal(config.dump_ms, 0);
}

static void words_may_be_quoted(void **state)
{
	(void)state;
	assert_int_equal(parse_words("  guest=\\vmlinuz guest-args=\"console=ttyS0  quiet # all\" "
				     "event=\"cycles:guest period=5\""),
			 0);
	assert_string_equal(config.guest_args, "console=ttyS0  quiet # all");
	assert_int_equal(config.events[0].period, 5);
	/* The first word is a program's name only if it is no key. */
	assert_int_equal(parse_words("guest=a.efi"), 0);
	assert_string_equal(config.guest, "\\a.efi");
}

static const struct bad_text {
	const char *text;
	unsigned line;
	const char *error;
} bad_texts[] = {
	{ "host-counter = 2", 1, "pmuvisor.conf, line 1: there is no key \"host-counter\"." },
	{ "\n# x\nhello", 3, "pmuvisor.conf, line 3: \"hello\" is not of the form key = value." },
	{ "= 4", 1, "pmuvisor.conf, line 1: there is no key \"\"." },
	{ "host-counters = 9", 1, "pmuvisor.conf, line 1: host-counters: \"9\" is not a number from 0 to 8." },
	{ "host-counters = -1", 1, "pmuvisor.conf, line 1: host-counters: \"-1\" is not a number from 0 to 8." },
	{ "host-counters = 0x", 1, "pmuvisor.conf, line 1: host-counters: \"0x\" is not a number from 0 to 8." },
	{ "host-counters = 18446744073709551618", 1,
	  "pmuvisor.conf, line 1: host-counters: \"18446744073709551618\" is not a number from 0 to 8." },
	{ "host-counters =", 1, "pmuvisor.conf, line 1: host-counters: has no value." },
	{ "guest = \"\"", 1, "pmuvisor.conf, line 1: guest: has no value." },
	{ "host-fixed = 0,0", 1, "pmuvisor.conf, line 1: host-fixed: fixed counter 0 is named twice." },
	{ "host-fixed = 16", 1,
	  "pmuvisor.conf, line 1: host-fixed: \"16\" is not a fixed counter from 0 to 15, nor is it \"none\"." },
	{ "host-fixed = 0,", 1,
	  "pmuvisor.conf, line 1: host-fixed: \"\" is not a fixed counter from 0 to 15, nor is it \"none\"." },
	{ "rdpmc = trap\nrdpmc = direct", 2, "pmuvisor.conf, line 2: rdpmc: was already given in line 1." },
	{ "rdpmc = open", 1, "pmuvisor.conf, line 1: rdpmc: \"open\" is neither \"trap\" nor \"direct\"." },
	{ "lbr = none", 1, "pmuvisor.conf, line 1: lbr: \"none\" is none of guest, host and both." },
	{ "pebs = yes", 1, "pmuvisor.conf, line 1: pebs: \"yes\" is none of auto, on and off." },
	{ "hypervisor-bit = 1", 1, "pmuvisor.conf, line 1: hypervisor-bit: \"1\" is neither \"off\" nor \"on\"." },
	{ "cpus = all", 1, "pmuvisor.conf, line 1: cpus: \"all\" is not \"boot\"." },
	{ "serial = com9", 1,
	  "pmuvisor.conf, line 1: serial: \"com9\" is none of com1, com2, off and a port from 0x100 to 0xfff8." },
	{ "serial = 0x60", 1,
	  "pmuvisor.conf, line 1: serial: \"0x60\" is none of com1, com2, off and a port from 0x100 to 0xfff8." },
	{ "serial-baud = 31250", 1, "pmuvisor.conf, line 1: serial-baud: \"31250\" does not divide 115200." },
	{ "serial-baud = 0", 1, "pmuvisor.conf, line 1: serial-baud: \"0\" does not divide 115200." },
	{ "dump = 5", 1, "pmuvisor.conf, line 1: dump: \"5\" is not a time such as 500ms or 10s, nor is it \"off\"." },
	{ "dump = soon", 1,
	  "pmuvisor.conf, line 1: dump: \"soon\" is not a time such as 500ms or 10s, nor is it \"off\"." },
	{ "dump = 0s", 1, "pmuvisor.conf, line 1: dump: 0s is not between 100ms and 86400s." },
	{ "dump = 86401s", 1, "pmuvisor.conf, line 1: dump: 86401s is not between 100ms and 86400s." },
	{ "event = instruction", 1,
	  "pmuvisor.conf, line 1: event: \"instruction\" is neither an event's name, nor event=N or umask=N with N up to "
	  "0xff." },
	{ "event = event=0x1c4", 1,
	  "pmuvisor.conf, line 1: event: \"event=0x1c4\" is neither an event's name, nor event=N or umask=N with N up to "
	  "0xff." },
	{ "event = umask=1", 1, "pmuvisor.conf, line 1: event: \"umask=1\" lacks event=N." },
	{ "event = event=0,umask=1", 1,
	  "pmuvisor.conf, line 1: event: event 0x0 is for fixed counters, and host events count on general-purpose "
	  "ones." },
	{ "event = cycles:root", 1,
	  "pmuvisor.conf, line 1: event: \":root\" is none of :guest, :host, :user and :kernel." },
	{ "event = cycles:user:user", 1, "pmuvisor.conf, line 1: event: \":user\" is given twice." },
	{ "event = cycles period=0", 1,
	  "pmuvisor.conf, line 1: event: period \"0\" is not a number from 1 to 2^47 - 1." },
	{ "event = cycles period=140737488355328", 1,
	  "pmuvisor.conf, line 1: event: period \"140737488355328\" is not a number from 1 to 2^47 - 1." },
	{ "event = cycles:guest period=5 period=5", 1, "pmuvisor.conf, line 1: event: period is given twice." },
	{ "event = cycles sample=5", 1, "pmuvisor.conf, line 1: event: \"sample=5\" is not period=N." },
	{ "event = cycles period=9999", 1,
	  "pmuvisor.conf, line 1: event: an event that counts pmuvisor itself needs a period of at least 10000, or "
	  ":guest." },
	{ "host-counters = 1\nevent = cycles\nevent = branches", 3,
	  "pmuvisor.conf, line 3: event: clashes with \"host-counters\": each event needs a counter of its own." },
	{ "event = cycles\nevent = branches\n\nevent = cycles\n\n", 4,
	  "pmuvisor.conf, line 4: event: clashes with \"host-counters\": each event needs a counter of its own." },
	{ "dump = 1s\nserial = off", 2,
	  "pmuvisor.conf, line 2: serial: clashes with \"dump\": without a serial port there is nothing to dump to." },
	{ "dump-format = json", 1, "pmuvisor.conf, line 1: dump-format: \"json\" is neither \"text\" nor \"csv\"." },
	{ "samples = yes", 1, "pmuvisor.conf, line 1: samples: \"yes\" is none of off, serial and guest." },
	{ "sample-branches = 33", 1, "pmuvisor.conf, line 1: sample-branches: \"33\" is not a number from 0 to 32." },
	{ "samples = serial\ndump = off\nserial = off", 3,
	  "pmuvisor.conf, line 3: serial: clashes with \"samples\": without a serial port there is nothing to send samples "
	  "to." },
	{ "sample-branches = 4", 1,
	  "pmuvisor.conf, line 1: sample-branches: clashes with \"lbr\": the host must have the branch records, or share "
	  "them." },
	{ "guest-args = quiet", 1,
	  "pmuvisor.conf, line 1: guest-args: clashes with \"guest\": arguments need a guest image named to take them." },
	{ "guest = \xc3\xa4", 1, "pmuvisor.conf, line 1: has a character that is not plain ASCII." },
	{ "guest = \"a", 1, "pmuvisor.conf, line 1: has a quote that is not closed." },
};

static void bad_lines_are_named(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bad_texts) / sizeof(bad_texts[0]); i++) {
		config_defaults(&config);
		assert_int_equal(parse(bad_texts[i].text), bad_texts[i].line);
		assert_string_equal(error, bad_texts[i].error);
	}
}

static void more_than_eight_events(void **state)
{
	char text[200] = "host-counters = 8\n";

	(void)state;
	for (unsigned i = 0; i < 9; i++)
		strcat(text, "event = cycles\n");
	assert_int_equal(parse(text), 10);
	assert_string_equal(error, "pmuvisor.conf, line 10: event: there are more than 8 events.");
}

static void bad_words_are_counted(void **state)
{
	(void)state;
	assert_int_equal(parse_words("pmuvisor.efi  rdpmc=trap rdpmc=trap"), 3);
	assert_string_equal(error, "command line, word 3: rdpmc: was already given in word 2.");
	assert_int_equal(parse_words("quiet"), 1);
	assert_string_equal(error, "command line, word 1: \"quiet\" is not of the form key = value.");
}

static void clash_between_sources(void **state)
{
	(void)state;
	assert_int_equal(parse("event = cycles\nevent = branches"), 0);
	assert_int_equal(parse_words("rdpmc=trap host-counters=1"), 2);
	assert_string_equal(error, "command line, word 2: host-counters: clashes with \"event\": each event needs a "
				   "counter of its own.");
}

static void long_values(void **state)
{
	char text[2000] = "guest = ";

	(void)state;
	memset(text + 8, 'a', CONFIG_PATH_MAX - 2);
	assert_int_equal(parse(text), 0);
	text[8 + CONFIG_PATH_MAX - 2] = 'a';
	config_defaults(&config);
	assert_int_equal(parse(text), 1);
	memset(text + 8, 'a', 1000);
	assert_int_equal(parse(text), 1);
	assert_string_equal(error, "pmuvisor.conf, line 1: is longer than 575 characters.");
}

static void fits_the_pmu(void **state)
{
	(void)state;
	config.host_fixed = 0x8;
	assert_true(config_fits(&config, 3, 0, 0xf, error));
	assert_false(config_fits(&config, 2, 0, 0xf, error));
	assert_string_equal(error, "host-counters: this processor has 2 general-purpose counters, so 2 for the host "
				   "leave none for the guest.");
	assert_true(config_fits(&config, 0, 0, 0xf, error)); /* nobody has any */
	assert_false(config_fits(&config, 8, 0, 0x7, error));
	assert_string_equal(error, "host-fixed: this processor has no fixed counter 3.");
}

static void expected_counters_are_the_guest_s(void **state)
{
	(void)state;
	assert_true(config_fits(&config, 6, 4, 0, error));
	config.host_counters = 1;
	assert_true(config_fits(&config, 6, 4, 0, error));
	config.host_counters = 3;
	assert_false(config_fits(&config, 6, 4, 0, error));
	assert_string_equal(error, "host-counters: software expects 4 counters on this processor, so of its 6 the host "
				   "can have no more than 2.");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(empty_text_leaves_defaults, defaults),
		cmocka_unit_test_setup(every_key_is_obeyed, defaults),
		cmocka_unit_test_setup(other_spellings, defaults),
		cmocka_unit_test_setup(events_are_read, defaults),
		cmocka_unit_test_setup(later_source_replaces_events, defaults),
		cmocka_unit_test_setup(words_may_be_quoted, defaults),
		cmocka_unit_test_setup(bad_lines_are_named, defaults),
		cmocka_unit_test_setup(more_than_eight_events, defaults),
		cmocka_unit_test_setup(bad_words_are_counted, defaults),
		cmocka_unit_test_setup(clash_between_sources, defaults),
		cmocka_unit_test_setup(long_values, defaults),
		cmocka_unit_test_setup(fits_the_pmu, defaults),
		cmocka_unit_test_setup(expected_counters_are_the_guest_s, defaults),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
