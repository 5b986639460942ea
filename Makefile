# pmuvisor: see `make help`.
MAKEFLAGS	+= -rR
.SUFFIXES:
.DELETE_ON_ERROR:
.DEFAULT_GOAL	:= all

CC		:= gcc
BUILD		:= build

WARN		:= -Wall -Wextra -Werror -Wshadow -Wundef -Wvla -Wconversion -Wstrict-prototypes -Wmissing-prototypes \
		   -Wswitch-enum
# General registers only: the guest's vector state stays in the CPU and needs no saving. No red zone: an NMI may push
# on this stack at any instruction.
TARGET		:= -std=gnu11 -O2 -g $(WARN) -MMD -MP -ffreestanding -fno-stack-protector -fno-strict-aliasing \
		   -fcf-protection=none -mno-red-zone -mgeneral-regs-only -I.

include $(wildcard boot/*.mk hv/*.mk tests/*.mk)
