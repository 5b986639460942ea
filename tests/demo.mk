# What `make run` shows, judged: Linux under pmuvisor ends its demonstration, and pmuvisor's own console fits its grammar.
demo-test: image machine
	tests/demo demo >$(BUILD)/demo.txt
	tests/record $(BUILD)/records/$@ tests/demo-judge $(BUILD)/demo.txt $(BUILD)/demo/com2.txt $(BUILD)/results
.PHONY: demo-test
