/*
 * The console's queue: what goes in comes out in order, what doesn't fit is dropped whole and counted, nothing waits.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/uart.h"
#include "hv/config.h"
#include "hv/console.h"

#define PORT  0x2f8
#define QUEUE 4096u

static char wire[3 * QUEUE];
static size_t sent;
static unsigned room;    /* what the UART takes now */
static unsigned polls;   /* how often it was asked */
static unsigned refills; /* how often more it makes room when asked: a test that waits shows */

bool uart_init(uint16_t port, uint32_t baud)
{
	return port == PORT && baud == 115200;
}

bool uart_idle(uint16_t port)
{
	(void)port;
	return true;
}

unsigned uart_room(uint16_t port)
{
	assert_int_equal(port, PORT);
	polls++;
	if (!room && refills) {
		refills--;
		room = UART_FIFO;
	}
	return room;
}

void uart_send(uint16_t port, const char *characters, unsigned n)
{
	assert_int_equal(port, PORT);
	assert_true(n > 0 && n <= room);
	room -= n;
	memcpy(wire + sent, characters, n);
	sent += n;
}

/* The queue lives on from test to test: each begins by emptying it. */
static int setup(void **state)
{
	(void)state;
	room = 0;
	refills = QUEUE;
	console_flush();
	room = polls = refills = 0;
	sent = 0;
	memset(wire, 0, sizeof(wire));
	return 0;
}

static void without_a_port_all_is_lost(void **state)
{
	struct hv_config config = { .serial_port = 0, .serial_baud = 115200 };
	const char line[] = "lost";
	struct text text = { (char *)(uintptr_t)(line + 4), (char *)(uintptr_t)(line + 4) };

	(void)state;
	assert_false(console_init(&config));
	config.serial_port = 0x3e8; /* nobody there */
	assert_false(console_init(&config));
	console_write(line, &text);
	assert_int_equal(console_lost(), 4);
	assert_int_equal(console_queued(), 0);
	console_drain();
	console_flush();
	assert_int_equal(polls, 0);
}

static int with_port(void **state)
{
	struct hv_config config = { .serial_port = PORT, .serial_baud = 115200 };

	assert_true(console_init(&config));
	return setup(state);
}

static void write_bytes(size_t length, char first)
{
	static char line[2 * QUEUE];
	struct text text = { line + length, line + sizeof(line) };

	for (size_t i = 0; i < length; i++)
		line[i] = (char)(first + (char)(i % 26));
	console_write(line, &text);
}

static void drains_what_the_uart_takes(void **state)
{
	(void)state;
	write_bytes(20, 'a');
	assert_int_equal(console_queued(), 20);
	console_drain();
	assert_int_equal(sent, 0);
	assert_int_equal(polls, 1);
	room = 5;
	console_drain();
	assert_string_equal(wire, "abcde");
	room = UART_FIFO;
	console_drain();
	assert_string_equal(wire, "abcdefghijklmnopqrst");
	assert_int_equal(console_queued(), 0);
	assert_int_equal(polls, 3);
	console_drain(); /* nothing to send: the UART isn't asked, its port is slow */
	assert_int_equal(polls, 3);
}

static void full_queue_drops_whole_lines(void **state)
{
	uint64_t lost = console_lost();

	(void)state;
	write_bytes(QUEUE - 10, 'A');
	write_bytes(11, 'a');
	assert_int_equal(console_lost(), lost + 11);
	assert_int_equal(console_queued(), QUEUE - 10);
	write_bytes(10, '0');
	assert_int_equal(console_lost(), lost + 11);
	write_bytes(1, 'a');
	assert_int_equal(console_lost(), lost + 12);
	assert_int_equal(polls, 0); /* and nobody waited for the UART */
	refills = QUEUE;
	console_flush();
	assert_int_equal(sent, QUEUE);
	assert_memory_equal(wire + QUEUE - 10, "0123456789", 10);
	assert_null(memchr(wire, 'a', QUEUE));
}

static void line_longer_than_the_queue(void **state)
{
	uint64_t lost = console_lost();

	(void)state;
	write_bytes(QUEUE + 1, 'a');
	assert_int_equal(console_lost(), lost + QUEUE + 1);
	assert_int_equal(console_queued(), 0);
}

static void room_for_a_line(void **state)
{
	(void)state;
	assert_true(console_has_room());
	write_bytes(QUEUE - TEXT_LINE_MAX, 'a');
	assert_true(console_has_room());
	write_bytes(1, 'a');
	assert_false(console_has_room());
}

static void goes_round_in_order(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3 * QUEUE / 100 - 1; i++) {
		write_bytes(100, 'a');
		refills = 100;
		console_flush();
	}
	for (size_t i = 0; i < sent; i++)
		assert_int_equal(wire[i], 'a' + (int)(i % 100 % 26));
	assert_true(sent > 2 * QUEUE);
}

static void fifo_time(void **state)
{
	(void)state;
	/* 16 characters of 10 bits at 115200 bits a second: 1.39 ms */
	assert_int_equal(console_fifo_ticks(2000000000), 2777777);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_port_all_is_lost),
		cmocka_unit_test_setup(drains_what_the_uart_takes, with_port),
		cmocka_unit_test_setup(full_queue_drops_whole_lines, with_port),
		cmocka_unit_test_setup(line_longer_than_the_queue, with_port),
		cmocka_unit_test_setup(room_for_a_line, with_port),
		cmocka_unit_test_setup(goes_round_in_order, with_port),
		cmocka_unit_test_setup(fifo_time, with_port),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
