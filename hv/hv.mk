# The resident hypervisor build/pmuvisor.elf, which the loader carries in it.
HV		:= $(BUILD)/hv
# All but what only the loader runs, and what only generates offsets.
HV_NOT_RESIDENT	:= $(wildcard hv/config*.c) arch/x86/paging.c arch/x86/requirements.c arch/x86/offsets.c
HV_SOURCES	:= $(filter-out $(HV_NOT_RESIDENT),$(wildcard hv/*.c arch/x86/*.c))
HV_ASM		:= arch/x86/trap_entry.asm arch/x86/vmx_entry.asm arch/x86/svm_entry.asm
HV_OBJECTS	:= $(HV_SOURCES:%.c=$(HV)/%.o) $(HV_ASM:%.asm=$(HV)/%.asm.o)

HV_TARGET	:= $(TARGET) -fno-pic -fno-pie -mcmodel=kernel -mpopcnt

$(HV)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(HV_TARGET) -c $< -o $@

$(HV)/offsets.inc: arch/x86/offsets.c
	@mkdir -p $(@D)
	$(CC) $(HV_TARGET) -MF $@.d -MT $@ -S $< -o - | sed -n 's/^[ \t]*#NASM //p' > $@

$(HV)/%.asm.o: %.asm arch/x86/registers.inc $(HV)/offsets.inc
	@mkdir -p $(@D)
	nasm -f elf64 -g -Wall -Werror -I$(HV)/ $< -o $@

$(BUILD)/pmuvisor.elf: $(HV_OBJECTS) linker.ld
	ld -nostdlib -static --fatal-warnings -T linker.ld -Map $(BUILD)/pmuvisor.map $(HV_OBJECTS) -o $@

-include $(HV_SOURCES:%.c=$(HV)/%.d) $(HV)/offsets.inc.d
