# The test machine: Bochs from Debian's source, our PMU model in it.
MACHINE		:= $(BUILD)/machine
MACHINE_SOURCES	:= $(wildcard tests/machine/*.c tests/machine/*.cc tests/machine/*.h)

machine: $(MACHINE)/bochs
.PHONY: machine

$(MACHINE)/bochs.tar.xz: tests/machine/fetch.sh
	@mkdir -p $(@D)
	tests/machine/fetch.sh $@

$(MACHINE)/bochs: $(MACHINE)/bochs.tar.xz tests/machine/build.sh tests/machine/bochs.patch \
		tests/machine/instrument.mk.in $(MACHINE_SOURCES)
	tests/machine/build.sh $< $(@D)
	@touch $@

# The machine's own test, with the library of tests/guest: `tests/guest/run.sh bare machine_vmx`.
MACHINE_VMX	:= $(patsubst tests/machine/vmx/%,$(GUEST_BUILD)/vmx/%.o,\
		   $(wildcard tests/machine/vmx/*.c tests/machine/vmx/*.asm))

$(GUEST_BUILD)/vmx/%.c.o: tests/machine/vmx/%.c
	@mkdir -p $(@D)
	$(CC) $(GUEST_CFLAGS) -c $< -o $@

$(GUEST_BUILD)/vmx/%.asm.o: tests/machine/vmx/%.asm
	@mkdir -p $(@D)
	nasm -f elf64 -Wall -Werror $< -o $@

$(GUEST_BUILD)/machine_vmx.so: $(MACHINE_VMX) $(GUEST_LIB)
	ld -nostdlib -znocombreloc -shared -Bsymbolic -T /usr/lib/elf_x86_64_efi.lds /usr/lib/crt0-efi-x86_64.o $^ \
		-L/usr/lib -lgnuefi -o $@

-include $(wildcard $(GUEST_BUILD)/vmx/*.d)
