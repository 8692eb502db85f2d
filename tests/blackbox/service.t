#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""kvd as a service: readiness, watchdog, signals, stops, the log."""
import os
import re
import select
import signal
import socket
import threading
import time

from kvdtest import *
from straced import Faults


def has(line):
    return lambda text: line in text.split("\n")


def test_ready():
    kvd = Kvd()
    kvd.start(wait=False)
    ready = kvd.wait_note(has("READY=1"))
    ok(ready is not None, "READY=1 comes", kvd.log)
    with kvd.client(timeout=1) as c:
        is_(c("PING"), b"PONG", "and it serves then")
    ok(poll(lambda: any("STATUS=" in n for n in kvd.take_notes(0.01)), 3), "STATUS= tells what it does",
        str(kvd.notes))
    c = kvd.client()
    c.pipeline(*(("SET", f"k{i}", "v" * 200) for i in range(2000)))
    code, took = kvd.stop()
    is_(code, 0, "SIGTERM ends with 0")
    ok(took < 2 * PATIENCE, f"within {2 * PATIENCE:g} s ({took:.2f} s)")
    ok(poll(lambda: any(has("STOPPING=1")(n) for n in kvd.take_notes(0.01))), "STOPPING=1 was sent", str(kvd.notes[-3:]))
    ok(not os.path.exists(kvd.socket), "its own socket file is removed at the stop")
    kvd.start()
    is_(kvd.client()("DBSIZE"), 2000, "READY=1 comes when everything is loaded")


def test_recovery_status():
    """A log long enough that the start takes a moment."""
    kvd = Kvd(durability="never").start()
    c = kvd.client(timeout=60)
    n = 400000 if LONG else 60000
    block = 2000
    for at in range(0, n, block):
        c.send(b"".join(request("SET", b"recover%08d" % i, b"v" * 20) for i in range(at, at + block)))
        for _ in range(block):
            c.read()
    c.must("WAITAOF", 1, 0, 0)
    kvd.kill9()
    began = time.monotonic()
    kvd.start(wait=False)
    early = Client(kvd.socket, timeout=20) if poll(lambda: connects(kvd.socket), 20, 0.002) else None
    reply = early("GET", b"recover%08d" % (n - 1)) if early else None
    took = time.monotonic() - began
    ok(reply == b"v" * 20 or (isinstance(reply, Error) and reply.kind == "LOADING"),
       f"a client that comes before READY waits or is told LOADING, never nil ({took * 1000:.0f} ms)",
       repr(reply))
    ok(kvd.wait_note(has("READY=1"), 60) is not None, "READY=1 follows")
    is_(kvd.client()("DBSIZE"), n, "with everything there")
    ok(any(t.startswith("STATUS=recovering: ") for _, t in kvd.notes), "and STATUS= says how far it is, on the way", str(kvd.notes))


def connects(path):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        s.connect(path)
        return True
    except OSError:
        return False
    finally:
        s.close()


def test_watchdog():
    kvd = Kvd()
    kvd.start(env={"WATCHDOG_USEC": "600000"})

    def gaps():
        beats = [at for at, text in list(kvd.notes) if has("WATCHDOG=1")(text)]
        return sorted(b - a for a, b in zip(beats, beats[1:]))

    # In the middle, as the machine may be busy with other things.
    ok(poll(lambda: len(gaps()) >= 5 and 0.1 < gaps()[len(gaps()) // 2] < 0.4), "WATCHDOG=1 comes at a third of the interval, which is 0.6 s",
        str(gaps()))
    os.kill(kvd.pid, signal.SIGSTOP)
    poll(lambda: not select.select([kvd.notify], [], [], 0)[0])
    time.sleep(0.3)
    before = len(kvd.notes)
    kvd.take_notes(0.7)
    is_(len(kvd.notes), before, "a stopped process sends none")
    os.kill(kvd.pid, signal.SIGCONT)
    ok(poll(lambda: kvd.client()("PING") == b"PONG"), "SIGCONT: it goes on")
    kvd.stop()
    kvd.start()
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        kvd.take_notes(0.05)
    ok(not any("WATCHDOG=1" in text for _, text in kvd.notes), "without WATCHDOG_USEC no keepalive")


def test_signals():
    kvd = Kvd().start()
    c = kvd.client()
    c.must("SET", "a", "1")
    for sig in (signal.SIGPIPE, signal.SIGCONT, signal.SIGHUP):
        os.kill(kvd.pid, sig)
        time.sleep(0.05)
        is_(c("GET", "a"), b"1", f"{sig.name} harms nothing")
    code, took = kvd.stop(signal.SIGINT)
    is_(code, 0, f"SIGINT ends with 0 ({took:.2f} s)")
    kvd.start()
    c = kvd.client()
    c.send(b"".join(request("SET", f"k{i}", "v") for i in range(2000)))
    time.sleep(0.02)
    kvd.process.terminate()
    replies = c.rest()
    n = replies.count(b"+OK\r\n")
    ok(replies == b"+OK\r\n" * n, "SIGTERM answers what was read, with whole replies", repr(replies[-50:]))
    is_(kvd.wait_exit(), 0, "and ends with 0")
    kvd.start()
    ok(kvd.client()("DBSIZE") >= n, "and what was answered is there")


def test_signals_while_stopping():
    """Who asks again has been heard: at no moment of the stop does a signal end it before it is done."""
    for sig in (signal.SIGTERM, signal.SIGINT):
        kvd = Kvd().start(env={"ASAN_OPTIONS": "detect_leaks=0"})  # which does not work for a program that is traced when it ends
        kvd.client().must("SET", "a", "1")
        # Whatever is done about signals takes long, so that some come between any two steps.
        with Faults(kvd, "rt_sigaction", "delay_exit=30000"):
            while kvd.process.poll() is None:
                kvd.process.send_signal(sig)
                time.sleep(0.001)
        is_(kvd.wait_exit(), 0, f"{sig.name} again and again ends with 0", kvd.log)
        ok("everything is on disk" in kvd.log, "and the last sync is waited for", kvd.log)


def test_stop_with_idle_and_slow_clients():
    kvd = Kvd().start()
    idle = [kvd.client() for _ in range(20)]
    for c in idle:
        c("PING")
    half = kvd.client()
    half.send(b"*3\r\n$3\r\nSET\r\n$1\r\n")
    greedy = kvd.client()
    greedy("SET", "v", b"x" * (1 << 20))
    greedy.send(request("GET", "v") * 30)
    code, took = kvd.stop()
    ok(code == 0 and took < 2 * PATIENCE,
        f"idle clients, half requests and unread replies do not hold the stop ({took:.2f} s)", f"code {code}")


def test_shutdown_command():
    kvd = Kvd().start()
    c = kvd.client()
    c.must("SET", "a", "1")
    c.post("SHUTDOWN")
    ok(c.closed(), "SHUTDOWN closes")
    is_(kvd.wait_exit(), 0, "and ends with 0")
    kvd.start()
    is_(kvd.client()("GET", "a"), b"1", "cleanly")


def test_stop_under_load():
    kvd = Kvd().start()
    acknowledged = {}

    def load(i):
        try:
            with Client(kvd.socket) as c:
                n = 0
                while True:
                    n += 1
                    c.must("SET", f"l{i}", n)
                    acknowledged[f"l{i}"] = n
        except (Closed, OSError):
            pass

    threads = [threading.Thread(target=load, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    poll(lambda: sum(acknowledged.values()) > 500, 10)
    code, took = kvd.stop()
    for t in threads:
        t.join()
    is_(code, 0, "SIGTERM under load ends with 0")
    ok(took < 2 * PATIENCE, f"within {2 * PATIENCE:g} s ({took:.2f} s)")
    kvd.start()
    c = kvd.client()
    ok(all(int(c("GET", k)) >= n for k, n in acknowledged.items()), "every acknowledged write is there")


def ping_pong(kvd, n, seconds):
    """
    n connections that answer each reply with the next request as fast as they can. After that time, and some
    replies to each, SIGTERM is sent.
    Returns (replies before it, the most replies one connection got after it, seconds from it to the last close).
    """
    poller, clients = select.epoll(), {}
    for i in range(n):
        c = kvd.client()
        poller.register(c.sock.fileno(), select.EPOLLIN)
        clients[c.sock.fileno()] = (c.sock, request("SET", f"pong{i}", "x" * 100))
        c.sock.send(clients[c.sock.fileno()][1])
    before, after, told = 0, dict.fromkeys(clients, 0), None
    end = time.monotonic() + seconds
    while clients and time.monotonic() < end + 20 * PATIENCE:
        if told is None and time.monotonic() > end and before > 10 * n:
            kvd.process.terminate()
            told = time.monotonic()
        for fd, _ in poller.poll(0.1):
            sock, again = clients[fd]
            try:
                got = sock.recv(1 << 16)
                if told is None:
                    before += 1
                elif got:
                    after[fd] += 1
                if got:
                    sock.send(again)
            except OSError:
                got = b""
            if not got:
                poller.unregister(fd)
                del clients[fd]
    poller.close()
    return before, max(after.values()), time.monotonic() - (told or end)


def test_stop_under_ping_pong():
    """Clients whose next request is there at once must not keep it alive: what comes after SIGTERM is not read."""
    for durability in ("always", "never"):
        for n in (1, 2, 30):
            kvd = Kvd(durability=durability).start()
            before, after, took = ping_pong(kvd, n, 0.2)
            name = f"{n} fast clients, durability {durability}"
            ok(before > 10 * n, f"{name}: it was busy ({before} replies)")
            ok(after <= 20, f"{name}: after SIGTERM at most what was on its way is answered ({after} replies)")
            ok(took < 2 * PATIENCE, f"{name}: all are closed within {2 * PATIENCE:g} s ({took:.2f} s)")
            is_(kvd.wait_exit(), 0, f"{name}: and it ends with 0")


def test_stop_answers_what_has_come():
    """Pipelines that were sent before SIGTERM, longer than one read, are answered to the last request."""
    is_(in_time(stop_behind_pipelines, 4), "", "4 pipelines of 1000 requests are all answered, which may take 5 seconds")


def stop_behind_pipelines():
    kvd = Kvd().start()
    clients = [kvd.client() for _ in range(4)]
    for c in clients:
        c.must("PING")
    os.kill(kvd.pid, signal.SIGSTOP)
    n = 1000
    for i, c in enumerate(clients):
        c.send(b"".join(request("SET", f"sent{i}-{k}", "x" * 60) for k in range(n)))
    kvd.process.terminate()
    os.kill(kvd.pid, signal.SIGCONT)
    got = [c.rest().count(b"+OK\r\n") for c in clients], kvd.wait_exit(), kvd.start().client()("DBSIZE")
    kvd.kill9()
    return "" if got == ([n] * 4, 0, 4 * n) else f"answers, exit code and keys are {got}"


def stop_before_one_request():
    """What goes wrong, and the seconds in which the clients have said the rest and are answered."""
    kvd, wrong = Kvd().start(), []

    def expect(got, expected, name):
        if got != expected:
            wrong.append(f"{name}: got {got!r}")

    half, silent, waiter = (kvd.client() for _ in range(3))
    for c in (half, silent, waiter):
        c.must("PING")
    first, second = request("SET", "half", "h" * 50), request("SET", "late", "l")
    half.send(first[:30])
    silent.send(first[:30])
    waiter.post("WAITAOF", 1, 1, 0)
    began = time.monotonic()
    fresh = kvd.client()
    kvd.process.terminate()
    expect(kvd.wait_note(has("STOPPING=1")) is not None, True, "STOPPING=1 comes")
    answers = []
    for c, rest in ((half, first[30:] + second), (fresh, request("SET", "fresh", "f") + second)):
        if send_quietly(c, rest):
            answers.append(c)
    answers = [answer(c) for c in answers]
    took = time.monotonic() - began
    expect(answers, [OK, OK], "a request half sent before SIGTERM is finished, and one that has just connected gets one request answered")
    expect(half.rest() + fresh.rest(), b"", "the next is not read")
    expect(waiter.rest(), b"*2\r\n:1\r\n:0\r\n", "a wait without an end ends")
    expect(silent.rest(), b"", "one that does not finish is closed")
    expect(kvd.wait_exit(), 0, "and it ends with 0")
    kvd.start()
    expect(kvd.client()("MGET", "half", "fresh", "late"), [b"h" * 50, b"f", None], "what was answered was done, no more")
    kvd.kill9()
    return wrong, took


def answer(c):
    try:
        return c.read()
    except (Closed, OSError) as error:
        return error


def test_stop_lets_finish_one_request():
    """Who is in the middle of a request may finish it; who has just connected may say one thing; nobody more."""
    for _ in range(20):
        wrong, took = stop_before_one_request()
        if not wrong or took < 0.4:  # they have half a second, which a busy machine may take from them
            break
    ok(not wrong, "requests under way at SIGTERM are finished, nothing behind them is read, and nobody waits for ever", *wrong)


def test_deaf_manager():
    """A service manager too busy to read its socket must not stall the clients."""
    kvd = Kvd()
    deaf = os.path.join(kvd.dir, "deaf")
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(deaf)
    kvd.start(wait=False, env={"NOTIFY_SOCKET": deaf, "WATCHDOG_USEC": "30000"})
    ok(poll(lambda: connects(kvd.socket), 10), "it starts")
    c = kvd.client(timeout=3)
    slowest, n, problem = 0, 0, None
    end = time.monotonic() + 2
    try:
        while time.monotonic() < end:
            n += 1
            began = time.monotonic()
            c.must("SET", f"deaf{n % 100}", n)
            slowest = max(slowest, time.monotonic() - began)
    except (OSError, Closed) as error:
        problem = error
    ok(problem is None and slowest < 5 * PATIENCE,
        f"a notify socket nobody reads stalls no client ({slowest * 1000:.0f} ms)", repr(problem))
    manager.close()


def test_logging():
    kvd = Kvd().start()
    c = kvd.client()
    c.must("SET", "secret-key", "secret-value")
    c("NOSUCH", "secret-argument")
    kvd.stop()
    ok("secret" not in kvd.log, "no data in the log", kvd.log)
    ok(kvd.log.strip() != "" and not kvd.log.startswith("<"),
        "lines without a priority prefix when no journal reads", kvd.log[:200])
    info = os.stat(kvd.log_path)
    code, log = kvd.fails("--no-such-option=1", env={"JOURNAL_STREAM": f"{info.st_dev}:{info.st_ino}"})
    ok(re.search(r"^<3>", log, re.M), "with <N> when the journal does", log)


run(test_ready, test_recovery_status, test_watchdog, test_signals, test_signals_while_stopping, test_stop_with_idle_and_slow_clients,
    test_shutdown_command, test_stop_under_load, test_stop_under_ping_pong, test_stop_answers_what_has_come,
    test_stop_lets_finish_one_request, test_deaf_manager, test_logging)
