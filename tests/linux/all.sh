#!/bin/sh
# Usage: all.sh DIRECTORY
# Linux on the test machine, bare and under pmuvisor in both modes, on each processor: every scenario, the table of what
# must be equal, and the figures, those of the processors added up, which also go to DIRECTORY/results.txt. Fails if
# anything failed.
set -eu

directory=$1
here=$(dirname "$0")

ICELAKE=bare,count,pmi,pebs,mem,lbr,topdown,idle
SAPPHIRE_RAPIDS=bare,count,pebs,mem,lbr,topdown
# This kernel knows its architectural events and LBRs only: no records of its format, no metrics.
ARROW_LAKE=bare,count,lbr
ZEN4=bare,count,lbr_v2

# run PREFIX MODE SCENARIOS, of MODEL and CPUS: a line for the shell. What it prints is kept beside its directory.
run() {
	echo "MODEL=${MODEL:-icelake} CPUS=${CPUS:-1} $here/run.sh $2 $directory/$1$2 test=$3 >$directory/$1$2.log 2>&1"
}

intel() {
	run "" "$1" $ICELAKE
	MODEL=sapphire_rapids run sapphire_rapids- "$1" $SAPPHIRE_RAPIDS
	MODEL=arrow_lake run arrow_lake- "$1" $ARROW_LAKE
	CPUS=4 run cpus4- "$1" smp,nmi,idle
	CPUS=2 run cpus2- "$1" smp,nmi,idle
}

# The long ones first, so that none is left alone at the end.
runs() {
	intel shared
	# Both record branches: the guest's profiles stay as they are, and the host has its own.
	run "" both lbr
	MODEL=sapphire_rapids run sapphire_rapids- both lbr
	CPUS=4 run crash- shared crash
	intel direct
	CPUS=2 run kexec- direct kexec
	# What the guest asks for itself.
	run "" api api
	intel bare
	CPUS=4 run crash- bare crash
	CPUS=2 run kexec- bare kexec
	for mode in bare direct; do
		MODEL=zen3 run zen3- $mode bare,count
	done
	for mode in bare direct shared; do
		MODEL=zen4 run zen4- $mode $ZEN4,pmi,conditional
	done
	for mode in bare shared; do
		MODEL=zen4 CPUS=2 run zen4-cpus2- $mode smp,nmi
	done
}

# What was printed, one run after the other.
show() {
	runs | sed 's/.* >\(.*\) 2>&1/\1/' | xargs cat
}

# of PREFIX MODE...: the directories of these runs; the bare machine's is the first.
of() {
	prefix=$directory/$1
	shift
	printf "$prefix%s " "$@"
}

# check COMMAND...: a part of the table.
check() {
	"$@" >>"$directory/table" || status=1
}

# The same; its figures are AMD's.
check_amd() {
	"$@" >"$directory/amd" || status=1
	sed -E 's/^[a-z_]+ [0-9]+$/amd_&/' "$directory/amd" >>"$directory/table"
}

# captured DIRECTORY: did the host capture branches?
captured() {
	grep -q 'lbr captures [1-9]' "$1/com2.txt" || {
		echo "not ok - Linux, $1: the host captured no branches"
		return 1
	}
}

# parsed DIRECTORY: does the parser of dumps take what was sent there?
parsed() {
	"$here/../../tools/dump-parse.py" "$1/com2.txt" >"$1/dumps.json" || {
		echo "not ok - Linux, $1: dump-parse.py does not know what pmuvisor sent"
		return 1
	}
}

# shellcheck disable=SC2046 # lists of words
judge() {
	for prefix in "" sapphire_rapids- arrow_lake- cpus2- cpus4-; do
		check "$here/compare" $(of "$prefix" bare direct shared)
	done
	check "$here/compare" $(of crash- bare shared)
	check "$here/compare" $(of kexec- bare direct)
	check "$here/compare-profiles" $ICELAKE $(of "" bare direct shared)
	check "$here/compare-profiles" $SAPPHIRE_RAPIDS $(of sapphire_rapids- bare direct shared)
	check "$here/compare-profiles" $ARROW_LAKE $(of arrow_lake- bare direct shared)
	for prefix in "" sapphire_rapids-; do
		check "$here/compare-profiles" lbr $(of "$prefix" bare both)
		check captured $(of "$prefix" both)
	done
	for prefix in zen4- zen3-; do
		check_amd "$here/compare" $(of "$prefix" bare direct)
	done
	check_amd "$here/compare" $(of zen4-cpus2- bare shared)
	check parsed $(of zen4-cpus2- shared)
	check_amd "$here/compare-profiles" lbr $(of zen4- bare direct shared)
	check_amd "$here/chains" $(of zen4- bare)
	check "$here/dumped" $(of "" api)
	check "$here/pmis" $(of "" direct shared)
	check "$here/idle" $(of "" direct shared) $(of cpus2- direct shared) $(of cpus4- direct shared)
}

status=0
mkdir -p "$directory"
: >"$directory/table"
runs | xargs -d '\n' -n 1 -P "$(nproc)" "$here/../pool" sh -c || status=1
show
judge
cat "$directory/table"
awk 'NF == 2 { sum[$1] += $2 } END { for (name in sum) print name, sum[name] }' "$directory/table" |
	sort >"$directory/results.txt"
exit $status
