#!/bin/sh
# Usage: all.sh DIRECTORY
# Linux on the test machine, bare and under pmuvisor in both modes: every scenario, the table of what must be equal, and
# the figures, which also go to DIRECTORY/results.txt. Fails if anything failed.
set -eu

directory=$1
here=$(dirname "$0")
status=0

for mode in bare direct shared; do
	"$here/run.sh" $mode "$directory/$mode" test=bare,count,pmi,pebs,mem,lbr || status=1
done
"$here/compare" "$directory/bare" "$directory/direct" "$directory/shared" >"$directory/table" || status=1
"$here/compare-profiles" "$directory/bare" "$directory/direct" "$directory/shared" >>"$directory/table" || status=1
"$here/pmis" "$directory/direct" "$directory/shared" >>"$directory/table" || status=1
cat "$directory/table"
awk 'NF == 2' "$directory/table" >"$directory/results.txt"
exit $status
