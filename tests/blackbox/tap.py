# SPDX-License-Identifier: MIT
"""TAP for Python tests: one line per check, plan last, exit 1 when a check failed.

A test program is a list of functions given to run(); one that raises counts as one failed check and the next goes
on. Names of functions as arguments run only these. KVD_TEST_SEED replays a random test, KVD_TEST_LONG=1 lengthens.
"""
import os
import random
import sys
import time
import traceback

LONG = os.environ.get("KVD_TEST_LONG", "") not in ("", "0")
SANITIZED = bool(os.environ.get("KVD_SANITIZER", "").strip())
# What limits are multiplied with: they are written for a machine that does nothing else, and end only what would never end.
PATIENCE = 12 * float(os.environ.get("KVD_TEST_PATIENCE", "1"))

_count = 0
_failed = 0
_seed = None
running = False  # inside run()


class Skip(Exception):
    """Raised by a test that cannot run here; its text is the reason."""


def _print(line):
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _show(value, most=300):
    text = repr(value)
    return text if len(text) <= most else text[:most] + f"... ({len(text)} characters)"


def diag(*lines):
    for line in lines:
        for part in str(line).split("\n"):
            _print("# " + part)


def ok(good, name, *why):
    """One check. Lines in why are shown when it failed."""
    global _count, _failed
    _count += 1
    _print(f"{'' if good else 'not '}ok {_count} - {name.replace('#', 'no.')}")
    if not good:
        _failed += 1
        diag(*why)
    return bool(good)


def is_(got, expected, name, *why):
    """Equal in value and, where it matters on the wire, in kind: an error never equals a string."""
    same = got == expected and isinstance(got, Exception) == isinstance(expected, Exception)
    return ok(same, name, "got " + _show(got), "expected " + _show(expected), *why)


def todo(good, name, why, *lines):
    """A check of something that is promised and known not to hold yet: reported, not counted as a failure."""
    global _count
    _count += 1
    _print(f"{'' if good else 'not '}ok {_count} - {name.replace('#', 'no.')} # TODO {why}")
    if not good:
        diag(*lines)


def skip(name, why):
    global _count
    _count += 1
    _print(f"ok {_count} - {name} # SKIP {why}")


def skip_all(why):
    _print("1..0 # SKIP " + why)
    sys.exit(0)


def done():
    _print(f"1..{_count}")
    sys.exit(1 if _failed else 0)


def seed():
    """The seed of this run, printed once: always the same in make check, a new one each time in the long form."""
    global _seed
    if _seed is None:
        _seed = int(os.environ.get("KVD_TEST_SEED") or (random.SystemRandom().randrange(1 << 31) if LONG else 1))
        diag(f"KVD_TEST_SEED={_seed}")
    return _seed


def rng(salt=0):
    return random.Random(f"{seed()}/{salt}")


def poll(condition, seconds=5.0, pause=0.01):
    """Waits until condition() is true; returns its last value."""
    end = time.monotonic() + seconds * PATIENCE
    while True:
        value = condition()
        if value or time.monotonic() > end:
            return value
        time.sleep(pause)


def in_time(attempt, seconds, tries=20):
    """
    For what goes right only when it is done within a time. attempt() returns what went wrong, as a text ("" when nothing did). On a machine so busy that
    it took longer than those seconds that is no verdict, and it is tried again. Returns the last text.
    """
    for _ in range(tries):
        began = time.monotonic()
        wrong = attempt()
        if not wrong or time.monotonic() - began < seconds:
            break
    return wrong


def run(*tests, after=lambda failed: None):
    """Runs the test functions, then ends the program. after() cleans up behind each, told whether it failed."""
    global running
    running = True
    wanted = set(sys.argv[1:])
    for test in tests:
        name = test.__name__
        if wanted and name not in wanted:
            continue
        before, began = _failed, time.monotonic()
        try:
            test()
        except Skip as why:
            skip(name, str(why))
        except Exception as error:  # a broken test must not hide the others
            ok(False, f"{name} ran to its end", f"{type(error).__name__}: {error}", traceback.format_exc())
        after(_failed > before)
        if os.environ.get("KVD_TEST_TIMES"):
            diag(f"{name}: {time.monotonic() - began:.2f} s")
    done()
