#!/bin/sh
# Usage: check-verdicts.sh IMAGE DIRECTORY
# The ends that are the machine's own, not the guest's, each with its exit status: see ports.h.
set -eu

image=$1
directory=$2
here=$(dirname "$0")

ends() {
	expected=$1
	shift
	status=0
	"$here/run" --disk "$image" --out "$directory" "$@" >"$directory.txt" 2>&1 || status=$?
	[ "$status" = "$expected" ] || {
		cat "$directory.txt"
		echo "check-verdicts: '$*' ended with status $status, not $expected" >&2
		exit 1
	}
	[ "$(grep -c '^machine: ' "$directory.txt")" = 1 ] || {
		echo "check-verdicts: '$*' did not end with one line" >&2
		exit 1
	}
}

mkdir -p "$directory"
ends 124 --deadline 1000000
ends 126 --model no_such_processor
echo "check-verdicts: a deadline is 124, a broken machine 126"
