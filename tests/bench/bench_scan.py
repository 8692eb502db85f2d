# SPDX-License-Identifier: MIT
"""A hundred keys with one prefix among all: what it takes to list them. Part of bench.py."""
import random
import statistics
import time

from benchlib import load

GROUP = 100  # keys with one prefix
REPEATS = {"kvd": 200, "redis": 10}


def scan_key(i):
    """16 bytes, a hundred to a prefix; loaded in another order than that of the prefixes."""
    i = i * 7919 % scan_key.total
    return b"group:%07d:%02d" % (i // GROUP, i % GROUP)


def by_keys(c, prefix):
    return c("KEYS", prefix + b"*")


def by_scan(c, prefix):
    cursor, keys = b"0", []
    while True:
        cursor, some = c("SCAN", cursor, "MATCH", prefix + b"*", "COUNT", 1000)
        keys += some
        if cursor == b"0":
            return keys


def by_range(c, prefix):
    return c("KVD.RANGE", prefix, prefix[:-1] + bytes([prefix[-1] + 1]))


CASES = (("KEYS prefix*", by_keys, by_keys), ("SCAN MATCH prefix*", by_scan, by_scan), ("KVD.RANGE, redis KEYS", by_range, by_keys))


def median_ms(c, ask, n, repeats):
    times = []
    for _ in range(repeats):
        prefix = b"group:%07d:" % random.randrange(n // GROUP)
        began = time.monotonic()
        found = ask(c, prefix)
        times.append((time.monotonic() - began) * 1000)
        if len(found) != GROUP:
            raise RuntimeError(f"{len(found)} keys begin with {prefix}, not {GROUP}")
    return statistics.median(times)


def scan(options, make):
    results = []
    for n in options.keys:
        n -= n % GROUP
        scan_key.total = n
        if n % 7919 == 0:  # the order of loading would not meet every key
            raise RuntimeError("--keys must be no multiple of 7919")
        servers = {name: kind().start() for name, kind in make.items()}
        for server in servers.values():
            load(server, n, options.value, scan_key)
        print(f"\n{GROUP} of {n:,} keys by their prefix, ms (median)")
        print(f"{'':24}" + "".join(f"{name:>12}" for name in servers) + f"{'redis/kvd':>12}")
        for title, *ways in CASES:
            found = {name: median_ms(server.client(timeout=60), way, n, REPEATS[name]) for (name, server), way in zip(servers.items(), ways)}
            ratio = found["redis"] / found["kvd"] if "redis" in found else None
            print(f"{title:24}" + "".join(f"{found[name]:12.3f}" for name in servers) + (f"{ratio:12.0f}" if ratio else ""), flush=True)
            results.append({"keys": n, "case": title, "ratio": ratio, **{name + "_ms": v for name, v in found.items()}})
        for server in servers.values():
            server.stop(seconds=300)
    return results


PARTS = {"scan": scan}
