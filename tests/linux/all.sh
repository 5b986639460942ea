#!/bin/sh
# Usage: all.sh DIRECTORY
# Linux on the test machine, bare and under pmuvisor in both modes, on each processor: every scenario, the table of what
# must be equal, and the figures, those of the processors added up, which also go to DIRECTORY/results.txt. Fails if
# anything failed.
set -eu

directory=$1
here=$(dirname "$0")
status=0

# processor MODEL PREFIX SCENARIOS
processor() {
	model=$1 runs=$directory/$2 scenarios=$3
	for mode in bare direct shared; do
		MODEL=$model "$here/run.sh" $mode "$runs$mode" "test=$scenarios" || status=1
	done
	"$here/compare" "${runs}bare" "${runs}direct" "${runs}shared" >>"$directory/table" || status=1
	"$here/compare-profiles" "$scenarios" "${runs}bare" "${runs}direct" "${runs}shared" >>"$directory/table" || status=1
}

# Both record branches: the guest's profiles stay as they are, and the host has its own.
both_record() {
	model=$1 runs=$directory/$2
	MODEL=$model "$here/run.sh" both "${runs}both" test=lbr || status=1
	"$here/compare-profiles" lbr "${runs}bare" "${runs}both" >>"$directory/table" || status=1
	grep -q 'lbr captures [1-9]' "${runs}both/com2.txt" || {
		echo "not ok - Linux, ${2}both: the host captured no branches"
		status=1
	}
}

: >"$directory/table"
processor icelake "" bare,count,pmi,pebs,mem,lbr,topdown
both_record icelake ""
processor sapphire_rapids sapphire_rapids- bare,count,pebs,mem,lbr,topdown
both_record sapphire_rapids sapphire_rapids-
# AMD's processors bare, so far.
MODEL=zen3 "$here/run.sh" bare "$directory/zen3-bare" test=bare,count || status=1
MODEL=zen4 "$here/run.sh" bare "$directory/zen4-bare" test=bare,count,pmi,lbr_v2 || status=1
"$here/chains" "$directory/zen4-bare" >>"$directory/table" || status=1
# Several processors; of four, what the idle ones cost.
for cpus in 2 4; do
	runs=$directory/cpus$cpus-
	for mode in bare direct shared; do
		CPUS=$cpus "$here/run.sh" $mode "$runs$mode" test=smp || status=1
	done
	"$here/compare" "${runs}bare" "${runs}direct" "${runs}shared" >>"$directory/table" || status=1
	CPUS=$cpus MODEL=zen4 "$here/run.sh" bare "$directory/zen4-cpus$cpus-bare" test=smp || status=1
done
"$here/idle" "${runs}direct/com2.txt" >>"$directory/table" || status=1
# This kernel knows Arrow Lake's architectural events and LBRs only: no records of its format, no metrics.
processor arrow_lake arrow_lake- bare,count,lbr
"$here/pmis" "$directory/direct" "$directory/shared" >>"$directory/table" || status=1
cat "$directory/table"
awk 'NF == 2 { sum[$1] += $2 } END { for (name in sum) print name, sum[name] }' "$directory/table" |
	sort >"$directory/results.txt"
exit $status
