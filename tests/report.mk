# Linux' whole boot, sampled from below, and a rest in which dumps send the last samples; then the tools that read samples,
# on what it sent, and what sampling cost.
PROFILE_RUN	:= $(BUILD)/linux/profile

profile-test: $(LINUX_GUEST) $(BUILD)/pmuvisor.efi $(BUILD)/machine/bochs
	@mkdir -p $(BUILD)/results
	IPS=204800000 tests/linux/run.sh profile $(PROFILE_RUN) test=count,idle
	tests/record $(BUILD)/records/$@ tests/report/self-test $(PROFILE_RUN) $(BUILD)
	@grep '^profile_' $(BUILD)/records/$@ >$(BUILD)/results/profile.txt
.PHONY: profile-test

# Names for the firmware's functions in a profile: by hand, as it takes a while.
ovmf-symbols:
	tools/setup.sh dpkg-dev uuid-dev python3-distutils
	tools/ovmf-symbols.sh $(BUILD)/ovmf
.PHONY: ovmf-symbols
