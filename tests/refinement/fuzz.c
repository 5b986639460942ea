/*
 * The same test with libFuzzer in the place of chance: it changes plans as bytes and keeps those that reach new code,
 * of pmuvisor's and of the model's.
 */
#include <stdlib.h>
#include <string.h>

#include "run.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t size, size_t max, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *bytes, size_t size, size_t max); /* libFuzzer's */

static struct plan plan;

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct result result;

	plan_decode(&plan, bytes, size);
	run_plan(&plan, &result);
	if (!result.differs)
		return 0;
	report_difference(&plan, &result);
	fflush(stdout);
	abort();
}

/* What is kept in the corpus is a plan in its only form. */
size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t size, size_t max, unsigned seed)
{
	static uint8_t encoded[PLAN_MAX_BYTES];

	(void)seed;
	plan_decode(&plan, bytes, LLVMFuzzerMutate(bytes, size, max));
	size = plan_encode(&plan, encoded);
	size = size < max ? size : max;
	memcpy(bytes, encoded, size);
	return size;
}
