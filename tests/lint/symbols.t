#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""libkvdstore exports its own names and nothing else."""
import glob
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "blackbox"))
from tap import Skip, ok, run, skip_all  # noqa: E402

TOP = os.environ.get("top_builddir") or os.path.dirname(os.path.dirname(HERE))
LIBRARY = next(iter(sorted(glob.glob(os.path.join(TOP, ".libs", "libkvdstore.so")))), None)

if not LIBRARY:
    skip_all("libkvdstore is not built")
if not shutil.which("nm"):
    skip_all("nm is not here")


def test_exports():
    out = subprocess.run(["nm", "-D", "--defined-only", LIBRARY], capture_output=True, text=True,
        check=True).stdout
    names = [line.split()[-1].split("@")[0] for line in out.splitlines() if len(line.split()) == 3
        and line.split()[1] in "TDBRVWu"]
    # Sanitizers and coverage put names of their own into every library.
    names = [n for n in names if not n.startswith(("__asan", "__ubsan", "__tsan", "__odr_asan", "__gcov",
        "__sanitizer", "_init", "_fini"))]
    ok(len(names) > 0, "there are exported functions")
    wrong = [n for n in names if not n.startswith("kvdstore_")]
    ok(not wrong, "all of them are kvdstore_*", *wrong)


def test_soname():
    if not shutil.which("objdump"):
        raise Skip("objdump is not here")
    out = subprocess.run(["objdump", "-p", LIBRARY], capture_output=True, text=True, check=True).stdout
    ok("SONAME" in out and "libkvdstore.so." in out, "it has a soname with a version")
    needed = [line.split()[1] for line in out.splitlines() if line.strip().startswith("NEEDED")]
    wrong = [n for n in needed if n.startswith(("libevent", "libsystemd", "libhiredis"))]
    ok(not wrong, "it needs neither libevent nor libsystemd", *wrong)


run(test_exports, test_soname)
