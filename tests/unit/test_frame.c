/*
 * Frames of samples, character by character. tests/report/self-test reads the same line back: what is written here and
 * what the tools understand is one format.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/reg.h"
#include "hv/cpu.h"
#include "hv/dump.h"
#include "hv/frame.h"

void dump_samples_wait(struct cpu *cpu)
{
	(void)cpu;
	fail();
}

uint64_t reg_rdtsc(void)
{
	fail();
	return 0;
}

static struct sample_ring ring;
static char line[FRAME_LINE_MAX + 1];

static void put(uint64_t word)
{
	ring.words[ring.head++ % SAMPLE_WORDS] = word;
}

/* As sample.c lays it out. */
static void put_sample(uint64_t tsc, uint64_t rip, uint64_t cr3, uint64_t info)
{
	put(tsc);
	put(rip);
	put(cr3);
	put(info);
}

static int setup(void **state)
{
	(void)state;
	memset(&ring, 0, sizeof(ring));
	return 0;
}

static size_t make(uint64_t cpu)
{
	struct text text = { line, line + sizeof(line) };

	frame_make(cpu, &ring, &text);
	assert_true(text.at < line + FRAME_LINE_MAX);
	*text.at = '\0';
	assert_int_equal(text.at[-1], '\n');
	return (size_t)(text.at - line);
}

static void a_frame_is_this_line(void **state)
{
	char expected[FRAME_LINE_MAX] = "";
	FILE *file = fopen("tests/report/frame.txt", "r");

	(void)state;
	assert_non_null(file);
	assert_non_null(fgets(expected, sizeof(expected), file));
	fclose(file);
	ring.sent = 77;
	ring.lost = 3;
	/* A user's, of event 1; the kernel's with two branches; pmuvisor's own; the user's again, a little before. */
	put_sample(1024 * 5000, 0x401000, 0x12345000, 1 | 3 << 8);
	put_sample(1024 * 5050 + 1023, 0xffffffff81000010, 0x12345000, 2 << 16);
	put(0xffffffff81000100);
	put(0xffffffff81000000);
	put(0x401006);
	put(0xffffffff810000f0);
	put_sample(1024 * 5060, 0xffffffff80001234, 0x6789a000, 7 | BIT(10));
	put_sample(1024 * 5060, 0x400ff0, 0x6789a000, 3 << 8);
	make(2);
	assert_string_equal(line, expected);
	assert_int_equal(ring.sent, 81);
	assert_int_equal(ring.tail, ring.head);
}

/* Not more than fit, whatever they are: no character is cut, and none stays behind. */
static void frames_hold_what_fits(void **state)
{
	static const struct {
		unsigned branches, frames;
	} cases[] = { { 0, 7 }, { 1, 7 }, { 32, 100 } };

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		unsigned frames = 0;

		setup(state);
		ring.lost = UINT64_MAX;
		for (uint64_t n = 0; n < 100; n++) {
			/* Every difference is as long as one can be. */
			put_sample(n % 2 ? BIT(63) : 0, n % 2 ? BIT(63) : 0, UINT64_MAX - n % 2,
				   0x3ff | (uint64_t)cases[i].branches << 16);
			for (unsigned branch = 0; branch < cases[i].branches; branch++) {
				put(branch % 2 ? BIT(63) : 0);
				put(branch % 2 ? 0 : BIT(63));
			}
		}
		ring.sent = UINT64_MAX - 100;
		for (; ring.tail != ring.head; frames++)
			make(UINT64_MAX);
		assert_int_equal(ring.sent, UINT64_MAX);
		assert_true(frames <= cases[i].frames && frames > 1);
	}
}

/* The next one's samples are told from nothing: a frame that got lost takes no other with it. */
static void frames_stand_alone(void **state)
{
	char first[FRAME_LINE_MAX + 1];

	(void)state;
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned n = 0; n < FRAME_SAMPLES; n++)
			put_sample(1024 * n, 0xffffffff81000000 + n, 0x1000, 0);
	}
	make(0);
	strcpy(first, line);
	ring.sent = 0;
	make(0);
	assert_string_equal(line, first);
	assert_int_equal(ring.tail, ring.head);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_frame_is_this_line, setup),
		cmocka_unit_test_setup(frames_hold_what_fits, setup),
		cmocka_unit_test_setup(frames_stand_alone, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
