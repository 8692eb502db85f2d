# SPDX-License-Identifier: MIT
"""Calls of a running daemon that take long or fail, by strace.

    with Faults(kvd, "fdatasync", "delay_enter=200000") as faults: ...
"""
import os
import re
import signal
import subprocess
import time

from kvdtest import PATIENCE, Skip, need, poll


class Faults:
    """strace on a running daemon, from enter to exit."""

    def __init__(self, kvd, calls, what):
        self.kvd, self.calls, self.what = kvd, calls, what

    def __enter__(self):
        strace = need("strace")
        self.out = os.path.join(self.kvd.dir, f"strace.{time.monotonic_ns()}")
        self.err = open(self.out + ".err", "wb")
        self.process = subprocess.Popen([strace, "-f", "-p", str(self.kvd.pid), "-o", self.out, "-e",
            f"trace={self.calls}",
            "-e", f"inject={self.calls}:{self.what}"], stderr=self.err, stdin=subprocess.DEVNULL)
        # It says so when it has stopped every thread: what they call from then on is traced.
        poll(lambda: self.process.poll() is not None or " attached" in self.said())
        if self.process.poll() is not None or " attached" not in self.said():
            self.__exit__()
            raise Skip("strace may not attach: " + self.said().strip()[:100])
        return self

    def said(self):
        with open(self.out + ".err") as f:
            return f.read()

    def __exit__(self, *unused):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(10 * PATIENCE)
        self.err.close()

    def seen(self):
        with open(self.out) as f:
            return [line for line in f if re.search(r"\b(" + self.calls.replace(",", "|") + r")\(", line)]
