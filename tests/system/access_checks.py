# SPDX-License-Identifier: MIT
"""Who may use kvd, instances beside the first, and the units themselves."""
import grp
import re
import stat

from guest import *


def mode_of(path):
    st = os.lstat(path)
    return (stat.S_IMODE(st.st_mode), pwd.getpwuid(st.st_uid).pw_name, grp.getgrgid(st.st_gid).gr_name)


def check_access():
    is_(mode_of(PATH), (0o660, "kvd", "kvd"), "the socket is 0660 kvd:kvd")
    is_(mode_of("/run/kvd")[0], 0o755, "everybody gets as far as the socket")
    is_(mode_of(DATA), (0o700, "kvd", "kvd"), "the data directory is kvd's, and nobody else's")
    open_files = [p for p in must("find", DATA, "-type", "f", "-perm", "/077").split("\n") if p]
    is_(open_files, [], "so are the files in it")
    make_user("member", "kvd")
    make_user("stranger")
    is_(kvctl("set", "a", "1").code, 0, "root may write")
    is_(kvctl("get", "a", user="member").out.strip(), "1", "a member of the group may read")
    is_(kvctl("set", "a", "2", user="member").code, 0, "and write")
    result = kvctl("get", "a", user="stranger")
    ok(result.code != 0 and result.out == "", "others may not", result)
    ok('"kvd"' in result.err and "adduser stranger kvd" in result.err, "and are told which group to join", result)
    ok(sh(f"cat {DATA}/*", user="member").code != 0, "not even a member reads the files")


def check_units():
    units = [f"{where}/{name}" for where in ("system", "user") for name in ("kvd.service", "kvd.socket")]
    units += ["system/kvd@.service", "system/kvd@.socket"]
    os.makedirs("/tmp/runtime", mode=0o700, exist_ok=True)
    for unit in units:
        path = "/usr/lib/systemd/" + unit
        # A template has to be given a name to be looked at.
        path = path.replace("@.", "@other.")
        scope = ["--user"] if unit.startswith("user/") else []
        result = sh("systemd-analyze", *scope, "--man=no", "verify", path,
            env={"XDG_RUNTIME_DIR": "/tmp/runtime"} if scope else {})
        is_((result.code, result.text), (0, ""), f"systemd-analyze verify {unit} has nothing to say")
    for unit in (SERVICE, "kvd@other.service"):
        text = must("systemd-analyze", "--no-pager", "security", unit)
        figure = re.search(r"exposure level for \S+: ([\d.]+)", text)
        ok(figure and float(figure[1]) <= 0.3, f"systemd-analyze security {unit}: {figure and figure[1]}", text)
    text = must("systemctl", "cat", SERVICE)
    ok("RuntimeDirectory=" not in text, "no RuntimeDirectory takes the socket's directory away")
    ok("Also=" not in text, "no Also= drags the socket along")


def check_instance():
    write("/etc/kvd/other.conf", "databases = 3\n")
    path, unit = "/run/kvd/other.sock", "kvd@other.service"
    result = sh("systemctl", "start", "kvd@other.socket", unit)
    is_(result.code, 0, "kvd@other starts", result, status_text(unit))
    is_(mode_of(path), (0o660, "kvd", "kvd"), "with a socket of its own")
    is_(mode_of(DATA + "/other")[0], 0o700, "and a directory of its own")
    with Client(path) as other, Client(PATH) as first:
        is_(other("CONFIG", "GET", "databases"), [b"databases", b"3"], "and a configuration of its own")
        other.must("SET", "whose", "other")
        first.must("SET", "whose", "first")
        is_(other("GET", "whose"), b"other", "their data is apart")
    is_(kvctl("--socket", path, "get", "whose").out.strip(), "other", "kvctl --socket finds it")
    os.kill(main_pid(unit), signal.SIGKILL)
    with Client(path, timeout=20) as c:
        is_(c("GET", "whose"), b"other", "killed, it comes back")
    must("systemctl", "restart", SERVICE)
    ok(is_active(unit) and answers(path), "a restart of the first leaves it alone")
    must("systemctl", "stop", "kvd@other.socket", unit)
    ok(not os.path.exists(path) and os.path.exists(PATH), "stopped, it takes its socket along and no other")


def check_user_instance():
    user = make_user("somebody")
    must("loginctl", "enable-linger", "somebody")
    runtime = f"/run/user/{user.pw_uid}"
    if not poll(lambda: os.path.exists(runtime + "/bus"), 20):
        raise Skip("no service manager for users here")
    env = {"XDG_RUNTIME_DIR": runtime, "DBUS_SESSION_BUS_ADDRESS": f"unix:path={runtime}/bus", "HOME": user.pw_dir}
    result = sh("systemctl", "--user", "start", "kvd.socket", "kvd.service", user="somebody", env=env)
    is_(result.code, 0, "systemctl --user start kvd works", result,
        sh("journalctl", "-n", "20", "--no-pager", f"_UID={user.pw_uid}").out)
    is_(mode_of(runtime + "/kvd/kvd.sock")[0], 0o600, "its socket is for that user alone")
    is_(kvctl("set", "mine", "1", user="somebody", env=env).code, 0, "kvctl of that user")
    is_(kvctl("get", "mine", user="somebody", env=env).out.strip(), "1", "finds it by itself")
    ok(os.path.exists(user.pw_dir + "/.local/state/kvd/CATALOG"), "the data is in the home directory")
    is_(kvctl("get", "mine").out.strip(), "", "the system's kvd knows nothing of it")
    result = sh("systemctl", "--user", "restart", "kvd.service", user="somebody", env=env)
    is_((result.code, kvctl("get", "mine", user="somebody", env=env).out.strip()), (0, "1"), "a restart keeps the data", result)
    is_(sh("systemctl", "--user", "reload", "kvd.service", user="somebody", env=env).code, 0, "reload works")
    is_(sh("systemctl", "--user", "stop", "kvd.socket", "kvd.service", user="somebody", env=env).code, 0, "and so does stop")
    ok(not os.path.exists(runtime + "/kvd/kvd.sock"), "the socket is gone")
