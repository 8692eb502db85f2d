# SPDX-License-Identifier: MIT
"""The engine's figures: starts, merges, snapshots and cold reads, and what clients notice of them. Parts of bench.py."""
import os
import shutil
import threading
import time

from benchlib import Redis, benchmark_key, info, load, run_load, start_time, write_rate

PROBE = (1, 1)  # clients and requests deep of the client that looks for stalls


class RedisRdb(Redis):
    """redis-server that keeps its data in an RDB only: the fastest start it has, and no durability."""

    def command(self, *args):
        return [*super().command(), "--appendonly", "no", *args]


def beside(work, probe):
    """Runs work() in a thread and probe() until it has ended; (what work gave, [what the probes gave])."""
    given, probes = [], []
    thread = threading.Thread(target=lambda: given.append(work()))
    thread.start()
    while thread.is_alive() or not probes:
        probes.append(probe())
    thread.join()
    if not given:
        raise RuntimeError("the work beside the probe failed")
    return given[0], probes


def worst(probes, index=4):
    return max(p[index] for p in probes)


def poll_info(server, field, value):
    while info(server, field) != value:
        time.sleep(0.02)


# ---- start


def drop_checkpoint(server):
    server.kill9()
    for name in os.listdir(server.data):
        if name.startswith("CHECKPOINT"):
            os.unlink(os.path.join(server.data, name))


def start_case(name, kind, n, value):
    server = kind().start()
    load(server, n, value)
    found = {"server": name, "keys": n}
    if name == "kvd":
        server.stop(seconds=300)
        found["from_checkpoint_seconds"] = start_time(server, n)
        drop_checkpoint(server)
        found["without_checkpoint_seconds"] = start_time(server, n)
    elif name == "redis":
        server.stop(seconds=300)
        found["from_aof_seconds"] = start_time(server, n)
    else:
        server.client(timeout=600).must("SAVE")
        server.kill9()
        found["from_rdb_seconds"] = start_time(server, n)
    server.kill9()
    shutil.rmtree(server.dir)
    return found


def start(options, make):
    kinds = dict(make)
    if "redis" in make:
        kinds["redis RDB"] = lambda: make["redis"](kind=RedisRdb)
    print(f"\nstart with 16-byte keys and {options.value}-byte values, files cached")
    results = []
    for n in sorted({500000, *options.keys}):
        for name, kind in kinds.items():
            found = start_case(name, kind, n, options.value)
            print(f"{name + ' ' + format(n, ','):24}" + ", ".join(f"{k[:-8].replace('_', ' ')} {v:.2f} s" for k, v in found.items()
                  if k.endswith("_seconds")), flush=True)
            results.append(found)
    return results


# ---- merge


def fill_with_garbage(server, n, value):
    """n keys, of which seven tenths were written once more in no order: about half of the log is garbage."""
    load(server, n, value, benchmark_key)
    run_load(server, "set", 16, 64, n * 7 // 10, n, value)


def compact_kvd(server):
    before = info(server, "kvd_merge_written_bytes"), info(server, "kvd_merge_read_bytes")
    began = time.monotonic()
    server.client(timeout=600).must("KVD.COMPACT", "SYNC", "FORCE")
    return time.monotonic() - began, info(server, "kvd_merge_written_bytes") - before[0], info(server, "kvd_merge_read_bytes") - before[1]


def rewrite_redis(server):
    server.client().must("CONFIG", "SET", "auto-aof-rewrite-percentage", 0)
    poll_info(server, "aof_rewrite_in_progress", 0)
    began = time.monotonic()
    server.client(timeout=600).must("BGREWRITEAOF")
    poll_info(server, "aof_rewrite_in_progress", 0)
    return time.monotonic() - began, info(server, "aof_base_size"), 0


def merge_speed(name, server, compact, n):
    seconds, written, read = compact(server)
    disk = write_rate(server.data, max(int(written), 1 << 20))
    print(f"{name:8}{n:,} keys rewritten in {seconds:.2f} s: {n / seconds:,.0f} keys/s, {written / seconds / 1e6:,.0f} MB/s written, "
          f"{read / seconds / 1e6:,.0f} MB/s read; this disk takes {disk / 1e6:,.0f} MB/s in order", flush=True)
    return {"server": name, "keys": n, "seconds": seconds, "keys_per_second": n / seconds, "written_bytes": written, "read_bytes": read,
            "disk_bytes_per_second": disk}


def percentiles(probes):
    """Medians over the probes of p50, p99, p99.9, and the worst of all."""
    middle = sorted(probes, key=lambda p: p[3])[len(probes) // 2]
    return (*middle[1:4], worst(probes))


def merge_latency(name, server, compact, label, n, value):
    results = []
    for test in ("get", "set"):
        count = 3000 if test == "set" else 10000

        def probe(test=test, count=count):
            return run_load(server, test, *PROBE, count, n, value)

        alone = percentiles([probe() for _ in range(5)])
        _, probes = beside(lambda: compact(server), probe)
        during = percentiles(probes)
        print(f"{name:8}{label:22}{test.upper():5}" + "".join(f"{a:9.3f}{d:9.3f}" for a, d in zip(alone, during))
              + f"{during[2] / alone[2]:8.1f}", flush=True)
        results.append({"server": name, "merge": label, "test": test, "alone_ms": alone, "during_ms": during})
    return results


def merge(options, make):
    n, results = options.merge_keys, {"speed": [], "latency": []}
    how = {"kvd": compact_kvd, "redis": rewrite_redis}
    servers = {name: kind(**({"compact_rate": 0, "compact_garbage_ratio": 0} if name == "kvd" else {})).start() for name, kind in make.items()}
    print(f"\nmerge: 16-byte keys, {options.value}-byte values, half of the log garbage; synced")
    for name, server in servers.items():
        fill_with_garbage(server, n, options.value)
        results["speed"].append(merge_speed(name, server, how[name], n))
    print(f"\none client, one request deep, alone and during a merge\n{'':35}"
          + "".join(f"{t:>18}" for t in ("p50 ms", "p99 ms", "p99.9 ms", "worst ms")) + f"{'p99.9 x':>8}")
    for name, server in servers.items():
        labels = (("no limit", 0), ("64 MB/s (default)", 64 << 20)) if name == "kvd" else (("BGREWRITEAOF", None),)
        for label, rate in labels:
            if rate is not None:
                server.client().must("CONFIG", "SET", "compact-rate", rate)
            results["latency"] += merge_latency(name, server, how[name], label, n, options.value)
    for server in servers.values():
        server.kill9()
    return results


# ---- snapshot


def snapshot_kvd(server):
    began = time.monotonic()
    server.client(timeout=600).must("KVD.BACKUP", "bench", "SYNC")
    return time.monotonic() - began


def snapshot_redis(server):
    began = time.monotonic()
    server.client(timeout=600).must("BGSAVE")
    poll_info(server, "rdb_bgsave_in_progress", 0)
    return time.monotonic() - began


def snapshot(options, make):
    results = []
    print(f"\nsnapshot, {options.value}-byte values; the worst GET of one client one deep, alone and meanwhile")
    for n in options.keys:
        for name, kind in make.items():
            server = kind().start()
            load(server, n, options.value, benchmark_key)

            def probe(server=server, n=n):
                return run_load(server, "get", *PROBE, 5000, n, options.value)

            alone = worst([probe() for _ in range(5)])
            seconds, probes = beside(lambda: (snapshot_kvd if name == "kvd" else snapshot_redis)(server), probe)
            print(f"{name + ' ' + format(n, ','):20} made in {seconds:8.3f} s; worst GET {alone:8.3f} ms alone, {worst(probes):8.3f} ms meanwhile",
                  flush=True)
            results.append({"server": name, "keys": n, "seconds": seconds, "worst_alone_ms": alone, "worst_ms": worst(probes)})
            server.kill9()
            shutil.rmtree(server.dir)
    return results


# ---- cold reads


def drop_pages(server, stop):
    """Keeps the segments out of the page cache, as a data set many times the memory is."""
    while not stop.is_set():
        for name in os.listdir(server.data):
            if name.endswith(".seg"):
                fd = os.open(os.path.join(server.data, name), os.O_RDONLY)
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
                os.close(fd)
        stop.wait(0.02)


def cold(options, make):
    """
    1,000 keys in kvd's own cache; all others are read from the disk, eight clients at a time. Eight clients that read cached keys as fast as they
    can show what is owed to the number of processors.
    """
    n, hot, value = options.merge_keys // 8, 1000, 4096
    server = make["kvd"](cache_size="16M").start()
    print(f"\ncold reads: {n:,} keys of {value} bytes ({n * value >> 20} MiB), cache 16 MiB, page cache dropped all the time")
    load(server, n, value, benchmark_key)

    def probe():
        return run_load(server, "get", *PROBE, 20000, hot, value)

    stop = threading.Event()
    dropper = threading.Thread(target=drop_pages, args=(server, stop))
    dropper.start()
    try:
        probe()
        alone = percentiles([probe() for _ in range(3)])
        _, probes = beside(lambda: run_load(server, "get", 8, 1, 2 * n, hot, value), probe)
        control = percentiles(probes)
        before = info(server, "kvd_fetches")
        found, probes = beside(lambda: run_load(server, "get", 8, 1, n, n, value), probe)
        fetched = info(server, "kvd_fetches") - before
    finally:
        stop.set()
        dropper.join()
    during = percentiles(probes)
    print(f"cold GET {found[0]:,.0f}/s, p50 {found[1]:.3f} ms, p99 {found[2]:.3f} ms, p99.9 {found[3]:.3f} ms; {fetched:,.0f} values read from disk")
    print(f"hot GET of one client{'':14}" + "".join(f"{title:>11}" for title in ("p50 ms", "p99 ms", "p99.9 ms", "worst ms")))
    for name, found_ms in (("alone", alone), ("beside as many hot reads", control), ("beside the cold reads", during)):
        print(f"{name:35}" + "".join(f"{x:11.3f}" for x in found_ms), flush=True)
    server.kill9()
    return {"keys": n, "value_bytes": value, "cold": found, "fetches": fetched, "hot_alone_ms": alone, "hot_beside_hot_ms": control, "hot_beside_ms": during}


PARTS = {"start": start, "merge": merge, "snapshot": snapshot, "cold": cold}
