/* A perf event of this process, user mode only, as the kernel offers it to programs. */
#ifndef LINUX_EVENT_H
#define LINUX_EVENT_H

#include <linux/perf_event.h>
#include <stdint.h>

struct event {
	int fd;
	volatile struct perf_event_mmap_page *page; /* the kernel's page about it, the ring buffer behind it */
};

/* `type` and `config` are perf_event_attr's; `pages` of the ring buffer, a power of two or 0. Disabled, pinned to a counter. */
struct event event_open(uint32_t type, uint64_t config, uint64_t period, unsigned pages);
void event_enable(const struct event *event);
void event_disable(const struct event *event);
/* Events counted, by read(). An event that lost its counter ends the program. */
uint64_t event_count(const struct event *event);

#endif
