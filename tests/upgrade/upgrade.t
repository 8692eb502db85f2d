#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
The stores that earlier releases have left: opened, read key by key, gone on with, by the engine and by the daemon. And a store of
a release to come, of each kind of file: refused by name and version, and not touched.
"""
import glob
import io
import json
import os
import stat
import struct
import subprocess
import sys
import tarfile
import zlib

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "blackbox"))
from kvdtest import *  # noqa: E402

BUILT = os.environ.get("top_builddir") or os.path.dirname(os.path.dirname(HERE))
SAMPLES = sorted(glob.glob(os.path.join(SOURCE, "tests", "upgrade", "*.tar.gz")))
SAMPLE = os.path.join(BUILT, "tests", "upgrade", "sample")
KVCTL = os.path.join(BUILT, "kvctl")
MAX_BYTES = 200 << 10


def unpack(sample, directory):
    """A copy to be written to, also when the source tree is not."""
    with tarfile.open(sample) as tar:
        tar.extractall(directory)
    for folder, folders, files in os.walk(directory):
        os.chmod(folder, 0o700)
        for name in files:
            path = os.path.join(folder, name)
            os.chmod(path, stat.S_IMODE(os.stat(path).st_mode) | 0o600)
    return directory


def run_sample(word, directory):
    done = subprocess.run([SAMPLE, word, directory], capture_output=True, timeout=60 * PATIENCE)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def expected(sample, kind=""):
    with open(sample[:-len(".tar.gz")] + kind + ".list", encoding="ascii") as f:
        return f.read()


def holds(directory, text, name):
    code, out, errors = run_sample("list", directory)
    wrong = [f"-{line}" for line in text.splitlines() if line not in out.splitlines()]
    wrong += [f"+{line}" for line in out.splitlines() if line not in text.splitlines()]
    return ok(code == 0 and out == text, name, errors, *wrong[:10])


def kvctl(*args):
    done = subprocess.run([KVCTL, *args], capture_output=True, timeout=60 * PATIENCE)
    return done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")


def test_sample_is_complete():
    """Whoever makes the sample of a release has everything in it, so that the releases after it are tested with that."""
    for sample in SAMPLES:
        version = os.path.basename(sample)[:-len(".tar.gz")]
        ok(os.path.getsize(sample) < MAX_BYTES, f"{version}: the sample is small", os.path.getsize(sample))
        data = unpack(sample, temp_dir())
        segments = sorted(glob.glob(os.path.join(data, "*.seg")))
        types, codecs, expiring = set(), set(), 0
        for path in segments:
            code, out, errors = kvctl("dump", "--json", path)
            for line in out.splitlines():
                item = json.loads(line)
                types.add(item.get("type"))
                codecs.add(item.get("codec"))
                expiring += "expires" in line
        missing = {"put", "delete", "flush", "swap", "lost", "gap"} - types
        ok(not missing, f"{version}: it has records of every kind", missing, types)
        ok(any(c not in (0, "raw", None) for c in codecs), f"{version}: also compressed ones", codecs)
        ok(len(segments) > 2, f"{version}: several segments", segments)
        for name in ("CATALOG", "CHECKPOINT", "snapshots/sample/MANIFEST", "snapshots/indexed/CHECKPOINT", "damaged/INDEX"):
            ok(os.path.exists(os.path.join(data, name)), f"{version}: {name}")
        ok(len({line.split()[0] for line in expected(sample).splitlines()}) > 5, f"{version}: several databases")


def test_engine():
    for sample in SAMPLES:
        version = os.path.basename(sample)[:-len(".tar.gz")]
        data = unpack(sample, temp_dir())
        holds(data, expected(sample), f"{version}: every key is as it was")
        holds(os.path.join(data, "snapshots", "sample"), expected(sample, ".snapshot"), f"{version}: in the snapshot, too")
        holds(os.path.join(data, "snapshots", "indexed"), expected(sample, ".indexed"), f"{version}: and in the one with a checkpoint")
        code, out, errors = run_sample("use", data)
        is_(code, 0, f"{version}: it is written to, merged and opened anew", errors)
        holds(data, expected(sample), f"{version}: and has what it had")
        data = unpack(sample, temp_dir())
        os.unlink(os.path.join(data, "CHECKPOINT"))
        holds(data, expected(sample), f"{version}: without its checkpoint every key is as it was")
        code, out, errors = kvctl("verify", "--offline", data)
        is_(code, 0, f"{version}: kvctl verify finds it whole", out, errors)


def matches(client, line):
    """Whether the daemon shows what a line of the list says."""
    db, rest = line.split(" ", 1)
    key, _, rest = rest.partition(" ")
    key = bytes.fromhex(key)
    client.must("SELECT", db)
    value = client("GET", key)
    if rest == "corrupt":
        return isinstance(value, Error) and "CORRUPT" in repr(value)
    end, length, crc = rest.split(" ")
    if not isinstance(value, bytes) or len(value) != int(length) or zlib.crc32(value) != int(crc, 16):
        return False
    left = client("PEXPIRETIME", key)
    return left == -1 if end == "-" else abs(left - int(end)) < 2000


def all_match(client, lines, name):
    wrong = [line for line in lines if not matches(client, line)]
    ok(not wrong, name, *wrong[:5])
    counts = {}
    for line in lines:
        counts[line.split(" ")[0]] = counts.get(line.split(" ")[0], 0) + 1
    for db in range(16):
        client.must("SELECT", db)
        keys = client("KEYS", "*")
        if len(keys) != counts.get(str(db), 0):
            ok(False, f"{name}: no keys but those in database {db}", keys)


def test_daemon():
    for sample in SAMPLES:
        version = os.path.basename(sample)[:-len(".tar.gz")]
        lines = expected(sample).splitlines()
        kvd = Kvd()
        unpack(sample, kvd.data)
        kvd.start()
        c = kvd.client()
        all_match(c, lines, f"{version}: the daemon shows every key as it was")
        c.must("SELECT", 0)
        c.must("SET", "of the younger release", "1")
        ok(not isinstance(c("KVD.COMPACT"), Error), f"{version}: it goes on with it, and merges it")
        kvd.restart()
        c = kvd.client()
        is_(c("GET", "of the younger release"), b"1", f"{version}: and has what was written")
        c("DEL", "of the younger release")
        all_match(c, lines, f"{version}: and what was there")
        kvd.stop()


def recovered_from_checkpoint(client):
    flat = client.must("KVD.STATS")
    return flat[flat.index(b"recovered_from_checkpoint") + 1]


def test_snapshots():
    """Verified, packed and put back by this release; a checkpoint in one is what the start begins with."""
    for sample in SAMPLES:
        version = os.path.basename(sample)[:-len(".tar.gz")]
        for name, kind, indexed in (("sample", ".snapshot", 0), ("indexed", ".indexed", 1)):
            data, kvd = unpack(sample, temp_dir()), Kvd()
            code, out, errors = kvctl("snapshot", "verify", "--data-dir", data, name)
            is_(code, 0, f"{version}: snapshot {name} is whole", out, errors)
            archive = os.path.join(kvd.dir, "archive.tar")
            with open(archive, "wb") as f:
                done = subprocess.run([KVCTL, "snapshot", "export", "--data-dir", data, name], stdout=f, stderr=subprocess.PIPE, timeout=60 * PATIENCE)
            is_(done.returncode, 0, f"{version}: snapshot {name} is packed", done.stderr)
            code, out, errors = kvctl("snapshot", "restore", "--data-dir", kvd.data, archive)
            is_(code, 0, f"{version}: snapshot {name} is put back elsewhere", out, errors)
            kvd.start()
            c = kvd.client()
            is_(recovered_from_checkpoint(c), indexed, f"{version}: snapshot {name}: the start begins with a checkpoint, or not", kvd.log)
            all_match(c, expected(sample, kind).splitlines(), f"{version}: snapshot {name} has every key as it was")
            kvd.stop()


# ---- formats to come ----

def raise_number(data, at=8):
    """A binary header of 64 bytes with the next version, and its checksum made right."""
    head = bytearray(data[:64])
    struct.pack_into("<I", head, at, struct.unpack_from("<I", head, at)[0] + 1)
    struct.pack_into("<I", head, 60, zlib.crc32(head[:60]))
    return bytes(head) + data[64:]


KNOWN = {"MANIFEST": 2}  # the versions this release reads; 1 of all others


def raise_line(data, known=1):
    """A text whose first line ends in a version, with the one after the known one."""
    first, rest = data.split(b"\n", 1)
    return b"%s %d\n%s" % (first.rsplit(b" ", 1)[0], known + 1, rest)


def raise_manifest(data):
    return raise_line(data, KNOWN["MANIFEST"])


def change(path, how):
    with open(path, "rb") as f:
        data = f.read()
    os.unlink(path)  # segments are links to those of the snapshot
    with open(path, "wb") as f:
        f.write(how(data))


def contents(directory):
    found = {}
    for folder, folders, files in os.walk(directory):
        for name in files:
            if name == "LOCK":
                continue
            with open(os.path.join(folder, name), "rb") as f:
                found[os.path.relpath(os.path.join(folder, name), directory)] = f.read()
    return found


def clear_message(text, name):
    """The file, its version and the one that is known."""
    known = KNOWN.get(name, 1)
    return name in text and f"version {known + 1}" in text and f"version {known}" in text


def test_newer_store():
    """The exit code is the one that the unit does not restart after."""
    sample = SAMPLES[-1]
    lines = expected(sample).splitlines()
    for name, how in (("CATALOG", raise_line), ("segment", raise_number)):
        kvd = Kvd()
        unpack(sample, kvd.data)
        for path in ([os.path.join(kvd.data, name)] if name == "CATALOG" else kvd.segments()[-1:]):
            change(path, how)
            name = os.path.basename(path)
        before = contents(kvd.data)
        code, out, errors = run_sample("list", kvd.data)
        ok(code == 1 and clear_message(errors, name), f"a newer {name} is refused by the engine", errors)
        code, log = kvd.fails()
        is_(code, EXIT_CORRUPT, f"a newer {name} ends the daemon for good", log)
        ok(clear_message(log, name), f"a newer {name}: the message has all there is to know", log)
        for verb in ("verify", "repair"):
            code, out, errors = kvctl(verb, *(["--offline"] if verb == "verify" else []), kvd.data)
            ok(code != 0 and clear_message(errors, name), f"a newer {name}: kvctl {verb} refuses it", code, out, errors)
        ok(contents(kvd.data) == before, f"a newer {name}: nothing is touched")
    kvd = Kvd()
    unpack(sample, kvd.data)
    change(os.path.join(kvd.data, "CHECKPOINT"), raise_number)
    kvd.start()
    all_match(kvd.client(), lines, "a newer CHECKPOINT is not needed: every key is as it was")
    ok(clear_message(kvd.log, "CHECKPOINT"), "and the log says so", kvd.log)


def test_newer_snapshot():
    kvd = Kvd()
    unpack(SAMPLES[-1], kvd.data)
    snapshot = os.path.join(kvd.data, "snapshots", "sample")
    for name, how in (("MANIFEST", raise_manifest), ("CATALOG", raise_line)):
        with open(os.path.join(snapshot, name), "rb") as f:
            keep = f.read()
        change(os.path.join(snapshot, name), how)
        before = contents(kvd.data)
        code, out, errors = kvctl("snapshot", "restore", "--data-dir", kvd.data, "sample")
        ok(code == 1 and name in errors, f"a snapshot with a newer {name} is not put back", code, errors)
        code, log = kvd.fails("--restore", "sample")
        is_(code, EXIT_CORRUPT, f"kvd --restore refuses a newer {name}", log)
        if name == "MANIFEST":
            ok(clear_message(errors, name) and clear_message(log, name), "with all there is to know", errors, log)
        ok(contents(kvd.data) == before, f"a newer {name}: nothing is touched")
        change(os.path.join(snapshot, name), lambda data, keep=keep: keep)


def newer_archive(path, member):
    """The same archive with a later version in one of its files."""
    out = path + ".newer"
    with tarfile.open(path) as old, tarfile.open(out, "w", format=tarfile.USTAR_FORMAT) as new:
        for entry in old.getmembers():
            data = old.extractfile(entry).read() if entry.isfile() else b""
            if entry.name.endswith("/" + member):
                data = data.replace(b" 1 ", b" 2 ", 1) if member == "SINCE" else raise_manifest(data)
                entry.size = len(data)
            new.addfile(entry, io.BytesIO(data))
    return out


def test_newer_archive():
    kvd = Kvd().start()
    c = kvd.client()
    archives = {}
    for name, since in (("one", None), ("two", "one")):
        c.must("SET", name, "1")
        done = subprocess.run([KVCTL, "--socket", kvd.socket, "snapshot", "create", name], capture_output=True, timeout=60 * PATIENCE)
        is_(done.returncode, 0, f"snapshot {name}", done.stderr)
        archives[name] = os.path.join(kvd.dir, name + ".tar")
        args = ["snapshot", "export", name] + (["--since", since] if since else [])
        with open(archives[name], "wb") as f:
            done = subprocess.run([KVCTL, "--socket", kvd.socket, *args, "--data-dir", kvd.data], stdout=f, stderr=subprocess.PIPE, timeout=60 * PATIENCE)
        is_(done.returncode, 0, f"archive {name}", done.stderr)
    other = Kvd()
    for chain, member in ((["one"], "MANIFEST"), (["one", "two"], "SINCE")):
        paths = [archives[n] for n in chain]
        paths[-1] = newer_archive(paths[-1], member)
        words = [w for p in paths for w in ("--restore", p)]
        code, log = other.fails(*words)
        is_(code, EXIT_CORRUPT, f"an archive with a newer {member} is refused", log)
        ok(clear_message(log, member), "with all there is to know", log)
        left = [n for n in os.listdir(other.data) if n != "LOCK"]
        is_(left, [], "and nothing is left of it")


if not SAMPLES or not os.path.exists(SAMPLE):
    skip_all("there are no samples, or the program that reads them is not built")
run(test_sample_is_complete, test_engine, test_daemon, test_snapshots, test_newer_store, test_newer_snapshot, test_newer_archive)
