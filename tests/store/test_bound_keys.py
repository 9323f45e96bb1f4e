"""Keys that are bound to a session: there as long as it is, and not a moment longer."""

from typing import Any

import pytest

from raftcache.store.commands import (
    CloseSession,
    Command,
    Delete,
    Get,
    Incr,
    OpenSession,
    RaiseVersion,
    Set,
    SetFully,
    encode_commands,
)
from raftcache.store.machine import EXPIRED_MAX, StateMachine
from raftcache.store.records import DELETE, EXPIRE, SET
from raftcache.store.results import Failure, GetResult, Result

from .snapshots import assert_same, restored, slices_of


class Log:
    """A machine with two sessions, of 100 and of 1,000 ms, and what is put in its log."""

    def __init__(self) -> None:
        self.machine = StateMachine()
        self.time_ms = 0
        self.apply(RaiseVersion(3), OpenSession(100), OpenSession(1_000))

    def apply(self, *commands: Command, after_ms: int = 0) -> list[Result]:
        """Apply an entry that is stamped so much later than the last."""
        self.time_ms += after_ms
        data = encode_commands(list(commands), self.time_ms)
        return self.machine.apply(self.machine.last_applied + 1, data)

    def session_of(self, key: bytes) -> Any:
        """Return to which session a key is bound; "gone" if it is not there."""
        found = self.machine.read(Get(key))
        assert isinstance(found, GetResult)
        return found.session if found.found else "gone"

    def kinds(self) -> list[tuple[int, bytes]]:
        """Return what has happened to keys, in order."""
        return [(change.kind, change.key) for change in self.machine._keyspace.history()]


def bound(key: bytes, session: int, ttl_ms: int | None = None) -> SetFully:
    """Return a set that binds."""
    return SetFully(key, b"v", ttl_ms, False, session)


@pytest.fixture
def log() -> Log:
    """Return a log with two sessions."""
    return Log()


def test_a_bound_key_goes_when_its_session_is_closed(log: Log) -> None:
    """All of them in the entry of the close, in order; and nobody else's (failure B13)."""
    log.apply(bound(b"b", 1), bound(b"a", 1), bound(b"c", 2), Set(b"d", b""))
    assert [log.session_of(key) for key in (b"a", b"c", b"d")] == [1, 2, None]

    log.apply(CloseSession(1))

    assert [log.session_of(key) for key in (b"a", b"b", b"c")] == ["gone", "gone", 2]
    assert log.kinds()[-2:] == [(DELETE, b"a"), (DELETE, b"b")]
    assert log.machine.store_rev == 6


def test_a_bound_key_expires_with_its_session(log: Log) -> None:
    """At the same stamp, before the entry's commands: it is never seen without it (B13)."""
    log.apply(bound(b"b", 1), bound(b"a", 1), Incr(b"n"))

    log.apply(Set(b"a", b"new", 0), after_ms=100)

    assert log.kinds()[-3:] == [(EXPIRE, b"a"), (EXPIRE, b"b"), (SET, b"a")]
    assert log.session_of(b"a") is None
    assert log.session_of(b"n") is None


def test_a_session_goes_as_a_whole_however_many_keys_are_bound_to_it(log: Log) -> None:
    """More than one entry lets go otherwise: none of them is left without it (failure B13)."""
    count = EXPIRED_MAX * 2 // 3
    log.apply(OpenSession(100))
    for session in (1, 3):
        log.apply(*[bound(b"%d.%d" % (session, number), session) for number in range(count)])

    log.apply(after_ms=100)

    assert log.machine.session_count == 1
    assert log.machine.key_count == 0


def test_a_key_that_is_set_plainly_is_bound_no_longer(log: Log) -> None:
    """A set without `bind` clears it; one with another session moves it."""
    log.apply(bound(b"a", 1), bound(b"b", 1), bound(b"c", 1), bound(b"n", 1))
    log.apply(Set(b"a", b"x"), bound(b"b", 2), Delete(b"c"), Set(b"n", b"1"))

    log.apply(CloseSession(1))

    keys = (b"a", b"b", b"c", b"n")
    assert [log.session_of(key) for key in keys] == [None, 2, "gone", None]


def test_an_increment_leaves_a_key_bound(log: Log) -> None:
    """As it leaves a time to live."""
    log.apply(SetFully(b"n", b"1", None, False, 1), Incr(b"n"))
    assert log.session_of(b"n") == 1

    log.apply(CloseSession(1))

    assert log.session_of(b"n") == "gone"


def test_what_comes_first_ends_a_bound_key(log: Log) -> None:
    """Its own time to live, or the session's."""
    log.apply(bound(b"a", 2, 50), bound(b"b", 2, 5_000))

    log.apply(after_ms=50)
    assert [log.session_of(key) for key in (b"a", b"b")] == ["gone", 2]

    log.apply(after_ms=950)
    assert log.session_of(b"b") == "gone"
    assert log.machine.session_count == 0


def test_nothing_is_bound_to_a_session_that_is_gone(log: Log) -> None:
    """The key would never go."""
    log.apply(CloseSession(1))

    [result] = log.apply(bound(b"a", 1))

    assert isinstance(result, Failure)
    assert result.error == "session_expired"
    assert log.session_of(b"a") == "gone"


def test_bound_keys_stay_so_in_a_snapshot(log: Log) -> None:
    """Who was sent one lets the same keys go (failures B7, B13)."""
    log.apply(*[bound(b"k%03d" % number, 1 + number % 2) for number in range(100)])
    before, log.machine = log.machine, restored(slices_of(log.machine, 512))
    assert_same(before, log.machine)

    log.apply(CloseSession(1))

    assert log.machine.key_count == 50
    assert log.session_of(b"k001") == 2
