# SPDX-License-Identifier: MIT
"""
Large values: how long they take in and out, and how long a client beside them waits. That client asks for a small key
every millisecond; its longest wait is the figure that matters, since one client's large value is no reason for another
one to stand still.
"""
import multiprocessing
import os
import socket
import statistics
import time

MIB = 1 << 20


def connect(path):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.connect(path)
    return s


def ask_often(path, stop, pipe):
    """The client beside: [milliseconds of each GET], one about every millisecond, until told to stop."""
    s, waits = connect(path), []
    request = b"*2\r\n$3\r\nGET\r\n$3\r\nhot\r\n"
    pipe.send("ready")
    while not stop.is_set():
        began = time.monotonic()
        s.sendall(request)
        got = b""
        while got.count(b"\n") < 2:
            got += s.recv(4096)
        waits.append((time.monotonic() - began) * 1e3)
        time.sleep(0.001)
    pipe.send(waits)


def put(s, key, value):
    s.sendall(b"*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n" % (len(key), key, len(value)))
    s.sendall(value)
    s.sendall(b"\r\n")
    reply = s.recv(4096)
    if reply != b"+OK\r\n":
        raise RuntimeError(f"SET of {len(value)} bytes: {reply!r}")


def get(s, key, room):
    """Reads the value into `room`, a bytearray of its size and the framing's."""
    s.sendall(b"*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n" % (len(key), key))
    view, at, end = memoryview(room), 0, len(room)
    while at < end:
        n = s.recv_into(view[at:], min(end - at, 4 * MIB))
        if n == 0:
            raise RuntimeError("the connection was closed")
        at += n


def resident(server):
    with open(f"/proc/{server.pid}/status") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith("VmHWM"))


def forget_peak(server):
    with open(f"/proc/{server.pid}/clear_refs", "w") as f:
        f.write("5")


def measure(server, work):
    """(seconds of work(), p50 ms and longest ms of the client beside)."""
    stop, (ours, theirs) = multiprocessing.Event(), multiprocessing.Pipe()
    beside = multiprocessing.Process(target=ask_often, args=(server.socket, stop, theirs), daemon=True)
    beside.start()
    ours.recv()
    began = time.monotonic()
    work()
    took = time.monotonic() - began
    stop.set()
    waits = ours.recv()
    beside.join()
    return took, statistics.median(waits), max(waits)


def one_case(server, size):
    """A value of that size in, out while it is young, and out once the log has moved on and it is read from disk."""
    value, s, found = os.urandom(min(size, MIB)) * (size // min(size, MIB)), connect(server.socket), {}
    room = bytearray(len(value) + len(b"$%d\r\n" % len(value)) + 2)
    small = os.urandom(MIB)

    def move_on():
        for i in range(16):
            put(s, b"other:%d" % i, small)

    put(s, b"hot", b"x" * 100)
    for name, work in (("set", lambda: put(s, b"large", value)), ("get", lambda: get(s, b"large", room)),
                       ("cold get", lambda: get(s, b"large", room))):
        if name == "cold get":
            move_on()
            time.sleep(0.5)
        forget_peak(server)
        took, p50, worst = measure(server, work)
        found[name] = {"seconds": took, "beside_p50_ms": p50, "beside_max_ms": worst, "peak_rss": resident(server)}
    if room[-2 - len(value):-2] != value:
        raise RuntimeError("another value came back")
    s.close()
    return found


def large(options, make):
    results = []
    print(f"\nlarge values; beside them a client asks for a small key every millisecond (median of {options.rounds})")
    print(f"{'':28}{'MiB/s':>8}{'waits p50 ms':>14}{'longest ms':>12}{'peak RSS MiB':>14}")
    for name, kind in make.items():
        server = kind().start()
        for mib in options.large:
            rounds = [one_case(server, mib * MIB) for _ in range(options.rounds)]
            for case in rounds[0]:
                found = {k: statistics.median(r[case][k] for r in rounds) for k in rounds[0][case]}
                print(f"{name + ' ' + str(mib) + ' MiB ' + case:28}{mib / found['seconds']:8.0f}{found['beside_p50_ms']:14.2f}"
                      f"{found['beside_max_ms']:12.1f}{found['peak_rss'] / MIB:14.0f}", flush=True)
                results.append({"server": name, "mib": mib, "case": case, **found})
        server.stop()
    return results


PARTS = {"large": large}
