"""Sessions in the log: mutations that are done once, ends of sessions (PROTOCOL section 6)."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raftcache.store.commands import (
    Batch,
    CloseSession,
    Command,
    Delete,
    Get,
    Incr,
    KeepAlive,
    Once,
    OpenSession,
    Operation,
    RaiseVersion,
    Set,
    SetExpiring,
    UnknownCommands,
    Unnumbered,
    decode_entry,
    encode_commands,
    version_of,
)
from raftcache.store.machine import EXPIRED_MAX, StateMachine
from raftcache.store.results import (
    BatchResult,
    DeleteResult,
    Dropped,
    Failure,
    GetResult,
    IncrResult,
    Result,
    SessionResult,
    SetResult,
)
from raftcache.store.sessions import SESSION_TTL_MS_MAX

from .snapshots import assert_same, rest_of, restored, slices_of


class Log:
    """A machine, and what is put in its log."""

    def __init__(self) -> None:
        self.machine = StateMachine()
        self.time_ms = 0
        self.apply(RaiseVersion(3))

    def apply(self, *commands: Command, after_ms: int = 0) -> list[Result]:
        """Apply an entry that is stamped so much later than the last."""
        self.time_ms += after_ms
        data = encode_commands(list(commands), self.time_ms)
        return self.machine.apply(self.machine.last_applied + 1, data)

    def one(self, command: Command, after_ms: int = 0) -> Any:
        """Apply an entry of one command and return its result, or the code of its failure."""
        [result] = self.apply(command, after_ms=after_ms)
        return result.error if isinstance(result, Failure) else result

    def value(self, key: bytes) -> bytes | None:
        """Return the value of a key."""
        result = self.machine.read(Get(key))
        assert isinstance(result, GetResult)
        return result.value


def once(seq: int, op: Unnumbered, ack: int = 0, session: int = 1) -> Once:
    """Return a mutation under a number; its digest is of no more worth than a test needs."""
    return Once(session, seq, ack, len(str(op)), op)


@pytest.fixture
def log() -> Log:
    """Return a log with one session, of 100 ms."""
    log = Log()
    assert log.one(OpenSession(100)) == SessionResult(1, 100)
    return log


def test_a_retry_takes_effect_once_and_gets_the_first_answer(log: Log) -> None:
    """Even after other writes to the same key (failure B6)."""
    first = log.one(once(1, Incr(b"n", 5)))
    log.one(Incr(b"n", 1))

    again = log.one(once(1, Incr(b"n", 5)))

    assert first == again == IncrResult(5, 1)
    assert log.value(b"n") == b"6"


def test_a_retry_in_the_same_entry_is_a_retry(log: Log) -> None:
    """Both were on their way at once: only where they are applied it is seen (failure B6)."""
    results = log.apply(once(1, Incr(b"n")), once(1, Incr(b"n")))

    assert results == [IncrResult(1, 1)] * 2


def test_a_refusal_stays_one(log: Log) -> None:
    """What was told `conflict` must not take effect later, whatever the key is by then."""
    log.one(Set(b"k", b"other"))
    conditional = once(1, Set(b"k", b"mine", 0))
    first = log.apply(conditional)
    log.one(Delete(b"k"))

    again = log.apply(conditional)

    assert first == again
    assert isinstance(again[0], Failure)
    assert again[0].value == b"other"
    assert log.value(b"k") is None


def test_numbers_are_taken_in_any_order_within_the_window(log: Log) -> None:
    """`seq` identifies and does not order; behind `ack` nothing is executed any more."""
    assert log.one(once(1024, Incr(b"n"))) == IncrResult(1, 1)
    assert log.one(once(1025, Incr(b"n"))) == "window_full"
    assert log.one(once(3, Incr(b"n"), ack=2)) == IncrResult(2, 2)
    assert log.one(once(1026, Incr(b"n"), ack=1)) == IncrResult(3, 3), "the ack stands at 2"
    assert log.one(once(2, Incr(b"n"))) == "stale_seq"
    assert log.one(once(1024, Incr(b"n"), ack=1023)) == IncrResult(1, 1)
    assert log.one(once(1024, Incr(b"n"), ack=1024)) == "stale_seq"
    assert log.value(b"n") == b"3"


def test_the_same_number_with_another_operation_is_refused(log: Log) -> None:
    """A client that numbers badly must not be told that its write happened."""
    log.one(once(1, Set(b"k", b"v")))

    assert log.one(once(1, Set(b"k", b"other"))) == "bad_request"

    assert log.value(b"k") == b"v"


def test_operations_of_a_batch_have_numbers_of_their_own(log: Log) -> None:
    """Some are retries and some are new: each gets its own answer."""
    log.one(once(2, Incr(b"n", 10)))

    result = log.one(Batch((once(1, Incr(b"n")), once(2, Incr(b"n", 10)), Get(b"n"))))

    assert result.results[:2] == [IncrResult(11, 2), IncrResult(10, 1)]
    assert result.results[2].value == b"11"


def test_a_batch_is_done_once_as_a_whole(log: Log) -> None:
    """One number for all of it; its reads are answered as they were, too."""
    batch = once(1, Batch((Incr(b"n"), Get(b"n"))))
    first = log.one(batch)
    log.one(Incr(b"n"))

    assert (
        log.one(batch) == first == BatchResult([IncrResult(1, 1), GetResult(True, b"1", 1, 1, 1)])
    )


def test_an_answer_that_is_too_large_is_dropped_and_its_write_is_not_repeated(log: Log) -> None:
    """64 KiB of answers a session; a retry of more learns that it was done."""
    log.one(Set(b"k", b"x" * 70_000))
    write = once(1, Set(b"k", b"y", None, None, True))
    first = log.one(write)

    assert first == SetResult(2, False, b"x" * 70_000, has_prev=True)
    assert log.one(write) == Dropped()
    assert log.machine.store_rev == 2


def test_recorded_answers_share_the_room_of_a_reply(log: Log) -> None:
    """A batch of retries can't be told more than any other batch."""
    sessions = [log.one(OpenSession(100)).session for _ in range(80)]
    log.one(Set(b"k", b"x" * 60_000))
    write = Set(b"k", b"x" * 60_000, None, None, True)
    ops: tuple[Operation, ...] = tuple(once(1, write, session=session) for session in sessions)
    for op in ops:
        assert isinstance(op, Once)
        log.one(op)

    result = log.one(Batch(ops))

    assert Dropped() in result.results
    assert result.results.count(Dropped()) < 20


def test_a_session_ends_by_the_stamp_and_never_early(log: Log) -> None:
    """At the first entry that is stamped at its end, before the commands of it (failure B8)."""
    assert log.one(KeepAlive(1), 99) == SessionResult(1, 100)
    assert log.one(KeepAlive(1), 99) == SessionResult(1, 100)
    assert log.one(once(1, Incr(b"n")), 99) == IncrResult(1, 1)

    assert log.one(once(2, Incr(b"n")), 1) == "session_expired"

    assert log.one(KeepAlive(1)) == "session_expired"
    assert log.one(CloseSession(1)) == "session_expired"
    assert log.value(b"n") == b"1"


def test_requests_do_not_prolong_a_session(log: Log) -> None:
    """Only what says so does: a client's idea of its lease is the server's."""
    log.one(once(1, Incr(b"n")), 99)

    assert log.one(KeepAlive(1), 1) == "session_expired"


def test_a_session_has_its_full_time_from_a_new_leader(log: Log) -> None:
    """Nobody could reach the one before: what was left then must not count (failure B12)."""
    log.one(Incr(b"n"), 95)

    log.machine.apply_empty(log.machine.last_applied + 1, begins_term=True)

    assert log.machine.next_deadline_ms == 195
    assert log.one(KeepAlive(1), 99) == SessionResult(1, 100)


def test_a_configuration_gives_no_time(log: Log) -> None:
    """Only a new term does: else a change of members would keep dead sessions alive."""
    log.one(Incr(b"n"), 95)

    log.machine.apply_empty(log.machine.last_applied + 1)

    assert log.machine.next_deadline_ms == 100


def test_a_closed_session_is_gone_and_its_id_with_it(log: Log) -> None:
    """Nobody else ever gets the id."""
    assert log.one(CloseSession(1)) == SessionResult(1, 0)

    assert log.one(once(1, Incr(b"n"))) == "session_expired"
    assert log.one(OpenSession(50)) == SessionResult(2, 50)
    assert log.machine.session_count == 1


def test_the_end_of_many_sessions_is_spread_over_entries(log: Log) -> None:
    """One entry ends so many; the others live on, and the leader is told that more are due."""
    log.apply(*[OpenSession(10)] * (EXPIRED_MAX + 5))
    log.one(SetExpiring(b"k", b"v", 10))

    log.apply(after_ms=10)

    assert log.machine.session_count == 1 + 5
    assert log.machine.next_deadline_ms == log.time_ms
    assert log.value(b"k") == b"v"
    log.apply()
    assert log.machine.session_count == 1
    assert log.value(b"k") is None


def test_a_snapshot_holds_what_was_answered() -> None:
    """A retry behind it, and behind the log that it stands for, gets the first answer (B7)."""
    log = Log()
    log.one(OpenSession(1_000))
    log.one(Set(b"k", b"x" * 50_000))
    log.one(once(1, Set(b"k", b"y", None, None, True)))
    log.one(once(2, Set(b"k", b"z", 0)))
    log.one(once(3, Incr(b"n")))
    slices = slices_of(log.machine, 8_192)
    assert max(map(len, slices)) <= 8_192

    before, log.machine = log.machine, restored(slices)

    assert_same(before, log.machine)
    assert log.one(once(1, Set(b"k", b"y", None, None, True))).prev == b"x" * 50_000
    assert log.one(once(2, Set(b"k", b"z", 0))) == "conflict"
    assert log.one(once(3, Incr(b"n"))) == IncrResult(1, 3)
    assert log.one(OpenSession(1)) == SessionResult(2, 1)


COMMANDS = st.one_of(
    st.builds(OpenSession, st.integers(1, 60)),
    st.builds(KeepAlive, st.integers(1, 4)),
    st.builds(CloseSession, st.integers(1, 4)),
    st.builds(Incr, st.sampled_from([b"a", b"b"])),
    *(
        [
            st.builds(
                once,
                st.integers(1, 9),
                st.builds(Incr, st.sampled_from([b"a", b"b"]), st.integers(1, 2))
                | st.builds(SetExpiring, st.just(b"c"), st.binary(max_size=30), st.integers(1, 40))
                | st.builds(
                    Set, st.just(b"c"), st.just(b"v"), st.integers(0, 3), prev=st.booleans()
                )
                | st.just(Batch((Incr(b"a"), Get(b"b")))),
                st.integers(0, 5),
                st.integers(1, 4),
            )
        ]
        * 4
    ),
)
ENTRIES = st.lists(st.tuples(st.integers(0, 25), st.lists(COMMANDS, max_size=4)), max_size=12)


def test_a_snapshot_tells_nothing_of_what_is_answered_while_it_is_taken(log: Log) -> None:
    """The log behind it has that again (failure D13)."""
    log.one(once(1, Incr(b"n")))
    of_the_moment = slices_of(log.machine)

    run = log.machine.begin_snapshot()
    log.one(once(2, Incr(b"n")))

    assert restored(rest_of(run)).digest() == restored(of_the_moment).digest()


@given(ENTRIES, ENTRIES, ENTRIES, st.integers(256, 600))
@settings(max_examples=120, deadline=None)
def test_a_machine_that_was_restored_goes_on_like_the_one_that_lived(
    before: Any, meanwhile: Any, after: Any, slice_bytes: int
) -> None:
    """Same answers, same ends, same digests, whatever came while the snapshot was cut (B7)."""
    lived, other = Log(), Log()
    for after_ms, commands in before:
        lived.apply(*commands, after_ms=after_ms)
        other.apply(*commands, after_ms=after_ms)
    run = lived.machine.begin_snapshot()
    slices: list[bytes] = []
    for after_ms, commands in meanwhile:
        data = run.next_slice(slice_bytes)
        if data is not None:
            slices.append(data)
        lived.apply(*commands, after_ms=after_ms)
    slices += rest_of(run, slice_bytes)
    assert all(len(data) <= slice_bytes for data in slices)

    other.machine = restored(slices)

    for number, (after_ms, commands) in enumerate([*meanwhile, *after]):
        results = other.apply(*commands, after_ms=after_ms)
        if number >= len(meanwhile):
            assert results == lived.apply(*commands, after_ms=after_ms)
    assert_same(lived.machine, other.machine)


def test_a_state_without_sessions_has_the_digest_that_it_had() -> None:
    """Nodes of the release before must agree until the cluster is raised."""
    old = StateMachine()
    old.apply(1, encode_commands([Set(b"k", b"v")], 5))
    digest = old.digest()

    old.apply_empty(2, begins_term=True)

    assert old.digest() == digest


@pytest.mark.parametrize(
    "command",
    [
        OpenSession(5),
        KeepAlive(1),
        CloseSession(1),
        once(1, Incr(b"n")),
        Batch((once(1, Incr(b"n")),)),
    ],
)
def test_sessions_are_of_version_3(command: Command) -> None:
    """They go into entries of that version only, and are refused in those of an older one."""
    data = encode_commands([command], 5)

    assert version_of(command) == 3
    assert data[:2] == b"\x93\x03"
    assert decode_entry(data) == (5, [command])
    with pytest.raises(UnknownCommands):
        decode_entry(b"\x93\x02" + data[2:])


def test_a_delete_is_answered_like_the_first_time(log: Log) -> None:
    """The second would find nothing to delete."""
    log.one(Set(b"k", b"v"))

    answers = [log.one(once(1, Delete(b"k"))) for _ in range(2)]

    assert answers == [DeleteResult(1)] * 2
    assert log.one(OpenSession(SESSION_TTL_MS_MAX)).ttl_ms == SESSION_TTL_MS_MAX
