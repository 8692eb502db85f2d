#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Commands that walk through a large value or make one from it, which helper threads do: the right answers whatever other
clients write meanwhile, in transactions, after disconnects and on a full disk; and nobody waits for them.
"""
import select
import threading

from kvdtest import *

KIB, MIB = 1 << 10, 1 << 20
LEAST = 256 * KIB  # bytes of a large value

kvd = Kvd(segment_size="64M", compact_garbage_ratio="0") # nothing happens by itself


def fresh():
    return kvd.fresh(timeout=60)


def bytes_of(n, name="large"):
    return rng(f"{name} {n}").randbytes(n)


# ---- a model of the commands on one key

def resolve(start, end, total):
    start, end = (max(0, x + total) if x < 0 else x for x in (start, end))
    return start, min(end, total - 1)


class Model:
    def __init__(self, random):
        self.random, self.value, self.dump = random, bytearray(), None

    def grow(self, n):
        self.value.extend(bytes(max(0, n - len(self.value))))

    def append(self):
        part = self.random.randbytes(self.random.choice((1, 100, 3000, LEAST)))
        self.value += part
        return ("APPEND", part), len(self.value)

    def setrange(self):
        at, part = self.random.randrange(2 * LEAST), self.random.randbytes(self.random.choice((1, 70000, LEAST + 1)))
        self.grow(at + len(part))
        self.value[at:at + len(part)] = part
        return ("SETRANGE", at, part), len(self.value)

    def setbit(self):
        at, on = self.random.randrange(16 * LEAST), self.random.randrange(2)
        self.grow(at // 8 + 1)
        bit = 0x80 >> at % 8
        old = bool(self.value[at // 8] & bit)
        self.value[at // 8] = self.value[at // 8] & ~bit | (bit if on else 0)
        return ("SETBIT", at, on), int(old)

    def bitfield(self):
        words, replies = [], []
        for _ in range(self.random.randrange(1, 5)):
            at, add = self.random.randrange(2 * LEAST), self.random.randrange(-300, 300)
            if self.random.randrange(3) == 0:
                words += ["GET", "u16", 8 * at]
                replies.append(int.from_bytes(bytes(self.value[at:at + 2]).ljust(2, b"\0"), "big"))
                continue
            words += ["INCRBY", "u16", 8 * at, add]
            self.grow(at + 2)
            n = (int.from_bytes(self.value[at:at + 2], "big") + add) % 65536
            self.value[at:at + 2] = n.to_bytes(2, "big")
            replies.append(n)
        return ("BITFIELD", *words), replies

    def bitcount(self):
        start, end = self.random.randrange(-len(self.value) - 1, len(self.value) + 1), self.random.randrange(-3, 2 * LEAST)
        words = ("BITCOUNT", start, end)
        if start < 0 and end < 0 and start > end:
            return words, 0
        start, end = resolve(start, end, len(self.value))
        return words, int.from_bytes(self.value[start:end + 1], "big").bit_count()

    def bitpos(self):
        bit = self.random.randrange(2)
        plain = bytes(self.value) if bit else bytes(x ^ 255 for x in self.value)
        at = next((i for i, x in enumerate(plain) if x), None)
        if at is not None:
            return ("BITPOS", bit), 8 * at + 8 - plain[at].bit_length()
        return ("BITPOS", bit), -1 if bit else 8 * len(plain)

    def getrange(self):
        start, n = self.random.randrange(len(self.value) + 1), self.random.choice((1, 1000, LEAST))
        return ("GETRANGE", start, start + n - 1), bytes(self.value[start:start + n])

    def set(self):
        self.value = bytearray(self.random.randbytes(self.random.choice((10, LEAST - 1, LEAST, 400000))))
        return ("SET", bytes(self.value)), OK

    def zeros(self):
        self.value = bytearray(LEAST + self.random.randrange(100000))
        return ("SET", bytes(self.value)), OK

    def strlen(self):
        return ("STRLEN",), len(self.value)

    def draw(self):
        actions = (self.append, self.setrange, self.setbit, self.setbit, self.bitfield, self.bitfield, self.bitcount, self.bitpos,
                   self.getrange, self.set, self.zeros, self.strlen)
        return self.random.choice(actions)()


def with_key(words, key):
    return (words[0], key, *words[1:])


class Worker:
    """One connection with a key of its own, and parts in what all share."""

    def __init__(self, n):
        self.n, self.c, self.random = n, kvd.client(timeout=60), rng(f"worker {n}")
        self.model, self.expected, self.parts, self.counted = Model(self.random), [], 0, 0

    def own(self):
        words, reply = self.model.draw()
        return with_key(words, f"own{self.n}"), reply

    def shared(self):
        """A command on a key that others write, too; the model of them all is what must be there in the end."""
        if self.random.randrange(2):
            self.parts += 1
            return ("APPEND", "shared", f"<{self.n}:{self.parts}>".encode()), ANY
        self.counted += 1
        return ("BITFIELD", "counters", "INCRBY", "u32", f"#{20000 + 13 * self.n}", 1), [self.counted]

    def post(self):
        """Some requests at once; a few of them as a transaction."""
        made = [self.random.choice((self.own, self.own, self.shared))() for _ in range(self.random.randrange(1, 5))]
        if self.random.randrange(3):
            self.c.send(b"".join(request(*words) for words, _ in made))
            self.expected = made
            return
        self.c.send(request("MULTI") + b"".join(request(*words) for words, _ in made) + request("EXEC"))
        self.expected = [(("MULTI",), OK), *((words, QUEUED) for words, _ in made), (("EXEC", made), [r for _, r in made])]

    def take(self):
        for words, reply in self.expected:
            got = self.c.read()
            if not is_right(got, reply):
                return f"{str(words)[:300]}: {str(got)[:200]}, not {str(reply)[:200]}"
        return None


ANY = object()


def is_right(got, expected):
    if isinstance(expected, list) and isinstance(got, list):
        return len(got) == len(expected) and all(map(is_right, got, expected))
    return expected is ANY or (not isinstance(got, Error) and got == expected)


def test_interleaved():
    """Several clients at once, on keys of their own and on shared ones; every answer and every byte is as the model says."""
    c = fresh()
    start = bytes_of(LEAST)
    c.must("MSET", "shared", start, "counters", bytes(LEAST))
    workers = [Worker(i) for i in range(4)]
    wrong = []
    for _ in range(60 if LONG else 12):
        for w in workers:
            w.post()
        wrong += filter(None, [w.take() for w in workers])
    ok(not wrong, "all answers are right", *wrong[:3])
    ok(all(bytes(w.model.value) == (c("GET", f"own{w.n}") or b"") for w in workers), "so are the values")
    shared = c("GET", "shared")
    parts = shared[len(start):].replace(b"<", b" ").replace(b">", b" ").split()
    ok(shared[:len(start)] == start and sorted(parts) == sorted(f"{w.n}:{i + 1}".encode() for w in workers for i in range(w.parts)),
       "each part was appended once and whole", parts[:10])
    ok(all([f"{w.n}:{i + 1}".encode() for i in range(w.parts)] == [p for p in parts if p.startswith(b"%d:" % w.n)] for w in workers),
       "those of one client in their order")
    counts = [c("BITFIELD_RO", "counters", "GET", "u32", f"#{20000 + 13 * w.n}")[0] for w in workers]
    is_(counts, [w.counted for w in workers], "each counter is exact")
    kvd.crash()
    c = kvd.client(timeout=60)
    ok(c("GET", "shared") == shared and all(bytes(w.model.value) == (c("GET", f"own{w.n}") or b"") for w in workers),
       "all is there after kill -9")


def test_bitop_and_dump():
    c = fresh()
    a, b = bytes_of(LEAST), bytes_of(300001)
    c.must("MSET", "a", a, "b", b, "short", b"\xff" * 10)
    long_a, number_b = int.from_bytes(a.ljust(len(b), b"\0"), "big"), int.from_bytes(b, "big")
    for name, number in (("AND", long_a & number_b), ("OR", long_a | number_b), ("XOR", long_a ^ number_b)):
        is_(c("BITOP", name, "to", "a", "b"), len(b), f"BITOP {name}")
        ok(c("GET", "to") == number.to_bytes(len(b), "big"), "made the right value")
    is_(c("BITOP", "NOT", "to", "a"), len(a), "BITOP NOT")
    ok(c("GET", "to") == bytes(x ^ 255 for x in a), "made the right value")
    is_(c("BITOP", "AND", "b", "b", "short", "none"), len(b), "BITOP with a short one and none, onto a source")
    ok(c("GET", "b") == bytes(len(b)), "made zeros")
    dump = c("DUMP", "a")
    is_(c("RESTORE", "r", "0", dump), OK, "RESTORE of what DUMP gave")
    ok(c("GET", "r") == a, "is the same value")
    for name, payload, text in (("damaged", dump[:-1] + bytes((dump[-1] ^ 1,)), "checksum"), ("cut", dump[:-20], "checksum")):
        reply = c("RESTORE", "x", "0", payload)
        ok(isinstance(reply, Error) and text in reply, f"one that is {name} is refused", repr(reply)[:200])
    is_(c("EXISTS", "x"), 0, "and nothing is written")
    # LZF: one zero byte as it is, then 264 bytes each from one byte back; the frame is made as DUMP makes it.
    runs = 1000
    packed = b"\0\0" + b"\xe0\xff\0" * runs
    length = 1 + 264 * runs
    head = b"\0\xc3" + b"\x80" + len(packed).to_bytes(4, "big") + b"\x80" + length.to_bytes(4, "big")
    body = head + packed + b"\x09\0"
    is_(c("RESTORE", "z", "0", body + crc64(body).to_bytes(8, "little")), OK, "RESTORE of a packed value that is large")
    ok(c("GET", "z") == bytes(length), "unpacks it")
    is_(c("BITPOS", "z", "1"), -1, "BITPOS 1 in zeros")
    is_(c("BITPOS", "z", "0", 1), 8, "BITPOS 0 from the second byte on")


def crc64(data):
    total = 0
    for byte in data:
        total ^= byte
        for _ in range(8):
            total = total >> 1 ^ (0x95ac9329ac4bc9b5 if total & 1 else 0)
    return total


def works(c):
    stats = c.must("KVD.STATS")
    return int(stats[stats.index(b"works") + 1])


def test_compared():
    """Large values are compared by a helper thread."""
    c = fresh()
    value = bytes_of(MIB)
    other = value[:-1] + bytes((value[-1] ^ 1,))
    for words, same, different, left in ((("SET", "k", "new", "IFEQ"), OK, None, b"new"), (("SET", "k", "new", "IFNE"), None, OK, value),
            (("DELEX", "k", "IFEQ"), 1, 0, None), (("DELEX", "k", "IFNE"), 0, 1, value), (("DELIFEQ", "k"), 1, 0, None)):
        for argument, reply, work in ((value, same, 1), (other, different, 1), (value[1:], different, 0), (b"short", different, 0)):
            for transaction in (False, True):
                c.must("SET", "k", value)
                c.must("SET", "later", "0")
                before = works(c)
                if transaction:
                    for request_ in (("MULTI",), ("INCR", "later"), (*words, argument), ("INCR", "later")):
                        c.must(*request_)
                got = c("EXEC") if transaction else c(*words, argument)
                name = " ".join(w for w in words if w != "k") + f" of {len(argument)} bytes" + transaction * " in a transaction"
                is_([got, works(c) - before], [[1, reply, 2] if transaction else reply, work], name)
                if reply == same:
                    ok(c("GET", "k") == left, "leaves the right value")
    c.must("DEL", "k")
    is_([c("SET", "k", "new", "IFEQ", value), c("DELEX", "k", "IFNE", value), c("SET", "k", "new", "IFNE", value)], [None, 0, OK], "none at all")


def test_others_are_served():
    """While one client waits for long work, another one gets many answers."""
    c, other = fresh(), kvd.client(timeout=60)
    c.must("SET", "big", b"\x11" * (16 * MIB))
    for _ in range(20): # this program may stand still meanwhile, on a busy machine
        c.must("MULTI")
        for i in range(25):
            c.must("BITCOUNT", "big", i, -1)
        c.post("EXEC")
        seen = set()
        while not select.select([c.sock], [], [], 0)[0]:
            seen.add(works(other))
        reply = c.read()
        if len(seen) >= 5:
            break
    ok(len(seen) >= 5, f"another client was served, and saw it go on in {len(seen)} steps")
    is_(reply, [2 * (16 * MIB - i) for i in range(25)], "then the long work is answered, too")


def test_overtaken():
    """Others write the key, or the client leaves, while its new value is made."""
    c, other = fresh(), kvd.client(timeout=60)
    old, n = b"\0" * (8 * MIB), 8 * MIB
    for how in ("SET", "DEL", "APPEND", "EXPIRE", "EXEC", "FLUSHALL"):
        c.must("SET", "k", old)
        c.send(request("SETBIT", "k", 7, 1))
        requests = {"SET": [("SET", "k", "new")], "DEL": [("DEL", "k")], "APPEND": [("APPEND", "k", "x")],
            "EXPIRE": [("PEXPIRE", "k", 1)], "EXEC": [("MULTI",), ("SET", "k", "new"), ("EXEC",)], "FLUSHALL": [("FLUSHALL",)]}[how]
        other.pipeline(*requests)
        is_(c.read(), 0, f"{how} meanwhile: SETBIT is answered")
        poll(lambda: how != "EXPIRE" or (other("STRLEN", "k") or 0) < n, 5)
        got = other("GET", "k")
        set_bit = b"\x01" + old[1:]
        allowed = {"SET": (b"new", b"oew"), "DEL": (None, b"\x01"), "APPEND": (set_bit + b"x",), "EXPIRE": (None, b"\x01"),
            "EXEC": (b"new", b"oew"), "FLUSHALL": (None, b"\x01")}[how]
        ok(got in allowed, "and the value is that of one order of the two", repr(got)[:50])
    c.must("SET", "k", old)
    c.must("WATCH", "k")
    c.must("MULTI")
    c.must("SETBIT", "k", 7, 1)
    c.post("EXEC")
    other.must("SET", "k", "other")
    reply, got = c.read(), other("GET", "k")
    ok(got == b"other" and reply in (None, [0]), "a watched key: EXEC came first or not at all", repr((reply, got))[:100])
    c.must("SET", "k", old)
    for _ in range(5):
        gone = kvd.client(timeout=60)
        gone.send(request("SETBIT", "k", 7, 1))
        gone.close()
    poll(lambda: c("CLIENT", "LIST").count(b"\n") <= 3, 10)
    ok(c("GET", "k") in (old, b"\x01" + old[1:]), "clients that leave: the value is whole")
    c.send(request("SETBIT", "k", 15, 1))
    kvd.crash()
    got = kvd.client(timeout=60)("GET", "k")
    ok(len(got) == n and got[2:] == old[2:] and got[1] in (0, 1), "kill -9 meanwhile: the value is whole")


class Writer:
    """A client that gives a key one value after the other, as fast as it can, from a thread of its own."""

    def __init__(self, key):
        self.c, self.key, self.stop, self.answers = kvd.client(timeout=60), key, False, []
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.stop:
            self.answers.append(self.c("SET", self.key, f"{len(self.answers):09}"))

    def wait(self, n):
        """Until it has written so often, and n times more."""
        n += len(self.answers)
        poll(lambda: len(self.answers) >= n or not self.thread.is_alive(), 10)

    def end(self):
        self.stop = True
        self.thread.join()
        return self.answers


def test_always_overtaken():
    """What others would overtake for ever ends all the same: at some time they wait for it."""
    c, far = fresh(), 64 * MIB
    for words, reply in ((("SETRANGE", "k", far, "x"), far + 1), (("SETBIT", "k", 8 * far + 7, 1), 0), (("EXEC",), [far + 1, 1])):
        writer = Writer("k")
        writer.wait(10)
        if words[0] == "EXEC":
            for request_ in (("MULTI",), ("SETRANGE", "k", far, "x"), ("INCR", "done")):
                c.must(*request_)
        got = c(*words)
        writer.wait(2)
        answers = writer.end()
        is_(got, reply, f"{words[0]} is answered")
        ok(len(answers) > 12 and set(answers) == {OK}, "so are the others", set(answers))
    writer = Writer("k")
    for _ in range(3):
        before = works(c)
        gone = kvd.client(timeout=60)
        gone.send(request("SETRANGE", "k", far, "x"))
        poll(lambda: works(c) >= before + 5 or select.select([gone.sock], [], [], 0)[0], 10) # it holds its key, or is done already
        gone.close()
        writer.wait(3)
    answers = writer.end()
    ok(len(answers) > 9 and set(answers) == {OK}, "who leaves holds nothing any more", set(answers))
    code, _ = kvd.stop()
    is_(code, 0, "and the daemon stops as ever")


def test_transactions():
    """What EXEC runs is run once, however often it has to wait; commands in it see what those before them wrote."""
    c, seen = fresh(), kvd.client(timeout=60)
    old = bytes_of(LEAST)
    watcher = kvd.client(timeout=60)
    seen.must("SUBSCRIBE", "news")
    watcher.must("MONITOR")
    calls = lambda: int(c("INFO", "commandstats").decode().split("cmdstat_setbit:calls=")[1].split(",")[0])
    c.must("SETBIT", "small", 0, 1)
    before = calls()
    c.must("MULTI")
    for words in (("SET", "k", old), ("APPEND", "k", b"12345"), ("SELECT", 1), ("SETBIT", "k", 8 * LEAST, 1), ("SELECT", 0),
            ("PUBLISH", "news", "once"), ("COPY", "k", "l"), ("SETRANGE", "l", 0, "abc"), ("SETRANGE", "k", 0, "xyz"),
            ("BITCOUNT", "l"), ("INCR", "k"), ("DUMP", "l"), ("GET", "k")):
        c.must(*words)
    reply = c("EXEC")
    first, second = b"xyz" + old[3:] + b"12345", b"abc" + old[3:] + b"12345"
    ok(reply[:9] == [OK, LEAST + 5, OK, 0, OK, 1, 1, LEAST + 5, LEAST + 5], "the answers are right", repr(reply[:9])[:300])
    is_(reply[9], int.from_bytes(second, "big").bit_count(), "BITCOUNT sees what was written before it")
    ok(isinstance(reply[10], Error) and reply[12] == first, "an error among them changes nothing")
    is_(c("RESTORE", "m", 0, reply[11]), OK, "DUMP saw it, too")
    ok(c("MGET", "k", "l", "m") == [first, second, second], "and all is there")
    is_(calls() - before, 1, "a command is counted once")
    is_([seen.read()[2], seen.quiet(0.05)], [b"once", True], "a message is sent once")
    lines = []
    while not lines or b'"m"' not in lines[-1].encode():
        lines.append(str(watcher.read()))
    is_(sum('"setbit" "k"' in line.lower() for line in lines), 1, "and MONITOR shows it once")


def test_limits():
    c = fresh()
    reply = c("SETRANGE", "k", 512 * MIB - 1, "xx")
    ok(isinstance(reply, Error) and "536870912" in reply, "more than the largest value is refused", repr(reply))
    is_(c("EXISTS", "k"), 0, "at once")
    small = Kvd(segment_size="1M").start_on_disk_of("40m")
    c = small.client(timeout=60)
    old = bytes_of(24 * MIB)
    c.must("SET", "k", old)
    reply = c("SETBIT", "k", 7, 1 - old[0] % 2)
    ok(isinstance(reply, Error) and reply.kind == "MISCONF", "a full disk: a new value is refused", repr(reply))
    ok(c("GET", "k") == old, "and the one before is there")


def move_on(c):
    """Enough for the log to have nothing of what came before in memory."""
    for i in range(6):
        c.must("SET", f"other{i}", bytes_of(MIB, "other"))


def test_parts():
    """Length and parts of a value in the file, which is not kept in memory for that."""
    kvd.kill9()  # what the others have left in memory is not looked at here
    c, n = fresh(), 24 * MIB + 17
    value = bytes_of(n)
    c.must("SET", "k", value)
    move_on(c)
    ok(SANITIZED or poll(lambda: kvd.rss() < 20 * MIB, 5), "a value that is in the file leaves memory", f"{kvd.rss() / MIB:.1f} MiB")
    before = kvd.rss()
    measured = not SANITIZED and kvd.forget_peak()
    is_(c("STRLEN", "k"), n, "STRLEN")
    ok(c("GETRANGE", "k", 12345678, 12345777) == value[12345678:12345778], "GETRANGE of a small part")
    is_(c("GETBIT", "k", 8 * (n - 1)), value[-1] >> 7, "GETBIT")
    fields = (n - 1, 5, 12345678, n, 12345679, n + 5)
    numbers = [value[at] if at < n else 0 for at in fields]
    gets = [word for at in fields for word in ("GET", "u8", 8 * at)]
    is_([c("BITFIELD_RO", "k", *gets), c("BITFIELD", "k", *gets)], [numbers] * 2, "fields that are only read")
    ok(c("MEMORY", "USAGE", "k") > n, "MEMORY USAGE")
    ok(not measured or kvd.peak() - before < 6 * MIB, "take little memory", f"{(kvd.peak() - before) / MIB:.1f} MiB")
    random, wrong = rng("parts"), []
    for _ in range(60):
        size = random.choice((1, 100, 256 * KIB, 256 * KIB + 1, 600000, 3 * MIB))
        start = random.choice((0, 256 * KIB - 1, 256 * KIB, random.randrange(n), n - 1, n, n + 5, n - size))
        words = (start, start + size - 1) if random.randrange(2) or start >= n else (start - n, min(start - n + size - 1, -1))
        expected = value[start:start + size] if words[0] >= 0 else value[words[0]:n + words[1] + 1]
        if c(random.choice(("GETRANGE", "SUBSTR")), "k", *words) != expected:
            wrong.append(words)
    ok(not wrong, "parts of all kinds are right", *wrong[:5])
    wrong = []
    for i in range(30):
        fields = [random.choice((random.randrange(n + 100), random.randrange(2 * MIB))) for _ in range(random.choice((1, 3, 15, 100)))]
        numbers = [int.from_bytes(value[at:at + 7].ljust(7, b"\0"), "big") for at in fields]
        if c("BITFIELD_RO", "k", *[word for at in fields for word in ("GET", "u56", 8 * at)]) != numbers:
            wrong.append(fields)
    ok(not wrong, "fields of all kinds, too", *wrong[:2])
    is_([c("GETRANGE", "k", *w) for w in ((5, 2), (-2, -5), (n, n + 9))], [b""] * 3, "empty ones, too")
    is_([c("GETBIT", "k", 8 * n), c("GETBIT", "k", 8 * n + 10 ** 8)], [0, 0], "behind the end all is zero")
    c.must("MULTI")
    for words in (("STRLEN", "k"), ("GETRANGE", "k", 7, 9), ("APPEND", "k", "end"), ("GETRANGE", "k", -3, -1), ("STRLEN", "k"), ("GETBIT", "k", 7),
            ("BITFIELD_RO", "k", "GET", "u8", 8 * n)):
        c.must(*words)
    is_(c("EXEC"), [n, value[7:10], n + 3, b"end", n + 3, value[0] & 1, [ord("e")]], "in a transaction with a change")
    value += b"end"
    move_on(c)
    c.must("KVD.COMPACT", "SYNC")
    ok(c("GETRANGE", "k", n - 5, n + 2) == value[-8:] and c("STRLEN", "k") == n + 3, "after a change and a compaction")
    kvd.crash()
    c = kvd.client(timeout=60)
    move_on(c)
    ok(c("GETRANGE", "k", 1000, 1009) == value[1000:1010], "after kill -9")
    other = bytes_of(2 * MIB, "never asked for")
    c.must("SET", "l", other)
    move_on(c)
    for bytes_before in (value[n // 2:n // 2 + 64], other[MIB:MIB + 64]):
        for path in kvd.segments():
            with open(path, "r+b") as f:
                at = f.read().find(bytes_before)
                if at >= 0:
                    f.seek(at)
                    f.write(bytes((bytes_before[0] ^ 1,)))
    reply = c("GETRANGE", "k", n // 2 - 5, n // 2 + 5)
    ok(isinstance(reply, Error) and reply.kind == "CORRUPT", "a damaged part answers CORRUPT", repr(reply)[:200])
    ok(c("GETRANGE", "k", 1000, 1009) == value[1000:1010], "one that is whole is right")
    for words in (("GETRANGE", "l", 0, 9), ("STRLEN", "l"), ("GETBIT", "l", 7), ("BITFIELD_RO", "l", "GET", "u8", 0)):
        reply = c(*words)
        ok(isinstance(reply, Error) and reply.kind == "CORRUPT", f"{words[0]} of what was never checked answers CORRUPT", repr(reply)[:200])
    c.must("DEL", "k", "l")
    is_(c("STRLEN", "l"), 0, "until it is deleted")


run(test_interleaved, test_bitop_and_dump, test_compared, test_others_are_served, test_overtaken, test_always_overtaken, test_transactions, test_limits, test_parts)
