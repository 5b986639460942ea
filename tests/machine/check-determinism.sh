#!/bin/sh
# Usage: check-determinism.sh IMAGE DIRECTORY [OPTION...]
# Runs the image twice, and once on a copy of a machine that waited for its disk; the options go to `run`. The serial
# consoles and every count must be equal to the byte.
set -eu

image=$1
directory=$2
shift 2
here=$(dirname "$0")

unset MACHINE_SERVERS
for number in 1 2; do
	"$here/run" --disk "$image" --out "$directory/$number" "$@"
	# Whatever the host's clock could decide must not be the same by chance.
	sleep 1.3
done

MACHINE_SERVERS=$(mktemp -d)
export MACHINE_SERVERS
"$here/run" --serve --disk "$image" "$@" &
trap 'kill $!; wait; rm -rf "$MACHINE_SERVERS"' EXIT
until [ -n "$(ls "$MACHINE_SERVERS")" ]; do
	kill -0 $!
	sleep 0.1
done
"$here/run" --disk "$image" --out "$directory/copy" "$@"
grep -q "$MACHINE_SERVERS" "$directory/copy/emulator.txt" # it was one

for file in com1.txt com2.txt debug.txt stats.txt; do
	[ -s "$directory/1/$file" ] || [ "$file" = debug.txt ] || {
		echo "check-determinism: $file is empty" >&2
		exit 1
	}
	cmp "$directory/1/$file" "$directory/2/$file"
	cmp "$directory/1/$file" "$directory/copy/$file"
done
echo "check-determinism: three runs of $image are equal"
