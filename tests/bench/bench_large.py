# SPDX-License-Identifier: MIT
"""
Large values: how long they take in and out, and how long a client beside them waits. That client asks for a small key
every millisecond; its longest wait is the figure that matters, since one client's large value is no reason for another
one to stand still. A client that writes is another matter: what comes behind a large value in the log is on disk after it.
"""
import multiprocessing
import os
import socket
import statistics
import time

MIB = 1 << 20
ASK = b"*2\r\n$3\r\nGET\r\n$3\r\nhot\r\n", 2  # and the lines of the reply
WRITE = b"*3\r\n$3\r\nSET\r\n$4\r\nwarm\r\n$1\r\nx\r\n", 1


def connect(path):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.connect(path)
    return s


def ask_often(path, stop, pipe, request, lines):
    """The client beside: [milliseconds of each request], one about every millisecond, until told to stop."""
    s, waits = connect(path), []
    pipe.send("ready")
    while not stop.is_set():
        began = time.monotonic()
        s.sendall(request)
        got = b""
        while got.count(b"\n") < lines:
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


def measure(server, work, request=ASK):
    """(seconds of work(), p50 ms and longest ms of the client beside)."""
    stop, (ours, theirs) = multiprocessing.Event(), multiprocessing.Pipe()
    beside = multiprocessing.Process(target=ask_often, args=(server.socket, stop, theirs, *request), daemon=True)
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
    for name, work in (("set", lambda: put(s, b"large", value)), ("set beside SETs", lambda: put(s, b"large", value)),
                       ("get", lambda: get(s, b"large", room)), ("cold get", lambda: get(s, b"large", room))):
        if name == "cold get":
            move_on()
            time.sleep(0.5)
        forget_peak(server)
        took, p50, worst = measure(server, work, WRITE if "SETs" in name else ASK)
        found[name] = {"seconds": took, "beside_p50_ms": p50, "beside_max_ms": worst, "peak_rss": resident(server)}
    if room[-2 - len(value):-2] != value:
        raise RuntimeError("another value came back")
    s.close()
    return found


def large(options, make):
    results = []
    print(f"\nlarge values; beside them a client asks for (or sets) a small key every millisecond (median of {options.rounds})")
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


# ---- commands on one that is there

def ask(s, *words):
    """One request; its reply's first line, with the length of what follows read and dropped."""
    s.sendall(b"*%d\r\n" % len(words))
    for word in words:
        word = word.encode() if isinstance(word, str) else word
        s.sendall(b"$%d\r\n" % len(word))
        s.sendall(word)
        s.sendall(b"\r\n")
    return read_reply(s)


def read_reply(s):
    line = b""
    while not line.endswith(b"\n"):
        line += s.recv(1)
    if line[:1] == b"-":
        raise RuntimeError(line.decode())
    if line[:1] == b"*":
        return [read_reply(s) for _ in range(int(line[1:]))]
    if line[:1] != b"$" or int(line[1:]) < 0:
        return line
    data = bytearray(int(line[1:]) + 2)
    view, at = memoryview(data), 0
    while at < len(data):
        n = s.recv_into(view[at:], min(len(data) - at, 4 * MIB))
        if n == 0:
            raise RuntimeError("the connection was closed")
        at += n
    return view[:-2]


def commands(size):
    """(what, words of the request, words of one before it that is not measured, or None); `large` is there, `dump` is the reply to DUMP."""
    middle = str(size // 2)
    return (("STRLEN", ("STRLEN", "large"), None), ("GETRANGE of 100 bytes", ("GETRANGE", "large", middle, str(size // 2 + 99)), None),
        ("GETRANGE of 100 again", ("GETRANGE", "large", "100", "199"), None),
        ("GETRANGE of all", ("GETRANGE", "large", "0", "-1"), None), ("GETBIT", ("GETBIT", "large", middle), None),
        ("BITCOUNT", ("BITCOUNT", "large"), None), ("BITPOS", ("BITPOS", "zeros", "1"), ("SETRANGE", "zeros", str(size - 1), "\0")),
        ("MGET of two", ("MGET", "large", "large"), None), ("DUMP", ("DUMP", "large"), None),
        ("RESTORE", ("RESTORE", "other", "0", "dump", "REPLACE"), None), ("LCS", ("LCS", "large", "hot", "LEN"), None),
        ("COPY", ("COPY", "large", "copy"), None), ("RENAME", ("RENAME", "copy", "renamed"), None),
        ("BITOP AND", ("BITOP", "AND", "and", "large", "other"), None), ("BITOP NOT", ("BITOP", "NOT", "not", "large"), None),
        ("APPEND", ("APPEND", "large", "tail"), None), ("SETRANGE", ("SETRANGE", "large", middle, "part"), None),
        ("SETBIT", ("SETBIT", "large", middle, "1"), ("SETBIT", "large", middle, "0")),
        ("BITFIELD", ("BITFIELD", "large", "INCRBY", "u8", middle, "1"), None),
        ("SETBIT makes it", ("SETBIT", "made", str(size * 8 - 1), "1"), ("DEL", "made")),
        ("GETSET", ("GETSET", "large", "small"), None), ("GETDEL", ("GETDEL", "other"), None))


def try_command(s, words, dump):
    """False: the server refuses it."""
    try:
        return ask(s, *(dump if word == "dump" else word for word in words))
    except RuntimeError:
        return None


def command_cases(server, size):
    value, s, dump = os.urandom(MIB) * (size // MIB + 1), connect(server.socket), b""
    put(s, b"hot", b"x" * 100)
    put(s, b"large", memoryview(value)[:size])
    for i in range(16):
        put(s, b"small:%d" % i, value[:MIB])
    for what, words, before in commands(size):
        if before:
            try_command(s, before, dump)
        time.sleep(0.5)
        forget_peak(server)
        replies = []
        took, p50, worst = measure(server, lambda words=words: replies.append(try_command(s, words, dump)))
        if what == "DUMP":
            dump = replies[0] or b""
        yield what, {"seconds": took if replies[0] is not None else None, "beside_p50_ms": p50, "beside_max_ms": worst,
            "peak_rss": resident(server)}
        del replies
    s.close()


def large_commands(options, make):
    results = []
    print("\ncommands on a large value in the file; beside them a client asks for a small key every millisecond")
    print(f"{'':44}{'seconds':>8}{'waits p50 ms':>14}{'longest ms':>12}{'peak RSS MiB':>14}")
    for name, kind in make.items():
        for mib in options.large_commands:
            server = kind().start()
            # A little less, so that it can grow, and be dumped and restored.
            for what, found in command_cases(server, mib * MIB - 64):
                took = "refused" if found["seconds"] is None else format(found["seconds"], ".3f")
                print(f"{name + ' ' + str(mib) + ' MiB ' + what:44}{took:>8}{found['beside_p50_ms']:14.2f}"
                      f"{found['beside_max_ms']:12.1f}{found['peak_rss'] / MIB:14.0f}", flush=True)
                results.append({"server": name, "mib": mib, "case": what, **found})
            server.stop()
    return results


PARTS = {"large": large, "large-commands": large_commands}
