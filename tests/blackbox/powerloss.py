# SPDX-License-Identifier: MIT
"""What a disk may hold after a power cut: a journal (faulty.py) is played to some point, then what was not synced is decided anew.

The freedoms taken are those POSIX leaves: a file's bytes are sure once a sync of it that began after they were written has come back; a
name (made, renamed, linked, removed) is sure once its directory was synced so. Of the rest anything may be there: none, all, some first part in
the order of the calls, some sectors and not others, the length without the bytes, bytes of somebody else. A rename is one step. Both lies can be told
to see that the checks notice: "data" (syncs of files do nothing) and "names" (those of directories do nothing).
"""
import os

import faulty as f

MODES = ("lost", "kept", "ordered", "names lost", "data lost", "sectors", "torn", "zeros", "garbage", "anything")


class Node:
    """What is sure, and the changes since, oldest first; each begins with its time."""

    def __init__(self, sure):
        self.sure = sure
        self.pending = []
        self.syncs = {}  # number of a sync that runs: how many of the changes it covers

    def sync_begins(self, number):
        self.syncs[number] = len(self.pending)

    def sync_ends(self, number):
        n = self.syncs.pop(number)
        for change in self.pending[:n]:
            self.settle(change)
        del self.pending[:n]
        self.syncs = {other: max(0, m - n) for other, m in self.syncs.items()}


class File(Node):
    """Changes are (time, offset, data, length), with zeros behind the data, or (time, size) for a truncation."""

    def __init__(self, mode=0o600, data=b""):
        super().__init__(bytearray(data))
        self.mode = mode

    def settle(self, change):
        apply(self.sure, change)


class Directory(Node):
    """Changes are (time, {name: File, Directory or None})."""

    def __init__(self, names=None):
        super().__init__(dict(names or {}))
        self.names = dict(self.sure)  # as the program sees them

    def settle(self, change):
        put_names(self.sure, change[1])

    def change(self, time, names):
        put_names(self.names, names)
        self.pending.append((time, names))


def apply(image, change):
    if len(change) == 2:
        size = change[1]
        del image[size:]
        image.extend(bytes(size - len(image)))
        return
    _, offset, data, length = change
    if len(image) < offset + length:
        image.extend(bytes(offset + length - len(image)))
    image[offset:offset + length] = data + bytes(length - len(data))


def put_names(names, change):
    for name, what in change.items():
        if what is None:
            names.pop(name, None)
        else:
            names[name] = what


def split(change, random, size):
    """A write in pieces that end where sectors end."""
    time, offset, data, length = change
    at = 0
    while at < len(data):
        n = min(size - (offset + at) % size, len(data) - at)
        yield time, offset + at, data[at:at + n], n
        at += n
    if length > len(data) and random.random() < 0.5:
        yield time, offset + len(data), b"", length - len(data)


class Disk:
    def __init__(self, lies=()):
        self.lies = lies
        self.root = Directory()
        self.time = 0
        self.fds = {}

    @classmethod
    def load(cls, path, **kw):
        """A disk with those files, all of them sure."""
        disk = cls(**kw)
        disk.root = load_directory(path, {})
        return disk

    def play(self, e):
        """The next entry of a journal."""
        self.time += 1
        if e.kind == f.START:
            self.fds = {}
        elif e.kind == f.CLOSE:
            self.fds.pop(e.fd, None)
        elif e.kind in (f.OPEN, f.CREATE):
            if e.result >= 0:
                self.fds[e.result] = self.open(e)
        elif e.kind in (f.SYNC, f.SYNCED):
            self.sync(e)
        elif e.result == 0 and e.kind in (f.WRITE, f.TRUNCATE):
            self.fds[e.fd].pending.append((self.time, e.offset) if e.kind == f.TRUNCATE else (self.time, e.offset, e.data, e.len))
        elif e.result == 0 and e.name:
            self.rename(e)

    def open(self, e):
        if not e.name:
            return self.root
        directory = self.fds[e.fd]
        if e.kind == f.CREATE and e.name not in directory.names:
            directory.change(self.time, {e.name: File(e.extra)})
        elif e.len:
            directory.names[e.name].pending.append((self.time, 0))
        return directory.names[e.name]

    def sync(self, e):
        what = self.fds.get(e.fd)
        if ("names" if isinstance(what, Directory) else "data") in self.lies or what is None:
            return
        if e.kind == f.SYNC:
            what.sync_begins(e.extra)
        elif e.result == 0:
            what.sync_ends(e.extra)

    def rename(self, e):
        directory, other = self.fds[e.fd], self.fds.get(e.extra)
        if e.kind == f.MKDIR:
            directory.change(self.time, {e.name: Directory()})
        elif e.kind in (f.UNLINK, f.RMDIR):
            directory.change(self.time, {e.name: None})
        elif e.kind == f.LINK:
            other.change(self.time, {e.other: directory.names[e.name]})
        elif directory is other:
            directory.change(self.time, {e.other: directory.names[e.name], e.name: None})
        else:
            # Between directories both ends are one step only once both are synced: either may be there without the other.
            other.change(self.time, {e.other: directory.names[e.name]})
            directory.change(self.time, {e.name: None})

    def cut(self, path, random, mode):
        """Writes what is left after a power cut now to a new directory."""
        Cut(self.root, random, mode).write_directory(self.root, path)


def load_directory(path, links):
    names = {}
    for name in os.listdir(path):
        full = os.path.join(path, name)
        if os.path.isdir(full):
            names[name] = load_directory(full, links)
            continue
        s = os.stat(full)
        if s.st_ino not in links:
            with open(full, "rb") as file:
                links[s.st_ino] = File(s.st_mode & 0o777, file.read())
        names[name] = links[s.st_ino]
    return Directory(names)


def all_pending(directory):
    """The times of all unsynced changes."""
    yield from (change[0] for change in directory.pending)
    for what in set(directory.names.values()) | set(directory.sure.values()):
        yield from all_pending(what) if isinstance(what, Directory) else (change[0] for change in what.pending)


class Cut:
    def __init__(self, root, random, mode):
        self.random, self.mode = random, mode
        self.until = random.choice(sorted({0, *all_pending(root)}))
        self.links = {}

    def survives(self, time, names):
        """Whether an unsynced change, of names or of data, is there."""
        if self.mode in ("lost", "kept"):
            return self.mode == "kept"
        if self.mode == "ordered":
            return time <= self.until
        if self.mode == "names lost":
            return not names
        if self.mode == "data lost":
            return names
        return True if names and self.mode != "anything" else self.random.random() < 0.5

    def write_directory(self, directory, path):
        os.mkdir(path, 0o700)
        names = dict(directory.sure)
        for time, change in directory.pending:
            if self.survives(time, True):
                put_names(names, change)
        for name, what in sorted(names.items()):
            full = os.path.join(path, name)
            if isinstance(what, Directory):
                self.write_directory(what, full)
            elif what in self.links:
                os.link(self.links[what], full)
            else:
                self.links[what] = full
                self.write_file(what, full)

    def write_file(self, file, path):
        image = self.decide(file) if file.pending else file.sure
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, file.mode)
        data = bytes(image).rstrip(b"\0")
        os.write(fd, data)
        os.ftruncate(fd, len(image))
        os.close(fd)

    def decide(self, file):
        image = bytearray(file.sure)
        torn = self.random.randrange(len(file.pending))
        for n, change in enumerate(file.pending):
            if len(change) == 2 or self.mode in ("lost", "kept", "ordered", "names lost", "data lost"):
                if self.survives(change[0], False):
                    apply(image, change)
            elif self.mode == "torn":
                if n <= torn:
                    apply(image, self.tear(change) if n == torn else change)
            else:
                self.scatter(image, change)
        return image

    def tear(self, change):
        time, offset, data, length = change
        keep = self.random.randrange(len(data) + 1)
        return time, offset, data[:keep], keep

    def scatter(self, image, change):
        """Sectors of a write are there or not; or they have the length only, or bytes of somebody else."""
        for piece in split(change, self.random, self.random.choice((512, 4096))):
            if self.random.random() < 0.5:
                apply(image, piece)
            elif self.mode == "zeros" or (self.mode == "anything" and self.random.random() < 0.3):
                if piece[1] >= len(image):
                    apply(image, (0, piece[1], b"", piece[3]))
            elif self.mode == "garbage" and not any(image[piece[1]:piece[1] + piece[3]]):
                # A sector holds what it had or what it gets; only one that had nothing yet may hold what somebody else left there.
                apply(image, (0, piece[1], self.random.randbytes(len(piece[2])), piece[3]))
