#include "console.h"
#include "arch/x86/uart.h"
#include "config.h"

#define QUEUE_SIZE   4096 /* a power of two */
#define BITS_ON_WIRE 10   /* a character with its start and stop bit */

static struct {
	uint16_t port; /* 0: none */
	uint32_t baud;
	uint64_t head, tail; /* head - tail characters are queued */
	uint64_t lost;
	char queue[QUEUE_SIZE];
} console;

bool console_init(const struct hv_config *config)
{
	console.baud = config->serial_baud;
	if (config->serial_port && uart_init(config->serial_port, config->serial_baud))
		console.port = config->serial_port;
	return console.port;
}

unsigned console_queued(void)
{
	return (unsigned)(console.head - console.tail);
}

bool console_has_room(void)
{
	return QUEUE_SIZE - console_queued() >= TEXT_LINE_MAX;
}

uint64_t console_written(void)
{
	return console.head;
}

uint64_t console_lost(void)
{
	return console.lost;
}

uint64_t console_fifo_ticks(uint64_t tsc_hz)
{
	return tsc_hz * UART_FIFO * BITS_ON_WIRE / console.baud;
}

/* Of `n` characters from this place on, those that lie side by side. */
static unsigned up_to_end(uint64_t place, unsigned n)
{
	unsigned left = QUEUE_SIZE - (unsigned)(place % QUEUE_SIZE);

	return n < left ? n : left;
}

void console_write(const char *start, const struct text *text)
{
	unsigned length = (unsigned)(text->at - start);

	if (!console.port || length > QUEUE_SIZE - console_queued()) {
		console.lost += length;
		return;
	}
	while (length) {
		unsigned n = up_to_end(console.head, length);

		__builtin_memcpy(console.queue + console.head % QUEUE_SIZE, start, n);
		console.head += n;
		start += n;
		length -= n;
	}
}

void console_drain(void)
{
	unsigned room = console_queued() ? uart_room(console.port) : 0;

	while (room && console_queued()) {
		unsigned n = up_to_end(console.tail, room < console_queued() ? room : console_queued());

		uart_send(console.port, console.queue + console.tail % QUEUE_SIZE, n);
		console.tail += n;
		room -= n;
	}
}

void console_flush(void)
{
	while (console_queued() || (console.port && !uart_idle(console.port)))
		console_drain();
}
