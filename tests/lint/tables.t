#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The tables and the manual pages agree: whatever has a row has a word in its page."""
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "blackbox"))
from tap import Skip, ok, run  # noqa: E402

SOURCE = os.environ.get("top_srcdir") or os.path.dirname(os.path.dirname(HERE))
BUILD = os.environ.get("top_builddir") or SOURCE


def read(path):
    """A file of the tree, or of the build when it is generated."""
    for top in (SOURCE, BUILD):
        full = os.path.join(top, path)
        if os.path.exists(full):
            with open(full, encoding="utf-8") as f:
                return f.read()
    raise Skip(f"there is no {path} yet")


def page(path):
    """A manual page as plain words: roff's escapes taken out."""
    text = re.sub(r'^\.\\".*$', "", read(path), flags=re.M)
    return re.sub(r"\\f[A-Z]|\\f\(..|\\&|\\%", "", text).replace("\\-", "-").replace("\\(en",
        "-").replace("\\e", "\\")


def rows(path, pattern):
    text = re.sub(r"/\*.*?\*/", "", read(path), flags=re.S)
    text = re.sub(r"^[ \t]*#.*?(?<!\\)$", "", text, flags=re.M)
    found = re.findall(pattern, text, re.M)
    ok(len(found) > 5 and len(set(found)) == len(found), f"{path} has rows, each once",
       f"{len(found)} rows", *sorted({n for n in found if found.count(n) > 1}))
    return found


def agree(names, text, where, spell=lambda n: n):
    missing = [n for n in names if not re.search(rf"(?<![\w-]){re.escape(spell(n))}(?![\w-])", text)]
    ok(not missing, f"each of {len(names)} rows is described in {where}", *missing)


def test_options():
    names = rows("src/daemon/options.def", r'^\w+\(\s*\w+,\s*"([a-z0-9-]+)"')
    agree(names, page("doc/kvd.conf.5"), "kvd.conf(5)")


def test_sample_config():
    names = set(rows("src/daemon/options.def", r'^\w+\(\s*\w+,\s*"([a-z0-9-]+)"'))
    sample = read("packaging/kvd.conf")
    used = set(re.findall(r"^#?\s?([a-z][a-z-]+)\s*=", sample, re.M))
    ok(used and used <= names, "packaging/kvd.conf names only options that exist", str(sorted(used - names)))
    live = [line for line in sample.splitlines() if line.strip() and not line.startswith("#")]
    ok(not live, "and every value is commented out", *live)
    ok(len(sample.splitlines()) < 100, "in fewer than 100 lines")


def test_verbs():
    names = rows("src/kvctl/verbs.def", r"^VERB\(\s*\"?([a-z0-9-]+)")
    agree(names, page("doc/kvctl.1"), "kvctl(1)")


def test_commands():
    names = rows("src/cmd/commands.def", r'^\w+\(\s*"([a-z0-9.|_-]+)"')
    agree(names, page("doc/kvd-protocol.7"), "kvd-protocol(7)", lambda n: n.upper().replace("|", " "))


def test_conformance():
    """Each command has cases: of its own row, or as a container that is no command by itself, of one of its subcommands."""
    names = rows("src/cmd/commands.def", r'^\w+\(\s*"([a-z0-9.|_-]+)"')
    cases = {}
    for line in read("tests/blackbox/conformance.txt").split("\n"):
        if line.startswith("command "):
            cases[line[8:]] = section = []
        elif re.match(r"[ab]?[~^*]?> ", line) and cases:
            section.append(line.partition("> ")[2].upper())
    without = [n for n in names if not any(text.startswith(n.upper().replace("|", " ")) for text in cases.get(n, []))]
    ok(not without, f"each of {len(names)} rows has a case in conformance.txt", *without)


def test_stats():
    names = rows("src/cmd/stats.def", r'^\w+\(\s*"?([a-z0-9_]+)')
    text = page("doc/kvd-protocol.7")
    if not re.search(r"KVD\.STATS", text):
        raise Skip("kvd-protocol(7) has no list of numbers yet")
    agree(names, text, "kvd-protocol(7)")


run(test_options, test_sample_config, test_verbs, test_commands, test_conformance, test_stats)
