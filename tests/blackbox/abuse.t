#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Clients that misbehave beside one that does not: the healthy one stays fast, memory stays bounded, nobody falls."""
import os
import resource
import socket
import threading
import time

from kvdtest import *

MiB = 1 << 20


class Healthy:
    """A polite client: SET and GET by turns, the slowest answer noted."""

    def __init__(self, kvd):
        self.client = Client(kvd.socket, timeout=20)
        self.client.must("PING")  # accepted, so that its descriptor counts as one that was there before
        self.stop = threading.Event()
        self.times = []
        self.wrong = []
        self.thread = threading.Thread(target=self.work)
        self.thread.start()

    def work(self):
        n = 0
        try:
            while not self.stop.is_set():
                n += 1
                began = time.monotonic()
                a = self.client("SET", "healthy", n)
                b = self.client("GET", "healthy")
                self.times.append(time.monotonic() - began)
                if a != OK or b != b"%d" % n:
                    self.wrong.append((n, a, b))
                time.sleep(0.001)
        except Exception as error:
            self.wrong.append(repr(error))

    def end(self, name, most):
        """
        Most: seconds the slowest pair of requests should take on a machine that does nothing else. The verdict is left to
        ten times as much, which a client that waits for another one needs.
        """
        poll(lambda: len(self.times) > 20 or self.wrong, 10)
        self.stop.set()
        self.thread.join(30 * PATIENCE)
        self.client.close()
        ok(not self.wrong and len(self.times) > 5, f"{name}: the healthy client is served",
            *map(str, self.wrong[:3]))
        slowest = max(self.times, default=99)
        ok(slowest < 10 * most * PATIENCE, f"{name}: its slowest answer took {slowest * 1000:.0f} ms",
            f"should be {most} s at most")


def grown(kvd, before, most, name):
    now = kvd.rss()
    if SANITIZED:
        return skip(name, "memory is not comparable under sanitizers")
    ok(now - before < most, f"{name} (+{(now - before) / MiB:.1f} MiB)",
        f"from {before} to {now}, limit {most}")


def test_announced_sizes():
    """Headers promise much and nothing follows: nothing may be allocated for them."""
    kvd = Kvd().start()
    healthy = Healthy(kvd)
    before = kvd.rss()
    held = []
    for data in (b"*1048576\r\n", b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$500000000\r\n",
        b"*1000000\r\n$500000000\r\nx",
                 b"*2\r\n$3\r\nGET\r\n$536870912\r\n"):
        for _ in range(8):
            c = kvd.client()
            send_quietly(c, data)
            held.append(c)
    time.sleep(0.3)
    grown(kvd, before, 16 * MiB, "32 clients announcing huge requests cost less than 16 MiB")
    healthy.end("announced sizes", 0.5)


def test_slow_senders():
    """A request one byte at a time on many connections, and large arguments that never end."""
    kvd = Kvd().start()
    healthy = Healthy(kvd)
    clients = [kvd.client() for _ in range(50)]
    data = request("SET", "slow", "x" * 30)
    for i in range(len(data)):
        for c in clients:
            c.send(data[i:i + 1])
    is_([c.read() for c in clients], [OK] * 50, "50 clients sending byte by byte are all answered")
    healthy.end("slow senders", 0.5)


def test_large_values():
    """The largest values in and out beside a polite client."""
    kvd = Kvd().start()
    c = kvd.client(timeout=30)
    value = rng("large").randbytes(32 * MiB)
    healthy = Healthy(kvd)
    for _ in range(2):
        is_(c("SET", "large", value), OK, "a value of 32 MiB is taken")
        ok(c("GET", "large") == value, "and comes back")
    healthy.end("values of 32 MiB", 1.0)


def loop_large(path, until, most, command):
    """A process of its own, so that it takes no time of the one that measures: sends `command` until then, but not more often: disks may be small."""
    pid = os.fork()
    if pid:
        return pid
    try:
        c = Client(path, timeout=60)
        while most and time.monotonic() < until:
            c.send(command)
            c.read()
            most -= 1
    finally:
        os._exit(0)


def test_large_values_in_a_loop():
    """Clients that do nothing but send or fetch 64 MiB; a PING each millisecond beside them."""
    kvd = Kvd().start()
    polite = kvd.client(timeout=30)
    value = rng("loop").randbytes(MiB) * 64
    polite.must("SET", "fetched", value)
    send, fetch = request("SET", "sent", value), request("GET", "fetched")
    for name, commands in (("sends", [send]), ("fetches", [fetch]), ("sends and two fetch", [send, fetch, fetch])):
        until = time.monotonic() + (20 if LONG else 3)
        pids = [loop_large(kvd.socket, until, 12 if c is send and not LONG else 1 << 30, c) for c in commands]
        times = []
        while pids or not times:
            pids = [pid for pid in pids if not os.waitpid(pid, os.WNOHANG)[0]]
            began = time.monotonic()
            if polite("PING") != b"PONG":
                return ok(False, "PING is answered")
            times.append(time.monotonic() - began)
            time.sleep(0.001)
        times.sort()
        p99 = times[int(len(times) * 0.99)]
        diag(f"a client {name}: {len(times)} PINGs, p50 {times[len(times) // 2] * 1000:.1f} ms, "
             f"p99 {p99 * 1000:.1f} ms, max {times[-1] * 1000:.1f} ms")
        # The goal is 100 ms on a machine that has nothing else to do; here the clients compete for the processors, too.
        ok(p99 < 5 * PATIENCE, f"a client that {name} 64 MiB in a loop leaves room for others "
            f"(PING p99 {p99 * 1000:.0f} ms)")


def test_long_pipeline():
    """3000 writes of 9 KB before the first reply is read; a reader that comes meanwhile is served."""
    kvd = Kvd().start()
    n, value = 3000, b"p" * 9000
    writer = kvd.client(timeout=60)
    sender = threading.Thread(target=lambda: send_quietly(writer,
        b"".join(request("SET", f"pipe{i}", value) for i in range(n))))
    sender.start()
    served, slowest = 0, 0
    while sender.is_alive() or served < 5:
        began = time.monotonic()
        with Client(kvd.socket) as reader:
            reply = reader("GET", "pipe0")
        slowest = max(slowest, time.monotonic() - began)
        served += 1
        if reply not in (None, value):
            break
    sender.join()
    ok(reply in (None, value), f"{served} readers that connect meanwhile are served", repr(reply)[:80])
    ok(slowest < 10 * PATIENCE, f"the slowest in {slowest * 1000:.0f} ms")
    replies = [writer.read() for _ in range(n)]
    is_(replies.count(OK), n, f"{n} pipelined writes of 9 KB are all answered")
    is_(kvd.client()("DBSIZE"), n, "and done")
    ok(kvd.alive, "it lives")


def test_unread_replies():
    """Replies nobody reads are bounded per client by client-output-limit; then the client is closed, and only it."""
    kvd = Kvd(client_output_limit="8M").start()
    c = kvd.client()
    c.must("SET", "v", b"x" * MiB)
    healthy = Healthy(kvd)
    before = kvd.rss()
    greedy = [kvd.client() for _ in range(4)]
    for g in greedy:
        send_quietly(g, request("GET", "v") * 40)
    peak = 0
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        peak = max(peak, kvd.rss())
        time.sleep(0.01)
    if not SANITIZED:
        ok(peak - before < 4 * 8 * MiB + 32 * MiB,
            f"four clients not reading 40 MiB each cost at most about 8 MiB each ({(peak - before) / MiB:.0f} MiB)")
    got = []
    for g in greedy:
        try:
            got.append(len(g.rest(5)))
        except TimeoutError:
            got.append(-1)
    ok(all(0 <= n < 40 * MiB for n in got), "and are closed", str(got))
    healthy.end("unread replies", 0.5)
    is_(c("STRLEN", "v"), MiB, "other clients stay")
    # One that reads slowly, but reads, must get everything that fits the limit.
    slow = kvd.client()
    slow.send(request("GET", "v") * 6)
    ok(all(len(slow.read()) == MiB for _ in range(6)), "six replies within the limit all arrive")


def test_endless_multi():
    kvd = Kvd().start()
    healthy = Healthy(kvd)
    before = kvd.rss()
    c = kvd.client()
    c.must("MULTI")
    chunk = request("SET", "k", "v" * 100) * 1000
    stop, errors = time.monotonic() + 20, 0
    sent = peak = 0
    closed = False
    while time.monotonic() < stop and sent < 1500000 and not errors and not closed:
        peak = max(peak, kvd.rss())
        closed = not send_quietly(c, chunk)
        sent += 1000
        try:
            errors = sum(isinstance(c.read(), Error) for _ in range(1000)) if not closed else 0
        except (Closed, OSError):
            closed = True
    diag(f"{sent} commands queued, " + ("closed" if closed else f"{errors} refused"))
    if not SANITIZED:
        ok(peak - before < 68 * MiB, f"an endless MULTI is bounded (+{(peak - before) / MiB:.1f} MiB)")
    if not closed:
        ok(errors > 0 or sent < 1048576, "an endless MULTI meets its limit", f"{sent} commands taken")
        reply = c("EXEC") if errors else None
        if errors:
            ok(getattr(reply, "kind", "") == "EXECABORT", "and EXEC is then refused", repr(reply)[:100])
    healthy.end("endless MULTI", 0.5)


def test_max_clients():
    kvd = Kvd(max_clients=40).start()
    first = kvd.client()
    first.must("PING")
    crowd = [kvd.client() for _ in range(39)]
    for c in crowd:
        c.must("PING")
    extra = kvd.client()
    reply = extra.rest(5)
    is_(reply, b"-ERR max number of clients reached\r\n", "one too many is told so and closed")
    is_(first("PING"), b"PONG", "the others stay")
    crowd.pop().close()

    def room():
        c = Client(kvd.socket)
        try:
            return c("PING") == b"PONG"
        except (Closed, OSError):
            return False
        finally:
            c.close()

    ok(poll(room, 3), "when one leaves there is room again")


def test_many_connections():
    n = 1000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < n + 200:
        raise Skip(f"only {hard} descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, n + 200), hard))
    kvd = Kvd().start()
    healthy = Healthy(kvd)
    before, fds = kvd.rss(), kvd.fds()
    clients = [kvd.client() for _ in range(n)]
    for i, c in enumerate(clients):
        c.post("ECHO", i)
    is_(sum(c.read() == b"%d" % i for i, c in enumerate(clients)), n, f"{n} connections are all served")
    grown(kvd, before, n * 32 * 1024, f"{n} idle connections cost less than 32 KiB each")
    kvd.hang_up()
    ok(poll(lambda: kvd.fds() <= fds), "no descriptor is left behind", f"{kvd.fds()} open, {fds} before")
    healthy.end(f"{n} connections", 1.0)


def test_ten_thousand_connections():
    """As many as max-clients allows by default, each with a request cut in two."""
    n = 10000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if SANITIZED:
        raise Skip("too slow under sanitizers")
    if hard != resource.RLIM_INFINITY and hard < n + 200:
        raise Skip(f"needs {n + 200} descriptors, the hard limit is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, n + 200), hard))
    kvd = Kvd(max_clients=n).start()
    healthy = Healthy(kvd)
    before, fds = kvd.rss(), kvd.fds()
    data = request("SET", "crowd", "x")
    clients = []
    for _ in range(n - 1):
        c = kvd.client(timeout=60)
        c.send(data[:15])
        clients.append(c)
    extra = kvd.client(timeout=60)
    is_(extra.rest(30), b"-ERR max number of clients reached\r\n", "one more than 10000 is told so")
    for c in clients:
        c.send(data[15:])
    is_(sum(c.read() == OK for c in clients), n - 1, "9999 slow ones beside a healthy one are all served")
    grown(kvd, before, n * 16 * 1024, "each costs less than 16 KiB")
    kvd.hang_up()
    ok(poll(lambda: kvd.fds() <= fds, 20), "no descriptor is left behind", f"{kvd.fds()} open, {fds} before")
    healthy.end("10000 connections", 1.0)


def test_half_closed():
    """Whoever ends its requests gets every reply all the same, and leaves nothing behind."""
    kvd = Kvd().start()
    healthy = Healthy(kvd)
    fds = kvd.fds()
    clients = [kvd.client() for _ in range(200)]
    for i, c in enumerate(clients):
        c.send(b"".join(request("SET", f"half{i}", n) + request("GET", f"half{i}") for n in range(20)) + b"*2\r\n$3\r\nGET")
        c.half_close()
    got = [c.rest(20) for c in clients]
    expected = b"".join(b"+OK\r\n$%d\r\n%d\r\n" % (len(str(n)), n) for n in range(20))
    is_(sum(g == expected for g in got), 200, "200 half-closed clients get each of 40 replies, and the end")
    kvd.hang_up()
    ok(poll(lambda: kvd.fds() <= fds), "and leave no descriptor behind", f"{kvd.fds()} open, {fds} before")
    healthy.end("half-closed clients", 0.5)


def test_odd_lines():
    """A line without an end, and lines with NUL bytes."""
    kvd = Kvd().start()
    healthy = Healthy(kvd)
    before = kvd.rss()
    for start in (b"", b"SET k \"", b"*", b"*1\r\n$"):
        with kvd.client() as c:
            send_quietly(c, start + b"x" * MiB)
            ok(b"-ERR Protocol error" in c.rest(5), f"{start!r} and 1 MiB without an end of line is a protocol error and closes")
    grown(kvd, before, 8 * MiB, "and takes no memory")
    with kvd.client() as c:
        c.send(b"SET a\0b \"1\0\"\r\nGET a\0b\r\n" + request("SET", b"\0", b"\0\0") + request("GET", b"\0") + b"\0\r\nPING\r\n")
        is_([c.read() for _ in range(4)], [OK, b"1\0", OK, b"\0\0"], "NUL is a byte like any other, in lines and in frames")
        ok("unknown command" in c.read(), "but no command")
        is_(c.read(), b"PONG", "and no end of anything")
    healthy.end("odd lines", 0.5)


def test_too_large():
    """A value beyond the limit is refused by its header, before its bytes."""
    kvd = Kvd(max_value_size="1M").start()
    healthy = Healthy(kvd)
    before = kvd.rss()
    for size in (MiB + 1, 600 * MiB, 1 << 40, 1 << 63):
        with kvd.client() as c:
            c.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n" % size)
            ok(b"-ERR Protocol error: invalid bulk length" in c.rest(5), f"a value of {size} bytes is refused before it is sent")
    grown(kvd, before, 8 * MiB, "for nothing")
    healthy.end("too large values", 0.5)


def test_unread_in_total():
    """The replies all clients together leave unread have a bound; whoever has most of them goes."""
    kvd = Kvd(client_output_limit="64M", client_output_total="32M").start()
    c = kvd.client()
    c.must("SET", "v", b"x" * MiB)
    healthy = Healthy(kvd)
    before = kvd.rss()
    greedy = [kvd.client() for _ in range(10)]
    peak = 0
    for g in greedy:
        send_quietly(g, request("GET", "v") * 10)
        peak = max(peak, kvd.rss())
    ok(poll(lambda: "limit client-output-total" in kvd.log), "beyond client-output-total the worst is closed, and the journal says so")
    peak = max(peak, kvd.rss())
    if not SANITIZED:
        ok(peak - before < 64 * MiB, f"100 MiB nobody reads take less than 64 MiB ({(peak - before) / MiB:.0f} MiB)")
    is_(c("STRLEN", "v"), MiB, "who reads stays")
    healthy.end("unread replies in total", 0.5)


def test_out_of_memory():
    """Requests that do not fit into memory end with an error or their connection, never the daemon or what it has."""
    if SANITIZED:
        raise Skip("sanitizers take memory of their own")
    kvd = Kvd().start(limits={resource.RLIMIT_DATA: 256 * MiB})
    c = kvd.client()
    c.must("SET", "safe", b"s" * MiB)
    healthy = Healthy(kvd)
    ends = set()
    for data in (request("SET", "huge", b"h" * 160 * MiB), request("SETRANGE", "wide", 400 * MiB, "x"), request("BITFIELD", "bits", "SET", "u8", 400 * MiB * 8, 1)):
        with kvd.client(timeout=30) as greedy:
            send_quietly(greedy, data)
            try:
                reply = greedy.read()
                ends.add(getattr(reply, "kind", repr(reply)[:40]))
            except (Closed, OSError):
                ends.add("closed")
    crowd = [kvd.client(timeout=30) for _ in range(6)]
    for g in crowd:
        send_quietly(g, b"*3\r\n$3\r\nSET\r\n$1\r\nc\r\n$41943040\r\n" + b"c" * 39 * MiB)
    ok(ends and ends <= {"OOM", "closed", "ERR", "MISCONF"}, f"each ends with an error ({', '.join(sorted(ends))})")
    kvd.hang_up()
    healthy.end("no memory", 1.0)
    ok(kvd.alive, "it lives")
    is_(kvd.client()("STRLEN", "safe"), MiB, "and has what it had")
    kvd.crash()
    is_(kvd.client()("STRLEN", "safe"), MiB, "also after a crash")


def test_churn():
    kvd = Kvd().start()
    kvd.client().must("PING")
    fds = kvd.fds()
    for i in range(2000 if LONG else 400):
        c = Client(kvd.socket)
        kind = i % 5
        if kind == 0:
            c("PING")
        elif kind == 1:
            c.send(b"*2\r\n$3\r\nGET\r\n$100\r\nabc")
        elif kind == 2:
            c.send(request("SET", "churn", i) * 20)
        elif kind == 3:
            c.send(b"*x\r\n")
        elif kind == 4:
            c.send(request("SUBSCRIBE", "a") + request("PING"))
        if i % 2:
            c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        c.close()
    ok(poll(lambda: kvd.fds() <= fds), "clients that come and vanish leave nothing behind",
        f"{kvd.fds()} open, {fds} before")
    is_(kvd.client()("PING"), b"PONG", "and it serves on")


def test_out_of_descriptors():
    """More clients than descriptors: existing ones are served, no busy loop, and it recovers."""
    limit = 64
    kvd = Kvd().start(limits={resource.RLIMIT_NOFILE: limit})
    existing = kvd.client()
    existing.must("SET", "k", "v")
    crowd = []
    for _ in range(limit + 40):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        s.setblocking(False)
        try:
            s.connect(kvd.socket)
        except BlockingIOError:
            s.close()
            break
        crowd.append(s)
    is_(existing("GET", "k"), b"v", "an existing client is served")
    is_(existing("SET", "k", "w"), OK, "and may write")
    time.sleep(0.2)
    cpu, began = kvd.cpu(), time.monotonic()
    time.sleep(1.0)
    share = (kvd.cpu() - cpu) / (time.monotonic() - began)
    ok(share <= 0.25, f"no busy loop while out of descriptors ({share * 100:.0f} % of a processor)")
    existing.must("SET", "still", "here")
    told = 0
    for s in crowd:
        try:
            told += s.recv(100) == b"-ERR max number of clients reached\r\n"
        except OSError:
            pass
    ok(told >= 40, f"{told} who came too late are told so")
    for s in crowd:
        s.close()

    def served():
        try:
            with Client(kvd.socket, timeout=2) as c:
                return c("PING") == b"PONG"
        except (Closed, OSError):
            return False

    ok(poll(served, 5), "when they go new clients are served")
    ok(kvd.alive, "it lives")


def test_repeated_values():
    """A short request for a long reply, a short queue for a long transaction: both end at a limit, not with the memory."""
    if not LONG:
        return skip("replies and transactions have an end", "takes some GiB of memory: KVD_TEST_LONG=1")
    kvd = Kvd().start(limits=None if SANITIZED else {resource.RLIMIT_AS: 12 << 30})
    c = kvd.client(timeout=60 * PATIENCE)
    c.must("SET", "big", b"v" * (64 * MiB))
    c.must("SET", "small", "s")
    r = c("MGET", *["big"] * 200)
    ok(isinstance(r, Error) and r.kind == "ERR", "MGET of one value, again and again, is refused", repr(r)[:80])
    c.must("MULTI")
    for _ in range(200):
        c.must("GET", "big")
    r = c("EXEC")
    ok(isinstance(r, Error) and r.kind == "ERR", "and so is EXEC", repr(r)[:80])
    c.must("MULTI")
    c.must("SET", "small", "changed")
    for i in range(200):
        c.must("SETRANGE", f"far{i}", 100 * MiB, "x")
    r = c("EXEC")
    ok(isinstance(r, Error) and r.kind in ("OOM", "ERR"), "a transaction that writes without end is refused", repr(r)[:80])
    is_(c("GET", "small"), b"s", "and has changed nothing")
    is_(c("EXISTS", "far0", "far1"), 0, "nothing at all")
    ok(kvd.alive, "it lives")


def test_more_segments_than_descriptors():
    kvd = Kvd(segment_size="1M").start()
    c = kvd.client(timeout=60)
    for i in range(150):
        c.must("SET", f"k{i}", b"%4d" % i * 5000)
        c.must("SET", f"s{i}", i)
        c.must("KVD.ROTATE")
    kvd.stop()
    n = len(kvd.segments())
    ok(n >= 150, "more segments than descriptors", str(n))
    kvd.start(limits={resource.RLIMIT_NOFILE: 64})
    c = kvd.client(timeout=60)
    for name in ("one way", "and back"):
        order = range(150) if name == "one way" else range(149, -1, -1)
        wrong = [i for i in order if c("GET", f"k{i}") != b"%4d" % i * 5000 or c("GET", f"s{i}") != b"%d" % i]
        is_(wrong, [], f"it starts and serves all of them, {name}")
    ok(kvd.fds() < 50, "with few of them open", str(kvd.fds()))
    is_(c("SET", "new", "1"), OK, "it takes writes")
    for i in range(0, 150, 3):
        c.must("DEL", f"k{i}")
    ok(not isinstance(c("BGSAVE"), Error), "a snapshot of all of them begins")
    ok(poll(lambda: b"rdb_bgsave_in_progress:0" in c("INFO", "persistence"), 60), "and ends")
    ok(b"rdb_last_bgsave_status:ok" in c("INFO", "persistence"), "well")
    reply = c("KVD.COMPACT", "FORCE", "SYNC")
    ok(not isinstance(reply, Error), "all of them are merged", repr(reply))
    reply = c("KVD.VERIFY")
    ok(not isinstance(reply, Error), "and read back", repr(reply)[:200])
    wrong = [i for i in range(150) if c("GET", f"k{i}") != (b"%4d" % i * 5000 if i % 3 else None)]
    is_(wrong, [], "and everything is right afterwards")
    ok(kvd.fds() < 60, "no descriptor was left open", str(kvd.fds()))


def test_kill_others():
    """Garbage from many sides at once; the daemon lives and the data is right."""
    kvd = Kvd().start()
    c = kvd.client()
    c.must("SET", "safe", "1")
    healthy = Healthy(kvd)
    random = rng("garbage")

    for _ in range(3000 if LONG else 400):
        try:
            with Client(kvd.socket) as x:
                start = random.choice((b"", b"*", b"*3\r\n$", b"$5\r\n", b"*1\r\n$4\r\nPING\r\n",
                    b"HELLO 3\r\n", b"*2\r\n$3\r\nGET\r\n$-"))
                x.send(start + random.randbytes(random.randrange(300))
                    + random.choice((b"", b"\r\n", b"\0\0\r\n")))
                if random.random() < 0.5:
                    x.half_close()
                    x.rest(5)
        except OSError:
            pass
    healthy.end("garbage", 0.5)
    ok(kvd.alive, "garbage kills nothing")
    is_(c("GET", "safe"), b"1", "and changes nothing of others")


def test_saturation():
    """Ten greedy pipelines beside a polite client."""
    kvd = Kvd().start()
    healthy = Healthy(kvd)
    stop = time.monotonic() + (10 if LONG else 1.5)

    def greedy(i):
        with Client(kvd.socket) as c:
            block = b"".join(request("SET", f"g{i}-{j}", "x" * 100) + request("GET", f"g{i}-{j}")
                for j in range(200))
            while time.monotonic() < stop:
                c.send(block)
                for _ in range(400):
                    c.read()

    threads = [threading.Thread(target=greedy, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    healthy.end("saturation", 1.0)


run(test_announced_sizes, test_slow_senders, test_large_values, test_large_values_in_a_loop, test_long_pipeline,
    test_unread_replies, test_endless_multi,
    test_max_clients,
    test_many_connections, test_ten_thousand_connections, test_half_closed, test_odd_lines, test_too_large, test_unread_in_total, test_out_of_memory,
    test_churn, test_out_of_descriptors, test_repeated_values,
    test_more_segments_than_descriptors, test_kill_others, test_saturation)
