#!/bin/sh
# Usage: setup.sh [PACKAGE...]
# Installs the Debian packages of packages.txt, and those named, that are missing. Asks nothing; without root it prints the
# line to run.
set -eu

list=$(dirname "$0")/packages.txt
command -v dpkg-query > /dev/null || { echo "This is no Debian: install by hand what $list names." >&2; exit 1; }

wanted="$(tr '\n' ' ' < "$list") $*"
# dpkg-query fails when it has never heard of a package: that one is missing, not an error.
# shellcheck disable=SC2086 # one word per package
installed=$(dpkg-query -W -f '${db:Status-Status} ${Package} ' $wanted 2> /dev/null || true)
missing=
for package in $wanted; do
	case " $installed" in
	*" installed $package "*) ;;
	*) missing="$missing $package" ;;
	esac
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
	echo "Some packages are missing. As root:" >&2
	echo "apt-get update && apt-get install --yes --no-install-recommends$missing" >&2
	exit 1
fi

install() {
	# shellcheck disable=SC2086
	DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends -qq \
		-o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 $missing
}

echo "Installing:$missing"
# The package lists may be missing or old: fetched only when it doesn't go without.
install 2> /dev/null || { apt-get update -qq && install; }
