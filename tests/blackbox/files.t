#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Each file of a stopped store changed in each way: flipped, zeroed, cut, lengthened, doubled, taken away, exchanged, put back from an earlier day. The table
below is what doc/durability.md promises of it; whatever happens, no wrong value is shown, and what a start refuses names its file.
"""
import collections
import concurrent.futures
import filecmp
import os
import shutil
import subprocess

import faulty
from kvdtest import *

KVCTL = os.path.join(TOP, "kvctl")

# What a start makes of it: "right" (all values), "isolated" (a key answers CORRUPT, all others are right), "refused" (and the file is named). After it, what
# kvctl repair makes of a refused one: "whole", "lost" (keys answer CORRUPT), "gaps" (keys may have older values, which it says), "refused" (and it says why).
SEGMENT = {
    "a byte changed": "isolated", "its head changed": "refused whole", "zeroed": "refused gaps", "a page zeroed": "isolated", "emptied": "refused gaps",
    "cut short": "refused gaps", "zeros behind it": "right", "garbage behind it": "right", "missing": "refused gaps", "copied beside it": "right",
    "from an earlier day": "refused gaps", "exchanged with another": "refused refused", "copied under the next number": "refused refused"}
# Without a checkpoint the start reads all of the log.
READ = {"a byte changed": "refused lost", "a page zeroed": "refused lost", "its head changed": "refused whole", "garbage behind it": "right"}
CATALOG = {what: "right" if what == "copied beside it" else "refused whole" for what in SEGMENT}
DERIVED = dict.fromkeys(SEGMENT, "right")


def kvctl(*args):
    done_ = subprocess.run([KVCTL, *args], capture_output=True, timeout=60 * PATIENCE)
    return done_.returncode, (done_.stdout + done_.stderr).decode()


class Lab:
    """A store with segments of all kinds, a checkpoint and a snapshot, and a copy of it from a day before."""

    def __init__(self):
        kvd = Kvd(faulty.ram_dir(), segment_size="1M", compact_garbage_ratio=0, checkpoint_interval=0, compact_rate=0)
        self.history = collections.defaultdict(list)
        self.keys = [b"key-%02d" % i for i in range(80)]
        self.n = 0
        kvd.start()
        c = kvd.client()
        self.fill(c, 0, 10, 3)
        c.must("KVD.COMPACT", "FORCE", "SYNC")
        self.fill(c, 10, 20, 2)
        c.must("KVD.BACKUP", "one", "SYNC")
        self.fill(c, 20, 30, 1)
        kvd.stop()
        self.earlier = os.path.join(kvd.dir, "earlier")
        shutil.copytree(kvd.data, self.earlier)
        kvd.start()
        self.fill(kvd.client(), 30, 80, 1)
        kvd.stop()
        self.data = kvd.data
        self.home = faulty.ram_dir()
        self.number = 0

    def fill(self, c, begin, end, rounds):
        """Some of the keys, so that each segment has values that count."""
        for _ in range(rounds):
            for key in self.keys[begin:end]:
                self.n += 1
                value = b"%06d" % self.n * 4000
                c.must("SET", key, value)
                self.history[key].append(value)

    def segments(self):
        return sorted(n for n in os.listdir(self.data) if n.endswith(".seg"))

    def copy(self, number):
        path = os.path.join(self.home, f"{number}")
        os.mkdir(path, 0o700)
        shutil.copytree(self.data, os.path.join(path, "data"))
        return path


def overwrite(path, at, data):
    with open(path, "r+b") as f:
        f.seek(at)
        f.write(data)


def flip(path, at):
    with open(path, "rb") as f:
        f.seek(at)
        byte = f.read(1)[0]
    overwrite(path, at, bytes([byte ^ 0x20]))


def append(path, data):
    with open(path, "ab") as f:
        f.write(data)


def exchange(path, other):
    os.rename(path, path + ".x")
    os.rename(other, path)
    os.rename(path + ".x", other)


def changes(lab, name):
    """{what: function of the data directory} for a file."""
    def at(directory):
        return os.path.join(directory, name)

    with open(at(lab.data), "rb") as f:
        data = f.read()
    size = len(data)
    middle = data.rfind(b"key-") + 5000 if b"key-" in data and name.endswith(".seg") else size // 2  # of a value
    found = {
        "a byte changed": lambda d: flip(at(d), middle),
        "its head changed": lambda d: flip(at(d), min(9, size - 1)),
        "zeroed": lambda d: overwrite(at(d), 0, bytes(size)),
        "a page zeroed": lambda d: overwrite(at(d), middle, bytes(4096)),
        "emptied": lambda d: os.truncate(at(d), 0),
        "cut short": lambda d: os.truncate(at(d), size // 2),
        "zeros behind it": lambda d: append(at(d), bytes(5000)),
        "garbage behind it": lambda d: append(at(d), b"\xa5" * 5000),
        "missing": lambda d: os.unlink(at(d)),
        "copied beside it": lambda d: shutil.copy(at(d), at(d) + ".bak"),
    }
    if os.path.exists(at(lab.earlier)) and not filecmp.cmp(at(lab.earlier), at(lab.data), False):
        found["from an earlier day"] = lambda d: shutil.copy(at(lab.earlier), at(d))
    if name.endswith(".seg") and "/" not in name:
        names = lab.segments()
        other = names[names.index(name) - 1]
        found["exchanged with another"] = lambda d: exchange(at(d), os.path.join(d, other))
        found["copied under the next number"] = lambda d: shutil.copy(at(d), os.path.join(d, "%010d.seg" % (int(names[-1][:10]) + 1)))
    return found


def look(lab, kvd):
    """What a started daemon shows: "right", "isolated", "older", or a text that says what is wrong."""
    c, outcome = kvd.client(), "right"
    for key in lab.keys:
        value, expected = c("GET", key), lab.history[key]
        if value == expected[-1]:
            continue
        if isinstance(value, Error) and value.kind == "CORRUPT":
            outcome = "isolated" if outcome == "right" else outcome
        elif value is None or value in expected:
            outcome = "older"
        else:
            return f"{key} is {value!r:.40}"
    others = set(c.must("KEYS", "*")) - set(lab.keys)
    return f"there are keys nobody wrote: {others}" if others else outcome


def start(kvd):
    kvd.start(wait=False)
    if kvd.wait_note(lambda text: "READY=1" in text.split("\n")):
        return None
    code = kvd.wait_exit()
    return code if code is not None else "hung"


def judge(lab, number, name, change):
    """(what a start and a repair make of it, what they said)"""
    home = lab.copy(number)
    change(os.path.join(home, "data"))
    kvd = Kvd(home, compact_garbage_ratio=0, checkpoint_interval=0)
    try:
        code = start(kvd)
        if code is None:
            return look(lab, kvd), kvd.log
        text = kvd.log
        # Of two files that were exchanged either may be named.
        named = os.path.basename(name) in text or ".seg" in name and ".seg" in text
        outcome = "refused" if code in (EXIT_CORRUPT, EXIT_IO) and named else f"ended with {code}"
        code, said = kvctl("repair", kvd.data)
        if code:
            return f"{outcome} refused", text + said
        code = start(kvd)
        after = look(lab, kvd) if code is None else f"not started ({code})"
        gaps = "gaps" if "gaps" in said and " 0 gaps" not in said else "OLDER, NOT SAID"
        return f"{outcome} " + {"right": "whole", "isolated": "lost", "older": gaps}.get(after, after), text + said + kvd.log[-500:]
    finally:
        kvd.kill9()
        shutil.rmtree(home, ignore_errors=True)


def run_table(lab, names, table, prepare=lambda d: None):
    """One check for each kind of change, of all those files."""
    rows = collections.defaultdict(list)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for name in names:
            for what, change in changes(lab, name).items():
                if what in table:
                    lab.number += 1
                    rows[what].append((name, pool.submit(judge, lab, lab.number, name, lambda d, change=change: (prepare(d), change(d)))))
    for what, cases in rows.items():
        wrong = [f"{name}: {case.result()[0]}; {case.result()[1][-700:]}" for name, case in cases if case.result()[0] != table[what]]
        yield what, f"{', '.join(name for name, _ in cases)}: {table[what]}", wrong


def test_segments():
    lab = Lab()
    for what, words, wrong in run_table(lab, lab.segments(), SEGMENT):
        ok(not wrong, f"a segment {what}: {words}", *wrong)
    for what, words, wrong in run_table(lab, lab.segments(), READ, lambda d: os.unlink(os.path.join(d, "CHECKPOINT"))):
        ok(not wrong, f"a segment {what}, without checkpoint: {words}", *wrong)


def test_others():
    lab = Lab()
    for what, words, wrong in run_table(lab, ["CATALOG"], CATALOG):
        ok(not wrong, f"{what}: {words}", *wrong)
    for what, words, wrong in run_table(lab, ["CHECKPOINT", "LOCK", "snapshots/one/MANIFEST"], DERIVED):
        ok(not wrong, f"{what}: {words}", *wrong)


def test_snapshots():
    """A snapshot that was changed is refused, and the store beside it is none the worse."""
    lab, problems, number = Lab(), [], 0
    folder = os.path.join("snapshots", "one")
    for name in sorted(os.listdir(os.path.join(lab.data, folder))):
        for what, change in changes(lab, os.path.join(folder, name)).items():
            home = lab.copy(number := number + 1)
            change(os.path.join(home, "data"))
            code, text = kvctl("snapshot", "verify", "--data-dir", os.path.join(home, "data"), "one")
            # The manifest knows the sizes: what stands behind is no part of it.
            harmless = what == "copied beside it" or "behind" in what and name.endswith(".seg")
            if (code == 0) != harmless:
                problems.append(f"{name} {what}: verify ends with {code}: {text}")
            shutil.rmtree(home)
    ok(number > 40 and not problems, f"{number} changes of a snapshot's files: verify tells of each that matters", *problems)


run(test_segments, test_others, test_snapshots)
