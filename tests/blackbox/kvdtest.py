# SPDX-License-Identifier: MIT
"""Runs a kvd of its own in a temporary directory. Import everything a black-box test needs from here.

    kvd = Kvd(segment_size="1M")    # options become --segment-size=1M
    kvd.start()                     # returns when READY=1 came
    c = kvd.client()
    is_(c("GET", "name"), None, "an empty store has nothing")
    run(test_a, test_b)             # from tap: kills and removes what a test left

The daemon is $KVD_DAEMON, or kvd in $top_builddir, or kvd at the top of the tree.
"""
import atexit
import ctypes
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import tap
from resp import OK, QUEUED, Client, Closed, Error, Push, Set, Simple, Verbatim, request, to_bytes  # noqa: F401
from tap import LONG, PATIENCE, SANITIZED, Skip, diag, done, in_time, is_, ok, poll, rng, seed, skip, skip_all, todo  # noqa: F401

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.environ.get("top_builddir") or os.path.dirname(os.path.dirname(HERE))
SOURCE = os.environ.get("top_srcdir") or os.path.dirname(os.path.dirname(HERE))
DAEMON = os.environ.get("KVD_DAEMON") or os.path.join(TOP, "kvd")

EXIT_CONFIG, EXIT_IO, EXIT_LOCKED, EXIT_CORRUPT = 78, 74, 73, 65

_running = []
_dirs = []
_libc = ctypes.CDLL(None, use_errno=True)


def temp_dir():
    """A directory (mode 0700), removed when the test function ends, or the program when made before run()."""
    path = tempfile.mkdtemp(prefix="kvd-")
    _dirs.append((path, not tap.running))
    return path


def need(program):
    """Its path, or the test is skipped."""
    path = shutil.which(program)
    if not path:
        raise Skip(f"{program} is not here")
    return path


class Kvd:
    """One daemon. Made before run() it is shared by all tests of the program, else it ends with its test."""

    def __init__(self, directory=None, **options):
        self.dir = directory or temp_dir()
        self.data = os.path.join(self.dir, "data")
        self.socket = os.path.join(self.dir, "kvd.sock")
        self.log_path = os.path.join(self.dir, "log")
        os.makedirs(self.data, mode=0o700, exist_ok=True)
        self.options = options
        self.process = None
        self.notify = None
        self.notes = []
        self.clients = []
        self.shared = not tap.running

    # -- starting

    def command(self, *args):
        options = [f"--{name.replace('_', '-')}={value}" for name, value in self.options.items()]
        return [DAEMON, "--data-dir", self.data, "--socket", self.socket, *options, *args]

    def start(self, *args, env=None, wait=True, wrap=(), limits=None, cwd=None, pass_fds=(), before=None):
        """
        Starts it; with wait, until READY=1. wrap: words before the command. limits: {resource.RLIMIT_x: n}.
        before: called in the child just before the exec.
        """
        self.listen_notify()
        # KVD_X in the environment would be options.
        full = {k: v for k, v in os.environ.items() if not k.startswith("KVD_")
            and k not in ("JOURNAL_STREAM", "WATCHDOG_USEC")}
        full.update({"NOTIFY_SOCKET": self.notify.getsockname(), **(env or {})})

        def prepare():
            _libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: not to outlive the test
            for what, n in (limits or {}).items():
                resource.setrlimit(what, (n, n))
            if before:
                before()

        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([*wrap, *self.command(*args)], stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, env=full, cwd=cwd,
                preexec_fn=prepare, pass_fds=pass_fds)
        _running.append(self)
        if wait:
            self.wait_ready()
        return self

    def start_on_disk_of(self, size, kind="tmpfs"):
        """Starts it with its data on a file system of its own, as large as mount's size= says, or an ext4; skips the test where there are none."""
        need("unshare"), need("nsenter")
        if os.geteuid() != 0:
            raise Skip("needs root for a mount of its own")
        script = f"mount -t tmpfs -o size={size},mode=0700 none {self.data} && exec \"$@\""
        if kind == "ext4":
            need("mkfs.ext4")
            image = f"{self.dir}/disk"
            script = f"truncate -s {size} {image} && mkfs.ext4 -q {image} && mount -o loop {image} {self.data} && chmod 0700 {self.data} && exec \"$@\""
        self.start(wait=False, wrap=["unshare", "-m", "sh", "-c", script, "sh"])
        try:
            self.wait_ready()
        except RuntimeError:
            if "mount" in self.log or "unshare" in self.log:
                raise Skip("no mounts here")
            raise
        return self

    def grow_disk(self, size):
        """That file system has this size from now on; skips what is left of the test where root may not do that, as in some containers."""
        if subprocess.run(["nsenter", "-t", str(self.pid), "-r", "-m", "mount", "-o", f"remount,size={size}", self.data],
            capture_output=True).returncode != 0:
            raise Skip("no mount can be changed here")

    def listen_notify(self):
        """A fresh notify socket with a thread that empties it, as the service manager would."""
        self.close_notify()
        path = os.path.join(self.dir, "notify")
        if os.path.exists(path):
            os.unlink(path)
        self.notes = []
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(path)
        self.reader = threading.Thread(target=self.read_notes, args=(self.notify, self.notes), daemon=True)
        self.reader.start()

    def close_notify(self):
        if self.notify:
            self.notify.shutdown(socket.SHUT_RDWR)
            self.reader.join()
            self.notify.close()
            self.notify = None

    @staticmethod
    def read_notes(notify, notes):
        while text := notify.recv(4096):
            notes.append((time.monotonic(), text.decode()))

    def take_notes(self, seconds=0.0):
        """Waits up to that long for one more message; returns the texts of all so far."""
        have, end = len(self.notes), time.monotonic() + seconds
        while len(self.notes) == have and time.monotonic() < end:
            time.sleep(0.001)
        return [text for _, text in self.notes]

    def wait_note(self, test, seconds=10.0):
        """The first message of which test(text) holds, or None."""
        end = time.monotonic() + seconds * PATIENCE
        seen = 0
        while True:
            ended = self.process.poll() is not None
            notes = self.take_notes(0.02)
            for text in notes[seen:]:
                if test(text):
                    return text
            seen = len(notes)
            if time.monotonic() > end or ended:
                return None

    def wait_ready(self, seconds=20.0):
        if not self.wait_note(lambda text: "READY=1" in text.split("\n"), seconds):
            code = self.process.poll()
            raise RuntimeError((f"kvd ended with {code}" if code is not None else "kvd is not ready in time")
                + "; log:\n" + self.log)
        return self

    def fails(self, *args, seconds=10.0, **kw):
        """Starts it and expects it to end by itself: returns (exit code, what it wrote), or (None, ...) when it goes on."""
        before = len(self.log)
        self.start(*args, wait=False, **kw)
        code = self.wait_exit(seconds)
        if code is None:
            self.kill9()
        return code, self.log[before:]

    # -- ending

    def wait_exit(self, seconds=10.0):
        """The exit code (negative: signal), or None when it is still running then."""
        try:
            code = self.process.wait(seconds * PATIENCE)
        except subprocess.TimeoutExpired:
            return None
        if self in _running:
            _running.remove(self)
        return code

    def stop(self, sig=signal.SIGTERM, seconds=20.0):
        """Ends it; returns (exit code, seconds it took). The code is None when it had to be killed."""
        began = time.monotonic()
        self.process.send_signal(sig)
        code = self.wait_exit(seconds)
        took = time.monotonic() - began
        if code is None:
            self.kill9()
        self.hang_up()
        return code, took

    def kill9(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
        if self.process:
            self.process.wait()
        if self in _running:
            _running.remove(self)
        self.hang_up()

    def restart(self, **kw):
        code, _ = self.stop()
        if code != 0:
            raise RuntimeError(f"kvd stopped with {code}; log:\n{self.log}")
        return self.start(**kw)

    def crash(self, **kw):
        self.kill9()
        return self.start(**kw)

    def hang_up(self):
        for client in self.clients:
            client.close()
        self.clients = []

    # -- looking

    def left_over(self, *others):
        """Names in the data directory that are neither of a store nor among the others."""
        known = {"LOCK", "CATALOG", "CHECKPOINT", "RESERVE", *others}
        return [name for name in os.listdir(self.data) if not name.endswith(".seg") and name not in known]

    def client(self, proto=2, timeout=10.0):
        """A connection that is closed with the daemon."""
        c = Client(self.socket, proto, timeout)
        self.clients.append(c)
        return c

    def fresh(self, proto=2, timeout=10.0):
        """Starts it unless it runs, and empties it: a connection."""
        if not self.alive:
            self.start()
        c = self.client(proto, timeout)
        c.must("FLUSHALL")
        return c

    @property
    def pid(self):
        return self.process.pid

    @property
    def alive(self):
        return self.process is not None and self.process.poll() is None

    @property
    def log(self):
        try:
            with open(self.log_path, "rb") as f:
                return f.read().decode("utf-8", "replace")
        except FileNotFoundError:
            return ""

    def segments(self):
        """Paths of the segment files in order of number."""
        return sorted(os.path.join(self.data, n) for n in os.listdir(self.data) if n.endswith(".seg"))

    def rss(self):
        """Resident bytes."""
        with open(f"/proc/{self.pid}/status") as f:
            for line in f:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) * 1024
        return 0

    def forget_peak(self):
        """peak() counts from here on. False: this kernel cannot do that."""
        try:
            with open(f"/proc/{self.pid}/clear_refs", "w") as f:
                f.write("5")
            return True
        except OSError:
            return False

    def peak(self):
        """The most resident bytes there have been."""
        with open(f"/proc/{self.pid}/status") as f:
            return next(int(line.split()[1]) * 1024 for line in f if line.startswith("VmHWM:"))

    def cpu(self):
        """Seconds of processor time used so far."""
        with open(f"/proc/{self.pid}/stat") as f:
            fields = f.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def fds(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))


def send_quietly(c, data):
    """False: kvd has closed the connection."""
    try:
        c.send(data)
        return True
    except OSError:
        return False


def last_data(path):
    """Offset behind the last byte of a file that is not zero."""
    with open(path, "rb") as f:
        return len(f.read().rstrip(b"\0"))


def clean_up(failed=False, final=False):
    for kvd in list(_running):
        if failed:
            diag("log of kvd:", *kvd.log.split("\n")[-15:])
        if final or not kvd.shared:
            kvd.kill9()
        else:
            kvd.hang_up()
    for entry in list(_dirs):
        if final or not entry[1]:
            shutil.rmtree(entry[0], ignore_errors=True)
            _dirs.remove(entry)


def run(*tests):
    """The last call of a program: runs the tests and exits."""
    if not os.access(DAEMON, os.X_OK):
        skip_all(f"{DAEMON} is not built")
    tap.run(*tests, after=clean_up)


atexit.register(clean_up, final=True)
signal.signal(signal.SIGTERM, lambda *unused: sys.exit(1))
