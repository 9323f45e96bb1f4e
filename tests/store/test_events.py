"""Events, compared with a model that keeps every change; and where an answer ends."""

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftcache.store import feed
from raftcache.store.events import Event, Watch, WatchResult
from raftcache.store.feed import EventFeed
from raftcache.store.keyspace import Keyspace
from raftcache.store.records import DELETE, EVICT, EXPIRE, Span
from raftcache.store.results import Failure

KEYS = [b"a", b"ab", b"abc", b"b", b"b\xff", b"\xff\xff"]
KIND_NAMES = {DELETE: "delete", EXPIRE: "expire", EVICT: "evict"}


class Told(NamedTuple):
    """What the model knows of one change."""

    kind: str
    rev: int
    key: bytes
    value: bytes | None
    prev: bytes | None


class Model:
    """Every change that there ever was, and what the keyspace should make of it."""

    def __init__(self, *, history_changes: int = 10_000, history_bytes: int = 2**20) -> None:
        self.keyspace = Keyspace(history_changes=history_changes, history_bytes=history_bytes)
        self.feed = EventFeed(self.keyspace)
        self.all: list[Told] = []

    def change(self, *changes: tuple[bytes, bytes | None, int]) -> None:
        """Make changes that share a revision: key, value (None: take it away), kind."""
        keyspace = self.keyspace
        if len(changes) > 1:
            keyspace.open_revision()
        rev = keyspace.store_rev + 1
        for key, value, kind in changes:
            before = keyspace.get(key)
            prev = None if before is None else before.value
            if value is not None:
                keyspace.put(key, value, before)
                self.all.append(Told("set", rev, key, value, prev))
            elif before is not None:
                keyspace.remove(key, before, kind)
                self.all.append(Told(KIND_NAMES[kind], rev, key, None, prev))
        if len(changes) > 1:
            keyspace.close_revision()

    def wanted(self, watch: Watch, from_rev: int) -> list[Told]:
        """Return what a watch must be told, from a revision on."""
        return [
            told
            for told in self.all
            if told.rev >= from_rev
            and (told.key.startswith(watch.key) if watch.is_prefix else told.key == watch.key)
        ]


_single = st.tuples(
    st.sampled_from(KEYS),
    st.none() | st.binary(max_size=40),
    st.sampled_from([DELETE, EXPIRE, EVICT]),
)
_revisions = st.lists(
    st.lists(_single, min_size=1, max_size=4, unique_by=lambda change: change[0]), max_size=30
)
_watches = st.builds(
    Watch,
    key=st.sampled_from([b"", *KEYS]),
    is_prefix=st.booleans(),
    from_rev=st.none(),
    wait_ms=st.just(0),
    prev=st.booleans(),
)


def as_told(found: list[Event], prev_of: list[Told], *, prev: bool) -> list[Told]:
    """Return events as the model has them; where ``prev`` was not asked for, it is not told."""
    assert prev or all(event.prev is None for event in found)
    return [
        Told(event.kind, event.rev, event.key, event.value, event.prev if prev else known.prev)
        for event, known in zip(found, prev_of, strict=True)
    ]


@given(revisions=_revisions, watch=_watches, from_rev=st.integers(1, 40))
def test_a_watch_is_told_what_the_log_has_done_in_its_order(
    revisions: list[list[tuple[bytes, bytes | None, int]]], watch: Watch, from_rev: int
) -> None:
    """Answer by answer, none splits a revision, and together they are all of it (promise 6)."""
    model = Model()
    for changes in revisions:
        model.change(*changes)
    told: list[Event] = []

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feed, "EVENTS_BYTES_MAX", 200)
        next_rev = from_rev
        while next_rev <= model.keyspace.store_rev:
            past = model.feed.past(next_rev)
            assert not isinstance(past, Failure), "all of it is kept"
            result = model.feed.tell(past, watch)
            assert result.next_rev > next_rev, "each answer leads further"
            assert all(next_rev <= event.rev < result.next_rev for event in result.events)
            assert result.size_bytes <= 200 or len({event.rev for event in result.events}) == 1
            told += result.events
            next_rev = result.next_rev

    wanted = model.wanted(watch, from_rev)
    assert as_told(told, wanted, prev=watch.prev) == wanted


@given(revisions=_revisions, watch=_watches, every=st.integers(1, 5))
def test_who_follows_is_told_all_of_it_however_little_the_history_keeps(
    revisions: list[list[tuple[bytes, bytes | None, int]]], watch: Watch, every: int
) -> None:
    """One entry of the log may hold more changes than are kept: no watcher misses them."""
    model = Model(history_changes=2)
    model.feed.follow()
    told: list[Event] = []

    for number, changes in enumerate(revisions, start=1):
        model.change(*changes)
        if number % every == 0:
            told += model.feed.tell(model.feed.take_fresh(), watch).events
    told += model.feed.tell(model.feed.take_fresh(), watch).events

    wanted = model.wanted(watch, 0)
    assert as_told(told, wanted, prev=watch.prev) == wanted


@given(revisions=_revisions, kept=st.integers(1, 12))
def test_what_is_no_longer_kept_is_told_to_be_gone_and_nothing_else_is(
    revisions: list[list[tuple[bytes, bytes | None, int]]], kept: int
) -> None:
    """At the revision of the compaction, one before and one after (failure B16)."""
    model = Model(history_changes=kept)
    for changes in revisions:
        model.change(*changes)
    everything = Watch(b"", is_prefix=True, from_rev=None, wait_ms=0, prev=False)

    oldest = model.feed.oldest

    assert sum(told.rev >= oldest for told in model.all) <= kept
    gone = model.feed.past(oldest - 1)
    assert isinstance(gone, Failure)
    assert (gone.error, gone.oldest) == ("compacted", oldest)
    for from_rev in (oldest, oldest + 1):
        past = model.feed.past(from_rev)
        assert not isinstance(past, Failure)
        told = [event.rev for event in model.feed.tell(past, everything).events]
        assert told == [one.rev for one in model.all if one.rev >= from_rev]


@given(revisions=_revisions, kept=st.integers(1, 40), prefix=st.sampled_from([b"", *KEYS]))
def test_pages_of_any_moment_that_is_kept_show_whole_revisions(
    revisions: list[list[tuple[bytes, bytes | None, int]]], kept: int, prefix: bytes
) -> None:
    """However many changes share one: what a transaction has done is there as a whole, or not."""
    model = Model(history_changes=kept)
    for changes in revisions:
        model.change(*changes)
    keyspace, span = model.keyspace, Span(prefix, None)

    for at_rev in range(keyspace.oldest_rev, keyspace.store_rev + 1):
        differs = keyspace.undo(span, at_rev)
        shown = [(key, record.value) for key, record in keyspace.scan(span, differs)]
        known = {told.key: told.value for told in model.all if told.rev <= at_rev}
        wanted = [(key, known[key]) for key in sorted(known) if key >= prefix]
        assert shown == [(key, value) for key, value in wanted if value is not None]
        assert keyspace.count(span, differs) == len(shown)


def of_one_key(model: Model, *, prev: bool = False) -> WatchResult:
    past = model.feed.past(model.feed.oldest)
    assert not isinstance(past, Failure)
    return model.feed.tell(past, Watch(b"a", is_prefix=False, from_rev=1, wait_ms=0, prev=prev))


def test_an_answer_has_a_megabyte_and_the_next_one_goes_on() -> None:
    """A watcher that stalls is not owed more than that at once (failure B14)."""
    model = Model(history_bytes=2**30)
    for letter in b"0123456789":
        model.change((b"a", bytes([letter]) * 300_000, DELETE))

    result = of_one_key(model)

    assert [event.rev for event in result.events] == [1, 2, 3]
    assert result.next_rev == 4
    assert result.size_bytes <= feed.EVENTS_BYTES_MAX


def test_a_revision_that_is_larger_than_an_answer_goes_alone_and_whole() -> None:
    model = Model(history_bytes=2**30)
    model.change((b"a", b"first", DELETE))
    model.change(*[(b"a%d" % number, b"x" * 900_000, DELETE) for number in range(3)])
    model.change((b"a", b"last", DELETE))
    watch = Watch(b"a", is_prefix=True, from_rev=1, wait_ms=0, prev=False)

    answers = []
    next_rev = 1
    while next_rev <= 3:
        past = model.feed.past(next_rev)
        assert not isinstance(past, Failure)
        answers.append(model.feed.tell(past, watch))
        next_rev = answers[-1].next_rev

    assert [[event.rev for event in one.events] for one in answers] == [[1], [2, 2, 2], [3]]


def test_former_values_that_would_make_a_revision_too_large_are_left_out() -> None:
    """A prefix that is deleted at once may have held far more than a reply can carry."""
    model = Model(history_bytes=2**30)
    keys = [b"a%d" % number for number in range(6)]
    model.change(*[(key, b"x" * 900_000, DELETE) for key in keys])
    model.change(*[(key, None, DELETE) for key in keys])
    past = model.feed.past(2)
    assert not isinstance(past, Failure)

    result = model.feed.tell(past, Watch(b"a", is_prefix=True, from_rev=2, wait_ms=0, prev=True))

    assert [event.kind for event in result.events] == ["delete"] * 6
    assert all(event.prev is None and event.prev_omitted for event in result.events)
    assert result.size_bytes < 1_000
