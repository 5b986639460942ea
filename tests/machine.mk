# The test machine: Bochs from Debian's source, our PMU model in it.
MACHINE		:= $(BUILD)/machine
MACHINE_SOURCES	:= $(wildcard tests/machine/*.c tests/machine/*.cc tests/machine/*.h)

machine: $(MACHINE)/bochs $(MACHINE)/dsdt.aml
.PHONY: machine

$(MACHINE)/bochs.tar.xz: tests/machine/fetch.sh
	@mkdir -p $(@D)
	tests/machine/fetch.sh $@

$(MACHINE)/bochs: $(MACHINE)/bochs.tar.xz tests/machine/build.sh tests/machine/bochs.patch \
		tests/machine/instrument.mk.in $(MACHINE_SOURCES)
	tests/machine/build.sh $< $(@D)
	@touch $@

# -ve: no more than errors.
$(MACHINE)/dsdt.aml: tests/machine/dsdt.asl
	@mkdir -p $(@D)
	iasl -ve -p $@ $< > $@.log || { cat $@.log; exit 1; }

# The machine's own test, a guest with a few files more: `tests/guest/run.sh bare machine_vmx`.
MACHINE_VMX	:= $(patsubst tests/machine/vmx/%,$(GUEST_DIR)/vmx/%.o,$(wildcard tests/machine/vmx/*.c tests/machine/vmx/*.asm))

$(GUEST_DIR)/vmx/%.c.o: tests/machine/vmx/%.c
	@mkdir -p $(@D)
	$(CC) $(EFI_TARGET) -Itests/guest/lib -c $< -o $@

$(GUEST_DIR)/vmx/%.asm.o: tests/machine/vmx/%.asm
	@mkdir -p $(@D)
	nasm -f elf64 -Wall -Werror $< -o $@

$(GUEST_DIR)/machine_vmx.so: $(MACHINE_VMX) $(GUEST_DIR)/libguest.a
	$(EFI_LINK)

# The same for SVM: `MODEL=zen4 tests/guest/run.sh bare machine_svm`.
MACHINE_SVM	:= $(patsubst tests/machine/svm/%,$(GUEST_DIR)/svm/%.o,$(wildcard tests/machine/svm/*.c tests/machine/svm/*.asm))

$(GUEST_DIR)/svm/%.c.o: tests/machine/svm/%.c
	@mkdir -p $(@D)
	$(CC) $(EFI_TARGET) -Itests/guest/lib -c $< -o $@

$(GUEST_DIR)/svm/%.asm.o: tests/machine/svm/%.asm
	@mkdir -p $(@D)
	nasm -f elf64 -Wall -Werror $< -o $@

$(GUEST_DIR)/machine_svm.so: $(MACHINE_SVM) $(GUEST_DIR)/libguest.a
	$(EFI_LINK)

$(MACHINE)/vmx.img: $(GUEST_DIR)/machine_vmx.efi
	tools/image.sh $@ $<:EFI/BOOT/BOOTX64.EFI

# With several processors the order of their turns could differ, too.
$(MACHINE)/smp.img: $(GUEST_DIR)/smp.efi
	tools/image.sh $@ $<:EFI/BOOT/BOOTX64.EFI

# Judges the machine bare, before anything is judged on it.
machine-test: machine $(MACHINE)/vmx.img $(MACHINE)/smp.img $(GUEST_DIR)/machine_svm.efi
	tests/guest/run.sh bare machine_vmx
	MODEL=sapphire_rapids tests/guest/run.sh bare machine_vmx
	MODEL=arrow_lake tests/guest/run.sh bare machine_vmx
	MODEL=zen4 tests/guest/run.sh bare machine_svm
	MODEL=zen3 tests/guest/run.sh bare machine_svm
	tests/machine/check-determinism.sh $(MACHINE)/vmx.img $(MACHINE)/determinism
	tests/machine/check-determinism.sh $(MACHINE)/smp.img $(MACHINE)/determinism-smp --cpus 4
	tests/machine/check-verdicts.sh $(MACHINE)/vmx.img $(MACHINE)/verdicts
.PHONY: machine-test

-include $(MACHINE_VMX:.o=.d) $(MACHINE_SVM:.o=.d)
