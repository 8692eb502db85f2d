#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
The data directory read by kvd-format(5) alone: a second reader, written from the page and not from the source, finds
what clients stored, and each checksum comes out as the page says.
"""
import struct
import zlib

from kvdtest import *

PUT, DELETE, FLUSH, SWAP = 1, 2, 3, 4
COMMIT, EXPIRES = 1, 2


def read_catalog(kvd):
    with open(os.path.join(kvd.data, "CATALOG"), "rb") as f:
        text = f.read()
    body, sign, last = text.rpartition(b"crc32 ")
    ok(sign and int(last, 16) == zlib.crc32(body), "the catalog's checksum is of all before its line")
    catalog = {"segments": [], "clean": None}
    for line in body.decode().splitlines():
        word, *rest = line.split(" ")
        if word == "segment":
            catalog["segments"].append((int(rest[0]), dict(zip(rest[1::2], map(int, rest[2::2])))))
        else:
            catalog[word] = rest[0]
    return catalog


def record_size(used):
    """Rounded up to 8 bytes, from 8192 on to one of 32 sizes between a power of two and the next."""
    if used <= 8184:
        return (used + 7) // 8 * 8
    step = (1 << (used - 1).bit_length() - 1) // 32
    return (used + step - 1) // step * step


def read_records(data, store, number, first, end):
    """Yields (type, namespace, key, value, expiry or None, commit) of a segment; raises where the page is wrong."""
    head = struct.unpack_from("<8sIIQQQQ12sI", data)
    good = (head[:6] == (b"KVDSEG\r\n", 1, 64, store, number, first) and head[7] == bytes(12)
        and head[8] == zlib.crc32(data[:60]))
    if not good:
        raise ValueError(f"segment {number}: the header is {head}")
    seed = zlib.crc32(struct.pack("<QQ", store, number))
    at = 64
    while at < end:
        checksum, kind, flags, codec, zero, key_len, value_len, position, distance, space, check = \
            struct.unpack_from("<IBBBBIIQIHH", data, at)
        body = at + 32 + 8 * bool(flags & EXPIRES)
        used = body + key_len + value_len
        size = record_size(used - at)
        binding = seed ^ (at // 8 * 0x9E3779B1 & 0xFFFFFFFF)
        fixed = data[at + 4:at + 30] + bytes(2)
        head_sum = zlib.crc32(fixed + data[at + 32:body + key_len], binding)
        problems = [text for text, wrong in (
            ("checksum", zlib.crc32(data[body + key_len:used], head_sum) != checksum),
            ("head check", check != ((head_sum ^ head_sum >> 16) & 0xFFFF or 1)),
            ("type", kind not in (PUT, DELETE, FLUSH, SWAP)), ("flags", flags & ~3), ("codec", codec),
            ("zeros", zero), ("position", position != first - 64 + at),
            ("distance", distance != 0xFFFFFFFF and distance > position),
            ("padding", data[used:at + size] != bytes(at + size - used))) if wrong]
        if problems:
            raise ValueError(f"segment {number}, record at {at}: {problems}")
        key = data[body:body + key_len]
        expiry = struct.unpack_from("<q", data, at + 32)[0] if flags & EXPIRES else None
        yield kind, space, key, data[body + key_len:used], expiry, bool(flags & COMMIT)
        at += size
    if at != end:
        raise ValueError(f"segment {number}: the last record ends at {at}, not {end}")


def replay(kvd, catalog):
    """{database: {key: (value, expiry)}} after the last commit."""
    spaces, names, run = {}, list(range(256)), []
    position = 64
    for number, facts in catalog["segments"]:
        with open(os.path.join(kvd.data, f"{number:010}.seg"), "rb") as f:
            data = f.read()
        end = facts.get("size") or int(catalog["clean"])
        if facts["first"] != position:
            raise ValueError(f"segment {number} begins at {facts['first']}, not {position}")
        if "size" in facts and len(data) != end:
            raise ValueError(f"segment {number} is sealed with {end} bytes and has {len(data)}")
        position += end - 64
        for record in read_records(data, int(catalog["store"], 16), number, facts["first"], end):
            run.append(record)
            if not record[5]:
                continue
            for kind, space, key, value, expiry, _ in run:
                if kind == PUT:
                    spaces.setdefault(space, {})[key] = value, expiry
                elif kind == DELETE:
                    spaces.get(space, {}).pop(key, None)
                elif kind == FLUSH:
                    spaces[space] = {}
                else:
                    other = struct.unpack("<H", key)[0]
                    names[space], names[other] = names[other], names[space]
            run = []
        if run:
            raise ValueError(f"a transaction goes on behind segment {number}")
    return {db: spaces[space] for db, space in enumerate(names) if spaces.get(space)}


def test_page():
    kvd = Kvd(segment_size="1M").start()
    c = kvd.client()
    random = rng("format")
    expected = {}
    for n in range(300):
        # Sizes on both sides of each rounding.
        size = random.choice((0, 1, 7, 8, 100, 8100, 8140, 8152, 8153, 9000, 16300, 16400, 33000, 70000)) + random.randrange(9)
        key, value = random.randbytes(random.randrange(30)), random.randbytes(size)
        c.must("SET", key, value)
        expected[key] = value, None
    for key in random.sample(sorted(expected), 50):
        c.must("DEL", key)
        del expected[key]
    far = 4102444800123
    c.must("SET", "mortal", "x", "PXAT", far)
    c.must("MSET", "a", "1", "b", "2", "c", "3")
    expected.update({b"mortal": (b"x", far), b"a": (b"1", None), b"b": (b"2", None), b"c": (b"3", None)})
    c.must("SELECT", 3)
    c.must("SET", "gone", "1")
    c.must("FLUSHDB")
    c.must("SET", "three", "3")
    c.must("SWAPDB", 3, 5)
    c.must("SET", "new", "in three")
    kvd.stop()

    catalog = read_catalog(kvd)
    is_(catalog["kvd-catalog"], "1", "the catalog names the version")
    is_([os.path.basename(p) for p in kvd.segments()], [f"{n:010}.seg" for n, _ in catalog["segments"]],
        "the segment files are those of the catalog")
    ok(len(catalog["segments"]) > 1 and int(catalog["next"]) > catalog["segments"][-1][0],
        "there are several, and next is above all of them")
    ok(catalog["clean"] is not None and "size" not in catalog["segments"][-1][1],
        "the last one is active, and its end is written down")
    try:
        found = replay(kvd, catalog)
    except ValueError as wrong:
        ok(False, "every byte is as the page says", str(wrong))
        return
    is_(found.get(0), expected, "database 0 holds what was stored")
    is_({db: found[db] for db in found if db}, {3: {b"new": (b"in three", None)}, 5: {b"three": (b"3", None)}},
        "and the others after a flush and a swap")


run(test_page)
