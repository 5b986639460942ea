#!/bin/sh
# Usage: ovmf-symbols.sh DIRECTORY
# The firmware's functions by name: builds Debian's source of the very ovmf package that is installed, as Debian does, and
# leaves the ELF file of each image in DIRECTORY, MODULE.debug with its code and symbols. The sources go again. apt checks
# them against the signed index; everything it writes stays in DIRECTORY.
set -eu

KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg
# What /usr/share/ovmf/OVMF.fd is: debian/rules, build-ovmf.
PLATFORM=OvmfPkg/OvmfPkgX64.dsc
FLAGS=OVMF_2M_FLAGS
OUTPUT=Build/OvmfX64/RELEASE_GCC5/X64

directory=$(realpath -m "$1")
private=$directory/apt

fail() {
	echo "ovmf-symbols.sh: $*" >&2
	exit 1
}

private_apt() {
	apt-get -o Dir::Etc::SourceList="$private/sources.list" -o Dir::Etc::SourceParts="$private/none" \
		-o Dir::State::Lists="$private/lists" -o Dir::Cache="$private/cache" -o APT::Sandbox::User= \
		-o APT::Update::Post-Invoke-Success= -o Acquire::Languages=none -qq "$@"
}

# From the mirrors that this machine has its packages from.
fetch() {
	mkdir -p "$private/lists/partial" "$private/cache/archives/partial" "$private/none"
	# shellcheck disable=SC2016 # apt expands these
	apt-get indextargets --no-release-info --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' |
		sort -u | sed "s|^|deb-src [signed-by=$KEYRING] |" >"$private/sources.list"
	private_apt update || fail "apt can't read the source lists of this machine's mirrors."
	private_apt source --download-only --only-source "edk2=$1" || fail "this machine's mirrors have no source of edk2 $1."
	dpkg-source --no-check -x edk2_*.dsc source >unpack.log || fail "unpacking failed: see $directory/unpack.log"
}

# edksetup.sh is bash's, and reads variables that aren't set.
build() {
	flags=$(make -s --no-print-directory -f debian/rules --eval="flags: ; @echo \$($FLAGS)" flags)
	env -u MAKEFLAGS -u MFLAGS PYTHON3_ENABLE=TRUE bash -c "
		. ./edksetup.sh &&
		make -j$(nproc) -C BaseTools/Source/C ARCH=X64 &&
		build -n $(nproc) -a X64 -t GCC5 -b RELEASE -p $PLATFORM $flags"
}

version=$(dpkg-query -W -f '${source:Version}' ovmf)
[ "$(cat "$directory/version" 2>/dev/null)" != "$version" ] || exit 0
rm -rf "$directory"
mkdir -p "$directory"
cd "$directory"
fetch "$version"
echo "building the firmware once more, for its symbols: some ten minutes, once" >&2
(cd source && build) >build.log 2>&1 || fail "the build failed: see $directory/build.log"
for file in "source/$OUTPUT"/*.debug; do
	objcopy --strip-debug "$file" "${file##*/}"
done
rm -rf source apt edk2_*
echo "$version" >version
