#!/bin/sh
# Usage: run.sh MODE OUT WORD...
# Boots Linux on the test machine with the words on its command line, bare or under pmuvisor with MODE.conf, and judges
# what it printed. OUT, whose last part is the run's name, gets the consoles, the machine's statistics and `figures`,
# "name value" lines. DEADLINE: in ticks of the machine. MODEL: of the processor. CPUS: how many, 1 if not given. IPS: instructions
# of one of them in an emulated second, if not the usual.
set -eu

# What isn't measured here and costs time is off.
PARAMETERS='initrd=\initrd.img console=ttyS0,115200 quiet panic=5 lpj=1000000 nowatchdog mitigations=off nokaslr'
PARAMETERS="$PARAMETERS cryptomgr.notests"

mode=$1
out=$2
shift 2
here=$(dirname "$0")
root=$here/../..
linux=$root/build/linux
model=${MODEL:-icelake}
cpus=${CPUS:-1}
name=$(basename "$out")

# The general-purpose counters that Linux must find: of leaf 0AH, which knows 8 at most, less the host's two. AMD has six.
counters=8
case "$mode $model" in
"bare zen"[34]) counters=6 ;;
*" zen"[34]) counters=4 ;;
"bare "* | *" arrow_lake") ;;
*) counters=6 ;;
esac

# Of several, the first can go offline, too.
[ "$cpus" = 1 ] || PARAMETERS="$PARAMETERS cpu0_hotplug"

# What a kernel gets that starts another, which then runs the scenario `again`.
second=
case " $*" in
*kexec* | *crash*)
	PARAMETERS="initrd=\\kexec.img $PARAMETERS crashkernel=192M"
	second=$linux/kexec.img:kexec.img
	;;
esac

mkdir -p "$out"
if [ "$mode" = bare ]; then
	echo "$PARAMETERS expected=$counters cpus=$cpus $*" >"$out/cmdline.txt"
	"$root/tools/image.sh" "$out/disk.img" "$linux/start.efi:EFI/BOOT/BOOTX64.EFI" "$linux/vmlinuz:vmlinuz" \
		"$linux/initrd.img:initrd.img" $second "$out/cmdline.txt:cmdline.txt"
else
	{
		cat "$here/$mode.conf"
		printf '%s\n' 'guest = \vmlinuz' "guest-args = $PARAMETERS expected=$counters cpus=$cpus $*"
	} >"$out/pmuvisor.conf"
	"$root/tools/image.sh" "$out/disk.img" "$root/build/pmuvisor.efi:EFI/BOOT/BOOTX64.EFI" "$linux/vmlinuz:vmlinuz" \
		"$linux/initrd.img:initrd.img" $second "$out/pmuvisor.conf:EFI/BOOT/pmuvisor.conf"
fi

status=0
"$root/tests/machine/run" --disk "$out/disk.img" --out "$out" --deadline "${DEADLINE:-20000000000}" \
	--model "$model" --cpus "$cpus" ${IPS:+--ips "$IPS"} || status=$?
rm "$out/disk.img"
tr -d '\r' <"$out/com1.txt" >"$out/console"
sed -n 's/^figure //p' "$out/console" >"$out/figures"
grep -E '^(ok|not ok|done|figure|#) ' "$out/console" | sed "s/^/$name: /" || true

fail() {
	echo "run.sh: Linux, $name: $*" >&2
	exit 1
}

[ "$status" = 0 ] || fail "the machine's verdict is $status."
! grep -q '^not ok ' "$out/console" || fail "$(grep -c '^not ok ' "$out/console") checks failed."
for word; do
	case $word in
	test=*)
		grep -q '^ok ' "$out/console" || fail "nothing was checked."
		for scenario in $(echo "${word#test=}" | tr , ' ') ${second:+again}; do
			grep -qx "done $scenario" "$out/console" || fail "the scenario $scenario did not end."
		done
		;;
	esac
done
