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

/* As sample.c lays it out; branches follow, two at a time. */
static void put_sample(struct sample sample)
{
	ring.slots[ring.head++ % SAMPLE_SLOTS].sample = sample;
}

static void put_branches(struct lbr_branch newer, struct lbr_branch older)
{
	ring.slots[ring.head++ % SAMPLE_SLOTS] = (union sample_slot){ .branches = { newer, older } };
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
	put_sample((struct sample){ .tsc = 1024 * 5000, .rip = 0x401000, .cr3 = 0x12345000, .event = 1, .cpl = 3 });
	put_sample((struct sample){
		.tsc = 1024 * 5050 + 1023, .rip = 0xffffffff81000010, .cr3 = 0x12345000, .nr_branches = 2 });
	put_branches((struct lbr_branch){ 0xffffffff81000100, 0xffffffff81000000 },
		     (struct lbr_branch){ 0x401006, 0xffffffff810000f0 });
	put_sample((struct sample){
		.tsc = 1024 * 5060, .rip = 0xffffffff80001234, .cr3 = 0x6789a000, .event = 7, .root = true });
	put_sample((struct sample){ .tsc = 1024 * 5060, .rip = 0x400ff0, .cr3 = 0x6789a000, .cpl = 3 });
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
			put_sample((struct sample){ .tsc = n % 2 ? BIT(63) : 0,
						    .rip = n % 2 ? BIT(63) : 0,
						    .cr3 = UINT64_MAX - n % 2,
						    .event = 7,
						    .cpl = 3,
						    .nr_branches = (uint8_t)cases[i].branches });
			for (unsigned branch = 0; branch < cases[i].branches; branch += 2)
				put_branches((struct lbr_branch){ 0, BIT(63) }, (struct lbr_branch){ BIT(63), 0 });
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
			put_sample((struct sample){ .tsc = 1024 * n, .rip = 0xffffffff81000000 + n, .cr3 = 0x1000 });
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
