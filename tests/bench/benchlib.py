# SPDX-License-Identifier: MIT
"""What the parts of the bench share: servers, loads, and what is read off a process."""
import os
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "blackbox"))
import kvdtest  # noqa: E402, F401
from kvdtest import DAEMON, Kvd  # noqa: E402, F401

BATCH = 10000
LOAD = os.path.join(os.environ.get("top_builddir", "."), "tests", "bench", "load")


class Redis(Kvd):
    """redis-server with the durability of kvd's default."""

    def command(self, *args):
        return ["redis-server", "--port", "0", "--unixsocket", self.socket, "--dir", self.data,
            "--appendonly", "yes",
                "--appendfsync", "always", "--save", "", "--loglevel", "warning", "--supervised", "systemd",
                *args]


def memory(server):
    """(all resident bytes, those not backed by files)."""
    found = {}
    with open(f"/proc/{server.pid}/status") as f:
        for line in f:
            name, _, rest = line.partition(":")
            if name in ("VmRSS", "RssAnon"):
                found[name] = int(rest.split()[0]) * 1024
    return found["VmRSS"], found["RssAnon"]


def disk(server):
    """Bytes of disk blocks of the data."""
    return sum(os.lstat(os.path.join(root, name)).st_blocks * 512 for root, _,
        files in os.walk(server.data) for name in files)


def key(i):
    """A 16-byte key in random order."""
    return b"%016x" % (i * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF)


def benchmark_key(i):
    """As redis-benchmark names them."""
    return b"key:%012d" % i


def load(server, n, size, key=key):
    """Sets n keys (16 bytes each) in batches, one batch ahead of the replies; returns the seconds it took."""
    tail = b"\r\n$%d\r\n%s\r\n" % (size, os.urandom(size))  # nothing to compress
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.connect(server.socket)
    began = time.monotonic()
    waiting = 0

    def take(most):
        nonlocal waiting
        while waiting > most:
            data = s.recv(1 << 20)
            if not data or b"-" in data:
                raise RuntimeError(f"the load was refused: {data[:200]!r}")
            waiting -= len(data)

    for at in range(0, n, BATCH):
        part = range(at, min(at + BATCH, n))
        s.sendall(b"".join([b"*3\r\n$3\r\nSET\r\n$16\r\n" + key(i) + tail for i in part]))
        waiting += len(part) * len(b"+OK\r\n")
        take(BATCH * len(b"+OK\r\n"))
    take(0)
    s.close()
    return time.monotonic() - began


def start_time(server, n):
    """Seconds from exec until a request is answered with everything there."""
    began = time.monotonic()
    server.start(wait=False)
    server.wait_ready(600)
    took = time.monotonic() - began
    count = server.client(timeout=60)("DBSIZE")
    if count != n:
        raise RuntimeError(f"{count} keys after the start, not {n}")
    return took


def run_load(server, test, clients, pipeline, n, keys, value=100):
    """tests/bench/load, which costs little itself: (requests a second, then p50, p99, p99.9 and worst in ms)."""
    out = subprocess.run([LOAD, server.socket, test, str(clients), str(pipeline), str(n), str(keys), str(value)],
        capture_output=True, text=True, check=True).stdout.split()
    return tuple(float(x) for x in out)


def info(server, field):
    """One field of INFO, as a number."""
    for line in server.client(timeout=60)("INFO", "everything").decode().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return float(value)
    raise KeyError(field)


def write_rate(directory, size, chunk=1 << 20):
    """Bytes a second this disk takes in order, synced at the end: the most any merge could write."""
    path = os.path.join(directory, "rate")
    data = os.urandom(chunk)
    began = time.monotonic()
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        for _ in range(size // chunk):
            os.write(fd, data)
        os.fdatasync(fd)
    finally:
        os.close(fd)
        os.unlink(path)
    return size // chunk * chunk / (time.monotonic() - began)
