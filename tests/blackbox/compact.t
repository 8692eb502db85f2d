#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compaction: the space comes back, the data stays, by hand and by itself, also when the daemon is killed in the middle."""
import os
import subprocess
import time

from kvdtest import *


def blocks(kvd):
    """Bytes the segments take on the disk."""
    total = 0
    for path in kvd.segments():
        try:
            total += os.stat(path).st_blocks * 512
        except FileNotFoundError:  # a merge has just removed it
            pass
    return total


def stats(c):
    flat = c.must("KVD.STATS")
    return {flat[i].decode(): int(flat[i + 1]) for i in range(0, len(flat), 2)}


def rewrite(c, rounds=1000, mark=b"v"):
    """Each round writes twenty keys of 4 KiB anew."""
    for i in range(rounds // 20):
        c.pipeline(*(("SET", b"key:%d" % k, (mark + b"%d:%d " % (i, k)) * 400) for k in range(20)))


def content(c):
    keys = sorted(c.must("KEYS", "*"))
    return list(zip(keys, c.pipeline(*(("GET", k) for k in keys))))


def test_by_hand():
    kvd = Kvd(segment_size="1M", compact_garbage_ratio="0").start()
    c = kvd.client()
    rewrite(c)
    c.must("SET", "gone", "x")
    c.must("DEL", "gone")
    before, used = content(c), blocks(kvd)
    ok(used > 2 << 20, "a thousand rewrites take space: %d bytes" % used)
    ok(stats(c)["garbage_bytes"] > 1 << 20, "most of which is garbage")
    reply = c.must("KVD.COMPACT", "SYNC")
    numbers = {reply[i].decode(): reply[i + 1] for i in range(0, 6, 2)}
    ok(numbers["saved"] == numbers["before"] - numbers["after"] > 0, "a compaction says what it has saved: %r" % numbers)
    ok(numbers["after"] * 10 < numbers["before"], "which is more than nine tenths")
    # The active segment has blocks allocated ahead of its records.
    ok(poll(lambda: blocks(kvd) < used / 10 + (1 << 20)), "also on the disk: %d bytes of %d are left" % (blocks(kvd), used))
    is_(content(c), before, "the data is as it was")
    kvd.restart()
    is_(content(kvd.client()), before, "and after a start")
    segments = kvd.client().must("KVD.SEGMENTS")
    ok(len(segments) == len(kvd.segments()) and segments[-1][-1] == b"active", "KVD.SEGMENTS lists the files")
    kvd.crash()
    is_(content(kvd.client()), before, "and after kill -9")


def test_by_itself():
    kvd = Kvd(segment_size="1M", compact_garbage_ratio="30", compact_min_garbage="1M", compact_rate="0").start()
    c = kvd.client()
    rewrite(c)
    before = content(c)
    ok(poll(lambda: stats(c)["merges"] > 0 and stats(c)["garbage_bytes"] < 2 << 20), "garbage is merged by itself")
    is_(content(c), before, "the data is as it was")
    is_(c.must("CONFIG", "SET", "compact-garbage-ratio", "0"), b"OK", "it can be turned off while kvd runs")
    is_(c.must("CONFIG", "SET", "compact-window", "02:00-05:00"), b"OK", "or limited to some hours")
    ok(isinstance(c("CONFIG", "SET", "compact-window", "2-5"), Error), "hours are checked")
    is_(c.must("CONFIG", "GET", "compact-window"), [b"compact-window", b"02:00-05:00"], "and wrong ones are not taken")


def hours(begin, end):
    """A window from so many hours after now to so many."""
    return "-".join(time.strftime("%H:%M", time.localtime(time.time() + h * 3600)) for h in (begin, end))


def test_by_the_clock():
    kvd = Kvd(segment_size="1M", compact_garbage_ratio="30", compact_min_garbage="1M", compact_rate="0", compact_window=hours(2, 3)).start()
    c = kvd.client()
    rewrite(c)
    began = stats(c)["uptime_seconds"]
    ok(poll(lambda: stats(c)["uptime_seconds"] >= began + 3) and stats(c)["merges"] == 0, "outside of compact-window nothing begins by itself")
    c.must("CONFIG", "SET", "compact-window", hours(-1, 1))
    ok(poll(lambda: stats(c)["merges"] > 0), "inside of it merges do")
    c.must("CONFIG", "SET", "compact-garbage-ratio", "0")
    poll(lambda: stats(c)["merging"] == 0)
    before = stats(c)["merges"]
    rewrite(c)
    c.must("CONFIG", "SET", "compact-interval", "1s")
    ok(poll(lambda: stats(c)["merges"] > before), "with compact-interval a compaction comes by time")


def test_names():
    kvd = Kvd(segment_size="1M", compact_garbage_ratio="0").start()
    c = kvd.client()
    rewrite(c, 200)
    ok(c.must("BGREWRITEAOF").startswith(b"Background append only file"), "BGREWRITEAOF has the reply its clients know")
    ok(poll(lambda: b"aof_rewrite_in_progress:0" in c.must("INFO", "persistence") and stats(c)["merges"] > 0), "INFO tells when it is over")
    rewrite(c, 200)
    is_(c.must("KVD.COMPACT", "PAUSE"), b"OK", "merging can be paused")
    is_(c.must("KVD.COMPACT"), b"OK", "a compaction begins")
    ok(poll(lambda: b"aof_rewrite_in_progress:1" in c.must("INFO", "persistence")), "INFO tells that it runs")
    is_(c.must("SET", "k", "v"), b"OK", "writes go on")
    is_(c.must("KVD.COMPACT", "RESUME"), b"OK", "and it goes on")
    ok(poll(lambda: b"aof_rewrite_in_progress:0" in c.must("INFO", "persistence")), "to its end")
    c.must("KVD.COMPACT", "PAUSE")
    rewrite(c, 200)
    c.must("KVD.COMPACT")
    is_(kvd.stop()[0], 0, "a daemon with a paused merge stops")


def test_stopped_in_the_middle():
    """A compaction at a rate at which it would take hours does not hold up SIGTERM."""
    kvd = Kvd(segment_size="1M", compact_garbage_ratio="0", compact_rate="4096").start()
    c = kvd.client()
    rewrite(c, 600)
    before, waiting = content(c), kvd.client()
    waiting.post("KVD.COMPACT", "FORCE", "SYNC")
    ok(poll(lambda: b"aof_rewrite_in_progress:1" in c.must("INFO", "persistence")), "a slow compaction runs")
    code, took = kvd.stop()
    is_(code, 0, "SIGTERM ends it all the same (%.2f s)" % took)
    kvd.start()
    is_(content(kvd.client()), before, "the data is as it was")
    is_(len(kvd.client().must("KVD.SEGMENTS")), len(kvd.segments()), "and no file is left over")


def test_killed_in_the_middle():
    rounds = 40 if os.environ.get("KVD_TEST_LONG") else 4
    kvd = Kvd(segment_size="1M", compact_garbage_ratio="0", compact_rate="0").start()
    bad = []
    for i in range(rounds):
        c = kvd.client()
        rewrite(c, 600, b"round %d " % i)
        c.must("DEL", "key:%d" % (i % 20))
        before = content(c)
        c.must("KVD.COMPACT", "FORCE")
        time.sleep(0.003 * (i % 10))
        kvd.crash()
        if content(kvd.client()) != before:
            bad.append(i)
        if len(kvd.client().must("KVD.SEGMENTS")) != len(kvd.segments()):
            bad.append("files left in round %d" % i)
    is_(bad, [], "kill -9 during %d compactions: the data is the same, and no file is left over" % rounds)


run(test_by_hand, test_by_itself, test_by_the_clock, test_names, test_stopped_in_the_middle, test_killed_in_the_middle)
