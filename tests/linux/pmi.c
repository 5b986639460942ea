/*
 * pmi instructions|branches|conditional PERIOD SAMPLES: runs a loop of known length with the event sampled every
 * PERIOD, through SAMPLES overflows, and prints what the kernel made of the interrupts. All records fit the ring
 * buffer, so nothing but the loop runs in user mode while it counts, and the sampled addresses are a fact too: they are
 * printed as a hash.
 */
#include "event.h"
#include "loops.h"
#include "sys.h"

#define PAGE_SIZE   4096
#define RECORD_SIZE 16 /* a header and an address */
#define MAX_RHYTHM  16

#define AMD_CONDITIONAL 0xd1 /* conditional branches: no interrupt is one */

struct sampled {
	const char *name;
	uint32_t type;
	uint64_t config;
	unsigned per_two_turns; /* of loop_plain */
};

static const struct sampled kinds[] = {
	{ "instructions", PERF_TYPE_HARDWARE, PERF_COUNT_HW_INSTRUCTIONS, 13 },
	{ "branches", PERF_TYPE_HARDWARE, PERF_COUNT_HW_BRANCH_INSTRUCTIONS, 8 },
	{ "conditional", PERF_TYPE_RAW, AMD_CONDITIONAL, 4 },
};

struct records {
	uint64_t samples, lost, throttled, others;
	uint64_t hash;      /* FNV-1a over the addresses, so their order counts */
	uint64_t displaced; /* not at the address where the loop's rhythm puts it */
	uint64_t rhythm[MAX_RHYTHM];
};

static const struct sampled *find_kind(const char *name)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (same(kinds[i].name, name))
			return &kinds[i];
	die("pmi: neither instructions nor branches, nor conditional ones");
}

/* Room for every sample and, since a full buffer can't be told from an empty one, more. */
static unsigned pages_for(uint64_t samples)
{
	unsigned pages = 1;

	while ((uint64_t)pages * PAGE_SIZE <= samples * RECORD_SIZE + PAGE_SIZE)
		pages *= 2;
	return pages;
}

static uint64_t fnv1a(uint64_t hash, uint64_t value)
{
	for (unsigned i = 0; i < 8; i++) {
		hash ^= value >> (8 * i) & 0xff;
		hash *= 0x100000001b3;
	}
	return hash;
}

/*
 * Two turns of the loop are all alike: with a fixed period, as many samples later as two turns have events, the same
 * instruction is due. A sample anywhere else was taken late.
 */
static void take_sample(struct records *records, unsigned rhythm, uint64_t address)
{
	uint64_t *due = &records->rhythm[records->samples % rhythm];

	if (records->samples >= rhythm && *due != address)
		records->displaced++;
	else
		*due = address;
	records->samples++;
	records->hash = fnv1a(records->hash, address);
}

static void take(struct records *records, unsigned rhythm, const struct perf_event_header *header)
{
	const uint64_t *body = (const uint64_t *)(header + 1);

	switch (header->type) {
	case PERF_RECORD_SAMPLE: take_sample(records, rhythm, body[0]); break;
	case PERF_RECORD_LOST: records->lost += body[1]; break;
	case PERF_RECORD_THROTTLE: records->throttled++; break;
	default: records->others++; break;
	}
}

static struct records read_records(const struct event *event, unsigned rhythm)
{
	struct records records = { .hash = 0xcbf29ce484222325 };
	const char *data = (const char *)(uintptr_t)event->page + event->page->data_offset;
	uint64_t head = event->page->data_head;

	for (uint64_t tail = 0; tail < head;) {
		const struct perf_event_header *header = (const void *)(data + tail);

		take(&records, rhythm, header);
		tail += header->size;
	}
	return records;
}

int main(int argc, char **argv)
{
	const struct sampled *kind;
	uint64_t period, samples, turns;
	struct records records;
	struct event event;

	if (argc != 4)
		die("pmi: say instructions, branches or conditional, the period, and the number of samples");
	kind = find_kind(argv[1]);
	period = parse_number(argv[2]);
	samples = parse_number(argv[3]);
	turns = (period * samples / kind->per_two_turns + 1) * 2;

	event = event_open(kind->type, kind->config, period, pages_for(samples));
	event_enable(&event);
	loop_plain(turns, 0);
	event_disable(&event);
	records = read_records(&event, kind->per_two_turns);

	print_figure(kind->name, "events", event_count(&event));
	print_figure(kind->name, "samples_expected", event_count(&event) / period);
	print_figure(kind->name, "samples", records.samples);
	print_figure(kind->name, "samples_lost", records.lost);
	print_figure(kind->name, "throttled", records.throttled);
	print_figure(kind->name, "other_records", records.others);
	print_figure(kind->name, "displaced", records.displaced);
	print_figure(kind->name, "address_hash", records.hash);
	return 0;
}
