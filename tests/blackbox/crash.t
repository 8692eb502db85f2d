#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
kill -9 under load. Each writer owns a range of keys and sends pipelines; what was acknowledged is in its model, what was
in flight is kept in order. After recovery the keys must be the model with some prefix of the flight applied: that one
rule covers lost writes, resurrected deletes, torn transactions and broken order.
"""
import os
import threading
import time

from kvdtest import *

KEYS = 60


class Writer:
    def __init__(self, number):
        self.mine = b"w%d:" % number
        self.random = rng(f"writer {number}")
        self.state = {}
        self.flight = []
        self.acknowledged = 0
        self.n = 0
        self.problem = None

    def next_step(self):
        """One atomic step: the requests and what it does to the keys (None: deleted, int: added)."""
        self.n += 1
        r = self.random
        key = self.mine + b"k%d" % r.randrange(KEYS)
        what = r.randrange(10)
        if what < 4:
            value = b"%d:" % self.n + b"x" * r.choice((0, 5, 50, 300, 3000))
            return [("SET", key, value)], {key: value}
        if what < 6:
            return [("DEL", key)], {key: None}
        if what == 6:
            return [("INCR", self.mine + b"count")], {self.mine + b"count": 1}
        pair = {self.mine + b"pa": b"%d" % self.n, self.mine + b"pb": b"%d" % self.n}
        if what == 7:
            flat = [x for item in pair.items() for x in item]
            return [("MSET", *flat)], pair
        other = self.mine + b"k%d" % r.randrange(KEYS)
        steps = [("MULTI",), *(("SET", k, v) for k, v in pair.items()), ("DEL", other),
            ("INCRBY", self.mine + b"count", 3), ("EXEC",)]
        return steps, {**pair, other: None, self.mine + b"count": 3}

    def work(self, kvd):
        """Sends until the connection breaks."""
        try:
            c = Client(kvd.socket)
        except OSError:
            return
        try:
            while True:
                steps = [self.next_step() for _ in range(self.random.choice((1, 1, 4, 16)))]
                self.flight = [effect for _, effect in steps]
                c.send(b"".join(request(*r) for requests, _ in steps for r in requests))
                for requests, effect in steps:
                    for _ in requests:
                        reply = c.read()
                    if isinstance(reply, Error):
                        self.problem = repr(reply)
                        return
                    apply(self.state, effect)
                    self.flight.pop(0)
                    self.acknowledged += 1
        except (Closed, OSError):
            pass
        finally:
            c.close()

    def check(self, c):
        """Compares with what is there, and takes it over. Returns a text when it is wrong."""
        names = sorted({self.mine + b"k%d" % i for i in range(KEYS)} | {self.mine + x for x in (b"pa", b"pb",
            b"count")})
        values = c.must("MGET", *names)
        there = {k: v for k, v in zip(names, values) if v is not None}
        model = dict(self.state)
        if there == model:
            return None
        for effect in self.flight:
            apply(model, effect)
            if there == model:
                self.state = model
                return None
        wrong = [k for k in names if there.get(k) != self.state.get(k)]
        return (f"{self.mine.decode()}: no prefix of {len(self.flight)} steps in flight explains "
                + "; ".join(f"{k.decode()} = {short(there.get(k))}, acknowledged {short(self.state.get(k))}"
                for k in wrong[:6]))


def short(value):
    return value if value is None or len(value) < 20 else value[:20] + b"..."


def apply(state, effect):
    for key, change in effect.items():
        if change is None:
            state.pop(key, None)
        elif isinstance(change, int):
            state[key] = b"%d" % (int(state.get(key, b"0")) + change)
        else:
            state[key] = change


def cycle(kvd, writers, random, during):
    """One life: load, kill, perhaps kills during recovery, check."""
    threads = [threading.Thread(target=w.work, args=(kvd,)) for w in writers]
    for t in threads:
        t.start()
    before = sum(w.acknowledged for w in writers)
    time.sleep(random.uniform(*during))
    poll(lambda: sum(w.acknowledged for w in writers) > before + 20, pause=0.001)  # on a busy machine they may not even have begun
    kvd.kill9()
    for t in threads:
        t.join()
    for _ in range(random.choice((0, 0, 1, 3))):
        kvd.start(wait=False)
        time.sleep(random.uniform(0, 0.03))
        kvd.kill9()
    kvd.start()
    c = kvd.client()
    problems = [w.problem for w in writers if w.problem]
    problems += filter(None, [w.check(c) for w in writers])
    return problems


def crash_cycles(name, count, writers=4, during=(0.05, 0.5), **options):
    kvd = Kvd(**options).start()
    random = rng(name)
    crew = [Writer(i) for i in range(writers)]
    problems = []
    done_ = 0
    for n in range(count):
        done_ += 1
        problems = cycle(kvd, crew, random, during)
        if problems:
            problems.insert(0, f"in cycle {n}")
            break
    total = sum(w.acknowledged for w in crew)
    ok(not problems, f"{name}: {done_} kills, {total} acknowledged steps, all there", *problems)
    ok(total > 20 * count, f"{name}: and the load was real", f"{total} steps")
    kvd.stop()
    is_(kvd.left_over("snapshots", "damaged"), [], f"{name}: no leftover files")


def test_one_segment():
    crash_cycles("kill -9", 300 if LONG else 6)


def test_small_segments():
    crash_cycles("kill -9 with rotation", 300 if LONG else 6, segment_size="1M")


def test_relaxed():
    """Without waiting for the disk kill -9 may lose the last writes, never break a transaction."""
    kvd = Kvd(durability="never").start()
    for n in range(30 if LONG else 3):
        c = kvd.client()
        stop = time.monotonic() + 0.2
        i = 0
        c.must("MSET", "a", 0, "b", 0)
        while time.monotonic() < stop:
            c.pipeline(*(("MSET", "a", i + j, "b", i + j) for j in range(20)))
            i += 20
        kvd.crash()
        a, b = kvd.client().must("MGET", "a", "b")
        ok(a == b, f"durability=never: a pair is whole after kill -9, life {n}", f"{a} and {b}")


def test_stop_under_load():
    """SIGTERM under the same load: what was acknowledged is there, what was not may be."""
    kvd = Kvd().start()
    crew = [Writer(i) for i in range(4)]
    for n in range(20 if LONG else 2):
        threads = [threading.Thread(target=w.work, args=(kvd,)) for w in crew]
        for t in threads:
            t.start()
        time.sleep(0.2)
        code, took = kvd.stop()
        for t in threads:
            t.join()
        is_(code, 0, "SIGTERM under load ends with 0")
        ok(took < 2 * PATIENCE, f"within {2 * PATIENCE:g} s ({took:.2f} s)")
        kvd.start()
        c = kvd.client()
        problems = list(filter(None, [w.problem or w.check(c) for w in crew]))
        ok(not problems, "and everything acknowledged is there", *problems)


run(test_one_segment, test_small_segments, test_relaxed, test_stop_under_load)
