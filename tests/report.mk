# Linux' whole boot, sampled from below; then the tools that read samples, on what it sent, and what sampling cost.
PROFILE		:= $(BUILD)/linux/profile

profile-test: $(LINUX_GUEST) $(BUILD)/pmuvisor.efi $(BUILD)/machine/bochs
	@mkdir -p $(BUILD)/results
	tests/linux/run.sh profile $(PROFILE) test=count
	tests/record $(BUILD)/records/$@ tests/report/self-test $(PROFILE) $(BUILD)
	@grep '^profile_' $(BUILD)/records/$@ >$(BUILD)/results/profile.txt
.PHONY: profile-test
