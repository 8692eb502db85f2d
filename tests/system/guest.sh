# SPDX-License-Identifier: MIT
# A guest: a throw-away Debian with its own systemd as PID 1, in a container. Sourced by the tests here, needs bash and root.
#
#   guest_can              0, or prints why there can be none here
#   guest_base PACKAGE...  makes the tree all guests start from, once; later runs find it under $KVD_GUEST_CACHE
#   guest_boot STAGE DIR   boots one: STAGE is laid over the tree, DIR appears as /mnt/host
#   guest_run COMMAND...   runs a command in it as a service of its systemd, hands its output and exit status back
#   guest_end              shuts it down and removes everything of it; also for an EXIT trap
#
# The tree is only a lower layer: what a guest writes lives in a tmpfs and goes with it. A guest has no network.

GUEST_CACHE=${KVD_GUEST_CACHE:-/var/tmp/kvd-guest}
GUEST_SUITE=${KVD_GUEST_SUITE:-$(. /etc/os-release && echo "${VERSION_CODENAME:-}")}
GUEST_ALWAYS="systemd,systemd-sysv,dbus,dbus-user-session,libpam-systemd,procps,passwd,python3,strace"
guest_leader='' guest_nspawn='' guest_dir='' guest_group=''

guest_note() { printf '# %s\n' "$*"; }

guest_can()
{
	local program

	[ "$(id -u)" = 0 ] || { echo "only root can boot a container"; return 1; }
	for program in systemd-nspawn nsenter unshare flock; do
		command -v "$program" >/dev/null || { echo "no $program"; return 1; }
	done
	[ -n "$GUEST_SUITE" ] || { echo "not a Debian system: KVD_GUEST_SUITE is not set"; return 1; }
	[ -n "$(ls -d "$GUEST_CACHE"/tree-* 2>/dev/null)" ] || command -v mmdebstrap >/dev/null ||
		{ echo "no mmdebstrap to make the guest with"; return 1; }
	unshare -m true 2>/dev/null || { echo "no right to make a mount namespace"; return 1; }
}

# The archive this machine takes its own packages from.
guest_mirror()
{
	[ -z "${KVD_GUEST_MIRROR:-}" ] || { echo "$KVD_GUEST_MIRROR"; return; }
	apt-get indextargets --format '$(REPO_URI) $(CODENAME) $(COMPONENT)' 'Created-By: Packages' 2>/dev/null |
		awk -v suite="$GUEST_SUITE" '$2 == suite && $3 == "main" { print $1; exit }'
}

guest_base()
{
	local packages="$GUEST_ALWAYS" p tree log

	for p; do packages="$packages,$p"; done
	tree=$GUEST_CACHE/tree-$(printf '%s' "$GUEST_SUITE $packages" | cksum | cut -d' ' -f1)
	log=$tree.log
	guest_tree=$tree
	mkdir -p "$GUEST_CACHE"
	(
		flock 9
		[ ! -e "$tree/.complete" ] || exit 0
		guest_note "making the guest's tree $tree, this takes minutes and happens once"
		rm -rf "$tree"
		mmdebstrap --quiet --mode=root --variant=minbase --format=directory --include="$packages" \
			--aptopt='Acquire::Languages "none"' "$GUEST_SUITE" "$tree" "$(guest_mirror)" >"$log" 2>&1 || exit 1
		echo guest >"$tree/etc/hostname"
		printf '127.0.0.1 localhost guest\n' >"$tree/etc/hosts"
		for p in getty.target apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
			e2scrub_reap.service fstrim.timer systemd-networkd-wait-online.service; do
			ln -sf /dev/null "$tree/etc/systemd/system/$p"
		done
		touch "$tree/.complete"
	) 9>"$GUEST_CACHE/lock" && return
	[ ! -e "$log" ] || sed 's/^/# /' "$log" | tail -5
	return 1
}

# Where PID 1 is not systemd nobody gives the container a cgroup; then it gets one of our own.
guest_join_group()
{
	local top=/sys/fs/cgroup

	[ ! -d /run/systemd/system ] || return 0
	[ ! -d $top/unified ] || top=$top/unified
	guest_group=$top/kvd-guest-$$
	mkdir "$guest_group" && echo "$BASHPID" >"$guest_group/cgroup.procs"
}

guest_leave_group()
{
	[ -n "$guest_group" ] || return 0
	echo "$BASHPID" >"${guest_group%/*}/cgroup.procs" || :
	# Whatever a boot that failed half way has left.
	[ ! -e "$guest_group/cgroup.kill" ] || echo 1 >"$guest_group/cgroup.kill"
	for _ in $(seq 50); do
		find "$guest_group" -depth -type d -exec rmdir {} + 2>/dev/null || :
		[ -d "$guest_group" ] || break
		sleep 0.1
	done
	guest_group=
}

guest_enter()
{
	nsenter -t "$guest_leader" -m -u -i -n -p -C -r -w -- env -i LC_ALL=C.UTF-8 HOME=/root TERM=dumb \
		PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
}

guest_is_up()
{
	# Looked up anew each time: at first the child is a helper of the way there.
	[ "$(cat "/proc/$guest_nspawn/comm" 2>/dev/null)" = systemd-nspawn ] || return 1
	guest_leader=$(pgrep -P "$guest_nspawn" | head -n 1)
	[ -n "$guest_leader" ] || return 1
	case $(guest_enter systemctl is-system-running 2>/dev/null) in running|degraded) return 0 ;; esac
	return 1
}

guest_boot()
{
	local i keep=

	guest_dir=$(mktemp -d "${TMPDIR:-/tmp}/kvd-guest.XXXXXX")
	guest_join_group || return 1
	[ -z "$guest_group" ] || keep=--keep-unit
	# The mount namespace holds the overlay and the tmpfs under it; both vanish with the container.
	unshare -m --propagation private bash -euc '
		tree=$1 stage=$2 dir=$3 shared=$4; shift 4
		mkdir -p "$dir/m"
		mount -t tmpfs -o size=3g guest "$dir/m"
		mkdir "$dir/m/upper" "$dir/m/work" "$dir/m/root"
		mount -t overlay -o lowerdir="$tree",upperdir="$dir/m/upper",workdir="$dir/m/work" guest "$dir/m/root"
		tar -C "$stage" --owner=0 --group=0 -cf - . | tar -C "$dir/m/root" --keep-directory-symlink -xf -
		mkdir -p "$dir/m/root/mnt/host" /run/systemd/nspawn
		mount -t tmpfs nspawn /run/systemd/nspawn
		exec env SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 systemd-nspawn --quiet --register=no "$@" \
			--directory="$dir/m/root" --bind="$shared:/mnt/host" --private-network --resolv-conf=off --timezone=off \
			--link-journal=no --console=pipe --boot systemd.show_status=0
	' - "$guest_tree" "$1" "$guest_dir" "$2" --machine="kvd-${guest_dir##*.}" $keep \
		</dev/null >"$guest_dir/console" 2>&1 &
	guest_nspawn=$!
	for i in $(seq 600); do
		kill -0 "$guest_nspawn" 2>/dev/null || break
		guest_is_up && return
		sleep 0.05
	done
	guest_note "the guest did not boot:"
	sed 's/^/# /' "$guest_dir/console" | tail -20
	return 1
}

guest_run()
{
	guest_enter systemd-run --quiet --pipe --wait --collect --unit=kvd-test -- "$@" </dev/null
}

guest_end()
{
	local i

	if [ -n "$guest_leader" ]; then
		kill -s RTMIN+4 "$guest_leader" 2>/dev/null || : # poweroff.target
		for i in $(seq 100); do
			kill -0 "$guest_nspawn" 2>/dev/null || break
			sleep 0.1
		done
		# With the guest's PID 1 goes everything in it; the end of nspawn alone would leave it running.
		kill -0 "$guest_nspawn" 2>/dev/null && kill -s KILL "$guest_leader" 2>/dev/null || :
	fi
	if [ -n "$guest_nspawn" ]; then
		kill -s KILL "$guest_nspawn" 2>/dev/null || :
		wait "$guest_nspawn" 2>/dev/null || :
	fi
	guest_leader='' guest_nspawn=''
	guest_leave_group
	[ -z "$guest_dir" ] || rm -rf "$guest_dir"
	guest_dir=
}
