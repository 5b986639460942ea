# Has every sentence of docs/contract.md a test that ran and passed? On what the last run of each has left in build/; first
# the check itself.
contract:
	tests/contract/self-test
	@mkdir -p $(BUILD)/results
	tests/record $(BUILD)/records/contract tests/contract/check docs/contract.md $(BUILD)
	@grep '^contract_' $(BUILD)/records/contract >$(BUILD)/results/contract.txt
.PHONY: contract
