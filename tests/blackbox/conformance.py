# SPDX-License-Identifier: MIT
"""
The conformance table: conformance.txt, what it means, and how it is run against a server.

    reason NAME: why kvd and redis-server differ
    command get                 the cases of a row of commands.def follow; each begins with empty databases
    > GET k                     a request of connection a; b> is one of connection b. Words as in an inline line.
    $-1                         the reply of kvd, as it stands on the wire: +OK -ERR... :1 "bulk" $-1 *-1 [array] {map} >[push] _ ,1.5 #t =text
    3 _                         the reply in RESP3 where that is another one
    ! NAME                      redis-server answers otherwise, for that reason
    ~> TIME                     only the types of the reply count
    ^> INFO                     only the outermost type (or the class of an error) counts
    *> KEYS *                   the order of the elements does not count
    a<                          connection a reads one more message; "closed" when it was closed

In requests $a and $b are the ids of the connections, $path the address of this server's clients.
"""
import os
import re

from kvdtest import *

TABLE = os.path.join(SOURCE, "tests", "blackbox", "conformance.txt")
HEX = re.compile(rb"\\x([0-9a-fA-F]{2})|\\(.)")
ESCAPES = {b"n": b"\n", b"r": b"\r", b"t": b"\t"}


class Redis(Kvd):
    """A redis-server in the place of kvd."""

    def command(self, *args):
        return [need("redis-server"), "--port", "0", "--unixsocket", self.socket, "--dir", self.data, "--save", "", "--loglevel", "warning",
            "--enable-debug-command", "yes", "--appendonly", "yes", "--supervised", "systemd", *args]


# ---- replies as text


def quote(data):
    text = "".join(chr(x) if 32 <= x < 127 and x not in b'"\\' else f"\\{chr(x)}" if x in b'"\\' else f"\\x{x:02x}" for x in data)
    return f'"{text}"'


class Wire(Client):
    """A client that gives replies as the table has them. how: "" all of it, "~" types, "^" outermost type, "*" sorted."""

    def show(self, how=""):
        line = self.line()
        kind, rest = chr(line[0]), line[1:]
        plain = how in ("", "*")
        if kind == "-":
            return "-" + rest.decode("latin-1") if plain else "-" + rest.decode("latin-1").split(" ")[0]
        if kind in "$=" and rest != b"-1":
            data = self.bulk(int(rest))
            return ("=" if kind == "=" else "") + quote(data) if plain else kind
        if kind in "*%~>" and rest != b"-1":
            return self.show_many(kind, int(rest), how)
        return line.decode("latin-1") if plain or rest == b"-1" else kind

    def show_many(self, kind, n, how):
        inner = "~" if how == "^" else how
        parts = [self.show(inner) for _ in range(n * 2 if kind == "%" else n)]
        if how == "^":
            return {"*": "[...]", "%": "{...}"}.get(kind, kind + "[...]")
        if kind == "%":
            parts = [f"{parts[i]} {parts[i + 1]}" for i in range(0, len(parts), 2)]
        if how == "*":
            parts.sort()
        open_, close = {"*": "[]", "%": "{}"}.get(kind, (kind + "[", "]"))
        return open_ + (", " if kind == "%" else " ").join(parts) + close


# ---- the table


class Case:
    def __init__(self, who, how, text, number):
        self.who, self.how, self.text, self.number = who, how, text, number
        self.reply = {2: None, 3: None}
        self.differs = None

    def lines(self):
        yield f"{self.who if self.who != 'a' or self.text is None else ''}{self.how}{'<' if self.text is None else '> ' + self.text}"
        yield self.reply[2]
        if self.reply[3] != self.reply[2]:
            yield "3 " + self.reply[3]
        if self.differs:
            yield "! " + self.differs


class Table:
    """sections: {row: [Case]}; reasons: {name: text}; head: the lines above the first section."""

    def __init__(self, path=TABLE):
        self.sections, self.reasons, self.head = {}, {}, []
        cases = case = None
        with open(path, encoding="ascii") as f:
            for number, line in enumerate(f, 1):
                line = line.rstrip("\n")
                start = re.match(r"([ab]?)([~^*]?)(> |<$)(.*)$", line)
                if line.startswith("command "):
                    cases = self.sections.setdefault(line.split(" ")[1], [])
                elif cases is None:
                    self.head.append(line)
                    if line.startswith("reason "):
                        name, _, text = line[7:].partition(": ")
                        self.reasons[name] = text
                elif start:
                    case = Case(start[1] or "a", start[2], start[4] if start[3] == "> " else None, number)
                    cases.append(case)
                elif line.startswith("! "):
                    case.differs = line[2:]
                elif line.startswith("3 ") and case.reply[2] is not None:
                    case.reply[3] = line[2:]
                elif line:
                    case.reply[2] = case.reply[3] = line

    def write(self, path=TABLE):
        with open(path, "w", encoding="ascii") as f:
            f.write("\n".join(self.head).rstrip("\n") + "\n")
            for name, cases in self.sections.items():
                f.write(f"\ncommand {name}\n")
                for case in cases:
                    f.writelines(line + "\n" for line in case.lines())


def words(text):
    """Of a request: blanks separate, double quotes hold blanks and escapes; bytes."""
    found = re.findall(rb'"((?:[^"\\]|\\.)*)"|(\S+)', text.encode("ascii"))
    return [HEX.sub(lambda m: bytes([int(m[1], 16)]) if m[1] else ESCAPES.get(m[2], m[2]), quoted) if not bare else bare for quoted, bare in found]


def run_section(server, proto, cases):
    """The replies of a server to the cases of one section."""
    with Client(server.socket) as c:
        c.must("FLUSHALL")
    conns = {who: Wire(server.socket, proto) for who in sorted({case.who for case in cases} | {"a"})}
    ids = {b"$" + who.encode(): b"%d" % c.must("CLIENT", "ID") for who, c in conns.items()}
    ids[b"$path"] = server.socket.encode() + b":0"
    replies = []
    for case in cases:
        c = conns[case.who]
        try:
            if case.text is not None:
                c.post(*[ids.get(word, word) for word in words(case.text)])
            replies.append(c.show(case.how))
        except (Closed, ConnectionError):
            replies.append("closed")
    for c in conns.values():
        c.close()
    return replies
