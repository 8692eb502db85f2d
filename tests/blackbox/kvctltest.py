# SPDX-License-Identifier: MIT
"""Runs kvctl against a kvd of the test: in pipes, and on a pseudo-terminal of its own."""
import errno
import fcntl
import os
import pty
import re
import select
import signal
import subprocess
import termios
import time

from kvdtest import *

KVCTL = os.path.join(TOP, "kvctl")
TOOK = re.compile(r" in [\d.]+ s \([\d.]+/s\)")
ODD = bytes(range(256))
HOME = temp_dir()
kvd = Kvd()

ENV = {k: v for k, v in os.environ.items() if not k.startswith(("KVD_", "KVCTL_", "XDG_")) or k in ("KVD_SANITIZER",)}
ENV.update(HOME=HOME, XDG_STATE_HOME=os.path.join(HOME, "state"), TERM="dumb", LC_ALL="C.UTF-8", KVD_SOCKET=kvd.socket)
if SANITIZED:
    # The line editor never frees the names of functions added to it.
    with open(os.path.join(HOME, "suppressions"), "w") as f:
        f.write("leak:wcsdup\n")
    ENV["LSAN_OPTIONS"] = "print_suppressions=0:suppressions=" + f.name


fresh = kvd.fresh


def kvctl(*args, stdin=b"", env=None, seconds=20, **kw):
    """Runs it with pipes; (exit code, output, errors without the time that something long took)."""
    p = subprocess.run([KVCTL, *args], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**ENV, **(env or {})},
        timeout=seconds * PATIENCE, **kw)
    return p.returncode, p.stdout, TOOK.sub("", p.stderr.decode("utf-8", "replace"))


def check(args, code, out, name, errors="", **kw):
    """Exit code, exact output, and a regular expression for the errors ("": none)."""
    got = kvctl(*args, **kw)
    good = got[0] == code and (out is None or got[1] == out) and (re.search(errors, got[2]) if errors else got[2] == "")
    return ok(good, name, f"kvctl {args}", f"got {got}", f"expected {(code, out, errors)}")


def default_signals():
    """For a child: a test in the background of a shell was started with SIGINT ignored, and so would be what it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Terminal:
    """kvctl, or another program, on a pseudo-terminal of its own."""

    def __init__(self, *args, env=None, program=KVCTL):
        self.master, slave = pty.openpty()
        mode = termios.tcgetattr(slave)
        mode[3] &= ~termios.ECHO
        mode[1] &= ~termios.ONLCR
        termios.tcsetattr(slave, termios.TCSANOW, mode)
        self.process = subprocess.Popen([program, *args], stdin=slave, stdout=slave, stderr=slave, env={**ENV, **(env or {})},
            start_new_session=True, preexec_fn=self.take_terminal)
        os.close(slave)
        self.seen = b""

    @staticmethod
    def take_terminal():
        default_signals()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def read(self, seconds):
        if not select.select([self.master], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self.master, 65536)
        except OSError as e:
            if e.errno != errno.EIO:
                raise
            return None
        # The line editor turns the terminal's own newlines on.
        self.seen = (self.seen + data).replace(b"\r\n", b"\n")
        return True if data else None

    def expect(self, text, seconds=5.0):
        """Reads until it was seen; returns what came up to its end, or None."""
        end = time.monotonic() + seconds * PATIENCE
        while text not in self.seen:
            if time.monotonic() > end or self.read(0.05) is None and text not in self.seen:
                return None
        at = self.seen.index(text) + len(text)
        before, self.seen = self.seen[:at], self.seen[at:]
        return before

    def type(self, data):
        os.write(self.master, data)

    def prompt(self):
        """Waits until the editor has the terminal, shortly after its prompt: before, the terminal takes control keys for itself."""
        return self.expect(b"> ") and poll(lambda: not termios.tcgetattr(self.master)[3] & termios.ICANON)

    def end_input(self):
        self.prompt()
        self.type(b"\x04")

    def finish(self, seconds=5.0):
        """(exit code or None, everything not yet expected)"""
        end = time.monotonic() + seconds * PATIENCE
        while time.monotonic() < end and self.read(0.05) is not None:
            pass
        try:
            code = self.process.wait(max(0.1, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            code = None
        os.close(self.master)
        return code, self.seen


def on_terminal(*args):
    return Terminal(*args).finish()
