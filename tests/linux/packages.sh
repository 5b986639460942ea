#!/bin/sh
# Usage: packages.sh DIRECTORY
# Debian's stock cloud kernel (DIRECTORY/vmlinuz), and perf, busybox and the libraries that perf can't do without
# (unpacked in DIRECTORY/root), as the machine's own mirror serves them today; and that very kernel's headers, to build
# modules with, in DIRECTORY/headers. Nothing is installed; the package lists are private, so they are fresh and it works
# without root.
set -eu

# perf is linked against more (Perl, Python, decoders of other machines' traces): initrd.sh says what becomes of that.
PACKAGES="linux-perf busybox-static libc6 libelf1 zlib1g libzstd1 libcap2"
META=linux-image-cloud-amd64

directory=$(realpath -m "$1")
private=$directory/apt

fail() {
	echo "packages.sh: $*" >&2
	exit 1
}

private_apt() {
	command=$1
	shift
	"$command" -o Dir::State::Lists="$private/lists" -o Dir::Cache="$private/cache" -o APT::Sandbox::User= \
		-o Acquire::Languages=none -o APT::Update::Post-Invoke-Success= "$@"
}

mkdir -p "$private/lists/partial" "$private/cache/archives/partial"
private_apt apt-get update -qq || fail "apt can't read the package lists of this machine's mirrors."
kernel=$(private_apt apt-cache depends "$META" | awk '$1 == "Depends:" && $2 ~ /^linux-image-/ { print $2; exit }')
[ -n "$kernel" ] || fail "$META names no kernel: is this machine's mirror one of Debian 12?"

version=${kernel#linux-image-}
# What they depend on of the kernel's own: the headers that all flavours share, and kbuild's programs.
shared=$(private_apt apt-cache depends "linux-headers-$version" |
	awk '$1 == "Depends:" && $2 ~ /^linux-(headers|kbuild)-/ { print $2 }')
HEADERS="linux-headers-$version $shared"

rm -rf "$directory/packages" "$directory/root" "$directory/headers"
mkdir -p "$directory/packages" "$directory/root" "$directory/headers"
cd "$directory/packages"
# shellcheck disable=SC2086 # a list of words
private_apt apt-get download -qq "$kernel" $HEADERS $PACKAGES || fail "apt can't download $kernel $HEADERS $PACKAGES."
for package in *.deb; do
	case $package in
	linux-image-*)
		dpkg-deb --fsys-tarfile "$package" | tar -x --to-stdout --wildcards './boot/vmlinuz-*' >"$directory/vmlinuz.part"
		;;
	linux-headers-* | linux-kbuild-*) dpkg-deb --extract "$package" "$directory/headers" ;;
	*) dpkg-deb --extract "$package" "$directory/root" ;;
	esac
done
# They expect to lie in /usr/src.
grep -rlF /usr/src/linux-headers --include=Makefile "$directory/headers/usr/src" |
	xargs sed -i "s|/usr/src/linux-headers|$directory/headers/usr/src/linux-headers|g"
ln -sfn "usr/src/linux-headers-$version" "$directory/headers/kernel"
[ -s "$directory/vmlinuz.part" ] || fail "$kernel holds no kernel."
ls >"$directory/versions"
mv "$directory/vmlinuz.part" "$directory/vmlinuz"
