#include "uart.h"

/* clang-format would take the bits' indentation away. */
/* clang-format off */
#define UART_DATA	   0
#define UART_INTERRUPTS	   1
#define UART_FIFO_CONTROL  2
#define  FIFO_ENABLE_CLEAR 0x07
#define UART_LINE_CONTROL  3
#define  LINE_8N1	   0x03
#define  LINE_DIVISOR	   0x80
#define UART_MODEM_CONTROL 4
#define  MODEM_DTR_RTS	   0x03
#define UART_LINE_STATUS   5
#define  STATUS_EMPTY	   0x20
#define  STATUS_IDLE	    0x40
#define  STATUS_ABSENT	   0xff /* nobody drives the bus */
#define UART_CLOCK	   115200
/* clang-format on */

static void out(unsigned port, uint8_t value)
{
	asm volatile("outb %0, %1" : : "a"(value), "Nd"((uint16_t)port));
}

static uint8_t in(unsigned port)
{
	uint8_t value;

	asm volatile("inb %1, %0" : "=a"(value) : "Nd"((uint16_t)port));
	return value;
}

bool uart_init(uint16_t port, uint32_t baud)
{
	uint32_t divisor = UART_CLOCK / baud;

	if (in(port + UART_LINE_STATUS) == STATUS_ABSENT)
		return false;
	out(port + UART_INTERRUPTS, 0);
	out(port + UART_LINE_CONTROL, LINE_DIVISOR | LINE_8N1);
	out(port + UART_DATA, (uint8_t)divisor);
	out(port + UART_INTERRUPTS, (uint8_t)(divisor >> 8));
	out(port + UART_LINE_CONTROL, LINE_8N1);
	out(port + UART_FIFO_CONTROL, FIFO_ENABLE_CLEAR);
	out(port + UART_MODEM_CONTROL, MODEM_DTR_RTS);
	return true;
}

unsigned uart_room(uint16_t port)
{
	return in(port + UART_LINE_STATUS) & STATUS_EMPTY ? UART_FIFO : 0;
}

bool uart_idle(uint16_t port)
{
	return in(port + UART_LINE_STATUS) & STATUS_IDLE;
}

void uart_send(uint16_t port, const char *characters, unsigned n)
{
	asm volatile("rep outsb" : "+S"(characters), "+c"(n) : "d"((uint16_t)(port + UART_DATA)) : "memory");
}
