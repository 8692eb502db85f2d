#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
The random half of conformance.t. The same random requests to kvd and to redis-server: the same replies, to the letter, and the same state. Few
keys and odd arguments, so that requests meet each other and their limits.
"""
from conformance import *

try:
    need("redis-server")
except Skip as why:
    skip_all(str(why))

KEYS = ["a", "b", "c", "key:1", "key:2", "", "\0bin\r\n", "k*y", "k[e]y", "x" * 300]
VALUES = ["", "0", "1", "-1", "10", "9223372036854775807", "-9223372036854775808", "9223372036854775808",
    "3.0", "1e3", " 1",
          "1 ", "0x10", "abc", "\0\xff\r\n", "v" * 70, "nan", "inf", "-0", "+1", "00", "0.1",
          "5e-324"]
INTEGERS = ["0", "1", "-1", "2", "5", "-5", "100", "9223372036854775807", "-9223372036854775808",
    "9223372036854775808", "x", "",
            "1.5", " 1"]
# No numbers near 2^63: of these redis-server takes some for too large that are too small.
STEPS = ["0", "1", "-1", "5", "-5", "100", "-200", "4294967296", "-4294967297", "x", "1.5"]
OFFSETS = ["0", "1", "2", "3", "5", "10", "-1", "-2", "-3", "-100", "100", "x", "9223372036854775807"]
TIMES = ["100000", "1000000", "0", "-1", "x", "9223372036854775807", "9999999999999999", "500000"]
MOMENTS = ["4102444800000", "4102448800000", "0", "-1", "x"]
PATTERNS = ["*", "a", "?", "[ab]", "[^a]", "[a-c]", "key:*", "*y*", "k\\*y", "k\\[e\\]y", "", "[", "[a", "\\",
    "**a**", "x*x", "[b-a]"]


# What redis-server 7.0 answers to DUMP: 12, -129, "hello", 100 times a (packed), and one that is damaged.
DUMPS = [bytes.fromhex(x) for x in ("00c00c0a003c2af8515c04bcd5", "00c17fff0a001760822854808480", "000568656c6c6f0a006372df766534200a",
    "00c3094064016161e057000161610a00e8a3b507b06df271", "00036162630a00d9ac303d4172a200")]


class Maker:
    def __init__(self, random):
        self.random = random
        self.lifetimes = 0
        self.rows = [getattr(self, name) for name in sorted(dir(self)) if name.startswith("make_")]

    def key(self):
        return self.random.choice(KEYS)

    def value(self):
        return self.random.choice(VALUES)

    def some(self, what, most=3):
        return [what() for _ in range(self.random.randint(1, most))]

    def pick(self, *words):
        return self.random.choice(words)

    def lifetime(self):
        """
        Seconds for EXPIRE, no two alike: GT and LT of two equal ones, a millisecond apart or not, hang on whether the
        clock moved on in between.
        """
        self.lifetimes += 1
        return str(5000000 + self.pick(-10, 10) * self.lifetimes)

    def request(self):
        request = self.random.choice(self.rows)()
        if request[0] == "EXEC":
            return request
        if self.random.random() < 0.03:
            request = request[:-1] or request
        elif self.random.random() < 0.02:
            request = [*request, self.pick("extra", "EX", "1")]
        if self.random.random() < 0.2:
            request[0] = request[0].lower()
        return request

    def make_get(self):
        return [self.pick("GET", "STRLEN", "TYPE", "EXISTS", "GETDEL", "TTL", "EXPIRETIME", "PERSIST", "INCR",
            "DECR", "GETEX"),
                self.key()]

    def make_set(self):
        words = [w for w in ("NX", "XX", "GET", "KEEPTTL") if self.random.random() < 0.15]
        if self.random.random() < 0.3:
            # No moment in the past: redis-server counts such keys until it comes across them.
            words += self.pick(["EX", self.pick(*TIMES)], ["PX", self.pick(*TIMES)],
                ["EXAT", self.pick(*MOMENTS)],
                ["PXAT", self.pick(*MOMENTS)])
        return ["SET", self.key(), self.value(), *words]

    def make_set_more(self):
        return self.pick(["SETNX", self.key(), self.value()],
            ["SETEX", self.key(), self.pick(*TIMES), self.value()],
                         ["PSETEX", self.key(), self.pick("100000", "0", "-1", "x"), self.value()],
                         ["GETSET", self.key(), self.value()])

    def make_getex(self):
        return ["GETEX", self.key(), *self.pick(["EX", self.pick(*TIMES)], ["PERSIST"],
            ["EXAT", "4102444800"], ["PERSIST", "EX", "1"])]

    def make_many(self):
        pairs = [x for _ in range(self.random.randint(1, 3)) for x in (self.key(), self.value())]
        return self.pick(["MGET", *self.some(self.key)], ["MSET", *pairs], ["MSETNX", *pairs],
            ["DEL", *self.some(self.key)],
                         ["UNLINK", *self.some(self.key)], ["EXISTS", *self.some(self.key)],
                         ["TOUCH", *self.some(self.key)])

    def make_string(self):
        return self.pick(["APPEND", self.key(), self.value()],
            ["SETRANGE", self.key(), self.pick(*OFFSETS[:10], "x"), self.value()],
                         [self.pick("GETRANGE", "SUBSTR"), self.key(), self.pick(*OFFSETS),
                         self.pick(*OFFSETS)])

    def make_count(self):
        return self.pick([self.pick("INCRBY", "DECRBY"), self.key(), self.pick(*INTEGERS)],
                         ["INCRBYFLOAT", self.key(), self.pick(*VALUES, "0.1", "-3.5", "1e10")])

    def make_bit(self):
        offset = self.pick("0", "1", "7", "8", "13", "100", "-1", "x", "4294967296")
        span = self.pick([], [self.pick(*OFFSETS)], [self.pick(*OFFSETS), self.pick(*OFFSETS)],
            [self.pick(*OFFSETS), self.pick(*OFFSETS), self.pick("BIT", "BYTE", "bit", "x")])
        return self.pick(["SETBIT", self.key(), offset, self.pick("0", "1", "1", "2")], ["GETBIT", self.key(), offset],
            ["BITCOUNT", self.key(), *span], ["BITPOS", self.key(), self.pick("0", "1", "1", "2"), *span],
            ["BITOP", self.pick("AND", "OR", "XOR", "NOT", "x"), self.key(), *self.some(self.key)])

    def make_bitfield(self):
        words = []
        for _ in range(self.random.randint(0, 4)):
            at = [self.pick("i8", "u8", "u4", "i5", "i64", "u63", "u1", "i33", "u64", "x"),
                self.pick("0", "1", "7", "#1", "#3", "40", "-1", "#x")]
            words += self.pick(["GET", *at], ["SET", *at, self.pick(*STEPS)], ["INCRBY", *at, self.pick(*STEPS)],
                ["OVERFLOW", self.pick("WRAP", "SAT", "FAIL", "x")])
        return [self.pick("BITFIELD", "BITFIELD", "BITFIELD_RO"), self.key(), *words]

    def make_lcs(self):
        return ["LCS", self.key(), self.key(), *self.pick([], ["LEN"], ["IDX"], ["IDX", "WITHMATCHLEN"],
            ["IDX", "MINMATCHLEN", self.pick("0", "2", "-1", "x")], ["LEN", "IDX"])]

    def make_restore(self):
        payload = self.pick(*DUMPS)
        return self.pick(["RESTORE", self.key(), self.pick("0", "0", "500000", "-1", "x"), payload,
            *self.pick([], ["REPLACE"], ["REPLACE", "IDLETIME", "5"], ["FREQ", "300"], ["x"])], ["DUMP", self.key()])

    def make_expire(self):
        words = [w for w in ("NX", "XX", "GT", "LT") if self.random.random() < 0.2]
        return self.pick([self.pick("EXPIRE"), self.key(),
                          self.pick(self.lifetime(), self.lifetime(), "0", "-1", "x", "9223372036854775807"), *words],
                         [self.pick("EXPIREAT"), self.key(),
                         self.pick("4102444800", "4102444900", "1", "-1", "x"), *words],
                         ["PEXPIREAT", self.key(), self.pick("4102454800000", "4102458800000", "1"), *words],
                         ["PEXPIRETIME", self.key()] if words else ["PTTL", "absent"])

    def make_rename(self):
        return [self.pick("RENAME", "RENAMENX"), self.key(), self.key()]

    def make_copy(self):
        return ["COPY", self.key(), self.key(),
            *self.pick([], ["REPLACE"], ["DB", self.pick("1", "99", "x")])]

    def make_list(self):
        return self.pick(["KEYS", self.pick(*PATTERNS)], ["DBSIZE"],
            ["SCAN", "0", "COUNT", "1000", "MATCH", self.pick(*PATTERNS)],
                         ["SCAN", "x"], ["SCAN", "0", "COUNT", "0"],
                         ["SCAN", "0", "TYPE", "string", "COUNT", "100"])

    def make_select(self):
        return ["SELECT", self.pick("0", "0", "0", "1", "2", "15", "16", "-1", "x")]

    def make_rare(self):
        return self.pick(["FLUSHDB"], ["FLUSHDB", "ASYNC"], ["FLUSHALL", "x"], ["PING"],
            ["ECHO", self.value()], ["UNWATCH"],
                         ["MOVE", self.key(), "1"], ["SWAPDB", "1", "2"], ["OBJECT", "REFCOUNT", self.key()])

    def make_transaction(self):
        return [self.pick("MULTI", "EXEC", "EXEC", "DISCARD")]

    def make_watch(self):
        return ["WATCH", self.key()]


def same(request, a, b):
    """Replies that mean the same: order where none is promised, a second on times that run."""
    if isinstance(a, list) and isinstance(b, list):
        if request[0].upper() in ("KEYS",):
            return sorted(a) == sorted(b)
        if request[0].upper() == "SCAN" and len(a) == len(b) == 2:
            return a[0] == b[0] and sorted(a[1]) == sorted(b[1])
    if isinstance(a, int) and isinstance(b, int) and not isinstance(a, bool):
        if request[0].upper() in ("TTL", "PTTL", "EXPIRETIME", "PEXPIRETIME"):
            return abs(a - b) <= (3000 if request[0].upper().startswith("P") else 3)
    if isinstance(a, Error) and isinstance(b, Error):
        # What is said behind the first comma (arguments, help) differs between releases.
        return a.text == b.text or a.kind == b.kind and a.text.split(",")[0] == b.text.split(",")[0]
    if type(a) in (bytes, Simple) and type(b) in (bytes, Simple):
        return a == b and type(a) is type(b)
    return a == b


def settled(request, a, b):
    """Differences that are meant: kvd looks at the arguments before it looks for the key; its words on infinity."""
    name = request[0].upper()
    if name == "GETEX" and isinstance(a, Error) and b is None:
        return a.text.startswith(("ERR invalid expire time", "ERR value is not an integer"))
    if name in ("BITCOUNT", "BITPOS") and isinstance(a, Error):
        return b in (0, -1)  # since 7.2 the arguments are looked at though the key is not there
    if name == "DUMP":
        return isinstance(a, bytes) and isinstance(b, bytes)
    if name == "OBJECT" and isinstance(a, int) and isinstance(b, int):
        return a == 1  # redis-server shares small integers
    if name == "INCRBYFLOAT" and isinstance(a, Error) and isinstance(b, Error):
        return "float" in a and "NaN or Infinity" in b
    return False


def same_exec(queued, a, b):
    """The replies of a transaction, each judged by its request."""
    if not (isinstance(a, list) and isinstance(b, list) and len(a) == len(b) == len(queued)):
        return same(["EXEC"], a, b)
    return all(same(r, x, y) or settled(r, x, y) for r, x, y in zip(queued, a, b))


def unknown(reply):
    return isinstance(reply, Error) and reply.text.startswith("ERR unknown command")


def short(value):
    text = repr(value).replace("x" * 300, "x*300")
    return text if len(text) < 9000 else text[:9000] + "..."


def state(c):
    found = {}
    for db in (0, 1, 2, 15):
        c.must("SELECT", db)
        for key in c.must("KEYS", "*"):
            found[db, key] = c.must("GET", key)
    c.must("SELECT", 0)
    return found


def differ(proto, rounds, steps):
    kvd, redis = Kvd().start(), Redis().start()
    missing = set()
    problems, known = [], set()
    for round_ in range(rounds):
        a, b = kvd.client(proto), redis.client(proto)
        for c in (a, b):
            c.must("FLUSHALL")
        make = Maker(rng(f"RESP{proto} {round_}"))
        in_multi, queued, history = False, [], []
        for step in range(steps):
            request = make.request()
            if request[0].upper() in missing:
                continue
            y = b(*request)
            try:
                x = a(*request)
            except (Closed, OSError) as error:
                problems.append(f"RESP{proto}, round {round_}, step {step}: {short(request)}: {error!r}; before: {history[-40:]}")
                return ok(False, f"RESP{proto}: kvd answers", *problems, kvd.log)
            if unknown(x) and not unknown(y):
                missing.add(request[0].upper())
                if in_multi:  # that voids the transaction on one side only
                    a("DISCARD"), b("DISCARD")
                    in_multi = False
                else:
                    b.must("FLUSHALL"), a.must("FLUSHALL")
                continue
            in_multi = (in_multi or request[0].upper() == "MULTI") and request[0].upper() not in ("EXEC",
                "DISCARD")
            history.append(request)
            if y == QUEUED:
                queued.append(request)
            if not (same_exec(queued, x, y) if request[0] == "EXEC"
                    else same(request, x, y) or settled(request, x, y)):
                kind = (request[0].upper(), getattr(x, "text", type(x)), getattr(y, "text", type(y)))
                if kind in known:
                    break
                known.add(kind)
                problems.append(f"RESP{proto}, round {round_}, step {step}: {short(request)}: "
                    f"kvd {short(x)}, redis {short(y)}; before: {short(history[-60:-1])}")
                break
            if not in_multi:
                queued = []
        for c in (a, b):
            c("DISCARD")
        if not problems and state(a) != state(b):
            left, right = state(a), state(b)
            problems.append(f"RESP{proto}, round {round_}: states differ: "
                            + str([(k, left.get(k), right.get(k)) for k in left.keys() | right.keys()
                            if left.get(k) != right.get(k)][:3]))
        a.close(), b.close()
        if len(problems) >= 8:
            break
    ok(not problems, f"RESP{proto}: {rounds} rounds of {steps} requests answered as redis-server does",
        *problems)
    if missing:
        diag("not in this release: " + " ".join(sorted(missing)))


def test_resp2():
    differ(2, 300 if LONG else 25, 300)


def test_resp3():
    differ(3, 300 if LONG else 25, 300)


EVENTS = """SET a 1; SET a 2 EX 100; SET a 2 KEEPTTL; SET a 1 XX GET; SET nx 1 XX GET; SETNX a 1; SETNX b 1; SETEX c 10 x
PSETEX c 1000000 x; GETSET a 3; GETSET d 4; GETDEL d; GETDEL d; GETEX a EX 10; GETEX a PERSIST; GETEX a PERSIST; GETEX a EXAT 1
GETEX a; GET a; MGET a b c2; MSET a 1 e 2; MSETNX a 1 e 2; MSETNX f 1 g 2; APPEND a x; APPEND h x; SETRANGE a 1 zz
SETRANGE i 1 zz; INCR n; DECR n; INCRBY n 5; DECRBY n 5; INCRBYFLOAT n 1.5; INCRBYFLOAT n2 1.5; DEL a b zzz; UNLINK c
EXISTS a; TYPE a; TTL a; STRLEN a; TOUCH a; RENAME h h2; RENAME h2 f; RENAMENX f g; COPY g g2; COPY g g2; COPY g g2 REPLACE; COPY zzz g4
COPY g g3 DB 1; MOVE g 2; EXPIRE g2 100; EXPIRE g2 100 NX; EXPIRE g2 -1; EXPIRE zz 1; PERSIST e; EXPIRE e 100; PERSIST e
SETBIT bb 5 1; SETBIT bb 5 1; BITFIELD bb SET u8 0 1 GET u8 0; BITFIELD bb GET u8 0; BITOP AND dd bb e
BITOP AND dd zzz; BITOP AND dd zzz; GETBIT zzz 1; BITCOUNT zzz; BITPOS zzz 1; LCS zzz zzy; DUMP zzz; OBJECT ENCODING zzz
GETRANGE zzz 0 1; RENAME zzz yyy; MOVE zzz 1; FLUSHDB; SWAPDB 0 1"""


def test_events():
    """The same keyspace events for the same requests."""
    heard = []
    for server in (Kvd().start(), Redis().start()):
        a, c = server.client(), server.client()
        a.must("FLUSHALL")
        a.must("CONFIG", "SET", "notify-keyspace-events", "KEAnm")
        c.must("PSUBSCRIBE", "*")
        told = []
        for line in EVENTS.replace("\n", "; ").split("; "):
            a(*line.split())
            a.must("PUBLISH", "end", "")
            while (message := c.read())[2] != b"end":
                told.append((line, message[2].decode(), message[3].decode()))
        heard.append(told)
    is_(heard[0], heard[1], f"the same {len(heard[1])} keyspace events")


def test_dumps():
    """What one dumps the other restores, packed strings and integers among them."""
    random = rng("dumps")
    values = [str(n) for bits in (7, 8, 15, 16, 31, 32, 63) for n in (2**bits - 1, 2**bits, -2**bits, -2**bits - 1)]
    values += ["", "0", "-1", "007", " 1", "a" * 20, "a" * 21, "ab" * 1000, "x" * 70000, random.randbytes(100000)]
    for _ in range(200):
        pieces = [random.randbytes(random.randint(1, 12)) for _ in range(3)]
        values.append(b"".join(random.choice(pieces) for _ in range(random.randint(1, 400))))
    a, b = Kvd().start().client(), Redis().start().client()
    wrong = []
    for value in values:
        for c in (a, b):
            c.must("SET", "from", value)
        got = [a("RESTORE", "to", 0, b("DUMP", "from"), "REPLACE"), b("RESTORE", "to", 0, a("DUMP", "from"), "REPLACE"),
            a("GET", "to"), b("GET", "to")]
        if got != [OK, OK, to_bytes(value), to_bytes(value)]:
            wrong.append(short((value, got))[:300])
    is_(wrong, [], f"{len(values)} values go from each to the other")
    b.must("RPUSH", "list", "x")
    ok("only strings" in a("RESTORE", "list", 0, b("DUMP", "list")), "what is no string is refused with a reason")


run(test_resp2, test_resp3, test_events, test_dumps)
