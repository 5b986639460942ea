#!/bin/bash
# tools/image.sh OUT SOURCE:TARGET...
#
# Writes a GPT disk image with one EFI system partition (FAT32) that holds each SOURCE under the path TARGET. Needs no
# root and no loop device. The same files give the same bytes: identifiers and times are fixed.
set -eu

[ $# -ge 2 ] || { echo "usage: $0 OUT SOURCE:TARGET..." >&2; exit 2; }
out=$1
shift

export MTOOLS_SKIP_CHECK=1 LC_ALL=C TZ=UTC SOURCE_DATE_EPOCH=1704067200
SECTOR=512
ALIGNMENT=2048			# in sectors, as partitioning tools have it
FAT32_MIN=$((34 * 2048))	# in sectors: below 65525 clusters it would be FAT16

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tree=$work/tree
mkdir "$tree"

for file; do
	source=${file%%:*} target=${file#*:}
	[ -f "$source" ] || { echo "$0: there is no file $source" >&2; exit 1; }
	mkdir -p "$tree/$(dirname "$target")"
	cp -- "$source" "$tree/$target"
done
find "$tree" -exec touch -d "@$SOURCE_DATE_EPOCH" {} +

# One eighth more than the files need, for the allocation tables and the odd file added by hand.
sectors=$(($(du -s -B $SECTOR --apparent-size "$tree" | cut -f 1) * 9 / 8))
[ "$sectors" -ge "$FAT32_MIN" ] || sectors=$FAT32_MIN
sectors=$(((sectors / ALIGNMENT + 1) * ALIGNMENT))

fat=$work/fat
truncate -s $((sectors * SECTOR)) "$fat"
mkfs.vfat -F 32 -s 1 -n PMUVISOR --invariant "$fat" > "$work/log"
# The shell sorts the names, so that each file always lies at the same place on the volume.
mcopy -s -m -i "$fat" "$tree"/* ::

disk=$work/disk
truncate -s $(((sectors + 2 * ALIGNMENT) * SECTOR)) "$disk"
sgdisk --disk-guid 504d5556-0000-4000-8000-000000000001 --new 1:$ALIGNMENT:$((ALIGNMENT + sectors - 1)) \
	--typecode 1:ef00 --change-name 1:pmuvisor --partition-guid 1:504d5556-0000-4000-8000-000000000002 \
	"$disk" > "$work/log"
dd if="$fat" of="$disk" bs=$SECTOR seek=$ALIGNMENT conv=notrunc,sparse status=none
mkdir -p "$(dirname "$out")"
mv "$disk" "$out"
