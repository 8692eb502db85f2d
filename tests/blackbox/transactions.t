#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""MULTI, EXEC, DISCARD, WATCH: isolation, errors, and all or nothing on disk."""
import threading
import time

from kvdtest import *

kvd = Kvd()
fresh = kvd.fresh


def test_exec():
    c, other = fresh(), kvd.client()
    is_(c("MULTI"), OK, "MULTI")
    is_(c("SET", "a", "1"), QUEUED, "commands are queued")
    is_(c("INCR", "a"), QUEUED, "reads and writes alike")
    is_(c("GET", "a"), QUEUED, "also GET")
    is_(other("GET", "a"), None, "nothing is visible before EXEC")
    is_(c("EXEC"), [OK, 2, b"2"], "EXEC answers each in order")
    is_(other("GET", "a"), b"2", "and it is visible after")
    is_(c("EXEC"), Error("ERR EXEC without MULTI"), "EXEC without MULTI")
    is_(c("DISCARD"), Error("ERR DISCARD without MULTI"), "DISCARD without MULTI")
    c.must("MULTI")
    is_(c("EXEC"), [], "an empty transaction")
    c.must("MULTI")
    c.must("SET", "b", "1")
    is_(c("DISCARD"), OK, "DISCARD")
    is_(c("GET", "b"), None, "drops what was queued")


def test_errors():
    c = fresh()
    c.must("SET", "text", "abc")
    c.must("MULTI")
    c.must("SET", "x", "1")
    ok(isinstance(c("NOSUCH"), Error), "an unknown command while queueing is an error at once")
    reply = c("EXEC")
    ok(getattr(reply, "kind", "") == "EXECABORT", "EXEC is then EXECABORT", repr(reply))
    is_(c("EXISTS", "x"), 0, "and nothing is done")
    c.must("MULTI")
    ok(isinstance(c("GET"), Error), "so is a wrong number of arguments")
    ok(getattr(c("EXEC"), "kind", "") == "EXECABORT", "EXECABORT again")
    c.must("MULTI")
    c.must("SET", "x", "1")
    c.must("INCR", "text")
    c.must("SET", "y", "2")
    is_(c("EXEC"), [OK, Error("ERR value is not an integer or out of range"), OK],
        "an error at run time stops nothing")
    is_(c("MGET", "x", "y", "text"), [b"1", b"2", b"abc"], "the others are done")
    c.must("MULTI")
    is_(c("MULTI"), Error("ERR MULTI calls can not be nested"), "MULTI inside MULTI")
    is_(c("WATCH", "a"), Error("ERR WATCH inside MULTI is not allowed"), "WATCH inside MULTI")
    c("DISCARD")


def lost(change, name, watched=("w",), prepare=(), db=0):
    """A change by another client between WATCH and EXEC must void the transaction."""
    c, other = fresh(), kvd.client()
    for command in prepare:
        c.must(*command)
    c.must("WATCH", *watched)
    other.must("SELECT", db)
    for command in change:
        other.must(*command)
    c.must("MULTI")
    c.must("SET", "done", "1")
    is_(c("EXEC"), None, f"WATCH sees {name}")
    is_(c("EXISTS", "done"), 0, f"and nothing is done ({name})")


def kept(change, name, prepare=(), db=0):
    c, other = fresh(), kvd.client()
    for command in prepare:
        c.must(*command)
    c.must("WATCH", "w")
    other.must("SELECT", db)
    for command in change:
        other.must(*command)
    c.must("MULTI")
    c.must("SET", "done", "1")
    is_(c("EXEC"), [OK], f"WATCH does not mind {name}")


def test_watch():
    there = [("SET", "w", "1")]
    lost([("SET", "w", "2")], "SET", prepare=there)
    lost([("SET", "w", "1")], "SET of the same value", prepare=there)
    lost([("SET", "w", "1")], "a key made")
    lost([("DEL", "w")], "DEL", prepare=there)
    lost([("EXPIRE", "w", 100)], "EXPIRE", prepare=there)
    lost([("RENAME", "o", "w")], "RENAME onto it", prepare=[("SET", "o", "1")])
    lost([("RENAME", "w", "o")], "RENAME away", prepare=there)
    lost([("FLUSHDB",)], "FLUSHDB", prepare=there)
    lost([("FLUSHALL",)], "FLUSHALL", prepare=there)
    lost([("MSET", "o", "1", "w", "2")], "MSET")
    lost([("INCR", "w")], "INCR", prepare=there)
    lost([("SET", "b", "1")], "the second of two keys", watched=("a", "b"))
    timed = [("SET", "w", "1", "EXAT", "4102444800")]
    lost([("GETEX", "w", "EXAT", "4102444800")], "GETEX with the expiry it has", prepare=timed)
    lost([("GETEX", "w", "PERSIST")], "GETEX PERSIST", prepare=timed)
    kept([("GETEX", "w", "PERSIST")], "GETEX PERSIST of a key without expiry", prepare=there)
    kept([("GET", "w")], "reads", prepare=there)
    kept([("SET", "o", "1")], "other keys")
    kept([("SET", "w", "1")], "the same name in another database", db=3)
    kept([("DEL", "w")], "DEL of a key that is not there")
    c, other = fresh(), kvd.client()
    c.must("WATCH", "w")
    other.must("SET", "w", "1")
    c.must("UNWATCH")
    c.must("MULTI")
    c.must("GET", "w")
    is_(c("EXEC"), [b"1"], "UNWATCH forgets")
    c.must("WATCH", "w")
    c.must("SET", "w", "own")
    c.must("MULTI")
    is_(c("EXEC"), None, "a change of one's own before MULTI counts")
    c.must("MULTI")
    is_(c("EXEC"), [], "EXEC has forgotten the watch")
    c.must("WATCH", "w")
    other.must("SET", "w", "2")
    c.must("MULTI")
    c.must("DISCARD")
    c.must("MULTI")
    is_(c("EXEC"), [], "so has DISCARD")

    def watch_in_time():
        c.must("UNWATCH")
        c.must("SET", "e", "1", "PX", 100)
        c.must("WATCH", "e")
        return c("PTTL", "e") > 0

    ok(poll(watch_in_time), "a key is watched before it expires")
    poll(lambda: other("EXISTS", "e") == 0)
    c.must("MULTI")
    is_(c("EXEC"), None, "a watched key that expires voids the transaction")


def test_select_inside():
    c = fresh()
    c.must("MULTI")
    for command in (("SET", "a", "0"), ("SELECT", 5), ("SET", "a", "5"), ("SELECT", 0), ("GET", "a")):
        c.must(*command)
    is_(c("EXEC"), [OK, OK, OK, OK, b"0"], "SELECT inside a transaction")
    c.must("SELECT", 5)
    is_(c("GET", "a"), b"5", "writes both databases")


def test_own_writes():
    c = fresh()
    c.must("MULTI")
    for command in (("SET", "a", "1"), ("APPEND", "a", "2"), ("RENAME", "a", "b"), ("GET", "a"), ("GET", "b"),
        ("EXISTS", "a", "b"),
                    ("DEL", "b"), ("GET", "b"), ("MSET", "x", "1", "y", "2"), ("KEYS", "*"), ("DBSIZE",),
                    ("FLUSHDB",), ("DBSIZE",),
                    ("SET", "z", "1"), ("DBSIZE",)):
        c.must(*command)
    reply = c("EXEC")
    reply[9] = sorted(reply[9])
    is_(reply, [OK, 2, OK, None, b"12", 1, 1, None, OK, [b"x", b"y"], 2, OK, 0, OK, 1],
        "a transaction sees its own writes")
    is_(c("KEYS", "*"), [b"z"], "and leaves what it said")


def test_counter_by_watch():
    fresh()
    rounds = 40

    def count(_):
        c = kvd.client()
        for _ in range(rounds):
            while True:
                c.must("WATCH", "n")
                n = int(c.must("GET", "n") or 0)
                c.must("MULTI")
                c.must("SET", "n", n + 1)
                if c.must("EXEC") is not None:
                    break

    threads = [threading.Thread(target=count, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60 * PATIENCE)
    is_(kvd.client()("GET", "n"), str(4 * rounds).encode(), "four clients count by WATCH without a loss")


def test_isolation():
    """Two keys change together; nobody may ever see them apart."""
    c = fresh()
    c.must("MSET", "p", "0", "q", "0")
    stop = threading.Event()
    apart = []

    def look():
        x = kvd.client()
        while not stop.is_set():
            pair = x.must("MGET", "p", "q")
            if pair[0] != pair[1]:
                apart.append(pair)

    reader = threading.Thread(target=look)
    reader.start()
    end = time.monotonic() + (5 if LONG else 1)
    n = 0
    while time.monotonic() < end:
        n += 1
        c.pipeline(("MULTI",), ("SET", "p", n), ("SET", "q", n), ("EXEC",))
        n += 1
        c.must("MSET", "p", n, "q", n)
    stop.set()
    reader.join()
    is_(apart, [], f"readers never saw half of {n} transactions")


def test_restart():
    c = fresh()
    for n in range(50):
        c.pipeline(("MULTI",), ("SET", f"a{n}", n), ("SET", f"b{n}", n), ("INCRBY", "sum", n), ("EXEC",))
    c.must("MULTI")
    c.must("SET", "open", "1")
    kvd.crash()
    c = kvd.client()
    is_(c("GET", "sum"), str(sum(range(50))).encode(), "transactions are there after kill -9")
    is_(c("MGET", *(f"{x}{n}" for x in "ab" for n in range(50))),
        [b"%d" % n for _ in "ab" for n in range(50)], "whole")
    is_(c("EXISTS", "open"), 0, "one that was not executed is not")


def test_large():
    c = fresh()
    n = 20000
    commands = [("MULTI",), *(("SET", f"l{i}", "v" * 100) for i in range(n)), ("EXEC",)]
    replies = []
    sender = threading.Thread(target=c.send, args=(b"".join(request(*x) for x in commands),))
    sender.start()
    replies = [c.read() for _ in commands]
    sender.join()
    ok(replies[-1] == [OK] * n, f"a transaction of {n} commands")
    kvd.crash()
    is_(kvd.client()("DBSIZE"), n, "is there whole after kill -9")


run(test_exec, test_errors, test_watch, test_select_inside, test_own_writes, test_counter_by_watch,
    test_isolation,
    test_restart, test_large)
