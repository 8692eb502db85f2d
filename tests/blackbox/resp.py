# SPDX-License-Identifier: MIT
"""A small RESP2/RESP3 client for tests: it sends what it is told, also nonsense, and reads every reply type.

Replies: int, float, bool, bytes (bulk), Simple (status), Error, None, list, dict (map), Set, Push, Verbatim.
"""
import socket
import time

from tap import PATIENCE


class Simple(bytes):
    """A status reply; equal to the bytes of its text."""


class Verbatim(bytes):
    """A RESP3 verbatim string; form holds its three letters."""
    form = b""


class Set(list):
    pass


class Push(list):
    pass


class Error(Exception):
    """An error reply, returned and not raised. Compares by text; kind is its first word."""

    def __init__(self, text):
        super().__init__(text)
        self.text = text if isinstance(text, str) else text.decode("latin-1")
        self.kind = self.text.split(" ")[0]

    def __eq__(self, other):
        return isinstance(other, Error) and self.text == other.text

    def __hash__(self):
        return hash(self.text)

    def __contains__(self, part):
        return part in self.text

    def __repr__(self):
        return f"Error({self.text!r})"


class Closed(Exception):
    """The other side closed the connection."""


OK = Simple(b"OK")
QUEUED = Simple(b"QUEUED")


def to_bytes(arg):
    if isinstance(arg, (bytes, bytearray)):
        return bytes(arg)
    return str(arg).encode()


def request(*args):
    """One framed request."""
    parts = [b"*%d\r\n" % len(args)]
    for arg in map(to_bytes, args):
        parts.append(b"$%d\r\n%s\r\n" % (len(arg), arg))
    return b"".join(parts)


class Client:
    def __init__(self, path, proto=2, timeout=10.0):
        self.path = path
        self.timeout = timeout * PATIENCE
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.buffer = b""
        self.at = 0
        try:
            self.connect(time.monotonic() + self.timeout)
        except BaseException:
            self.sock.close()
            raise
        if proto == 3:
            self.must("HELLO", "3")

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()

    def connect(self, end):
        """While the queue of those who are not accepted yet is full, a connect that may not block fails, and is made again."""
        while True:
            try:
                return self.sock.connect(self.path)
            except BlockingIOError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.001)

    def close(self):
        self.sock.close()

    # -- sending

    def send(self, data):
        self.sock.sendall(data)

    def post(self, *args):
        """Sends one request and does not wait."""
        self.sock.sendall(request(*args))

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    def __call__(self, *args):
        self.post(*args)
        return self.read()

    def must(self, *args):
        """A request that has to succeed."""
        reply = self(*args)
        if isinstance(reply, Error):
            raise reply
        return reply

    def pipeline(self, *requests):
        """Sends all, then reads all replies. Fit for what the socket buffers hold."""
        self.sock.sendall(b"".join(request(*r) for r in requests))
        return [self.read() for _ in requests]

    # -- reading

    def _fill(self):
        data = self.sock.recv(1 << 18)
        if not data:
            raise Closed("end of stream")
        self.buffer = self.buffer[self.at:] + data
        self.at = 0

    def line(self):
        scan = self.at
        while True:
            end = self.buffer.find(b"\r\n", scan)
            if end >= 0:
                text = self.buffer[self.at:end]
                self.at = end + 2
                return text
            scan = max(0, len(self.buffer) - self.at - 1)
            self._fill()

    def exactly(self, n):
        if len(self.buffer) - self.at < n:
            parts = [self.buffer[self.at:]]
            have = len(parts[0])
            self.buffer, self.at = b"", 0
            while have < n:
                data = self.sock.recv(max(1 << 16, min(n - have, 1 << 20)))
                if not data:
                    raise Closed("end of stream inside a reply")
                parts.append(data)
                have += len(data)
            self.buffer = b"".join(parts)
        data = self.buffer[self.at:self.at + n]
        self.at += n
        return data

    def bulk(self, n):
        data = self.exactly(n + 2)
        if data[n:] != b"\r\n":
            raise ValueError(f"bulk of {n} bytes ends with {data[n:]!r}")
        return data[:n]

    def pairs(self, n):
        pairs = [(self.read(), self.read()) for _ in range(n)]
        try:
            return dict(pairs)
        except TypeError:
            return pairs

    def read(self):
        """The next reply, pushes included."""
        line = self.line()
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return Simple(rest)
        if kind == b"-":
            return Error(rest)
        if kind in b":(" and kind:
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self.bulk(int(rest))
        if kind in (b"*", b"~", b">"):
            if rest == b"-1":
                return None
            items = [self.read() for _ in range(int(rest))]
            return {b"*": list, b"~": Set, b">": Push}[kind](items)
        if kind == b"%":
            return self.pairs(int(rest))
        if kind == b"|":
            self.pairs(int(rest))
            return self.read()
        if kind == b"_":
            return None
        if kind == b"#":
            return {b"t": True, b"f": False}[rest]
        if kind == b",":
            return float(rest)
        if kind == b"!":
            return Error(self.bulk(int(rest)))
        if kind == b"=":
            data = self.bulk(int(rest))
            text = Verbatim(data[4:])
            text.form = data[:3]
            return text
        raise ValueError(f"not a reply: {line[:80]!r}")

    def raw(self, data, n):
        """Sends bytes and returns the next n bytes exactly as they come."""
        self.send(data)
        return self.exactly(n)

    def rest(self, seconds=None):
        """Everything until the other side closes. Raises TimeoutError when it does not."""
        parts = [self.buffer[self.at:]]
        self.buffer, self.at = b"", 0
        end = time.monotonic() + (seconds * PATIENCE if seconds else self.timeout)
        try:
            while True:
                self.sock.settimeout(max(0.001, end - time.monotonic()))
                data = self.sock.recv(1 << 18)
                if not data:
                    break
                parts.append(data)
        except (ConnectionResetError, BrokenPipeError):
            pass
        finally:
            self.sock.settimeout(self.timeout)
        return b"".join(parts)

    def closed(self, seconds=5):
        """True when the other side closes within the time."""
        try:
            self.rest(seconds)
            return True
        except (TimeoutError, socket.timeout):
            return False

    def quiet(self, seconds):
        """True when nothing arrives for that long (no PATIENCE is had), not even the end."""
        if self.at < len(self.buffer):
            return False
        self.sock.settimeout(seconds)
        try:
            self._fill()
            return False
        except (TimeoutError, socket.timeout):
            return True
        except (Closed, ConnectionResetError):
            return False
        finally:
            self.sock.settimeout(self.timeout)
