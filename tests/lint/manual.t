#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The manual pages are clean mdoc, refer to each other rightly, and every page that is promised exists."""
import glob
import os
import re
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "blackbox"))
from tap import Skip, is_, ok, run  # noqa: E402

SOURCE = os.environ.get("top_srcdir") or os.path.dirname(os.path.dirname(HERE))
BUILD = os.environ.get("top_builddir") or SOURCE
PROMISED = ["kvctl.1", "kvd-format.5", "kvd-protocol.7", "kvd.8", "kvd.conf.5", "kvdstore.3"]


def pages():
    """{name: path}; a page that is generated may be in the build, and is the younger one then."""
    return {os.path.basename(path): path for top in (SOURCE, BUILD)
            for path in sorted(glob.glob(os.path.join(top, "doc", "*.[1-9]")))}


def words(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def test_there():
    is_(sorted(pages()), PROMISED, "the manual pages")


def test_lint():
    if not shutil.which("mandoc"):
        raise Skip("mandoc is not here")
    for name, path in sorted(pages().items()):
        said = subprocess.run(["mandoc", "-Tlint", path], capture_output=True, text=True).stdout
        # Which other pages are installed is not the page's affair; ours are looked at below.
        bad = [line for line in said.splitlines() if "referenced manual not found" not in line]
        ok(not bad, f"{name} is clean", *bad)


def test_references():
    ours = set(pages())
    for name, path in sorted(pages().items()):
        found = {f"{page}.{section}" for page, section in re.findall(r"^\.Xr (\S+) (\d)", words(path), re.M)}
        bad = sorted(page for page in found if page.startswith(("kvd", "kvctl")) and page not in ours)
        ok(found - {name} and not bad, f"{name} refers to pages that are there", *bad)
        ok(name not in found, f"{name} does not refer to itself")


def test_library():
    """kvdstore(3) and kvdstore.h name the same calls and constants."""
    header = re.sub(r"/\*.*?\*/", "", words(os.path.join(SOURCE, "src", "store", "kvdstore.h")), flags=re.S)
    page = words(pages()["kvdstore.3"])
    calls = set(re.findall(r"\b(kvdstore_\w+)\(", header))
    is_(set(re.findall(r"^\.F[no] (kvdstore_\w+)", page, re.M)) & calls, calls, "every call has a prototype")
    is_(set(re.findall(r"^\.Nm (kvdstore_\w+)", page, re.M)), calls, "and stands under NAME")
    constants = set(re.findall(r"^#define (KVDSTORE_\w+) ", header, re.M))
    is_({c for c in constants if c not in page}, set(), "every constant is explained")


run(test_there, test_lint, test_references, test_library)
