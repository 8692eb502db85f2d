#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Publish and subscribe, keyspace events, and what becomes of subscribers who do not read."""
from kvdtest import *

kvd = Kvd()


def start():
    kvd.fresh().must("CONFIG", "SET", "notify-keyspace-events", "")


def test_messages():
    start()
    for proto, kind in ((2, list), (3, Push)):
        name = f"RESP{proto}"
        a, b, sender = kvd.client(proto), kvd.client(proto), kvd.client()
        a.must("SUBSCRIBE", "news")
        b.post("PSUBSCRIBE", "n*", "*s")
        is_([b.read(), b.read()], [[b"psubscribe", b"n*", 1], [b"psubscribe", b"*s", 2]], f"{name}: one confirmation for each")
        is_(sender("PUBLISH", "news", b"\0\r\n"), 3, f"{name}: a message goes to all who listen")
        got = a.read()
        ok(type(got) is kind and got == [b"message", b"news", b"\0\r\n"], f"{name}: its bytes as they are", repr(got))
        is_(sorted([b.read(), b.read()]), [[b"pmessage", b"*s", b"news", b"\0\r\n"], [b"pmessage", b"n*", b"news", b"\0\r\n"]],
            f"{name}: once for each pattern")
        is_(sender("PUBSUB", "NUMSUB", "news", "none"), [b"news", 1, b"none", 0], f"{name}: NUMSUB")
        sender.pipeline(*[("PUBLISH", "news", i) for i in range(2000)])
        is_([a.read()[2] for _ in range(2000)], [b"%d" % i for i in range(2000)], f"{name}: they come in order")
        for c in (a, b, sender):
            c.close()
        c = kvd.client()
        ok(poll(lambda: c("PUBSUB", "NUMPAT") == 0 and c("PUBSUB", "CHANNELS") == []), f"{name}: who has gone listens no more")


def test_own_messages():
    start()
    c = kvd.client(3)
    c.must("SUBSCRIBE", "a")
    c.post("PUBLISH", "a", "x")
    is_([c.read(), c.read()], [1, [b"message", b"a", b"x"]], "RESP3: one's own message comes behind the reply")
    c.must("MULTI")
    for request_ in (("SET", "k", "1"), ("PUBLISH", "a", "y"), ("GET", "k")):
        c.must(*request_)
    c.post("EXEC")
    is_([c.read(), c.read()], [[OK, 1, b"1"], [b"message", b"a", b"y"]], "and behind the whole of EXEC")


def test_events():
    start()
    a, c = kvd.client(), kvd.client()
    c.must("CONFIG", "SET", "notify-keyspace-events", "KEA")
    is_(c("CONFIG", "GET", "notify-keyspace-events"), [b"notify-keyspace-events", b"AKE"], "the option is a letter each")
    ok("is not allowed, use letters of" in c("CONFIG", "SET", "notify-keyspace-events", "Q"), "and no other letter")
    a.must("PSUBSCRIBE", "__key*")
    c.must("SELECT", 3)
    c.must("SET", "k", "1")
    is_([a.read()[2:], a.read()[2:]], [[b"__keyspace@3__:k", b"set"], [b"__keyevent@3__:set", b"k"]], "a write is told twice")
    c.must("SET", "k", "1", "PX", 30)
    got = [a.read()[2:] for _ in range(6)]
    is_(got[4:], [[b"__keyspace@3__:k", b"expired"], [b"__keyevent@3__:expired", b"k"]], "the end of a key is told, too")
    is_(c("GET", "k"), None, "and then it is gone")
    c.must("CONFIG", "SET", "notify-keyspace-events", "Eg")
    c.must("MSET", "x", 1, "y", 2)
    c.must("MULTI")
    c.must("DEL", "x")
    c.must("DEL", "y")
    c.must("EXEC")
    is_([a.read()[2:], a.read()[2:]], [[b"__keyevent@3__:del", b"x"], [b"__keyevent@3__:del", b"y"]], "only what is asked for")


def test_slow_subscriber():
    start()
    slow, good, sender = kvd.client(), kvd.client(), kvd.client()
    slow.must("SUBSCRIBE", "flood")
    good.must("SUBSCRIBE", "flood")
    message, most = b"m" * (1 << 20), 0
    for n in range(64):
        got = sender.must("PUBLISH", "flood", message)
        most = n if got == 2 else most
        if good.read()[2] != message:
            return ok(False, "who reads gets every message")
    ok(24 <= most <= 48, "who does not read is closed at 32 MiB", f"{most} messages of 1 MiB were taken")
    is_(sender("PUBSUB", "NUMSUB", "flood"), [b"flood", 1], "and only he")
    ok("for subscribers" in kvd.log, "the journal says why", kvd.log[-500:])
    ok(kvd.rss() < (400 << 20) * (4 if SANITIZED else 1), f"at little cost ({kvd.rss() >> 20} MiB)")


def test_many_subscribers():
    start()
    clients = [kvd.client(2 + i % 2) for i in range(200)]
    for i, c in enumerate(clients):
        c.post("SUBSCRIBE", "all", f"own:{i}")
    for c in clients:
        c.read(), c.read()
    sender = kvd.client()
    is_(sender("PUBLISH", "all", "x"), 200, "200 subscribers")
    ok(all(c.read()[1:] == [b"all", b"x"] for c in clients), "all of them get it")
    is_(sender("PUBLISH", "own:7", "y"), 1, "one channel of 201")
    is_(clients[7].read()[1:], [b"own:7", b"y"], "and only its subscriber gets it")


run(test_messages, test_own_messages, test_events, test_slow_subscriber, test_many_subscribers)
