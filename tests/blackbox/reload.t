#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""DEBUG RELOAD: the store is closed and opened again in the middle of everything, and no client notices but by the time it takes."""
import errno
import os
import threading
import time

import faulty
from kvdtest import *

kvd = Kvd(enable_debug_command="yes", segment_size="1M", notify_keyspace_events="KA", cache_size="64K")
fresh = kvd.fresh


def number(c, name):
    return dict(zip(*[iter(c.must("KVD.STATS"))] * 2))[name.encode()]


def test_data():
    c = fresh()
    c.must("MSET", "a", "1", "b", b"\0\xff" * 100000)
    c.must("SET", "fleeting", "x", "EX", 1000)
    c.must("SET", "gone", "x")
    c.must("DEL", "gone")
    c.must("SELECT", 3)
    c.must("SET", "three", "3")
    c.must("SWAPDB", 3, 5)
    c.must("CLIENT", "SETNAME", "me")
    pid, moment = kvd.pid, c.must("PEXPIRETIME", "fleeting") if c.must("SELECT", 0) else 0
    c.must("SELECT", 5)
    for words in (("DEBUG", "RELOAD"), ("debug", "loadaof"), ("DEBUG", "RELOAD")):
        is_(c(*words), OK, " ".join(words))
    is_(c("GET", "three"), b"3", "the connection is in the database it was in, which was exchanged with another")
    is_(c("CLIENT", "GETNAME"), b"me", "and has its name")
    c.must("SELECT", 0)
    is_([c("GET", "a"), c("GET", "b"), c("GET", "gone"), c("DBSIZE")], [b"1", b"\0\xff" * 100000, None, 3], "the data is what it was")
    ok(abs(c("PEXPIRETIME", "fleeting") - moment) <= 1000, "so is the time to live")
    is_(kvd.pid, pid, "in the same process")
    is_(c("DEBUG", "JMAP"), OK, "DEBUG JMAP is accepted")
    other = kvd.client()
    other.must("CONFIG", "SET", "appendfsync", "everysec")
    other.must("KVD.COMPACT", "PAUSE")
    other.must("DEBUG", "RELOAD")
    is_((other("CONFIG", "GET", "appendfsync")[1], number(other, "compact_paused")), (b"everysec", 1), "what was set at run time stays")
    other.must("KVD.COMPACT", "RESUME")
    other.must("CONFIG", "SET", "appendfsync", "always")
    is_(kvd.crash().client()("GET", "a"), b"1", "and a crash behind it loses nothing")


def test_pipelines():
    """Replies that were held before, requests that stand behind."""
    c = fresh()
    others = [kvd.client() for _ in range(8)]
    for round_ in range(5):
        for i, o in enumerate(others):
            o.send(b"".join(request("SET", f"p{i}-{n}", f"{round_}-{n}") + request("GET", f"p{i}-{n}") for n in range(50)))
        c.send(request("INCR", "n") + request("DEBUG", "RELOAD") + request("INCR", "n") + request("WAITAOF", 1, 0, 0) + request("GET", "n"))
        is_([c.read() for _ in range(5)], [2 * round_ + 1, OK, 2 * round_ + 2, [1, 0], b"%d" % (2 * round_ + 2)],
            "replies before and behind it, in order")
        wrong = [(i, n, got) for i, o in enumerate(others) for n in range(50)
            if (got := (o.read(), o.read())) != (OK, b"%d-%d" % (round_, n))]
        is_(wrong, [], "and 400 requests of others at the same time")


def test_cold_reads():
    """Requests that wait for a record when the store goes are run with the next one."""
    c = fresh()
    for i in range(60):
        c.must("SET", f"cold{i}", b"%02d" % i * 20000)
    wrong, stop = [], threading.Event()

    def read(seed_):
        random = rng(seed_)
        with Client(kvd.socket) as mine:
            while not stop.is_set():
                ns = [random.randrange(60) for _ in range(10)]
                got = mine.pipeline(*[("GET", f"cold{n}") for n in ns])
                wrong.extend(n for n, value in zip(ns, got) if value != b"%02d" % n * 20000)

    threads = [threading.Thread(target=read, args=(i,)) for i in range(3)]
    for t in threads:
        t.start()
    for _ in range(10):
        for path in kvd.segments():
            with open(path, "rb") as f:
                os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        is_(c("DEBUG", "RELOAD"), OK, "DEBUG RELOAD among readers of cold values")
    stop.set()
    for t in threads:
        t.join()
    is_(wrong, [], "who all get the right ones")


def test_transactions():
    c = fresh()
    a, b, d = kvd.client(), kvd.client(), kvd.client()
    c.must("MSET", "a", "1", "b", "1")
    for client, key in ((a, "a"), (b, "b")):
        client.must("WATCH", key, "absent")

    def watch_in_time():
        c.must("SET", "short", "1", "PX", 100)
        d.must("UNWATCH")
        d.must("WATCH", "short")
        return c("PTTL", "short") > 0

    ok(poll(watch_in_time), "a key is watched before it expires")
    for client, key in ((a, "a"), (b, "b"), (d, "short")):
        client.must("MULTI")
        client.must("INCR", key)
    c.must("DEBUG", "RELOAD")
    is_(a("EXEC"), [2], "a queue, and a watched key that stays as it is")
    c.must("SET", "b", "2")
    is_(b("EXEC"), None, "a watched key that is changed behind the reload")
    ok(poll(lambda: c("EXISTS", "short") == 0), "a key expires")
    is_(d("EXEC"), None, "and whoever watches it learns of that")
    a.must("MULTI")
    ok("not allowed" in a("DEBUG", "RELOAD"), "not inside MULTI")
    is_(a("EXEC").kind, "EXECABORT", "which is then given up")


def test_listeners_and_cursors():
    c = fresh()
    listener, waiting = kvd.client(proto=3), kvd.client()
    listener.must("SUBSCRIBE", "news", "__keyspace@0__:k")
    listener.read()
    for i in range(300):
        c.must("SET", f"scan{i}", i)
    cursor, keys = c("SCAN", 0, "COUNT", 100)
    c.must("CLIENT", "PAUSE", 600000, "WRITE")
    waiting.post("SET", "k", "1")
    ok(poll(lambda: b"blocked_clients:1" in kvd.client()("INFO", "clients")), "a write waits in a pause")
    is_(c("DEBUG", "RELOAD"), OK, "DEBUG RELOAD")
    ok(waiting.quiet(0.1), "it goes on waiting")
    c.must("CLIENT", "UNPAUSE")
    is_(waiting.read(), OK, "until the pause is over")
    is_(listener.read()[1:], [b"__keyspace@0__:k", b"set"], "who listens hears of it")
    c.must("PUBLISH", "news", "x")
    is_(listener.read()[1:], [b"news", b"x"], "and of messages")
    while cursor != b"0":
        cursor, more = c("SCAN", cursor, "COUNT", 100)
        keys += more
    ok(len(keys) == len(set(keys)) and {b"scan%d" % i for i in range(300)} <= set(keys), "a SCAN goes on where it was")
    c.must("SET", "e", "1", "PX", 1)
    ok(poll(lambda: c("DBSIZE") == 301), "an expired key is removed")
    expired = int(next(x for x in c("INFO", "stats").split(b"\r\n") if x.startswith(b"expired_keys:")).split(b":")[1])
    c.must("DEBUG", "RELOAD")
    ok(expired >= 1 and b"expired_keys:%d\r" % expired in c("INFO", "stats"), "and INFO counts on")


def test_work_under_way():
    """A snapshot or merge that was asked for is complete or given up, and who waits for it is told which."""
    c = fresh()
    workers = [kvd.client() for _ in range(4)]
    for i in range(40):
        c.must("SET", f"work{i % 20}", b"x" * 200000)
    for round_ in range(4):
        workers[0].post("KVD.BACKUP", f"b{round_}", "SYNC")
        workers[1].post("KVD.COMPACT", "SYNC", "FORCE")
        workers[2].post("KVD.SNAPSHOT", "SYNC")
        workers[3].post("KVD.VERIFY", "SYNC")
        is_(c("DEBUG", "RELOAD"), OK, "DEBUG RELOAD beside a snapshot, a compaction, an index and a scrub")
        backup, compact, index, verify = [w.read() for w in workers]
        ok(backup == b"b%d" % round_ or "given up" in backup, "the snapshot is complete or given up", repr(backup))
        ok(isinstance(compact, list) or isinstance(compact, Error), "the compaction is answered", repr(compact))
        ok(index == OK or "given up" in index or "not written" in index, "the index, too", repr(index))
        ok(isinstance(verify, list) and verify[-1] == 0, "the scrub begins again and finds nothing", repr(verify))
        is_([c("STRLEN", f"work{i}") for i in range(20)], [200000] * 20, "the data is whole")
    names = [row[1] for row in c("KVD.BACKUPS")]
    ok(all(b"damaged" not in row for row in c("KVD.BACKUPS")), f"{len(names)} snapshots are whole")
    for name in names:
        c.must("KVD.BACKUPDEL", name, "SYNC")
    is_(kvd.crash().client()("STRLEN", "work7"), 200000, "a crash behind all this loses nothing")


def test_index():
    """KVD.SNAPSHOT: what a start begins with."""
    c = fresh()
    for i in range(0, 20000, 1000):
        c.must("MSET", *[x for n in range(i, i + 1000) for x in (f"index{n}", "v" * 30)])
    is_(c("KVD.SNAPSHOT", "SYNC"), OK, "KVD.SNAPSHOT SYNC")
    c.must("SET", "behind", "1")
    kvd.crash()
    c = kvd.client()
    is_(number(c, "recovered_from_checkpoint"), 1, "the next start begins with it")
    is_((c("DBSIZE"), c("GET", "behind")), (20001, b"1"), "and has everything")
    before = number(c, "checkpoints")
    is_(c("KVD.SNAPSHOT"), OK, "without SYNC it only begins")
    ok(poll(lambda: number(c, "checkpoints") > before), "and ends")


def test_refused():
    """A directory that is no good any more ends the daemon as it would a start."""
    other = Kvd(enable_debug_command="yes").start()
    c = other.client()
    c.must("SET", "k", "v")
    os.chmod(other.data, 0o777)
    c.post("DEBUG", "RELOAD")
    code = other.wait_exit()
    is_(code, EXIT_CONFIG, "a data directory everybody may write to ends the daemon", other.log[-300:])
    ok("everything is on disk" not in other.log and other.data in other.log, "and the journal names it", other.log[-300:])
    os.chmod(other.data, 0o700)
    is_(other.start().client()("GET", "k"), b"v", "nothing is lost")


def faulty_kvd():
    other = Kvd(enable_debug_command="yes", segment_size="1M")
    fault = faulty.Faulty(other.data)
    other.start(env=fault.env())
    return other, fault


def test_refusing():
    """A store that refuses writes after a failed sync is left as it is, and goes on with its reads."""
    other, fault = faulty_kvd()
    c = other.client()
    c.must("SET", "k", "v")
    fault.fail(faulty.mask(faulty.SYNC), errno.EIO)
    reply = c("SET", "k", "w")
    ok(getattr(reply, "kind", "") == "MISCONF", "a write whose sync fails", repr(reply))
    reply = c("DEBUG", "RELOAD")
    ok(getattr(reply, "kind", "") == "MISCONF" and "was not opened again" in reply, "DEBUG RELOAD is refused with the reason", repr(reply))
    is_(c("GET", "k"), b"v", "reads go on")
    other.crash()
    ok(other.client()("GET", "k") in (b"v", b"w"), "nothing acknowledged is lost")


def test_failing_calls():
    """Each call to the disk that a reload makes fails in turn (each second one, but in the long form): it is done, refused, or the end of the daemon, and everything acknowledged is there."""
    other, fault = faulty_kvd()
    ends = {"done": 0, "refused": 0, "ended": 0}
    step = 1 if LONG else 2
    n = 1 - step
    while True:
        n += step
        c = other.client()
        c.must("SET", "n", n)
        c.must("SET", f"k{n}", "v" * 1000)
        c.post("SET", "held", n)
        fault.fail(faulty.CHANGES | faulty.mask(faulty.OPEN), errno.EIO, first=n)
        c.post("DEBUG", "RELOAD")
        try:
            held, reply = c.read(), c.read()
            ends["done" if reply == OK else "refused"] += 1
            if isinstance(reply, Error) and reply.kind != "MISCONF":
                return ok(False, f"call {n}: a clear end", repr(reply))
        except (Closed, ConnectionError):
            held, code = None, other.wait_exit()
            ends["ended"] += 1
            if code not in (EXIT_IO, EXIT_CONFIG, EXIT_CORRUPT):
                return ok(False, f"call {n}: the daemon ends as at a start that fails", str(code), other.log[-400:])
        hits = fault.calm()
        other.kill9()
        other.start(env=fault.env())
        c = other.client()
        got = c("GET", "n"), c("STRLEN", f"k{n}")
        if got != (b"%d" % n, 1000) or held == OK and c("GET", "held") != b"%d" % n:
            return ok(False, f"call {n}: everything acknowledged is there", repr((got, held, c("GET", "held"))))
        if not hits:
            break
    ok(n > 8 and ends["done"] and ends["ended"], f"{n} calls fail in turn: {ends}, and nothing is lost")


run(test_data, test_pipelines, test_cold_reads, test_transactions, test_listeners_and_cursors, test_work_under_way, test_index, test_refused,
    test_refusing, test_failing_calls)
