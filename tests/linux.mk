# The Linux guest: Debian's stock kernel, an initramfs with perf and our measuring programs, and the bare starter.
LINUX		:= $(BUILD)/linux
LINUX_CFLAGS	:= -std=gnu11 -O2 -g $(WARN) -MMD -MP -ffreestanding -fno-stack-protector -fcf-protection=none -fno-pie \
		   -fno-asynchronous-unwind-tables -I.
LINUX_LDFLAGS	:= -nostdlib -static -no-pie -Wl,--build-id=none
LINUX_PROGRAMS	:= $(addprefix $(LINUX)/,count pmi machine)

$(LINUX)/vmlinuz: tests/linux/packages.sh
	tests/linux/packages.sh $(LINUX)

$(LINUX)/initrd.img: tests/linux/initrd.sh tests/linux/init $(LINUX_PROGRAMS) $(LINUX)/vmlinuz
	tests/linux/initrd.sh $(LINUX)/root tests/linux/init $(LINUX_PROGRAMS) $@

$(LINUX)/count: $(addprefix $(LINUX)/,count.o event.o loops.o sys.o)
$(LINUX)/pmi: $(addprefix $(LINUX)/,pmi.o event.o loops.o sys.o)
$(LINUX)/machine: $(addprefix $(LINUX)/,machine.o sys.o)
# The symbols stay: perf report shows them.
$(LINUX_PROGRAMS):
	$(CC) $(LINUX_LDFLAGS) -Wl,--strip-debug -o $@ $^

$(LINUX)/%.o: tests/linux/%.c
	@mkdir -p $(@D)
	$(CC) $(LINUX_CFLAGS) -c -o $@ $<

$(LINUX)/%.o: tests/linux/%.asm
	@mkdir -p $(@D)
	nasm -f elf64 -o $@ $<

EFI_LIB		:= /usr/lib
LINUX_EFI	:= -std=gnu11 -O2 $(WARN) -ffreestanding -fpic -fshort-wchar -fno-stack-protector -mno-red-zone -maccumulate-outgoing-args \
		   -DGNU_EFI_USE_MS_ABI -isystem /usr/include/efi -isystem /usr/include/efi/x86_64

$(LINUX)/start.efi: tests/linux/start.c
	@mkdir -p $(@D)
	$(CC) $(LINUX_EFI) -c -o $(LINUX)/start.o $<
	ld -nostdlib -znocombreloc -shared -Bsymbolic -T $(EFI_LIB)/elf_x86_64_efi.lds -o $(LINUX)/start.so \
		$(EFI_LIB)/crt0-efi-x86_64.o $(LINUX)/start.o $(EFI_LIB)/libefi.a $(EFI_LIB)/libgnuefi.a
	objcopy -j .text -j .sdata -j .data -j .dynamic -j .dynsym -j .rel* -j .rela* -j .reloc \
		--target efi-app-x86_64 $(LINUX)/start.so $@

-include $(wildcard $(LINUX)/*.d)
