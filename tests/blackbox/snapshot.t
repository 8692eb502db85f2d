#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Snapshots: made under load they are consistent, they can be opened, and they survive whatever happens while they are made."""
import json
import os
import re
import subprocess
import sys
import tarfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from kvdtest import EXIT_CORRUPT, LONG, OK, PATIENCE, TOP, Error, Kvd, is_, ok, poll, rng, run  # noqa: E402


def names(c):
    return [dict(zip(s[::2], s[1::2]))[b"name"].decode() for s in c("KVD.BACKUPS")]


def content(c):
    """Everything in database 0."""
    keys = c("KVD.RANGE", "", "")
    return dict(zip(keys, c("MGET", *keys))) if keys else {}


def opened(kvd, name):
    """A daemon on a snapshot, as on any data directory."""
    other = Kvd()
    os.rmdir(other.data)
    other.data = os.path.join(kvd.data, "snapshots", name)
    return other.start()


def test_basics():
    kvd = Kvd().start()
    c = kvd.client()
    is_(c("KVD.BACKUPS"), [], "a new store has no snapshots")
    c("SET", "a", "1")
    is_(c("KVD.BACKUP", "one", "SYNC"), b"one", "a snapshot is made")
    c("SET", "a", "2")
    is_(names(c), ["one"], "and listed")
    reply = c("KVD.BACKUP", "one", "SYNC")
    ok(isinstance(reply, Error) and "there is one of this name" in str(reply), "a name is given once", repr(reply))
    for bad in ("../x", "/x", ".x", "a/b", "", "x" * 65, "x.new", "a\0b"):
        reply = c("KVD.BACKUP", bad)
        ok(isinstance(reply, Error) and "64 letters" in str(reply), f"{bad[:10]!r} is no name", repr(reply))
        ok(isinstance(c("KVD.BACKUPDEL", bad), Error), "nor one to delete")
    ok(not [n for n in os.listdir(kvd.dir) if n.startswith("x")], "nothing was made elsewhere")
    other = opened(kvd, "one")
    d = other.client()
    is_(content(d), {b"a": b"1"}, "a daemon on the snapshot serves its state")
    is_(d("SET", "a", "3"), OK, "and takes writes")
    is_(c("GET", "a"), b"2", "of which the first one sees nothing")
    other.stop()
    kvd.restart()
    c = kvd.client()
    is_((c("GET", "a"), names(c)), (b"2", ["one"]), "also after a start")
    is_(c("KVD.BACKUPDEL", "one", "SYNC"), OK, "a snapshot is deleted")
    is_((names(c), os.listdir(os.path.join(kvd.data, "snapshots"))), ([], []), "then it is gone")


def test_redis_names():
    kvd = Kvd(snapshot_keep=2).start()
    c = kvd.client()
    start = c("LASTSAVE")
    ok(abs(start - time.time()) < 60, "LASTSAVE is the start at first")
    is_(c("BGSAVE"), b"Background saving started", "BGSAVE begins")
    ok(poll(lambda: len(names(c)) == 1 and b"rdb_bgsave_in_progress:0" in c("INFO", "persistence")), "and a snapshot comes of it")
    c("SET", "a", "1")
    info = c("INFO", "persistence")
    ok(b"rdb_changes_since_last_save:1\r\n" in info and b"rdb_bgsave_in_progress:0" in info and
        b"rdb_last_bgsave_status:ok" in info, "INFO tells")
    c("KVD.BACKUP", "mine", "SYNC")
    for _ in range(3):
        is_(c("SAVE"), OK, "SAVE waits")
    mine = [n for n in names(c) if n == "mine"]
    is_((len(names(c)), mine), (3, ["mine"]), "the oldest go, but not those with a name of their own")
    ok(c("LASTSAVE") >= start, "LASTSAVE goes on")


def test_timed():
    kvd = Kvd(snapshot_interval="1s", snapshot_keep=2).start()
    c = kvd.client()
    c("SET", "a", "1")
    ok(poll(lambda: names(c), 10), "a timed snapshot comes by itself")
    is_(c("CONFIG", "SET", "snapshot-interval", "0"), OK, "the time can be changed")


class Writers:
    """Threads that keep pairs of counters equal in one transaction, and note the last value that was acknowledged."""

    def __init__(self, kvd, count):
        self.acked = [0] * count
        self.stop = False
        self.threads = [threading.Thread(target=self.run, args=(kvd, i), daemon=True) for i in range(count)]
        for t in self.threads:
            t.start()

    def run(self, kvd, i):
        c = kvd.client()
        try:
            while not self.stop:
                c.pipeline(("MULTI",), ("INCR", f"left{i}"), ("SET", f"pad{i}", "x" * 3000), ("INCR", f"right{i}"), ("EXEC",))
                self.acked[i] += 1
        except Exception:
            pass

    def end(self):
        self.stop = True
        for t in self.threads:
            t.join()


def judge(before, after, state, name):
    """Pairs are equal, hold at least what had been acknowledged and no more than was written."""
    bad = [f"{i}: {state.get(b'left%d' % i)} {state.get(b'right%d' % i)}, {before[i]} to {after[i]}" for i in range(len(before))
           if state.get(b"left%d" % i, b"0") != state.get(b"right%d" % i, b"0")
           or not before[i] <= int(state.get(b"left%d" % i, b"0")) <= after[i] + 1]
    ok(not bad, name, *bad)


def test_under_load():
    kvd = Kvd(segment_size="1M").start()
    writers = Writers(kvd, 4)
    c = kvd.client()
    marks = []
    for i in range(5):
        poll(lambda: sum(writers.acked) > 200 * (i + 1), 20)
        before = list(writers.acked)
        is_(c("KVD.BACKUP", f"s{i}", "SYNC"), f"s{i}".encode(), "a snapshot under load")
        marks.append((before, list(writers.acked)))
    writers.end()
    for i, (before, after) in enumerate(marks):
        other = opened(kvd, f"s{i}")
        judge(before, after, content(other.client()), f"snapshot {i} is the state between two transactions, and not too old")
        other.stop()


def test_kill():
    """kill -9 at some moment while snapshots are made and deleted: what is listed afterwards is whole."""
    kvd = Kvd(segment_size="1M").start()
    for round_ in range(30 if LONG else 6):
        writers = Writers(kvd, 2)
        c = kvd.client()
        poll(lambda: sum(writers.acked) > 100, 20)
        before = list(writers.acked)
        c.post("KVD.BACKUP", f"r{round_}")
        c.post("KVD.BACKUPDEL", f"r{round_ - 1}")
        time.sleep(0.0007 * round_)  # some moment; every step in turn is the business of the unit test
        kvd.kill9()
        writers.end()
        after = list(writers.acked)
        kvd.start()
        c = kvd.client()
        left = os.listdir(os.path.join(kvd.data, "snapshots")) if os.path.isdir(os.path.join(kvd.data, "snapshots")) else []
        is_(sorted(left), sorted(names(c)), "nothing unfinished is left")
        if f"r{round_}" in names(c):
            c("FLUSHALL")
            other = opened(kvd, f"r{round_}")
            judge(before, after, content(other.client()), "a snapshot that is there is whole")
            other.kill9()
        c("FLUSHALL")


def test_no_room():
    kvd = Kvd().start()
    c = kvd.client()
    c("SET", "a", "1")
    path = os.path.join(kvd.data, "snapshots")
    with open(path, "w"):
        pass
    reply = c("KVD.BACKUP", "one", "SYNC")
    ok(isinstance(reply, Error) and "IOERR snapshot one: snapshots" in repr(reply), "a failure has its reason", repr(reply))
    is_((c("SET", "a", "2"), c("GET", "a")), (OK, b"2"), "the data is served on")
    ok(b"rdb_last_bgsave_status:err" in c("INFO", "persistence"), "INFO tells")
    os.unlink(path)
    is_(c("KVD.BACKUP", "one", "SYNC"), b"one", "and the next one is made")


KVCTL = os.path.join(TOP, "kvctl")


def kvctl(kvd, *args, expect=0, says=None, **kw):
    """Runs kvctl; returns what it wrote to standard output."""
    kw.setdefault("stdout", subprocess.PIPE)
    done = subprocess.run([KVCTL, "--socket", kvd.socket, *args], stderr=subprocess.PIPE, timeout=60 * PATIENCE, **kw)
    text = done.stderr.decode("utf-8", "replace")
    ok(done.returncode == expect and (says is None or says in text + (done.stdout or b"").decode("utf-8", "replace")),
        f"kvctl {' '.join(args)[:70]}: {says or 'done'}", f"code {done.returncode}", text)
    return done.stdout


def pack(kvd, *args):
    """An archive in a file of its own."""
    path = os.path.join(kvd.dir, f"{len(os.listdir(kvd.dir))}.tar")
    with open(path, "wb") as f:
        kvctl(kvd, "-q", "snapshot", "export", *args, stdout=f)
    return path


def test_kvctl():
    kvd = Kvd().start()
    c = kvd.client()
    c("SET", "a", b"\0\xff\n")
    is_(kvctl(kvd, "snapshot", "create", "one"), b"one\n", "create says the name")
    is_(kvctl(kvd, "-q", "snapshot", "create", "two"), b"", "but not with -q")
    quiet = kvctl(kvd, "-q", "snapshot", "create").decode().strip()
    kvctl(kvd, "snapshot", "delete", "two", quiet)
    ok(quiet, "unless the daemon has chosen it")
    name = kvctl(kvd, "snapshot", "create").decode().strip()
    ok(re.fullmatch(r"\d{8}T\d{6}Z(-\d+)?", name), "by the time when none is given", name)
    listed = json.loads(kvctl(kvd, "--json", "snapshot", "list"))
    is_([s["name"] for s in listed], ["one", name], "list names both")
    is_(json.loads(kvctl(kvd, "--json", "snapshot", "list", "--data-dir", kvd.data)), listed, "and says the same from the files")
    kvctl(kvd, "snapshot", "verify", "one", name, says="whole")
    kvctl(kvd, "snapshot", "verify", "none", expect=1, says="there is no snapshot none")
    kvctl(kvd, "snapshot", "verify", "../one", expect=1, says="no name of a snapshot")
    kvctl(kvd, "snapshot", "export", "../..", expect=1, says="no name of a snapshot")
    kvctl(kvd, "snapshot", "export", "one", "--since", "/etc", expect=1, says="no name of a snapshot")
    kvctl(kvd, "snapshot", "create", "--timed")
    kinds = [s["kind"] for s in json.loads(kvctl(kvd, "--json", "snapshot", "list"))]
    is_(kinds, ["hand", "hand", "timed"], "a timed one is of its own kind")
    kvctl(kvd, "snapshot", "delete", *names(c))
    is_(kvctl(kvd, "snapshot", "list"), b"", "deleted they are gone")
    kvctl(kvd, "snapshot", "delete", "one", expect=1, says="there is none of this name")
    kvctl(kvd, "snapshot", "paint", expect=2, says="create, list, verify, export, restore and delete")
    kvctl(kvd, "snapshot", "export", expect=2, says="usage: kvctl snapshot export")
    kvctl(kvd, "snapshot", "restore", "one", expect=2, says="--data-dir")
    kvd.stop()
    kvctl(kvd, "snapshot", "verify", "one", expect=3, says="--data-dir")


def test_round_trip():
    """Out through a file, in to another place: the same bytes of every value; and again incrementally."""
    kvd = Kvd(segment_size="1M").start()
    c = kvd.client()
    random = rng()
    for i in range(400):
        c("SET", f"key{i}", random.randbytes(random.randrange(9000)))
    c("KVD.BACKUP", "one", "SYNC")
    first = content(c)
    for i in range(300, 500):
        c("SET", f"key{i}", random.randbytes(random.randrange(9000)))
    c("DEL", *[f"key{i}" for i in range(50)])
    c("KVD.BACKUP", "two", "SYNC")
    second = content(c)
    full, more, again = pack(kvd, "one"), pack(kvd, "--since", "one", "two"), pack(kvd, "one")
    with open(full, "rb") as a, open(again, "rb") as b:
        ok(a.read() == b.read(), "an archive is the same each time")
    ok(os.path.getsize(more) < 0.8 * os.path.getsize(full), "an incremental one has what is new")
    other = Kvd()
    kvctl(kvd, "snapshot", "restore", "--data-dir", other.data, more, expect=1, says="builds on another snapshot")
    kvctl(kvd, "snapshot", "restore", "--data-dir", other.data, full)
    other.start()
    ok(content(other.client()) == first, "restored elsewhere it is all there")
    kvctl(kvd, "snapshot", "restore", "--data-dir", other.data, full, expect=1, says="in use by process")
    other.client()("SET", "later", "1")
    other.stop()
    done = subprocess.run([*other.command("--restore", full), "--restore", more], capture_output=True, timeout=60 * PATIENCE)
    ok(done.returncode == 0 and b"what was there before is in" in done.stdout, "kvd --restore takes a chain", done.stdout, done.stderr)
    other.start()
    ok(content(other.client()) == second, "and it is all there")
    other.stop()
    aside = [n for n in os.listdir(other.data) if n.startswith("replaced-")]
    is_(len(aside), 1, "what was there is kept")
    other.data = os.path.join(other.data, aside[0])
    other.start()
    is_(other.client()("GET", "later"), b"1", "and can be served")
    other.stop()
    third = Kvd()
    with open(full, "rb") as f:
        kvctl(kvd, "snapshot", "restore", "--data-dir", third.data, "-", stdin=f)
    subprocess.run(["tar", "-C", third.dir, "-xf", full], check=True)
    third.data = os.path.join(third.dir, "one")
    third.start()
    ok(content(third.client()) == first, "what tar unpacks is a data directory")
    kvd.stop()
    kvctl(kvd, "snapshot", "restore", "--data-dir", kvd.data, "one")
    kvd.start()
    c = kvd.client()
    is_((content(c) == first, names(c)), (True, ["one", "two"]), "a snapshot is put back in place, and all of them stay")


def test_refused():
    kvd = Kvd(segment_size="1M").start()
    c = kvd.client()
    c("SET", "a", "x" * 5000)
    c("KVD.BACKUP", "one", "SYNC")
    full = pack(kvd, "one")
    with open("/dev/full", "wb") as f:
        kvctl(kvd, "snapshot", "export", "one", stdout=f, expect=1, says="No space left")
    path = os.path.join(kvd.data, "snapshots", "one")
    segment = os.path.join(path, "0000000001.seg")
    os.rename(segment, segment + ".x")
    os.symlink("/etc/passwd", segment)
    kvctl(kvd, "snapshot", "export", "one", stdout=subprocess.DEVNULL, expect=1, says="snapshots/one/0000000001.seg")
    os.unlink(segment)
    os.rename(segment + ".x", segment)
    with open(os.path.join(path, "MANIFEST"), "r+b") as f:
        f.seek(40)
        f.write(b"!")
    for verb in ("verify", "export"):
        kvctl(kvd, "snapshot", verb, "one", expect=1, says="snapshots/one/MANIFEST: damaged")
    kvd.stop()
    kvctl(kvd, "snapshot", "restore", "--data-dir", kvd.data, "one", expect=1, says="snapshots/one/MANIFEST: damaged")
    bad = os.path.join(kvd.dir, "bad.tar")
    with open(full, "rb") as f:
        data = f.read()
    with open(bad, "wb") as f:
        f.write(data[:len(data) // 2])
    kvctl(kvd, "snapshot", "restore", "--data-dir", kvd.data, bad, expect=1, says="is cut short")
    with open(bad, "wb") as f:
        f.write(data.replace(b"x" * 100, b"x" * 99 + b"y", 1))
    kvctl(kvd, "snapshot", "restore", "--data-dir", kvd.data, bad, expect=1, says="0000000001.seg: damaged at offset 64")
    for member in ("one/../../x", "/tmp/x", "one/LOCK"):
        with tarfile.open(bad, "w") as tar:
            tar.addfile(tarfile.TarInfo(member))
        kvctl(kvd, "snapshot", "restore", "--data-dir", kvd.data, bad, expect=1, says="no file of a snapshot")
    with tarfile.open(bad, "w") as tar:
        link = tarfile.TarInfo("one/CATALOG")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    kvctl(kvd, "snapshot", "restore", "--data-dir", kvd.data, bad, expect=1, says="no file of a snapshot")
    code, log = kvd.fails("--restore", bad)
    is_(code, EXIT_CORRUPT, "kvd --restore says damaged", log)
    is_([n for n in os.listdir(kvd.data) if n.startswith(("restore", "replaced"))], [], "nothing is left of what was refused")
    kvd.start()
    is_(kvd.client()("GET", "a"), b"x" * 5000, "and the data is as it was")


run(test_basics, test_redis_names, test_timed, test_under_load, test_kill, test_no_room, test_kvctl, test_round_trip, test_refused)
