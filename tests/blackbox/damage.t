#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Damage in the data: found by kvctl verify, told by a start that refuses, set aside by kvctl repair, and no older value is ever shown for it."""
import json
import os
import subprocess

from kvdtest import *

KVCTL = os.path.join(os.environ.get("top_builddir") or os.path.dirname(os.path.dirname(HERE)), "kvctl")


def kvctl(*args, socket=None):
    command = [KVCTL] + (["--socket", socket] if socket else []) + list(args)
    done = subprocess.run(command, capture_output=True, timeout=30)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def flip(kvd, text, behind=0):
    """Changes a bit behind the last place where the text stands in a segment; returns the file."""
    for path in reversed(kvd.segments()):
        with open(path, "r+b") as f:
            data = f.read()
            at = data.rfind(text)
            if at >= 0:
                f.seek(at + len(text) + behind)
                byte = f.read(1)[0]
                f.seek(at + len(text) + behind)
                f.write(bytes([byte ^ 0x20]))
                return path
    raise RuntimeError(f"{text} is in no segment")


def filled(**options):
    kvd = Kvd(**options).start()
    c = kvd.client()
    for i in range(20):
        c.must("SET", f"key-{i:02}", f"the older value of {i}")
    for i in range(20):
        c.must("SET", f"key-{i:02}", f"the value of {i}")
    return kvd, c


def test_repair():
    kvd, _ = filled()
    kvd.stop()
    code, out, _ = kvctl("verify", "--offline", kvd.data)
    ok(code == 0 and "40 records" in out and "no damage" in out, "a whole store verifies", out)
    path = flip(kvd, b"key-07", 5)
    code, out, _ = kvctl("verify", "--offline", kvd.data)
    ok(code == 1 and os.path.basename(path) in out and '"key-07"' in out, "damage is found, with file and key", out)
    code, out, _ = kvctl("dump", path, "--prefix", "key-07")
    ok(code == 1 and out.count("good") == 1 and out.count("DAMAGED") == 1, "and seen in a dump", out)
    code, out, _ = kvctl("dump", "--json", path)
    rows = [json.loads(line) for line in out.splitlines()]
    ok(len(rows) == 40 and sum(not row["good"] for row in rows) == 1, "also in JSON")
    code, text = kvd.fails()
    ok(code == 65 and os.path.basename(path) in text and "kvctl repair" in text, "a start refuses and says what to do", text)
    code, out, errors = kvctl("repair", kvd.data)
    ok(code == 0 and '"key-07"' in out and "1 values lost, 0 gaps" in out and not errors, "repair says what it did", out, errors)
    with open(os.path.join(kvd.data, "damaged", "INDEX"), encoding="ascii") as f:
        columns = f.read().splitlines()[-1].split("\t")
    ok(columns[1] == os.path.basename(path) and columns[4:7] == ["value", "0", "key-07"], "the place is listed", str(columns))
    kvd.start()
    c = kvd.client()
    ok("CORRUPT" in repr(c("GET", "key-07")), "its key answers CORRUPT")
    good = [c("GET", f"key-{i:02}") == f"the value of {i}".encode() for i in range(20) if i != 7]
    ok(all(good), "all others have their values")
    is_(c("EXISTS", "key-07"), 1, "the key is there")
    c.must("SET", "key-07", "anew")
    kvd.crash()
    is_(kvd.client()("GET", "key-07"), b"anew", "written anew it is well")


def test_gap():
    kvd, _ = filled()
    kvd.stop()
    path = flip(kvd, b"key-0", 0)  # the key itself: whose it was cannot be known
    code, out, errors = kvctl("repair", kvd.data)
    ok(code == 0 and "1 gaps" in out and "value it had before" in errors, "a gap is owned up to", out, errors)
    kvd.start()
    c = kvd.client()
    values = [c("GET", f"key-{i:02}") for i in range(20)]
    good = sum(v == f"the value of {i}".encode() for i, v in enumerate(values))
    older = sum(v == f"the older value of {i}".encode() for i, v in enumerate(values))
    ok((good, older) == (19, 1), "one key shows what it had before", str((path, good, older)))


run(test_repair, test_gap)
