/* path loads|branches|calls N: nothing but the path, for perf to sample. */
#include "paths.h"

#include "sys.h"

struct path {
	const char *name;
	path_fn *run;
};

static const struct path paths[] = {
	{ "loads", path_loads },
	{ "branches", path_branches },
	{ "calls", path_calls },
};

int main(int argc, char **argv)
{
	if (argc != 3)
		die("path: say loads, branches or calls, and the number of turns");
	for (unsigned i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		if (same(paths[i].name, argv[1])) {
			keep_kernel_threads_off();
			paths[i].run(parse_number(argv[2]));
			return 0;
		}
	}
	die("path: there is no such path");
}
