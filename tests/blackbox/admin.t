#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What an administrator looks and acts with while clients go on: pauses, MONITOR, the slow log, options at run time."""
import time

from kvdtest import *

kvd = Kvd()
start = kvd.fresh


def info(c, field):
    return next(line.partition(b":")[2] for line in c("INFO").split(b"\r\n") if line.startswith(field + b":"))


def test_pause():
    start()
    a, b, admin = kvd.client(), kvd.client(), kvd.client()
    admin.must("CLIENT", "PAUSE", 600000, "WRITE")
    a.send(request("SET", "k", "1") + request("GET", "k"))
    is_(b("GET", "k"), None, "CLIENT PAUSE WRITE: reads go on")
    ok(poll(lambda: info(admin, b"blocked_clients") == b"1"), "and a write waits")
    is_(b("DBSIZE"), 0, "it has done nothing yet")
    admin.must("CLIENT", "UNPAUSE")
    is_([a.read(), a.read()], [OK, b"1"], "CLIENT UNPAUSE: it is run, and what came behind it")
    admin.must("CLIENT", "PAUSE", 600000)
    a.post("PING")
    b.post("GET", "k")
    ok(a.quiet(0.1), "CLIENT PAUSE: everything waits")
    is_(kvd.client()("CLIENT", "UNPAUSE"), OK, "but who comes to end it")
    is_([a.read(), b.read()], [b"PONG", b"1"], "then all are answered")
    admin.must("CLIENT", "PAUSE", 50)
    is_(a("PING"), b"PONG", "a pause ends by itself")
    admin.must("CLIENT", "PAUSE", 600000, "WRITE")
    a.post("SET", "k", "2")
    ok(poll(lambda: info(admin, b"blocked_clients") == b"1"), "a write waits again")
    code, took = kvd.stop()
    ok(code == 0 and took < 4 * PATIENCE, f"a pause does not keep the daemon from stopping ({took:.2f} s)")
    start()


def test_monitor():
    start()
    watcher, c = kvd.client(), kvd.client()
    watcher.must("MONITOR")
    c.must("SET", "a", "b\"\n\0")
    c.must("MULTI")
    c.must("INCR", "n")
    c.must("EXEC")
    lines = [watcher.read().decode() for _ in range(4)]
    words = [line.partition("] ")[2] for line in lines]
    is_(words, ['"SET" "a" "b\\"\\n\\x00"', '"MULTI"', '"INCR" "n"', '"EXEC"'], "MONITOR tells what is run")
    ok(all(line.split(" [")[1].startswith(f"0 unix:{kvd.socket}]") for line in lines), "and by whom", *lines)
    ok(abs(float(lines[0].split(" ")[0]) - time.time()) < 60, "and when")
    c.pipeline(*[("ECHO", i) for i in range(500)])
    is_([watcher.read() for _ in range(500)][-1].split(b"] ")[1], b'"ECHO" "499"', "in order")
    watcher.close()
    is_(c("PING"), b"PONG", "a watcher may go at any time")


def test_slow_watcher():
    """Who watches and does not read is closed as a subscriber is."""
    start()
    watcher, c = kvd.client(), kvd.client()
    watcher.must("MONITOR")
    big = "x" * 900000
    for _ in range(60):
        c.must("ECHO", big)
    ok(poll(lambda: b"flags=UO" not in c("CLIENT", "LIST")), "a watcher that does not read is closed")
    ok("for subscribers" in kvd.log, "the journal says why")


def test_slowlog():
    start()
    c = kvd.client()
    c.must("SLOWLOG", "RESET")
    c.must("CONFIG", "SET", "slowlog-log-slower-than", 0, "slowlog-max-len", 2)
    c.must("CLIENT", "SETNAME", "slow")
    c.must("GET", "a")
    entries = c("SLOWLOG", "GET", 10)
    is_(len(entries), 2, "the slow log has its length")
    ok(entries[0][3] == [b"GET", b"a"] and entries[0][4] == f"{kvd.socket}:0".encode() and entries[0][5] == b"slow",
        "and words, address, name", repr(entries[0]))
    c.must("CONFIG", "SET", "slowlog-log-slower-than", 30000000)
    c.must("SLOWLOG", "RESET")
    c.pipeline(*[("SET", "k", "v"), ("KEYS", "*"), ("GET", "k")] * 100)
    is_(c("SLOWLOG", "LEN"), 0, "nothing takes 30 seconds")
    c.must("CONFIG", "SET", "slowlog-log-slower-than", "-1", "slowlog-max-len", 128)
    c.must("SLOWLOG", "RESET")
    c.must("GET", "a")
    is_(c("SLOWLOG", "LEN"), 0, "-1 turns it off")


def test_options():
    start()
    c = kvd.client()
    values = c("CONFIG", "GET", "*")
    values = dict(zip(values[::2], values[1::2]))
    ok(len(values) > 20, f"CONFIG GET * knows {len(values)} names")
    fixed = [name for name, value in values.items() if c("CONFIG", "SET", name, value) != OK]
    ok(all("immutable" in c("CONFIG", "SET", name, values[name]) for name in fixed), "each takes the value it has, or cannot change",
        repr(fixed))
    ok(b"durability" not in fixed and b"log-level" not in fixed and b"data-dir" in fixed, "and it is known which", repr(fixed))
    after = c("CONFIG", "GET", "*")
    after = dict(zip(after[::2], after[1::2]))
    redis_names = ("maxclients", "proto-max-bulk-len", "client-query-buffer-limit", "timeout", "appendfsync", "slowlog-max-len")
    is_([after[n.encode()] for n in redis_names], [values[n.encode()] for n in redis_names], "nothing has changed")
    reply = c("CONFIG", "SET", "max-clients", 77, "slowlog-max-len", 5, "durability", "sometimes")
    ok(isinstance(reply, Error) and "sometimes" in reply, "one bad value of three", repr(reply))
    is_(c("CONFIG", "GET", "max-clients", "slowlog-max-len"), [b"max-clients", b"10000", b"slowlog-max-len", b"128"], "changes none")
    c.must("CONFIG", "SET", "max-clients", 77, "slowlog-max-len", 5)
    is_(c("CONFIG", "GET", "max-clients", "slowlog-max-len"), [b"max-clients", b"77", b"slowlog-max-len", b"5"], "good ones change all")
    for bad in ("x", "-2", "1.5", "3600000001", "9999999999999999999"):
        reply = c("CONFIG", "SET", "slowlog-log-slower-than", bad)
        ok(isinstance(reply, Error) and "use -1 or an integer from 0 to 3600000000" in reply, f"{bad} microseconds are refused",
            repr(reply))
    ok("does not write" in c("CONFIG", "REWRITE"), "CONFIG REWRITE is refused with a reason")


def test_debug():
    start()
    reply = kvd.client()("DEBUG", "SLEEP", 10)
    ok(isinstance(reply, Error) and "enable-debug-command" in reply, "DEBUG is not allowed", repr(reply))
    ok("immutable" in kvd.client()("CONFIG", "SET", "enable-debug-command", "yes"), "and cannot be allowed at run time")
    other = Kvd(enable_debug_command="yes", latency_monitor_threshold="1").start()
    c = other.client()
    c.must("CONFIG", "SET", "slowlog-log-slower-than", 20000)
    is_(c("DEBUG", "SLEEP", "0.03"), OK, "DEBUG SLEEP")
    latest = c("LATENCY", "LATEST")
    ok(len(latest) == 1 and latest[0][0] == b"command" and latest[0][2] >= 29, "the latency monitor has seen it", repr(latest))
    ok(max(ms for _, ms in c("LATENCY", "HISTORY", "command")) >= latest[0][3], "and knows its history")  # of other commands, too, where they were slow
    is_(c("LATENCY", "RESET"), 1, "and can forget it")
    ok([b"DEBUG", b"SLEEP", b"0.03"] in [entry[3] for entry in c("SLOWLOG", "GET", -1)], "the slow log, too")
    c.must("DEBUG", "SET-ACTIVE-EXPIRE", 0)
    c.must("SET", "k", "1", "PX", 1)
    ok(poll(lambda: c("GET", "k") is None), "a key expires")
    ok(not poll(lambda: c("DBSIZE") == 0, 0.3 / PATIENCE), "but is not removed")
    c.must("DEBUG", "SET-ACTIVE-EXPIRE", 1)
    ok(poll(lambda: c("DBSIZE") == 0), "until it may be")
    is_(c("DEBUG", "JMAP"), OK, "DEBUG JMAP")
    # The loop's clock stands still while requests run: a timer set behind a long one ends too early.
    c.send(request("DEBUG", "SLEEP", "0.1") + request("CLIENT", "PAUSE", 50) + request("PING"))
    is_([c.read() for _ in range(3)], [OK, OK, b"PONG"], "a pause behind a long request ends by itself")
    begun = time.monotonic()
    c.send(request("DEBUG", "SLEEP", "0.05") + request("WAITAOF", 1, 1, 60))
    is_([c.read(), c.read()], [OK, [1, 0]], "WAITAOF waits in vain for a replica")
    took = time.monotonic() - begun
    ok(took >= 0.11, f"for all of its timeout ({took * 1000:.1f} ms with the long request before it)")


run(test_pause, test_monitor, test_slow_watcher, test_slowlog, test_options, test_debug)
