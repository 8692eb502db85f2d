#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Expiry: the answers of the TTL family, keys that go in their time, space that comes back, steps of the wall clock."""
import os
import time

from kvdtest import *

kvd = Kvd(expire_interval="100ms")
fresh = kvd.fresh


def near(got, expected, name, slack=90000):
    ok(isinstance(got, int) and expected - slack <= got <= expected, name,
        f"got {got}, expected up to {expected}")


def test_answers():
    c = fresh()
    is_((c("TTL", "x"), c("PTTL", "x"), c("EXPIRETIME", "x"), c("PEXPIRETIME", "x")), (-2, -2, -2, -2),
        "an absent key: -2")
    c.must("SET", "x", "1")
    is_((c("TTL", "x"), c("PTTL", "x"), c("EXPIRETIME", "x"), c("PEXPIRETIME", "x")), (-1, -1, -1, -1),
        "no expiry: -1")
    is_(c("EXPIRE", "x", 100), 1, "EXPIRE")
    near(c("PTTL", "x"), 100000, "PTTL")
    ok(10 <= c("TTL", "x") <= 100, "TTL is in seconds")
    near(c("PEXPIRETIME", "x"), int(time.time() * 1000) + 100001, "PEXPIRETIME is the moment")
    is_(c("PERSIST", "x"), 1, "PERSIST")
    is_((c("PERSIST", "x"), c("TTL", "x")), (0, -1), "PERSIST again does nothing")
    is_(c("EXPIRE", "none", 100), 0, "EXPIRE of nothing")
    is_(c("EXPIRE", "x", -1), 1, "EXPIRE in the past")
    is_(c("EXISTS", "x"), 0, "deletes")
    c.must("SET", "x", "1")
    reply = c("EXPIRE", "x", 2**62)
    ok(isinstance(reply, Error) and "invalid expire time" in reply, "an expiry that overflows is an error",
        repr(reply))
    is_(c("TTL", "x"), -1, "and changes nothing")


def test_moments():
    c = fresh()
    c.must("SET", "x", "1")
    c.must("EXPIREAT", "x", 4102444800)
    is_(c("EXPIRETIME", "x"), 4102444800, "EXPIRETIME is what EXPIREAT said")
    c.must("SET", "y", "1", "PXAT", 4102444800123)
    at = c("PEXPIRETIME", "y")
    ok(abs(at - 4102444800123) <= 5, "PEXPIRETIME is what PXAT said, to a few milliseconds", str(at))
    ok(len({c("PEXPIRETIME", "y") for _ in range(200)}) <= 2, "and does not wander")
    again = sum(c("PEXPIREAT", "y", 4102444800123, way) for _ in range(100) for way in ("GT", "LT"))
    ok(again == 0, "the same moment is neither later nor earlier", str(again))


def test_conditions():
    c = fresh()
    c.must("SET", "x", "1")
    is_(c("EXPIRE", "x", 100, "XX"), 0, "XX without an expiry")
    is_(c("EXPIRE", "x", 100, "GT"), 0, "GT without an expiry: none is the longest")
    is_(c("EXPIRE", "x", 100, "NX"), 1, "NX without one")
    is_(c("EXPIRE", "x", 200, "NX"), 0, "NX with one")
    is_(c("EXPIRE", "x", 50, "GT"), 0, "GT with a shorter time")
    is_(c("EXPIRE", "x", 300, "GT"), 1, "GT with a longer one")
    is_(c("EXPIRE", "x", 400, "LT"), 0, "LT with a longer one")
    is_(c("EXPIRE", "x", 50, "LT"), 1, "LT with a shorter one")
    is_(c("EXPIRE", "x", 60, "XX"), 1, "XX with one")
    ok(isinstance(c("EXPIRE", "x", 60, "NX", "GT"), Error), "NX and GT exclude each other")
    c.must("SET", "y", "1")
    is_(c("EXPIRE", "y", 50, "LT"), 1, "LT without an expiry: any time is shorter")


def test_keep_or_drop():
    c = fresh()
    for command, keeps in [(("SET", "x", "2"), False), (("SET", "x", "2", "KEEPTTL"), True),
        (("GETSET", "x", "2"), False),
                           (("INCR", "x"), True), (("APPEND", "x", "2"), True),
                           (("SETRANGE", "x", 0, "3"), True),
                           (("GETEX", "x"), True), (("GETEX", "x", "PERSIST"), False),
                           (("MSET", "x", "2"), False),
                           (("INCRBYFLOAT", "x", "1"), True)]:
        c.must("SET", "x", "1", "EX", 100)
        c.must(*command)
        is_(c("TTL", "x") > 0, keeps, f"{' '.join(map(str, command))} {'keeps' if keeps else 'drops'} the expiry")
    c.must("SET", "x", "1", "EX", 100)
    c.must("RENAME", "x", "y")
    ok(c("TTL", "y") > 0, "RENAME takes the expiry along")


def test_goes_in_time():
    c = fresh()
    began = time.monotonic()
    c.must("SET", "x", "1", "PX", 300)
    c.must("SET", "stay", "1")
    gone = poll(lambda: c("GET", "x") is None, pause=0)
    took = time.monotonic() - began
    ok(gone and took >= 0.29, f"a key of 300 ms is gone after about that ({took:.3f} s)")
    is_((c("TTL", "x"), c("EXISTS", "x"), c("TYPE", "x"), c("STRLEN", "x"), c("GETDEL", "x"), c("DEL", "x")),
        (-2, 0, b"none", 0, None, 0), "every command takes it for absent")
    is_((c("KEYS", "*"), c("SCAN", 0)[1], c("RANDOMKEY")), ([b"stay"], [b"stay"], b"stay"),
        "it is not listed")
    is_(c("SET", "x", "2", "NX"), OK, "and its name is free")
    is_(c("TTL", "x"), -1, "without the old time")


def test_sweep():
    c = fresh()
    n = 5000
    c.pipeline(*(("SET", f"s{i}", "v" * 50, "PX", 200) for i in range(n)))
    c.must("SET", "stay", "1")
    ok(poll(lambda: c("DBSIZE") == 1, 10), "untouched keys are swept away", f"DBSIZE {c('DBSIZE')}")
    stats = dict(line.split(":", 1) for line in c("INFO", "stats").decode().split("\r\n") if ":" in line)
    ok(int(stats.get("expired_keys", 0)) >= n, "and counted in expired_keys", str(stats.get("expired_keys")))
    keyspace = c("INFO", "keyspace").decode()
    ok("db0:keys=1,expires=0" in keyspace, "INFO keyspace agrees", keyspace)
    kvd.crash()
    is_(kvd.client()("DBSIZE"), 1, "none comes back after kill -9")


def wall_clock_steps(offset):
    """
    A key of 3 s while the wall clock jumps. Runs kvd in a time of its own: libfaketime re-reads its file.
    """
    library = next((p for p in ("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
                                "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1") if os.path.exists(p)),
                                None)
    if not library:
        raise Skip("libfaketime is not here")
    if SANITIZED:
        raise Skip("sanitizers want to be loaded first, before libfaketime")
    own = Kvd(expire_interval="100ms")
    steer = os.path.join(own.dir, "faketime")
    with open(steer, "w") as f:
        f.write("+0s")
    own.start(env={"LD_PRELOAD": library, "FAKETIME_TIMESTAMP_FILE": steer, "FAKETIME_NO_CACHE": "1",
                   "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"})
    c = own.client()
    began = time.monotonic()
    c.must("SET", "three", "v", "PX", 3000)
    c.must("SET", "stay", "v", "EX", 100000)
    with open(steer, "w") as f:
        f.write(offset)
    ok(poll(lambda: abs(int(c("TIME")[0]) - time.time()) > 1800, 3), f"the wall clock steps {offset}")
    left, stays = c("PTTL", "three"), c("PTTL", "stay")
    late = time.monotonic() - began >= 3
    ok(0 < left <= 3000 or late and left == -2, f"{offset}: PTTL counts elapsed time", f"PTTL {left}")
    ok(99000000 < stays <= 100000000, f"{offset}: of a longer one as well", f"PTTL {stays}")
    ok(poll(lambda: c("EXISTS", "three") == 0, 5), f"{offset}: the 3 s key goes")
    took = time.monotonic() - began
    ok(took >= 2.9, f"{offset}: after 3 s ({took:.1f} s)")
    is_(c("EXISTS", "stay"), 1, f"{offset}: a longer one stays")


def test_clock_back():
    wall_clock_steps("-1h")


def test_clock_forth():
    wall_clock_steps("+1h")


run(test_answers, test_moments, test_conditions, test_keep_or_drop, test_goes_in_time, test_sweep, test_clock_back,
    test_clock_forth)
