#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
The real daemon killed, or its disk failing, at each call in turn that it makes to its files: while it rotates, compacts, makes and deletes
snapshots, stops and starts. Also reads that fail, writes that come up short, and kvctl repair killed in the middle.
"""
import errno
import filecmp
import os
import shutil
import subprocess
import threading

import faulty
import powerloss
from kvdtest import *

KVCTL = os.path.join(TOP, "kvctl")

class Store:
    """A small store in several segments with garbage in it, and what must be in there."""

    def __init__(self, **options):
        self.kvd = Kvd(faulty.ram_dir(), **{"segment_size": "1M", "compact_garbage_ratio": 0, "compact_rate": 0, "checkpoint_interval": 0, **options})
        self.fault = faulty.Faulty(self.kvd.data)
        self.model = {}
        self.doubt = {}  # key: values it may have beside that of the model, since no reply came or it was an error
        self.snapshots = {}
        self.n = 0
        self.must_start()
        for n in range(3):
            self.rotate()

    def write(self, c, key, value):
        self.doubt.setdefault(key, set()).add(value)
        reply = c("SET", key, value) if value is not None else c("DEL", key)
        if not isinstance(reply, Error):
            self.model[key] = value
            self.doubt.pop(key)
        return reply

    # The operations; each returns its last reply.

    def rotate(self):
        c = self.kvd.client()
        for i in range(12):
            self.n += 1
            reply = self.write(c, b"k%d" % i, b"%d:" % self.n * (20000 if i else 1))
        return self.write(c, b"k5", None) if self.n % 2 else reply

    def compact(self):
        """None when a call has failed and no reply comes: on a full disk the last step waits for space."""
        self.waiting = self.kvd.client(timeout=0.5 / PATIENCE)
        self.waiting.post("KVD.COMPACT", "FORCE", "SYNC")
        while True:
            try:
                return self.waiting.read()
            except TimeoutError:
                if self.fault.hits:
                    return None

    def finish(self):
        """The reply that was waited for must come now."""
        self.waiting.sock.settimeout(10 * PATIENCE)
        return self.waiting.read()

    def snapshot(self):
        self.n += 1
        name = f"s{self.n}"
        self.snapshots[name] = None
        reply = self.kvd.client()("KVD.BACKUP", name, "SYNC")
        self.snapshots[name] = True if not isinstance(reply, Error) else None
        return reply

    def delete(self):
        name = next((name for name, there in self.snapshots.items() if there), None)
        if name is None:
            return self.snapshot()
        self.snapshots[name] = None
        reply = self.kvd.client()("KVD.BACKUPDEL", name, "SYNC")
        if not isinstance(reply, Error):
            del self.snapshots[name]
        return reply

    def stop(self):
        code, _ = self.kvd.stop()
        return OK if code == 0 else Error(f"EXIT {code}")

    def start(self):
        """After kill -9; it may end in the middle."""
        self.kvd.kill9()
        self.kvd.start(wait=False, env=self.fault.env())
        if self.kvd.wait_note(lambda text: "READY=1" in text.split("\n")):
            return OK
        return Error(f"EXIT {self.kvd.wait_exit()}")

    def must_start(self):
        if self.start() != OK:
            raise RuntimeError("it does not start: " + self.kvd.log[-1000:])

    def look_beside(self, what):
        """While calls fail: reads are right, writes are taken or refused in words."""
        c, problems = self.kvd.client(), []
        for key in {*self.model, *self.doubt}:
            value = c("GET", key)
            if value not in {self.model.get(key)} | self.doubt.get(key, set()):
                problems.append(f"{what}: while it fails {key} is {value!r:.60}")
        reply = self.write(c, b"beside", b"%d" % self.n)
        if reply != OK and getattr(reply, "kind", "") != "MISCONF":
            problems.append(f"{what}: a write answers {reply!r}")
        return problems

    def check(self, known=True):
        """What is wrong, as texts. What was in doubt is known afterwards, when it can no longer change."""
        c, problems = self.kvd.client(), []
        for key in {*self.model, *self.doubt}:
            value, may = c("GET", key), {self.model.get(key)} | self.doubt.get(key, set())
            if isinstance(value, Error) or value not in may:
                problems.append(f"{key} is {value!r:.60}, not one of {[str(v)[:20] for v in may]}")
            self.model[key] = value if known else self.model.get(key)
        self.doubt = {} if known else self.doubt
        names = {dict(zip(s[::2], s[1::2]))[b"name"].decode() for s in c.must("KVD.BACKUPS")}
        if not {name for name, there in self.snapshots.items() if there} <= names <= set(self.snapshots):
            problems.append(f"snapshots are {names}, not {self.snapshots}")
        self.snapshots = {name: True for name in names} if known else self.snapshots
        return problems

    def check_files(self):
        """No debris, which is looked for after a start."""
        left = self.kvd.left_over("SCRUB", "snapshots", "damaged")
        folder = os.path.join(self.kvd.data, "snapshots")
        left += [n for n in (os.listdir(folder) if os.path.isdir(folder) else []) if n not in self.snapshots]
        segments = self.kvd.client().must("KVD.SEGMENTS")
        return [f"left over: {left}, {len(self.kvd.segments())} files of {len(segments)} segments"] \
            if left or len(segments) != len(self.kvd.segments()) else []


def each_call(operation, prepare, what, step):
    """Calls what(store, n, operation) for n = 1, 2, ... until it finds that there is no such call; returns (calls, problems)."""
    store, n, problems = Store(), 1 - step, []
    while len(problems) < 3 and n < MOST_CALLS:
        n += step
        prepare(store)
        problem = what(store, n, getattr(store, operation))
        if problem is None:
            break
        problems += [f"{operation}, call {n}: {p}" for p in problem]
    store.kvd.kill9()
    return n - step, problems


# No operation has so many: a test that does not end helps nobody.
MOST_CALLS = 200


def nothing(store):
    """Few segments, as each is a call more for a snapshot."""
    if len(store.kvd.segments()) > 8:
        store.compact()


def have_snapshot(store):
    nothing(store)
    if not any(store.snapshots.values()):
        store.snapshot()


# What is done, and what before it so that there is something to do.
OPERATIONS = (("rotate", nothing), ("compact", Store.rotate), ("snapshot", nothing), ("delete", have_snapshot), ("stop", Store.rotate),
    ("start", Store.rotate))


def all_operations(what, step=1):
    """each_call for all operations, side by side, since each waits for a daemon most of the time. Yields (operation, calls, problems)."""
    results = {}

    def one(operation, prepare):
        try:
            results[operation] = each_call(operation, prepare, what, step)
        except Exception as error:
            results[operation] = 0, [f"{type(error).__name__}: {error}"]

    threads = [threading.Thread(target=one, args=o) for o in OPERATIONS]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for operation, _ in OPERATIONS:
        yield operation, *results[operation]


def kill_at(torn, kinds):
    def kill(store, n, operation):
        store.fault.kill(kinds, n, torn)
        try:
            operation()
        except (Closed, OSError):
            pass
        code = store.kvd.wait_exit() if store.fault.hits else -9
        hits = store.fault.calm()
        store.kvd.kill9()
        store.must_start()
        return [*([] if code == -9 else [f"it ended with {code}"]), *store.check(), *store.check_files()] if hits else None

    return kill


def test_killed():
    for operation, calls, problems in all_operations(kill_at(False, faulty.CHANGES)):
        ok(calls > 3 and not problems, f"{operation}: kill -9 before each of {calls} calls: all is there after a start, and no file is left over", *problems)
    for operation, calls, problems in all_operations(kill_at(True, faulty.mask(faulty.WRITE))):
        ok(not problems, f"{operation}: and in the middle of each of {calls} writes", *problems)


def fail_at(error, last, kinds):
    """The call fails; last None: this one, 0: and all that follow."""
    def fail(store, n, operation):
        name = errno.errorcode[error]
        problems = []
        store.fault.fail(kinds, error, n, last)
        reply = operation()
        hits = store.fault.hits  # of the operation alone
        if operation.__name__ in ("start", "stop"):
            if reply != OK and reply.text not in ("EXIT 74", "EXIT 65", "EXIT 78"):
                problems.append(f"{name}: it ended with {reply}")
        elif not store.kvd.alive:
            problems.append(f"{name}: it ended")
        else:
            problems += store.look_beside(name)
        store.fault.calm()
        if reply is None and isinstance(store.finish(), Error):
            problems.append(f"{name}: a compaction does not go on when there is space")
        if hits and error == errno.ENOSPC and store.kvd.alive:
            c = store.kvd.client()
            if not poll(lambda: store.write(c, b"again", b"%d" % n) == OK, 5, 0.05):
                problems.append(f"{name}: no write is taken within {5 * PATIENCE:g} s after there is space: {c('SET', b'again', b'')!r}")
        if hits:
            problems += store.check(known=False) if store.kvd.alive else []
            store.kvd.kill9()
            store.must_start()
            problems += store.check() + store.check_files()
        elif not store.kvd.alive:
            store.must_start()
        return problems if hits else None

    return fail


def test_failing():
    # A sync that finds no space is a sync that failed: what it should have synced is lost, and no later one is believed.
    no_sync = faulty.CHANGES & ~faulty.mask(faulty.SYNC)
    for error, last, kinds, words in ((errno.EIO, None, faulty.CHANGES, "each call fails once with EIO"),
        (errno.ENOSPC, 0, no_sync, "with ENOSPC from each call on, until there is space"),
        (errno.EIO, 0, faulty.CHANGES, "with EIO from each call on"), (errno.ENOSPC, None, no_sync, "each fails once with ENOSPC"),
        (errno.EROFS, 0, faulty.CHANGES, "with EROFS from each call on"))[:5 if LONG else 2]:
        # A daemon that met a full disk looks for space once a second.
        results = list(all_operations(fail_at(error, last, kinds), 1 if LONG else 2 if error == errno.EIO else 5))
        problems = [p for _, _, some in results for p in some]
        calls = ", ".join(f"{operation} {n}" for operation, n, _ in results)
        ok(not problems and all(3 < n < MOST_CALLS for _, n, _ in results), f"{words} (of {calls}): an error or success, reads go on, and nothing is lost",
            *problems[:8])


def wide(i):
    return b"%d:" % i * 10000


def wide_store(**options):
    """Values that are read from the disk: more than the log keeps in memory, in several segments, none cached."""
    kvd = Kvd(faulty.ram_dir(), segment_size="1M", cache_size=0, compact_garbage_ratio=0, **options)
    fault = faulty.Faulty(kvd.data)
    kvd.start(env=fault.env())
    c = kvd.client()
    for i in range(150):
        c.must("SET", f"wide-{i}", wide(i))
    kvd.kill9()  # so that nothing is in memory
    kvd.start(env=fault.env())
    return kvd, fault, kvd.client()


def test_reads_fail():
    kvd, fault, c = wide_store()
    wrong, failed = [], 0
    for i in range(0, 60, 3):
        fault.fail(faulty.mask(faulty.READ), errno.EIO, last=0)
        reply = c("GET", f"wide-{i}")
        failed += isinstance(reply, Error)
        if fault.calm() and reply != wide(i) and not (isinstance(reply, Error) and reply.kind in ("IOERR", "CORRUPT")):
            wrong.append((i, repr(reply)[:80]))
    ok(failed >= 10 and not wrong, f"a read that fails with EIO is an error ({failed} of 20), never nil and no other value", *wrong)
    fault.fail(faulty.mask(faulty.READ), errno.EIO)
    replies = c.pipeline(*(("GET", f"wide-{i}") for i in range(8)))
    bad = [r for i, r in enumerate(replies) if r != wide(i)]
    fault.calm()
    ok(len(bad) <= 1 and all(isinstance(r, Error) for r in bad), "only for the key that was hit", repr(bad)[:200])
    is_(c("SET", "other", "x"), OK, "writes go on")
    is_([i for i in range(150) if c("GET", f"wide-{i}") != wide(i)], [], "and when the disk reads again all is there")
    for words, command in (("a compaction", ("KVD.COMPACT", "FORCE", "SYNC")), ("a pass over everything", ("KVD.VERIFY",)), ("a snapshot", ("KVD.BACKUP", "s", "SYNC"))):
        fault.fail(faulty.mask(faulty.READ), errno.EIO, 5, 9)
        c.post(*command)
        reply = c.read()
        fault.calm()
        ok(kvd.alive and c("GET", "wide-7") == wide(7), f"{words} in which reads fail: kvd goes on", repr(reply)[:200])
    kvd.crash()
    c = kvd.client()
    is_([i for i in range(150) if c("GET", f"wide-{i}") != wide(i)], [], "after kill -9 all is there")


def test_reads_fail_at_a_start():
    """What cannot be read is not a torn tail: nothing may be cut for it."""
    kvd, fault, c = wide_store(checkpoint_interval=0)
    c.must("SET", "last", "x")
    problems, n, ended = [], 0, 0
    while n < 60 and len(problems) < 3:
        n += 1
        kvd.kill9()
        fault.fail(faulty.mask(faulty.READ), errno.EIO, n, 0 if n % 2 else None)
        kvd.start(wait=False, env=fault.env())
        if not kvd.wait_note(lambda text: "READY=1" in text.split("\n")):
            code = kvd.wait_exit()
            ended += 1
            if code not in (EXIT_IO, EXIT_CORRUPT):
                problems.append(f"read {n}: it ended with {code}: {kvd.log[-300:]}")
        hits = fault.calm()
        kvd.kill9()
        kvd.start(env=fault.env())
        c = kvd.client()
        wrong = [i for i in range(150) if c("GET", f"wide-{i}") != wide(i)]
        if wrong or c("GET", "last") != b"x":
            problems.append(f"read {n}: these are gone: {wrong} {c('GET', 'last')}")
        if not hits:
            break
    ok(n > 5 and ended > 5 and not problems, f"reads fail at a start, each of {n - 1} in turn: it is refused, and the next one has everything", *problems)


def test_short_writes():
    store = Store()
    store.fault.short(last=0)
    problems = []
    for operation in ("rotate", "compact", "snapshot"):
        reply = getattr(store, operation)()
        if isinstance(reply, Error):
            problems.append(f"{operation}: {reply}")
    hits = store.fault.calm()
    problems += store.check()
    store.must_start()
    problems += store.check() + store.check_files()
    ok(hits > 20 and not problems, f"{hits} writes that write half of it: the rest follows, nobody notices", *problems)


class Patient:
    """A stopped store with damage of several kinds, and what it is like after an undisturbed repair."""

    def __init__(self):
        store = Store()
        while len(store.kvd.segments()) < 4:
            store.rotate()
        store.stop()
        self.origin, self.fault, self.home = store.kvd.data, store.fault, store.kvd.dir
        segments = store.kvd.segments()
        self.damage(segments[-1], lambda data: data.rindex(b"k11") + 2000)  # a value
        self.damage(segments[0], lambda data: data.index(b"k7"))           # a key
        self.damage(segments[0], lambda data: 8)                           # the header of the file
        os.truncate(segments[1], os.path.getsize(segments[1]) - 50000)
        os.rename(self.origin, self.origin + ".damaged")
        self.fresh()

    @staticmethod
    def damage(path, find):
        with open(path, "r+b") as f:
            at = find(f.read())
            f.seek(at)
            f.write(b"?")

    def fresh(self):
        shutil.rmtree(self.fault.directory, ignore_errors=True)
        shutil.copytree(self.origin + ".damaged", self.fault.directory)

    def lost(self):
        """Files that are neither as they were nor kept in damaged/: a repair deletes nothing."""
        folder = os.path.join(self.fault.directory, "damaged")
        there = [os.path.join(d, n) for d in (self.fault.directory, folder) if os.path.isdir(d) for n in os.listdir(d)]
        return [n for n in os.listdir(self.origin + ".damaged") if n.endswith(".seg")
            and not any(os.path.isfile(f) and filecmp.cmp(f, os.path.join(self.origin + ".damaged", n), False) for f in there)]

    def repair(self, env=None):
        done_ = subprocess.run([KVCTL, "repair", self.fault.directory], capture_output=True, env={**os.environ, **(env or {})}, timeout=60 * PATIENCE)
        return done_.returncode, (done_.stdout + done_.stderr).decode()

    def look(self):
        """Everything a daemon shows of it."""
        kvd = Kvd(self.home).start()
        c = kvd.client()
        keys = sorted(c.must("KEYS", "*"))
        shown = [(k, repr(c("GET", k))) for k in keys]
        kvd.kill9()
        return shown


def test_repair_killed():
    patient = Patient()
    is_(patient.repair()[0], 0, "a repair that nobody disturbs")
    whole = patient.look()
    ok(any("CORRUPT" in value for _, value in whole), "leaves what it can", repr(whole)[:300])
    for words, step, arm in (("killed before each", 1, lambda n: patient.fault.kill(faulty.CHANGES, n)),
        ("killed in the middle of each write", 1, lambda n: patient.fault.kill(faulty.mask(faulty.WRITE), n, True)),
        ("in which some answer EIO", 1 if LONG else 4, lambda n: patient.fault.fail(faulty.CHANGES, errno.EIO, n))):
        problems, n, hits = [], 1 - step, True
        while hits and n < MOST_CALLS and len(problems) < 3:
            n += step
            patient.fresh()
            arm(n)
            patient.repair(patient.fault.env())
            hits = patient.fault.calm()
            code, text = patient.repair()
            if code != 0:
                problems.append(f"call {n}: the second repair ends with {code}: {text}")
            elif patient.lost():
                problems.append(f"call {n}: lost: {patient.lost()}")
            elif (LONG or n % 8 == 1) and patient.look() != whole:
                problems.append(f"call {n}: after the second repair there is {patient.look()!r}"[:800] + f" and not {whole!r}"[:800])
        ok(n > 3 and not problems, f"a repair {words} of {n - step} calls: running it again ends as an undisturbed one does", *problems)


def test_repair_and_power_loss():
    patient = Patient()
    watched = faulty.Faulty(patient.fault.directory, journal=True)
    patient.repair(watched.env())
    whole, entries, random = patient.look(), watched.journal(), rng("repair")
    problems, cuts = [], 400 if LONG else 40
    for n in range(cuts):
        disk, cut, mode = powerloss.Disk.load(patient.origin + ".damaged"), random.randrange(len(entries) + 1), powerloss.MODES[n % len(powerloss.MODES)]
        for e in entries[:cut]:
            disk.play(e)
        shutil.rmtree(patient.fault.directory)
        disk.cut(patient.fault.directory, random, mode)
        lost = patient.lost()
        code, text = patient.repair()
        if code or lost or patient.lost() or n % 8 == 0 and patient.look() != whole:
            problems.append(f"cut at {cut} of {len(entries)}, {mode}: {lost} {patient.lost()} {code} {text}")
    ok(len(entries) > 40 and not problems, f"{cuts} power cuts in a repair: no file is lost, and running it again ends as an undisturbed one does", *problems[:5])


run(test_killed, test_failing, test_reads_fail, test_reads_fail_at_a_start, test_short_writes, test_repair_killed,
    test_repair_and_power_loss)
