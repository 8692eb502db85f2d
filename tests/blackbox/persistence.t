#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What was written is there after a restart and after kill -9, whatever command wrote it."""
import os
import time

from kvdtest import *


def state(c, databases=16):
    """Everything in the store: {(db, key): (value, absolute expiry)}."""
    found = {}
    for db in range(databases):
        c.must("SELECT", db)
        for key in c.must("KEYS", "*"):
            found[db, key] = (c.must("GET", key), c.must("PEXPIRETIME", key))
    c.must("SELECT", 0)
    return found


FAR = 4102444800  # in the year 2100

WRITES = [
    ("SET", "set", "v"), ("SET", "set", "v2"), ("SET", "set-ex", "v", "EX", 1000),
    ("SET", "set-px", "v", "PX", 1000000),
    ("SET", "set-exat", "v", "EXAT", FAR), ("SET", "set-pxat", "v", "PXAT", FAR * 1000),
    ("SET", "set-keep", "a", "EX", 1000), ("SET", "set-keep", "b", "KEEPTTL"),
    ("SET", "set-drop", "a", "EX", 1000),
    ("SET", "set-drop", "b"), ("SET", "set-nx", "a", "NX"), ("SET", "set-nx", "b", "NX"),
    ("SET", "set-xx", "a", "XX"),
    ("SET", "set-get", "a"), ("SET", "set-get", "b", "GET"),
    ("SETNX", "setnx", "a"), ("SETNX", "setnx", "b"), ("SETEX", "setex", 1000, "v"),
    ("PSETEX", "psetex", 1000000, "v"),
    ("GETSET", "getset", "a"), ("GETSET", "getset", "b"), ("SET", "getdel", "v"), ("GETDEL", "getdel"),
    ("SET", "getex", "v"), ("GETEX", "getex", "EX", 1000), ("SET", "getex-p", "v", "EX", 10),
    ("GETEX", "getex-p", "PERSIST"),
    ("MSET", "m1", "1", "m2", "2", "m1", "3"), ("MSETNX", "mn1", "1", "mn2", "2"),
    ("MSETNX", "mn2", "x", "mn3", "x"),
    ("APPEND", "append", "abc"), ("APPEND", "append", "def"), ("SETRANGE", "setrange", 5, "xyz"),
    ("SETRANGE", "append", 1, "ZZ"),
    ("INCR", "incr"), ("INCR", "incr"), ("DECR", "decr"), ("INCRBY", "incrby", 2**62),
    ("DECRBY", "decrby", 77),
    ("INCRBYFLOAT", "float", "3.25"), ("INCRBYFLOAT", "float", "-1.5"),
    ("MSET", "d1", "1", "d2", "2", "u1", "1"), ("DEL", "d1", "d2", "none"), ("UNLINK", "u1"),
    ("SET", "rn", "v", "EX", 1000), ("RENAME", "rn", "renamed"), ("SET", "rx", "v"),
    ("RENAMENX", "rx", "renamednx"),
    ("SET", "rx2", "v"), ("RENAMENX", "rx2", "renamed"),
    ("SET", "expire", "v"), ("EXPIRE", "expire", 1000), ("SET", "pexpire", "v"),
    ("PEXPIRE", "pexpire", 1000000),
    ("SET", "expireat", "v"), ("EXPIREAT", "expireat", FAR), ("SET", "pexpireat", "v"),
    ("PEXPIREAT", "pexpireat", FAR * 1000 + 7),
    ("SET", "persist", "v", "EX", 1000), ("PERSIST", "persist"), ("SET", "past", "v"),
    ("EXPIREAT", "past", 1),
    ("SET", "gt", "v", "EX", 100), ("EXPIRE", "gt", 5000, "GT"), ("EXPIRE", "gt", 10, "GT"),
    ("SELECT", 15), ("SET", "other", "db15"), ("SELECT", 7), ("MSET", "f1", "1", "f2", "2"), ("FLUSHDB",),
    ("SET", "f3", "3"),
    ("SELECT", 0), ("MULTI",), ("SET", "multi1", "1"), ("INCRBY", "multi2", 5), ("DEL", "m2"), ("EXEC",),
    ("MULTI",), ("SET", "discarded", "1"), ("DISCARD",),
]

SHOULD = [
    ("COPY", "set", "copied"), ("COPY", "setex", "copied-db", "DB", 3), ("SET", "moved", "v", "EX", 1000),
    ("MOVE", "moved", 4),
    ("SELECT", 5), ("SET", "swapped", "5"), ("SWAPDB", 5, 6), ("SELECT", 0), ("SETBIT", "bit", 77, 1),
    ("MSET", "b1", "abc", "b2", "abd"), ("BITOP", "XOR", "bitop", "b1", "b2"),
    ("BITFIELD", "field", "SET", "u8", 8, 200),
]

EXPECTED = {
    b"set": b"v2", b"set-keep": b"b", b"set-nx": b"a", b"set-get": b"b", b"setnx": b"a", b"getset": b"b",
    b"m1": b"3",
    b"mn1": b"1", b"append": b"aZZdef", b"setrange": b"\0\0\0\0\0xyz", b"incr": b"2", b"decr": b"-1",
    b"incrby": b"4611686018427387904", b"decrby": b"-77", b"float": b"1.75", b"renamed": b"v",
    b"renamednx": b"v",
    b"multi1": b"1", b"multi2": b"5", b"expireat": b"v",
}
ABSENT = [b"set-xx", b"getdel", b"mn3", b"d1", b"d2", b"u1", b"rn", b"rx", b"past", b"m2", b"discarded"]


def test_every_command():
    kvd = Kvd().start()
    c = kvd.client()
    for command in WRITES:
        reply = c(*command)
        if isinstance(reply, Error):
            ok(False, "taken: " + " ".join(map(str, command)), repr(reply))
    for command in SHOULD:
        reply = c(*command)
        if isinstance(reply, Error) and "unknown command" in reply:
            skip(f"{command[0]} survives", "not in this release")
    before = state(c)
    values = {key: value for (db, key), (value, _) in before.items() if db == 0}
    is_({k: values.get(k) for k in EXPECTED}, EXPECTED, "the values are right before the restart")
    is_([k for k in ABSENT if k in values], [], "what was deleted is gone before the restart")
    ok(abs(before.get((0, b"set-exat"), (0, 0))[1] - FAR * 1000) <= 30, "expiry is kept to some milliseconds")
    kvd.restart()
    check_same(before, state(kvd.client()), "after a clean restart")
    kvd.crash()
    check_same(before, state(kvd.client()), "after kill -9")
    c = kvd.client()
    c.must("FLUSHALL")
    c.must("SET", "phoenix", "1")
    kvd.crash()
    is_(list(state(kvd.client())), [(0, b"phoenix")], "FLUSHALL stays done after kill -9")


def same(a, b):
    """Expiry counts elapsed time while running and wall time over a restart: a few milliseconds may come between."""
    return a == b or a and b and a[0] == b[0] and abs(a[1] - b[1]) <= 100 and min(a[1], b[1]) > 0


def check_same(before, after, name):
    different = sorted(k for k in before.keys() | after.keys() if not same(before.get(k), after.get(k)))
    ok(not different, f"everything is the same {name}",
       *(f"{k}: was {before.get(k)}, is {after.get(k)}" for k in different[:10]))
    ok(len(before) > 30 or "small" in name, f"and there was enough to compare {name}")


def test_binary():
    kvd = Kvd().start()
    c = kvd.client()
    random = rng("binary")
    pairs = {b"": b"empty key", b"empty value": b"", b"\0": b"\0", b"\r\n": b"\r\nSET injected 1\r\n",
        b" ": b"  trailing  ",
             b"a b\tc": b"x\ny", b"\xff" * 300: b"\xff" * 300, b"k" * 65536: b"longest key", "naïve ☃": "ünï"}
    pairs = {to_bytes(k): to_bytes(v) for k, v in pairs.items()}
    pairs[b"1 MiB"] = random.randbytes(1 << 20)
    for _ in range(300):
        pairs[random.randbytes(random.randrange(1, 40))] = random.randbytes(random.choice((0, 1, 2, 63, 64,
            65, 127, 128, 255, 256, 4095, 4096)))
    for key, value in pairs.items():
        c.must("SET", key, value)
    for how, again in (("a restart", kvd.restart), ("kill -9", kvd.crash)):
        again()
        c = kvd.client()
        wrong = [k for k, v in pairs.items() if c.must("GET", k) != v]
        is_(wrong, [], f"binary keys and values come back after {how}")
        is_(c.must("DBSIZE"), len(pairs), f"and nothing else is there after {how}")
        is_(sorted(c.must("KEYS", "*")), sorted(pairs), f"KEYS lists them after {how}")


def test_last_value_wins():
    kvd = Kvd().start()
    for session in range(12):
        c = kvd.client()
        c.must("SET", "k", f"v{session}")
        c.must("SET", f"s{session}", "1")
        if session == 5:
            c.must("DEL", "s0")
        (kvd.crash if session % 3 == 2 else kvd.restart)()
        c = kvd.client()
        if c("GET", "k") != b"v%d" % session:
            is_(c("GET", "k"), b"v%d" % session, f"session {session}: the last value wins")
    c = kvd.client()
    is_(c("GET", "k"), b"v11", "the last of twelve sessions wins")
    is_(sorted(c("KEYS", "s*")), sorted(b"s%d" % i for i in range(1, 12)),
        "each session's own key is there, the deleted one is not")


def test_first_write_after_open():
    kvd = Kvd().start()
    kvd.client().must("MSET", "a", "1", "b", "2")
    for n in range(4):
        kvd.restart()
        c = kvd.client()
        c.must("SET", f"first{n}", f"value{n}")
        is_(c("MGET", f"first{n}", "a", "b"), [b"value%d" % n, b"1", b"2"],
            f"the first write after opening, time {n}")
    kvd.crash()
    is_(kvd.client()("MGET", *(f"first{n}" for n in range(4))), [b"value%d" % n for n in range(4)],
        "all of them later")


def test_rotation():
    kvd = Kvd(segment_size="1M").start()
    c = kvd.client()
    value = rng("rotation").randbytes(1000)
    for batch in range(60):
        c.pipeline(*(("SET", f"r{batch}-{i}", value) for i in range(100)))
    files = kvd.segments()
    ok(len(files) >= 5, f"6 MB make several segments of 1 MB ({len(files)})")
    big = [f for f in files if os.path.getsize(f) > (5 << 20) // 4]
    is_(big, [], "none is much larger than 1 MB")
    names = [os.path.basename(f) for f in files]
    ok(all(len(n) == 14 and n[:10].isdigit() for n in names), "names are ten digits and .seg",
        repr(names[:3]))
    for name in ("LOCK", "CATALOG"):
        ok(os.path.exists(os.path.join(kvd.data, name)), f"{name} is there")
    for _ in range(10):
        kvd.restart()
    after = kvd.segments()
    ok(len(after) <= len(files) + 1, "ten restarts do not add segments",
        f"{len(files)} before, {len(after)} after")
    is_([f for f in after if os.path.getsize(f) == 0], [], "no empty segment")
    c = kvd.client()
    is_(c("DBSIZE"), 6000, "all keys are there")
    ok(all(c("GET", f"r{b}-{i}") == value for b in range(0, 60, 7) for i in range(0, 100, 13)),
        "with their values")
    c.must("SET", "large", b"x" * (3 << 20))
    kvd.crash()
    is_(kvd.client()("STRLEN", "large"), 3 << 20, "a value larger than a segment is kept too")


def test_rotate_command():
    kvd = Kvd().start()
    c = kvd.client()
    before = len(kvd.segments())
    for n in range(12):
        c.must("SET", "k", n)
        reply = c("KVD.ROTATE")
        if isinstance(reply, Error) and "unknown command" in reply:
            raise Skip("no KVD.ROTATE in this release")
    ok(len(kvd.segments()) >= before + 11, "KVD.ROTATE closes the active segment")
    kvd.crash()
    is_(kvd.client()("GET", "k"), b"11", "the last of twelve segments wins (more than nine: by number, not by name)")


def test_two_daemons():
    first = Kvd().start()
    first.client().must("SET", "k", "first")
    second = Kvd()
    second.data = first.data
    code, log = second.fails()
    is_(code, EXIT_LOCKED, "a second daemon on the directory ends with 73", log)
    ok(str(first.pid) in log, "and names the process that has it", log)
    is_(first.client()("GET", "k"), b"first", "the first goes on")
    first.kill9()
    second.start()
    is_(second.client()("GET", "k"), b"first", "after kill -9 the lock is free")


def test_expiry_over_restart():
    kvd = Kvd().start()
    c = kvd.client()
    began = time.monotonic()
    c.must("SET", "short", "v", "PX", 1500)
    c.must("SET", "long", "v", "EX", 1000)
    c.must("SET", "past", "v", "PX", 1)
    at = c.must("PEXPIRETIME", "long")
    kvd.restart()
    c = kvd.client()
    left = c("PTTL", "short")
    if time.monotonic() - began < 1.4:
        ok(0 < left <= 1500, "a key keeps its remaining time over a restart", f"PTTL {left}")
    ok(abs(c("PEXPIRETIME", "long") - at) <= 1000, "and its moment")
    is_(c("GET", "past"), None, "a key that expired before is gone")
    ok(poll(lambda: c("EXISTS", "short") == 0, 3), "the short one goes in its time")
    ok(time.monotonic() - began > 1.3, "and not before")
    for again in (kvd.crash, kvd.restart):
        again()
        is_(kvd.client()("MGET", "short", "past", "long"), [None, None, b"v"],
            f"nothing expired comes back ({again.__name__})")


def test_relaxed_durability():
    for mode in ("interval", "never"):
        kvd = Kvd(durability=mode).start()
        c = kvd.client()
        replies = c.pipeline(*(("SET", f"k{i}", i) for i in range(500)))
        ok(all(r == OK for r in replies), f"{mode}: writes are acknowledged")
        reply = c("WAITAOF", 1, 0, 60000)
        if not isinstance(reply, Error):
            is_(reply, [1, 0], f"{mode}: WAITAOF waits for the disk")
        kvd.restart()
        is_(kvd.client()("DBSIZE"), 500, f"{mode}: everything is there after a clean stop")
        c = kvd.client()
        c.pipeline(*(("SET", f"n{i}", i) for i in range(500)))
        kvd.crash()
        there = [int(v) for v in kvd.client()("MGET", *(f"n{i}" for i in range(500))) if v]
        is_(there, list(range(len(there))), f"{mode}: after kill -9 a prefix of the writes is there")


run(test_every_command, test_binary, test_last_value_wins, test_first_write_after_open, test_rotation,
    test_rotate_command, test_two_daemons, test_expiry_over_restart, test_relaxed_durability)
