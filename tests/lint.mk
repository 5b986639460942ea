# What can be judged without running it: the format, static analysis of the target's sources and the test machine's, the
# shell scripts, and a build of everything with the other compiler.
LINT		:= $(BUILD)/lint
FORMATTED	= $(shell find arch boot guest-api hv tests -name '*.[ch]' -o -name '*.cc')
SCRIPTS		= $(shell grep -rlE '^\#!/bin/(ba)?sh' .ci tests tools)
TIDY_SOURCES	:= $(wildcard hv/*.c arch/x86/*.c boot/*.c tests/boot/*.c tests/bench/*.c tests/guest/*.c \
		   tests/guest/lib/*.c tests/linux/*.c tests/machine/*.c tests/machine/vmx/*.c tests/machine/svm/*.c)
TIDY_HEADERS	:= $(wildcard hv/*.h arch/x86/*.h boot/*.h guest-api/*.h tests/*/*.h tests/*/*/*.h)
TIDY		:= $(TIDY_SOURCES:%.c=$(LINT)/%.tidy)

.PHONY: lint format format-check tidy clang-build shellcheck
lint: format-check tidy shellcheck guest-api clang-build

format:
	clang-format -i $(FORMATTED)

format-check:
	clang-format --dry-run --Werror $(FORMATTED)

tidy: $(TIDY)

$(LINT)/%.tidy: TIDY_FLAGS = $(EFI_TARGET) -Itests/guest/lib
$(LINT)/hv/%.tidy $(LINT)/arch/%.tidy: TIDY_FLAGS = $(HV_TARGET)
$(LINT)/tests/linux/%.tidy: TIDY_FLAGS = $(LINUX_CFLAGS)
$(LINT)/tests/linux/start.tidy: TIDY_FLAGS = $(EFI_TARGET)
$(LINT)/tests/machine/%.tidy: TIDY_FLAGS = $(UNIT_CFLAGS)
$(LINT)/tests/machine/vmx/%.tidy $(LINT)/tests/machine/svm/%.tidy: TIDY_FLAGS = $(EFI_TARGET) -Itests/guest/lib

# It counts on stderr the warnings that it doesn't show, those of system headers.
$(LINT)/%.tidy: %.c .clang-tidy $(TIDY_HEADERS)
	@mkdir -p $(@D)
	@echo clang-tidy $<
	@clang-tidy --quiet $< -- $(TIDY_FLAGS) > $@.log 2>&1 || { cat $@.log; exit 1; }
	@mv $@.log $@

shellcheck:
	shellcheck --severity=warning $(SCRIPTS)

# The test machine is not in it: Bochs is built as Debian builds it, and the PMU model in it is linked into the unit tests.
clang-build:
	$(MAKE) CC=clang BUILD=$(BUILD)/clang all guests unit $(addprefix $(BUILD)/clang/, tests/guest/machine_vmx.efi \
		tests/guest/machine_svm.efi tests/refinement/refinement linux/count linux/pmi linux/path linux/machine linux/start.efi)
