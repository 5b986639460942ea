#!/bin/sh
# Usage: fetch.sh DESTINATION
# Debian's source tarball of Bochs, checked against the signed Sources index. Everything apt writes stays in a
# directory of our own; the mirror is the one this machine already uses. BOCHS_TARBALL=path takes a tarball from there
# instead of from the mirror; the index decides about its hash all the same.
set -eu

SUITE=trixie
PACKAGE=bochs
FILE=bochs_3.0+dfsg.orig.tar.xz
KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

destination=$1
private=$(dirname "$(realpath -m "$destination")")/apt

fail() {
	echo "fetch.sh: $*" >&2
	exit 1
}

# Only what decides where files are is replaced: proxies and the like stay as the machine has them.
private_apt() {
	command=$1
	shift
	"$command" -o Dir::Etc::SourceList="$private/sources.list" -o Dir::Etc::SourceParts="$private/none" \
		-o Dir::State::Lists="$private/lists" -o Dir::Cache="$private/cache" -o APT::Update::Post-Invoke-Success= \
		-o Acquire::Languages=none "$@"
}

# The mirrors that serve this machine's own release; reads both source formats.
mirrors() {
	codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
	# shellcheck disable=SC2016 # apt expands these
	apt-get indextargets --no-release-info --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' |
		awk -v own="$codename" -v rolling='^((old)?stable|testing|unstable|sid)$' \
			'($1 == own || $1 ~ rolling) && $2 == "main" && !seen[$3]++ { print $3 }'
}

# Leaves `address name size sha256` lines of the package's files in $private/files.
read_index() {
	mkdir -p "$private/lists/partial" "$private/cache/archives/partial" "$private/none"
	echo "deb-src [signed-by=$KEYRING] $1 $SUITE main" >"$private/sources.list"
	private_apt apt-get update -qq -o APT::Update::Error-Mode=any &&
		private_apt apt-get source --print-uris --only-source -qq "$PACKAGE/$SUITE" | tr -d "'" >"$private/files"
}

checked() {
	echo "$sha256  $1" | sha256sum --check --status
}

[ -r "$KEYRING" ] || fail "$KEYRING is missing: install debian-archive-keyring."
found=
for mirror in $(mirrors); do
	if read_index "$mirror" && grep -qF " $FILE " "$private/files"; then
		found=yes
		break
	fi
done
[ -n "$found" ] || fail "none of this machine's Debian mirrors lists $FILE in $SUITE."
address=$(awk -v file="$FILE" '$2 == file { print $1 }' "$private/files")
sha256=$(awk -v file="$FILE" '$2 == file { sub("^SHA256:", "", $4); print $4 }' "$private/files")
[ ${#sha256} -eq 64 ] || fail "the index gives no SHA-256 for $FILE."

if [ -n "${BOCHS_TARBALL:-}" ]; then
	checked "$BOCHS_TARBALL" || fail "$BOCHS_TARBALL is not the $FILE of the index: its SHA-256 differs from $sha256."
	cp "$BOCHS_TARBALL" "$destination"
	exit 0
fi
# apt's helper takes the tarball alone; `apt-get source` would insist on the files beside it.
private_apt /usr/lib/apt/apt-helper download-file "$address" "$destination.part" "SHA256:$sha256" >&2 2>&1 ||
	fail "the mirror does not serve $address; get $FILE elsewhere and give its path in BOCHS_TARBALL."
checked "$destination.part" || fail "$address has the wrong SHA-256."
mv "$destination.part" "$destination"
