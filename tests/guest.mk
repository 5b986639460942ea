# Tiny guests: each tests/guest/*.c and tests/bench/*.c is one EFI application with the library in tests/guest/lib.
GUEST_BUILD	:= $(BUILD)/tests/guest
GUEST_SOURCES	:= $(wildcard tests/guest/*.c tests/bench/*.c)
GUEST_EFI	:= $(patsubst %.c,$(GUEST_BUILD)/%.efi,$(notdir $(GUEST_SOURCES)))
GUEST_LIB	:= $(patsubst tests/guest/%,$(GUEST_BUILD)/%.o,$(wildcard tests/guest/lib/*.c tests/guest/lib/*.asm))
GUEST_CFLAGS	:= $(TARGET) -fpic -fvisibility=hidden -fshort-wchar -DGNU_EFI_USE_MS_ABI -isystem /usr/include/efi \
		   -isystem /usr/include/efi/x86_64 -Itests/guest/lib

guests: $(GUEST_EFI)
.PHONY: guests

$(GUEST_BUILD)/lib:
	mkdir -p $@

$(GUEST_BUILD)/%.c.o: tests/guest/%.c | $(GUEST_BUILD)/lib
	$(CC) $(GUEST_CFLAGS) -c $< -o $@

$(GUEST_BUILD)/%.c.o: tests/bench/%.c | $(GUEST_BUILD)/lib
	$(CC) $(GUEST_CFLAGS) -c $< -o $@

$(GUEST_BUILD)/%.asm.o: tests/guest/%.asm | $(GUEST_BUILD)/lib
	nasm -f elf64 -Wall -Werror $< -o $@

$(GUEST_BUILD)/%.so: $(GUEST_BUILD)/%.c.o $(GUEST_LIB)
	ld -nostdlib -znocombreloc -shared -Bsymbolic -T /usr/lib/elf_x86_64_efi.lds /usr/lib/crt0-efi-x86_64.o $^ \
		-L/usr/lib -lgnuefi -o $@

$(GUEST_BUILD)/%.efi: $(GUEST_BUILD)/%.so
	objcopy -j .text -j .sdata -j .data -j .dynamic -j .dynsym -j .rel -j .rela -j .rel.* -j .rela.* -j .reloc \
		--target efi-app-x86_64 $< $@

.SECONDARY: $(GUEST_EFI:.efi=.so) $(GUEST_EFI:.efi=.c.o) $(GUEST_LIB)

-include $(wildcard $(GUEST_BUILD)/*.d $(GUEST_BUILD)/lib/*.d)
