# SPDX-License-Identifier: MIT
"""The life of kvd.service: start, reload, restart, death, watchdog, stop."""
import re

from guest import *

CAP_SYS_RESOURCE = 24


def check_start():
    """The first start, of a system on which kvd has just been installed."""
    must("systemd-sysusers")
    must("systemctl", "daemon-reload")
    begun = time.monotonic()
    result = sh("systemctl", "start", SOCKET, SERVICE)
    is_(result.code, 0, f"systemctl start ends with 0 ({time.monotonic() - begun:.2f} s)", result, status_text())
    ok(is_active() and is_active(SOCKET), "service and socket are active")
    is_(show(SERVICE, "Type"), "notify", "started means READY=1 came")
    is_(kvctl("set", "greeting", "hello").code, 0, "kvctl set works at once")
    is_(kvctl("get", "greeting").out.strip(), "hello", "and kvctl get")
    ok(poll(lambda: re.search(r"^1 key", status_text()), 3), "STATUS tells the number of keys", status_text())
    text = sh("systemctl", "status", "--no-pager", SERVICE).out
    ok(re.search(r'Status: ".*key', text), "and systemctl status shows it", text)


def check_process():
    pid = main_pid()
    is_(file_of(pid, "comm").strip(), "kvd", "the main process is kvd")
    status = file_of(pid, "status")
    uid = pwd.getpwnam("kvd").pw_uid
    is_(re.search(r"^Uid:\t(.*)", status, re.M)[1].split(), [str(uid)] * 4, "it runs as kvd")
    is_(re.search(r"^CapEff:\t(\w+)", status, re.M)[1].strip("0"), "", "without any capability")
    is_(re.search(r"^NoNewPrivs:\t(\d)", status, re.M)[1], "1", "and can gain none")
    is_(re.search(r"^Seccomp:\t(\d)", status, re.M)[1], "2", "behind a system call filter")
    is_((show(SERVICE, "LimitNOFILE"), show(SERVICE, "OOMScoreAdjust")), ("65536", "-200"), "LimitNOFILE and OOMScoreAdjust are set")
    if int(re.search(r"^CapEff:\t(\w+)", file_of(1, "status"), re.M)[1], 16) & 1 << CAP_SYS_RESOURCE:
        limit = re.search(r"^Max open files\s+(\d+)", file_of(pid, "limits"), re.M)
        is_(limit[1], "65536", "LimitNOFILE is in force")
        is_(file_of(pid, "oom_score_adj").strip(), "-200", "OOMScoreAdjust is in force")
    else:
        skip("LimitNOFILE and OOMScoreAdjust are in force", "the guest's service manager may not raise limits")
    is_(show(SERVICE, "NRestarts"), "0", "nothing was started twice")


def check_few_descriptors():
    edit_unit(SERVICE, "[Service]\nLimitNOFILE=256\n")
    since = cursor()
    is_(sh("systemctl", "restart", SERVICE).code, 0, "with LimitNOFILE=256 it starts")
    said = [e for e in entries(since) if "LimitNOFILE" in e["MESSAGE"]]
    ok(said and said[0]["PRIORITY"] == "4", "and warns", texts(entries(since)))
    ok(said and re.search(r"allows [12]?\d\d\b", said[0]["MESSAGE"]), "with the number of clients it allows", texts(said))


def check_reload():
    with Client(PATH) as c:
        write(DROP_IN, "max-clients = 1234\n")
        result = sh("systemctl", "reload", SERVICE)
        is_(result.code, 0, "systemctl reload with a good file ends with 0", result)
        ok(poll(lambda: c("CONFIG", "GET", "max-clients") == [b"max-clients", b"1234"]), "its value is in force",
            c("CONFIG", "GET", "max-clients"))
        since, pid = cursor(), main_pid()
        write(DROP_IN, "log-level = info\nmax-clients = many\n")
        result = sh("systemctl", "reload", SERVICE)
        ok(result.code != 0, "systemctl reload with a bad file fails", result)
        ok(is_active() and main_pid() == pid, "and the daemon goes on")
        failed = lambda: entries(since, MESSAGE_ID="4b2f2017efbc42e086ea887779fdcf8e")
        ok(poll(failed, 3), "the journal has the reason under its id", texts(entries(since)))
        ok(all(f"{DROP_IN}:2" in e["MESSAGE"] and "max-clients" in e["MESSAGE"] and e["PRIORITY"] == "3"
            for e in failed()), "with file, line and option", texts(failed()))
        ok(f"{DROP_IN}:2" in status_text(), "STATUS has it too", status_text())
        c.must("SET", "something", "new")
        time.sleep(2.2)  # two of the daemon's own turns of STATUS
        ok(f"{DROP_IN}:2" in status_text(), "and keeps it while clients work", status_text())
        is_(c("CONFIG", "GET", "max-clients"), [b"max-clients", b"1234"], "the old configuration is in force")
        is_(c("CONFIG", "GET", "log-level"), [b"log-level", b"notice"], "as a whole")
        write(DROP_IN, "max-clients = 4321\n")
        is_(sh("systemctl", "reload", SERVICE).code, 0, "a mended file is taken")
        ok(poll(lambda: DROP_IN not in status_text(), 3), "and STATUS forgets the complaint", status_text())


def check_restart_under_load():
    load = Load()
    poll(lambda: load.done > 200)
    took = 0.0
    for _ in range(3):
        begun = time.monotonic()
        must("systemctl", "restart", SERVICE)
        took = max(took, time.monotonic() - begun)
    before = load.done
    poll(lambda: load.done > before + 200)
    load.end()
    ok(load.done > 400, f"clients worked over three restarts ({load.done} requests)")
    is_(load.failed[:3], [], f"none of {load.done} requests failed")
    ok(load.slowest < (took + 1) * PATIENCE, f"slowest {load.slowest * 1000:.0f} ms, slowest restart {took * 1000:.0f} ms")


def check_kill():
    with Client(PATH) as c:
        c.must("SET", "before", "the crash")
    pid, begun = main_pid(), time.monotonic()
    os.kill(pid, signal.SIGKILL)
    with Client(PATH, timeout=20) as c:
        is_(c("GET", "before"), b"the crash", "after kill -9 a client that just connects is served, and the data is there")
    took = time.monotonic() - begun
    ok(took < 3 * PATIENCE, f"within {3 * PATIENCE:g} s ({took:.2f} s)")
    ok(main_pid() not in (0, pid), "by another process")
    is_(show(SERVICE, "NRestarts"), "1", "that systemd started")


def check_watchdog():
    interval = 3
    is_(show(SERVICE, "WatchdogUSec"), "30s", "WatchdogSec is 30 s")
    edit_unit(SERVICE, f"[Service]\nWatchdogSec={interval}s\n")
    must("systemctl", "restart", SERVICE)
    with Client(PATH) as c:
        c.must("SET", "before", "the hang")
        time.sleep(interval + 1)
        is_(c("PING"), b"PONG", "a healthy daemon lives longer than the interval")
    pid, since, begun = main_pid(), cursor(), time.monotonic()
    os.kill(pid, signal.SIGSTOP)
    with Client(PATH, timeout=60) as c:
        try:
            value = c("GET", "before")
        except Exception:  # the one that hung took this connection with it
            value = None
    if value is None:
        with Client(PATH, timeout=60) as c:
            value = c("GET", "before")
    took = time.monotonic() - begun
    is_(value, b"the hang", "a stopped daemon is replaced, and the data is there")
    ok(took < interval + 2 * PATIENCE, f"within the interval and {2 * PATIENCE:g} s ({took:.2f} s of {interval})")
    ok(main_pid() not in (0, pid), "the old process is gone")
    ok(any("Watchdog timeout" in line for line in manager_lines(since)), "by the watchdog", manager_lines(since))


def check_bad_configuration():
    write(DROP_IN, "durability = sometimes\n")
    since = cursor()
    result = sh("systemctl", "restart", SERVICE)
    ok(result.code != 0, "systemctl start with a bad configuration fails", result)
    is_(show(SERVICE, "ExecMainStatus"), "78", "with exit status 78")
    time.sleep(2.5)  # more than RestartSec: a second start would be seen
    is_((show(SERVICE, "ActiveState"), show(SERVICE, "NRestarts")), ("failed", "0"), "and is not tried again")
    ok(f"{DROP_IN}:1" in status_text(), "STATUS says why", status_text())
    found = [e for e in entries(since) if f"{DROP_IN}:1" in e["MESSAGE"]]
    ok(found and all(e["PRIORITY"] == "3" for e in found), "and so does the journal, as an error", texts(entries(since)))
    ok(any(e.get("MESSAGE_ID") for e in found), "with a message id", found)
    remove(DROP_IN)
    is_(sh("systemctl", "start", SERVICE).code, 0, "with the file mended it starts")


def check_stop():
    with Client(PATH) as c:
        for i in range(2000):
            c.must("SET", f"stop:{i}", i)
    since, begun = cursor(), time.monotonic()
    is_(sh("systemctl", "stop", SERVICE).code, 0, "systemctl stop of the service ends with 0")
    took = time.monotonic() - begun
    ok(took < 1 * PATIENCE, f"within {PATIENCE:g} s when idle ({took:.2f} s)")
    is_((show(SERVICE, "Result"), show(SERVICE, "ExecMainStatus")), ("success", "0"), "cleanly, with 0")
    ok(os.path.exists(PATH) and is_active(SOCKET), "the socket stays while its unit is active")
    ok(entries(since, MESSAGE_ID="5fbe69c7383e4a3f9e4a6af7847799c2"), "the journal says that it stopped", texts(entries(since)))
    is_(kvctl("get", "stop:1999").out.strip(), "1999", "the next client starts it again")
    load = Load(threads=4)
    poll(lambda: load.done > 200)
    begun = time.monotonic()
    code = sh("systemctl", "stop", SOCKET, SERVICE).code
    took = time.monotonic() - begun
    load.end()
    ok(code == 0 and took < 5 * PATIENCE, f"under load it stops within {5 * PATIENCE:g} s ({took:.2f} s)")
    is_(show(SERVICE, "ExecMainStatus"), "0", "cleanly")
    ok(not os.path.exists(PATH), "with its unit stopped the socket is gone")


def check_stop_with_greedy_client():
    """A client that never reads what it asked for must not hold the stop."""
    with Client(PATH) as c:
        c.must("SET", "large", b"x" * (1 << 20))
        c.send(request("GET", "large") * 50)
        begun = time.monotonic()
        must("systemctl", "stop", SERVICE)
        took = time.monotonic() - begun
        ok(took < 7 * PATIENCE, f"a client that reads nothing holds the stop for no more than {7 * PATIENCE:g} s ({took:.2f} s)")
        is_(show(SERVICE, "Result"), "success", "and it is a clean one")
