#include "msr_permission.h"

bool svm_msr_permission_set(struct svm_msr_permission *map, uint32_t msr, enum msr_trap trap)
{
	static const uint32_t first[] = { 0, 0xc0000000, 0xc0010000 };

	for (unsigned range = 0; range < ARRAY_SIZE(first); range++) {
		uint32_t n = msr - first[range];
		uint8_t *byte = &map->bits[range][n / 4 % sizeof(map->bits[range])];
		unsigned shift = 2 * (n % 4);

		if (n / 4 >= sizeof(map->bits[range]))
			continue;
		*byte = (uint8_t)((*byte & ~((unsigned)TRAP_BOTH << shift)) | (unsigned)trap << shift);
		return true;
	}
	return false;
}
