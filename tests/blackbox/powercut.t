#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Power cuts over whole runs of the real daemon. A journal is kept of all it does with its files and of each reply it sends; the disk is
then what a power cut at some point of it may have left (powerloss.py), and kvd is started on that. Each writer has keys of its own, so that what is
there must be the state after some number of its steps: not fewer than were acknowledged or shown to anybody before the cut.
KVD_TEST_KEEP=DIRECTORY keeps the files and the log of what fails; threads make no two journals alike, so that a seed alone does not bring it back.
"""
import concurrent.futures
import os
import shutil
import time

import faulty
import powerloss
from kvdtest import *

FAR = 4102444800000  # a time at which things expire, years from now


class NotYet(Exception):
    pass


class Replies(Client):
    """Reads replies out of what the journal says was sent."""

    def __init__(self):
        self.buffer, self.at = b"", 0

    def _fill(self):
        raise NotYet

    def exactly(self, n):
        if len(self.buffer) - self.at < n:
            raise NotYet
        return super().exactly(n)

    def feed(self, data):
        """The replies that are whole now."""
        self.buffer, self.at = self.buffer[self.at:] + data, 0
        while True:
            begin = self.at
            try:
                yield self.read()
            except NotYet:
                self.at = begin
                return


def replies(entries):
    """(index in the journal, name of the connection, number of its reply, reply); connections begin with ECHO of their name."""
    open_, names = {}, {}
    for index, e in enumerate(entries):
        if e.kind == faulty.START:
            open_ = {}
        elif e.kind == faulty.ACCEPT:
            open_[e.result] = Replies()
            names[e.result] = None
        elif e.kind == faulty.SEND and e.fd in open_:
            for reply in open_[e.fd].feed(e.data):
                if names[e.fd] is None:
                    names[e.fd] = reply.decode() if isinstance(reply, bytes) else "nobody"
                    open_[e.fd].number = 0
                    continue
                yield index, names[e.fd], open_[e.fd].number, reply
                open_[e.fd].number += 1


class Writer:
    """Owns keys in a database of its own; states[j] is what they are after j steps: {key: (value, expiry)}."""

    def __init__(self, number, random):
        self.name, self.db, self.random = f"writer{number}", number, random
        self.states = [{}]
        self.totals = {}   # step: the count of all writers' transactions that it was told

    def keys(self):
        return [b"k%d" % i for i in range(10)] + [b"n", b"pa", b"pb"]

    def step(self):
        """The requests of one atomic step; the state after it is appended."""
        r, now, n = self.random, dict(self.states[-1]), len(self.states)
        key = b"k%d" % r.randrange(10)
        value = b"%d:" % n + b"x" * r.choice((0, 5, 50, 300, 3000, 3000, 30000))
        what = r.randrange(20)
        if what < 6:
            requests, now[key] = [("SET", key, value)], (value, -1)
        elif what < 9:
            requests = [("DEL", key)]
            now.pop(key, None)
        elif what < 11:
            requests = [("SET", key, value, "PXAT", FAR + n)]
            now[key] = value, FAR + n
        elif what < 12:
            requests = [("SET", b"soon", value, "PX", 1)]  # by the time anybody lists the keys it is gone
        elif what < 14:
            requests, now[b"n"] = [("INCR", b"n")], (b"%d" % (int(now.get(b"n", (b"0",))[0]) + 1), -1)
        elif what < 16:
            requests = [("MSET", b"pa", b"%d" % n, b"pb", b"%d" % n)]
            now[b"pa"] = now[b"pb"] = b"%d" % n, -1
        elif what == 16:
            # A mark with it, or the state were the same after each of them.
            requests, now = [("MULTI",), ("FLUSHDB",), ("SET", b"pa", b"%d" % n), ("EXEC",)], {b"pa": (b"%d" % n, -1)}
        else:
            # The count of all writers lives in database 0.
            requests = [("MULTI",), ("SET", b"pa", b"%d" % n), ("SELECT", 0), ("INCR", "total"), ("SELECT", self.db), ("SET", b"pb", b"%d" % n),
                ("DEL", key), ("EXEC",)]
            now[b"pa"] = now[b"pb"] = b"%d" % n, -1
            now.pop(key, None)
        self.states.append(now)
        return requests

    def after(self, state):
        """The same writer, as if it had begun with that state."""
        other = Writer(self.db, self.random)
        other.states = [state]
        return other

    def first_like(self, values):
        """The fewest steps after which its keys have these values."""
        for j, state in enumerate(self.states):
            if [state.get(k, (None,))[0] for k in self.keys()] == values:
                return j
        return None


class Workload:
    """One thread that speaks for all: requests overlap, since replies are read only when all have sent."""

    def __init__(self, writers):
        self.writers = {w.name: w for w in writers}
        self.marks = {}  # name of a connection: {number of a reply: function of that reply that returns what it proves}
        self.connections = 0

    def connect(self, kvd, who, db=0):
        self.connections += 1
        c = kvd.client(timeout=30)
        c.name = f"{who}/{self.connections}"
        self.marks[c.name] = {}
        c.kvd = kvd
        c.must("ECHO", c.name)
        c.must("SELECT", db)
        c.asked = c.answered = 1
        return c

    def send(self, c, requests, mark):
        """mark(reply): what the reply to the last of them proves."""
        c.send(b"".join(request(*r) for r in requests))
        c.asked += len(requests)
        self.marks[c.name][c.asked - 1] = mark
        return len(requests)

    def write(self, c, writer, steps):
        waiting = 0
        for _ in range(steps):
            requests, j = writer.step(), len(writer.states) - 1

            def acknowledged(reply, j=j):
                if isinstance(reply, list) and len(reply) > 2:
                    writer.totals[j] = reply[2]
                return [(writer.name, j)] if not isinstance(reply, Error) else [("error", repr(reply))]

            waiting += self.send(c, requests, acknowledged)
        return waiting

    def look(self, c, writer):
        """A reader: what it is shown must stay."""

        def shown(values):
            j = writer.first_like(values)
            return [(writer.name, j)] if j is not None else [("error", f"{writer.name} was never so: {values!r}"[:300])]

        return self.send(c, [("SELECT", writer.db), ("MGET", *writer.keys())], shown)

    def admin(self, c, command):
        self.finish(c)
        what = "snapshot " + command[1] if command[0].startswith("KVD.BACKUP") else ""
        if command[0] == "KVD.BACKUPDEL":
            # From here on until the reply it may be there or not.
            before = self.connect(c.kvd, "before")
            self.send(before, [("ECHO", what)], lambda reply: [(what, None)])
            before.read()
        self.send(c, [command], lambda reply: [(what, command[0] == "KVD.BACKUP")] if what else [])

    def finish(self, c):
        """Waits for the reply to the order before."""
        if c.asked > c.answered:
            c.answered += 1
            reply = c.read()
            if isinstance(reply, Error):
                raise reply

    def round(self, connections, readers, random):
        waiting = [(c, self.write(c, w, random.choice((1, 2, 5, 9)))) for w, c in connections]
        for c in readers:
            waiting.append((c, self.look(c, random.choice(list(self.writers.values())))))
        for c, n in waiting:
            for _ in range(n):
                c.read()

    def marks_of(self, entries):
        """[(index, [(what, value)])]: what was proven to clients, and where in the journal."""
        found = []
        for index, name, number, reply in replies(entries):
            mark = self.marks.get(name, {}).get(number)
            if mark:
                found.append((index, mark(reply)))
        return found


def known_at(marks, cut):
    """What clients knew at that point: {writer: fewest steps, "snapshot x": whether it is there, None: not known}."""
    known = {}
    for index, proofs in marks:
        if index >= cut:
            break
        for what, value in proofs:
            known[what] = max(value, known.get(what, 0)) if what.startswith("writer") else value
    return known


def record(random, rounds, **options):
    """Two lives of a daemon, with everything it does to its files: returns (journal, workload)."""
    kvd = Kvd(segment_size="1M", compact_rate="0", checkpoint_interval="1ms", expire_interval="10ms", **options)
    fault = faulty.Faulty(kvd.data, journal=True)
    w = Workload([Writer(n, random) for n in range(1, 4)])
    for life in range(2):
        kvd.start(env=fault.env())
        writers = [(writer, w.connect(kvd, name, writer.db)) for name, writer in w.writers.items()]
        readers = [w.connect(kvd, "reader") for _ in range(2)]
        admin = w.connect(kvd, "admin")
        orders = {2: ("KVD.BACKUP", "one", "SYNC"), 6: ("KVD.COMPACT", "FORCE", "SYNC"), 9: ("KVD.BACKUP", "two", "SYNC"),
            12: ("KVD.BACKUPDEL", "one", "SYNC"), 15: ("SWAPDB", 14, 15), 18: ("KVD.COMPACT", "FORCE", "SYNC")}
        if life:
            orders = {1: ("KVD.COMPACT", "FORCE", "SYNC"), 5: ("KVD.BACKUPDEL", "two", "SYNC"), 7: ("SAVE",)}
        for n in range(rounds):
            if n in orders:
                w.admin(admin, orders[n])
            w.round(writers, readers, random)
        w.finish(admin)
        kvd.kill9() if life else kvd.stop()
    return fault.journal(), w


def look_at(kvd, writers, known):
    """Compares a started daemon with the writers. Returns (problems, {writer: possible numbers of its steps})."""
    c, steps, problems = kvd.client(), {}, []
    for writer in writers:
        c.must("SELECT", writer.db)
        values = c.must("MGET", *writer.keys())
        times = c.pipeline(*(("PEXPIRETIME", k) for k in writer.keys()))
        there = {k: (v, t) for k, v, t in zip(writer.keys(), values, times) if v is not None}
        least = known.get(writer.name, 0)
        steps[writer] = [j for j in range(least, len(writer.states)) if writer.states[j] == there]
        if not steps[writer]:
            earlier = next((j for j in range(least) if writer.states[j] == there), None)
            problems.append(f"{writer.name}: {least} of {len(writer.states) - 1} steps were acknowledged or shown, but "
                + (f"it is as after {earlier}" if earlier is not None else f"it never was like {there!r}"[:500]))
        others = set(c.must("KEYS", "*")) - set(there)
        if others:
            problems.append(f"{writer.name}: there are keys that must not be: {others}")
    c.must("SELECT", 0)
    total = int(c.must("GET", "total") or 0)
    for writer, possible in steps.items():
        if possible and not any(all((n <= j) == (t <= total) for n, t in writer.totals.items()) for j in possible):
            problems.append(f"no first part of the commits: total is {total}, but {writer.name} has {possible} steps, of {writer.totals}"[:500])
    return problems, steps


def look_around(kvd, known):
    """What else must be so: snapshots, and no file that nobody needs."""
    c = kvd.client()
    names = [dict(zip(s[::2], s[1::2]))[b"name"].decode() for s in c.must("KVD.BACKUPS")]
    problems = [f"snapshots are {names}, but {what} was said to be {'made' if there else 'deleted'}" for what, there in known.items()
        if what.startswith("snapshot") and there is not None and (what.split()[1] in names) != there]
    left = kvd.left_over("snapshots", "damaged")
    if left or len(kvd.segments()) != len(c.must("KVD.SEGMENTS")):
        problems.append(f"files are left over: {left} {kvd.segments()} {c.must('KVD.SEGMENTS')}")
    return problems


def begin(directory, fault=None):
    """A daemon on that state of the disk, or the reason why there is none."""
    kvd = Kvd(directory, segment_size="1M", checkpoint_interval="0", compact_garbage_ratio="0")
    try:
        return kvd.start(env=fault.env() if fault else None), []
    except RuntimeError as error:
        kvd.kill9()
        return kvd, [f"it does not start: {error}"]


class Case:
    """A power cut, a start, some writes, another power cut and another start."""

    def __init__(self, number, entries, workload, marks, cut, mode, lies=()):
        self.random = rng(f"cut {number}")
        self.entries, self.workload, self.marks = entries, workload, marks
        self.number, self.cut, self.mode, self.lies = number, cut, mode, lies
        self.home = os.path.join(HOME, f"{number}")

    def replay(self):
        """Writes the state of the disk after the cut."""
        disk = powerloss.Disk(self.lies)
        for e in self.entries[:self.cut]:
            disk.play(e)
        self.place(disk, self.mode)

    def place(self, disk, mode):
        os.makedirs(self.home, mode=0o700, exist_ok=True)
        data = os.path.join(self.home, "data")
        shutil.rmtree(data, ignore_errors=True)
        disk.cut(data, self.random, mode)

    def run(self):
        """Returns the problems, as texts."""
        try:
            problems = self.first()
        except Exception as error:
            problems = [f"{type(error).__name__}: {error}"]
        if problems and os.environ.get("KVD_TEST_KEEP"):
            shutil.copytree(self.home, os.path.join(os.environ["KVD_TEST_KEEP"], f"case-{self.number}"), ignore=lambda *_: ["kvd.sock", "notify"])
        shutil.rmtree(self.home, ignore_errors=True)
        return [f"case {self.number}, cut at {self.cut} of {len(self.entries)}, {self.mode}: {p}" for p in problems]

    def first(self):
        known = known_at(self.marks, self.cut)
        writers = list(self.workload.writers.values())
        before = powerloss.Disk.load(os.path.join(self.home, "data"))
        fault = faulty.Faulty(os.path.join(self.home, "data"), journal=True)
        kvd, problems = begin(self.home, fault)
        if problems:
            return problems
        problems, steps = look_at(kvd, writers, known)
        problems += look_around(kvd, known)
        if not problems:
            return self.second(kvd, fault, before, known, steps)
        kvd.kill9()
        return problems

    def second(self, kvd, fault, before, known, steps):
        """What this life was told and shown must outlast another cut; before it said anything the promises of the first hold."""
        w = Workload([writer.after(writer.states[possible[0]]) for writer, possible in steps.items()])
        for name, writer in w.writers.items():
            c = w.connect(kvd, name, writer.db)
            for _ in range(w.write(c, writer, 2)):
                c.read()
        kvd.kill9()
        entries = fault.journal()
        marks = w.marks_of(entries)
        spoke = next((i for i, e in enumerate(entries) if e.kind == faulty.SEND), len(entries))
        cut = self.random.randrange(spoke) if self.random.random() < 0.4 else self.random.randrange(len(entries) + 1)
        for e in entries[:cut]:
            before.play(e)
        mode = self.random.choice(powerloss.MODES)
        self.place(before, mode)
        kvd, problems = begin(self.home)
        if not problems:
            late = cut > spoke
            problems, _ = look_at(kvd, w.writers.values() if late else steps.keys(), known_at(marks, cut) if late else known)
        kvd.kill9()
        return [f"and again at {cut} of {len(entries)}, {mode}: {p}" for p in problems]


def choose_cuts(entries, random, count):
    """Anywhere, and as often beside a call that changes names or sizes."""
    steps = [i + random.randrange(2) for i, e in enumerate(entries) if faulty.META >> e.kind & 1 or e.kind == faulty.SYNC and random.random() < 0.2]
    return sorted(random.choice(steps) if n % 2 else random.randrange(len(entries) + 1) for n in range(count))


def run_cases(cases):
    """Replays one after the other (the disk is cheap to copy, the interpreter is not shared) and runs daemons beside it."""
    problems = []
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        running = []
        for case in cases:
            case.replay()
            running.append(pool.submit(case.run))
            while len(running) > 4:
                problems += running.pop(0).result()
        for one in running:
            problems += one.result()
    return problems


def spread(count, entries, random):
    """That many cuts, each with one of the modes."""
    modes = [powerloss.MODES[i % len(powerloss.MODES)] for i in range(count)]
    random.shuffle(modes)
    return list(zip(choose_cuts(entries, random, count), modes))


def test_power_cuts():
    for n in range(20 if LONG else 1):
        random = rng(f"workload {n}")
        entries, workload = record(random, 40 if LONG else 22)
        marks = workload.marks_of(entries)
        errors = [value for _, proofs in marks for what, value in proofs if what == "error"]
        is_(errors, [], "no request fails, and no reader sees a state that never was")
        kinds = {faulty.NAMES[k]: sum(e.kind == k for e in entries) for k in range(faulty.KINDS)}
        diag(f"{len(entries)} entries, {sum(len(w.states) - 1 for w in workload.writers.values())} steps: {kinds}")
        ok(all(kinds[k] for k in ("write", "sync", "rename", "link", "unlink", "mkdir", "rmdir", "truncate", "send")), "every kind of call is in the journal")
        cuts = spread(400 if LONG else 30 if SANITIZED else 80, entries, random)
        problems = run_cases(Case(i, entries, workload, marks, *cut) for i, cut in enumerate(cuts))
        ok(not problems, f"{len(cuts)} power cuts, and one more after each: it starts, and nothing is lost that was acknowledged or shown", *problems[:5])


def test_relaxed():
    """Without waiting for the disk replies prove nothing, but what is there is still a first part of all commits, and kvd starts."""
    random = rng("relaxed")
    entries, workload = record(random, 20, durability="never")
    cuts = spread(400 if LONG else 20, entries, random)
    problems = run_cases(Case(i, entries, workload, [], *cut) for i, cut in enumerate(cuts))
    ok(not problems, f"durability=never: {len(cuts)} power cuts leave a first part of what was committed", *problems[:5])


def early(entries, marks):
    """The same replies, as though each had been sent while the sync before it still ran."""
    begun, index = [], 0
    for i, e in enumerate(entries):
        index = i if e.kind == faulty.SYNC and e.fd >= 0 else index
        begun.append(index)
    return [(begun[i], proofs) for i, proofs in marks]


def test_lies_are_noticed():
    """A disk that says "synced" and is not, and a daemon that replies too early: without a violation here the tests above would show nothing."""
    random = rng("lies")
    entries, workload = record(random, 20)
    marks = workload.marks_of(entries)
    cuts = [random.randrange(len(entries) // 4, len(entries)) for _ in range(12)]
    sooner = early(entries, marks)
    syncs = sorted({i + 1 for i, _ in sooner})
    for name, lies, what, where in (("syncs of files do nothing", ("data",), marks, cuts), ("syncs of directories do nothing", ("names",), marks, cuts),
        ("replies come before the sync", (), sooner, random.sample(syncs, 12))):
        found = run_cases(Case(i, entries, workload, what, cut, "lost", lies) for i, cut in enumerate(where))
        ok(any("acknowledged or shown" in p or "not start" in p for p in found), f"{name}: the loss is noticed ({len(found)} problems in {len(where)} cuts)", *found[:5])


HOME = faulty.ram_dir()
run(test_power_cuts, test_relaxed, test_lies_are_noticed)
