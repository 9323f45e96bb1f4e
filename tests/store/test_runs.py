"""Runs: mutations under numbers that follow each other do what each would do by itself."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raftcache.store.commands import (
    Command,
    Delete,
    Incr,
    Once,
    OnceRun,
    OpenSession,
    RaiseVersion,
    Set,
    encode_commands,
    version_of,
)
from raftcache.store.digests import pack_digests
from raftcache.store.machine import StateMachine
from raftcache.store.results import (
    BatchResult,
    Dropped,
    Failure,
    IncrResult,
    Result,
    SetResult,
    SingleResult,
)
from raftcache.store.session_slices import SessionLoader, SessionWalk
from raftcache.store.sessions import NO_DEADLINE, SESSION_BYTES, WINDOW, SessionLimits, Sessions
from raftcache.store.slices import SessionRows

from .snapshots import restored, slices_of


class Log:
    """A machine with one session, and what is put in its log."""

    def __init__(self) -> None:
        self.machine = StateMachine()
        self.apply(RaiseVersion(3), OpenSession(100))

    def apply(self, *commands: Command) -> list[Result]:
        """Apply an entry."""
        data = encode_commands(list(commands), 0)
        return self.machine.apply(self.machine.last_applied + 1, data)

    def one(self, command: Command) -> Any:
        """Apply an entry of one command and return its result."""
        return self.apply(command)[0]


def run_of(first_seq: int, *ops: Any, ack: int = 0, session: int = 1) -> OnceRun:
    """Return a run; a digest is of no more worth than a test needs."""
    digests = pack_digests([len(str(op)) for op in ops])
    return OnceRun(session, first_seq, ack, digests, ops)


OP = st.one_of(
    st.builds(Incr, st.sampled_from([b"n", b"m"]), st.integers(1, 3)),
    st.builds(Set, st.sampled_from([b"n", b"k"]), st.sampled_from([b"1", b"x"])),
    st.builds(Set, st.just(b"k"), st.just(b"y"), st.integers(0, 9), st.none(), st.booleans()),
    st.builds(Delete, st.sampled_from([b"n", b"k"])),
)
SEQ = st.integers(1, 30) | st.sampled_from([WINDOW - 1, WINDOW, WINDOW + 3])
STEP = st.tuples(
    st.integers(1, 2), SEQ, st.integers(0, 12), st.lists(OP, min_size=1, max_size=6), st.booleans()
)


@given(st.lists(STEP, max_size=25))
@settings(max_examples=200, deadline=None)
def test_a_run_does_what_its_operations_would_do_one_by_one(steps: list[Any]) -> None:
    """New or sent again, overtaken, overlapping, without a session, outside of the window (B6)."""
    together, apart = Log(), Log()

    for session, first_seq, ack, ops, is_run in steps:
        run = run_of(first_seq, *ops, ack=min(ack, first_seq - 1), session=session)
        sent: Command = run if is_run else run.unrolled()

        assert together.one(sent) == apart.one(run.unrolled())

    assert together.machine.store_rev == apart.machine.store_rev
    again = restored(slices_of(together.machine))
    assert again.digest() == together.machine.digest()
    for session, first_seq, ack, ops, _ in steps:
        run = run_of(first_seq, *ops, ack=min(ack, first_seq - 1), session=session)
        result = apart.one(run.unrolled())
        data = encode_commands([run], 0)
        assert again.apply(again.last_applied + 1, data) == [result]


def test_a_number_of_a_run_may_be_sent_again_alone() -> None:
    """And gets its own first answer, as long as it is not settled (failure B6)."""
    log = Log()
    first = log.one(run_of(1, Incr(b"n"), Incr(b"n", 5), Incr(b"n")))

    again = log.one(Once(1, 2, 1, len(str(Incr(b"n", 5))), Incr(b"n", 5)))
    settled = log.one(Once(1, 1, 1, len(str(Incr(b"n"))), Incr(b"n")))
    other = log.one(Once(1, 3, 1, 1, Incr(b"n", 9)))

    assert again == first.results[1] == IncrResult(6, 2)
    assert settled.error == "stale_seq"
    assert other.error == "bad_request"
    assert log.machine.store_rev == 3


def test_a_run_is_forgotten_once_its_last_number_is_settled() -> None:
    """What is kept of a busy client stays as small as what is under way."""
    table = Sessions()
    table.begin(100, 0)
    empty = table.digest()
    assert table.admits_run(1, 1, 3, 0)
    table.record_run(1, 1, pack_digests([7, 8, 9]), [SetResult(1, created=True)] * 3)
    full = table.weight

    assert table.look_up(1, 3, 2, 9) == SetResult(1, created=True)
    assert table.weight == full
    assert table.look_up(1, 4, 3, 1) is None

    assert table.weight == SESSION_BYTES
    assert table.digest() != empty, "the ack has risen"


def test_what_a_run_answers_has_the_room_of_a_session() -> None:
    """Where it does not fit as a whole, each answer is kept or dropped by itself."""
    table = Sessions(SessionLimits(answer_bytes=60))
    table.begin(100, 0)
    conflict = Failure("conflict", "no", value=b"x" * 90)
    results: list[SingleResult] = [
        SetResult(1, created=True),
        SetResult(1, True, b"x" * 90, True),
        conflict,
    ]
    assert table.admits_run(1, 1, 3, 0)

    table.record_run(1, 1, pack_digests([7, 8, 9]), results)

    assert table.look_up(1, 1, 0, 7) == results[0]
    assert table.look_up(1, 2, 0, 8) == Dropped()
    assert table.look_up(1, 3, 0, 9) == msgspec.structs.replace(
        conflict, value=None, value_omitted=True
    )


def test_a_full_table_takes_no_run() -> None:
    """Each of its operations is told, and none is done."""
    table = Sessions(SessionLimits(table_bytes=SESSION_BYTES))
    table.begin(100, 0)

    assert not table.admits_run(1, 1, 2, 0)


def test_a_run_is_of_version_3_and_survives_the_log() -> None:
    """An older release could not read it."""
    log = Log()
    run = run_of(1, Set(b"k", b"v"), Delete(b"k"))

    assert version_of(run) == 3
    assert isinstance(log.one(run), BatchResult)


ANSWERS = msgspec.msgpack.encode([Dropped(), Dropped()])
RUN: list[Any] = [1, 50, 2, 10, [10, 13], [b"x" * 16, 8], [ANSWERS, b""]]


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        (RUN, None),
        ([*RUN[:4], [9, 13], *RUN[5:]], "outside"),
        ([*RUN[:4], [10, 11], *RUN[5:]], "not in order"),
        ([*RUN[:4], [10 + WINDOW, 11 + WINDOW], *RUN[5:]], "outside"),
        ([*RUN[:5], [b"x" * 24, 8], RUN[6]], "unreadable"),
        ([*RUN[:5], [b"x" * 17, 8], RUN[6]], "unreadable"),
        ([*RUN[:6], [b"", b""]], "unreadable"),
    ],
)
def test_a_damaged_run_is_refused(row: list[Any], complaint: str | None) -> None:
    """What comes from a disk or another server is not believed."""
    made = msgspec.convert([10, 3, 5, 3, [row]], SessionRows)

    wrong = SessionLoader(Sessions()).feed(made, b"", 10)

    assert (wrong or "") == "" if complaint is None else complaint in (wrong or "")


@given(st.lists(st.tuples(st.integers(1, 8), st.integers(0, 3)), max_size=12), st.integers(0, 60))
@settings(max_examples=60, deadline=None)
def test_runs_go_through_a_snapshot_of_any_slices(counts: list[Any], ack: int) -> None:
    """With gaps between them, and the beginning of one settled."""
    table = Sessions()
    table.begin(100, 0)
    seq = 1
    for count, gap in counts:
        assert table.admits_run(1, seq, count, 0)
        table.record_run(1, seq, pack_digests([5] * count), [SetResult(seq, created=True)] * count)
        seq += count + gap
    table.look_up(1, seq, min(ack, seq - 1), 1)
    walk, loaded = SessionWalk(table), Sessions()
    loader = SessionLoader(loaded)

    for room in (200, 5_000):
        walk, loaded = SessionWalk(table), Sessions()
        loader = SessionLoader(loaded)
        while not walk.is_over:
            parts = b""
            while (part := walk.next_part(room)) is not None:
                parts += part
            rows = walk.next_rows(room)
            made = SessionRows(0, walk.last_id, walk.floor_ms, rows)
            assert loader.feed(made, parts, NO_DEADLINE) is None
        walk.end()
        loader.finish()

        assert loaded.digest() == table.digest()
        assert loaded.weight == table.weight
