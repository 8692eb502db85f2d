#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""kvctl import and export: every format there and back, numbers to go on with, other servers, progress on a terminal."""
import csv
import io
import json
import os
import re
import signal
import socket
import subprocess
import threading

from kvctltest import *
from kvctltest import kvd

csv.field_size_limit(1 << 30)
FORMATS = ("ndjson", "csv", "resp")


def contents(c):
    """All keys with value, and whether they expire."""
    return {k: (c("GET", k), c("PTTL", k) > 0) for k in c("KEYS", "*")}


def odd_data():
    random = rng("formats")
    data = {bytes(random.choice(b',"\r\n a\xff\0') for _ in range(random.randrange(12))):
        bytes(random.choice(b',"\r\n b\x80\0') for _ in range(random.randrange(40))) for _ in range(600)}
    data.update({b"": b"", ODD: ODD, b'"': b'""', b" a": b"b ", b",": b"\r", b"#": b"\n", b"big": ODD * 3000})
    return data


def fill(c, data, expiring=()):
    for k, v in data.items():
        c.must("SET", k, v)
    for k in expiring:
        c.must("PEXPIRE", k, 3600000)


def write(name, data):
    path = os.path.join(HOME, name)
    with open(path, "wb") as f:
        f.write(data)
    return path


def test_there_and_back():
    c = fresh()
    data = odd_data()
    for expiring in ((), (b"", ODD, b",")):
        c.must("FLUSHALL")
        fill(c, data, expiring)
        before = contents(c)
        for form in FORMATS:
            path = os.path.join(HOME, "copy." + form)
            check(["export", path], 0, b"", f"export to .{form}", f"exported {len(data)} keys")
            code, out, _ = kvctl("export", "--format", form)
            size = os.path.getsize(path)
            ok(code == 0 and abs(len(out) - size) <= 50, f"--format {form} is the same", len(out), size)
            c.must("FLUSHALL")
            noun = "requests" if form == "resp" else "keys"
            check(["import", path], 0, b"", f"import of .{form}", f"imported {len(data)} {noun}")
            is_(contents(c), before, f"{form}: everything is back, {len(expiring)} with an expiry")
            check(["import", "--format", form, "-q"], 0, b"", f"import of {form} from a pipe, again", stdin=out)
            is_(contents(c), before, "changes nothing")


def test_csv():
    c = fresh()
    fill(c, odd_data())
    rows = list(csv.reader(io.StringIO(kvctl("export", "-f", "csv")[1].decode("latin-1"), newline="")))
    is_({k.encode("latin-1"): v.encode("latin-1") for k, v, _ in rows}, odd_data(), "another reader of CSV reads the same")
    c.must("FLUSHALL")
    out = io.StringIO(newline="")
    csv.writer(out).writerows([k.decode("latin-1"), v.decode("latin-1")] for k, v in odd_data().items())
    check(["import", "-f", "csv"], 0, b"", "and its CR LF and two fields are read", "imported", stdin=out.getvalue().encode("latin-1"))
    is_({k: c("GET", k) for k in odd_data()}, odd_data(), "to the byte")
    c.must("FLUSHALL")
    c.must("SET", "a", "1")
    check(["export", "--format=csv", "--header"], 0, b"key,value,ttl_ms\na,1,\n", "--header", "exported 1 key$")
    check(["import", "--format=csv", "--header"], 0, b"", "is passed over", "imported 1 key$", stdin=b"key,value\nb,2\n")
    is_((c("EXISTS", "key"), c("GET", "b")), (0, b"2"), "and is no key")
    for line, why in ((b"x", "1 field"), (b"x,1,2,3", "4 fields"), (b'x,"y', "not closed"), (b'x,"y"z', "follows a closing quote"),
            (b'x,y"z', "does not begin with one"), (b"x,1,soon", "ttl_ms"), (b"x,1,0", "positive")):
        check(["import", "-f", "csv"], 1, b"", f"bad: {line.decode()}", f"line 3: .*{why}", stdin=b'a,"1\n"\n' + line + b"\n")
    check(["import", "-f", "csv", "--skip-bad"], 1, b"", "--skip-bad", "line 1: .*\n.*imported 1 key, skipped 1 bad line$",
        stdin=b"x\ny,2\n")
    check(["import", "--header"], 2, b"", "--header is for CSV", "for CSV")
    check(["export", "-f", "xml"], 2, b"", "an unknown format", "there are ndjson, csv and resp")


def test_requests():
    c = fresh()
    stream = (b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$3\r\n1\r\n\r\n\r\nSET b 2\r\n   \r\n*0\r\n*2\r\n$4\r\nINCR\r\n$1\r\nb\r\nSET c \"x y\"")
    check(["import", "-f", "resp"], 0, b"", "requests of any kind, inline too", "imported 4 requests$", stdin=stream)
    is_(c("MGET", "a", "b", "c"), [b"1\r\n", b"3", b"x y"], "are run")
    bad = b"".join(b"*2\r\n$4\r\nINCR\r\n$1\r\n%c\r\n" % k for k in b"nanan")
    check(["import", "-f", "resp", "--skip-bad"], 1, b"", "errors are numbered",
        r"request 2: ERR[^\n]*\n.*request 4: ERR[^\n]*\n.*imported 3 requests, skipped 2 bad requests$", stdin=bad)
    check(["import", "-f", "resp", "--start", "5"], 0, b"", "--start", "imported 1 request$", stdin=bad)
    is_(c("GET", "n"), b"4", "is the request to begin with")
    for cut in (b"*2\r\n$4\r\nINCR\r\n$1\r\n", b"*2\r\n$4\r\nIN", b"*2\r\n", b"*"):
        check(["import", "-f", "resp"], 1, b"", f"a stream that ends in {cut!r}", "request 2: the stream ends in the middle.*\n.*\n.*--start 2",
            stdin=b"PING\r\n" + cut)
    for line in (b"*x\r\n", b"*1\r\n:5\r\n", b"*1\r\n$-1\r\n", b"*1\r\n$" + b"1" * 50):
        check(["import", "-f", "resp"], 1, b"", f"no request: {line[:12]!r}", "request 2: no request", stdin=b"PING\r\n" + line)
    is_(c("GET", "n"), b"4", "none of them was run")
    big = b"*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n$5000000\r\n" + b"v" * 5000000 + b"\r\n"
    check(["import", "-f", "resp"], 0, b"", "a large value", "imported 1 request", stdin=big)
    is_(c("STRLEN", "big"), 5000000, "arrives")
    reads = b"GET big\r\n" * 60
    check(["import", "-f", "resp"], 0, b"", "replies are taken while requests are sent", "imported 60 requests", stdin=reads)
    check(["import", "-f", "resp", "--if-absent"], 2, b"", "--if-absent with requests", "NX")


def test_start():
    c = fresh()
    lines = [b'{"key":"k%d","value":"v"}' % i for i in range(10)]
    lines[4] = b"nonsense"
    text = b"\n".join(lines) + b"\n"
    check(["import"], 1, b"", "a failed import says where to go on", "line 5: .*\n.*\nkvctl: go on with --start 5$", stdin=text)
    check(["import", "--start", "6"], 0, b"", "--start goes on there", "imported 5 keys$", stdin=text)
    is_(c("DBSIZE"), 9, "with what is left")
    check(["import", "-f", "csv", "--start", "3"], 0, b"", "--start counts lines, not records", "imported 1 key$", stdin=b'a,"1\n"\nz,2\n')
    is_((c("EXISTS", "a"), c("GET", "z")), (0, b"2"), "so that the number of a message is the one to give")
    for n in ("0", "-1", "x"):
        check(["import", f"--start={n}"], 2, b"", f"--start {n}", "no number of a line")
    code, out, errors = kvctl("import", "--json", "--skip-bad", stdin=text)
    got = json.loads(out)
    ok(code == 1 and (got["imported"], got["bad"], got["failed"]) == (9, 1, 5), "a summary in JSON", out, errors)


def interrupt(form, lines, number, *args):
    """An import of endless lines that gets a signal after some; (exit code, output, errors)."""
    c = kvd.client()
    fifo = os.path.join(HOME, f"endless-{form}-{number}")
    os.mkfifo(fifo)
    p = subprocess.Popen([KVCTL, "import", "-f", form, *args, fifo], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENV,
        preexec_fn=default_signals)
    with open(fifo, "wb", buffering=0) as f:
        f.write(b"".join(lines[:len(lines) // 2]))
        ok(poll(lambda: c("DBSIZE") > 0), f"{form}: an import is under way")
        p.send_signal(number)
        out, errors = p.communicate(timeout=10 * PATIENCE)
    return p.returncode, out, re.sub(r" in [\d.]+ s \([\d.]+/s\)", "", errors.decode())  # said when it took long


def test_interrupted():
    """Who interrupts an import is told where to go on, and nothing is missing or was counted that is not there."""
    lines = {"ndjson": [b'{"key":"k%d","value":"v"}\n' % i for i in range(2000)], "resp": [b"SET k%d v\r\n" % i for i in range(2000)],
        "csv": [b"k%d,v\n" % i for i in range(2000)]}
    for form, number in (("ndjson", signal.SIGINT), ("csv", signal.SIGTERM), ("resp", signal.SIGINT)):
        c = fresh()
        code, out, errors = interrupt(form, lines[form], number)
        stored = c("DBSIZE")
        noun = "requests" if form == "resp" else "keys"
        is_((code, out, errors), (-number, b"", f"kvctl: imported {stored} {noun}, interrupted\nkvctl: go on with --start {stored + 1}\n"),
            f"{form}: it says what was stored, and ends by the signal")
        check(["import", "-q", "-f", form, "--start", str(stored + 1)], 0, b"", "it goes on there", stdin=b"".join(lines[form]))
        is_(c("DBSIZE"), 2000, "to the end")
    c = fresh()
    code, out, errors = interrupt("ndjson", lines["ndjson"], signal.SIGTERM, "--json")
    got = json.loads(out)
    ok(got["interrupted"] and got["imported"] == c("DBSIZE") and got["failed"] == got["imported"] + 1 and not errors, "the same in JSON", out, errors)


def test_lost_connection():
    """A daemon that goes away after some replies: what is known to be stored is said, and where to go on."""
    path = os.path.join(HOME, "short.sock")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()

    def serve():
        s, _ = listener.accept()
        with s:
            seen = b""
            while seen.count(b"SET") < 10:
                seen += s.recv(65536)
            s.sendall(b"+OK\r\n" * 7)
            s.shutdown(socket.SHUT_WR)
            while s.recv(65536):
                pass

    for form in ("ndjson", "resp"):
        t = threading.Thread(target=serve, daemon=True)
        t.start()
        line = b'{"key":"k","value":"v"}\n' if form == "ndjson" else b"SET k v\r\n"
        code, out, errors = kvctl("-s", path, "import", "-f", form, stdin=line * 10)
        ok(code == 3 and "imported 7 " in errors and errors.endswith("go on with --start 8\n"), f"{form}: a connection that is lost", errors)
        t.join(5 * PATIENCE)
    listener.close()


class Redis:
    def __init__(self):
        self.dir = temp_dir()
        self.socket = os.path.join(self.dir, "redis.sock")
        self.process = subprocess.Popen([need("redis-server"), "--port", "0", "--unixsocket", self.socket, "--save", "", "--appendonly", "no",
            "--dir", self.dir, "--requirepass", "secret"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        poll(self.answers, 10)

    def answers(self):
        """The socket is there before anybody listens."""
        with socket.socket(socket.AF_UNIX) as s:
            return s.connect_ex(self.socket) == 0

    def stop(self):
        self.process.kill()
        self.process.wait()


def test_from_redis():
    c = fresh()
    redis = Redis()
    try:
        r = Client(redis.socket)
        r.must("AUTH", "secret")
        data = odd_data()
        fill(r, data, (b"", ODD))
        r.must("RPUSH", "list", "x")
        r.must("RPUSH", "list2", "x")
        r.must("SADD", "set\n", "x")
        env = {"REDISCLI_AUTH": "secret"}
        check(["import", "--from-redis", redis.socket], 1, b"", "a password is wanted", "NOAUTH")
        check(["import", "--from-redis", redis.socket], 0, b"", "import --from-redis",
            rf"imported {len(data)} keys\n.*left out 3 keys that are no strings \((2 list, 1 set|1 set, 2 list)\): .*list2", env=env)
        is_(contents(c), {k: (v, k in (b"", ODD)) for k, v in data.items()}, "copies strings with their expiry")
        check(["import", "--from-redis", redis.socket, "--if-absent"], 0, b"", "again, with --if-absent", f"left {len(data)} as found", env=env)
        r.must("SELECT", "3")
        r.must("SET", "three", "3")
        check(["import", "--from-redis", redis.socket, "--from-database=3", "-n", "2", "-q"], 0, b"", "from and into another database", env=env)
        c.must("SELECT", 2)
        is_(contents(c), {b"three": (b"3", False)}, "which alone is copied")
        r.close()
    finally:
        redis.stop()
    check(["import", "--from-redis", redis.socket], 3, b"", "no server", "cannot connect to .*redis.sock")
    check(["import", "--from-redis", "localhost:99999"], 2, b"", "a bad port", "ports are 1 to 65535")
    check(["import", "--from-redis", "127.0.0.1:1"], 3, b"", "no server at that port", "cannot connect to 127.0.0.1:1")
    check(["import", "--from-redis", kvd.socket, "x"], 2, b"", "a file besides", "excludes FILE")
    c.must("SELECT", 0)
    check(["import", "--from-redis", kvd.socket, "-n", "5"], 0, b"", "another kvd will do as well", "imported")


def test_damaged_and_large():
    """Values whose page would be larger than a reply may be."""
    small = Kvd(client_output_limit="8M", max_value_size="4M")
    small.start()
    c = small.client()
    for i in range(12):
        c.must("SET", f"k{i:02}", bytes([65 + i]) * 2000000)
    for step in ("without", "with"):
        code, out, errors = kvctl("-s", small.socket, "export")
        rows = [json.loads(line) for line in out.splitlines()]
        ok(code == 0 and [(r["key"], len(r["value"])) for r in rows] == [(f"k{i:02}", 2000000) for i in range(12)],
            f"large values are exported, {step} expiring ones among them", code, len(rows), errors)
        c.must("EXPIRE", "k05", 1000)
    small.kill9()


def test_progress():
    c = fresh()
    for i in range(0, 30000, 1000):
        c.must("MSET", *[x for j in range(i, i + 1000) for x in (f"key{j:06}", "v" * 100)])
    path = os.path.join(HOME, "progress.ndjson")
    check(["export", path, "-q"], 0, b"", "export -q")
    fifo = os.path.join(HOME, "fifo")
    os.mkfifo(fifo)
    t = Terminal("import", fifo, env={"TERM": "xterm"})
    with open(fifo, "wb", buffering=0) as f:
        line = b'{"key":"%06d","value":"v"}\n'
        n = [0]

        def feed():
            for _ in range(2000):
                f.write(line % n[0])
                n[0] += 1
            return t.expect(b"importing ", 0.05 / PATIENCE)

        ok(poll(feed, 20), "a bar on a terminal", t.seen)
        f.write(b"nonsense\n")
    code, rest = t.finish()
    ok(code == 1 and b"\r\x1b[K" in rest and b"not JSON" in rest and rest.rstrip().endswith(b"--start %d" % (n[0] + 1)),
        "it is wiped before messages and at the end", code, rest)
    for args, env, why in ((["import", "-q"], {"TERM": "xterm"}, "--quiet"), (["import"], {"TERM": "dumb"}, "a dumb terminal")):
        t = Terminal(*args, path, env=env)
        code, out = t.finish(20)
        ok(code == 0 and b"importing" not in out, f"no bar with {why}", out)
    code, _, errors = kvctl("import", path, env={"TERM": "xterm"})
    ok(code == 0 and "importing" not in errors and "\x1b" not in errors, "none in a pipe", errors)


run(test_there_and_back, test_csv, test_requests, test_start, test_interrupted, test_lost_connection, test_from_redis, test_damaged_and_large, test_progress)
