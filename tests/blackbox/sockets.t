#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The socket and the data directory: whose they are, what is never touched, who may open them."""
import os
import shutil
import socket
import stat
import subprocess

from kvdtest import *


def has(line):
    return lambda text: line in text.split("\n")


def test_socket_activation():
    for way in ("systemd-socket-activate", "LISTEN_FDS"):
        kvd = Kvd()
        if way == "LISTEN_FDS":
            s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            s.bind(kvd.socket)
            s.listen(100)
            waiting = kvd.client()
            waiting.post("PING")

            def before():
                os.dup2(s.fileno(), 3)
                os.set_inheritable(3, True)

            shell = 'LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=kvd exec "$@"'
            kvd.start(wait=False, wrap=["sh", "-c", shell, "sh"], before=before, pass_fds=(3, s.fileno()))
            s.close()
        else:
            if not shutil.which(way):
                skip(f"activation by {way}", "not here")
                continue
            kvd.start(wait=False, wrap=[way, "-l", kvd.socket, "--fdname=kvd", "-E", "NOTIFY_SOCKET"])
            if not poll(lambda: os.path.exists(kvd.socket), 5):
                ok(False, f"{way} listens", kvd.log)
                continue
            waiting = kvd.client()
            waiting.post("PING")
        try:
            kvd.wait_ready()
        except RuntimeError as error:
            ok(False, f"{way}: it starts", str(error))
            continue
        is_(waiting.read(), b"PONG", f"{way}: a client that came before the daemon is served")
        inode = os.stat(kvd.socket).st_ino
        is_(waiting("SET", "a", "1"), OK, f"{way}: it works")
        code, took = kvd.stop()
        is_(code, 0, f"{way}: SIGTERM ends with 0")
        ok(os.path.exists(kvd.socket) and os.stat(kvd.socket).st_ino == inode,
            f"{way}: a socket file of others is not removed")


def test_stale_socket():
    kvd = Kvd().start()
    kvd.client().must("SET", "a", "1")
    kvd.kill9()
    ok(os.path.exists(kvd.socket), "kill -9 leaves the socket file")
    kvd.start()
    is_(kvd.client()("GET", "a"), b"1", "a stale socket is taken over")


def test_live_socket():
    first = Kvd().start()
    second = Kvd()
    second.socket = first.socket
    code, log = second.fails()
    is_(code, EXIT_LOCKED, "a live socket is never taken over: 73", log)
    ok(first.socket in log, "and named", log)
    is_(first.client()("PING"), b"PONG", "its owner goes on")
    foreign = Kvd()
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.bind(foreign.socket)
    s.listen(1)
    code, log = foreign.fails()
    is_(code, EXIT_LOCKED, "nor one of another program", log)
    ok(os.path.exists(foreign.socket), "it is still there")
    s.close()


def test_not_a_socket():
    kvd = Kvd()
    with open(kvd.socket, "w") as f:
        f.write("precious")
    code, log = kvd.fails()
    ok(code not in (0, None) and code > 0, f"a file at the socket path refuses the start ({code})", log)
    ok(kvd.socket in log, "naming it", log)
    is_(open(kvd.socket).read(), "precious", "and is untouched")
    os.unlink(kvd.socket)
    victim = os.path.join(kvd.dir, "victim")
    with open(victim, "w") as f:
        f.write("precious")
    os.symlink(victim, kvd.socket)
    code, log = kvd.fails()
    ok(code not in (0, None) and code > 0, f"a symlink at the socket path refuses the start ({code})", log)
    ok(os.path.islink(kvd.socket) and open(victim).read() == "precious",
        "and is neither removed nor followed")
    os.unlink(kvd.socket)
    dead = os.path.join(kvd.dir, "dead")
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.bind(dead)
    s.close()
    os.symlink(dead, kvd.socket)
    code, log = kvd.fails()
    ok(os.path.islink(kvd.socket) and os.path.exists(dead), f"nor is a symlink to a dead socket ({code})",
        log)
    os.unlink(kvd.socket)
    os.mkdir(kvd.socket)
    code, log = kvd.fails()
    ok(code not in (0, None) and os.path.isdir(kvd.socket), f"nor a directory ({code})", log)


def mode(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


def test_modes():
    old = os.umask(0)
    try:
        kvd = Kvd(segment_size="1M").start()
        is_(oct(mode(kvd.socket)), "0o660", "the socket is 0660 by default, whatever the umask")
        c = kvd.client()
        for i in range(30):
            c.must("SET", f"k{i}", b"x" * 100000)
        bad = [f"{name} {oct(mode(os.path.join(root, name)))}" for root, dirs,
            files in os.walk(kvd.data) for name in files
               if mode(os.path.join(root, name)) & 0o077]
        is_(bad, [], "data files are for the owner only")
        bad = [name for root, dirs, files in os.walk(kvd.data) for name in dirs
            if mode(os.path.join(root, name)) & 0o077]
        is_(bad, [], "so are directories")
        kvd.stop()
        bad = [f"{name} {oct(mode(os.path.join(root, name)))}" for root, dirs,
            files in os.walk(kvd.data) for name in files
               if mode(os.path.join(root, name)) & 0o077]
        is_(bad, [], "also after the stop")
        for wanted in ("0600", "0666"):
            kvd = Kvd(socket_mode=wanted).start()
            is_(oct(mode(kvd.socket)), "0o" + wanted.lstrip("0"), f"socket-mode={wanted}")
    finally:
        os.umask(old)


def test_bad_directory():
    kvd = Kvd()
    os.rmdir(kvd.data)
    kvd.start(wait=False)
    if kvd.wait_note(has("READY=1"), 5):
        is_(oct(mode(kvd.data)), "0o700", "a missing data directory is made, for the owner only")
        kvd.kill9()
        shutil.rmtree(kvd.data)
    else:
        code, log = kvd.wait_exit(1), kvd.log
        ok(code is not None and 64 <= code <= 78 and kvd.data in log,
            f"a missing data directory: a clear message ({code})", log)
    with open(kvd.data, "w") as f:
        f.write("precious")
    code, log = kvd.fails()
    ok(code is not None and 64 <= code <= 78 and kvd.data in log,
        f"a file in its place: a clear message ({code})", log)
    is_(open(kvd.data).read(), "precious", "and it is untouched")
    os.unlink(kvd.data)
    os.mkdir(kvd.data)
    os.chmod(kvd.data, 0o777)
    code, log = kvd.fails()
    ok(code is not None and 64 <= code <= 78 and kvd.data in log,
        f"a directory others can write: refused ({code})", log)
    is_(os.listdir(kvd.data), [], "nothing was made in it")
    os.chmod(kvd.data, 0o700)
    with open(os.path.join(kvd.data, "foreign"), "w") as f:
        f.write("precious")
    kvd.start(wait=False)
    kvd.wait_note(has("READY=1"), 3)
    is_(open(os.path.join(kvd.data, "foreign")).read(), "precious",
        "a foreign file in the directory is untouched")


def test_read_only_directory():
    kvd = Kvd()
    if os.geteuid() != 0:
        os.chmod(kvd.data, 0o500)
        wrap = []
    else:
        need("unshare")
        if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode != 0:
            raise Skip("no mounts here")
        script = f"mount --bind {kvd.data} {kvd.data} && mount -o remount,ro,bind {kvd.data} && exec \"$@\""
        wrap = ["unshare", "-m", "sh", "-c", script, "sh"]
    code, log = kvd.fails(wrap=wrap)
    os.chmod(kvd.data, 0o700)
    if log.startswith("mount:"):
        raise Skip("no mounts here")
    ok(code is not None and 64 <= code <= 78 and kvd.data in log,
        f"a read-only data directory: a clear message ({code})", log)


def test_planted_links():
    for name in ("LOCK", "CATALOG", "0000000001.seg", "0000000000.seg"):
        kvd = Kvd()
        victim = os.path.join(kvd.dir, "victim")
        with open(victim, "w") as f:
            f.write("precious")
        os.symlink(victim, os.path.join(kvd.data, name))
        kvd.start(wait=False)
        if kvd.wait_note(has("READY=1"), 2):
            kvd.client()("SET", "a", "1")
        kvd.kill9()
        is_(open(victim).read(), "precious", f"a symlink planted as {name} is not written through")


def test_newer_format():
    """A store of a release to come: its version is not known, so it is refused and not touched."""
    kvd = Kvd().start()
    kvd.client().must("SET", "a", "1")
    kvd.stop()
    code, log = None, ""
    path = os.path.join(kvd.data, "CATALOG")
    whole = open(path, "rb").read()
    with open(path, "wb") as f:
        f.write(b"KVD9999999 " + whole[11:])
    before = {n: open(os.path.join(kvd.data, n), "rb").read() for n in os.listdir(kvd.data)
        if n != "LOCK"}
    code, log = kvd.fails()
    ok(code in (EXIT_CORRUPT, EXIT_CONFIG, EXIT_IO), f"an unknown catalog is refused ({code})", log)
    ok("CATALOG" in log, "by name", log)
    after = {n: open(os.path.join(kvd.data, n), "rb").read() for n in before
        if os.path.exists(os.path.join(kvd.data, n))}
    is_([n for n in before if after.get(n) != before[n]], [], "and nothing is changed")


run(test_socket_activation, test_stale_socket, test_live_socket, test_not_a_socket, test_modes,
    test_bad_directory, test_read_only_directory, test_planted_links, test_newer_format)
