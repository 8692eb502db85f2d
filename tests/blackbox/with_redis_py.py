# SPDX-License-Identifier: MIT
"""The python3-redis client against a socket, as applications use it. Run by clients.t; prints TAP."""
import sys
import threading
import time

import redis
from tap import Skip, is_, ok, run

PATH = sys.argv.pop(1)
r = redis.Redis(unix_socket_path=PATH)


def test_values():
    r.flushall()
    is_(r.set("k", b"\0\r\n\xff"), True, "set")
    is_(r.get("k"), b"\0\r\n\xff", "get")
    is_(r.get("none"), None, "get of nothing")
    is_(r.set("k", "x", nx=True), None, "set nx of a key there")
    is_(r.set("t", "x", ex=100), True, "set ex")
    ok(10 <= r.ttl("t") <= 100, "ttl")
    is_(r.mset({"a": 1, "b": 2}), True, "mset")
    is_(r.mget("a", "none", "b"), [b"1", None, b"2"], "mget")
    is_(r.incrby("a", 5), 6, "incrby")
    is_(r.incrbyfloat("a", 0.5), 6.5, "incrbyfloat")
    is_(r.delete("a", "b", "none"), 2, "delete")
    is_(r.exists("k"), 1, "exists")
    is_(r.getset("k", "new"), b"\0\r\n\xff", "getset")
    is_(r.type("k"), b"string", "type")
    is_(r.ping(), True, "ping")
    try:
        r.incr("k")
        ok(False, "an error is raised")
    except redis.ResponseError as error:
        is_(str(error), "value is not an integer or out of range", "an error is raised")


def test_pipeline():
    r.flushall()
    with r.pipeline(transaction=False) as p:
        for i in range(500):
            p.set(f"p{i}", i)
            p.get(f"p{i}")
        got = p.execute()
    is_(got, [x for i in range(500) for x in (True, b"%d" % i)], "a pipeline")
    with r.pipeline() as p:
        p.multi()
        p.incr("n")
        p.incr("n")
        is_(p.execute(), [1, 2], "a transaction")


def test_watch():
    r.flushall()
    tries = []

    def add():
        def body(p):
            tries.append(1)
            n = int(p.get("w") or 0)
            p.multi()
            p.set("w", n + 1)
        mine = redis.Redis(unix_socket_path=PATH)
        for _ in range(25):
            mine.transaction(body, "w")

    threads = [threading.Thread(target=add) for _ in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    is_(r.get("w"), b"75", f"transactions by WATCH count right ({len(tries)} tries)")


def test_scan():
    r.flushall()
    with r.pipeline(transaction=False) as p:
        for i in range(3000):
            p.set(f"scan:{i}", i)
        p.execute()
    is_(len(set(r.scan_iter(count=100))), 3000, "scan_iter meets every key")
    is_(len(set(r.scan_iter("scan:1??"))), 100, "scan_iter with a pattern")
    is_(len(r.keys("scan:*9")), 300, "keys")
    seen = set()
    for n, key in enumerate(r.scan_iter(count=50)):
        seen.add(key)
        r.delete(f"gone:{n}")
        r.set(f"new:{n}", 1)
    ok(all(b"scan:%d" % i in seen for i in range(3000)),
        "scan_iter meets every key that stays, beside writes")


def test_databases():
    r.flushall()
    other = redis.Redis(unix_socket_path=PATH, db=5)
    other.set("x", "five")
    is_((r.get("x"), other.get("x")), (None, b"five"), "databases are apart")
    is_(redis.from_url(f"unix://{PATH}?db=5").get("x"), b"five", "a URL with a database")


def test_info():
    info = r.info()
    ok(info["redis_version"] == "7.2.4" and "kvd_version" in info and info["loading"] == 0, "info is parsed")
    is_(r.config_get("databases"), {"databases": "16"}, "config_get")
    ok(any(c["name"] == "" or "name" in c for c in r.client_list()), "client_list is parsed")
    r.client_setname("me")
    is_(r.client_getname(), "me" if isinstance(r.client_getname(), str) else b"me", "client_setname")
    ok(abs(r.time()[0] - time.time()) < 60, "time")
    is_(r.dbsize(), len(r.keys()), "dbsize")
    ok(len(r.command()) > 50, "command")


def test_subscribe():
    p = r.pubsub(ignore_subscribe_messages=True)
    p.subscribe("news")
    p.get_message(timeout=60)
    is_(r.publish("news", "hi"), 1, "publish")
    message = p.get_message(timeout=60) or p.get_message(timeout=60)
    ok(message and message["data"] == b"hi", "a message arrives", repr(message))
    got = []
    p.psubscribe(**{"by:*": lambda m: got.append((m["pattern"], m["channel"], m["data"]))})
    p.get_message(timeout=60)
    r.publish("by:name", b"\0")
    for _ in range(100):
        if got:
            break
        p.get_message(timeout=0.1)
    is_(got, [(b"by:*", b"by:name", b"\0")], "a handler of a pattern is called")
    is_((r.pubsub_channels(), r.pubsub_numsub("news"), r.pubsub_numpat()), ([b"news"], [(b"news", 1)], 1), "pubsub_channels, numsub, numpat")
    p.close()


def test_bits():
    r.delete("bits", "copy")
    is_([r.setbit("bits", n, 1) for n in (1, 8, 100)], [0, 0, 0], "setbit")
    is_((r.getbit("bits", 8), r.bitcount("bits"), r.bitpos("bits", 1, 1)), (1, 3, 8), "getbit, bitcount, bitpos")
    is_(r.bitop("NOT", "copy", "bits"), 13, "bitop")
    is_(r.bitfield("bits").set("u8", 0, 7).incrby("u8", 0, 3).get("u4", 4).execute(), [64, 10, 10], "bitfield")
    r.restore("copy", 0, r.dump("bits"), replace=True)
    is_(r.get("copy"), r.get("bits"), "dump and restore")


def test_administration():
    is_(r.slowlog_len() >= 0 and isinstance(r.slowlog_get(), list), True, "slowlog_len and slowlog_get")
    ok(r.memory_usage("bits") > 13 and r.memory_stats()["keys.count"] > 0, "memory_usage, memory_stats")
    is_(r.object("encoding", "bits"), b"embstr", "object encoding")
    is_(r.client_pause(1), True, "client_pause")
    is_(r.client_unpause() in (True, b"OK"), True, "client_unpause")
    with r.monitor() as m:
        r.get("watched")
        is_(m.next_command()["command"], "GET watched", "monitor is parsed")


def test_lock():
    lock = redis.Redis(unix_socket_path=PATH).lock("lock", timeout=5)
    try:
        ok(lock.acquire(blocking=False), "a lock is taken")
        lock.release()
    except redis.ResponseError as error:
        raise Skip(f"releasing a lock needs EVAL: {error}")


def test_lock_without_scripts():
    """What a lock needs: taken by one, let go only by whoever holds it, gone with its time."""
    r.delete("mine")
    is_(r.set("mine", "token-a", nx=True, px=30000), True, "SET NX PX takes it")
    is_(r.set("mine", "token-b", nx=True, px=30000), None, "no second one does")
    is_(r.execute_command("DELEX", "mine", "IFEQ", "token-b"), 0, "DELEX of another's lock does nothing")
    is_(r.execute_command("SET", "mine", "token-a", "IFEQ", "token-a", "PX", 60000), True, "SET IFEQ makes the time longer")
    ok(r.pttl("mine") > 30000, "to that")
    is_((r.execute_command("DELEX", "mine", "IFEQ", "token-a"), r.exists("mine")), (1, 0), "DELEX of the own one lets it go")
    r.set("mine", "token-a", px=20)
    for _ in range(500):
        if r.set("mine", "token-b", nx=True, px=30000):
            break
        time.sleep(0.01)
    is_(r.get("mine"), b"token-b", "a lock whose time is over can be taken")
    is_(r.execute_command("DELIFEQ", "mine", "token-b"), 1, "DELIFEQ is the name of others for it")
    counter = {"inside": 0, "most": 0, "turns": 0}

    def work(token):
        mine = redis.Redis(unix_socket_path=PATH)
        for _ in range(20):
            while not mine.set("turn", token, nx=True, px=30000):
                time.sleep(0.0005)
            counter["inside"] += 1
            counter["most"] = max(counter["most"], counter["inside"])
            counter["turns"] += 1
            counter["inside"] -= 1
            mine.execute_command("DELEX", "turn", "IFEQ", token)

    threads = [threading.Thread(target=work, args=(f"t{i}",)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    is_((counter["most"], counter["turns"]), (1, 80), "four who take turns are never two inside")


run(test_values, test_pipeline, test_watch, test_scan, test_databases, test_info, test_subscribe, test_bits, test_administration, test_lock, test_lock_without_scripts)
