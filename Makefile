# pmuvisor: see `make help`.
MAKEFLAGS	+= -rR
.SUFFIXES:
.DELETE_ON_ERROR:
.DEFAULT_GOAL	:= all

# Not ?=: make predefines CC, so ?= would leave it cc; `make CC=clang` still overrides.
CC		:= gcc
BUILD		:= build

WARN		:= -Wall -Wextra -Werror -Wshadow -Wundef -Wvla -Wconversion -Wstrict-prototypes -Wmissing-prototypes \
		   -Wswitch-enum
# General registers only: the guest's vector state stays in the CPU and needs no saving. No red zone: an NMI may push
# on this stack at any instruction.
TARGET		:= -std=gnu11 -O2 -g $(WARN) -MMD -MP -ffreestanding -fno-stack-protector -fno-strict-aliasing \
		   -fcf-protection=none -mno-red-zone -mgeneral-regs-only -I.

include $(wildcard boot/*.mk hv/*.mk tests/*.mk)

# What `make run` starts on the test machine; GUEST=shell leaves a Linux shell on this terminal.
GUEST		:= demo

.PHONY: help run demo test clean setup
help:
	@echo 'make                 build/pmuvisor.efi'
	@echo 'make run             boot it on the test machine, with Linux as its guest, and show both consoles'
	@echo 'make run GUEST=shell the same, with a Linux shell to type in (exit ends it)'
	@echo 'make run-qemu        a Linux shell on QEMU: emulated, with SVM and without a PMU, or on KVM with nested'
	@echo '                     virtualization; CPUS=4 for four processors'
	@echo 'make run PROFILE=1   the same, sampled from below: ends with a profile of it all, and pictures in build/profile'
	@echo 'make ovmf-symbols    for such profiles: names of the firmware'\''s functions, which it builds from source (10 minutes)'
	@echo 'make test            everything below, from a clean checkout too; figures go to build/results.txt'
	@echo 'make image           build/pmuvisor.img, a disk image that boots from a USB stick'
	@echo 'make machine         the test machine: Bochs with our PMU model'
	@echo 'make unit            host unit tests'
	@echo 'make refinement      the PMU code against two models, a million random steps, the fuzzer, and mutants'
	@echo 'make refinement-long ten million steps;  make fuzz  the fuzzer for FUZZ_SECONDS=600'
	@echo 'make fuzz-corpus     what the fuzzer has found becomes part of its stored corpus'
	@echo 'make bad-config      what bad configurations say;  make round-trip  into the machine and back'
	@echo 'make serial-grammar  the serial dump against docs/serial.md'
	@echo 'make profile-test    Linux sampled from below: the tools that read samples, and what sampling costs'
	@echo 'make contract        has each sentence of docs/contract.md a test that ran and passed?'
	@echo 'make qemu-test       Linux under pmuvisor on QEMU, on one processor and on four: SVM without a PMU'
	@echo 'make machine-test    the test machine by itself'
	@echo 'make guest-test      tiny guests, bare and under pmuvisor, on five processors;  make linux-test  Linux so'
	@echo 'make soak            four CPUs for ten minutes of their clock: interrupts, NMIs, INITs, PMIs of both sides at once'
	@echo 'make api-fuzz        calls of the guest under the fuzzer; API_FUZZ_RUNS=160000 for ten million of them'
	@echo 'make api-storm       ten million calls of the guest on the machine, for some minutes'
	@echo 'make guest-api       the header for guests by itself, in C and C++'
	@echo 'make lint            static analysis and a build with clang;  make format  clang-format'
	@echo 'make clean           removes what was built (not the test machine, nor the symbols; rm -r build does)'

# Everything a fresh Debian lacks; quick when nothing is missing.
setup:
	tools/setup.sh

run: setup
	$(MAKE) machine image
	tests/demo $(if $(PROFILE),profile,$(GUEST))

test: setup
	tests/run-all

clean:
	rm -rf $(filter-out $(addprefix $(BUILD)/,machine linux ovmf),$(wildcard $(BUILD)/*))
