#!/bin/sh
# Usage: check-determinism.sh IMAGE DIRECTORY [OPTION...]
# Runs the image twice, the options going to `run`; the serial consoles and every count must be equal to the byte.
set -eu

image=$1
directory=$2
shift 2
here=$(dirname "$0")

for number in 1 2; do
	"$here/run" --disk "$image" --out "$directory/$number" "$@"
	# Whatever the host's clock could decide must not be the same by chance.
	sleep 1.3
done
for file in com1.txt com2.txt debug.txt stats.txt; do
	[ -s "$directory/1/$file" ] || [ "$file" = debug.txt ] || {
		echo "check-determinism: $file is empty" >&2
		exit 1
	}
	cmp "$directory/1/$file" "$directory/2/$file"
done
echo "check-determinism: two runs of $image are equal"
