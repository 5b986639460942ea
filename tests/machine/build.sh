#!/bin/sh
# Usage: build.sh TARBALL DIRECTORY
# Builds the test machine, DIRECTORY/bochs. Bochs is unpacked, patched and compiled as a whole when anything its own
# sources see has changed; when only the model, the statistics or the glue did, those are compiled and linked again.
set -eu

tarball=$(realpath "$1")
mkdir -p "$2"
directory=$(realpath "$2")
here=$(realpath "$(dirname "$0")")
tree=$directory/bochs-3.0
ours=$tree/instrument/machine
jobs=$(nproc)
flags=-O2

# No debugger, no sound, no network: what no test needs is not built. The CPU is what Debian's own package has.
configure() {
	CFLAGS=$flags CXXFLAGS=$flags ./configure \
		--enable-instrumentation=instrument/machine \
		--enable-cpu-level=6 --enable-x86-64 --enable-vmx=2 --enable-svm --enable-avx --enable-evex --enable-smp \
		--enable-pci --enable-all-optimizations --enable-configurable-msrs --enable-perfmon --with-nogui \
		--disable-docbook --disable-gui-clipboard --disable-readline
}

copy_ours() {
	for file in "$here"/*.c "$here"/*.cc "$here"/*.h; do
		cmp -s "$file" "$ours/${file##*/}" || cp "$file" "$ours/"
	done
}

unpack() {
	rm -rf "$tree"
	tar -C "$directory" -xf "$tarball"
	chmod -R u+w "$tree"
	(cd "$tree" && patch -p1 -s) <"$here/bochs.patch"
	mkdir -p "$ours"
	cp "$here/instrument.mk.in" "$ours/Makefile.in"
	copy_ours
	(cd "$tree" && configure)
}

run() {
	log=$1
	shift
	"$@" >"$directory/$log" 2>&1 || {
		tail -n 30 "$directory/$log" >&2
		echo "build.sh: $* failed; all of it is in $directory/$log" >&2
		exit 1
	}
}

# Two builds at once would tread on each other's files; the second finds nothing left to do.
exec 9>"$directory/lock"
flock 9

whole=$(cat "$tarball" "$here/bochs.patch" "$here/instrument.mk.in" "$here/build.sh" "$here/instrument.h" \
	"$here/glue.h" "$here/stats.h" "$here/vmcb_clean.h" "$here/pmu_model.h" | sha256sum)
if [ "$(cat "$directory/whole.stamp" 2>/dev/null)" != "$whole" ]; then
	echo "building the test machine: a few minutes, once" >&2
	rm -f "$directory/whole.stamp"
	run unpack.log unpack
	echo "$whole" >"$directory/whole.stamp"
fi
copy_ours
# Without the -rR of our own Makefile: Bochs relies on built-in rules.
run make.log env -u MAKEFLAGS -u MFLAGS make -C "$tree" -j"$jobs" bochs
# Renamed into place: a machine may be running.
cp "$tree/bochs" "$directory/bochs.new"
mv "$directory/bochs.new" "$directory/bochs"
