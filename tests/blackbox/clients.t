#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Existing clients, unchanged: redis-cli, redis-benchmark, socat, hiredis, python3-redis, Django, node's redis and ioredis, PHP. Each is skipped where
it is not here; packaging/setup-deps --ci installs what is missing.
"""
import json
import os
import shutil
import subprocess
import sys

from kvdtest import *

kvd = Kvd()
start = kvd.fresh


def sh(*command, text=None, seconds=60):
    result = subprocess.run(command, input=text, capture_output=True, text=True, timeout=seconds * PATIENCE)
    return result.stdout, result.stderr, result.returncode


def cli(*args, text=None):
    out, err, code = sh(need("redis-cli"), "-s", kvd.socket, *args, text=text)
    return out if not err else out + "stderr: " + err


def relay(name, out, err, code):
    """Takes over the checks of a program that prints TAP."""
    lines = [x for x in out.split("\n") if x.startswith(("ok ", "not ok "))]
    for line in lines:
        good, _, rest = line.partition(" - ")
        if "# SKIP" in rest:
            skip(f"{name}: {rest.partition(' # SKIP ')[0]}", rest.partition(" # SKIP ")[2])
        else:
            ok(good.startswith("ok"), f"{name}: {rest}")
    ok(code == 0 and len(lines) > 3, f"{name} ran to its end", f"exit code {code}", out, err)


def watch_with_cli():
    """What redis-cli MONITOR prints of one request."""
    watcher = subprocess.Popen([need("redis-cli"), "-s", kvd.socket, "MONITOR"], stdout=subprocess.PIPE, text=True)
    try:
        out = watcher.stdout.readline()
        kvd.client().must("SET", "watched", "1")
        return out + watcher.stdout.readline()
    finally:
        watcher.kill()
        watcher.wait()


def test_redis_cli():
    start()
    for proto in ([], ["-3"]):
        name = "redis-cli " + " ".join(proto)
        is_(cli(*proto, "SET", "k", "v"), "OK\n", f"{name}: SET")
        is_(cli(*proto, "GET", "k"), "v\n", f"{name}: GET")
        is_(cli(*proto, "GET", "none"), "\n", f"{name}: nil")
        is_(cli(*proto, "--no-raw", "GET", "none"), "(nil)\n", f"{name}: nil in words")
        is_(cli(*proto, "--no-raw", "INCR", f"n{proto}"), "(integer) 1\n", f"{name}: integer")
        ok("redis_version:7.2.4" in cli(*proto, "INFO"), f"{name}: INFO")
        ok("ERR unknown command" in cli(*proto, "NOSUCH"), f"{name}: errors are shown")
        is_(cli(*proto, "CONFIG", "GET", "databases").split(), ["databases", "16"], f"{name}: CONFIG GET")
    is_(cli("-n", "5", "SET", "k", "five") + cli("-n", "5", "GET", "k") + cli("GET", "k"), "OK\nfive\nv\n",
        "redis-cli -n")
    session = "SET s 1\nINCR s\nMULTI\nINCR s\nGET s\nEXEC\nKEYS s\nECHO \"a b\\x41\"\nSELECT 3\nGET s\n"
    out = cli(text=session)
    is_(out.split(), "OK 2 OK QUEUED QUEUED 3 3 s a bA OK".split(), "redis-cli with a script of commands")
    out = cli("--scan", "--pattern", "*")
    is_(sorted(out.split()), sorted(key.decode() for key in kvd.client()("KEYS", "*")), "redis-cli --scan")
    out = cli("--pipe", text="".join(f"SET pipe{i} {i}\r\n" for i in range(1000)))
    ok("errors: 0, replies: 1000" in out, "redis-cli --pipe", out)
    is_(cli("GET", "pipe999"), "999\n", "redis-cli --pipe: what was sent is there")
    out = cli("--bigkeys")
    ok("Biggest string found" in out, "redis-cli --bigkeys", out[-300:])
    out = cli("--memkeys")
    ok("Biggest string found" in out and "bytes" in out, "redis-cli --memkeys", out[-300:])
    out = watch_with_cli()
    ok('"SET" "watched" "1"' in out, "redis-cli MONITOR", out)
    out = cli("-x", "SET", "stdin", text="from stdin")
    is_(cli("GET", "stdin"), "from stdin\n", "redis-cli -x")


def test_redis_benchmark():
    start()
    program = need("redis-benchmark")
    n = "200000" if LONG else "20000" if not SANITIZED else "5000"
    for extra in ([], ["-3"]):
        out, err, code = sh(program, "-s", kvd.socket, "-q", "-t", "set,get,incr,mset", "-P", "16", "-c",
            "50", "-n", n, "-r", "10000", *extra)
        tests = [line for line in out.replace("\r", "\n").split("\n") if "requests per second" in line]
        ok(code == 0 and len(tests) == 4, f"redis-benchmark {' '.join(extra)} runs its four tests",
            out[-500:], err)
        ok("rror" not in err.replace("WARNING", ""), "without errors", err)
        for line in tests:
            diag(line.strip()[:90])
    ok(kvd.client()("DBSIZE") > 1000, "and leaves its keys")


def test_socat():
    start()
    program = need("socat")
    out, err, code = sh(program, "-t", "60", "-", "UNIX:" + kvd.socket,
        text="SET name kvd\r\nGET name\r\nPING\n")
    is_(out, "+OK\n$3\nkvd\n+PONG\n", "by hand with socat: replies survive the half close")


def test_hiredis():
    start()
    program = os.path.join(TOP, "tests", "blackbox", "hiredis_client")
    if not os.access(program, os.X_OK):
        raise Skip("hiredis_client is not built")
    relay("hiredis", *sh(program, kvd.socket))


def test_redis_py():
    start()
    here = os.path.dirname(os.path.abspath(__file__))
    for python in (sys.executable, "/usr/bin/python3"):
        if shutil.which(python) and sh(python, "-c", "import redis")[2] == 0:
            relay("python3-redis", *sh(python, os.path.join(here, "with_redis_py.py"), kvd.socket))
            return
    raise Skip("python3-redis is not here")


def test_django():
    start()
    here = os.path.dirname(os.path.abspath(__file__))
    found = 0
    for backend, module in (("django.core.cache.backends.redis.RedisCache", "django.core.cache.backends.redis"),
        ("django_redis.cache.RedisCache", "django_redis")):
        for python in (os.environ.get("KVD_TEST_PYTHON", ""), sys.executable, "/usr/bin/python3"):
            if shutil.which(python) and sh(python, "-c", f"import redis, {module}")[2] == 0:
                relay(module, *sh(python, os.path.join(here, "with_django.py"), kvd.socket, backend))
                found += 1
                break
    if not found:
        raise Skip("neither Django 4 nor django-redis is here")


def run_node(module, protocols):
    """protocols: 0 for what the client takes by itself. The node modules of Debian, and of setup-deps, are looked at, too."""
    start()
    here = os.path.dirname(os.path.abspath(__file__))
    node = need("node")
    for where in (os.path.join(SOURCE, "build-node", "node_modules"), "/usr/share/nodejs"):
        package = os.path.join(where, module, "package.json")
        if os.path.exists(package):
            break
    else:
        raise Skip(f"the node module {module} is not here")
    with open(package) as f:
        version = json.load(f)["version"]
    os.environ["NODE_PATH"] = where
    for proto in protocols:
        if proto != 3 or int(version.split(".")[0]) >= 5:
            relay(f"node {module} {version.split('.')[0]}" + (f", RESP{proto}" if proto else ""),
                *sh(node, os.path.join(here, "with_node.js"), kvd.socket, module, str(proto)))


def test_node_redis():
    run_node("redis", (0, 3))


def test_ioredis():
    run_node("ioredis", (0,))


def test_php():
    start()
    here = os.path.dirname(os.path.abspath(__file__))
    php = need("php")
    if "redis" not in sh(php, "-m")[0].split():
        raise Skip("php-redis is not here")
    relay("php", *sh(php, os.path.join(here, "with_php.php"), kvd.socket))


run(test_redis_cli, test_redis_benchmark, test_socat, test_hiredis, test_redis_py, test_django, test_node_redis, test_ioredis, test_php)
