#include "serial.h"
#include "cpu.h"

#define COM1        0x3f8
#define UART_DATA   (COM1 + 0)
#define UART_IER    (COM1 + 1)
#define UART_FCR    (COM1 + 2)
#define UART_LCR    (COM1 + 3)
#define UART_MCR    (COM1 + 4)
#define UART_LSR    (COM1 + 5)
#define LCR_8N1     0x03
#define LCR_DLAB    0x80
#define FCR_ENABLE  0x07 /* FIFO on, both cleared */
#define MCR_DTR_RTS 0x03
#define LSR_THRE    0x20
#define LSR_TEMT    0x40
#define DIVISOR     1

void serial_init(void)
{
	out8(UART_IER, 0);
	out8(UART_LCR, LCR_DLAB);
	out8(UART_DATA, DIVISOR);
	out8(UART_IER, 0);
	out8(UART_LCR, LCR_8N1);
	out8(UART_FCR, FCR_ENABLE);
	out8(UART_MCR, MCR_DTR_RTS);
}

static void put(char c)
{
	while (!(in8(UART_LSR) & LSR_THRE))
		;
	out8(UART_DATA, (uint8_t)c);
}

void serial_put(char c)
{
	if (c == '\n')
		put('\r');
	put(c);
}

void serial_drain(void)
{
	while (!(in8(UART_LSR) & LSR_TEMT))
		;
}
