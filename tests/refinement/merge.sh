#!/bin/sh
# merge.sh BUILD CORPUS: the stored corpus anew: of what it holds, what the fuzzer has found since, and random plans, the
# fewest and shortest that reach all the code and values that they reach together.
set -eu

build=$1
corpus=$2
plans=200
all=$build/fuzzer/all
new=$build/fuzzer/new

rm -rf "$all" "$new"
mkdir -p "$all" "$new" "$corpus" "$build/fuzzer/found"
for seed in $(seq $plans); do
	"$build/refinement" --replay "$seed" --store "$all/$seed"
done
"$build/fuzzer/fuzz" -merge=1 -use_counters=0 -max_len=2048 "$new" "$corpus" "$build/fuzzer/found" "$all"
rm -rf "$corpus"
mv "$new" "$corpus"
