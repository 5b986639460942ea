# The Linux guest: Debian's stock kernel, an initramfs with perf and our measuring programs, and the bare starter.
LINUX		:= $(BUILD)/linux
LINUX_CFLAGS	:= -std=gnu11 -O2 -g $(WARN) -MMD -MP -ffreestanding -fno-stack-protector -fcf-protection=none -fno-pie \
		   -fno-asynchronous-unwind-tables -I.
LINUX_LDFLAGS	:= -nostdlib -static -Wl,--build-id=none
LINUX_PROGRAMS	:= $(addprefix $(LINUX)/,count pmi path each kexec machine)

$(LINUX)/vmlinuz: tests/linux/packages.sh
	tests/linux/packages.sh $(LINUX)

$(LINUX)/lockup.ko: tests/linux/module.sh tests/linux/lockup.asm $(LINUX)/vmlinuz
	tests/linux/module.sh $(LINUX)/packages/linux-image-*.deb $(filter %.asm,$^) $@

LINUX_SCRIPTS	:= $(addprefix tests/linux/,init profiles.sh smp.sh nmi.sh kexec.sh api.sh)
LINUX_FILES	:= $(LINUX_SCRIPTS) $(LINUX_PROGRAMS) $(LINUX)/lockup.ko $(LINUX)/pmuvisor.ko

$(LINUX)/initrd.img: tests/linux/initrd.sh $(LINUX_FILES) $(LINUX)/vmlinuz
	tests/linux/initrd.sh $(LINUX)/root $(LINUX_FILES) $@

# A kernel and its first file system for a kernel to start. It comes before the other, compressed one.
$(LINUX)/kexec.img: $(LINUX)/vmlinuz $(LINUX)/initrd.img
	cd $(LINUX) && printf '%s\n' vmlinuz initrd.img | \
		cpio --quiet --reproducible --owner=0:0 --format=newc --create >$(@F).part
	mv $@.part $@

# The guest's kernel module, built as its users build it; what it leaves lies in the build directory.
$(LINUX)/pmuvisor.ko: guest-api/linux/pmuvisor.c guest-api/linux/Makefile guest-api/pmuvisor.h $(LINUX)/vmlinuz
	rm -rf $(LINUX)/module
	mkdir -p $(LINUX)/module
	cp -r guest-api $(LINUX)/module/
	$(MAKE) -C $(LINUX)/module/guest-api/linux KERNEL=$(abspath $(LINUX)/headers/kernel) MAKEFLAGS= >$(LINUX)/module.log 2>&1 || \
		{ cat $(LINUX)/module.log; exit 1; }
	strip --strip-debug -o $@ $(LINUX)/module/guest-api/linux/pmuvisor.ko

$(LINUX)/count: $(addprefix $(LINUX)/,count.o event.o loops.o sys.o)
$(LINUX)/pmi: $(addprefix $(LINUX)/,pmi.o event.o loops.o sys.o)
$(LINUX)/each: $(addprefix $(LINUX)/,each.o loops.o sys.o)
$(LINUX)/kexec: $(addprefix $(LINUX)/,kexec.o sys.o)
$(LINUX)/path: $(addprefix $(LINUX)/,path.o paths.o sys.o)
$(LINUX)/machine: $(addprefix $(LINUX)/,machine.o sys.o)
# The global symbols stay: perf report shows them.
$(LINUX_PROGRAMS):
	$(CC) $(LINUX_LDFLAGS) -Wl,--strip-debug,--discard-all -o $@ $^

$(LINUX)/%.o: tests/linux/%.c
	@mkdir -p $(@D)
	$(CC) $(LINUX_CFLAGS) -c -o $@ $<

$(LINUX)/%.o: tests/linux/%.asm
	@mkdir -p $(@D)
	nasm -f elf64 -o $@ $<

$(LINUX)/start.o: tests/linux/start.c
	@mkdir -p $(@D)
	$(CC) $(EFI_TARGET) -c $< -o $@

$(LINUX)/start.so: $(LINUX)/start.o
	$(EFI_LINK)

$(LINUX)/start.efi: $(LINUX)/start.so
	$(EFI_OBJCOPY)

LINUX_GUEST	:= $(LINUX)/vmlinuz $(LINUX)/initrd.img $(LINUX)/kexec.img $(LINUX)/start.efi

linux: $(LINUX_GUEST)
.PHONY: linux

# Linux on the test machine, bare and under pmuvisor in both modes, and what the three have to agree on.
linux-test: $(LINUX_GUEST) $(BUILD)/pmuvisor.efi $(BUILD)/machine/bochs
	tests/machine/serve icelake icelake:2 icelake:4 sapphire_rapids arrow_lake zen4 zen4:2 -- \
		tests/linux/all.sh $(LINUX)
.PHONY: linux-test

# Four CPUs, ten emulated minutes and more: ten of ours on a core of its own.
SOAK_RESTARTS	:= 1900
SOAK_ROUNDS	:= 10
soak: $(LINUX_GUEST) $(BUILD)/pmuvisor.efi guests machine
	tests/soak $(SOAK_RESTARTS) $(SOAK_ROUNDS)
.PHONY: soak

-include $(wildcard $(LINUX)/*.d)
