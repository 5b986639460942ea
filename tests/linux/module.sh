#!/bin/sh
# Usage: module.sh PACKAGE SOURCE MODULE
# Assembles a kernel module without the kernel's headers. What the kernel insists on lies in every module of its own
# package: which kernel it is for (vermagic), the versions of symbols, and in struct module, which the source fills in, the
# name (MODULE_NAME), the first function (MODULE_INIT) and the size (MODULE_SIZE).
set -eu

package=$1
source=$2
module=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

example=$work/dummy.ko
dpkg-deb --fsys-tarfile "$package" | tar -x --to-stdout --wildcards '*/drivers/net/dummy.ko' >"$example"

# contents SECTION
contents() {
	objcopy -O binary --only-section="$1" "$example" "$work/section"
	cat "$work/section"
}

contents .modinfo | tr '\0' '\n' | grep '^vermagic=' | tr '\n' '\0' >"$work/vermagic"
contents __versions >"$work/versions"
contents .gnu.linkonce.this_module >"$work/module"
name=$(grep -abo dummy "$work/module" | cut -d : -f 1)
init=$(readelf --wide --relocs "$example" |
	awk '/^Relocation/ { inside = /this_module/ } inside && $5 == "init_module" { print $1 }')
nasm -f elf64 -DMODULE_NAME="$name" -DMODULE_INIT="0x$init" -DMODULE_SIZE="$(stat -c %s "$work/module")" -I"$work/" \
	-o "$module" "$source"
