# Tiny guests: each tests/guest/*.c and tests/bench/*.c is one EFI application with the library in tests/guest/lib.
GUEST_DIR	:= $(BUILD)/tests/guest
GUEST_EFI	:= $(patsubst %.c,$(GUEST_DIR)/%.efi,$(notdir $(wildcard tests/guest/*.c tests/bench/*.c)))
GUEST_LIB	:= $(patsubst tests/guest/%,$(GUEST_DIR)/%.o,$(wildcard tests/guest/lib/*.c tests/guest/lib/*.asm))
GUEST_OBJECTS	:= $(GUEST_EFI:.efi=.c.o) $(GUEST_LIB)

guests: $(GUEST_EFI)
# All of them, bare and under pmuvisor; the figures go to build/tests/guest/results.txt.
guest-test: guests $(BUILD)/pmuvisor.efi machine
	tests/machine/serve icelake icelake:2 icelake:4 sapphire_rapids arrow_lake zen3 zen3:2 zen4 zen4:2 zen4:4 -- \
		tests/guest/all.sh
.PHONY: guests guest-test

$(GUEST_DIR)/%.c.o: tests/guest/%.c
	@mkdir -p $(@D)
	$(CC) $(EFI_TARGET) -Itests/guest/lib -c $< -o $@

$(GUEST_DIR)/%.c.o: tests/bench/%.c
	@mkdir -p $(@D)
	$(CC) $(EFI_TARGET) -Itests/guest/lib -c $< -o $@

$(GUEST_DIR)/%.asm.o: tests/guest/%.asm
	@mkdir -p $(@D)
	nasm -f elf64 -Wall -Werror $< -o $@

$(GUEST_DIR)/libguest.a: $(GUEST_LIB)
	rm -f $@
	ar rcs $@ $^

$(GUEST_DIR)/%.so: $(GUEST_DIR)/%.c.o $(GUEST_DIR)/libguest.a
	$(EFI_LINK)

$(GUEST_DIR)/%.efi: $(GUEST_DIR)/%.so
	$(EFI_OBJCOPY)

.SECONDARY: $(GUEST_EFI:.efi=.so) $(GUEST_OBJECTS)

-include $(GUEST_OBJECTS:.o=.d)
