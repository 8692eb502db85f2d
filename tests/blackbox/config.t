#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Configuration: what is read from where, what is refused and how it says so, reload, intervals of zero."""
import os
import re
import signal
import subprocess
import time

from kvdtest import *


def has(line):
    return lambda text: line in text.split("\n")


def starts(word):
    return lambda text: any(part.startswith(word) for part in text.split("\n"))


def write_config(kvd, text, name="kvd.conf"):
    path = os.path.join(kvd.dir, name)
    with open(path, "w") as f:
        f.write(text)
    return path


def setting(c, name):
    reply = c.must("CONFIG", "GET", name)
    return reply[1] if len(reply) == 2 else None


def test_reload():
    kvd = Kvd()
    config = write_config(kvd, "# comment\nmax-clients = 50\n")
    kvd.start("--config", config)
    c = kvd.client()
    is_(setting(c, "maxclients"), b"50", "the file is read")
    write_config(kvd, "max-clients = 60\n")
    os.kill(kvd.pid, signal.SIGHUP)
    ok(kvd.wait_note(starts("RELOADING=1")) is not None, "SIGHUP: RELOADING=1")
    note = next((n for _, n in kvd.notes if "RELOADING=1" in n), "")
    ok("MONOTONIC_USEC=" in note, "with MONOTONIC_USEC", note)
    ok(poll(lambda: setting(c, "maxclients") == b"60"), "SIGHUP: the new value is in force")
    reloaded = [i for i, (_, n) in enumerate(kvd.notes) if "RELOADING=1" in n]
    ok(poll(lambda: kvd.take_notes(0.01) and any(has("READY=1")(n) for _, n in kvd.notes[reloaded[-1]:])
        if reloaded else False),
       "then READY=1 again")
    log = len(kvd.log)
    write_config(kvd, "max-clients = 70\n\nmax-clients = many\n")
    os.kill(kvd.pid, signal.SIGHUP)
    ok(poll(lambda: config + ":3:" in kvd.log[log:]), "a bad file: the log names the line", kvd.log[log:])
    ok("max-clients" in kvd.log[log:], "and the option", kvd.log[log:])
    is_(setting(c, "maxclients"), b"60", "and the old one stays in force as a whole")
    ok(poll(lambda: any("max-clients" in n or "kvd.conf" in n for n in kvd.take_notes(0.01))), "STATUS= tells of it",
        str([n for _, n in kvd.notes[-4:]]))
    os.unlink(config)
    os.kill(kvd.pid, signal.SIGHUP)
    time.sleep(0.1)
    is_(c("PING"), b"PONG", "a missing file at reload harms nothing")
    is_(setting(c, "maxclients"), b"60", "and changes nothing")


BAD_CONFIG = [
    ("durability = sometimes\n", 1, "durability", ["always", "interval", "never"]),
    ("# fine\nmax-clients = -3\n", 2, "max-clients", []),
    ("max-clients = abc\n", 1, "max-clients", []),
    ("segment-size = 12\n", 1, "segment-size", []),
    ("databases = 0\n", 1, "databases", []),
    ("\n\nno-such-option = 1\n", 3, "no-such-option", []),
    ("max-clients\n", 1, "", []),
    ("expire-interval = soon\n", 1, "expire-interval", []),
    ("socket-mode = 999\n", 1, "socket-mode", []),
    ("log-level = loud\n", 1, "log-level", []),
]


def test_check_config():
    kvd = Kvd()
    good = write_config(kvd, "# a comment\n\nmax-clients = 100\ndurability = interval\nsegment-size = 16M\n")
    result = subprocess.run([DAEMON, "--check-config", "--config", good], capture_output=True, text=True)
    is_(result.returncode, 0, "--check-config of a good file ends with 0", result.stderr)
    for text, line, option, allowed in BAD_CONFIG:
        path = write_config(kvd, text, "bad.conf")
        result = subprocess.run([DAEMON, "--check-config", "--config", path], capture_output=True, text=True)
        out = result.stderr
        is_(result.returncode, EXIT_CONFIG, f"--check-config of {text.strip()!r} ends with 78", out)
        ok(path in out and re.search(rf"(:|line ){line}\b", out), "naming file and line", out)
        ok(option in out and all(a in out for a in allowed), "option and allowed values", out)
        code, log = kvd.fails("--config", path)
        is_(code, EXIT_CONFIG, "and so ends the start")
    for text, wrong in (("max-clients = 5\0\n", "a NUL byte"), ("\ufeffmax-clients = 5\n", "a byte order mark")):
        path = write_config(kvd, text, "bad.conf")
        result = subprocess.run([DAEMON, "--check-config", "--config", path], capture_output=True, text=True)
        ok(result.returncode == EXIT_CONFIG and f"{path}:1: " in result.stderr and wrong in result.stderr, f"what cannot be seen is told: {wrong}",
            result.stderr)
    result = subprocess.run([DAEMON, "--check-config", "--config", "/nonexistent/kvd.conf"],
        capture_output=True, text=True)
    ok(result.returncode == EXIT_CONFIG and "/nonexistent/kvd.conf" in result.stderr,
        "a file that is not there: 78 and its name", result.stderr)
    kvd.options = {"durability": "sometimes"}
    code, log = kvd.fails()
    ok(code == EXIT_CONFIG and "durability" in log, "a bad option on the command line: 78 and its name",
        f"{code} {log}")
    kvd.options = {}
    code, log = kvd.fails(env={"KVD_MAX_CLIENTS": "none"})
    ok(code == EXIT_CONFIG and re.search("max-clients|KVD_MAX_CLIENTS", log), "in the environment as well",
        f"{code} {log}")
    for flag in ("--version", "--help"):
        result = subprocess.run([DAEMON, flag], capture_output=True, text=True)
        ok(result.returncode == 0 and "kvd" in result.stdout, f"{flag} prints and ends with 0", result.stderr)


def test_precedence():
    kvd = Kvd()
    config = write_config(kvd, "max-clients = 50\n")
    kvd.start("--config", config, env={"KVD_MAX_CLIENTS": "51"})
    is_(setting(kvd.client(), "maxclients"), b"51", "the environment is above the file")
    kvd.stop()
    kvd.start("--config", config, "--max-clients=52", env={"KVD_MAX_CLIENTS": "51"})
    is_(setting(kvd.client(), "maxclients"), b"52", "the command line above both")


def files_of(c):
    """What INFO says of the program and its configuration."""
    info = dict(line.split(":", 1) for line in c.must("INFO", "server").decode().split("\r\n") if ":" in line)
    return info["executable"], info["config_file"]


def test_files_are_told():
    kvd = Kvd()
    config = write_config(kvd, "")
    kvd.start("--config", config)
    program, told = files_of(kvd.client())
    ok(os.path.samefile(program, f"/proc/{kvd.pid}/exe"), "INFO tells the path of the program", program)
    is_(told, config, "and of its configuration")
    kvd.client().must("CONFIG", "SET", "slowlog-max-len", 5)
    is_(files_of(kvd.client())[1], config, "also after a CONFIG SET")
    kvd.stop()
    kvd.start("--config", "kvd.conf", cwd=kvd.dir)
    is_(files_of(kvd.client())[1], os.path.realpath(config), "an absolute path, however it was given")
    kvd.stop()
    kvd.start(env={"XDG_CONFIG_HOME": kvd.dir + "/none"})
    told = files_of(kvd.client())[1]
    ok(told == "" or os.path.isfile(told), "or none when there is none", told)


def intervals():
    """Names of all options that are a time and may be 0."""
    with open(os.path.join(SOURCE, "src", "daemon", "options.def")) as f:
        return re.findall(r'^OPTION\(\w+, "([^"]+)", DURATION, "[^"]*", 0,', f.read(), re.M)


def test_zero_intervals():
    """Every interval at 0 means off; the start, the work and the stop go on (a store of old hung for ever)."""
    ok(len(intervals()) >= 7, "there are intervals", str(intervals()))
    for names in ("expire-interval",), ("durability-interval",), ("client-idle-timeout",), intervals():
        kvd = Kvd(**{name.replace("-", "_"): "0" for name in names}).start()
        c = kvd.client()
        name = names[0] if len(names) == 1 else "every interval"
        is_(c("SET", "a", "1", "PX", 30), OK, f"{name}=0: it writes")
        ok(poll(lambda: c("GET", "a") is None), f"{name}=0: keys expire when looked at")
        cpu = kvd.cpu()
        time.sleep(0.3)
        ok(kvd.cpu() - cpu < 0.15, f"{name}=0: and it does not spin")
        code, took = kvd.stop()
        ok(code == 0 and took < 2 * PATIENCE, f"{name}=0: it stops ({took:.2f} s)", f"code {code}")
    kvd = Kvd(**{name.replace("-", "_"): "1ms" for name in intervals() if name != "client-idle-timeout"}).start()
    c = kvd.client()
    is_([c("CONFIG", "SET", name, "0") for name in intervals()], [OK] * len(intervals()), "each can be set to 0 while kvd runs, from one millisecond")
    is_(c("SET", "a", "1"), OK, "it writes")
    is_(kvd.stop()[0], 0, "and stops")


def info(c, name):
    return int(re.search(rb"^" + name.encode() + rb":(\d+)", c.must("INFO", "everything"), re.M)[1])


def syncs_per_write(c):
    """How many syncs ten writes, one after the other, bring, and whether the last is still to be synced."""
    before = info(c, "kvd_syncs")
    for i in range(10):
        c.must("SET", "policy", i)
    return info(c, "kvd_syncs") - before, info(c, "aof_pending_bio_fsync")


def check_policy(c, policy, name, how):
    """That the policy in force is this one, by what the store does."""
    is_(setting(c, "appendfsync"), policy.encode(), f"{how}: CONFIG GET appendfsync says {policy}")
    is_(setting(c, "durability"), name.encode(), f"{how}: durability says {name}")
    if policy == "always":
        syncs, pending = syncs_per_write(c)
        ok(syncs >= 10 and not pending, f"{how}: {syncs} syncs for 10 writes")
        return
    for _ in range(5):  # the interval may end in between: it does not end each time
        syncs, pending = syncs_per_write(c)
        if pending and syncs < 5:
            break
    ok(pending and syncs < 5, f"{how}: {syncs} syncs for 10 writes, the last is not yet synced")
    if policy == "everysec":
        ok(poll(lambda: info(c, "aof_pending_bio_fsync") == 0, 5), f"{how}: but it is soon")


def test_policy_reaches_store():
    kvd = Kvd()
    config = write_config(kvd, "durability = always\n")
    kvd.start("--config", config)
    c = kvd.client()
    check_policy(c, "always", "always", "at the start")
    is_(c("CONFIG", "SET", "appendfsync", "no"), OK, "CONFIG SET appendfsync no")
    check_policy(c, "no", "never", "CONFIG SET")
    time.sleep(1.2)  # longer than an interval would be
    is_(info(c, "aof_pending_bio_fsync"), 1, "CONFIG SET: nothing is synced by time")
    is_(c("CONFIG", "SET", "appendfsync", "everysec"), OK, "CONFIG SET appendfsync everysec")
    check_policy(c, "everysec", "interval", "CONFIG SET")
    is_(setting(c, "durability-interval"), b"1s", "CONFIG SET: of one second")
    is_(c("CONFIG", "SET", "durability", "never"), OK, "CONFIG SET durability never")
    c.must("SET", "policy", "x")
    is_(c("CONFIG", "SET", "appendfsync", "always"), OK, "CONFIG SET appendfsync always")
    ok(poll(lambda: info(c, "aof_pending_bio_fsync") == 0, 5), "what the weaker policy left is synced at once")
    check_policy(c, "always", "always", "CONFIG SET")
    for bad in ("often", "", "yes"):
        reply = c("CONFIG", "SET", "appendfsync", bad)
        ok(isinstance(reply, Error), f"CONFIG SET appendfsync {bad!r} is refused", repr(reply))
    reply = c("CONFIG", "SET", "appendfsync", "no", "maxclients", "many")
    ok(isinstance(reply, Error), "and so is a good value beside a bad one", repr(reply))
    check_policy(c, "always", "always", "after that")

    for policy, name in (("no", "never"), ("everysec", "interval"), ("always", "always")):
        write_config(kvd, f"durability = {name}\n")
        os.kill(kvd.pid, signal.SIGHUP)
        poll(lambda: setting(c, "durability") == name.encode())
        check_policy(c, policy, name, "SIGHUP")


def test_sizes_reach_store():
    kvd = Kvd()
    config = write_config(kvd, "segment-size = 64M\n")
    kvd.start("--config", config)
    c = kvd.client()
    value = rng("sizes").randbytes(300 << 10)

    def segments_made():
        before = info(c, "kvd_segments")
        for i in range(12):
            c.must("SET", f"size{i}", value)
        return info(c, "kvd_segments") - before

    is_(segments_made(), 0, "3.6 MB fit a segment of 64 MiB")
    is_(c("CONFIG", "SET", "segment-size", "1M"), OK, "CONFIG SET segment-size 1M")
    ok(segments_made() >= 3, "and the same again takes several of 1 MiB")
    write_config(kvd, "segment-size = 64M\nmax-value-size = 100K\ncache-size = 1M\n")
    os.kill(kvd.pid, signal.SIGHUP)
    ok(poll(lambda: setting(c, "segment-size") == b"64M"), "SIGHUP: segment-size")
    try:
        c.post("SET", "size0", value)
    except OSError:
        pass  # it may close before all is sent
    reply = c.rest()
    ok(reply.startswith(b"-ERR Protocol error: invalid bulk length, the limit is 102400"),
        "SIGHUP: a value above max-value-size is refused", repr(reply)[:100])
    ok(poll(lambda: "cache-size is changed only at the next start" in kvd.log), "SIGHUP: what cannot change is named",
        kvd.log)
    c = kvd.client()
    is_(setting(c, "cache-size"), b"", "and keeps what is in force")
    reply = c("CONFIG", "SET", "cache-size", "1M")
    ok(isinstance(reply, Error) and "immutable" in reply.text, "CONFIG SET cache-size says so, too", repr(reply))
    c.must("SET", "part", "x" * 1000)
    reply = c("SETRANGE", "part", 100 << 10, "x")
    ok(isinstance(reply, Error) and "exceeds maximum allowed size" in reply.text,
        "the store itself knows the new limit", repr(reply))
    is_(c("CONFIG", "SET", "proto-max-bulk-len", "1mb"), OK, "CONFIG SET proto-max-bulk-len")
    is_(c("SETRANGE", "part", 100 << 10, "x"), (100 << 10) + 1, "raises it again")
    is_(c("SET", "size0", value), OK, "also for arguments")
    kvd.stop()
    kvd.start("--config", config)
    c = kvd.client()
    is_(setting(c, "cache-size"), b"1M", "at the next start the file's cache-size is in force")
    ok(c("GET", "size1") == value, "values above a lowered limit stay readable")


def options():
    """{name: may change at run time}, by kvd --help."""
    text = subprocess.run([DAEMON, "--help"], capture_output=True, text=True, check=True).stdout
    return {part.split(" = ")[0].strip(): "may change at run time" in part for part in text.split("\n\n") if " = " in part}


def test_each_option():
    kvd = Kvd().start()
    c = kvd.client()
    found = options()
    ok(len(found) > 30 and len(set(found.values())) == 2, f"--help names {len(found)} options, of both kinds")
    wrong = []
    for name, reloadable in found.items():
        reply = c("CONFIG", "SET", name, setting(c, name))
        if (reply == OK) != reloadable or (not reloadable and "immutable" not in reply):
            wrong.append(f"{name}: {reply!r}")
    is_(wrong, [], "CONFIG SET takes each one that may change at run time, and says of the others that they may not")
    reply = c("CONFIG", "SET", "appendonly", "no")
    ok("argument 'appendonly') - only 'yes' is possible" in reply, "appendonly is yes", repr(reply))


def test_idle_timeout():
    kvd = Kvd(client_idle_timeout="1s").start()
    idle = kvd.client()
    idle.must("PING")
    ok(idle.closed(), "an idle client is closed after client-idle-timeout")
    busy = None

    def talk():
        """Every half a second at the latest, or it is idle itself."""
        nonlocal busy
        time.sleep(0.1)
        try:
            busy = busy or kvd.client()
            busy.must("PING")
            return ""
        except (Closed, OSError) as error:
            busy = None
            return repr(error)

    wrong, end = "", time.monotonic() + 2.5
    while time.monotonic() < end and not wrong:
        wrong = in_time(talk, 0.5)
    is_(wrong, "", "one that talks is not")


run(test_reload, test_check_config, test_precedence, test_files_are_told, test_zero_intervals, test_policy_reaches_store,
    test_sizes_reach_store, test_each_option, test_idle_timeout)
