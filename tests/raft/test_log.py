"""The log in memory, as tables (§5.3, §5.4.1)."""

import pytest

from raftcache.raft.log import Log
from raftcache.raft.types import Index, Term

from .builders import log_of


def terms(log: Log) -> tuple[Term, ...]:
    return tuple(entry.term for entry in log.entries)


@pytest.mark.parametrize(
    ("own", "first", "sent", "expected", "removed"),
    [
        ((), 1, (1, 1), (1, 1), None),
        ((1, 1), 1, (1, 1), (1, 1), None),
        ((1, 1), 1, (1,), (1, 1), None),
        ((1, 1, 1), 2, (1,), (1, 1, 1), None),
        ((1, 1), 3, (2, 2), (1, 1, 2, 2), None),
        ((1, 1), 2, (1, 2), (1, 1, 2), None),
        ((1, 1), 2, (2,), (1, 2), 2),
        ((1, 2, 2, 2), 2, (2, 3), (1, 2, 3), 3),
        ((1, 2, 2), 1, (3, 3, 3, 3), (3, 3, 3, 3), 1),
        ((1, 1), 3, (), (1, 1), None),
    ],
)
def test_splice_replaces_only_what_conflicts(
    own: tuple[Term, ...],
    first: Index,
    sent: tuple[Term, ...],
    expected: tuple[Term, ...],
    removed: Index | None,
) -> None:
    """Figure 2, receiver rules 3 and 4; says what it removed."""
    log = Log(log_of(*own))

    assert log.splice(log_of(*sent, first=first)) == removed
    assert terms(log) == expected


def test_what_splice_replaced_is_handed_to_the_disk_again() -> None:
    """Else the disk would keep what was removed (failure A7)."""
    log = Log(log_of(1, 1, 1))
    assert log.take_unsaved() == []

    log.splice(log_of(2, 2, first=2))

    assert log.take_unsaved() == list(log_of(2, 2, first=2))
    assert log.take_unsaved() == []


def test_what_is_spliced_twice_before_the_disk_takes_it_is_handed_over_once() -> None:
    """One turn of the loop may replace what the same turn had appended (failure A7)."""
    log = Log(log_of(1))

    log.splice(log_of(2, 2, 2, first=2))
    log.splice(log_of(3, first=3))

    assert [(entry.index, entry.term) for entry in log.take_unsaved()] == [(2, 2), (3, 3)]


@pytest.mark.parametrize(
    ("first", "bytes_max", "expected"),
    [
        (1, 0, [1]),
        (1, 3, [1]),
        (1, 6, [1, 2]),
        (2, 9, [2, 3, 4]),
        (4, 100, [4, 5]),
        (5, 100, [5]),
        (6, 100, []),
    ],
)
def test_slice_takes_what_fits_and_at_least_one(
    first: Index, bytes_max: int, expected: list[Index]
) -> None:
    """Each entry here has 3 bytes; one that is larger than the budget goes alone."""
    log = Log(log_of(1, 1, 1, 1, 1))

    assert [entry.index for entry in log.slice(first, log.last_index, bytes_max)] == expected


def test_slice_behind_a_base_counts_from_it() -> None:
    """A snapshot covers what came before (§7)."""
    log = Log(log_of(2, 2, first=8), base=(7, 2))

    assert [entry.index for entry in log.slice(8, 9, 100)] == [8, 9]


@pytest.mark.parametrize(
    ("index", "expected"), [(0, None), (6, None), (7, 2), (8, 2), (9, 3), (10, None), (-1, None)]
)
def test_a_term_is_known_from_the_base_to_the_end(index: Index, expected: Term | None) -> None:
    """The base's term is known, so that the entry behind it can be checked (§7)."""
    log = Log(log_of(2, 3, first=8), base=(7, 2))

    assert log.term_at(index) == expected


@pytest.mark.parametrize(
    ("term", "first", "last"), [(1, 1, 2), (2, 3, None), (3, 3, 3), (4, 4, 6), (9, 7, None)]
)
def test_terms_are_found_in_the_log(term: Term, first: Index, last: Index | None) -> None:
    """What the search for the point of agreement asks (§5.3)."""
    log = Log(log_of(1, 1, 3, 4, 4, 4))

    assert log.first_index_of_term(term) == first
    assert log.last_index_of_term(term) == last


@pytest.mark.parametrize(
    ("own", "last_log_index", "last_log_term", "expected"),
    [
        ((), 0, 0, True),
        ((1, 1), 2, 1, True),
        ((1, 1), 3, 1, True),
        ((1, 1), 1, 1, False),
        ((1, 1), 1, 2, True),
        ((1, 2), 9, 1, False),
    ],
)
def test_which_log_is_more_up_to_date(
    own: tuple[Term, ...], last_log_index: Index, last_log_term: Term, *, expected: bool
) -> None:
    """§5.4.1: the later last term wins; with equal terms, the longer log."""
    assert Log(log_of(*own)).is_up_to_date(last_log_index, last_log_term) is expected


def test_a_log_with_a_gap_is_refused() -> None:
    """Such a log was damaged on the way; to go on would hide it."""
    with pytest.raises(AssertionError, match="contiguous"):
        Log(log_of(1, first=2))
