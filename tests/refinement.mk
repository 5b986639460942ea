# The refinement test: pmuvisor's PMU code on the host, against the PMU model, beside the same model bare.
REFINE		:= $(BUILD)/tests/refinement
# What is under test, unchanged.
REFINE_PRODUCT	:= hv/pmu.c hv/pebs.c hv/lbr.c hv/pmi.c hv/emulated.c hv/host_event.c hv/sample.c hv/exit.c \
		   arch/x86/pmu_intel.c arch/x86/lbr_legacy.c arch/x86/lbr_arch.c arch/x86/pmu_amd.c arch/x86/lbr_amd.c \
		   arch/x86/guest_msr.c arch/x86/guest_msr_intel.c arch/x86/guest_msr_amd.c arch/x86/guest_cpuid.c \
		   arch/x86/guest_walk.c arch/x86/apic.c \
		   arch/x86/svm.c arch/x86/svm_pmu.c arch/x86/svm_lbr.c arch/x86/svm_step.c arch/x86/svm_nmi.c arch/x86/svm_length.c \
		   arch/x86/svm_setup.c arch/x86/msr_permission.c hv/text.c
REFINE_COMMON	:= $(REFINE_PRODUCT) $(wildcard tests/machine/pmu_*.c) \
		   $(filter-out %/main.c %/fuzz.c,$(wildcard tests/refinement/*.c))
REFINE_SOURCES	:= $(REFINE_COMMON) tests/refinement/main.c
REFINE_OBJECTS	:= $(REFINE_SOURCES:%.c=$(REFINE)/%.o)
REFINE_CFLAGS	:= -std=gnu11 -O2 -g $(WARN) -Itests/host -I.
# The same under libFuzzer, which is clang's.
REFINE_FUZZ	:= $(REFINE)/fuzzer
FUZZ_OBJECTS	:= $(patsubst %.c,$(REFINE_FUZZ)/%.o,$(REFINE_COMMON) tests/refinement/fuzz.c)
FUZZ_CFLAGS	:= $(REFINE_CFLAGS) -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -fno-pie

# Each run replaces its own figures.
.PHONY: refinement
refinement: $(REFINE)/refinement $(REFINE_FUZZ)/fuzz
	@mkdir -p $(BUILD)/results
	tests/record $(BUILD)/records/$@ tests/refinement/run.sh $(REFINE) $(BUILD)/results/refinement.txt $(CC) $(REFINE_CFLAGS)

$(REFINE)/refinement: $(REFINE_OBJECTS)
	$(CC) -o $@ $^
	@echo $^ >$(REFINE)/objects

$(REFINE)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(REFINE_CFLAGS) -MMD -MP -c $< -o $@

# Ten times as many random steps, and others. Not part of `make test`.
LONG_SEED	:= 2
LONG_STEPS	:= 10000000

.PHONY: refinement-long
refinement-long: $(REFINE)/refinement
	@mkdir -p $(BUILD)/results
	$< --seed $(LONG_SEED) --steps $(LONG_STEPS) >$(REFINE)/long.log || { cat $(REFINE)/long.log; exit 1; }
	@cat $(REFINE)/long.log
	sed -n 's/^refinement_steps /refinement_long_steps /p' $(REFINE)/long.log >$(BUILD)/results/refinement-long.txt

# What is found new stays in the build directory; `make fuzz-corpus` makes it part of the stored corpus.
FUZZ_SECONDS	:= 600
FUZZ_CORPUS	:= tests/refinement/corpus

.PHONY: fuzz fuzz-corpus
fuzz: $(REFINE_FUZZ)/fuzz
	@mkdir -p $(REFINE_FUZZ)/found
	cd $(REFINE_FUZZ) && ./fuzz -max_len=2048 -max_total_time=$(FUZZ_SECONDS) found $(abspath $(FUZZ_CORPUS))

fuzz-corpus: $(REFINE_FUZZ)/fuzz $(REFINE)/refinement
	tests/refinement/merge.sh $(REFINE) $(FUZZ_CORPUS)

# Where it lies decides what the fuzzer tries, so it lies at one place.
$(REFINE_FUZZ)/fuzz: $(FUZZ_OBJECTS)
	clang $(FUZZ_CFLAGS) -no-pie -o $@ $^

$(REFINE_FUZZ)/%.o: %.c
	@mkdir -p $(@D)
	clang $(FUZZ_CFLAGS) -MMD -MP -c $< -o $@

-include $(REFINE_OBJECTS:.o=.d) $(FUZZ_OBJECTS:.o=.d)
