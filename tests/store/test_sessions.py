"""The table of sessions, compared with a plain model, and its bounds (PROTOCOL section 6)."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raftcache.store.recorded import Session
from raftcache.store.results import Dropped, Failure, IncrResult, Result, SetResult
from raftcache.store.session_slices import SessionLoader, SessionWalk
from raftcache.store.sessions import (
    ANSWER_OVERHEAD_BYTES,
    NO_DEADLINE,
    SESSION_BYTES,
    WINDOW,
    SessionLimits,
    Sessions,
)
from raftcache.store.slices import SLICE_OVERHEAD_BYTES, SessionRows, encode_slice

_decode = msgspec.msgpack.Decoder(SessionRows).decode

SMALL = SessionLimits(sessions=3, table_bytes=8_000, answer_bytes=60, bound_keys=2)


class Model:
    """What the table should do: dicts, looked through from end to end."""

    def __init__(self) -> None:
        self.live: dict[int, dict[str, Any]] = {}
        self.last_id = 0
        self.floor_ms = 0

    def end_ms(self, session: int) -> int:
        """Return when a session ends."""
        one = self.live[session]
        return int(max(one["renewed"], self.floor_ms) + one["ttl"])

    def due(self, time_ms: int) -> list[int]:
        """Return who is to end, in order."""
        return sorted(
            (s for s in self.live if self.end_ms(s) <= time_ms), key=lambda s: (self.end_ms(s), s)
        )

    def weight(self) -> int:
        """Return what all weighs."""
        answers = [a for one in self.live.values() for _, a in one["answers"].values()]
        each = [ANSWER_OVERHEAD_BYTES + len(a) for a in answers]
        return SESSION_BYTES * len(self.live) + sum(each)


class Run:
    """A table and a model that are told the same."""

    def __init__(self, limits: SessionLimits) -> None:
        self.table = Sessions(limits)
        self.model = Model()
        self.limits = limits
        self.time_ms = 0
        self.executed: set[tuple[int, int]] = set()

    def open(self, ttl_ms: int) -> None:
        """Open a session, if there is room."""
        found = self.table.begin(ttl_ms, self.time_ms)
        model = self.model
        if len(model.live) >= self.limits.sessions or model.weight() >= self.limits.table_bytes:
            assert found is None
            return
        model.last_id += 1
        if model.last_id == 1:
            model.floor_ms = self.time_ms
        model.live[model.last_id] = {
            "ttl": ttl_ms,
            "renewed": self.time_ms,
            "ack": 0,
            "answers": {},
        }
        assert found == model.last_id

    def keep_alive(self, session: int) -> None:
        """Keep a session alive, or find it gone."""
        found = self.table.keep_alive(session, self.time_ms)
        if session in self.model.live:
            self.model.live[session]["renewed"] = self.time_ms
            assert found == self.model.live[session]["ttl"]
        else:
            assert found is None

    def close(self, session: int) -> None:
        """Close a session."""
        found = self.table.end(session)
        assert (found is None) == (self.model.live.pop(session, None) is None)

    def pass_time(self, by_ms: int) -> None:
        """Let time pass, and end what is due, each in its turn."""
        self.time_ms += by_ms
        expected = self.model.due(self.time_ms)
        assert (self.table.find_due_ms() <= self.time_ms) == bool(expected)
        ended = []
        while (session := self.table.next_due(self.time_ms)) is not None:
            assert self.table.end(session) == []
            ended.append(session)
            del self.model.live[session]
        assert ended == expected

    def begin_term(self) -> None:
        """Begin a term: a full time to live for everybody."""
        self.table.begin_term(self.time_ms)
        if self.model.last_id:
            self.model.floor_ms = self.time_ms

    def execute(self, session: int, seq: int, ack: int, digest: int, result: Result) -> None:
        """Do what a mutation with a number does."""
        answer = self.table.look_up(session, seq, ack, digest)
        if answer is None:
            assert (session, seq) not in self.executed, "nothing is executed twice"
            self.executed.add((session, seq))
            self.table.record(session, seq, digest, result)
        assert answer_of(answer) == self.expected(session, seq, ack, digest, result)

    def expected(self, session: int, seq: int, ack: int, digest: int, result: Result) -> Any:
        """Return what the model says to it."""
        one = self.model.live.get(session)
        if one is None:
            return "session_expired"
        one["ack"] = max(one["ack"], ack)
        answers = one["answers"] = {s: a for s, a in one["answers"].items() if s > one["ack"]}
        if seq <= one["ack"]:
            return "stale_seq"
        if seq in answers:
            known, answer = answers[seq]
            if known != digest:
                return "bad_request"
            return msgspec.msgpack.decode(answer, type=Result) if answer else Dropped()
        if seq > one["ack"] + WINDOW:
            return "window_full"
        if self.model.weight() >= self.limits.table_bytes:
            return "overloaded"
        answer = msgspec.msgpack.encode(result)
        if len(answer) + sum(len(a) for _, a in answers.values()) > self.limits.answer_bytes:
            answer = b""
        answers[seq] = (digest, answer)
        return None


def answer_of(answer: Result | None) -> Any:
    """Return an answer as the model tells it: of a failure the code."""
    return answer.error if isinstance(answer, Failure) else answer


SESSION = st.integers(1, 5)
RESULT = st.builds(IncrResult, st.integers(0, 9), st.integers(1, 9)) | st.builds(
    SetResult, st.integers(1, 9), st.booleans(), st.binary(max_size=40), st.just(True)
)
SEQ = st.integers(1, 12) | st.sampled_from([WINDOW, WINDOW + 1, WINDOW + 4, WINDOW + 5])
STEP = st.one_of(
    st.tuples(st.just("open"), st.integers(1, 50)),
    st.tuples(st.just("keep_alive"), SESSION),
    st.tuples(st.just("close"), SESSION),
    st.tuples(st.just("pass_time"), st.integers(0, 30)),
    st.tuples(st.just("begin_term")),
    *(
        [st.tuples(st.just("execute"), SESSION, SEQ, st.integers(0, 8), st.integers(1, 2), RESULT)]
        * 3
    ),
)


@given(st.lists(STEP, max_size=60))
@settings(max_examples=150, deadline=None)
def test_the_table_does_what_a_plain_model_does(steps: list[Any]) -> None:
    """Ids, the window, first answers, expiry in order, and the bounds (failures B6, B8)."""
    run = Run(SMALL)

    for name, *arguments in steps:
        getattr(run, name)(*arguments)

        assert run.table.weight == run.model.weight()
        assert run.table.ids() == sorted(run.model.live)
        assert run.table.digest() == restored(run.table, 300).digest()


@given(st.lists(STEP, max_size=40), st.lists(STEP, max_size=40), st.integers(180, 700))
@settings(max_examples=100, deadline=None)
def test_a_snapshot_of_the_table_is_of_its_moment(
    before: list[Any], meanwhile: list[Any], room: int
) -> None:
    """What changes or ends while the slices are cut is written as it was (failure B7)."""
    run = Run(SMALL)
    for name, *arguments in before:
        getattr(run, name)(*arguments)
    digest, weight, ids = run.table.digest(), run.table.weight, run.table.ids()
    still = restored(run.table, room)
    walk = SessionWalk(run.table)
    steps = iter(meanwhile)
    loaded = Sessions(SMALL)
    loader = SessionLoader(loaded)

    for made, parts in slices_of(walk, room):
        assert loader.feed(made, parts, run.time_ms) is None
        for name, *arguments in (step for _, step in zip(range(3), steps, strict=False)):
            getattr(run, name)(*arguments)
    walk.end()
    loader.finish()

    assert (loaded.digest(), loaded.weight, loaded.ids()) == (digest, weight, ids)
    assert loaded.find_due_ms() == still.find_due_ms()


def slices_of(walk: SessionWalk, room: int) -> Any:
    """Yield the slices of a walk as they arrive, each with the parts before it."""
    if not walk.last_id:
        return
    while not walk.is_over:
        parts = []
        while (part := walk.next_part(room)) is not None:
            assert len(part) <= room
            parts.append(part)
        made = SessionRows(7, walk.last_id, walk.floor_ms, walk.next_rows(room))
        data = encode_slice(made)
        assert len(data) <= room + SLICE_OVERHEAD_BYTES
        yield _decode(data), b"".join(parts)


def restored(table: Sessions, room: int) -> Sessions:
    """Return a copy that went through a snapshot."""
    walk = SessionWalk(table)
    loaded = Sessions(table.limits)
    loader = SessionLoader(loaded)
    for made, parts in slices_of(walk, room):
        assert loader.feed(made, parts, NO_DEADLINE) is None
    walk.end()
    loader.finish()
    return loaded


def test_a_refusal_is_remembered_however_small_the_budget() -> None:
    """A conflict that is asked about again stays one, at most without the other's value."""
    table = Sessions(SMALL)
    table.begin(100, 0)
    conflict = Failure("conflict", "the key has mod_rev 3", mod_rev=3, value=b"x" * 500)
    assert table.look_up(1, 1, 0, 5) is None
    table.record(1, 1, 5, conflict)

    again = table.look_up(1, 1, 0, 5)

    assert again == msgspec.structs.replace(conflict, value=None, value_omitted=True)


def test_a_table_at_its_bound_refuses_and_drops_nobody() -> None:
    """A session that lives is never evicted; the answer tells when to come back."""
    table = Sessions(SMALL)
    for _ in range(3):
        table.begin(100, 0)

    assert table.begin(100, 0) is None

    assert table.ids() == [1, 2, 3]
    assert table.full().retry_after_ms


def test_an_id_is_never_given_twice() -> None:
    """Not even that of a session that is gone, in a table that went through a snapshot."""
    table = Sessions(SMALL)
    table.begin(10, 0)
    table.end(1)

    assert restored(table, 300).begin(10, 5) == 2


def test_a_new_term_gives_every_session_its_full_time() -> None:
    """Who could not reach the leader that is gone has its time to live from the next (B12)."""
    table = Sessions()
    table.begin(100, 0)
    table.keep_alive(1, 50)

    table.begin_term(140)

    assert table.next_due(239) is None
    assert table.next_due(240) == 1


def test_keys_are_bound_up_to_a_bound() -> None:
    """What one entry removes at the end of a session is bounded."""
    table = Sessions(SMALL)
    table.begin(100, 0)
    for key in (b"b", b"a"):
        assert table.refusal_to_bind(1, key) is None
        table.bind(1, key)

    refusal = table.refusal_to_bind(1, b"c")

    assert isinstance(refusal, Failure)
    assert refusal.error == "too_large"
    assert table.refusal_to_bind(1, b"a") is None
    assert answer_of(table.refusal_to_bind(2, b"a")) == "session_expired"
    table.unbind(1, b"b")
    assert table.end(1) == [b"a"]


GOOD: dict[str, Any] = {"last_id": 5, "floor_ms": 3, "rows": []}
ROW: list[Any] = [1, 50, 2, 10, [11, 13], [7, 8], [b"", msgspec.msgpack.encode(Dropped())]]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"last_id": 0}, "can not be"),
        ({"floor_ms": 11}, "can not be"),
        ({"rows": [[6, *ROW[1:]]]}, "can not be"),
        ({"rows": [[*ROW[:2], 11, *ROW[3:]]]}, "can not be"),
        ({"rows": [[1, 0, *ROW[2:]]]}, "time to live"),
        ({"rows": [[2, *ROW[1:]], ROW]}, "not in order"),
        ({"rows": [ROW, ROW]}, "not in order"),
        ({"rows": [ROW, [1, 51, *ROW[2:]]]}, "does not go on"),
        ({"rows": [[*ROW[:4], [13, 11], *ROW[5:]]]}, "not in order"),
        ({"rows": [[*ROW[:4], [10, 11], *ROW[5:]]]}, "outside"),
        ({"rows": [[*ROW[:4], [11, 10 + WINDOW + 1], *ROW[5:]]]}, "outside"),
        ({"rows": [[*ROW[:4], [11], *ROW[5:]]]}, "lists differ"),
        ({"rows": [[*ROW[:6], [b"", b"\xff"]]]}, "unreadable"),
    ],
)
def test_a_damaged_slice_is_refused(changes: dict[str, Any], complaint: str) -> None:
    """What comes from a disk or another server is not believed."""
    made = msgspec.convert([10, 3, *{**GOOD, **changes}.values()], SessionRows)

    wrong = SessionLoader(Sessions()).feed(made, b"", 10)

    assert wrong is not None
    assert complaint in wrong


def test_the_slice_that_the_others_were_made_of_is_sound() -> None:
    """The table above fails for what it changes, and for nothing else."""
    made = msgspec.convert([10, 3, 5, 3, [ROW]], SessionRows)

    assert SessionLoader(Sessions()).feed(made, b"", 10) is None


def test_a_copy_of_a_session_does_not_follow_it() -> None:
    """A snapshot keeps what was, whatever is executed afterwards."""
    table = Sessions()
    table.begin(100, 0)
    session = table.get(1)
    assert isinstance(session, Session)
    copy = session.copy()

    table.look_up(1, 1, 0, 5)
    table.record(1, 1, 5, Dropped())

    assert copy.answers == {}
