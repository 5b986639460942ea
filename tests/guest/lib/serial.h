/*
 * COM1, polled, 115200 8N1.
 */
#ifndef GUEST_SERIAL_H
#define GUEST_SERIAL_H

void serial_init(void);
void serial_put(char c);
/* Returns when the last character has left the port: the machine's power-off does not wait for it. */
void serial_drain(void);

#endif
