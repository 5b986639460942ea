#include "msr_bitmap.h"

#define HIGH_FIRST 0xc0000000u
#define COVERED    0x2000u

static void set_bit(uint8_t *byte, uint8_t bit, bool on)
{
	*byte = (uint8_t)(on ? *byte | bit : *byte & ~bit);
}

bool vmx_msr_bitmap_set(struct vmx_msr_bitmap *bitmap, uint32_t msr, enum msr_trap trap)
{
	bool high = msr >= HIGH_FIRST;
	uint32_t n = high ? msr - HIGH_FIRST : msr;
	uint8_t bit = (uint8_t)(1u << n % 8);

	if (n >= COVERED)
		return false;
	set_bit(&(high ? bitmap->read_high : bitmap->read_low)[n / 8], bit, trap & TRAP_READ);
	set_bit(&(high ? bitmap->write_high : bitmap->write_low)[n / 8], bit, trap & TRAP_WRITE);
	return true;
}
