#!/bin/bash
# SPDX-License-Identifier: MIT
# Builds the Debian packages, installs them in a fresh guest, and lets deb_checks.py see what their scripts make of it: first start,
# the package's own tests, an upgrade under load, removal, purge.
here=$(cd "$(dirname "$0")" && pwd)
source_dir=${top_srcdir:-$(cd "$here/../.." && pwd)}
. "$source_dir/tests/tap.sh"
. "$here/guest.sh"

why=$(guest_can) || skip_all "$why"
work=$(mktemp -d "${TMPDIR:-/tmp}/kvd-debs.XXXXXX")
trap 'guest_end; rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

# Not with what make has put into the environment for the tree around.
env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS DEB_BUILD_OPTIONS="nocheck parallel=2" "$source_dir/packaging/build-deb" "$work/stage/var/debs" \
	>"$work/log" 2>&1
case $? in
0) ;;
77) skip_all "$(grep -a '^build-deb:\|Unmet' "$work/log" | head -n 1)" ;;
*)
	sed 's/^/# /' "$work/log" | tail -n 20
	echo "Bail out! the packages cannot be built"
	exit 1
	;;
esac
mkdir -p "$work/stage/usr/share/kvd-tests" "$work/out"
cp -r "$source_dir"/tests/blackbox/{tap,resp}.py "$here"/guest.py "$here"/deb_checks.py "$source_dir/packaging/debian/tests" \
	"$work/stage/usr/share/kvd-tests/"

# There is no network in the guest: its tree has what the packages depend on.
needed=$(dpkg-deb -f "$work"/stage/var/debs/kvd_*.deb Depends | tr ',' '\n' | sed 's/|.*//; s/(.*//; s/ //g' | grep -v '^systemd$' | sort -u)
guest_base $needed || skip_all "the guest's tree cannot be made"
guest_boot "$work/stage" "$work/out" || { echo "Bail out! the guest does not boot"; exit 1; }
guest_run env KVD_TEST_PATIENCE="${KVD_TEST_PATIENCE:-1}" python3 /usr/share/kvd-tests/deb_checks.py ${KVD_TEST_ONLY:-}
