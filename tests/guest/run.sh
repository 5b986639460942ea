#!/bin/bash
# tests/guest/run.sh MODE NAME [CONFIGURATION LINE...]
#
# Runs one guest on the test machine and judges it: bare (as the firmware's boot loader), or under pmuvisor in direct
# mode (no host event in guest mode) or shared mode (host events live). Further lines go into pmuvisor.conf; an `event`
# among them replaces the mode's own. GUEST_ARGS: words for the guest, such as pmis=100000. TAG: a name for the run.
# MODEL: the processor, icelake if not given (see tests/machine/run); the name of another goes before the tag. CPUS: the
# number of processors, 1 if not given; another goes there, too. SKID: how late PMIs come, if not as the processor has it;
# it wants a TAG, and guests that sample GUEST_ARGS=skid=1.
# The outcome lies in build/tests/guest/out/; the exit status is 0 if the guest passed.
set -eu

[ $# -ge 2 ] || { echo "usage: $0 bare|direct|shared NAME [LINE...]" >&2; exit 2; }
mode=$1 name=$2
shift 2

model=${MODEL:-icelake}
cpus=${CPUS:-1}
tag=${TAG:-}
[ "$cpus" = 1 ] || tag=cpus$cpus${tag:+-$tag}
[ "$model" = icelake ] || tag=${model//,/+}${tag:+-$tag} # no comma in a path: Bochs would end it there
build=${BUILD:-build}
efi=$build/tests/guest/$name.efi
out=$build/tests/guest/out/$mode-$name${tag:+-$tag}
mkdir -p "$out"
rm -f "$out"/*.txt "$out/tap" "$out/verdict"

# How the machine ends.
expected=0 deadline=${DEADLINE:-10000000000}
case $name in
triple_fault) expected=125 ;;
returns) expected=124 deadline=1200000000 ;; # the firmware goes on, and waits for a key
esac

echo "mode=$mode cpus=$cpus ${GUEST_ARGS:-}" > "$out/guest.args"
{
	echo 'guest = \guest.efi'
	case "$mode $*" in
	*event*) ;;
	direct*) echo 'event = instructions:host' ;;
	shared*) printf 'event = instructions\nevent = branches:guest period=100003\n' ;;
	esac
	[ $# -eq 0 ] || printf '%s\n' "$@"
} > "$out/pmuvisor.conf"

case $mode in
bare)
	files=("$efi:EFI/BOOT/BOOTX64.EFI") ;;
direct | shared)
	files=("$build/pmuvisor.efi:EFI/BOOT/BOOTX64.EFI" "$out/pmuvisor.conf:EFI/BOOT/pmuvisor.conf" "$efi:guest.efi") ;;
*)
	echo "$0: there is no mode $mode" >&2
	exit 2 ;;
esac

tools/image.sh "$out/disk.img" "${files[@]}" "$out/guest.args:guest.args"
status=0
tests/machine/run --model "$model" --cpus "$cpus" ${SKID:+--skid "$SKID"} --disk "$out/disk.img" --out "$out" \
	--deadline "$deadline" > "$out/run.txt" || status=$?
rm -f "$out/disk.img"
tests/guest/judge.py "$mode" "$name" "$tag" "$out" "$status" "$expected"
