# The test machine: Bochs from Debian's source, our PMU model in it.
MACHINE		:= $(BUILD)/machine
MACHINE_SOURCES	:= $(wildcard tests/machine/*.c tests/machine/*.cc tests/machine/*.h)

machine: $(MACHINE)/bochs
.PHONY: machine

$(MACHINE)/bochs.tar.xz: tests/machine/fetch.sh
	@mkdir -p $(@D)
	tests/machine/fetch.sh $@

$(MACHINE)/bochs: $(MACHINE)/bochs.tar.xz tests/machine/build.sh tests/machine/bochs.patch \
		tests/machine/instrument.mk.in $(MACHINE_SOURCES)
	tests/machine/build.sh $< $(@D)
	@touch $@
