# What the loader does with a configuration it can't obey: every case in one boot, on QEMU.
TEST_BOOT	:= $(BUILD)/tests/boot

bad-config: $(BUILD)/pmuvisor.efi $(TEST_BOOT)/driver.efi
	tests/boot/bad-config $^ $(TEST_BOOT)
.PHONY: bad-config

$(TEST_BOOT)/driver.o: tests/boot/driver.c
	@mkdir -p $(@D)
	$(CC) $(EFI_TARGET) -c $< -o $@

$(TEST_BOOT)/driver.so: $(TEST_BOOT)/driver.o
	$(EFI_LINK)

$(TEST_BOOT)/driver.efi: $(TEST_BOOT)/driver.so
	$(EFI_OBJCOPY)

-include $(TEST_BOOT)/driver.d
