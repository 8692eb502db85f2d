#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The line protocol: RESP2, RESP3 and inline lines in any chunking, malformed input, limits, half close."""
from kvdtest import *

kvd = Kvd(max_value_size="2M")
fresh = kvd.fresh


def test_resp2_types():
    c = fresh()
    for sent, expected, name in [
        (("SET", "k", "v"), b"+OK\r\n", "status"),
        (("GET", "k"), b"$1\r\nv\r\n", "bulk string"),
        (("GET", "none"), b"$-1\r\n", "nil"),
        (("SET", "e", ""), b"+OK\r\n", "an empty value is taken"),
        (("GET", "e"), b"$0\r\n\r\n", "an empty value is not nil"),
        (("DEL", "k"), b":1\r\n", "integer"),
        (("MGET", "e", "none"), b"*2\r\n$0\r\n\r\n$-1\r\n", "array with nil"),
        (("KEYS", "zz*"), b"*0\r\n", "empty array"),
        (("PING",), b"+PONG\r\n", "PING"),
        (("PING", "hello"), b"$5\r\nhello\r\n", "PING with an argument"),
        (("ECHO", "a\r\nb"), b"$4\r\na\r\nb\r\n", "ECHO keeps CR LF"),
        (("EXEC",), None, "EXEC without MULTI is an error"),
    ]:
        if expected is None:
            ok(isinstance(c(*sent), Error), "RESP2: " + name)
        else:
            is_(c.raw(request(*sent), len(expected)), expected, "RESP2: " + name)
    is_(c.raw(request("WATCH", "w"), 5), b"+OK\r\n", "RESP2: WATCH")
    with kvd.client() as other:
        other.must("SET", "w", "1")
    c.must("MULTI")
    c.must("SET", "x", "1")
    is_(c.raw(request("EXEC"), 5), b"*-1\r\n", "RESP2: a lost EXEC is the null array")


def test_resp3_types():
    c = fresh()
    hello = c.must("HELLO", "3")
    ok(isinstance(hello, dict), "HELLO 3 answers a map")
    is_(hello.get(b"server"), b"kvd", "HELLO names the server")
    is_(hello.get(b"proto"), 3, "HELLO says protocol 3")
    is_((hello.get(b"mode"), hello.get(b"role"), hello.get(b"modules")), (b"standalone", b"master", []),
        "HELLO says mode, role, modules")
    ok(isinstance(hello.get(b"id"), int) and hello[b"id"] > 0, "HELLO gives the client id")
    is_(hello.get(b"version"), b"7.2.4", "HELLO says whose behaviour is matched")
    is_(c.raw(request("GET", "none"), 3), b"_\r\n", "RESP3: nil is _")
    config = c("CONFIG", "GET", "databases")
    is_(config, {b"databases": b"16"}, "RESP3: CONFIG GET is a map")
    info = c("INFO", "server")
    ok(isinstance(info, Verbatim) and info.form == b"txt", "RESP3: INFO is verbatim text")
    ok(b"redis_version:7.2.4\r\n" in info and b"kvd_version:" in info and b"server_name:kvd" in info,
       "INFO server names both versions")
    docs = c("COMMAND", "DOCS", "get")
    ok(isinstance(docs, dict) and isinstance(docs.get(b"get"), dict) and b"summary" in docs[b"get"],
       "RESP3: COMMAND DOCS is a map of maps", repr(docs)[:200])
    c.must("SET", "w", "0")
    c.must("WATCH", "w")
    with kvd.client() as other:
        other.must("SET", "w", "1")
    c.must("MULTI")
    c.must("PING")
    is_(c.raw(request("EXEC"), 3), b"_\r\n", "RESP3: a lost EXEC is _")
    back = c.must("HELLO", "2")
    ok(isinstance(back, list) and len(back) % 2 == 0, "HELLO 2 goes back and answers a flat array")
    is_(c.raw(request("GET", "none"), 5), b"$-1\r\n", "after HELLO 2 nil is $-1 again")
    reply = c("HELLO", "4")
    ok(isinstance(reply, Error) and reply.kind == "NOPROTO", "HELLO 4 is NOPROTO", repr(reply))
    is_(c("PING"), b"PONG", "and the connection lives")


def test_inline():
    c = fresh()
    for line, reply, name in [
        (b"PING\r\n", b"PONG", "CR LF"),
        (b"PING\n", b"PONG", "LF alone"),
        (b"  ping  \r\n", b"PONG", "blanks around, lower case"),
        (b"\r\n\r\n\nPING\r\n", b"PONG", "empty lines are ignored"),
        (b"ECHO \"a b\"\r\n", b"a b", "double quotes"),
        (b"ECHO 'a b'\r\n", b"a b", "single quotes"),
        (b"ECHO \"\\n\\r\\t\\b\\a\\\\\\\"\\x41\\xff\"\r\n", b"\n\r\t\b\a\\\"A\xff",
        "escapes in double quotes"),
        (b"ECHO 'it\\'s\\n'\r\n", b"it's\\n", "single quotes know only \\'"),
        (b"ECHO \"\"\r\n", b"", "an empty argument"),
        (b"SET\tk  v\r\n", OK, "several blanks and tabs separate"),
        (b"GET k\r\n", b"v", "what was set inline"),
    ]:
        c.send(line)
        is_(c.read(), reply, "inline: " + name)
    c.send(b"PING\r\n" + request("ECHO", "framed") + b"ECHO inline\n" + request("PING"))
    is_([c.read() for _ in range(4)], [b"PONG", b"framed", b"inline", b"PONG"], "inline and framed alternate")
    for bad in (b'ECHO "abc\r\n', b"ECHO 'abc\r\n", b'ECHO "a"b\r\n'):
        with kvd.client() as x:
            x.send(bad)
            reply = x.rest()
            ok(reply.startswith(b"-ERR Protocol error: ") and b"quotes" in reply,
               f"unbalanced quotes end the connection: {bad!r}", repr(reply))


def test_inline_64k():
    c = fresh()
    head = b"SET big "
    value = b"x" * (65536 - len(head) - 2)
    c.send(head + value + b"\r\n")
    is_(c.read(), OK, "a line of 64 KiB with its end is taken")
    is_(c("STRLEN", "big"), len(value), "whole")
    with kvd.client() as x:
        try:
            x.send(b"SET big " + b"y" * 70000)
        except BrokenPipeError:
            pass
        reply = x.rest()
        ok(reply.startswith(b"-ERR Protocol error: "), "a longer one is a protocol error and closes",
            repr(reply[:80]))
    is_(c("STRLEN", "big"), len(value), "and changes nothing")


def make_stream(random, n):
    """Requests of all kinds and the replies they must get, in order."""
    parts, replies, model = [], [], {}
    for _ in range(n):
        key = b"k%d" % random.randrange(20)
        kind = random.randrange(6)
        if kind == 0:
            value = bytes(random.randrange(256) for _ in range(random.choice((0, 1, 7, 100, 900))))
            parts.append(request("SET", key, value))
            model[key] = value
            replies.append(OK)
        elif kind == 1:
            parts.append(request("GET", key))
            replies.append(model.get(key))
        elif kind == 2:
            parts.append(b"GET " + key + random.choice((b"\r\n", b"\n")))
            replies.append(model.get(key))
        elif kind == 3:
            parts.append(request("DEL", key))
            replies.append(1 if model.pop(key, None) is not None else 0)
        elif kind == 4:
            parts.append(b"\r\n*0\r\n" + request("MGET", key, "none"))
            replies.append([model.get(key), None])
        else:
            parts.append(request("ECHO", b"*1\r\n$4\r\nPING\r\n"))
            replies.append(b"*1\r\n$4\r\nPING\r\n")
    return b"".join(parts), replies


def test_chunking():
    random = rng("chunks")
    for round_ in range(20 if LONG else 5):
        c = fresh()
        stream, replies = make_stream(random, 120)
        at = 0
        while at < len(stream):
            step = random.choice((1, 2, 3, 5, 17, 100, 1400, 5000))
            c.send(stream[at:at + step])
            at += step
        got = [c.read() for _ in replies]
        wrong = next((i for i, (g, w) in enumerate(zip(got, replies)) if g != w), None)
        ok(wrong is None, f"a pipeline cut at random places, round {round_}", f"first difference at {wrong}")
    c = fresh()
    stream, replies = make_stream(random, 12)
    for i in range(len(stream)):
        c.send(stream[i:i + 1])
    is_([c.read() for _ in replies], replies, "one byte at a time")


def test_deep_pipeline():
    c = fresh()
    n = 20000
    c.sock.settimeout(30 * PATIENCE)
    import threading
    data = b"".join(request("SET", b"p%d" % (i % 100), i) + request("GET", b"p%d" % (i % 100))
        for i in range(n))
    writer = threading.Thread(target=c.send, args=(data,))
    writer.start()
    wrong = 0
    for i in range(n):
        wrong += c.read() != OK
        wrong += c.read() != str(i).encode()
    writer.join()
    is_(wrong, 0, f"{2 * n} requests in one pipeline, each reply right and in order")


MALFORMED = [
    (b"*abc\r\n", "a count that is no number"),
    (b"*-5\r\nPING\r\n", None),
    (b"*99999999999999999999\r\n", "a count beyond 64 bits"),
    (b"*2147483648\r\n", "a count beyond 2^31-1"),
    (b"*3000000\r\n", "a count beyond the limit of arguments"),
    (b"*1\r\n:4\r\nPING\r\n", "':' where '$' is expected"),
    (b"*1\r\nPING\r\n", "no '$'"),
    (b"*1\r\n$abc\r\n", "a length that is no number"),
    (b"*1\r\n$-1\r\n", "length -1"),
    (b"*1\r\n$-5\r\n", "a negative length"),
    (b"*1\r\n$99999999999999999999\r\n", "a length beyond 64 bits"),
    (b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$600000000\r\n", "a value above 512 MiB"),
    (b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2097153\r\n", "a value above the limit set"),
    (b"*" + b"1" * 70000, "a header line without end"),
    (b"*1\r\n$" + b"1" * 70000, "a length line without end"),
]


def test_malformed():
    c = fresh()
    c.must("SET", "k", "untouched")
    for data, name in MALFORMED:
        if name is None:
            continue
        with kvd.client() as x:
            try:
                x.send(data)
            except (BrokenPipeError, ConnectionResetError):
                pass
            try:
                reply = x.rest(5)
            except TimeoutError:
                ok(False, f"{name}: closes")
                continue
            ok(reply.startswith(b"-ERR Protocol error: ") and reply.endswith(b"\r\n")
                and reply.count(b"\r\n") == 1,
               f"{name}: one protocol error, then the end", repr(reply[:120]))
    with kvd.client() as x:
        x.send(request("SET", "before", "1") + b"*1\r\n!bad\r\n" + request("SET", "after", "1"))
        ok(x.rest().startswith(b"+OK\r\n-ERR Protocol error"), "requests before the bad one are answered")
    is_(c("MGET", "k", "before", "after"), [b"untouched", b"1", None],
        "what follows a protocol error is not run")


def test_binary():
    c = fresh()
    everything = bytes(range(256))
    key = b"\0key\r\n $*\xff " + everything
    is_(c("SET", key, everything * 3), OK, "a key and a value of all bytes")
    is_(c("GET", key), everything * 3, "come back the same")
    is_(c("KEYS", "*"), [key], "and the key is listed whole")
    is_(c("SET", b"a\0b", "1"), OK, "a key with NUL")
    is_(c("EXISTS", b"a", b"a\0c", b"a\0b"), 1, "is not cut at the NUL")
    is_(c("SET", "", "empty"), OK, "the empty key is a key")
    is_(c("GET", ""), b"empty", "and is found")


def test_limits():
    c = fresh()
    is_(c("SET", b"k" * 65536, "v"), OK, "a key of 64 KiB")
    is_(c("GET", b"k" * 65536), b"v", "is found")
    reply = c("SET", b"k" * 65537, "v")
    ok(isinstance(reply, Error) and reply.kind == "ERR", "a longer key is an error", repr(reply))
    is_(c("PING"), b"PONG", "and the connection lives")
    value = rng("value").randbytes(2 << 20)
    is_(c("SET", "v", value), OK, "a value of exactly max-value-size")
    ok(c("GET", "v") == value, "comes back whole")
    for command in (("APPEND", "v", "x"), ("SETRANGE", "v", 2 << 20, "x")):
        ok(isinstance(c(*command), Error), f"{command[0]} cannot go beyond max-value-size")
    ok(c("STRLEN", "v") == 2 << 20, "and left the value as it was")
    many = [f"m{i}" for i in range(100000)]
    is_(c("EXISTS", *many), 0, "100000 arguments in one request")


def test_commands():
    c = fresh()
    reply = c("NOSUCH", "a", "b")
    ok(isinstance(reply, Error) and reply.text.startswith("ERR unknown command"), "unknown command",
        repr(reply))
    for out in ("LPUSH", "HSET", "SADD", "ZADD", "XADD", "EVAL", "CLUSTER", "REPLICAOF", "SORT"):
        reply = c(out, "a", "b", "c")
        ok(isinstance(reply, Error) and reply.text.startswith("ERR unknown command") or out == "EVAL",
           f"{out} is an unknown command", repr(reply))
    is_(c("GET"), Error("ERR wrong number of arguments for 'get' command"), "too few arguments")
    is_(c("get", "a", "b"), Error("ERR wrong number of arguments for 'get' command"), "too many arguments")
    ok(isinstance(c("CLIENT", "NOSUCH"), Error), "an unknown subcommand")
    c.must("SET", "s", "abc")
    is_(c("INCR", "s"), Error("ERR value is not an integer or out of range"), "INCR of text")
    is_(c("SET", "s", "v", "BOGUS"), Error("ERR syntax error"), "SET with a bad option")
    is_(c("SET", "s", "v", "EX", "0"), Error("ERR invalid expire time in 'set' command"), "SET EX 0")
    is_(c("SELECT", "16"), Error("ERR DB index is out of range"), "SELECT beyond the last database")
    is_(c("RENAME", "none", "x"), Error("ERR no such key"), "RENAME of nothing")
    c.must("SET", "n", str(2**63 - 1))
    is_(c("INCR", "n"), Error("ERR increment or decrement would overflow"), "INCR at the end of the range")
    is_(c("GET", "s"), b"abc", "errors changed nothing")
    table = c("COMMAND")
    ok(isinstance(table, list) and len(table) == c("COMMAND", "COUNT"), "COMMAND lists COMMAND COUNT entries")
    entry = next((e for e in table if e[0] == b"get"), None)
    ok(entry is not None and entry[1] == 2 and entry[3:6] == [1, 1, 1], "COMMAND knows GET", repr(entry))


def test_subscribe():
    for proto, kind in ((2, list), (3, Push)):
        c, other = fresh(proto), kvd.client()
        first = c("SUBSCRIBE", "news")
        ok(type(first) is kind and first == [b"subscribe", b"news", 1], f"RESP{proto}: SUBSCRIBE confirms",
            repr(first))
        is_(other("PUBLISH", "news", "hi"), 1, f"RESP{proto}: PUBLISH reaches one")
        got = c.read()
        ok(type(got) is kind and got == [b"message", b"news", b"hi"], f"RESP{proto}: the message", repr(got))
        if proto == 2:
            ok(isinstance(c("GET", "x"), Error), "RESP2: other commands are refused while subscribed")
            is_(c("PING"), [b"pong", b""], "RESP2: PING in array form")
        else:
            is_(c("GET", "x"), None, "RESP3: other commands go on")
        is_(c("RESET"), b"RESET", f"RESP{proto}: RESET")
        is_(other("PUBLISH", "news", "hi"), 0, f"RESP{proto}: nobody listens after RESET")


def test_half_close():
    c = fresh()
    n = 3000
    c.send(b"".join(request("SET", f"h{i}", "v" * 50) for i in range(n)) + request("GET", "h0"))
    c.half_close()
    is_(c.rest(), b"+OK\r\n" * n + b"$50\r\n" + b"v" * 50 + b"\r\n",
        "half close: every reply comes, then the end")
    x = kvd.client()
    x.send(b"GET h1\r\n*2\r\n$3\r\nGET\r\n$2\r\nh")
    x.half_close()
    is_(x.rest(), b"$50\r\n" + b"v" * 50 + b"\r\n",
        "half close inside a request: only whole ones are answered")
    x = kvd.client()
    x.send(request("PING") + request("QUIT") + request("SET", "after", "quit"))
    is_(x.rest(), b"+PONG\r\n+OK\r\n", "QUIT says OK and closes")
    is_(kvd.client()("EXISTS", "after"), 0, "nothing behind QUIT is run")


def test_delrange_limit():
    """One transaction has a bound: all of the range goes, or none of it."""
    own = Kvd(durability="never").start()
    c, limit = own.client(timeout=60), 1048576
    for i in range(0, limit, 16384):
        c.post("MSET", *[x for n in range(i, i + 16384) for x in ("%07d" % n, "")])
    is_([c.read() for _ in range(0, limit, 16384)], [OK] * (limit // 16384), f"{limit} keys")
    c.must("SET", "z", "")
    reply = c("KVD.DELRANGE", "", "")
    ok(getattr(reply, "kind", "") == "ERR" and str(limit) in reply, "KVD.DELRANGE of one more names its limit", repr(reply))
    is_(c("DBSIZE"), limit + 1, "and deletes nothing")
    is_(c("KVD.DELRANGE", "", "z"), limit, "as many as the limit go")
    is_(c("KEYS", "*"), [b"z"], "and no other")


def test_http():
    c = fresh()
    for text in (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 14\r\n\r\nSET http 1\r\n\r\n",
                 b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\nSET http 1\r\n",
                 b"PUT /a HTTP/1.1\r\nHost: x\r\n\r\nSET http 1\r\n"):
        with kvd.client() as x:
            x.send(text)
            try:
                reply = x.rest(5)
                ok(b"OK" not in reply, f"{text[:4]!r} as first word closes", repr(reply))
            except TimeoutError:
                ok(False, f"{text[:4]!r} as first word closes", "the connection stays open")
    is_(c("EXISTS", "http"), 0, "and nothing in the body was run")


def test_client_reply():
    c = fresh()
    c.send(request("CLIENT", "REPLY", "OFF") + request("SET", "a", "1") + request("GET", "a")
           + request("CLIENT", "REPLY", "ON"))
    is_(c.read(), OK, "CLIENT REPLY OFF silences until ON")
    c.send(request("CLIENT", "REPLY", "SKIP") + request("GET", "a") + request("ECHO", "next"))
    is_(c.read(), b"next", "CLIENT REPLY SKIP silences one")
    is_(c("GET", "a"), b"1", "silenced commands were run")


def test_auth():
    own = Kvd(requirepass="secret").start()
    c = own.client()
    ok(getattr(c("GET", "a"), "kind", "") == "NOAUTH", "without a password only NOAUTH")
    ok(getattr(c("AUTH", "wrong"), "kind", "") == "WRONGPASS", "a wrong password is WRONGPASS")
    is_(c("AUTH", "secret"), OK, "AUTH with the password")
    is_(c("GET", "a"), None, "opens the door")
    c = own.client()
    reply = c("HELLO", "3", "AUTH", "default", "secret", "SETNAME", "me")
    ok(isinstance(reply, dict), "HELLO AUTH works", repr(reply))
    is_(c("CLIENT", "GETNAME"), b"me", "and names the client")
    ok(isinstance(fresh()("AUTH", "x"), Error), "AUTH without requirepass is the usual error")


run(test_resp2_types, test_resp3_types, test_inline, test_inline_64k, test_chunking, test_deep_pipeline,
    test_malformed, test_binary, test_limits, test_commands, test_subscribe, test_half_close, test_delrange_limit, test_http,
    test_client_reply, test_auth)
