#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""kvctl where it stays: top, watch; and what it offers to shells and service managers: completion, reload."""
import json
import os
import re
import shutil
import signal
import subprocess
import termios
import threading
import time

from kvctltest import *
from kvctltest import kvd


class Traffic:
    """A client that reads keys, of which every other one is there."""

    def __init__(self):
        self.going = True
        kvd.client().must("SET", "there", "1")
        self.thread = threading.Thread(target=self.work, daemon=True)
        self.thread.start()

    def work(self):
        with Client(kvd.socket) as c:
            while self.going:
                c("GET", "there")
                c("GET", "gone")

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.going = False
        self.thread.join()


def test_top():
    fresh()
    with Traffic():
        for interval in (0.1, 1, 5, 20):  # on a busy machine little may happen in a short one
            code, out, errors = kvctl("top", "--once", "--json", "--interval", f"{interval * 1000:.0f}ms")
            got = json.loads(out)
            if got["commands_per_s"] * interval > 20:
                break
        ok(code == 0 and not errors and got["commands_per_s"] > 0 and got["keys"] == 1, "top --once --json", got, errors)
        ok(got["commands"]["get"]["per_s"] > 0, "tells commands by name", got)
        ok(0.2 < got["hit_rate"] < 0.8, "and the hit rate", got)
        code, out, errors = kvctl("top", "--count=3", "-i", "20ms", "--json")
        is_((code, len(out.splitlines())), (0, 3), "--count looks, a line each")
        for interval in ("50ms", "1s", "5s", "20s"):
            code, out, errors = kvctl("top", "--once", "-i", interval)
            text = out.decode()
            if re.search("^get ", text, re.M):
                break
        ok(code == 0 and all(re.search(rf"^{w} ", text, re.M) for w in ("kvd", "commands", "clients", "log", "keys", "memory", "disk", "COMMAND", "get")),
            "for people", text)
        ok("\x1b" not in text, "without colours in a pipe", text)
        t = Terminal("top", "-i", "50ms", env={"TERM": "xterm"})
        ok(t.expect(b"\x1b[?1049h") and t.expect(b"hit rate") and t.expect(b"hit rate"), "it is drawn again and again", t.seen)
        ok(not termios.tcgetattr(t.master)[3] & termios.ICANON, "keys are heard at once")
        t.type(b"q")
        ok(t.expect(b"\x1b[?1049l"), "q ends it and gives the screen back", t.seen)
        ok(poll(lambda: termios.tcgetattr(t.master)[3] & termios.ICANON), "and the mode of the terminal")
        is_(t.finish()[0], 0, "with exit code 0")
        for name, number in (("control-C", signal.SIGINT), ("SIGTERM", signal.SIGTERM)):
            t = Terminal("top", env={"TERM": "xterm"})
            t.expect(b"hit rate")
            t.process.send_signal(number)
            ok(t.expect(b"\x1b[?1049l"), f"{name} gives the screen back", t.seen)
            is_(t.finish()[0], -number, "and ends it by the signal")
        t = Terminal("top", "-i", "50ms", env={"TERM": "xterm", "NO_COLOR": "1"})
        text = (t.expect(b"disk") or b"") + (t.expect(b"disk") or b"")
        t.type(b"q")
        t.finish()
        ok(b"disk" in text and not re.search(rb"\x1b\[\d+m", text), "NO_COLOR is heeded", text)
        t = Terminal("top", "--once", "-i", "20ms")
        code, out = t.finish()
        ok(code == 0 and b"\x1b" not in out and b"hit rate" in out, "a dumb terminal gets lines", out)
    for args in (["-i", "1ms"], ["-i", "x"], ["-c", "x"]):
        check(["top", *args], 2, b"", f"top {args}", "no (interval|number)")
    check(["-s", "/nonexistent", "top"], 3, b"", "top without a daemon", "systemctl start kvd")
    p = subprocess.Popen([KVCTL, "top", "-i", "10ms"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENV)
    p.stdout.read(10)
    p.stdout.close()
    ok(p.wait(10 * PATIENCE) == -signal.SIGPIPE and p.stderr.read() == b"", "it ends when its reader goes")
    p.stderr.close()


def test_top_loses_daemon():
    fresh()
    t = Terminal("top", "-i", "20ms", env={"TERM": "xterm"})
    t.expect(b"hit rate")
    kvd.kill9()
    code, rest = t.finish()
    ok(code == 3 and b"\x1b[?1049l" in rest, "a daemon that dies ends top, and the screen comes back", code, rest)
    # What was said belongs on the screen that stays.
    ok(rest.rfind(b"kvctl:") > rest.rfind(b"\x1b[?1049l"), "with the reason behind it", rest)


def watchers(n, seconds=5.0):
    """Waits until so many listen; before the next one begins the last must have gone."""
    return poll(lambda: kvd.client()("PUBSUB", "NUMPAT") == n, seconds)


class Watcher:
    def __init__(self, *args):
        watchers(0)
        self.process = subprocess.Popen([KVCTL, "watch", *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENV,
            preexec_fn=default_signals)
        self.listens = poll(lambda: watchers(1, 0) or self.process.poll() is not None) and self.process.poll() is None

    def finish(self):
        out, errors = self.process.communicate(timeout=10 * PATIENCE)
        return self.process.returncode, out, errors


def test_watch():
    c = fresh()
    check(["watch", "x"], 1, b"", "watch while events are off says what to do", "CONFIG SET notify-keyspace-events KA.*kvd.conf")
    c.must("CONFIG", "SET", "notify-keyspace-events", "KElshz")
    check(["watch", "x"], 1, b"", "and when none are told that ever happen", "keyspace events are off")
    c.must("CONFIG", "SET", "notify-keyspace-events", "KA")
    w = Watcher("a[*]", "--limit=3")
    c.must("SET", "other", "1")
    c.must("SET", "ab", "1")
    c.must("SET", "a[*]1", "1")
    c.must("SET", b"a[*]\xff\n", "1")
    c.must("DEL", "a[*]1")
    is_(w.finish(), (0, b"set\ta[*]1\nset\ta[*]\xff\n\ndel\ta[*]1\n", b""), "the prefix is one, and no pattern")
    w = Watcher("--json", "-l1", "-n", "3")
    c.must("SET", "zero", "1")
    c.must("SELECT", "3")
    c.must("SET", b"\xff", "1")
    is_(w.finish(), (0, b'{"event":"set","key_base64":"/w=="}\n', b""), "watch --json of another database")
    for limit in (0.05, 0.5, 5):  # in which the connection itself must be made
        w = Watcher(f"--timeout={limit * 1000:.0f}ms", "-l1", "-n3")
        if w.listens:
            break
    time.sleep(4 * limit)  # nothing can be polled for, as nothing is to happen
    c.must("SET", "late", "1")
    is_(w.finish(), (0, b"set\tlate\n", b""), "--timeout is for replies, not for changes")
    w = Watcher()
    w.process.send_signal(signal.SIGINT)
    is_(w.finish()[0], -signal.SIGINT, "control-C ends it")
    watchers(0)
    t = Terminal("watch", "-n", "3", env={"TERM": "xterm"})
    ok(t.expect(b"control-C ends it"), "on a terminal it says how to end it", t.seen)
    watchers(1)
    c.must("SET", "e\x1b[2J", "1")
    ok(t.expect(b"e\\x1b[2J\n"), "and keys are escaped", t.seen)
    t.process.send_signal(signal.SIGINT)
    t.finish()
    watchers(0)
    t = Terminal()
    t.expect(b"> ")
    t.type(b"watch --limit 1 s\n")
    watchers(1)
    c.must("SELECT", 0)
    c.must("SET", "shell", "1")
    ok(t.expect(b"set\tshell\n"), "in the shell, too", t.seen)
    t.expect(b"> ")
    t.type(b"get shell\n")
    ok(t.expect(b"1\n"), "which goes on behind it", t.seen)
    t.end_input()
    t.finish()
    c.must("CONFIG", "SET", "notify-keyspace-events", "")
    check(["watch", "--limit", "x"], 2, b"", "a malformed limit", "no number")


def test_stats():
    c = fresh()
    c.must("SET", "a", "x" * 1000000)
    c.must("SET", "a", "y" * 1000000)
    lines = dict(line.split(":") for line in kvctl("stats")[1].decode().splitlines())
    is_(list(lines)[:5], ["Keys", "Segments", "Total size", "Active segment", "Oldest segment"], "the five lines of stats")
    total, live, garbage = (float(lines[n].split()[0]) for n in ("Total size", "Live", "Garbage"))
    ok(live > 0.9 and garbage > 0.9 and abs(total - live - garbage) < 0.02, "what is live and what is garbage", lines)


# ---- completion


BASH = r"""
source "$1"
try() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _kvctl; printf '%s\n' "${COMPREPLY[*]}"; }
try kvctl se; try kvctl set --if-p; try kvctl -q get k; try kvctl help exp; try kvctl completion ''
try kvctl --socket x li; try kvctl ping ''; try kvctl list --from q; try kvctl get --r
try kvctl export --format ''; try kvctl import -f c; try kvctl snapshot ''; try kvctl snapshot d
try kvctl export --format =; try kvctl export --format = c; try kvctl --socket = x li
"""


def zsh_completes(file, env):
    """Its completion works on a terminal only; that a word was completed is shown by what the line then does."""
    t = Terminal("-f", "-i", program="zsh", env={**env, "TERM": "xterm"})
    t.type(b"PS1=$'re\\x61dy '; fpath=(%s $fpath); autoload -Uz compinit && compinit -u -D\r" % os.path.dirname(file).encode())
    ok(t.expect(b"ready ", 30), "zsh loads it", t.seen)
    t.type(b"kvctl persi\t --help\r")
    ok(t.expect(b"usage: kvctl persist KEY", 30), "zsh completes verbs", t.seen)
    t.type(b"kvctl set --if-pre\t only yes\r")
    ok(t.expect(b"not set: Key not found", 30), "and options", t.seen)
    t.type(b"kvctl export --format c\t -j\r")
    ok(t.expect(b"q,5,", 30), "and what an option may be", t.seen)
    t.type(b"kvctl get 'k;\t\r")
    ok(t.expect(b"four", 30), "and keys", t.seen)
    t.type(b"exit\r")
    t.finish()


def test_completion():
    c = fresh()
    c.must("MSET", "k1", "1", "k/2", "2", "k$(touch owned)", "3", "k;4", "four", "q", "5")
    files = {}
    for name, shell in (("kvctl", "bash"), ("_kvctl", "zsh"), ("kvctl.fish", "fish")):
        code, out, errors = kvctl("completion", shell, env={"KVD_SOCKET": "/nonexistent"})
        with open(os.path.join(TOP, "packaging", "completion", name), "rb") as f:
            ok(code == 0 and not errors and f.read() == out, f"completion {shell} is what was built", errors)
        files[shell] = os.path.join(HOME, name)
        with open(files[shell], "wb") as f:
            f.write(out)
        for verb in kvctl("help", "--names")[1].split():
            if verb not in (b"quit", b"exit") and not re.search(rb"(?<![\w-])%s(?![\w-])" % verb, out):
                ok(False, f"{shell} completes {verb.decode()}")
        if shutil.which(shell):
            p = subprocess.run([shell, "-n", files[shell]], stderr=subprocess.PIPE)
            ok(p.returncode == 0, f"{shell} can read it", p.stderr)
    check(["completion", "sh"], 2, b"", "another shell", "bash, zsh and fish")
    path = {"PATH": TOP + ":" + os.environ["PATH"]}
    p = subprocess.run(["bash", "-c", BASH, "bash", files["bash"]], capture_output=True, text=True, env={**ENV, **path}, cwd=HOME)
    is_(p.stdout.split("\n")[:-1], ["set", "--if-present", "k/2 k1", "expire export", "bash zsh fish", "list", "", "q", "--raw",
        "ndjson csv resp", "csv", "create list verify export restore delete", "delete",
        "ndjson csv resp", "csv", "list"],
        "bash completes verbs, options, and keys that are safe", p.stderr)
    ok(not os.path.exists(os.path.join(HOME, "owned")), "and runs no key")
    if shutil.which("zsh"):
        zsh_completes(files["zsh"], path)
    else:
        skip("zsh completes", "zsh is not here")
    if shutil.which("fish"):
        p = subprocess.run(["fish", "--no-config", "-c", 'source $argv[1]; complete -C "kvctl se"; complete -C "kvctl set --if-p"; '
            'complete -C "kvctl export --format "; complete -C "kvctl import -f c"; complete -C "kvctl snapshot r"', files["fish"]],
            capture_output=True, text=True, env={**ENV, **path})
        is_([line.split("\t")[0] for line in p.stdout.splitlines()], ["set", "--if-present", "csv", "ndjson", "resp", "csv", "restore"], "fish completes", p.stderr)
    else:
        skip("fish completes", "fish is not here")


def test_reload():
    fresh()
    if os.path.exists("/run/systemd/system"):
        raise Skip("a systemd is here, whose units are not ours to reload")
    check(["reload"], 1, b"", "reload outside systemd says what to do", f"kill -HUP {kvd.pid}")


run(test_top, test_top_loses_daemon, test_watch, test_stats, test_completion, test_reload)
