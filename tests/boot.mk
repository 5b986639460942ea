# The loader: what it does with a configuration it can't obey (on QEMU), and its way into the machine and back (on the test
# machine). Every case of each in one boot.
TEST_BOOT	:= $(BUILD)/tests/boot

bad-config: $(BUILD)/pmuvisor.efi $(TEST_BOOT)/driver.efi
	tests/record $(BUILD)/records/$@ tests/boot/bad-config $^ $(TEST_BOOT)
round-trip: $(BUILD)/pmuvisor.efi $(TEST_BOOT)/driver.efi machine
	tests/record $(BUILD)/records/$@ tests/boot/round-trip $(filter %.efi,$^) $(TEST_BOOT)
.PHONY: bad-config round-trip
guests: $(TEST_BOOT)/driver.efi

$(TEST_BOOT)/driver.o: tests/boot/driver.c
	@mkdir -p $(@D)
	$(CC) $(EFI_TARGET) -c $< -o $@

$(TEST_BOOT)/driver.so: $(TEST_BOOT)/driver.o
	$(EFI_LINK)

$(TEST_BOOT)/driver.efi: $(TEST_BOOT)/driver.so
	$(EFI_OBJCOPY)

-include $(TEST_BOOT)/driver.d
