#!/bin/sh
# run.sh BUILD RESULTS COMPILE...: the refinement test, with random plans and the fuzzer's, then the bugs it must find;
# the figures go to RESULTS.
set -eu

build=$1
results=$2
shift 2
here=$(dirname "$0")
fuzz_runs=20000
passed=0
failed=0

# The stored corpus and what can be made of it; nothing is added to it. What is found depends on the seed alone, as the
# fuzzer doesn't look every second whether others have found something.
fuzz()
{
	rm -rf "$build/fuzzer/new"
	mkdir -p "$build/fuzzer/new"
	"$build/fuzzer/fuzz" -seed=1 -reload=0 -max_len=2048 -runs=$fuzz_runs -verbosity=0 \
		-artifact_prefix="$build/fuzzer/" "$build/fuzzer/new" "$here/corpus" 2>&1 || return 1
	echo "refinement_fuzz_runs $fuzz_runs"
	echo "refinement_corpus $(find "$here/corpus" -type f | wc -l)"
}

# A pipe would hide the status.
try()
{
	if "$@" >"$build/log" 2>&1; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
	fi
	cat "$build/log"
	sed -n '/^refinement_[a-z_]* [0-9]*$/p' "$build/log" >>"$results"
}

: >"$results"
try "$build/refinement"
try fuzz
try "$here/mutate.py" "$here/mutants" "$build" "$@"
echo "refinement: $passed passed, $failed failed"
[ $failed -eq 0 ]
