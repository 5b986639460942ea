# The refinement test: pmuvisor's PMU code on the host, against the PMU model, beside the same model bare.
REFINE		:= $(BUILD)/tests/refinement
# What is under test, unchanged.
REFINE_PRODUCT	:= hv/pmu.c hv/pmi.c hv/emulated.c hv/host_event.c hv/answer.c hv/exit.c arch/x86/pmu_intel.c \
		   arch/x86/guest_msr.c arch/x86/guest_cpuid.c arch/x86/apic.c
REFINE_SOURCES	:= $(REFINE_PRODUCT) $(wildcard tests/machine/pmu_*.c tests/refinement/*.c)
REFINE_OBJECTS	:= $(REFINE_SOURCES:%.c=$(REFINE)/%.o)
REFINE_CFLAGS	:= -std=gnu11 -O2 -g $(WARN) -Itests/host -I.

# Each run replaces its own figures.
.PHONY: refinement
refinement: $(REFINE)/refinement
	@mkdir -p $(BUILD)/results
	tests/record $(BUILD)/records/$@ tests/refinement/run.sh $(REFINE) $(BUILD)/results/refinement.txt $(CC) $(REFINE_CFLAGS)

$(REFINE)/refinement: $(REFINE_OBJECTS)
	$(CC) -o $@ $^
	@echo $^ >$(REFINE)/objects

$(REFINE)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(REFINE_CFLAGS) -MMD -MP -c $< -o $@

-include $(REFINE_OBJECTS:.o=.d)
