# SPDX-License-Identifier: MIT
"""What the checks inside the guest share: systemctl, the journal, clients. Everything here runs as root in the guest."""
import json
import os
import pwd
import signal
import subprocess
import threading
import time

import tap
from resp import Client, Error, request  # noqa: F401
from tap import LONG, PATIENCE, Skip, diag, is_, ok, poll, skip  # noqa: F401

SERVICE, SOCKET = "kvd.service", "kvd.socket"
PATH = "/run/kvd/kvd.sock"
DATA = "/var/lib/kvd"
CONF = "/etc/kvd/kvd.conf"
DROP_IN = "/etc/kvd/kvd.conf.d/test.conf"


class Result:
    def __init__(self, done):
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr
        self.text = self.out + self.err

    def __repr__(self):
        return f"exit {self.code}: {self.text}"


def sh(*words, user=None, env=None, seconds=120, stdin=None):
    """Runs a command (one string: by the shell) and never raises for its exit code."""
    command = ["sh", "-c", words[0]] if len(words) == 1 else list(words)
    if user:
        command = ["runuser", "-u", user, "--", *command]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds * PATIENCE,
        env={**os.environ, **(env or {})}, input=stdin if stdin is not None else "")
    return Result(done)


def must(*words, **kw):
    result = sh(*words, **kw)
    if result.code:
        raise RuntimeError(f"{' '.join(words)}: {result!r}")
    return result.out.strip()


def kvctl(*words, **kw):
    return sh("kvctl", *words, **kw)


def show(unit, name):
    return must("systemctl", "show", "--value", "-p", name, unit)


def main_pid(unit=SERVICE):
    return int(show(unit, "MainPID"))


def is_active(unit=SERVICE):
    return show(unit, "ActiveState") == "active"


def status_text(unit=SERVICE):
    return show(unit, "StatusText")


def file_of(pid, name):
    with open(f"/proc/{pid}/{name}") as f:
        return f.read()


def write(path, text, mode=0o644):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f:
        f.write(text)
    os.chmod(path, mode)


def remove(path):
    if os.path.exists(path):
        os.unlink(path)


def edit_unit(unit, text):
    """A drop-in of ours for a unit; an empty text takes it away."""
    path = f"/run/systemd/system/{unit}.d/99-test.conf"
    if text:
        write(path, text)
    else:
        remove(path)
    must("systemctl", "daemon-reload")


def settle():
    """After each check: the service as it was installed, and running."""
    remove(DROP_IN)
    for unit in (SERVICE, SOCKET):
        remove(f"/run/systemd/system/{unit}.d/99-test.conf")
    must("systemctl", "daemon-reload")
    sh("systemctl", "reset-failed")
    must("systemctl", "restart", SOCKET, SERVICE)


def cursor():
    """A place in the journal; entries() tells what came after it."""
    must("journalctl", "--sync")
    return json.loads(must("journalctl", "-n", "1", "-o", "json"))["__CURSOR"]


def read_journal(since, **fields):
    # Matches are ours: --after-cursor together with one passes over the first entry that matches.
    must("journalctl", "--sync")
    lines = must("journalctl", "-o", "json", "--all", "--after-cursor", since).split("\n")
    found = [json.loads(line) for line in lines if line.startswith("{")]
    return [e for e in found if all(e.get(name) == value for name, value in fields.items())]


def entries(since, unit=SERVICE, **fields):
    """The entries of a unit since a cursor whose fields have these values."""
    return read_journal(since, _SYSTEMD_UNIT=unit, **fields)


def manager_lines(since, unit=SERVICE):
    """What the service manager itself wrote about a unit."""
    return [e.get("MESSAGE", "") for e in read_journal(since, UNIT=unit)]


def explained(message_id):
    """The last entry with this id, with what the catalog says of it."""
    return sh("journalctl", "--catalog", "--no-pager", "-n", "1", "MESSAGE_ID=" + message_id).out


def texts(found):
    return [str(e.get("MESSAGE")) for e in found]


def answers(path=PATH, timeout=1.0):
    try:
        with Client(path, timeout=timeout) as c:
            return c("PING") == b"PONG"
    except (OSError, Exception):  # noqa: B014 - whatever it is, nobody answered
        return False


class Load:
    """Clients that connect anew for each request, as scripts do; counts what failed and the longest wait."""

    def __init__(self, threads=2):
        self.done, self.failed, self.slowest = 0, [], 0.0
        self.going = True
        self.threads = [threading.Thread(target=self.work, args=(i,)) for i in range(threads)]
        for t in self.threads:
            t.start()

    def work(self, number):
        while self.going:
            began = time.monotonic()
            try:
                with Client(PATH, timeout=60) as c:
                    c.must("SET", f"load:{number}", self.done)
            except Exception as error:
                self.failed.append(f"{type(error).__name__}: {error}")
            self.slowest = max(self.slowest, time.monotonic() - began)
            self.done += 1

    def end(self):
        self.going = False
        for t in self.threads:
            t.join()
        return self


def make_user(name, *groups):
    try:
        pwd.getpwnam(name)
    except KeyError:
        must("useradd", "--create-home", *(["-G", ",".join(groups)] if groups else []), name)
    return pwd.getpwnam(name)
