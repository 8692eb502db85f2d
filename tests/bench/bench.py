#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
kvd beside redis-server on this machine: the same durability (every reply is synced), Unix sockets, rounds interleaved in
the same minute, the median of the rounds. Prints a table for each part and writes all figures as JSON.

    make bench                              everything, about ten minutes
    make bench BENCH_ARGS="--only speed"    only that part; several with commas:
        speed     requests a second, 1 and 50 clients, 1 to 64 requests deep
        size      memory and disk per key, start and stop
        start     start without a checkpoint, beside redis-server reading its RDB and its AOF
        merge     bytes and keys a second of a merge, and what requests beside it notice
        snapshot  time of a snapshot, and what requests beside it notice
        cold      values read from disk, and what requests for cached ones notice
        scan      a hundred keys of all by their prefix
        large     large values in and out, and how long a client beside them waits
    make bench BENCH_ARGS="--keys 1000000,10000000"
"""
import argparse
import csv
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from benchlib import DAEMON, Kvd, Redis, benchmark_key, disk, kvdtest, load, memory, run_load, start_time
import bench_large
import bench_scan
import bench_store

# ---- speed


def benchmark(server, test, clients, pipeline, n, options):
    """One run: (requests a second, p50 ms, p99 ms). tests/bench/load costs little itself; redis-benchmark takes a whole
    processor for about a million requests a second, so on a small machine it measures itself."""
    keys = options.random_keys
    if options.tool == "load":
        return run_load(server, test, clients, pipeline, n, keys)[:3]
    out = subprocess.run(["redis-benchmark", "-s", server.socket, "-t", test, "-d", "100", "-r", str(keys),
        "-c", str(clients),
        "-P", str(pipeline), "-n", str(n), "--csv"], capture_output=True, text=True, check=True).stdout
    rows = [row for row in csv.reader(out.splitlines()) if row and row[0].upper() == test.upper()]
    if not rows:
        raise RuntimeError(f"redis-benchmark said: {out}")
    row = rows[0]
    return min(float(row[1]), 5e6), float(row[4]), float(row[6])  # a run too short to time says "inf"


def speed_case(servers, test, clients, pipeline, options):
    """{name: (rate, p50, p99)}, the medians of interleaved rounds."""
    counts, runs = {}, {name: [] for name in servers}
    for name, server in servers.items():
        rate, _, _ = benchmark(server, test, clients, pipeline, max(1000, clients * pipeline * 4),
            options)
        rate, _, _ = benchmark(server, test, clients, pipeline, max(int(rate * 0.2), clients * pipeline * 2),
            options)
        counts[name] = max(int(rate * options.seconds), clients * pipeline * 4)
    for round_ in range(options.rounds):
        order = list(servers) if round_ % 2 == 0 else list(servers)[::-1]
        for name in order:
            runs[name].append(benchmark(servers[name], test, clients, pipeline, counts[name],
                options))
    return {name: tuple(statistics.median(r[i] for r in found) for i in range(3)) for name,
        found in runs.items()}


def speed(options, make):
    results = []
    servers = {name: kind().start() for name, kind in make.items()}
    print(f"\n{options.tool}: 100-byte values, {options.random_keys} random keys, every reply synced, {options.rounds} rounds of {options.seconds} s")
    print(f"{'':24}" + "".join(f"{name + ' /s':>14}{'p99 ms':>9}" for name in servers) + f"{'kvd/redis':>11}")
    for server in servers.values():
        load(server, options.random_keys, 100, benchmark_key)
    for test in ("set", "get"):
        for clients in options.clients:
            for pipeline in options.pipelines:
                found = speed_case(servers, test, clients, pipeline, options)
                ratio = found["kvd"][0] / found["redis"][0] if "redis" in found else None
                label = f"{test.upper()} {clients} clients, {pipeline} deep"
                print(f"{label:24}" + "".join(f"{found[n][0]:14,.0f}{found[n][2]:9.2f}" for n in servers)
                      + (f"{ratio:11.2f}" if ratio else ""), flush=True)
                results.append({"test": test, "clients": clients, "pipeline": pipeline, "ratio": ratio,
                                **{n: {"rate": v[0], "p50_ms": v[1], "p99_ms": v[2]} for n,
                                v in found.items()}})
    for server in servers.values():
        server.stop()
    return results


# ---- size


def size_case(kind, n, size):
    server = kind().start()
    rss, anon = memory(server)
    took = load(server, n, size)
    time.sleep(1)
    loaded_rss, loaded_anon = memory(server)
    result = {"keys": n, "value_bytes": size, "load_seconds": took, "rss_per_key": (loaded_rss - rss) / n,
              "anon_per_key": (loaded_anon - anon) / n, "disk_per_key": disk(server) / n}
    code, result["stop_seconds"] = server.stop(seconds=300)
    result["start_seconds"] = start_time(server, n)
    time.sleep(0.5)
    result["rss_per_key_after_start"] = (memory(server)[0] - rss) / n
    server.kill9()
    result["start_after_kill_seconds"] = start_time(server, n)
    server.kill9()
    shutil.rmtree(server.dir)
    return result


def size(options, make):
    results = []
    columns = [("load_seconds", "load s"), ("rss_per_key", "RSS B/key"), ("anon_per_key", "anon B/key"),
               ("rss_per_key_after_start", "restarted"), ("disk_per_key", "disk B/key"),
               ("stop_seconds", "stop s"),
               ("start_seconds", "start s"), ("start_after_kill_seconds", "after kill")]
    print(f"\n16-byte keys, {options.value}-byte values")
    print(f"{'':20}" + "".join(f"{title:>12}" for _, title in columns))
    for n in options.keys:
        for name, kind in make.items():
            found = size_case(kind, n, options.value)
            print(f"{name + ' ' + format(n, ','):20}" + "".join(f"{found[c]:12.2f}" for c, _ in columns),
                flush=True)
            results.append({"server": name, **found})
    return results


# ---- all


PARTS = {"speed": speed, "size": size, **bench_store.PARTS, **bench_scan.PARTS, **bench_large.PARTS}


def parts(text):
    names = text.split(",")
    for name in names:
        if name not in PARTS:
            raise argparse.ArgumentTypeError(f"there is no part {name}, only {', '.join(PARTS)}")
    return names


def numbers(text):
    return [int(x) for x in text.split(",")]


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--only", type=parts, default=list(PARTS), help="parts with commas: " + ", ".join(PARTS))
    p.add_argument("--tool", choices=("load", "redis-benchmark"), default="load", help="what makes the requests")
    p.add_argument("--seconds", type=float, default=2.0, help="about this long per run")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--clients", type=numbers, default=[1, 50])
    p.add_argument("--pipelines", type=numbers, default=[1, 16, 64])
    p.add_argument("--random-keys", type=int, default=1000000)
    p.add_argument("--keys", type=numbers, default=[1000000],
        help="sizes for memory and start, as 1000000,10000000")
    p.add_argument("--merge-keys", type=int, default=2000000, help="keys for merge, and for cold reads an eighth of them")
    p.add_argument("--value", type=int, default=100)
    p.add_argument("--large", type=numbers, default=[1, 16, 64, 256, 512], help="MiB of the large values")
    p.add_argument("--large-commands", type=numbers, default=[64, 512], help="MiB of the values that commands work on")
    p.add_argument("--no-redis", action="store_true")
    p.add_argument("--dir", default=os.environ.get("top_builddir", "."),
        help="a directory on the disk to measure")
    p.add_argument("--json", default=None, help="where the figures go; bench.json in --dir")
    return p.parse_args()


def machine():
    model = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo")
        if line.startswith("model name")), "?")
    return {"cpu": model, "processors": os.cpu_count(), "kernel": platform.release(),
        "date": time.strftime("%Y-%m-%dT%H:%M:%S%z")}


def main():
    options = arguments()
    if not os.access(DAEMON, os.X_OK):
        sys.exit(f"{DAEMON} is not built")
    if "speed" in options.only and options.tool == "redis-benchmark" and not shutil.which("redis-benchmark"):
        sys.exit("redis-benchmark is needed (redis-tools)")
    base = tempfile.mkdtemp(prefix="bench-", dir=options.dir)

    def maker(kind, name):
        def make(kind=kind, **more):
            return kind(tempfile.mkdtemp(prefix=name + "-", dir=base), **more)
        return make

    make = {"kvd": maker(Kvd, "kvd")}
    if shutil.which("redis-server") and not options.no_redis:
        make["redis"] = maker(Redis, "redis")
    figures = {"machine": machine()}
    print(", ".join(f"{k} {v}" for k, v in figures["machine"].items()))
    try:
        for part in options.only:
            figures[part] = PARTS[part](options, make)
    finally:
        kvdtest.clean_up(final=True)
        shutil.rmtree(base, ignore_errors=True)
    path = options.json or os.path.join(options.dir, "bench.json")
    with open(path, "w") as f:
        json.dump(figures, f, indent=1)
    print(f"\nfigures in {path}")


if __name__ == "__main__":
    main()
