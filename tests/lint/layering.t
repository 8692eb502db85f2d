#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Includes go downwards only and through front doors; every source is distributed; every source names its licence."""
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "blackbox"))
from tap import ok, run  # noqa: E402

TOP = os.environ.get("top_srcdir") or os.path.dirname(os.path.dirname(HERE))

# kvctl has the files of a store at hand only where nobody has it open: it sees the offline tools, not the engine.
OFFLINE = "store/offline.h"
# A snapshot is files, whoever has the store open: those who pack it or put it back see this.
SNAPSHOTS = "store/snapshot_tool.h"
FRONT = {"store": "store/store.h", "proto": "proto/resp.h", "cmd": "cmd/cmd.h"}

# room: (other rooms whose front door it may open, headers of libraries it must not see)
EVENT = r"event2/|event\.h|evhttp|evutil"
SYSTEMD = r"systemd/"
SOCKET = r"sys/socket\.h|sys/un\.h|netinet/|arpa/"
HIREDIS = r"hiredis/|jansson\.h|histedit\.h|editline/"
ROOMS = {
    "base": (set(), [EVENT, SYSTEMD, HIREDIS]),
    "store": ({"base"}, [EVENT, SYSTEMD, SOCKET, HIREDIS]),
    "proto": ({"base"}, [EVENT, SYSTEMD, SOCKET, HIREDIS]),
    "cmd": ({"base", "store", "proto"}, [EVENT, SYSTEMD, SOCKET, HIREDIS, r"pthread\.h|threads\.h"]),
    "daemon": ({"base", "store", "proto", "cmd"}, [HIREDIS]),
    "kvctl": ({"base", "store"}, [EVENT]),
}


def sources(folder, endings):
    for root, dirs, files in os.walk(os.path.join(TOP, folder)):
        dirs[:] = sorted(d for d in dirs if not d.startswith(".") and d not in ("corpus", "__pycache__"))
        for name in sorted(files):
            if name.endswith(endings):
                yield os.path.relpath(os.path.join(root, name), TOP)


def text(path):
    with open(os.path.join(TOP, path), encoding="utf-8", errors="replace") as f:
        return f.read()


def includes(path):
    return re.findall(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">]+)[">]', text(path), re.M)


def judge(room, kind, name):
    """Why this include is wrong, or None."""
    may, never = ROOMS[room]
    if kind == "<":
        return next((f"a header {room} must not see" for bad in never if re.match(bad, name)), None)
    other, slash, _ = name.partition("/")
    if not slash:
        return "an include names its room" if name != "config.h" else None
    if other == room:
        return None
    if other not in ROOMS:
        return "no room of this name"
    if other not in may:
        return f"{room} must not know {other}"
    if name == SNAPSHOTS and room in ("kvctl", "daemon"):
        return None
    door = OFFLINE if (room, other) == ("kvctl", "store") else FRONT.get(other, name)
    if name != door:
        return f"the front door is {door}"
    return None


def test_rooms():
    rooms = sorted(d for d in os.listdir(os.path.join(TOP, "src"))
        if os.path.isdir(os.path.join(TOP, "src", d)))
    ok(set(rooms) <= set(ROOMS), "every folder of src is a room of the table", str(set(rooms) - set(ROOMS)))
    for room in rooms:
        if room not in ROOMS:
            continue
        wrong = [f"{path}: {name}: {why}" for path in sources("src/" + room, (".c", ".h", ".def"))
                 for kind, name in includes(path) for why in [judge(room, kind, name)] if why]
        ok(not wrong, f"{room} includes only what is below it", *wrong)


def test_main():
    """main.c is the only file of the daemon outside its library, so that tests link the real code."""
    mains = [path for path in sources("src", (".c",)) if re.search(r"^int main\(", text(path), re.M)]
    ok(all(os.path.basename(path) == "main.c" for path in mains), "main() stands in main.c only", str(mains))


def makefiles():
    found = ["Makefile.am"]
    for folder in ("src", "tests", "doc", "packaging"):
        found += sources(folder, (".mk",))
    return "\n".join(text(path).replace("%D%", os.path.dirname(path)).replace("%reldir%",
        os.path.dirname(path)) for path in found)


def test_distributed():
    made = makefiles()
    words = set(re.split(r"[\s\\=]+", made))
    missing = []
    for folder in ("src", "tests"):
        for path in sources(folder, (".c", ".h", ".def", ".py", ".sh", ".t")):
            with open(os.path.join(TOP, path), "rb") as f:
                start = f.read(4)
            if start == b"\x7fELF" or path in words:
                continue
            if path.endswith(".t") and start[:2] != b"#!":
                continue
            missing.append(path)
    ok(not missing, "every source stands in a makefile and so in the tarball", *missing)


def test_licence():
    bad = [path for folder in ("src", "tests") for path in sources(folder, (".c", ".h", ".def"))
           if not text(path).startswith("/* SPDX-License-Identifier: MIT")]
    ok(not bad, "every C file begins with its licence", *bad)


def test_guards():
    bad = []
    for path in sources("src", (".h",)):
        name = re.sub(r"[/.]", "_", path[len("src/"):]).upper()
        names = {name, name.partition("_")[2]} if path.endswith("/kvdstore.h") else {name}  # that one is installed
        if not any(f"#ifndef {n}\n#define {n}\n" in text(path) for n in names):
            bad.append(f"{path}: {name}")
    ok(not bad, "header guards are ROOM_FILE_H", *bad)


run(test_rooms, test_main, test_distributed, test_licence, test_guards)
