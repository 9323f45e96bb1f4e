"""The past is the same, however its changes are kept: one by one, or as series."""

from array import array
from collections.abc import Iterator
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raftcache.store.history import History, Series, change_size
from raftcache.store.records import DELETE, SET, Change, Record, Span

KEYS = st.sampled_from([b"a", b"b", b"cc", b"d"])
BEFORES = st.one_of(st.none(), st.builds(Record, st.binary(max_size=30), *[st.just(1)] * 3))
PAIRS = st.lists(st.tuples(KEYS, BEFORES), min_size=1, max_size=9)
STEPS = st.one_of(
    st.tuples(st.just("series"), PAIRS),
    st.tuples(st.just("one by one"), PAIRS),
    st.tuples(st.just("at one revision"), PAIRS),
    st.tuples(st.just("forget"), st.integers(0, 12)),
)


class Plain:
    """The past as a list, and what :class:`History` does said in the simplest way."""

    def __init__(self, changes_max: int, bytes_max: int) -> None:
        self.changes_max, self.bytes_max = changes_max, bytes_max
        self.changes: list[Change] = []

    @property
    def size_bytes(self) -> int:
        """The sizes of all changes."""
        return sum(change_size(change.key, change.before) for change in self.changes)

    def forget(self, oldest: int) -> int:
        """Drop the oldest change as long as there is a reason to."""
        while self.changes and (
            len(self.changes) > self.changes_max
            or self.size_bytes > self.bytes_max
            or self.changes[0].rev <= oldest
        ):
            oldest = max(oldest, self.changes.pop(0).rev)
        return oldest


def series_of(rev: int, pairs: list[tuple[bytes, Record | None]]) -> Series:
    """Return sets from ``rev`` on."""
    keys, befores = zip(*pairs, strict=True)
    return Series(rev, keys, befores, array("Q", accumulate(map(change_size, keys, befores))))


def assert_same(history: History, plain: Plain, oldest: int, newest: int) -> None:
    """Assert that all that can be asked is answered in the same way."""
    changes = plain.changes
    assert list(history.changes()) == changes
    assert history.size_bytes == plain.size_bytes
    for rev in range(oldest, newest + 1):
        later = [change for change in changes if change.rev > rev]
        assert history.changes_after(rev) == later
        for span in (Span(b"", None), Span(b"b", b"d")):
            undone = {c.key: c.before for c in reversed(later) if c.key in span}
            assert history.undo(span, rev) == undone


@given(st.lists(STEPS, max_size=12), st.integers(1, 20), st.integers(1, 120))
@settings(max_examples=300, deadline=None)
def test_as_series_or_one_by_one(steps: list[tuple[str, object]], most: int, size: int) -> None:
    history, plain = History(most, size), Plain(most, size)
    rev = oldest = 0
    taken: list[tuple[Iterator[Change], list[Change]]] = []
    for how, what in steps:
        up_to = oldest
        if isinstance(what, int):
            up_to = max(oldest, min(rev, what))
        elif isinstance(what, list):
            together = how == "at one revision"
            kind = DELETE if together else SET
            changes = [
                Change(rev + 1 if together else number, key, before, kind)
                for number, (key, before) in enumerate(what, rev + 1)
            ]
            if how == "series":
                history.append_series(series_of(rev + 1, what))
            else:
                for change in changes:
                    history.append(change)
            plain.changes += changes
            rev = changes[-1].rev
        oldest = plain.forget(up_to)

        assert history.forget(up_to) == oldest
        assert_same(history, plain, oldest, rev)
        taken.append((history.changes(), [*plain.changes]))
    for walk, changes in taken:
        assert list(walk) == changes, "what was taken is of its moment"


@pytest.mark.parametrize("changes_max", [1, 3, 100])
def test_it_is_dismantled_bit_by_bit(changes_max: int) -> None:
    history = History(1000, 1000)
    for first_rev in (1, 4, 8):
        history.append_series(series_of(first_rev, [(b"k", None)] * 3))
        history.append(Change(first_rev + 3, b"k", None, SET))

    rounds = 1
    while not history.dismantle(changes_max):
        rounds += 1

    assert rounds == {1: 6, 3: 4, 100: 1}[changes_max]
