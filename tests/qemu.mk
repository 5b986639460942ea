# The second machine: QEMU, which emulates SVM but no PMU.
run-qemu: setup image
	tests/qemu/run $(BUILD)/qemu
qemu-test: image
	@mkdir -p $(BUILD)/results
	tests/record $(BUILD)/records/$@ tests/qemu/judge $(BUILD)/tests/qemu $(BUILD)/results/qemu.txt
.PHONY: run-qemu qemu-test
