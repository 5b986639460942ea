#include "frame.h"
#include "bits.h"

#define FRAME_BYTES  768
#define VARINT_MAX   10                   /* bytes */
#define SAMPLE_BYTES (2 + 3 * VARINT_MAX) /* without branches, at most */
#define BRANCH_BYTES (2 * VARINT_MAX)

/* A sample's first byte. */
#define HEAD_EVENT    BITS(2, 0)
#define HEAD_ROOT     BIT(3)
#define HEAD_CPL      BITS(5, 4)
#define HEAD_CR3      BIT(6) /* is another than the last sample's, and follows */
#define HEAD_BRANCHES BIT(7) /* follow */
_Static_assert(CONFIG_MAX_EVENTS <= HEAD_EVENT + 1, "an event's number fits into the first byte");

struct frame {
	uint8_t bytes[FRAME_BYTES];
	unsigned size;
	/* What the next sample's are told from. */
	uint64_t time, cr3;
	uint64_t rip[2]; /* by privilege level: 0, the rest */
};

static void put_varint(struct frame *frame, uint64_t value)
{
	for (; value >= 0x80; value >>= 7)
		frame->bytes[frame->size++] = (uint8_t)(value | 0x80);
	frame->bytes[frame->size++] = (uint8_t)value;
}

/* Small differences of either sign are small numbers. */
static void put_difference(struct frame *frame, uint64_t from, uint64_t to)
{
	uint64_t difference = to - from;

	put_varint(frame, difference << 1 ^ (difference & BIT(63) ? UINT64_MAX : 0));
}

/* Each branch leads to where the one after it, or the sample, is; mostly from nearby. */
static void put_branches(struct frame *frame, const struct sample *sample, const struct lbr_branch *branches)
{
	uint64_t near = sample->rip;

	put_varint(frame, sample->nr_branches);
	for (unsigned i = 0; i < sample->nr_branches; i++) {
		put_difference(frame, near, branches[i].to);
		put_difference(frame, branches[i].to, branches[i].from);
		near = branches[i].from;
	}
}

static void put_sample(struct frame *frame, const struct sample *sample, const struct lbr_branch *branches)
{
	uint64_t *rip = &frame->rip[sample->cpl != 0], time = sample->tsc / FRAME_TIME;

	frame->bytes[frame->size++] = (uint8_t)(sample->event | (sample->root ? HEAD_ROOT : 0) |
						FIELD_PUT(HEAD_CPL, sample->cpl) |
						(sample->cr3 != frame->cr3 ? HEAD_CR3 : 0) |
						(sample->nr_branches ? HEAD_BRANCHES : 0));
	put_varint(frame, time - frame->time);
	put_difference(frame, *rip, sample->rip);
	if (sample->cr3 != frame->cr3)
		put_varint(frame, sample->cr3);
	if (sample->nr_branches)
		put_branches(frame, sample, branches);
	frame->time = time;
	frame->cr3 = sample->cr3;
	*rip = sample->rip;
}

static bool has_room(const struct frame *frame, const struct sample *sample)
{
	return FRAME_BYTES - frame->size >= SAMPLE_BYTES + sample->nr_branches * BRANCH_BYTES;
}

static void fill(struct frame *frame, struct sample_ring *ring)
{
	struct lbr_branch branches[LBR_MAX_ENTRIES];
	struct sample sample;

	for (unsigned i = 0; i < FRAME_SAMPLES; i++) {
		if (!sample_peek(ring, &sample, branches) || !has_room(frame, &sample))
			return;
		put_sample(frame, &sample, branches);
		sample_drop(ring, &sample);
	}
}

void frame_make(uint64_t cpu, struct sample_ring *ring, struct text *text)
{
	static const char start[] = "pmuvisor samples";
	struct frame frame;
	const char *line = text->at;

	frame.size = 0;
	frame.time = frame.cr3 = frame.rip[0] = frame.rip[1] = 0;
	text_string(text, start);
	text_name(text, "cpu", cpu);
	text_name(text, "first", ring->sent);
	text_name(text, "lost", __atomic_load_n(&ring->lost, __ATOMIC_RELAXED));
	fill(&frame, ring);
	text_string(text, " ");
	text_base64(text, frame.bytes, frame.size);
	text_checksum(text, line);
	text_string(text, "\n");
}
