# SPDX-License-Identifier: MIT
"""Django's cache and sessions on a socket, as a web application configures them. Run by clients.t with socket and backend; prints TAP."""
import sys

import django
from django.conf import settings

PATH, BACKEND = sys.argv[1:3]
del sys.argv[1:3]
settings.configure(
    CACHES={
        "default": {"BACKEND": BACKEND, "LOCATION": f"unix://{PATH}?db=3", "KEY_PREFIX": "site"},
        "sessions": {"BACKEND": BACKEND, "LOCATION": f"unix://{PATH}?db=4"},
    },
    SESSION_ENGINE="django.contrib.sessions.backends.cache", SESSION_CACHE_ALIAS="sessions", SECRET_KEY="x", USE_TZ=True)
django.setup()

from django.contrib.sessions.backends.cache import SessionStore  # noqa: E402
from django.core.cache import cache, caches  # noqa: E402

from tap import is_, ok, poll, run  # noqa: E402


def test_values():
    cache.clear()
    is_(cache.get("k", "default"), "default", "get of nothing")
    value = {"text": "\u00e4\0\r\n", "list": [1, 2.5, None], "bytes": b"\xff"}
    cache.set("k", value, 100)
    is_(cache.get("k"), value, "an object comes back")
    is_((cache.add("k", 1), cache.add("new", 1)), (False, True), "add")
    is_((cache.has_key("new"), cache.delete("new"), cache.delete("new")), (True, True, False), "has_key and delete")
    is_(cache.get_or_set("lazy", lambda: 5, 10), 5, "get_or_set")
    cache.set_many({"a": 1, "b": "two", "c": None}, 100)
    is_(cache.get_many(["a", "b", "none"]), {"a": 1, "b": "two"}, "set_many and get_many")
    cache.delete_many(["a", "b"])
    is_(cache.get_many(["a", "b"]), {}, "delete_many")
    is_(cache.get("c", "missing"), None, "None is a value")
    cache.set("v", 1, version=2)
    is_((cache.get("v"), cache.get("v", version=2)), (None, 1), "versions")


def test_counters():
    cache.set("n", 1)
    is_((cache.incr("n"), cache.incr("n", 5), cache.decr("n", 2), cache.get("n")), (2, 7, 5, 5), "incr and decr")
    try:
        cache.incr("nothing")
        ok(False, "incr of nothing raises an error")
    except (ValueError, TypeError):  # the latter is what django-redis makes of it where there are no scripts
        ok(cache.get("nothing") is None, "incr of nothing raises an error")


def test_timeouts():
    cache.set("short", 1, 1)
    cache.set("never", 1, None)
    cache.set("gone", 1, 0)
    is_(cache.get("gone"), None, "a time of 0 is over at once")
    is_((cache.touch("never", 100), cache.touch("nothing", 100)), (True, False), "touch")
    is_(cache.get("never"), 1, "keeps the value")
    ok(poll(lambda: cache.get("short") is None), "a value expires")
    cache.set("negative", 1, -5)
    is_(cache.get("negative"), None, "a time that is over deletes")


def test_clear():
    caches["sessions"].set("other", 1)
    cache.set("mine", 1)
    cache.clear()
    is_(cache.get("mine"), None, "clear empties the cache")
    is_(caches["sessions"].get("other"), 1, "and no other database")


def test_sessions():
    s = SessionStore()
    s["user"] = 7
    s.set_expiry(300)
    s.save()
    again = SessionStore(session_key=s.session_key)
    is_((again["user"], again.get_expiry_age()), (7, 300), "a session is there for the next request")
    old = again.session_key
    again.cycle_key()
    is_((SessionStore(session_key=again.session_key)["user"], SessionStore().exists(old)), (7, False), "a new key takes its place")
    again.flush()
    is_(SessionStore().exists(again.session_key or old), False, "and the end of it deletes it")


run(test_values, test_counters, test_timeouts, test_clear, test_sessions)
