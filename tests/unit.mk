# Host unit tests: each tests/unit/test_*.c is one program, linked with the sources it tests, named here.
PMU_MODEL		:= $(wildcard tests/machine/pmu_*.c)
UNIT_test_config	:= $(wildcard hv/config*.c) hv/sentence.c
UNIT_test_paging	:= arch/x86/paging.c
UNIT_test_requirements	:= arch/x86/requirements.c hv/sentence.c
UNIT_test_mtrr		:= arch/x86/mtrr.c
UNIT_test_guest_map		:= arch/x86/guest_map.c arch/x86/mtrr.c
UNIT_test_msr_bitmap	:= arch/x86/msr_bitmap.c
UNIT_test_msr_permission	:= arch/x86/msr_permission.c
UNIT_test_guest_msr	:= arch/x86/guest_msr.c arch/x86/guest_msr_intel.c
UNIT_test_guest_walk	:= arch/x86/guest_walk.c
UNIT_test_pebs		:= hv/pebs.c
UNIT_test_lbr		:= hv/lbr.c
UNIT_test_lbr_legacy	:= arch/x86/lbr_legacy.c
UNIT_test_lbr_arch	:= arch/x86/lbr_arch.c
UNIT_test_lbr_amd	:= arch/x86/lbr_amd.c
UNIT_test_svm_timer	:= arch/x86/svm_timer.c
UNIT_test_svm_length	:= arch/x86/svm_length.c
UNIT_test_guest_msr_amd	:= arch/x86/guest_msr.c arch/x86/guest_msr_amd.c
UNIT_test_pmu_shared	:= hv/pmu.c hv/lbr.c hv/pebs.c hv/pmi.c hv/emulated.c hv/host_event.c
UNIT_test_hypercall	:= hv/hypercall.c hv/statistic.c
UNIT_test_guest_cpuid	:= arch/x86/guest_cpuid.c
UNIT_test_text		:= hv/text.c
UNIT_test_console	:= hv/console.c hv/text.c
UNIT_test_sample	:= hv/sample.c hv/guest_sample.c
UNIT_test_frame		:= hv/frame.c hv/sample.c hv/text.c
UNIT_test_dump		:= hv/dump.c hv/dump_start.c hv/dump_counts.c hv/dump_csv.c hv/dump_samples.c hv/sample.c hv/frame.c hv/report.c hv/text.c hv/timer.c
UNIT_test_pmu_model	:= $(PMU_MODEL)
UNIT_test_pmu_registers	:= $(PMU_MODEL)
UNIT_test_pmu_count	:= $(PMU_MODEL)
UNIT_test_pmu_shortcuts	:= $(PMU_MODEL)
UNIT_test_pmu_processors	:= $(PMU_MODEL)
UNIT_test_pmu_lbr	:= $(PMU_MODEL)
UNIT_test_pmu_lbr_arch	:= $(PMU_MODEL)
UNIT_test_pmu_pebs	:= $(PMU_MODEL)
UNIT_test_pmu_amd	:= $(PMU_MODEL)
UNIT_test_pmu_amd_ops	:= $(PMU_MODEL) arch/x86/pmu_amd.c
UNIT_test_vmcb_clean	:= tests/machine/vmcb_clean.c
UNIT_test_pmu_amd_lbr	:= $(PMU_MODEL)
UNIT_test_pmu_record	:= $(PMU_MODEL)
UNIT_test_pmu_metrics	:= $(PMU_MODEL)

UNIT_BUILD	:= $(BUILD)/tests/unit
UNIT_TESTS	:= $(patsubst tests/unit/%.c,%,$(wildcard tests/unit/test_*.c))
UNIT_PROGRAMS	:= $(addprefix $(UNIT_BUILD)/,$(UNIT_TESTS))
UNIT_HEADERS	:= $(wildcard arch/x86/*.h hv/*.h guest-api/*.h boot/*.h tests/machine/*.h tests/unit/*.h \
		   tests/host/arch/x86/*.h)
# tests/host first: its arch/x86/reg.h stands for the processor's instructions, and each test answers for them.
UNIT_CFLAGS	:= -std=gnu11 -O1 -g $(WARN) -Itests/host -I. -fsanitize=address,undefined -fno-sanitize-recover=all

.PHONY: unit
unit: $(UNIT_PROGRAMS)
	tests/run-unit $^

$(UNIT_BUILD):
	mkdir -p $@

# One source at a time would know its headers exactly; all headers are few enough.
.SECONDEXPANSION:
$(UNIT_PROGRAMS): $(UNIT_BUILD)/%: tests/unit/%.c $$(UNIT_$$*) $(UNIT_HEADERS) | $(UNIT_BUILD)
	$(CC) $(UNIT_CFLAGS) $(filter %.c,$^) -lcmocka -o $@
