/*
 * What a test can ask about how it was started.
 */
#ifndef GUEST_BOOT_H
#define GUEST_BOOT_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Under what the test runs; the runner says so in \guest.args. direct: pmuvisor, with no host event in guest mode, so
 * GLOBAL_* and RDPMC pass through. shared: pmuvisor with host events live, so they are intercepted.
 */
enum boot_mode { MODE_BARE, MODE_DIRECT, MODE_SHARED };
enum boot_mode boot_mode(void);

/* The number after `key=` in \guest.args, or `otherwise`. */
uint64_t boot_number(const char *key, uint64_t otherwise);

/* UEFI memory types. */
#define BOOT_MEMORY_RESERVED 0
#define BOOT_MEMORY_FREE     7

struct boot_range {
	uint32_t type;
	uint64_t base, size; /* bytes */
};

/* The nth range of the memory map as it was when the firmware let go; false: there are no more. */
bool boot_memory(unsigned n, struct boot_range *range);

/* A test that defines it as true runs under the firmware, and returns to it. The library's own is false. */
extern const bool boot_keeps_firmware;

#endif
