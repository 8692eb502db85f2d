# SPDX-License-Identifier: MIT
"""What a start finds on disk: much, slow, damaged, not writable, taken. And what the journal says of it all."""
import glob
import re
import tempfile

from guest import *

SLOW = "kvd-slow.service"


def run_slow(directory, inject, timeout=4):
    """A daemon of its own as a service whose reads are delayed by strace; returns what systemd-run returned."""
    sh("systemctl", "reset-failed", SLOW)
    return sh("systemd-run", "--quiet", "--unit=" + SLOW, "-p", "Type=notify", "-p", f"TimeoutStartSec={timeout}",
        "-p", "TimeoutStopSec=3s",
        "strace", "-D", "-f", "-q", "-o", "/dev/null", "-e", "trace=pread64,preadv2,fsync,fdatasync",
        *(["-e", "inject=" + inject] if inject else []),
        "/usr/sbin/kvd", "--config=/dev/null", f"--data-dir={directory}/data", f"--socket={directory}/kvd.sock")


def fill(path, n, size=20):
    with Client(path, timeout=120) as c:
        block = 5000
        for at in range(0, n, block):
            c.send(b"".join(request("SET", b"fill%09d" % i, b"v" * size) for i in range(at, at + block)))
            for _ in range(block):
                c.read()


def check_slow_recovery():
    """The start timeout is four seconds, the recovery takes longer: only progress keeps it alive."""
    with tempfile.TemporaryDirectory() as directory:
        n = 3000000 if LONG else 500000
        is_(run_slow(directory, None).code, 0, "a daemon under strace starts")
        fill(directory + "/kvd.sock", n)
        must("systemctl", "kill", "-s", "KILL", SLOW)
        poll(lambda: not is_active(SLOW), 10)
        since, begun, said = cursor(), time.monotonic(), []
        runner = threading.Thread(target=lambda: said.append(run_slow(directory, "pread64,preadv2:delay_enter=700000")))
        runner.start()
        seen = set()
        while runner.is_alive():
            text = status_text(SLOW)
            if text.startswith("recovering"):
                seen.add(text)
            time.sleep(0.2)
        runner.join()
        took = time.monotonic() - begun
        is_(said[0].code, 0, f"a recovery longer than TimeoutStartSec goes on while it makes progress ({took:.1f} s)",
            manager_lines(since, SLOW))
        ok(took > 5, f"it was longer ({took:.1f} s of 4)")
        ok(len(seen) >= 3, "STATUS follows it", seen)
        ok(all(re.fullmatch(r"recovering: \d+ of \d+ MiB \(\d+ %\)", text) for text in seen), "in MiB and percent", seen)
        with Client(directory + "/kvd.sock", timeout=60) as c:
            is_(c("DBSIZE"), n, "and everything is there")
        if took > 12:
            ok([t for t in texts(entries(since, SLOW)) if t.startswith("recovering")], "the journal follows it, too")
        must("systemctl", "kill", "-s", "KILL", SLOW)
        poll(lambda: not is_active(SLOW), 10)
        if not LONG:
            skip("a stuck recovery ends at the timeout", "takes a minute, KVD_TEST_LONG is not set")
            return
        begun = time.monotonic()
        result = run_slow(directory, "pread64,preadv2:delay_enter=300000000:when=6")
        took = time.monotonic() - begun
        ok(result.code != 0 and took < 60 * PATIENCE, f"a recovery that is stuck ends at the timeout ({took:.0f} s)", result)
        is_(show(SLOW, "Result"), "timeout", "as a timeout")


def check_slow_disk():
    """A sync that takes longer than the watchdog's interval is the disk's fault, in service and at the stop."""
    with tempfile.TemporaryDirectory() as directory:
        sh("systemctl", "reset-failed", SLOW)
        must("systemd-run", "--quiet", "--unit=" + SLOW, "-p", "Type=notify", "-p", "WatchdogSec=2s",
            "/usr/sbin/kvd", "--config=/dev/null", f"--data-dir={directory}/data", f"--socket={directory}/kvd.sock")
        pid, since = main_pid(SLOW), cursor()
        tracer = subprocess.Popen(["strace", "-f", "-q", "-o", "/dev/null", "-p", str(pid), "-e", "trace=fsync,fdatasync",
            "-e", "inject=fsync,fdatasync:delay_enter=3500000"], stderr=subprocess.DEVNULL)
        traced = lambda: re.search(rf"^TracerPid:\t{tracer.pid}$", file_of(pid, "status"), re.M)
        ok(poll(traced, 10), "strace slows the disk down")
        with Client(directory + "/kvd.sock", timeout=60) as c:
            begun = time.monotonic()
            c.must("SET", "slow", "disk")
            took = time.monotonic() - begun
        ok(took > 2.5, f"a write takes longer than the watchdog's interval ({took:.1f} s of 2)")
        is_(main_pid(SLOW), pid, "the daemon is not taken for hung")
        begun = time.monotonic()
        must("systemctl", "stop", SLOW)
        took = time.monotonic() - begun
        ok(took > 2.5, f"so does the final sync ({took:.1f} s)")
        tracer.wait()
        lines = manager_lines(since, SLOW)
        ok(not any("Watchdog timeout" in t or "Failed" in t for t in lines), "and the stop is a clean one", lines)


def check_disk_error():
    with tempfile.TemporaryDirectory() as directory:
        result = run_slow(directory, "fsync:error=EIO:when=1", timeout=30)
        ok(result.code != 0, "a sync that fails at the start fails the start", result)
        is_(show(SLOW, "ExecMainStatus"), "74", "with exit status 74")


def check_moved_data():
    """The data directory somewhere the unit does not allow, then with the drop-in that the error message names."""
    where = "/srv/kvd-data"
    must("install", "-d", "-m", "0700", "-o", "kvd", "-g", "kvd", where)
    write(DROP_IN, f"data-dir = {where}\n")
    since = cursor()
    ok(sh("systemctl", "restart", SERVICE).code != 0, "a data directory outside the unit's walls: the start fails")
    is_(show(SERVICE, "ExecMainStatus"), "78", "with exit status 78")
    text = "\n".join(texts(entries(since)))
    ok(where in text, "the message names the directory", text)
    found = re.search(r"(/etc/systemd/system/kvd\.service\.d/\S+\.conf)\b.*?(\[Service\]) (ReadWritePaths=\S+)", text)
    ok(found, "and the drop-in to write", text)
    ok(where in status_text(), "STATUS names it", status_text())
    ok(not os.listdir(where), "nothing was left there")
    if found:
        write(found[1], f"{found[2]}\n{found[3]}\n")
        must("systemctl", "daemon-reload")
        result = sh("systemctl", "start", SERVICE)
        is_(result.code, 0, "with that drop-in it starts", result, texts(entries(since)))
        is_(kvctl("set", "moved", "1").code, 0, "and takes writes")
        is_(sorted(n for n in os.listdir(where) if not n.endswith(".seg")), ["CATALOG", "LOCK"],
            "and nothing but the store is in the new place")
        remove(found[1])
    must("chown", "root:root", where)
    since = cursor()
    ok(sh("systemctl", "restart", SERVICE).code != 0, "a directory of somebody else: the start fails")
    is_(show(SERVICE, "ExecMainStatus"), "78", "with exit status 78")
    text = "\n".join(texts(entries(since)))
    ok(where in text and "chown" in text, "the message says whose it should be", text)
    must("rm", "-rf", where)


def check_damage():
    with Client(PATH) as c:
        for i in range(1000):
            c.must("SET", f"damage:{i}", "v" * 100)
    must("systemctl", "stop", SOCKET, SERVICE)
    must("cp", "-a", DATA, "/var/lib/kvd-kept")
    remove(DATA + "/CHECKPOINT")  # what it covers, which hangs on what the checks before have written, is not read at a start
    segment = sorted(glob.glob(DATA + "/*.seg"))[-1]
    with open(segment, "r+b") as f:
        f.seek(os.path.getsize(segment) // 2)
        f.write(b"\xff" * 64)
    since = cursor()
    ok(sh("systemctl", "start", SERVICE).code != 0, "a damaged store does not start")
    is_(show(SERVICE, "ExecMainStatus"), "65", "with exit status 65")
    ok(any(os.path.basename(segment) in t and "offset" in t for t in texts(entries(since))), "naming file and offset",
        texts(entries(since)))
    ok("damaged" in status_text(), "STATUS has it", status_text())
    ok(entries(since, PRIORITY="3"), "as an error")
    must("systemctl", "stop", SOCKET, SERVICE)
    must(f"rm -rf {DATA}/* && cp -a /var/lib/kvd-kept/. {DATA}/ && rm -rf /var/lib/kvd-kept")
    sh("systemctl", "reset-failed")
    is_(sh("systemctl", "start", SOCKET, SERVICE).code, 0, "with the damage mended it starts again")


def check_taken():
    pid = main_pid()
    result = sh("/usr/sbin/kvd", "--config=/dev/null", f"--data-dir={DATA}", "--socket=/tmp/second.sock", user="kvd")
    is_(result.code, 73, "a second daemon on the same data ends with 73", result)
    ok(str(pid) in result.text, "and names the process of the first", result)
    ok(answers(), "which goes on")


def check_journal():
    since = cursor()
    must("systemctl", "restart", SERVICE)
    pid = main_pid()
    for name, identity in (("started", "dd24d2c785af43bab856617d7baed261"), ("recovered", "8fbad44ba7094d9e90ec8f14604e8b64"),
        ("stopped", "5fbe69c7383e4a3f9e4a6af7847799c2")):
        found = entries(since, MESSAGE_ID=identity)
        is_(len(found), 1, f"one entry says that kvd {name}", texts(entries(since)))
        ok(found and found[0]["PRIORITY"] == "5" and found[0]["SYSLOG_IDENTIFIER"] == "kvd", f"{name}: a notice of kvd", found)
        text = explained(identity)
        ok("Defined-By: kvd" in text, f"{name}: the catalog explains it", text)
        ok("@KVD_" not in text, f"{name}: every field it names is there", text)
    fields = (entries(since, MESSAGE_ID="8fbad44ba7094d9e90ec8f14604e8b64") or [{}])[0]
    ok(fields.get("KVD_RECORDS", "").isdigit() and fields.get("KVD_BYTES", "").isdigit(), "recovered: KVD_RECORDS and KVD_BYTES", fields)
    fields = (entries(since, MESSAGE_ID="dd24d2c785af43bab856617d7baed261") or [{}])[0]
    is_((fields.get("KVD_DATA_DIR"), fields.get("KVD_SOCKET")), (DATA, PATH), "started: KVD_DATA_DIR and KVD_SOCKET")
    ok(fields.get("KVD_VERSION"), "and KVD_VERSION", fields)
    stamped = [t for t in texts(entries(since)) if re.search(r"^\d{4}-\d\d-\d\dT|^<\d>", t)]
    is_(stamped, [], "no line has a second time stamp or a bare priority")
    with open("/tmp/log", "w") as log:
        result = subprocess.run(["systemd-run", "--quiet", "--pipe", "--wait", "-p", "User=kvd", "/usr/sbin/kvd", "--durability=x"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    with open("/tmp/log") as log:
        text = log.read()
    ok(result.returncode == 78 and re.match(r"\d{4}-\d\d-\d\dT\S+ error: ", text), "away from the journal lines have a time stamp", text)
    result = sh("JOURNAL_STREAM=1:2 /usr/sbin/kvd --durability=x")
    ok(re.match(r"\d{4}-\d\d-\d\dT\S+ error: ", result.err), "also when JOURNAL_STREAM names another stream than ours", result)
    since = cursor()
    must("systemctl", "kill", "-s", "KILL", SERVICE)
    poll(lambda: answers(), 20)
    is_(len(entries(since, MESSAGE_ID="5fbe69c7383e4a3f9e4a6af7847799c2")), 0, "who was killed does not say that it stopped")


def check_torn_tail():
    with Client(PATH) as c:
        c.must("SET", "before", "the power cut")
        must("systemctl", "kill", "-s", "KILL", SERVICE)
    must("systemctl", "stop", SOCKET, SERVICE)
    sh("systemctl", "reset-failed")
    segment = sorted(glob.glob(DATA + "/*.seg"))[-1]
    with open(segment, "rb") as f:
        used = len(f.read().rstrip(b"\0"))
    with open(segment, "r+b") as f:
        f.seek(used + 64)
        f.write(b"torn" * 10)
    since = cursor()
    is_(sh("systemctl", "start", SOCKET, SERVICE).code, 0, "a torn end of the log does not hold the start")
    is_(kvctl("get", "before").out.strip(), "the power cut", "what was acknowledged is there")
    found = entries(since, MESSAGE_ID="37fa423c3b8d4a3bac32c9648ab868c5")
    ok(len(found) == 1 and found[0]["PRIORITY"] == "4", "it is told once, as a warning", texts(entries(since)))
    ok(found and found[0].get("KVD_FILE") == os.path.basename(segment) and found[0].get("KVD_OFFSET", "").isdigit(),
        "with file and offset as fields", found)
    text = explained("37fa423c3b8d4a3bac32c9648ab868c5")
    ok(os.path.basename(segment) in text and "@KVD_" not in text, "and the catalog names them", text)
