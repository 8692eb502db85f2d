#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The life of the Debian package: installed, used, upgraded, removed, purged. Runs inside the guest."""
import glob
import os

from guest import *

DEBS = "/var/debs"
TESTS = "/usr/share/kvd-tests/tests"


def deb(name):
    return next(p for p in sorted(glob.glob(f"{DEBS}/{name}_*.deb")))


def install(*names):
    return sh("dpkg", "-i", *map(deb, names or ["kvd"]), env={"DEBIAN_FRONTEND": "noninteractive"})


def everything():
    """All files there are; not what the system itself writes down: the packages it knows, the journal, who and what there is."""
    own = ("/dev", "/proc", "/run", "/sys", "/tmp", "/mnt", DEBS, "/var/lib/dpkg", "/var/log", "/var/cache", "/var/tmp")
    found = set()
    for folder, folders, files in os.walk("/"):
        folders[:] = [name for name in folders if os.path.join(folder, name) not in own]
        found |= {os.path.join(folder, name) for name in folders + files}
    return found


before = everything()


def check_install():
    result = install()
    is_(result.code, 0, "dpkg -i kvd works", result)
    is_((is_active(SOCKET), is_active(SERVICE)), (True, True), "socket and service are started", status_text())
    is_(must("systemctl", "is-enabled", SOCKET, SERVICE).split(), ["enabled", "enabled"], "and enabled")
    is_(sh("systemctl", "--global", "is-enabled", "kvd.socket").out.strip(), "disabled", "but no user's own")
    is_((kvctl("set", "deb", "1").code, kvctl("get", "deb").out.strip()), (0, "1"), "it takes and gives")
    ok(pwd.getpwnam("kvd").pw_uid > 0, "the user kvd is there")
    is_(show(SERVICE, "NRestarts"), "0", "nothing was tried twice")


def check_own_tests():
    for name in ("smoke", "restart", "crash", "moved"):
        result = sh(f"{TESTS}/{name}", seconds=120)
        is_(result.code, 0, f"debian/tests/{name}", result, status_text())
        sh("systemctl", "reset-failed")


def check_reload():
    before = main_pid()
    write(DROP_IN, "max-clients = 77\n")
    result = kvctl("reload")
    with Client(PATH) as c:
        is_((result.code, c("CONFIG", "GET", "maxclients"), main_pid()), (0, [b"maxclients", b"77"], before), "kvctl reload", result)
    write(DROP_IN, "max-clients = many\n")
    result = kvctl("reload")
    ok(result.code == 1 and "systemctl status kvd.service" in result.err, "kvctl reload of a bad configuration fails", result)
    remove(DROP_IN)
    is_(kvctl("reload").code, 0, "and without it works again")


def check_upgrade():
    kvctl("set", "before", "upgrade")
    pid = main_pid()
    load = Load()
    result = install()
    load.end()
    is_(result.code, 0, "an upgrade works", result)
    ok(main_pid() != pid and is_active(), "and restarts the service")
    is_(load.failed[:3], [], f"none of {load.done} requests was refused, the slowest took {load.slowest:.2f} s")
    is_(kvctl("get", "before").out.strip(), "upgrade", "the data is there")


def check_removal():
    kvctl("set", "before", "removal")
    is_(sh("dpkg", "-r", "kvd").code, 0, "dpkg -r kvd works")
    ok(not os.path.exists(PATH) and os.path.exists(DATA + "/CATALOG"), "the socket is gone, the data is kept")
    is_(install().code, 0, "installed again")
    is_(kvctl("get", "before").out.strip(), "removal", "it is found")
    result = sh("dpkg", "--purge", "kvd")
    is_(result.code, 0, "dpkg --purge kvd works", result)
    left = [p for p in (DATA, "/etc/kvd", "/run/kvd/kvd.sock", "/usr/sbin/kvd") if os.path.lexists(p)]
    is_(left, [], "and leaves neither data nor configuration")


def check_library():
    is_(install("libkvdstore0", "libkvdstore-dev").code, 0, "dpkg -i of the library and of what programs are built with works")
    ok("libkvdstore.so.0 " in sh("ldconfig -p").out, "the library is found")
    result = sh("dpkg", "--purge", "libkvdstore-dev", "libkvdstore0")
    is_(result.code, 0, "dpkg --purge of both works", result)
    ok("libkvdstore" not in sh("ldconfig -p").out, "and it is found no more")


def check_nothing_left():
    """But the user, who may own files elsewhere."""
    of_users = ("group-", "gshadow-", "passwd-", "shadow-", "subgid-", "subuid-", ".pwd.lock")
    is_(sorted(everything() - before - {"/etc/" + name for name in of_users}), [], "of all packages nothing is left after their purge")
    known = must("systemctl", "list-unit-files", "--no-legend", "kvd*") + "\n" + must("systemctl", "list-units", "--all", "--no-legend", "kvd*")
    units = [line for line in known.splitlines() if line and "kvd-test.service" not in line]  # these checks themselves are one
    is_(units, [], "the service manager knows nothing of them")


tap.run(check_install, check_own_tests, check_reload, check_upgrade, check_removal, check_library, check_nothing_left)
