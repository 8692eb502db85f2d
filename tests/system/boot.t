#!/bin/bash
# SPDX-License-Identifier: MIT
# Installs kvd into a fresh guest, boots it, and lets run.py check there how the daemon lives with its service manager.
# KVD_TEST_ONLY="test_a test_b" runs only these; KVD_GUEST_SHELL=1 opens a shell in the guest instead.
here=$(cd "$(dirname "$0")" && pwd)
source_dir=${top_srcdir:-$(cd "$here/../.." && pwd)}
build_dir=${top_builddir:-$(pwd)}
. "$source_dir/tests/tap.sh"
. "$here/guest.sh"

why=$(guest_can) || skip_all "$why"
work=$(mktemp -d "${TMPDIR:-/tmp}/kvd-boot.XXXXXX")
trap 'guest_end; rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

configured_for_system()
{
	"$1/config.status" --config 2>/dev/null | tr -d "'" | grep -q -e '--prefix=/usr .*--sysconfdir=/etc .*--localstatedir=/var' &&
		[ -z "${KVD_SANITIZER:-}" ]
}

# The paths are compiled in, so a tree that was configured for somewhere else is built once more beside it.
build_for_system()
{
	mkdir -p "$build_dir/tests/system/build" && cd "$build_dir/tests/system/build" || return
	[ -e config.status ] || "$source_dir/configure" --quiet --prefix=/usr --sysconfdir=/etc --localstatedir=/var \
		--runstatedir=/run --with-systemdsystemunitdir=/usr/lib/systemd/system || return
	MAKEFLAGS= make -s -j2 all
}

if configured_for_system "$build_dir"; then
	system_dir=$build_dir
elif [ -e "$source_dir/config.status" ]; then
	skip_all "configure with --prefix=/usr --sysconfdir=/etc --localstatedir=/var, or outside the source tree"
else
	system_dir=$build_dir/tests/system/build
	(build_for_system) >"$work/log" 2>&1 || { sed 's/^/# /' "$work/log" | tail -20; echo "Bail out! the build for /usr failed"; exit 1; }
fi
MAKEFLAGS= make -s -C "$system_dir" install DESTDIR="$work/stage" >"$work/log" 2>&1 ||
	{ sed 's/^/# /' "$work/log" | tail -20; echo "Bail out! make install failed"; exit 1; }
mkdir -p "$work/stage/usr/share/kvd-tests" "$work/out"
cp "$source_dir"/tests/blackbox/{tap,resp}.py "$here"/*.py "$work/stage/usr/share/kvd-tests/"

# The guest gets the packages our programs' libraries come from here.
libraries=$(ldd "$work/stage/usr/sbin/kvd" "$work/stage/usr/bin/kvctl" | awk '$3 ~ /^\// { print $3 }' | sort -u)
packages=$(for l in $libraries; do dpkg -S "$(basename "$l")" 2>/dev/null; done | grep -v -e -dev: | cut -d: -f1 | sort -u | grep -v '^libkvd')
guest_base $packages || skip_all "the guest's tree cannot be made"
guest_boot "$work/stage" "$work/out" || { echo "Bail out! the guest does not boot"; exit 1; }
if [ -n "${KVD_GUEST_SHELL:-}" ]; then
	guest_enter /bin/bash
	skip_all "there was a shell"
fi
guest_run env KVD_TEST_LONG="${KVD_TEST_LONG:-}" KVD_TEST_PATIENCE="${KVD_TEST_PATIENCE:-1}" KVD_TEST_TIMES=1 \
	python3 /usr/share/kvd-tests/run.py ${KVD_TEST_ONLY:-}
