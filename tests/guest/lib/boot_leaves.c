#include "boot.h"

/* A file of its own, so that the archive's member is only linked into tests that don't define theirs. */
const bool boot_keeps_firmware = false;
