/* A 16550 UART, written to and never waited for unless asked. */
#ifndef ARCH_X86_UART_H
#define ARCH_X86_UART_H

#include <stdbool.h>
#include <stdint.h>

#define UART_FIFO 16 /* characters it takes at once when empty */

/* 8N1 without interrupts. False: there is no UART at this port. */
bool uart_init(uint16_t port, uint32_t baud);
/* How many characters it takes now: 0 or UART_FIFO. */
unsigned uart_room(uint16_t port);
/* Has the last character left the wire? */
bool uart_idle(uint16_t port);
/* Not more than it takes. */
void uart_send(uint16_t port, const char *characters, unsigned n);

#endif
