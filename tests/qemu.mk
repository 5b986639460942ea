# The second machine: QEMU, which emulates SVM but no PMU. CPUS: how many processors it has.
run-qemu: setup image
	tests/qemu/run $(BUILD)/qemu $(if $(CPUS),-smp $(CPUS))
qemu-test: image guests
	@mkdir -p $(BUILD)/results
	tests/qemu/choice
	tests/record $(BUILD)/records/$@ tests/qemu/judge $(BUILD)/tests/qemu $(BUILD)/results/qemu.txt
.PHONY: run-qemu qemu-test
