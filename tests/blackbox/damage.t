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
    done = subprocess.run(command, capture_output=True, timeout=30 * PATIENCE)
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
    for name in ("/nothing-there", "nothing-there", "./nothing-there", "/nothing-there/x"):
        is_(kvctl("dump", name)[2], f"kvctl: {name}: No such file or directory\n", f"dump of {name} names it as it was given")
    is_(kvctl("dump", "/")[2], "kvctl: /: Is a directory\n", "dump of a directory says so")
    is_(kvctl("dump", "/etc/passwd")[2], "kvctl: /etc/passwd: not a segment, or its header is damaged (damaged at offset 0: no segment header)\n",
        "dump of another file does, too")
    code, out, _ = kvctl("dump", "--json", path)
    rows = [json.loads(line) for line in out.splitlines()]
    ok(len(rows) == 40 and sum(not row["good"] for row in rows) == 1, "also in JSON")
    code, text = kvd.fails()
    ok(code == 65 and os.path.basename(path) in text and "kvctl repair" in text, "a start refuses and says what to do", text)
    code, out, errors = kvctl("repair", kvd.data)
    ok(code == 0 and '"key-07"' in out and "1 value lost, 0 gaps" in out and not errors, "repair says what it did", out, errors)
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


def test_unreadable():
    kvd, _ = filled()
    kvd.stop()
    catalog = os.path.join(kvd.data, "CATALOG")
    os.unlink(catalog)
    os.symlink("CATALOG", catalog)
    for verb in ["verify", "--offline"], ["repair"]:
        is_(kvctl(*verb, kvd.data), (1, "", f"kvctl: {catalog}: cannot open: Too many levels of symbolic links\n"), f"{verb[0]} says which file")


def test_gap():
    kvd, _ = filled()
    kvd.stop()
    path = flip(kvd, b"key-0", 0)  # the key itself: whose it was cannot be known
    code, out, errors = kvctl("repair", kvd.data)
    ok(code == 0 and "1 gap\n" in out and "value it had before" in errors, "a gap is owned up to", out, errors)
    kvd.start()
    c = kvd.client()
    values = [c("GET", f"key-{i:02}") for i in range(20)]
    good = sum(v == f"the value of {i}".encode() for i, v in enumerate(values))
    older = sum(v == f"the older value of {i}".encode() for i, v in enumerate(values))
    ok((good, older) == (19, 1), "one key shows what it had before", str((path, good, older)))


def big(i):
    return bytes([65 + i % 26]) * 60000


def stat(c, name):
    flat = c("KVD.STATS")
    return flat[flat.index(name.encode()) + 1] if isinstance(flat, list) else flat[name.encode()]


def filled_large():
    """More than the log keeps in memory, in several segments."""
    kvd = Kvd(segment_size="1M", cache_size="0").start()
    c = kvd.client()
    for i in range(120):
        c.must("SET", f"big-{i:03}", big(i))
    return kvd, c


def test_verify():
    kvd, c = filled_large()
    code, out, _ = kvctl("verify", socket=kvd.socket)
    ok(code == 0 and " 120 records" in out and "no damage" in out, "a running daemon verifies what it has", out)
    is_(kvctl("health", socket=kvd.socket)[:2], (0, "healthy\n"), "and is healthy")
    path = flip(kvd, b"big-005", 30000)
    code, out, errors = kvctl("verify", socket=kvd.socket)
    ok(code == 1 and "1 damaged" in out, "damage is found while it runs", out, errors)
    code, out, _ = kvctl("health", socket=kvd.socket)
    ok(code == 1 and "damaged" in out, "health says so", out)
    code, out, _ = kvctl("health", "--json", socket=kvd.socket)
    ok(code == 1 and json.loads(out)["healthy"] is False, "also in JSON")
    ok("CORRUPT" in repr(c("GET", "big-005")), "its key answers CORRUPT")
    is_([c("GET", f"big-{i:03}") == big(i) for i in range(120)].count(False), 1, "all others have their values")
    with open(os.path.join(kvd.data, "damaged", "INDEX"), encoding="ascii") as f:
        lines = [line.split("\t") for line in f]
    ok(len(lines) == 1 and lines[0][1] == os.path.basename(path) and lines[0][6] == "big-005", "the place is listed once", str(lines))
    with open(os.path.join(kvd.data, "damaged", f"{lines[0][1][:10]}-{lines[0][2]}.bytes"), "rb") as f:
        ok(b"big-005" in f.read(), "its bytes are set aside")
    with open(kvd.log_path, encoding="utf-8") as f:
        ok('the current value of key "big-005"' in f.read(), "the log names the key")
    c.must("SET", "big-005", "anew")
    is_(c("GET", "big-005"), b"anew", "it can be written anew")
    is_(stat(c, "scrub_damaged"), 1, "the statistics have it")
    ok("syntax" in repr(c("KVD.VERIFY", "WHAT")), "another word is refused")


def test_read_lists():
    kvd, c = filled_large()
    flip(kvd, b"big-006", 100)
    ok("CORRUPT" in repr(c("GET", "big-006")), "a read meets damage")
    index = os.path.join(kvd.data, "damaged", "INDEX")
    ok(poll(lambda: os.path.exists(index) and "big-006" in open(index, encoding="ascii").read()), "and has it listed")
    ok(kvctl("health", socket=kvd.socket)[0] == 1, "health knows it")


def test_by_time():
    kvd, c = filled_large()
    c.must("CONFIG", "SET", "scrub-rate", "0")
    c.must("CONFIG", "SET", "scrub-interval", "1ms")
    ok(poll(lambda: stat(c, "scrub_passes") >= 1), "a pass is begun by time")
    c.must("CONFIG", "SET", "scrub-interval", "0")
    ok(poll(lambda: stat(c, "scrub_running") == 0), "and ends")
    ok(poll(lambda: os.path.exists(os.path.join(kvd.data, "SCRUB"))), "its time is kept")
    ok(stat(c, "scrub_bytes") > 7000000, "all was read")


def test_others_are_served():
    """A slow pass and one who waits for it hold up nobody; the end of the daemon does not wait for either."""
    kvd, c = filled_large()
    c.must("CONFIG", "SET", "scrub-rate", "1", "scrub-interval", "1ms")
    ok(poll(lambda: stat(c, "scrub_running") == 1), "a slow pass runs")
    is_(c("GET", "big-007"), big(7), "reads are served")
    is_(kvd.stop()[0], 0, "and a stop does not wait for it")
    kvd.start()
    ok(kvctl("verify", socket=kvd.socket)[0] == 0, "who asks gets a pass at full speed")


run(test_repair, test_unreadable, test_gap, test_verify, test_read_lists, test_by_time, test_others_are_served)
