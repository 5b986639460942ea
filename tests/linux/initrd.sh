#!/bin/sh
# Usage: initrd.sh PACKAGES-ROOT INIT PROGRAM... INITRD
# Packs the guest's first file system: busybox, perf, our programs and /init. The same files give the same bytes. Small,
# because the test machine reads its disk by programmed I/O.
set -eu

packages=$1
init=$2
shift 2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root

mkdir -p "$root"
(cd "$root" && mkdir -p bin lib64 lib/x86_64-linux-gnu dev proc sys tmp root)
cp "$init" "$root/init"
while [ $# -gt 1 ]; do
	cp "$1" "$root/bin/"
	shift
done
initrd=$1
cp "$packages/bin/busybox" "$root/bin/"
cp "$(realpath "$packages/usr/bin/perf")" "$root/bin/perf"

needed() {
	readelf --dynamic "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'
}

# perf links libraries that it needs for scripts, for other processors' traces, for its text windows: 30 MB in all. One
# small library stands for all of them: it defines every symbol ("KIND name" or "KIND name@version") that perf finds
# nowhere else, as a function that returns 0, or that much of constant data, or a thread's variable. `perf stat`,
# `record` and `report --stdio` use none of them.
stand_in() {
	absent=$1
	{
		printf '\t.text\n\t.balign 4096\nnothing:\txorl %%eax, %%eax\n\tret\n\t.fill 4096\n'
		printf '\t.section .tbss,"awT",@nobits\nthread_nothing:\t.quad 0\n'
		awk -F '[ @]' '{ print "\t.globl " $2 "\n\t.set " $2 ", " ($1 == "TLS" ? "thread_nothing" : "nothing") }' "$absent"
		printf '\t.section .note.GNU-stack,"",@progbits\n'
	} >"$work/nothing.s"
	awk -F '[ @]' 'NF == 3 { of[$3] = of[$3] $2 ";" } END { for (v in of) print v " {" of[v] "};" }' "$absent" |
		sort >"$work/versions"
	gcc -shared -nostdlib -Wl,--build-id=none -Wl,-z,noseparate-code -Wl,--version-script="$work/versions" -s \
		-o "$2" "$work/nothing.s"
}

# "KIND name[@version]" of each symbol that the program is relocated against; KIND is TLS or ANY.
wanted() {
	readelf --wide --relocs "$1" | awk 'NF == 7 && $6 == "+" { print ($3 == "R_X86_64_TPOFF64" ? "TLS" : "ANY"), $5 }' |
		sort -u
}

library=$root/lib/x86_64-linux-gnu
for name in $(needed "$root/bin/perf"); do
	cp -L "$packages/lib/x86_64-linux-gnu/$name" "$library/" 2>/dev/null ||
		cp -L "$packages/usr/lib/x86_64-linux-gnu/$name" "$library/" 2>/dev/null ||
		ln -s libnothing.so "$library/$name"
done
cp -L "$packages/lib64/ld-linux-x86-64.so.2" "$root/lib64/"
find "$library" "$root/lib64" -type f -exec nm --dynamic --defined-only {} + |
	awk 'NF == 3 { sub("@@", "@", $3); print $3 }' >"$work/defined"
wanted "$root/bin/perf" | awk 'NR == FNR { have[$1]; next } !($2 in have)' "$work/defined" - >"$work/absent"
stand_in "$work/absent" "$library/libnothing.so"

find "$root" -exec touch --no-dereference --date=@0 {} +
# The format is the one the kernel unpacks: lz4's legacy frame.
(cd "$root" && find . | LC_ALL=C sort | cpio --quiet --reproducible --owner=0:0 --format=newc --create) |
	lz4 -l -12 --quiet - "$work/initrd"
mv "$work/initrd" "$initrd"
