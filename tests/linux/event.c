#include "event.h"

#include <asm/unistd.h>
#include <linux/mman.h>

#include "sys.h"

#define PAGE_SIZE       4096
#define PROT_READ_WRITE 3

struct event event_open(uint32_t type, uint64_t config, uint64_t period, unsigned pages)
{
	struct perf_event_attr attr = {
		.type = type,
		.size = sizeof(attr),
		.config = config,
		.sample_period = period,
		.sample_type = PERF_SAMPLE_IP,
		.disabled = 1,
		.pinned = 1,
		.exclude_kernel = 1,
	};
	long fd = sys(__NR_perf_event_open, (long)&attr, 0, -1, -1, 0);
	long page;

	if (fd < 0)
		die("the kernel opens no such event");
	/* RDPMC in user mode is allowed from the first mapping on. */
	page = sys(__NR_mmap, 0, (1 + (long)pages) * PAGE_SIZE, PROT_READ_WRITE, MAP_SHARED | MAP_POPULATE, fd);
	if (page < 0 && page > -PAGE_SIZE)
		die("the kernel maps no page of the event");
	return (struct event){ .fd = (int)fd, .page = (volatile struct perf_event_mmap_page *)page };
}

void event_enable(const struct event *event)
{
	if (sys(__NR_ioctl, event->fd, PERF_EVENT_IOC_ENABLE, 0, 0, 0))
		die("the event can't be enabled");
}

void event_disable(const struct event *event)
{
	if (sys(__NR_ioctl, event->fd, PERF_EVENT_IOC_DISABLE, 0, 0, 0))
		die("the event can't be disabled");
}

uint64_t event_count(const struct event *event)
{
	uint64_t value;

	/* A pinned event that got no counter reads as end of file. */
	if (sys(__NR_read, event->fd, (long)&value, sizeof(value), 0, 0) != sizeof(value))
		die("the event found no counter");
	return value;
}
