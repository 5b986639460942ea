/*
 * QEMU's firmware configuration device, as far as stock OVMF reads it: the signature, the number of processors, and the
 * ACPI tables with the script that says how to place them. A selector register and a data register, no DMA.
 * QEMU, docs/specs/fw_cfg.rst.
 */
#ifndef FW_CFG_H
#define FW_CFG_H

#include <stdint.h>

#define FW_CFG_PORT_SELECTOR 0x510 /* 16 bits, written */
#define FW_CFG_PORT_DATA     0x511 /* 8 bits, read */

/* `directory` holds the files under their names in the device. Returns the name of one that can't be read, or NULL. */
const char *fw_cfg_init(const char *directory, unsigned nr_cpus);
void fw_cfg_select(uint16_t key);
/* The next byte of what is selected; 0 behind its end, and of what there is not. */
uint8_t fw_cfg_read(void);

#endif
