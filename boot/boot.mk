# The EFI application build/pmuvisor.efi, with the resident image in it, and the disk image that starts it.
BOOT		:= $(BUILD)/boot
EFI_HEADERS	:= /usr/include/efi
EFI_LIBRARIES	:= /usr/lib
# wchar_t is UTF-16 in EFI, and its functions have Microsoft's calling convention.
EFI_TARGET	:= $(TARGET) -fpic -fvisibility=hidden -fshort-wchar -DGNU_EFI_USE_MS_ABI -isystem $(EFI_HEADERS) \
		   -isystem $(EFI_HEADERS)/x86_64

BOOT_SOURCES	:= $(filter-out boot/handoff.c,$(wildcard boot/*.c)) arch/x86/paging.c arch/x86/requirements.c \
		   $(wildcard hv/config*.c) hv/sentence.c
BOOT_OBJECTS	:= $(BOOT_SOURCES:%.c=$(BOOT)/%.o) $(BOOT)/enter.o $(BOOT)/embed.o

all: $(BUILD)/pmuvisor.efi
.PHONY: all

$(BOOT)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(EFI_TARGET) -c $< -o $@

$(BOOT)/handoff.inc: boot/handoff.c
	@mkdir -p $(@D)
	$(CC) $(TARGET) -MF $@.d -MT $@ -S $< -o - | sed -n 's/^[ \t]*#NASM //p' > $@

$(BOOT)/enter.o: boot/enter.asm $(BOOT)/handoff.inc
	nasm -f elf64 -Wall -Werror -I$(BOOT)/ $< -o $@

$(BOOT)/embed.o: boot/embed.asm $(BOOT)/resident.elf
	nasm -f elf64 -Wall -Werror -DRESIDENT='"$(BOOT)/resident.elf"' $< -o $@

$(BOOT)/resident.elf: $(BUILD)/pmuvisor.elf
	@mkdir -p $(@D)
	objcopy --strip-all $< $@

# Recipes for an EFI application: the target from all prerequisites.
EFI_LINK	= ld -nostdlib -znocombreloc -shared -Bsymbolic --no-undefined -T $(EFI_LIBRARIES)/elf_x86_64_efi.lds \
		  $(EFI_LIBRARIES)/crt0-efi-x86_64.o $^ -L$(EFI_LIBRARIES) -lefi -lgnuefi -o $@
EFI_OBJCOPY	= objcopy -j .text -j .sdata -j .data -j .dynamic -j .dynsym -j '.rel*' -j .reloc \
		  --target=efi-app-x86_64 $< $@

$(BOOT)/pmuvisor.so: $(BOOT_OBJECTS)
	$(EFI_LINK)

$(BUILD)/pmuvisor.efi: $(BOOT)/pmuvisor.so
	$(EFI_OBJCOPY)

-include $(BOOT_OBJECTS:.o=.d) $(BOOT)/handoff.inc.d

# What goes on the disk image, SOURCE:TARGET; another file list gives another demonstration.
IMAGE_FILES	:= $(BUILD)/pmuvisor.efi:/EFI/BOOT/BOOTX64.EFI boot/pmuvisor.conf:/EFI/BOOT/pmuvisor.conf \
		   $(BUILD)/linux/vmlinuz:/vmlinuz $(BUILD)/linux/initrd.img:/initrd.img

image: $(BUILD)/pmuvisor.img
.PHONY: image

$(BUILD)/pmuvisor.img: tools/image.sh $(foreach file,$(IMAGE_FILES),$(firstword $(subst :, ,$(file))))
	tools/image.sh $@ $(IMAGE_FILES)
