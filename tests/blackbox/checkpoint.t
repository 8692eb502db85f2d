#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checkpoints: a start reads the end of the log only, and one that is missing or damaged costs nothing but time."""
import os
import time

from kvdtest import *


def stats(c):
    flat = c.must("KVD.STATS")
    return {flat[i].decode(): int(flat[i + 1]) for i in range(0, len(flat), 2)}


def path(kvd):
    return os.path.join(kvd.data, "CHECKPOINT")


def fill(c, n=4000, mark=b""):
    c.pipeline(*(("SET", b"key:%d" % i, mark + b"%d" % i * 20) for i in range(n)))
    c.must("SELECT", 3)
    c.must("SET", "other", b"db " + mark, "EX", 1000)
    c.must("SELECT", 0)


def wrong(c, n=4000, mark=b""):
    """Keys that are not as fill() has left them."""
    got = c.pipeline(*(("GET", b"key:%d" % i) for i in range(n)))
    bad = [i for i in range(n) if got[i] != mark + b"%d" % i * 20]
    c.must("SELECT", 3)
    if c.must("GET", "other") != b"db " + mark or not 900 < c.must("TTL", "other") <= 1000:
        bad.append("other")
    c.must("SELECT", 0)
    if c.must("DBSIZE") != n:
        bad.append("DBSIZE")
    return bad


def test_stop_and_start():
    kvd = Kvd().start()
    fill(kvd.client())
    kvd.stop()
    ok(os.path.exists(path(kvd)), "a stop leaves a checkpoint")
    is_(os.stat(path(kvd)).st_mode & 0o777, 0o600, "that is nobody else's to read")
    kvd.start()
    c = kvd.client()
    s = stats(c)
    is_((s["recovered_from_checkpoint"], s["recovered_records"], s["checkpoint_keys"]), (1, 0, 4001), "a start uses it and replays nothing")
    is_(wrong(c), [], "and everything is there")
    c.must("SET", "key:0", b"0" * 20)
    c.must("DEL", "key:1")
    c.must("SET", "key:1", b"1" * 20)
    kvd.crash()
    c = kvd.client()
    s = stats(c)
    is_((s["recovered_from_checkpoint"], s["recovered_records"]), (1, 3), "after kill -9 the end of the log is replayed as well")
    is_(wrong(c), [], "and everything is there again")
    ok("from a checkpoint on" in kvd.log, "the journal says so")


def test_after_a_merge():
    kvd = Kvd(checkpoint_interval="15s", compact_garbage_ratio=0).start()
    c = kvd.client()
    fill(c, mark=b"old " * 20)
    fill(c, mark=b"new " * 20)
    c.must("KVD.SNAPSHOT", "SYNC")
    ok(stats(c)["checkpoint_position"] > 0, "there is a checkpoint")
    c.must("KVD.COMPACT", "SYNC", "FORCE")
    # The merge has set the position to 0. A count would tell nothing: the new one may be there before it is looked at.
    ok(poll(lambda: stats(c)["checkpoint_position"] > 0, 10), "another is written soon after a merge has made it useless")
    kvd.crash()
    c = kvd.client()
    is_(stats(c)["recovered_from_checkpoint"], 1, "so that the next start need not read the whole log", kvd.log)
    is_(wrong(c, mark=b"new " * 20), [], "and everything is there")


def test_damaged():
    kvd = Kvd().start()
    fill(kvd.client())
    kvd.stop()
    with open(path(kvd), "rb") as f:
        good = f.read()
    random = rng("damage")
    for n in range(6):
        what = random.choice(("flip", "cut", "empty")) if n else "remove"
        at = random.randrange(len(good))
        bad = {"flip": good[:at] + bytes([good[at] ^ 1 << n]) + good[at + 1:], "cut": good[:at], "empty": b"", "remove": None}[what]
        with open(path(kvd), "wb") as f:
            f.write(bad or b"")
        if bad is None:
            os.unlink(path(kvd))
        before = len(kvd.log)
        kvd.start()
        c = kvd.client()
        is_((stats(c)["recovered_from_checkpoint"], wrong(c)), (0, []), f"{what} at {at}: not used, and everything is there")
        ok(("CHECKPOINT: not used" in kvd.log[before:]) == (bad is not None), "which the journal says once", kvd.log[before:])
        ok("replayed" in kvd.log[before:] and ", without a checkpoint\n" in kvd.log[before:], "and that the start was one without", kvd.log[before:])
        kvd.stop()
        ok(os.path.exists(path(kvd)), "a stop leaves a good one")
        if n % 2:
            kvd.start()
            is_(stats(kvd.client())["recovered_from_checkpoint"], 1, "which the next start uses")
            kvd.stop()


def test_by_time():
    """In the background, under load, with kill -9 at any moment."""
    # The garbage made here would set off a merge on a fast machine, and one that ends just before the kill leaves a checkpoint of no use.
    kvd = Kvd(checkpoint_interval="1ms", compact_garbage_ratio=0).start()
    for n in range(20 if LONG else 3):
        c = kvd.client()
        before = stats(c)["checkpoints"]
        mark = b"%d:" % n
        fill(c, mark=mark)
        stop = time.monotonic() + 10 * PATIENCE
        while stats(c)["checkpoints"] == before and time.monotonic() < stop:
            fill(c, mark=mark)
        ok(stats(c)["checkpoints"] > before, f"a checkpoint is written while clients write, life {n}")
        kvd.crash()
        c = kvd.client()
        is_((stats(c)["recovered_from_checkpoint"], wrong(c, mark=mark)), (1, []), "a start after kill -9 uses it", kvd.log)
    kvd.stop()
    is_(kvd.left_over(), [], "and nothing else is left")
    is_(kvd.start().client().must("CONFIG", "SET", "checkpoint-interval", "0"), b"OK", "it can be turned off while kvd runs")


run(test_stop_and_start, test_after_a_merge, test_damaged, test_by_time)
