# The serial dump: two captured logs, one with dumps of two CPUs and one with a stop of the only one, and tools/dump-parse.py on them.
SERIAL		:= $(BUILD)/tests/serial
SERIAL_GUESTS	:= $(addprefix $(BUILD)/tests/guest/,pmi.efi triple_fault.efi)

serial-grammar: $(BUILD)/pmuvisor.efi $(SERIAL_GUESTS) machine
	tests/serial/capture $(word 1,$(SERIAL_GUESTS)) $(SERIAL)/dumps 0 2 'event = instructions' \
		'event = branches:guest period=100003' 'lbr = host' 'samples = serial' \
		'sample-branches = 4' 'dump = 1s'
	tests/serial/capture $(word 2,$(SERIAL_GUESTS)) $(SERIAL)/stop 125 1 'event = instructions:host' \
		'dump-format = csv'
	tests/record $(BUILD)/records/$@ tests/serial/grammar $(SERIAL)/dumps/com2.txt $(SERIAL)/stop/com2.txt
.PHONY: serial-grammar
