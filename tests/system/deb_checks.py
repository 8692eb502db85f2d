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


def install():
    return sh("dpkg", "-i", deb("kvd"), env={"DEBIAN_FRONTEND": "noninteractive"})


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


tap.run(check_install, check_own_tests, check_reload, check_upgrade, check_removal)
