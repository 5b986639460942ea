# The guest's calls under libFuzzer, which is clang's: what it has found before, then a short run, or with API_FUZZ_RUNS=... a long one.
API_FUZZ	:= $(BUILD)/tests/api
API_FUZZ_RUNS	:= 10000
API_SOURCES	:= tests/api/fuzz.c $(addprefix hv/,hypercall.c statistic.c guest_event.c guest_page.c guest_sample.c sample.c timer.c pmu.c pebs.c lbr.c pmi.c \
		   emulated.c host_event.c text.c)
API_OBJECTS	:= $(API_SOURCES:%.c=$(API_FUZZ)/%.o)
API_CFLAGS	:= -std=gnu11 -O2 -g $(WARN) -Itests/host -I. -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all

.PHONY: api-fuzz
api-fuzz: $(API_FUZZ)/fuzz
	@mkdir -p $(BUILD)/results
	$< -verbosity=0 tests/api/corpus/* >$(API_FUZZ)/log 2>&1 || { cat $(API_FUZZ)/log; exit 1; }
	$< -seed=1 -max_len=4096 -len_control=0 -runs=$(API_FUZZ_RUNS) -verbosity=0 -artifact_prefix=$(API_FUZZ)/ >$(API_FUZZ)/log 2>&1 || \
		{ cat $(API_FUZZ)/log; exit 1; }
	{ grep '^api_fuzz_' $(API_FUZZ)/log; echo api_fuzz_failures 0; } | tee $(BUILD)/results/api-fuzz.txt
	@echo "ok - the guest's calls under the fuzzer"

# The same on the machine, for some minutes.
API_STORM_CALLS	:= 10000000

.PHONY: api-storm
api-storm: guests $(BUILD)/pmuvisor.efi machine
	TAG=long DEADLINE=1000000000000 GUEST_ARGS=calls=$(API_STORM_CALLS) tests/guest/run.sh shared api_storm 'host-counters = 4' \
		'samples = guest'
	cat $(BUILD)/tests/guest/out/shared-api_storm-long/figures

$(API_FUZZ)/fuzz: $(API_OBJECTS)
	clang $(API_CFLAGS) -o $@ $^

$(API_FUZZ)/%.o: %.c
	@mkdir -p $(@D)
	clang $(API_CFLAGS) -MMD -MP -c $< -o $@

-include $(API_OBJECTS:.o=.d)
