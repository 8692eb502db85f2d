# SPDX-License-Identifier: MIT
"""The real kvd and kvctl on a disk that is watched and fails: tests/fault/kvdfault.h from this side.

    fault = Faulty(kvd.data)
    kvd.start(env=fault.env())              # or subprocess, for kvctl
    fault.fail(META, ENOSPC, first=3)       # the third such call from now on
    fault.kill(ANY, first=7)
    for entry in fault.journal(): ...       # what it did, when a journal was asked for
"""
import collections
import mmap
import os
import struct
import tempfile

from kvdtest import SANITIZED, TOP, Skip, temp_dir

LIBRARY = os.path.join(TOP, "tests", "fault", ".libs", "libkvdfault.so")

(START, OPEN, CREATE, CLOSE, READ, WRITE, SYNC, SYNCED, TRUNCATE, RENAME, LINK, UNLINK, MKDIR, RMDIR, ACCEPT, SEND, ALLOCATE) = range(17)
KINDS = 17
NAMES = ("start", "open", "create", "close", "read", "write", "sync", "synced", "truncate", "rename", "link", "unlink", "mkdir",
    "rmdir", "accept", "send", "allocate")


def mask(*kinds):
    return sum(1 << kind for kind in kinds)


META = mask(CREATE, TRUNCATE, RENAME, LINK, UNLINK, MKDIR, RMDIR, ALLOCATE)
CHANGES = META | mask(WRITE, SYNC)

_NONE, _KILL, _ERROR, _SHORT, _TORN = range(5)
_CONTROL = struct.Struct(f"=4I4Q{KINDS}Q")
_ENTRY = struct.Struct("@IiiIQQIHH")

Entry = collections.namedtuple("Entry", "kind fd result extra offset len name other data")


RAM, RAM_NEEDED = "/dev/shm", 512 << 20


def has_ram():
    """Containers often give it no more than 64 MiB."""
    if not os.access(RAM, os.W_OK):
        return False
    s = os.statvfs(RAM)
    return s.f_bavail * s.f_frsize >= RAM_NEEDED


def ram_dir():
    """A directory in memory, where there is enough of it: what is replayed there is not meant to last."""
    tempfile.tempdir = RAM if has_ram() else None
    try:
        return temp_dir()
    finally:
        tempfile.tempdir = None


class Faulty:
    def __init__(self, directory, journal=False):
        """directory: as the program will name it."""
        if not os.path.exists(LIBRARY):
            raise Skip("tests/fault/libkvdfault.la is not built")
        self.directory = directory
        self.home = ram_dir()
        self.path = os.path.join(self.home, "journal") if journal else None
        with open(os.path.join(self.home, "control"), "w+b") as f:
            f.truncate(mmap.PAGESIZE)
            self.shared = mmap.mmap(f.fileno(), mmap.PAGESIZE)

    def env(self):
        env = {"LD_PRELOAD": LIBRARY, "KVD_FAULT_DIR": self.directory, "KVD_FAULT_CONTROL": os.path.join(self.home, "control")}
        if self.path:
            env["KVD_FAULT_JOURNAL"] = self.path
        if SANITIZED:
            env["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
        return env

    def _arm(self, action, kinds, error, first, last):
        self.calm()
        # The action is set last: it is what the library looks at first.
        struct.pack_into("=3I", self.shared, 4, kinds, error, 0)
        struct.pack_into("=4Q", self.shared, 16, first, last, 0, 0)
        struct.pack_into("=I", self.shared, 0, action)

    def kill(self, kinds, first=1, torn=False):
        """kill -9 before that call, or (of a write) in the middle of it."""
        self._arm(_TORN if torn else _KILL, kinds, 0, first, first)

    def fail(self, kinds, error, first=1, last=None):
        """Those calls fail; last: to which one, by default only the first. 0: for ever."""
        self._arm(_ERROR, kinds, error, first, first if last is None else last or 1 << 62)

    def short(self, first=1, last=None):
        """Those writes write half of what they should, and say so."""
        self._arm(_SHORT, mask(WRITE), 0, first, first if last is None else last or 1 << 62)

    def calm(self):
        """No more failures. Returns how many there were."""
        hits = self.hits
        struct.pack_into("=I", self.shared, 0, _NONE)
        return hits

    @property
    def hits(self):
        return _CONTROL.unpack_from(self.shared)[7]

    def seen(self):
        """All calls so far, by kind."""
        return _CONTROL.unpack_from(self.shared)[8:]

    def journal(self):
        with open(self.path, "rb") as f:
            data = f.read()
        at, entries = 0, []
        while at + _ENTRY.size <= len(data):
            kind, fd, result, extra, offset, length, stored, name_len, other_len = _ENTRY.unpack_from(data, at)
            at += _ENTRY.size
            name, at = data[at:at + name_len].decode(), at + name_len
            other, at = data[at:at + other_len].decode(), at + other_len
            entries.append(Entry(kind, fd, result, extra, offset, length, name, other, data[at:at + stored]))
            at += stored
        return entries
