#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The bugs of tests/store-mutants can still be seeded: each is a line that the sources have once."""
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "blackbox"))
from tap import is_, run  # noqa: E402


def test_stale():
    done = subprocess.run([sys.executable, os.path.join(HERE, "..", "store-mutants"), "--check"], capture_output=True, text=True)
    is_((done.returncode, done.stdout, done.stderr), (0, "", ""), "no bug of store-mutants is stale")


run(test_stale)
