#!/bin/sh
# run.sh BUILD RESULTS COMPILE...: the refinement test, then the bugs it must find; the figures go to RESULTS.
set -eu

build=$1
results=$2
shift 2
here=$(dirname "$0")
passed=0
failed=0

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
try "$here/mutate.py" "$here/mutants" "$build" "$@"
echo "refinement: $passed passed, $failed failed"
[ $failed -eq 0 ]
