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

void console_write(const char *start, const struct text *text)
{
	unsigned length = (unsigned)(text->at - start);

	if (!console.port || length > QUEUE_SIZE - console_queued()) {
		console.lost += length;
		return;
	}
	for (unsigned i = 0; i < length; i++)
		console.queue[console.head++ % QUEUE_SIZE] = start[i];
}

void console_drain(void)
{
	unsigned room = console_queued() ? uart_room(console.port) : 0;

	for (; room && console_queued(); room--)
		uart_put(console.port, console.queue[console.tail++ % QUEUE_SIZE]);
}

void console_flush(void)
{
	while (console_queued() || (console.port && !uart_idle(console.port)))
		console_drain();
}
