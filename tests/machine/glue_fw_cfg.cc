/*
 * The ports of the firmware configuration device, on Bochs' bus.
 */
#include <stdlib.h>

#include "bochs.h"
#include "cpu/cpu.h"
#include "iodev/iodev.h"

extern "C" {
#include "fw_cfg.h"
}

/* Where its files are: the environment, as in glue.cc. */
#define ENV_FW_CFG "MACHINE_FW_CFG"

static Bit32u read_data(void *, Bit32u, unsigned)
{
	return fw_cfg_read();
}

static void write_selector(void *, Bit32u, Bit32u value, unsigned)
{
	fw_cfg_select((uint16_t)value);
}

void machine_devices(void)
{
	static const Bit8u BYTE = 1, WORD = 2;
	const char *directory = getenv(ENV_FW_CFG);
	const char *missing = directory ? fw_cfg_init(directory, BX_SMP_PROCESSORS) : ENV_FW_CFG;

	if (missing)
		machine_wrong(missing);
	DEV_register_ioread_handler(NULL, read_data, FW_CFG_PORT_DATA, "fw_cfg", BYTE);
	DEV_register_iowrite_handler(NULL, write_selector, FW_CFG_PORT_SELECTOR, "fw_cfg", WORD);
}
