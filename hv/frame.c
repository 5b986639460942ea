#include "frame.h"
#include "bits.h"

#define NUMBER_MAX   13                   /* characters: of 5 bits each */
#define SAMPLE_MAX   (2 + 3 * NUMBER_MAX) /* without branches */
#define BRANCH_MAX   (2 * NUMBER_MAX)
#define CHECKSUM_MAX 10 /* with what stands before and behind it */

/* A sample's first number. What is usual makes it a character, not two. */
#define HEAD_CR3      BIT(0) /* is another than the last sample's, and follows */
#define HEAD_BRANCHES BIT(1) /* follow */
#define HEAD_CPL      BITS(3, 2)
#define HEAD_ROOT     BIT(4)
#define HEAD_EVENT    BITS(7, 5)
_Static_assert(CONFIG_MAX_EVENTS <= 8, "an event's number fits into two characters with the rest");

struct frame {
	char *at, *end;
	/* What the next sample's are told from. */
	uint64_t time, cr3;
	uint64_t rip[2]; /* by privilege level: 0, the rest */
};

/* Five bits in each character, the lowest first; all but the last have the sixth set. */
static void put_number(struct frame *frame, uint64_t value)
{
	static const char digits[64] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char *at = frame->at;

	for (; value >= 32; value >>= 5)
		*at++ = digits[value % 32 + 32];
	*at++ = digits[value];
	frame->at = at;
}

/* Small differences of either sign are small numbers. */
static void put_difference(struct frame *frame, uint64_t from, uint64_t to)
{
	uint64_t difference = to - from;

	put_number(frame, difference << 1 ^ (difference & BIT(63) ? UINT64_MAX : 0));
}

/* Each branch leads to where the one after it, or the sample, is; mostly from nearby. */
static void put_branches(struct frame *frame, const struct sample_ring *ring, const struct sample *sample)
{
	uint64_t near = sample->rip;

	put_number(frame, sample->nr_branches);
	for (unsigned i = 0; i < sample->nr_branches; i++) {
		const struct lbr_branch *branch = sample_branch(ring, i);

		put_difference(frame, near, branch->to);
		put_difference(frame, branch->to, branch->from);
		near = branch->from;
	}
}

static void put_sample(struct frame *frame, const struct sample_ring *ring, const struct sample *sample)
{
	uint64_t *rip = &frame->rip[sample->cpl != 0], time = sample->tsc / FRAME_TIME;
	bool new_cr3 = sample->cr3 != frame->cr3;

	put_number(frame, (new_cr3 ? HEAD_CR3 : 0) | (sample->nr_branches ? HEAD_BRANCHES : 0) |
				  FIELD_PUT(HEAD_CPL, sample->cpl) | (sample->root ? HEAD_ROOT : 0) |
				  FIELD_PUT(HEAD_EVENT, sample->event));
	put_number(frame, time - frame->time);
	put_difference(frame, *rip, sample->rip);
	if (new_cr3)
		put_number(frame, sample->cr3);
	if (sample->nr_branches)
		put_branches(frame, ring, sample);
	frame->time = time;
	frame->cr3 = sample->cr3;
	*rip = sample->rip;
}

static bool has_room(const struct frame *frame, const struct sample *sample)
{
	return frame->end - frame->at >= SAMPLE_MAX + sample->nr_branches * BRANCH_MAX;
}

static void fill(struct frame *frame, struct sample_ring *ring)
{
	for (unsigned i = 0; i < FRAME_SAMPLES; i++) {
		const struct sample *sample = sample_peek(ring);

		if (!sample || !has_room(frame, sample))
			return;
		put_sample(frame, ring, sample);
		sample_drop(ring);
	}
}

void frame_make(uint64_t cpu, struct sample_ring *ring, struct text *text)
{
	static const char start[] = "pmuvisor samples";
	struct frame frame = { .end = text->end - CHECKSUM_MAX };
	const char *line = text->at;

	text_string(text, start);
	text_name(text, "cpu", cpu);
	text_name(text, "first", ring->sent);
	text_name(text, "lost", __atomic_load_n(&ring->lost, __ATOMIC_RELAXED));
	text_string(text, " ");
	frame.at = text->at;
	fill(&frame, ring);
	text->at = frame.at;
	text_checksum(text, line);
	text_string(text, "\n");
}
