"""The past is forgotten on demand: a command of the log, so on all servers at the same place."""

import pytest

from raftcache.store.commands import Command, Compact, Range, Set, encode_commands
from raftcache.store.machine import StateMachine, StoreLimits
from raftcache.store.results import CompactResult, Failure, RangeResult, Result

from .snapshots import assert_same, rest_of, restored, slices_of

SETS = [Set(b"a", b"%d" % number) for number in range(4)]


def apply(machine: StateMachine, *commands: Command) -> list[Result]:
    """Apply commands as the next entry."""
    return machine.apply(machine.last_applied + 1, encode_commands(commands, 0))


@pytest.mark.parametrize(("to", "oldest"), [(None, 4), (4, 4), (2, 2), (1, 1), (0, 1)])
def test_the_past_is_forgotten_on_demand(to: int | None, oldest: int) -> None:
    """Up to a revision, which itself can still be read, as all behind it (failure B16)."""
    machine = StateMachine(StoreLimits(history_changes=3))
    apply(machine, *SETS)
    digest = machine.digest()

    [first, again] = apply(machine, Compact(to), Compact(to))

    assert first == again == CompactResult(oldest)
    assert (machine.store_rev, machine.digest()) == (4, digest), "it changes nothing that is"
    refused = machine.read(Range(b"", None, 10, at_rev=oldest - 1))
    assert isinstance(refused, Failure)
    assert (refused.error, refused.oldest) == ("compacted", oldest)
    page = machine.read(Range(b"", None, 10, at_rev=oldest))
    assert isinstance(page, RangeResult)
    assert [item.value for item in page.items] == [b"%d" % (oldest - 1)]
    missed = machine.feed.past(oldest)
    assert isinstance(missed, Failure)
    assert (missed.error, missed.oldest) == ("compacted", oldest + 1)
    changes = machine.feed.past(oldest + 1)
    assert not isinstance(changes, Failure)
    assert [change.rev for change in changes] == [*range(oldest + 1, 5)]
    assert machine._keyspace._history.size_bytes == 2 * (4 - oldest)


def test_a_past_that_is_yet_to_come_is_not_forgotten() -> None:
    machine = StateMachine()
    apply(machine, *SETS)

    [result] = apply(machine, Compact(5))

    assert isinstance(result, Failure)
    assert result.error == "bad_request"
    assert isinstance(machine.read(Range(b"", None, 10, at_rev=0)), RangeResult)


def test_a_snapshot_in_the_making_keeps_the_past_of_its_moment() -> None:
    """What is forgotten meanwhile is forgotten again when the log goes on (failure B7)."""
    machine = StateMachine()
    apply(machine, *SETS)
    run = machine.begin_snapshot()
    first = run.next_slice(4096)
    assert first is not None
    entry = encode_commands([Compact(3)], 0)
    machine.apply(machine.last_applied + 1, entry)

    other = restored([first, *rest_of(run, 4096)])

    assert other._keyspace.oldest_rev == 0
    other.apply(other.last_applied + 1, entry)
    assert_same(machine, other)
    assert_same(machine, restored(slices_of(machine)))
