#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Large values: byte for byte through every way in and out, at the size from which on they are not copied; beside small ones;
clients and daemon killed half-way; a full disk; memory that comes back.
"""
import os

from kvdtest import *

KIB, MIB = 1 << 10, 1 << 20
SIZES = (256 * KIB - 1, 256 * KIB, MIB, 16 * MIB + 3)

kvd = Kvd(segment_size="32M", compact_garbage_ratio=0) # a merge takes memory, too


def fresh(**more):
    return kvd.fresh(timeout=60, **more)


def bytes_of(n, name="large"):
    return rng(f"{name} {n}").randbytes(n)


def move_on(c):
    """Enough for the log to have nothing of what came before in memory."""
    for i in range(6):
        c.must("SET", f"other{i}", bytes_of(MIB, "other"))
    c.must("DEL", *(f"other{i}" for i in range(6)))


def check_reads(c, n, value, how):
    ok(c("GET", f"k{n}") == value, f"{n} bytes, {how}: GET")
    at = n // 2
    ok(c("GETRANGE", f"k{n}", at, at + 9) == value[at:at + 10], f"{n} bytes, {how}: a small piece")
    ok(c("GETRANGE", f"k{n}", 1, -2) == value[1:-1], f"{n} bytes, {how}: nearly all of it")
    is_(c("STRLEN", f"k{n}"), n, f"{n} bytes, {how}: the length")


def test_in_and_out():
    c = fresh()
    for n in SIZES:
        value = bytes_of(n)
        is_(c("SET", f"k{n}", value), OK, f"{n} bytes are taken")
        check_reads(c, n, value, "young")
    move_on(c)
    for n in SIZES:
        check_reads(c, n, bytes_of(n), "from the file")
    reply = c("MGET", *(f"k{n}" for n in SIZES), "none")
    ok(reply == [*map(bytes_of, SIZES), None], "MGET of all of them")
    kvd.crash()
    c = kvd.client(timeout=60)
    for n in SIZES:
        ok(c("GET", f"k{n}") == bytes_of(n), f"{n} bytes are there after kill -9")


def test_other_commands():
    c = fresh(proto=3)
    one, two = bytes_of(300000), bytes_of(700001)
    is_(c("MSET", "a", one, "small", "s", "b", two), OK, "MSET")
    ok(c("MGET", "a", "small", "b") == [one, b"s", two], "its values are there")
    is_(c("EXPIRE", "a", "1000"), 1, "EXPIRE")
    is_(c("RENAME", "b", "c"), OK, "RENAME")
    is_(c("COPY", "c", "d"), 1, "COPY")
    move_on(c)
    is_(c("COPY", "a", "e"), 1, "COPY of one in the file")
    is_(c("PERSIST", "a"), 1, "PERSIST of one in the file")
    is_(c("APPEND", "a", "tail"), len(one) + 4, "APPEND")
    is_(c("APPEND", "s2", two), len(two), "APPEND of a large one")
    is_(c("SETRANGE", "d", "5", "xyz"), len(two), "SETRANGE")
    dump = c("DUMP", "c")
    is_(c("RESTORE", "f", "0", dump), OK, "DUMP and RESTORE")
    ok(c("SET", "c", one, "GET") == two, "SET with GET answers with the old one")
    ok(c("GETSET", "c", two) == one, "GETSET")
    ok(c("GETDEL", "c") == two, "GETDEL")
    is_(c("SETNX", "c", one), 1, "SETNX")
    is_(c("SET", "c", two, "NX"), None, "SET NX of one that is there")
    expected = [one + b"tail", one, two[:5] + b"xyz" + two[8:], one, two, two]
    ok(c("MGET", "a", "c", "d", "e", "f", "s2") == expected, "and all values are right")
    kvd.crash()
    ok(kvd.client(timeout=60)("MGET", "a", "c", "d", "e", "f", "s2") == expected, "also after kill -9")


def test_multi():
    c, other = fresh(), kvd.client(timeout=60)
    value = bytes_of(5 * MIB)
    c.must("SET", "w", "1")
    c.must("WATCH", "w")
    c.must("MULTI")
    is_(c("SET", "a", value), QUEUED, "a large value is queued")
    c("GET", "a")
    c("GETRANGE", "a", "0", "400000")
    c("SET", "b", "small")
    is_(other("GET", "a"), None, "and not visible yet")
    ok(c("EXEC") == [OK, value, value[:400001], OK], "EXEC takes it and answers with it")
    ok(other("GET", "a") == value, "then it is there")
    for how in ("DISCARD", "a change of the watched key"):
        c.must("WATCH", "w")
        c.must("MULTI")
        c.must("SET", "a", bytes_of(3 * MIB))
        if how == "DISCARD":
            c.must("DISCARD")
        else:
            other.must("INCR", "w")
            is_(c("EXEC"), None, "EXEC is refused")
        ok(c("GET", "a") == value, f"after {how} the value is the old one")
    move_on(c)
    c.must("MULTI")
    c("GET", "a")
    c("NOSUCH")
    ok(getattr(c("EXEC"), "kind", "") == "EXECABORT", "a broken transaction")
    c.must("MULTI")
    for _ in range(3):
        c("GET", "a")
    c("INCR", "a")
    reply = c("EXEC")
    ok(reply[:3] == [value] * 3 and isinstance(reply[3], Error), "an error behind large values leaves them as they are")


def test_pipeline():
    """Small and large ones mixed, sent at once and in odd pieces."""
    c = fresh()
    values = [bytes_of(n) for n in (10, 262143, 262144, 262145, 3, 400000, 262144)]
    data = b"".join(request("SET", f"p{i}", v) + request("GET", f"p{i}") for i, v in enumerate(values))
    replies = [x for v in values for x in (OK, v)]
    c.send(data)
    ok([c.read() for _ in replies] == replies, "all are answered in order")
    random = rng("pieces")
    for _ in range(3):
        at, got = 0, []
        pieces = []
        while at < len(data):
            n = random.choice((1, 2, 7, 100, 4096, 65536, 262144, 300000))
            pieces.append(data[at:at + n])
            at += n
        for piece in pieces:
            c.send(piece)
        got = [c.read() for _ in replies]
        ok(got == replies, f"also in {len(pieces)} pieces")


def test_byte_by_byte():
    """Where the header ends, where the value ends: one byte at a time."""
    c = fresh()
    value = bytes_of(256 * KIB)
    data = request("SET", "k", value) + request("GET", "k")
    head, foot = data[:60], data[-80:]
    for i in range(len(head)):
        c.send(head[i:i + 1])
    c.send(data[60:-80])
    for i in range(len(foot)):
        c.send(foot[i:i + 1])
    ok([c.read(), c.read()] == [OK, value], "a value of 256 KiB with its ends byte by byte")
    bad = kvd.client(timeout=60)
    bad.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$262144\r\n" + value + b"x\r\n")
    reply = bad.read()
    ok(isinstance(reply, Error) and "line end" in reply, "one that is longer than announced is refused", repr(reply))
    ok(c("GET", "k") == value, "and the key is as before")


def test_killed_clients():
    """Half of a value, then the client goes or is killed: its memory comes back."""
    c = fresh()
    c.must("SET", "warm", bytes_of(MIB))
    before, half = kvd.rss(), bytes_of(24 * MIB)
    for how in ("closed", "killed"):
        clients = [kvd.client(timeout=60) for _ in range(4)]
        ids = [x.must("CLIENT", "ID") for x in clients]
        for x in clients:
            x.send(b"*3\r\n$3\r\nSET\r\n$1\r\nh\r\n$67108864\r\n" + half)
        ok(poll(lambda: kvd.rss() - before > 90 * MIB, 10), f"{how}: what has come is in memory")
        for x, number in zip(clients, ids):
            if how == "closed":
                x.close()
            else:
                is_(c("CLIENT", "KILL", "ID", number), 1, "CLIENT KILL")
        ok(SANITIZED or poll(lambda: kvd.rss() - before < 24 * MIB, 10), f"{how}: and goes with the clients",
            f"{(kvd.rss() - before) / MIB:.0f} MiB")
        is_(c("EXISTS", "h"), 0, f"{how}: nothing was written")


def test_killed_readers():
    """Large replies that are not read: they are not copied, and go with their client."""
    c = fresh()
    c.must("SET", "big", bytes_of(32 * MIB))
    before = kvd.rss()
    readers = [kvd.client(timeout=60) for _ in range(4)]
    for x in readers:
        x.post("GET", "big")
    ok(poll(lambda: sum("omem=0 " not in line for line in c("CLIENT", "LIST").decode().splitlines()) >= 4, 10),
        "four clients have a large reply before them")
    for x in readers:
        x.close()
    ok(SANITIZED or poll(lambda: kvd.rss() - before < 16 * MIB, 10), "their memory is given back")
    is_(c("STRLEN", "big"), 32 * MIB, "the value is still there")


def test_memory():
    """A value is in memory once on its way in, not at all when it has settled."""
    if SANITIZED:
        raise Skip("memory is not comparable under sanitizers")
    c = fresh()
    before, n = kvd.rss(), 48 * MIB
    value = bytes_of(n)
    if not kvd.forget_peak():
        raise Skip("the kernel counts no peak anew")
    is_(c("SET", "once", value), OK, "a value of 48 MiB")
    took = kvd.peak() - before
    ok(took < n + 24 * MIB, f"took its own size in memory ({took / MIB:.0f} MiB)")
    ok(poll(lambda: kvd.rss() - before < 16 * MIB, 10), "which is given back when it is on disk",
        f"{(kvd.rss() - before) / MIB:.0f} MiB")
    ok(c("GET", "once") == value, "it reads back")
    ok(poll(lambda: kvd.rss() - before < 16 * MIB, 10), "and that memory is given back, too",
        f"{(kvd.rss() - before) / MIB:.0f} MiB")


def test_memory_after_a_start():
    """The threads that read the log at a start leave nothing of it in memory."""
    c = fresh()
    for _ in range(12):
        c.must("SET", "again", bytes_of(16 * MIB))
    kvd.crash()
    ok(SANITIZED or kvd.rss() < 24 * MIB, "a start that has read values of 16 MiB has given their memory back", f"{kvd.rss() / MIB:.0f} MiB")


def test_full_disk():
    """Large values until the disk is full: the refused one is taken back, and what fits goes on."""
    small = Kvd(segment_size="1M").start_on_disk_of("40m")
    c = small.client(timeout=60)
    first, second, third = bytes_of(10 * MIB), bytes_of(9 * MIB), bytes_of(60 * MIB)
    is_(c("SET", "a", first), OK, "a value that fits")
    reply = c("SET", "a", third)
    ok(isinstance(reply, Error) and reply.kind == "MISCONF", "one that does not is refused", repr(reply))
    ok(c("GET", "a") == first, "and the one before is back")
    ok(poll(lambda: c("SET", "b", second) == OK, 20, 0.05), "what fits is taken by and by")
    ok(c("GET", "b") == second, "and reads back")
    small.grow_disk("200m")
    ok(poll(lambda: c("SET", "c", third) == OK, 20, 0.05), "with more space also the largest")
    ok(c("MGET", "a", "b", "c") == [first, second, third], "all three are right")


def test_kill_while_writing():
    """kill -9 at some moment of a large SET: absent or whole, never a part; and what was acknowledged is there."""
    c = fresh()
    value = bytes_of(24 * MIB)
    data = request("SET", "torn", value)
    for i, share in enumerate((0.5, 0.9, 1.0, 1.0)):
        c.must("SET", "kept", f"{i}")
        c.must("DEL", "torn")
        c.send(data[:int(len(data) * share)])
        kvd.crash()
        c = kvd.client(timeout=60)
        got = c("GET", "torn")
        ok(got is None or got == value, f"kill {i}: the value is not there or whole")
        is_(c("GET", "kept"), b"%d" % i, f"kill {i}: what was acknowledged is there")


def test_largest():
    """512 MiB, the limit."""
    if not LONG:
        raise Skip("takes some GiB: KVD_TEST_LONG=1")
    c, n = fresh(), 512 * MIB
    value = bytes_of(MIB) * 512
    is_(c("SET", "most", value), OK, "a value of 512 MiB")
    ok(c("GET", "most") == value, "comes back")
    move_on(c)
    ok(c("GET", "most") == value, "also from the file")
    ok(c("GETRANGE", "most", n - 10, -1) == value[-10:], "and its end")
    kvd.crash()
    c = kvd.client(timeout=120)
    ok(c("GET", "most") == value, "and after kill -9")
    reply = c("APPEND", "most", "x")
    ok(isinstance(reply, Error) and "536870912" in reply, "not one byte more", repr(reply))


run(test_in_and_out, test_other_commands, test_multi, test_pipeline, test_byte_by_byte, test_killed_clients,
    test_killed_readers, test_memory, test_memory_after_a_start, test_full_disk, test_kill_while_writing, test_largest)
