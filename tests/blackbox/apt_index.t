#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
The machine's own Debian package index as data of the real world: one key pkg/NAME/VERSION per stanza. Loaded through
the socket, killed in the middle, finished, compared byte by byte, listed in order, and again after a restart.
"""
import subprocess

from kvdtest import *

MOST = None if LONG else 5000
BATCH = 100


def stanzas():
    """{key: stanza} from apt-cache."""
    need("apt-cache")
    process = subprocess.Popen(["apt-cache", "dumpavail"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    found, lines, fields = {}, [], {}
    for line in process.stdout:
        if line.strip():
            lines.append(line)
            name, colon, rest = line.partition(b":")
            if colon and not line.startswith((b" ", b"\t")):
                fields[name] = rest.strip()
            continue
        if lines:
            found[b"pkg/%s/%s" % (fields.get(b"Package", b"?"),
                fields.get(b"Version", b"?"))] = b"".join(lines)
        lines, fields = [], {}
        if MOST and len(found) >= MOST:
            break
    process.kill()
    process.stdout.close()
    process.wait()
    if len(found) < 100:
        raise Skip("apt-cache knows no packages")
    return found


def load(kvd, data, keys, until=None):
    """Writes the keys in pipelined batches; returns how many are acknowledged."""
    c = kvd.client(timeout=60)
    count = 0
    for at in range(0, len(keys), BATCH):
        if until is not None and at >= until:
            # Leave this batch in flight.
            c.send(b"".join(request("SET", k, data[k]) for k in keys[at:at + BATCH]))
            return count
        replies = c.pipeline(*(("SET", k, data[k]) for k in keys[at:at + BATCH]))
        if any(r != OK for r in replies):
            raise RuntimeError(f"refused: {[r for r in replies if r != OK][0]!r}")
        count += len(replies)
    return count


def compare(kvd, data, keys, name):
    c = kvd.client(timeout=60)
    wrong = []
    for at in range(0, len(keys), BATCH):
        part = keys[at:at + BATCH]
        wrong += [k for k, v in zip(part, c.must("MGET", *part)) if v != data[k]]
    ok(not wrong, f"{len(keys)} stanzas are byte for byte the same {name}",
        f"{len(wrong)} differ, first: {wrong[:3]}")


def listed(kvd, data, name):
    """The whole prefix by KVD.RANGE in pages, in byte order."""
    c = kvd.client(timeout=60)
    first = c("KVD.RANGE", "pkg/", "pkg0", "LIMIT", 10)
    if isinstance(first, Error):
        return skip(f"KVD.RANGE {name}", str(first))
    got, at = [], b"pkg/"
    while True:
        page = c.must("KVD.RANGE", at, "pkg0", "LIMIT", 1000)
        got += page
        if len(page) < 1000:
            break
        at = page[-1] + b"\0"
    ok(got == sorted(data), f"KVD.RANGE lists all {len(data)} keys in order {name}", f"{len(got)} keys")
    prefix = b"pkg/lib"
    some = c.must("KVD.RANGE", prefix, prefix[:-1] + bytes([prefix[-1] + 1]), "WITHVALUES", "LIMIT", 20)
    expected = [k for k in sorted(data) if k.startswith(prefix)][:20]
    flat = some if not some or not isinstance(some[0], list) else [x for pair in some for x in pair]
    is_(flat, [x for k in expected for x in (k, data[k])], f"with values by prefix {name}")
    down = c.must("KVD.RANGE", "pkg/", "pkg0", "REV", "LIMIT", 15)
    is_(down, sorted(data, reverse=True)[:15], f"and downwards {name}")


def test_index():
    data = stanzas()
    keys = list(data)
    rng("order").shuffle(keys)
    diag(f"{len(keys)} stanzas, {sum(map(len, data.values()))} bytes")
    kvd = Kvd(segment_size="4M").start()
    half = len(keys) // 2 // BATCH * BATCH
    done_ = load(kvd, data, keys, until=half)
    kvd.crash()
    compare(kvd, data, keys[:done_], "after kill -9 in the middle")
    c = kvd.client()
    there = c.must("DBSIZE")
    ok(done_ <= there <= done_ + BATCH, f"nothing more than what was sent is there ({there})",
        f"{done_} acknowledged")
    load(kvd, data, keys[half:])
    is_(kvd.client().must("DBSIZE"), len(data), "the load is finished")
    compare(kvd, data, keys, "after the load")
    listed(kvd, data, "after the load")
    kvd.restart()
    compare(kvd, data, keys, "after a restart")
    listed(kvd, data, "after a restart")


run(test_index)
