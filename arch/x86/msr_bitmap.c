#include "msr_bitmap.h"

#define HIGH_FIRST 0xc0000000u
#define COVERED    0x2000u

bool vmx_msr_bitmap_set(struct vmx_msr_bitmap *bitmap, uint32_t msr, enum msr_trap trap)
{
	bool high = msr >= HIGH_FIRST;
	uint32_t n = high ? msr - HIGH_FIRST : msr;
	uint8_t bit = (uint8_t)(1u << n % 8);

	if (n >= COVERED)
		return false;
	if (trap & TRAP_READ)
		(high ? bitmap->read_high : bitmap->read_low)[n / 8] |= bit;
	if (trap & TRAP_WRITE)
		(high ? bitmap->write_high : bitmap->write_low)[n / 8] |= bit;
	return true;
}
