#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Replies keep the order of requests on each connection, whatever mix of commands and databases is in flight."""
import threading

from kvdtest import *

kvd = Kvd()
start = kvd.fresh


def make_requests(random, n, mine):
    """Requests on keys of one's own over several databases with the replies a model gives."""
    model, db, out = {}, 0, []
    for i in range(n):
        key = b"%s:%d" % (mine, random.randrange(8))
        what = random.randrange(9)
        at = (db, key)
        if what == 0:
            db = random.randrange(16)
            out.append((("SELECT", db), OK))
        elif what in (1, 2):
            model[at] = b"%s-%d" % (mine, i)
            out.append((("SET", key, model[at]), OK))
        elif what in (3, 4):
            out.append((("GET", key), model.get(at)))
        elif what == 5:
            out.append((("DEL", key), 1 if model.pop(at, None) is not None else 0))
        elif what == 6:
            out.append((("PING", str(i)), b"%d" % i))
        elif what == 7:
            model[at] = model.get(at, b"") + b"+"
            out.append((("APPEND", key, "+"), len(model[at])))
        else:
            model[at] = b"x"
            out.append((("MULTI",), OK))
            out.append((("SET", key, "x"), QUEUED))
            out.append((("GET", key), QUEUED))
            out.append((("EXEC",), [OK, b"x"]))
    return out


def test_pipelines():
    start()
    clients, rounds, depth = (20, 20, 150) if LONG else (8, 5, 120)
    wrong = []

    def work(number):
        random = rng(number)
        c = kvd.client()
        for round_ in range(rounds):
            mine = b"c%d-%d" % (number, round_)
            c.must("SELECT", 0)
            work_list = make_requests(random, depth, mine)
            got = c.pipeline(*(r for r, _ in work_list))
            for i, (g, (r, w)) in enumerate(zip(got, work_list)):
                if g != w:
                    wrong.append(f"client {number} round {round_} request {i} {r}: got {g!r}, expected {w!r}")
                    return

    seed()
    threads = [threading.Thread(target=work, args=(i,)) for i in range(clients)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60 * PATIENCE)
    ok(not wrong, f"{clients} clients with pipelines over 16 databases: every reply in its place", *wrong[:5])


def test_reads_behind_writes():
    """A read may be answered at once, a write waits for the disk: they must not overtake."""
    start()
    c = kvd.client()
    for round_ in range(30):
        requests = []
        for i in range(20):
            requests += [("SET", "k", f"{round_}.{i}"), ("GET", "k"), ("GET", "none"), ("PING", i)]
        got = c.pipeline(*requests)
        expected = []
        for i in range(20):
            expected += [OK, b"%d.%d" % (round_, i), None, b"%d" % i]
        if got != expected:
            is_(got, expected, f"round {round_}")
            return
    ok(True, "reads and writes on one connection keep their order")


def test_waiting_command():
    start()
    c = kvd.client()
    got = c.pipeline(("SET", "a", "1"), ("WAITAOF", 1, 0, 60000), ("GET", "a"), ("SET", "a", "2"),
        ("GET", "a"))
    is_(got, [OK, [1, 0], b"1", OK, b"2"], "what follows a waiting command comes after it")


def test_big_among_small():
    start()
    c = kvd.client()
    big = rng("big").randbytes(3 << 20)
    c.must("SET", "big", big)
    data = b"".join(request("GET", "big") + request("ECHO", str(i)) for i in range(8))
    c.send(data)
    good = all(c.read() == big and c.read() == b"%d" % i for i in range(8))
    ok(good, "large replies between small ones come whole and in order")


run(test_pipelines, test_reads_behind_writes, test_waiting_command, test_big_among_small)
