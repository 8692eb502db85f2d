#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
The end of the log torn, garbled or zeroed: kvd starts by itself with every earlier write. Damage elsewhere: never a wrong
value; it starts with the record isolated, or refuses with file and offset. Knows of the layout only that the directory
holds LOCK, CATALOG and NNNNNNNNNN.seg and that a record is a header, the key and the value.
"""
import os
import shutil
import time

from kvdtest import *

N = 8
VALUE = b"ABCDEFGH" * 4


def key(i):
    return b"key-%04d" % i


def value(i):
    return b"%02d" % i + VALUE


class Lab:
    """A directory written once and copied for each experiment."""

    def __init__(self, clean):
        maker = Kvd().start()
        c = maker.client()
        for i in range(N):
            c.must("SET", key(i), value(i))
        if clean:
            maker.stop()
        else:
            maker.kill9()
        self.origin = maker.data
        path = self.path(maker.data)
        self.name = os.path.basename(path)
        with open(path, "rb") as f:
            self.bytes = f.read()
        self.end = len(self.bytes.rstrip(b"\0"))
        places = [self.bytes.find(key(i)) for i in range(N)]
        if -1 in places:
            raise Skip("keys are not stored as they are")
        self.stride = places[-1] - places[-2]
        self.last = self.end - self.stride
        self.kvd = Kvd()
        self.files = os.listdir(maker.data)

    @staticmethod
    def path(directory):
        """The segment that holds the keys."""
        for name in sorted((n for n in os.listdir(directory) if n.endswith(".seg")), reverse=True):
            with open(os.path.join(directory, name), "rb") as f:
                if key(0) in f.read():
                    return os.path.join(directory, name)
        raise Skip("no segment file holds the keys")

    def put(self, data):
        """A fresh directory with that content of the segment."""
        self.kvd.kill9()
        shutil.rmtree(self.kvd.data)
        shutil.copytree(self.origin, self.kvd.data)
        with open(os.path.join(self.kvd.data, self.name), "wb") as f:
            f.write(data)
        open(self.kvd.log_path, "w").close()
        return self.kvd

    def survives(self, data, may_lose=1):
        """Starts, has all but the last may_lose writes, takes a write, and has it after kill -9. Returns a text when not."""
        kvd = self.put(data)
        try:
            kvd.start()
        except RuntimeError as error:
            return str(error)
        c = kvd.client()
        for i in range(N):
            got = c("GET", key(i))
            if got != value(i) and not (got is None and i >= N - may_lose):
                return f"{key(i)} is {got!r}; log: {kvd.log}"
        there = [c("GET", key(i)) for i in range(N)]
        if c("SET", "after", "the tear") != OK:
            return "no write is taken"
        kvd.crash()
        c = kvd.client()
        again = [c("GET", key(i)) for i in range(N)] + [c("GET", "after")]
        if again != there + [b"the tear"]:
            return f"after one more kill -9: {again!r}, was {there!r}"
        return None


def all_survive(lab, cases, name):
    """Runs the cases (label, bytes, may_lose), a sample of them unless in the long form."""
    cases = list(cases)
    if not LONG and len(cases) > (12 if SANITIZED else 45):
        step = len(cases) / (12 if SANITIZED else 45)
        cases = [cases[int(i * step)] for i in range(12 if SANITIZED else 45)] + cases[-1:]
    problems = []
    for label, data, may_lose in cases:
        problem = lab.survives(data, may_lose)
        if problem:
            problems.append(f"{label}: {problem}")
            if len(problems) >= 3:
                break
    ok(not problems, f"{name}: {len(cases)} ways", *problems)


def lose(lab, at):
    """How many of the last writes a cut there may cost; the end is not known to the byte when a record ends with zeros."""
    return 1 if at >= lab.last + 8 else 2


def test_layout():
    lab = Lab(clean=False)
    ok({"LOCK", "CATALOG"} <= set(lab.files), "the directory holds LOCK and CATALOG", str(lab.files))
    ok(len(lab.name) == 14 and lab.name[:10].isdigit(), "segments are NNNNNNNNNN.seg", lab.name)
    diag(f"{lab.end} bytes used of {len(lab.bytes)}, {lab.stride} bytes per record")


def test_cut():
    lab = Lab(clean=False)
    all_survive(lab, ((f"cut at {at}", lab.bytes[:at], lose(lab, at)) for at in range(lab.end, lab.last, -1)),
                "the last record cut at every length")


def test_zeroed():
    lab = Lab(clean=False)
    all_survive(lab, ((f"zeros from {at}", lab.bytes[:at] + bytes(max(len(lab.bytes), lab.end + 4096) - at),
        lose(lab, at))
                      for at in range(lab.end, lab.last, -3)), "the last record zeroed from every length on")


def test_garbage():
    lab = Lab(clean=False)
    random = rng("garbage")
    cases = []
    for n in (1, 2, 3, 7, 16, 31, 64, 100, 1000, 5000):
        junk = random.randbytes(n)
        cases.append((f"{n} bytes of garbage behind the end",
            lab.bytes[:lab.end + 8] + junk + lab.bytes[lab.end + 8 + n:], 0))
    cases.append(("garbage behind the end of the file", lab.bytes + random.randbytes(333), 0))
    cases.append(("text behind the end", lab.bytes[:lab.end + 8] + b"SET a b\r\n" * 10, 0))
    cases.append(("0xff behind the end", lab.bytes[:lab.end + 8] + b"\xff" * 500, 0))
    cases.append(("zeros behind the end", lab.bytes[:lab.end] + bytes(100000), 0))
    cases.append(("an old record again behind the end",
        lab.bytes[:lab.end + 8] + lab.bytes[lab.last:lab.end] + bytes(64), 0))
    cases.append(("an old record right behind the end",
        lab.bytes[:lab.end] + lab.bytes[lab.last:lab.end] + bytes(64), 0))
    for at in (lab.last + 9, (lab.last + lab.end) // 2, lab.end - 3):
        junk = random.randbytes(lab.end - at)
        cases.append((f"garbage from {at} to the end", lab.bytes[:at] + junk + lab.bytes[lab.end:], 1))
    all_survive(lab, cases, "garbage at the tail")


def examine(lab, data, label, random):
    """Damage somewhere: returns (outcome, problem)."""
    kvd = lab.put(data)
    kvd.start(wait=False)
    if not kvd.wait_note(lambda text: "READY=1" in text.split("\n"), 10):
        code = kvd.wait_exit(1)
        if code is None:
            return "hang", f"{label}: neither ready nor ended; log: {kvd.log}"
        if code < 0 or code not in (EXIT_CORRUPT, EXIT_IO, EXIT_CONFIG, EXIT_LOCKED):
            return "crash", f"{label}: ended with {code}; log: {kvd.log}"
        named = lab.name in kvd.log
        return "refused", None if named else f"{label}: refused without naming {lab.name}; log: {kvd.log}"
    c = kvd.client()
    outcome = "same"
    for i in range(N):
        got = c("GET", key(i))
        if got == value(i):
            continue
        if isinstance(got, Error):
            outcome = "isolated"
            if got.kind != "CORRUPT":
                return "wrong", f"{label}: {key(i)} answers {got!r}"
        elif got is None and lab.name in kvd.log:
            outcome = "reported"
        else:
            return "wrong", f"{label}: {key(i)} is {got!r}; log: {kvd.log}"
    names = c("KEYS", "*")
    if not set(names) <= {key(i) for i in range(N)} and outcome == "same":
        return "wrong", f"{label}: there are keys nobody wrote: {names}"
    return outcome, None


def flip_bytes(clean):
    lab = Lab(clean)
    random = rng(f"flips {clean}")
    places = list(range(lab.end))
    random.shuffle(places)
    budget = time.monotonic() + (3600 if LONG else 4)
    outcomes, problems, tried = {}, [], 0
    for at in places:
        if time.monotonic() > budget and tried >= 40:
            break
        tried += 1
        data = bytearray(lab.bytes)
        data[at] ^= random.choice((1, 0x80, 0xff, random.randrange(1, 256)))
        outcome, problem = examine(lab, bytes(data), f"byte {at} from {lab.bytes[at]:#x} to {data[at]:#x}",
            random)
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
        if problem:
            problems.append(problem)
            if len(problems) >= 3:
                break
    after = "a clean stop" if clean else "kill -9"
    ok(not problems, f"{tried} flipped bytes after {after}: no wrong value, no crash, no hang", *problems)
    diag(f"outcomes: {outcomes}")


def test_flip_after_kill():
    flip_bytes(False)


def test_flip_after_stop():
    flip_bytes(True)


def test_ranges():
    """Ranges zeroed, doubled, swapped, removed and inserted in the middle."""
    lab = Lab(clean=True)
    random = rng("ranges")
    problems, outcomes = [], {}
    for n in range(200 if LONG else 20):
        a = random.randrange(lab.end - 8)
        size = random.randrange(1, min(200, lab.end - a))
        b = random.randrange(lab.end - size)
        whole = lab.bytes
        kind = random.choice(("zeroed", "doubled", "swapped", "removed", "inserted"))
        if kind == "zeroed":
            data = whole[:a] + bytes(size) + whole[a + size:]
        elif kind == "doubled":
            data = whole[:a + size] + whole[a:a + size] + whole[a + size:]
        elif kind == "removed":
            data = whole[:a] + whole[a + size:]
        elif kind == "inserted":
            data = whole[:a] + random.randbytes(size) + whole[a:]
        else:
            data = bytearray(whole)
            data[a:a + size], data[b:b + size] = whole[b:b + size], whole[a:a + size]
        if bytes(data) == whole:
            continue
        outcome, problem = examine(lab, bytes(data), f"{kind} {size} bytes at {a} (and {b})", random)
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
        if problem:
            problems.append(problem)
    ok(not problems, "damaged ranges: no wrong value, no crash, no hang", *problems[:3])
    diag(f"outcomes: {outcomes}")


def test_cut_after_stop():
    """A clean stop records where the log ends: what is missing then is damage and no torn tail."""
    lab = Lab(clean=True)
    problems, outcomes = [], {}
    for at in sorted({lab.end - 1, lab.end - 5, lab.last + lab.stride // 2, lab.last,
        lab.end - 3 * lab.stride, 100, 10, 0}):
        outcome, problem = examine(lab, lab.bytes[:at], f"cut to {at} of {lab.end} bytes", None)
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
        if problem or outcome == "same":
            problems.append(problem or f"cut to {at}: nothing noticed")
    ok(not problems, "a log cut after a clean stop is noticed", *problems[:3])
    diag(f"outcomes: {outcomes}")


def test_missing_files():
    kvd = Kvd(segment_size="1M").start()
    c = kvd.client()
    for i in range(40):
        c.must("SET", f"k{i}", b"x" * 100000)
    c.must("DEL", "k0")
    kvd.stop()
    files = kvd.segments()
    if len(files) < 3:
        raise Skip("the log is in one file")
    backup = os.path.join(kvd.dir, "backup")
    shutil.copytree(kvd.data, backup)
    for label, change in (("missing", lambda f: os.unlink(f)), ("emptied", lambda f: os.truncate(f, 0)),
                          ("replaced by its neighbour", lambda f: shutil.copy(files[1], f))):
        for path in (files[0], files[-2]):
            if path == files[1]:
                continue
            change(path)
            open(kvd.log_path, "w").close()
            kvd.start(wait=False)
            if kvd.wait_note(lambda text: "READY=1" in text.split("\n"), 5):
                c = kvd.client()
                good = os.path.basename(path) in kvd.log and all(c("GET", f"k{i}") in (b"x" * 100000, None)
                    or c("GET", f"k{i}").kind == "CORRUPT" for i in range(1, 40)) and c("GET", "k0") is None
                kvd.kill9()
            else:
                code = kvd.wait_exit(1)
                good = code in (EXIT_CORRUPT, EXIT_IO) and os.path.basename(path) in kvd.log
            ok(good, f"a segment {label} is refused or reported by name ({os.path.basename(path)})", kvd.log)
            shutil.rmtree(kvd.data)
            shutil.copytree(backup, kvd.data)


run(test_layout, test_cut, test_zeroed, test_garbage, test_flip_after_kill, test_flip_after_stop, test_ranges,
    test_cut_after_stop, test_missing_files)
