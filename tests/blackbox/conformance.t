#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Each command with its options and errors, in both protocols, by the table conformance.txt; and the same requests to redis-server, where it is
there: whatever it answers otherwise is named in the table with its reason. --write fills in the replies of kvd. compat.t is the random half.
"""
import sys

from conformance import *

table = Table()
kvd = Kvd(enable_debug_command="yes", durability="never")


def start():
    if not kvd.alive:
        kvd.start()
    return kvd


def write():
    start()
    for name, cases in table.sections.items():
        for proto in (2, 3):
            for case, reply in zip(cases, run_section(kvd, proto, cases)):
                case.reply[proto] = reply
    table.write()


def check_protocol(proto):
    start()
    for name, cases in table.sections.items():
        got = run_section(kvd, proto, cases)
        wrong = [f"line {case.number}: {case.text}: {reply}, expected {case.reply[proto]}" for case, reply in zip(cases, got)
            if reply != case.reply[proto]]
        ok(not wrong, f"RESP{proto}: {name}, {len(cases)} cases", *wrong)


def test_resp2():
    check_protocol(2)


def test_resp3():
    check_protocol(3)


def redis_server():
    """The one the table speaks of."""
    server = Redis().start()
    version = next(x for x in server.client()("INFO", "server").split(b"\r\n") if x.startswith(b"redis_version:")).split(b":")[1].decode()
    if not version.startswith("7.0."):
        raise Skip(f"the table names the differences to redis-server 7.0, this is {version}")
    return server


def compare(name, cases, replies):
    """replies: {protocol: what redis-server answered}."""
    problems = []
    for i, case in enumerate(cases):
        other = [f"RESP{proto} {replies[proto][i]}" for proto in (2, 3) if replies[proto][i] != case.reply[proto]]
        if other and not case.differs:
            problems.append(f"line {case.number}: {case.text}: {case.reply[2]}, redis-server: {'; '.join(other)}")
        elif case.differs and not other:
            problems.append(f"line {case.number}: {case.text}: no difference any more ({case.differs})")
        elif case.differs and case.differs not in table.reasons:
            problems.append(f"line {case.number}: there is no reason {case.differs}")
    ok(not problems, f"{name} is answered as redis-server does but for what is named", *problems)


def test_redis_server():
    server = redis_server()
    for name, cases in table.sections.items():
        if not name.startswith("kvd."):
            compare(name, cases, {proto: run_section(server, proto, cases) for proto in (2, 3)})
    used = {case.differs for cases in table.sections.values() for case in cases}
    unused = [name for name in table.reasons if name not in used and name not in row_differs.values()]
    ok(not unused, "each reason is used", *unused)


def test_event_letters():
    """notify-keyspace-events as CONFIG GET shows it: the letters in one order, A for all of some."""
    server, random = redis_server(), rng("letters")
    start()
    values = ["", "KEA", "A", "g$lshzxetd", "g$lshzxet", "KKm", *("".join(random.sample("KEg$xnmAlshztde", random.randrange(1, 15))) for _ in range(500))]
    requests = [words for value in values for words in (("CONFIG", "SET", "notify-keyspace-events", value), ("CONFIG", "GET", "notify-keyspace-events"))]
    ours, theirs = (x.client().pipeline(*requests) for x in (kvd, server))
    # redis-server forgets n beside A.
    wrong = [(value, a, b) for value, a, b in zip(values, ours[1::2], theirs[1::2]) if (a[1].replace(b"An", b"A") if b"n" not in b[1] else a[1]) != b[1]]
    ok(not wrong, "are shown as redis-server shows them", *wrong[:5])
    is_([value for value, a in zip(values, ours[1::2]) if ("n" in value) != (b"n" in a[1])], [], "and none is forgotten")
    kvd.client().must("CONFIG", "SET", "notify-keyspace-events", "")


# ---- by the rows of COMMAND


# Row: reason, where COMMAND says something else.
row_differs = {"command|getkeys": "since-7.2", "set": "since-8", "bitop": "since-7.2", "psubscribe": "since-7.2",
    "config|get": "since-7.2", "client|list": "since-7.2", "client|kill": "filters"}


def rows(c):
    """{name: what COMMAND says}, subcommands as container|sub."""
    found = {}
    for row in c.must("COMMAND"):
        found[row[0].decode()] = row
        for sub in row[9]:
            found[sub[0].decode()] = sub
    return found


def too_few_and_many(name, arity):
    head = name.split("|")
    if len(head) < abs(arity):
        yield head + ["x"] * (abs(arity) - 1 - len(head))
    if arity > 0:
        yield head + ["x"] * (arity + 1 - len(head))


def is_arity_error(reply, name):
    """EXEC says EXECABORT, which it is."""
    return isinstance(reply, Error) and reply.text.endswith(f"wrong number of arguments for '{name}' command")


def test_arity():
    """Each row with a word too few and, where it has an end, one too many."""
    start()
    c = kvd.client()
    problems, requests = [], []
    for name, row in rows(c).items():
        for request_ in too_few_and_many(name, row[1]):
            requests.append((name, request_))
            reply = c(*request_)
            if not is_arity_error(reply, name):
                problems.append(f"{request_}: {reply!r}")
    ok(not problems, f"{len(requests)} requests with a word too few or too many are refused", *problems)
    c = redis_server().client()
    known = rows(c)
    problems = [f"{request_}: {reply!r}" for name, request_ in requests if name in known and
        not is_arity_error(reply := c(*request_), name)]
    ok(not problems, "by redis-server, too", *problems)


def shape(arguments):
    """What a program goes by; the names of groups and choices are nobody's."""
    found = []
    for argument in arguments:
        fields = {name: value for name, value in argument.items() if name not in (b"name", b"display_text", b"arguments", b"since", b"flags")}
        group = argument[b"type"] in (b"block", b"oneof")
        found.append((None if group else argument[b"name"], fields, sorted(argument.get(b"flags", [])), shape(argument.get(b"arguments", []))))
    return found


def documents(docs):
    """{name: (since, group, arguments)} of COMMAND DOCS."""
    found = {}
    for name, entry in docs.items():
        found[name.decode()] = entry[b"since"], entry[b"group"], shape(entry.get(b"arguments", []))
        found.update(documents(entry.get(b"subcommands", {})))
    return found


def description(row):
    """Arity, flags, positions of the keys, and what is done with them, of a row of COMMAND."""
    specs = [{**spec, b"flags": sorted(spec[b"flags"])} for spec in row[8]]
    for spec in specs:
        spec.pop(b"notes", None)
    return row[1], sorted(row[2]), row[3:6], specs


def test_rows():
    """What COMMAND and COMMAND DOCS say of a command that both have: all but the categories of ACLs, words for people, and hints."""
    start()
    c, other_c = kvd.client(3), redis_server().client(3)
    mine, theirs = rows(c), rows(other_c)
    docs, other_docs = (documents(x.must("COMMAND", "DOCS")) for x in (c, other_c))
    problems = []
    for name in mine.keys() & theirs.keys():
        said, other = (docs[name], description(mine[name])), (other_docs[name], description(theirs[name]))
        if (said == other) == (name in row_differs):
            problems.append(f"{name}: {said!r}, redis-server {other!r}")
    ok(len(mine.keys() & theirs.keys()) > 100, "both know more than a hundred commands")
    ok(not problems, "COMMAND says of each command what redis-server says, but for what is named", *problems)


if sys.argv[1:] == ["--write"]:
    write()
else:
    run(test_resp2, test_resp3, test_redis_server, test_event_letters, test_arity, test_rows)
