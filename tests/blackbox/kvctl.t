#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""kvctl from outside: every verb in a pipe and on a terminal, exit codes, closed pipes, the shell, import and export."""
import json
import os
import re
import resource
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import termios
import threading
import time
import zlib

from kvctltest import *


# ---- keys and values


def test_set_and_get():
    c = fresh()
    check(["set", "a", "1"], 0, b"", "set is silent in a pipe")
    is_(c("GET", "a"), b"1", "set stores its argument")
    check(["get", "a"], 0, b"1", "get gives the bytes and nothing more")
    check(["put", "a", "x y"], 0, b"", "put is set")
    check(["get", "a"], 0, b"x y", "put stored")
    check(["set", "b"], 0, b"", "set reads standard input", stdin=ODD)
    is_(c("GET", "b"), ODD, "every byte of it")
    check(["get", "b"], 0, ODD, "get gives every byte")
    check(["set", "b", "-"], 0, b"", "set - too", stdin=b"line\n")
    check(["get", "b", "--raw"], 0, b"line\n", "the newline of the value stays")
    path = os.path.join(HOME, "value")
    with open(path, "wb") as f:
        f.write(ODD * 1000)
    check(["set", "--file", path, "c"], 0, b"", "set --file")
    is_(c("GET", "c"), ODD * 1000, "the whole file")
    check(["set", "c", "v", "-f", path], 2, b"", "a value twice is wrong usage", "exclude each other")
    with open(path + "large", "wb") as f:
        f.truncate((512 << 20) + 1)
    check(["set", "c", "-f", path + "large"], 1, b"", "a file larger than any value", "large: more than 536870912 bytes, the largest value there is")
    check(["set", "c", "-f", path + "x"], 1, b"", "a missing file", "No such file")
    check(["set", "e", ""], 0, b"", "an empty value")
    check(["get", "e"], 0, b"", "comes back")
    check(["set", "", "empty key"], 0, b"", "an empty key")
    check(["get", ""], 0, b"empty key", "comes back")
    check(["set", "--", "-k", "--v"], 0, b"", "dashes behind --")
    check(["get", "--", "-k"], 0, b"--v", "come back")
    check(["set", b"\xff\xfe", b"\x80"], 0, b"", "bytes that are not UTF-8 as arguments")
    is_(c("GET", b"\xff\xfe"), b"\x80", "arrive")
    check(["get", "none"], 1, b"", "an absent key", "^kvctl: Key not found$")
    check(["--json", "get", "a"], 0, b'{"key":"a","value":"x y"}\n', "get --json")
    check(["get", "-j", b"\xff\xfe"], 0, b'{"key_base64":"//4=","value_base64":"gA=="}\n', "get --json of odd bytes")


def test_set_conditions():
    c = fresh()
    check(["set", "a", "1", "--if-present"], 1, b"", "--if-present of an absent key", "not set")
    is_(c("EXISTS", "a"), 0, "changes nothing")
    check(["set", "a", "1", "--if-absent"], 0, b"", "--if-absent of an absent key")
    check(["set", "a", "2", "--if-absent"], 1, b"", "--if-absent of a key", "there already")
    is_(c("GET", "a"), b"1", "changes nothing")
    check(["set", "a", "3", "--ttl", "1h"], 0, b"", "--ttl")
    ok(3000000 < c("PTTL", "a") <= 3600000, "is a duration")
    check(["set", "a", "4", "--keep-ttl", "--if-present"], 0, b"", "--keep-ttl")
    ok(c("PTTL", "a") > 0 and c("GET", "a") == b"4", "keeps the expiry")
    check(["set", "a", "5"], 0, b"", "set")
    is_(c("PTTL", "a"), -1, "drops the expiry")
    check(["set", "a", "5", "--ttl", "soon"], 2, b"", "a malformed duration", "no duration")
    check(["set", "a", "5", "--ttl", "0"], 1, b"", "a time of nothing is refused by the daemon", "invalid expire")
    check(["set", "a", "5", "--ttl", "1", "--keep-ttl"], 2, b"", "--ttl and --keep-ttl", "exclude")
    check(["set", "a", "5", "--if-absent", "--if-present"], 2, b"", "both conditions", "exclude")


def test_set_if_unchanged():
    c = fresh()
    c.must("SET", "a", "one")
    check(["set", "a", "two", "--if-equal", "other"], 1, b"", "--if-equal of another value", "not set: the value is another one")
    check(["set", "a", "two", "--if-equal", "one"], 0, b"", "--if-equal")
    check(["set", "none", "x", "--if-equal", ""], 1, b"", "--if-equal of an absent key", "or there is none")
    code, tag, errors = kvctl("get", "--etag", "a")
    is_((code, tag, errors), (0, b"%08x\n" % zlib.crc32(b"two"), ""), "get --etag")
    check(["set", "a", "three", "--if-etag", "00000000"], 1, b"", "--if-etag of another value", f"the tag of the value is {tag.decode().strip()}")
    is_(c("GET", "a"), b"two", "changes nothing")
    check(["set", "a", "three", "--if-etag", tag.decode().strip().upper(), "--ttl", "1h"], 0, b"", "--if-etag")
    ok(c("GET", "a") == b"three" and c("PTTL", "a") > 0, "stores value and expiry")
    check(["set", "none", "x", "--if-etag", "00000000"], 1, b"", "--if-etag of an absent key", "Key not found")
    check(["set", "a", "x", "--if-etag", "0", "--if-equal", "1"], 2, b"", "two conditions", "exclude each other")
    check([], 1, b"three\n", "a tag that does not fit leaves nothing behind in a script", "tag of the value",
        stdin=b"set a x --if-etag 00000000\nget a\n")


def test_delete():
    c = fresh()
    c.must("MSET", "a", "1", "b", "2", "c", "3", "d", "4", "e", "5")
    check(["delete", "a"], 0, b"Deleted\n", "delete")
    check(["delete", "a"], 1, b"Key not found\n", "delete of an absent key")
    check(["del", "b", "x", "c"], 1, b"Deleted: b\nKey not found: x\nDeleted: c\n", "several keys, one absent")
    check(["rm", "d"], 0, b"Deleted\n", "rm")
    check(["rm", "--strict", "x", "e"], 1, b"", "rm --strict stops", "Key not found: x")
    is_(c("EXISTS", "e"), 1, "before the next key")
    check(["rm", "--strict", "e"], 0, b"", "rm --strict is silent")
    check(["delete", "-q", "e"], 1, b"", "--quiet: the exit code tells")
    check(["delete", "--json", "e"], 1, b'{"key":"e","deleted":false}\n', "delete --json")


def test_small_verbs():
    c = fresh()
    c.must("SET", "a", "1")
    check(["exists", "a"], 0, b"1\n", "exists")
    check(["exists", "a", "b"], 1, b"1\n", "exists: one is not there")
    check(["incr", "a"], 0, b"2\n", "incr")
    check(["incr", "a", "40"], 0, b"42\n", "incr by")
    check(["incr", "a", "-2"], 0, b"40\n", "incr by a negative number")
    check(["decr", "a", "10"], 0, b"30\n", "decr by")
    check(["decr", "a"], 0, b"29\n", "decr")
    check(["incr", "a", "0.5"], 0, b"29.5\n", "incr by a fraction")
    check(["decr", "a", "-0.5"], 0, b"30\n", "decr by a negative fraction")
    check(["incr", "a", "x"], 2, b"", "incr by no number", "no number")
    c.must("SET", "t", "text")
    check(["incr", "t"], 1, b"", "incr of text: the daemon's words", "^kvctl: ERR value is not an integer")
    check(["ttl", "a"], 0, b"none\n", "ttl of a lasting key")
    check(["expire", "a", "3600"], 0, b"", "expire")
    code, out, errors = kvctl("ttl", "a")
    ok(code == 0 and 3000 < int(out) <= 3600 and not errors, "ttl", repr(out))
    code, out, _ = kvctl("ttl", "--ms", "a")
    ok(code == 0 and 3000000 < int(out) <= 3600000, "ttl --ms", repr(out))
    check(["persist", "a"], 0, b"", "persist")
    check(["persist", "a"], 0, b"", "persist again")
    check(["ttl", "--json", "a"], 0, b'{"ttl_ms":null}\n', "ttl --json")
    for verb in (["expire", "x", "1"], ["persist", "x"], ["ttl", "x"]):
        check(verb, 1, b"", f"{verb[0]} of an absent key", "Key not found")
    check(["expire", "a", "-1"], 2, b"", "expire: a malformed duration", "no duration")
    check(["-n", "3", "set", "a", "three"], 0, b"", "-n")
    is_(c("GET", "a"), b"30", "is another database")
    check(["get", "a", "-n3"], 0, b"three", "-n behind the verb")
    check(["-n", "99", "get", "a"], 1, b"", "a database that is not there", "out of range")
    check(["-n", "x", "get", "a"], 2, b"", "a database that is no number", "no number")


# ---- many keys


def test_list():
    c = fresh()
    keys = [b"a%04d" % i for i in range(2500)] + [b"b", b"b\x00", b"b\xff", b"c", b"\xff", b"\xff\xff", b""]
    for i in range(0, len(keys), 500):
        c.must("MSET", *[x for k in keys[i:i + 500] for x in (k, b"v" + k)])
    keys.sort()

    def lines(some):
        return b"".join(k + b"\n" for k in some)

    check(["list"], 0, lines(keys), "list is sorted and complete")
    check(["list", "b"], 0, lines(k for k in keys if k.startswith(b"b")), "list PREFIX")
    check(["list", "-p", b"\xff"], 0, b"\xff\n\xff\xff\n", "--prefix of the last byte")
    check(["list", "--from", "a2498", "--to", "b\x7f"], 0, b"a2498\na2499\nb\nb\x00\n", "--from and --to")
    check(["list", "a", "--limit", "1200"], 0, lines(keys[1:1201]), "--limit beyond a page")
    check(["list", "-l0"], 0, b"", "--limit 0")
    check(["list", "--reverse"], 0, lines(reversed(keys)), "--reverse down to the empty key")
    check(["list", "-r", "-l", "3", "a"], 0, b"a2499\na2498\na2497\n", "--reverse with a prefix")
    check(["list", "b", "-0"], 0, b"b\0b\0\0b\xff\0", "-0")
    check(["list", "b", "-v", "-l1"], 0, b"b\tvb\n", "--values")
    check(["list", "b", "-v0", "-l1"], 0, b"b\0vb\0", "--values -0")
    check(["list", "b", "--json", "-v", "-r", "-l1"], 0, b'{"key_base64":"Yv8=","value_base64":"dmL/"}\n', "--json")
    check(["list", "--to", ""], 0, b"", "before the empty key is nothing")
    check(["list", "--from", "z", "--to", "a"], 0, b"", "an empty range")
    check(["list", "x", "--prefix", "y"], 2, b"", "a prefix twice", "exclude")
    check(["list", "--limit", "-1"], 2, b"", "a malformed limit", "no number")
    check(["count"], 0, b"%d\n" % len(keys), "count")
    check(["count", "a1"], 0, b"1000\n", "count PREFIX")
    check(["count", "--from", "a0010", "--to", "a0020"], 0, b"10\n", "count of a range")


def test_list_large_values():
    c = fresh()
    for i in range(40):
        c.must("SET", "k%02d" % i, bytes([65 + i % 26]) * 400000)
    code, out, _ = kvctl("list", "-v")
    rows = [line.split(b"\t") for line in out.splitlines()]
    ok(code == 0 and [r[0] for r in rows] == [b"k%02d" % i for i in range(40)] and all(len(r[1]) == 400000 for r in rows),
        "large values in pages of a few", code, len(rows))


def test_export_and_import():
    c = fresh()
    random = rng("export")
    data = {bytes(random.randrange(256) for _ in range(random.randrange(20))): bytes(random.randrange(256)
        for _ in range(random.randrange(200))) for _ in range(1500)}
    data.update({b"": b"", b"text": "ä\n\0".encode(), b"nul\0": b"\0", ODD: ODD, b"big": ODD * 4000})
    for k, v in data.items():
        c.must("SET", k, v)
    c.must("PEXPIRE", "text", 3600000)
    c.must("PEXPIRE", ODD, 7200000)
    code, out, errors = kvctl("export")
    ok(code == 0 and errors == f"kvctl: exported {len(data)} keys\n", "export ends with a summary", errors)
    rows = [json.loads(line) for line in out.splitlines()]
    is_(len(rows), len(data), "one object a line")
    ok(3000000 < [r for r in rows if r.get("key") == "text"][0]["ttl_ms"] <= 3600000, "expiry in ttl_ms")
    is_(sum("ttl_ms" in r for r in rows), 2, "only where there is one")
    path = os.path.join(HOME, "export")
    check(["export", path], 0, b"", "export FILE", "exported")
    is_(os.stat(path).st_mode & 0o777, 0o600, "is for its owner only")
    c.must("FLUSHALL")
    check(["import", path], 0, b"", "import FILE", f"^kvctl: imported {len(data)} keys$")
    is_(c("DBSIZE"), len(data), "as many keys")
    is_([k for k, v in data.items() if c("GET", k) != v], [], "every value comes back byte for byte")
    ok(3000000 < c("PTTL", "text") <= 3600000 and 6600000 < c("PTTL", ODD) <= 7200000, "expiries too")
    is_(c("PTTL", "big"), -1, "and none where there was none")
    c.must("FLUSHALL")
    check(["import", "-q"], 0, b"", "import from a pipe", stdin=out)
    is_([k for k, v in data.items() if c("GET", k) != v], [], "is the same")
    check(["export", "--prefix", "text", "-q"], 0, None, "export of a prefix")
    check(["export", "/nonexistent/x"], 1, b"", "a file that cannot be made", "cannot write /nonexistent/x: No such file")


def test_export_over_a_file():
    """What is there stays until the new one is whole."""
    c = fresh()
    for i in range(2000):
        c.must("SET", f"k{i}", "v" * 100)
    folder = tempfile.mkdtemp(dir=HOME)
    path, link = os.path.join(folder, "file"), os.path.join(folder, "link")
    os.symlink("file", link)
    with open(path, "w") as f:
        f.write("before")
    os.chmod(path, 0o640)

    def kept(what):
        with open(path) as f:
            is_((f.read(), sorted(os.listdir(folder))), ("before", ["file", "link"]), what)

    def small_files():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10000, 10000))

    p = subprocess.run([KVCTL, "export", link], env=ENV, capture_output=True, text=True, preexec_fn=small_files)
    ok(p.returncode == 1 and f"cannot write {link}: File too large" in p.stderr, "an export that does not fit", p.returncode, p.stderr)
    kept("leaves the file as it was")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) * 3:
        kvd.process.send_signal(signal.SIGSTOP)
        p = subprocess.Popen([KVCTL, "export", path], env=ENV, stderr=subprocess.DEVNULL,
            preexec_fn=lambda number=number: signal.signal(number, signal.SIG_DFL))
        begun = poll(lambda: len(os.listdir(folder)) == 3, 20, 0)
        p.send_signal(number)
        ended = p.wait(20 * PATIENCE)
        kvd.process.send_signal(signal.SIGCONT)
        is_((begun, ended), (True, -number), f"an export that is ended by {number.name}")
        kept("leaves it, too")
    check(["export", link], 0, b"", "an export through a link", "exported 2000 keys")
    with open(path) as f:
        is_(len(f.readlines()), 2000, "replaces what the link points to")
    ok(os.path.islink(link) and os.stat(path).st_mode & 0o777 == 0o640 and len(os.listdir(folder)) == 2, "link and mode stay")
    check(["export", "/dev/null", "--prefix", "k1"], 0, b"", "a device is written to", "exported")
    ok(not os.path.isfile("/dev/null"), "and stays one")


def test_import_bad_lines():
    c = fresh()
    bad = b'{"key":"a","value":"1"}\n\nnonsense\n{"key":"b","value":"2"}\n{"key":"c"}\n{"key":"d","value":"4"}'
    check(["import"], 1, b"", "a bad line stops", r"line 3: not JSON[^\n]*\n.*imported 1 key, stopped at 1 bad line", stdin=bad)
    is_((c("GET", "a"), c("GET", "b")), (b"1", None), "what was before it is stored")
    check(["import", "--skip-bad"], 1, b"", "--skip-bad goes on", r"line 5: .*missing\n.*imported 3 keys, skipped 2 bad lines",
        stdin=bad)
    is_((c("GET", "b"), c("GET", "d")), (b"2", b"4"), "to the last line, which needs no newline")
    check(["import", "--if-absent"], 0, b"", "--if-absent", "imported 1 key, left 1 as found",
        stdin=b'{"key":"a","value":"new"}\n{"key":"e","value":"5"}\n')
    is_(c("GET", "a"), b"1", "leaves a key alone")
    check(["import", "-"], 1, b"", "a key the daemon refuses names its line", r"line 2: ERR",
        stdin=b'{"key":"x","value":"1"}\n{"key":"%s","value":"1"}\n' % (b"k" * 70000))
    check(["import"], 0, b"", "nothing to import", "imported 0 keys")
    check(["import", "/nonexistent"], 1, b"", "a missing file", "cannot read /nonexistent")


# ---- the daemon


def test_daemon_verbs():
    c = fresh()
    c.must("SET", "a", "1")
    check(["ping"], 0, b"PONG\n", "ping")
    check(["ping", "-q"], 0, b"", "ping -q")
    check(["set", "--json", "a", "1"], 0, b"true\n", "confirmations in JSON")
    code, out, _ = kvctl("stats")
    ok(code == 0 and re.fullmatch(
        rb"Keys: +\d+\nSegments: +\d+\nTotal size: +[\d.]+ MB\nActive segment: +\d+\nOldest segment: +\d+\n"
        rb"Live: +[\d.]+ MB\nGarbage: +[\d.]+ MB\n", out), "stats has its lines", repr(out))
    code, more, _ = kvctl("stats", "-v")
    ok(code == 0 and len(more.splitlines()) > 5 and b"unknown" not in more, "stats -v has more", repr(more))
    code, out, _ = kvctl("stats", "--json")
    ok(code == 0 and json.loads(out)["keys"] == 1, "stats --json", repr(out))
    code, out, _ = kvctl("info")
    ok(code == 0 and b"redis_version:" in out and b"\r" not in out, "info, with plain newlines")
    code, out, _ = kvctl("info", "server", "clients")
    ok(code == 0 and b"# Server" in out and b"# Clients" in out and b"# Memory" not in out, "info SECTION...")
    code, out, _ = kvctl("info", "--json", "server")
    ok(code == 0 and "redis_version" in json.loads(out)["Server"], "info --json")
    check(["raw", "SET", "k", "--ttl"], 0, b"OK\n", "raw")
    check(["raw", "get", "k"], 0, b'"--ttl"\n', "raw quotes strings")
    check(["raw", "MGET", "k", "none"], 0, b'1) "--ttl"\n2) (nil)\n', "raw: arrays")
    check(["raw", "del", "k", "none"], 0, b"(integer) 1\n", "raw: integers")
    check(["raw", "--json", "mget", "a", "none"], 0, b'["1",null]\n', "raw --json")
    check(["raw", "nonsense"], 1, b"", "raw: errors", "^kvctl: ERR unknown command")
    check(["raw", "subscribe", "x"], 2, b"", "raw refuses what it cannot follow", "cannot follow")


def test_usage():
    fresh()
    check(["lst"], 2, b"", "an unknown verb, with the nearest one", 'unknown verb "lst"; did you mean "list"')
    check(["zzzzzz"], 2, b"", "an unknown verb without", '"kvctl help" lists')
    check(["GET", "a"], 2, b"", "a verb in large letters", 'did you mean "get"')
    check(["info", "nosuch"], 1, b"", "no section of this name", "kvctl info all")
    check(["WAITAOF"], 2, b"", "commands are not guessed", "unknown verb")
    check(["quit"], 2, b"", "quit is for the shell", "shell")
    check(["get"], 2, b"", "too few arguments", "usage: kvctl get")
    check(["ping", "x"], 2, b"", "too many arguments", "usage: kvctl ping")
    check(["--nonsense"], 2, b"", "an unknown option", "unknown option")
    check(["get", "a", "--ttl", "1"], 2, b"", "an option of another verb", "unknown option")
    check(["-s"], 2, b"", "an option without its value", "PATH is missing")
    check(["--timeout", "soon", "ping"], 2, b"", "a malformed timeout", "no duration")
    code, out, errors = kvctl("--version")
    ok(code == 0 and re.fullmatch(rb"kvctl \d+\.\d+\.\d+\n", out) and not errors, "--version", repr(out))
    nowhere = {"KVD_SOCKET": "/nonexistent"}
    verbs = kvctl("help", "--names", env=nowhere)[1].decode().split()
    ok({"set", "put", "get", "delete", "del", "rm", "list", "import", "export", "exit"} <= set(verbs), "help --names", repr(verbs))
    code, out, _ = kvctl("help", env=nowhere)
    ok(code == 0 and kvctl("--help", env=nowhere)[1] == out == kvctl("-h")[1], "help, --help and -h need no daemon")
    bad = []
    for verb in verbs:
        code, out, errors = kvctl(verb, "--help", env=nowhere)
        if code or errors or not out.startswith(b"usage: kvctl ") or kvctl("help", verb)[1] != out:
            bad.append(verb)
    is_(bad, [], "help on every verb")
    rows = [json.loads(line) for line in kvctl("help", "--json", env=nowhere)[1].splitlines()]
    is_({n for r in rows for n in [r["verb"], *r["aliases"]]}, set(verbs), "help --json has all verbs")
    row = json.loads(kvctl("help", "get", "--json", env=nowhere)[1])
    ok(row["syntax"] == "KEY" and "raw" in [o["name"] for o in row["options"]], "and each its options", row)
    check(["help", "nothing"], 2, b"", "help on no verb", "no verb")
    with open(os.path.join(SOURCE, "doc", "kvctl.1")) as f:
        page = f.read()
    is_([v for v in verbs if not re.search(rf"Cm (.* )?{v}\b", page)], [], "the manual page has every verb")
    options = {o for v in verbs for o in kvctl("help", "--names", v)[1].decode().split()}
    is_([o for o in sorted(options) if not re.search(r"Fl %s\b" % o[2:], page)], [], "and every option")


# A request of each verb whose answer is JSON with --json, and how it ends; or why there is none.
JSON_ANSWERS = {
    "set": (["k", "v"], 0), "get": (["k"], 0), "list": (["-v"], 0), "count": ([], 0), "exists": (["k", "none"], 1), "incr": (["n"], 0),
    "decr": (["n"], 0), "expire": (["k", "1h"], 0), "ttl": (["k"], 0), "persist": (["k"], 0), "export": (["-q"], 0),
    "snapshot": (["create", "one"], 0), "stats": ([], 0), "top": (["--once", "-i", "10ms"], 0), "info": ([], 0), "compact": (["--wait"], 0),
    "ping": ([], 0), "raw": (["MGET", "k", "none"], 0), "health": ([], 0), "verify": ([], 0), "help": ([], 0), "delete": (["k", "none"], 1),
    "import": "it says how many keys on standard error", "watch": "test_watch in kvctl_live.t", "reload": "needs systemd",
    "dump": "without a daemon, below", "repair": "without a daemon, below", "completion": "it prints a script", "quit": "it says nothing",
}


def is_json(line):
    try:
        json.loads(line)
        return True
    except ValueError:
        return False


def test_json():
    """Every verb that answers something answers in JSON when asked to, one value a line, and nothing else."""
    fresh()
    verbs = [json.loads(line)["verb"] for line in kvctl("help", "--json")[1].splitlines()]
    is_(sorted(verbs), sorted(JSON_ANSWERS), "each verb is looked at")
    for verb, request_ in JSON_ANSWERS.items():
        if isinstance(request_, str):
            continue
        code, out, errors = kvctl("--json", verb, *request_[0])
        ok(code == request_[1] and not errors and out and all(is_json(line) for line in out.splitlines()), f"{verb} --json", code, out[:300], errors)
    for more in (["snapshot", "list"], ["snapshot", "verify", "one"], ["snapshot", "delete", "one"], ["compact"], ["stats", "-v"], ["get", "--etag", "n"], ["help", "set"]):
        code, out, errors = kvctl(*more, "--json")
        ok(code == 0 and not errors and is_json(out), f"{' '.join(more)} --json", code, out[:300], errors)
    kvd.client().must("SET", "in", "the last segment")
    kvd.stop()
    segment = kvd.segments()[-1]
    for verb, args in (("dump", [segment]), ("verify", ["--offline", kvd.data]), ("repair", [kvd.data])):
        code, out, errors = kvctl("--json", verb, *args)
        ok(code == 0 and not errors and out and all(is_json(line) for line in out.splitlines()), f"{verb} --json of files", code, out[:300], errors)


def test_quiet():
    """-q: no confirmation and no summary, also on a terminal; what was asked for is printed all the same."""
    c = fresh()
    c.must("SET", "a", "1")
    for args in (["set", "a", "1"], ["expire", "a", "1h"], ["persist", "a"], ["delete", "a"]):
        is_(on_terminal("-q", *args), (0, b""), f"{args[0]} -q on a terminal")
    c.must("SET", "a", "1")
    is_(on_terminal("compact", "-q"), (0, b""), "compact -q on a terminal")
    check(["compact", "-w", "-q"], 0, b"", "and until it is done")
    is_(on_terminal("compact"), (0, b"OK\n"), "without it says OK")
    for option, paused in ("--pause", 1), ("--resume", 0):
        check(["compact", option], 0, b"", f"compact {option}")
        flat = c.must("KVD.STATS")
        is_(flat[flat.index(b"compact_paused") + 1], paused, "is what the daemon does")
    check(["compact", "--wait", "--pause"], 2, b"", "both at once", "--pause stands alone")
    for args, out in ((["get", "a"], b"1"), (["list"], b"a\n"), (["count"], b"1\n"), (["ttl", "a"], b"none\n"),
        (["incr", "n"], b"1\n"), (["decr", "n", "0.5"], b"0.5\n")):
        check(["-q", *args], 0, out, f"{args[0]} -q prints what was asked for")
    check(["exists", "-q", "a", "none"], 1, b"", "of exists the exit code tells enough")
    c.must("DEL", "n")
    check(["export", "-q"], 0, b'{"key":"a","value":"1"}\n', "export -q has no summary")
    check(["import", "-q"], 0, b"", "nor has import", stdin=b'{"key":"b","value":"1"}\n')
    check(["-q", "get", "none"], 1, b"", "errors are told all the same", "Key not found")


def test_help_columns():
    """No row of the help is cut, however long its syntax."""
    _, out, _ = kvctl("help")
    row = json.loads(kvctl("help", "snapshot", "--json")[1])
    ok(row["syntax"].encode() in out and row["summary"].encode() in out, "a long syntax is printed whole", out)


def become_nobody():
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)


def can_be_nobody():
    """Root can, but not in each container."""
    try:
        return subprocess.run(["true"], preexec_fn=become_nobody).returncode == 0
    except (OSError, subprocess.SubprocessError):
        return False


def open_to_all(path):
    """Whether everybody may go through this directory."""
    return path == "/" or os.stat(path).st_mode & 0o001 and open_to_all(os.path.dirname(path))


def test_no_connection():
    fresh()
    path = os.path.join(HOME, "none.sock")
    check(["-s", path, "ping"], 3, b"", "no socket: says where and what to do", f"{path}.*systemctl start kvd")
    check(["ping"], 3, b"", "$KVD_SOCKET is heeded", "none.sock", env={"KVD_SOCKET": path})
    dead = os.path.join(HOME, "dead.sock")
    s = socket.socket(socket.AF_UNIX)
    s.bind(dead)
    s.close()
    check(["-s", dead, "ping"], 3, b"", "a socket nobody listens on", "nobody listens.*systemctl start kvd")
    check(["-s", "x" * 200, "ping"], 3, b"", "a path too long for a socket", "too long")
    check(["-s", path, "import"], 3, b"", "import without a daemon", "systemctl", stdin=b'{"key":"a","value":"1"}\n')
    keep = os.path.join(HOME, "keep")
    with open(keep, "w") as f:
        f.write("precious")
    check(["-s", path, "export", keep], 3, b"", "export without a daemon", "systemctl")
    is_(open(keep).read(), "precious", "does not empty the file")
    s = socket.socket(socket.AF_UNIX)
    os.unlink(dead)
    s.bind(dead)
    s.listen()
    check(["-s", dead, "-t", "100ms", "ping"], 3, b"", "--timeout of a silent daemon", "no reply within")
    check(["-s", kvd.socket, "-t", "100ms", "import", "--from-redis", dead], 3, b"", "--timeout of a silent server to copy from",
        "no reply within the time limit", seconds=2)
    check(["-s", HOME, "ping"], 3, b"", "a directory is no socket", "is no socket")
    check(["-s", keep, "ping"], 3, b"", "nor is a file", "is no socket")
    # The first connections in the queue are those that gave up.
    threading.Thread(target=lambda: [s.accept()[0].close() for _ in range(3)], daemon=True).start()
    check(["-s", dead, "set", "a", "1"], 3, b"", "a daemon that hangs up", "(closed|failed)")
    if not can_be_nobody():
        skip("no permission: says which group", "needs root")
    elif not open_to_all(os.path.dirname(HOME)):
        skip("no permission: says which group", "nobody else may enter the directory for temporary files")
    else:
        os.chmod(HOME, 0o711)
        program = shutil.copy(KVCTL, HOME)  # nor may they have to enter the build tree
        os.chmod(program, 0o755)
        os.chmod(dead, 0o660)
        os.chown(dead, 0, 1)
        check(["-s", dead, "ping"], 3, b"", "no permission: says which group", 'group "daemon": adduser nobody daemon',
            preexec_fn=become_nobody, executable=program)
        os.chown(dead, 0, 0)
        check(["-s", dead, "ping"], 3, b"", "but never that of root", "only its owner and root", preexec_fn=become_nobody,
            executable=program)
        os.chmod(HOME, 0o700)


# ---- pipes


def test_stopped_daemon():
    """--timeout ends an import, of whatever form, when the daemon takes no more."""
    fresh()
    lines = b'{"key":"k","value":"%s"}\n' % (b"v" * 100000)
    words = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100000\r\n%s\r\n" % (b"v" * 100000)
    for form, stdin in (("ndjson", lines * 100), ("resp", words * 100)):
        os.kill(kvd.pid, signal.SIGSTOP)
        try:
            check(["-t", "200ms", "import", "-f", form], 3, b"", f"import of {form}", "no reply within the time limit", stdin=stdin, seconds=2)
        finally:
            os.kill(kvd.pid, signal.SIGCONT)


def test_closed_pipe():
    c = fresh()
    for i in range(0, 20000, 2000):
        c.must("MSET", *[x for j in range(i, i + 2000) for x in (f"key{j:06}", "v" * 20)])
    for args in (["list"], ["list", "-v"], ["export"]):
        p = subprocess.Popen([KVCTL, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENV)
        p.stdout.read(10)
        p.stdout.close()
        errors = p.stderr.read()
        code = p.wait(10 * PATIENCE)
        ok(code == -signal.SIGPIPE and errors == b"", f"{args[0]} ends quietly when its reader goes", code, errors)
    if os.path.exists("/dev/full"):
        with open("/dev/full", "wb") as full:
            p = subprocess.run([KVCTL, "list"], stdout=full, stderr=subprocess.PIPE, env=ENV, timeout=10 * PATIENCE)
        ok(p.returncode == 1 and b"No space left" in p.stderr, "a full disk is an error", p)
    is_(kvctl("ping", preexec_fn=lambda: os.close(0))[:2], (0, b"PONG\n"), "standard input may be closed")
    c.must("FLUSHALL")
    c.must("SET", "FLUSHALL", "1")
    code, _, errors = kvctl("list", preexec_fn=lambda: os.close(1))
    ok(code == 1 and "cannot write" in errors, "closed standard output is an error", code, errors)
    is_(c("DBSIZE"), 1, "and what was to be printed is not sent to the daemon")


def test_script():
    c = fresh()
    check([], 0, b"", "no verbs: the end of input ends it", stdin=b"")
    check([], 0, b"", "empty lines", stdin=b"\n \n\r\n")
    check([], 0, b"PONG\n", "a last line without newline", stdin=b"ping")
    check([], 0, b"1\n2\n", "verbs line by line", stdin=b"incr n\nincr n\n")
    check([], 0, b"a b\0\xff\n", "quotes", stdin=b'set k "a b\\x00\\xff"\nget k\n')
    check([], 0, b"x'y\n", "single quotes", stdin=b"set k 'x\\'y'\nget k\n")
    check([], 0, b"v", "get --raw", stdin=b"set k v\nget --raw k\n")
    check([], 0, b'OK\n"1"\n', "commands in capitals go raw", stdin=b"SET r 1\nGET r\n")
    check([], 0, b"(empty array)\n", "and those of kvd", stdin=b"kvd.range zz zzz\n")
    check([], 1, b"PONG\n", "errors name the line and the next one is run", "^kvctl: line 1: unknown verb", stdin=b"nonsense\nping\n")
    check([], 1, b"", "open quotes", "line 2: unbalanced", stdin=b'\nset a "b\n')
    check([], 1, b"", "an absent key fails the script", "Key not found", stdin=b"get none\nset a 1\n")
    is_(c("GET", "a"), b"1", "but does not stop it")
    for word in (b"quit", b"exit"):
        check([], 0, b"PONG\n", f"{word.decode()} ends it", stdin=b"ping\n" + word + b"\nping\n")
    check([], 1, b"", "a value cannot come from the script's input", "value is missing", stdin=b"set k\n")
    check([], 1, b"", "nor an import", "needs a FILE", stdin=b"import\n")
    check([], 1, b"", "the connection's options belong elsewhere", "command line", stdin=b"-n 3 ping\n")
    check(["-n", "2"], 0, b"two\n", "-n holds for the script", stdin=b"set a two\nget a\n")
    is_(c("GET", "a"), b"1", "and its database")
    check([], 0, b'{"key":"a","value":"1"}\n1\n', "--json holds for its line", stdin=b"get a --json\nget a\n")
    check([], 3, b"", "no daemon ends the script", "systemctl", stdin=b"ping\nping\n", env={"KVD_SOCKET": "/nonexistent"})
    check([], 1, b"OK\nOK\n", "verbs inside MULTI are told so", "inside MULTI", stdin=b"MULTI\nincr x\nDISCARD\n")


def test_script_answers_at_once():
    fresh()
    p = subprocess.Popen([KVCTL], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=ENV)
    for i in range(1, 4):
        p.stdin.write(b"incr n\n")
        p.stdin.flush()
        ready = select.select([p.stdout], [], [], 5 * PATIENCE)[0]
        is_(ready and p.stdout.readline(), b"%d\n" % i, "each line is answered before the next is written")
    p.stdin.close()
    is_(p.wait(5 * PATIENCE), 0, "and the end of input ends it")
    p.stdout.close()


# ---- terminals


def test_terminal():
    c = fresh()
    is_(on_terminal("set", "a", "1"), (0, b"OK\n"), "set says OK on a terminal")
    is_(on_terminal("set", "-q", "a", "1"), (0, b""), "but not with -q")
    is_(on_terminal("get", "a"), (0, b"1\n"), "get adds a newline")
    is_(on_terminal("get", "a", "--raw"), (0, b"1"), "but not with --raw")
    is_(on_terminal("expire", "a", "1h"), (0, b"OK\n"), "expire")
    is_(on_terminal("persist", "a"), (0, b"OK\n"), "persist")
    is_(on_terminal("ttl", "a"), (0, b"none\n"), "ttl")
    is_(on_terminal("incr", "a"), (0, b"2\n"), "incr")
    is_(on_terminal("decr", "a"), (0, b"1\n"), "decr")
    is_(on_terminal("exists", "a"), (0, b"1\n"), "exists")
    is_(on_terminal("count"), (0, b"1\n"), "count")
    is_(on_terminal("ping"), (0, b"PONG\n"), "ping")
    is_(on_terminal("raw", "GET", "a"), (0, b'"1"\n'), "raw")
    is_(on_terminal("delete", "a", "b"), (1, b"Deleted: a\nKey not found: b\n"), "delete")
    c.must("SET", b"e\x1b[2J\n\xff\\", b"\x07v")
    is_(on_terminal("list", "-v"), (0, b"e\\x1b[2J\\n\\xff\\\\\t\\x07v\n"), "list escapes what a terminal would obey")
    is_(on_terminal("rm", "--strict", "x\x1b]0;t\x07"), (1, b"kvctl: Key not found: x\\x1b]0;t\\x07\n"), "so do messages")
    code, out = on_terminal("set", "a")
    ok(code == 2 and b"a value is missing" in out, "set without a value does not wait for one", code, out)
    for verb in ("stats", "info", "export", "help"):
        code, out = on_terminal(verb)
        ok(code == 0 and out.endswith(b"\n"), f"{verb} on a terminal", code, out)
    t = Terminal("set", "typed", "-")
    t.type(b"text\n\x04")
    is_(t.finish(), (0, b"OK\n"), "set - takes what is typed")
    is_(c("GET", "typed"), b"text\n", "and stores it")


def test_shell():
    c = fresh()
    t = Terminal()
    ok(t.expect(b"> "), "a banner and a prompt", t.seen)
    for line, answer in ((b"set a 'x y'", b"OK\n"), (b"get a", b"x y\n"), (b"GET a", b'"x y"\n'), (b"incr n", b"1\n"),
            (b"nonsense", b"unknown verb"), (b"get none", b"Key not found"), (b"help get", b"usage: kvctl get"), (b'set "', b"unbalanced"),
            (b"", b"> "), (b"delete a", b"Deleted\n"), (b"KVD.RANGE x y", b"(empty array)\n")):
        t.type(line + b"\n")
        got = t.expect(answer)
        ok(got is not None, f"{line.decode()!r} in the shell", t.seen)
        if line:
            t.expect(b"> ")
    t.type(b"quit\n")
    code, _ = t.finish()
    is_(code, 0, "quit leaves")
    t = Terminal()
    t.expect(b"> ")
    t.type(b"exit\n")
    is_(t.finish()[0], 0, "exit leaves")
    t = Terminal()
    t.end_input()
    code, rest = t.finish()
    ok(code == 0 and len(rest) < 100, "the end of input leaves, and does not loop", code, rest[:200])
    t = Terminal()
    t.expect(b"> ")
    os.close(t.master)
    t.process.send_signal(signal.SIGCONT)
    try:
        t.process.wait(5 * PATIENCE)
        ended = True
    except subprocess.TimeoutExpired:
        t.process.kill()
        ended = False
    ok(ended, "a terminal that goes away ends it")


def test_shell_editing():
    fresh()
    t = Terminal(env={"TERM": "xterm"})
    ok(t.expect(b"> "), "a prompt on an xterm", t.seen)
    t.type(b"pin\t\n")
    ok(t.expect(b"PONG\n"), "the tab key completes a verb", t.seen)
    t.type(b"set k v --if-a\t\n")
    ok(t.expect(b"OK\n"), "and an option", t.seen)
    t.prompt()
    t.type(b"pi")
    t.expect(b"pi")
    t.process.send_signal(signal.SIGWINCH)
    t.type(b"ng\n")
    ok(t.expect(b"PONG\n"), "a change of the window's size keeps the line", t.seen)
    t.prompt()
    t.type(b"get nothing")
    t.expect(b"nothing")

    def interrupt():
        # Between two keys, when the editor is not waiting, it is not heard.
        t.type(b"\x03")
        return t.expect(b"> ", 0.5 / PATIENCE)

    ok(poll(interrupt), "control-C gives a new prompt", t.seen)
    t.type(b"incr c\n")
    ok(t.expect(b"1\n"), "control-C drops the line", t.seen)
    t.type(b"\x1b[A\n")
    ok(t.expect(b"2\n"), "the up key brings the last line back", t.seen)
    for line in (b"AUTH secret", b"raw  auth secret", b"HELLO 2 AUTH default secret", b"CONFIG SET requirepass secret",
            b"raw config set 'requirepass' secret", b"CONFIG SET requirepass ''"):
        t.type(line + b"\n")
        t.expect(b"> ")
    t.type(b"quit\n")
    is_(t.finish()[0], 0, "quit leaves")
    path = os.path.join(HOME, "state", "kvd", "history")
    text = open(path).read() if os.path.exists(path) else ""
    ok("incr" in text, "the history is kept", repr(text))
    ok("secret" not in text, "but no password", repr(text))
    is_(os.stat(path).st_mode & 0o077, 0, "for its owner only")
    t = Terminal(env={"KVCTL_HISTORY": "no", "XDG_STATE_HOME": os.path.join(HOME, "other")})
    t.expect(b"> ")
    t.type(b"ping\n")
    t.expect(b"PONG")
    t.end_input()
    is_(t.finish()[0], 0, "the end of input leaves")
    ok(not os.path.exists(os.path.join(HOME, "other")), "KVCTL_HISTORY=no leaves no trace")


def test_shell_reconnects():
    fresh()
    t = Terminal()
    t.expect(b"> ")
    t.type(b"ping\n")
    ok(t.expect(b"PONG\n"), "connected", t.seen)
    kvd.restart()
    t.type(b"ping\n")
    ok(t.expect(b"kvctl: "), "a lost connection is reported", t.seen)
    t.type(b"ping\n")
    ok(t.expect(b"PONG\n"), "and made anew for the next line", t.seen)
    t.end_input()
    is_(t.finish()[0], 0, "the shell lived on")


run(test_set_and_get, test_set_conditions, test_set_if_unchanged, test_delete, test_small_verbs, test_list, test_list_large_values, test_export_and_import, test_export_over_a_file,
    test_import_bad_lines, test_daemon_verbs, test_usage, test_json, test_quiet, test_help_columns, test_no_connection, test_stopped_daemon, test_closed_pipe, test_script, test_script_answers_at_once,
    test_terminal, test_shell, test_shell_editing, test_shell_reconnects)
