"""Bugs planted in the node are found by seeded runs: what finds none of them proves nothing.

Each is a mistake that some real system has shipped. They are patched in from outside.
"""

from collections.abc import Callable

import pytest

from orchestrator.simulation.profile import Profile
from raftcache.node import pending, ready, repeats, requests
from raftcache.raft import core, election, read_index, replication
from raftcache.raft.core import PersistMark, Raft, Ready
from raftcache.raft.state import RaftState
from raftcache.raft.types import Entry, HardState
from raftcache.storage.wal import Batch

from .runs import is_found

pytestmark = pytest.mark.slow

SEEDS_MAX = 20

Plant = Callable[[pytest.MonkeyPatch], None]


def promises_leave_before_the_disk_has_them(patch: pytest.MonkeyPatch) -> None:
    """Votes and acknowledgements go out at once (failures A1, E7)."""

    def hold_nothing_back(cycle: ready.ReadyCycle, made: Ready) -> None:
        cycle._outbox.add_messages(made.after_persist)
        if made.mark is not None:
            cycle._behind_disk.append((cycle._last_ticket, made.mark, []))

    patch.setattr(ready.ReadyCycle, "_hold_back", hold_nothing_back)


def a_leader_counts_itself_before_its_disk(patch: pytest.MonkeyPatch) -> None:
    """Commits on one follower's disk and its own word (failure A11)."""
    made = Raft.ready

    def advance_at_once(raft: Raft) -> Ready:
        result = made(raft)
        if result.mark is not None:
            raft.advance(result.mark)
        return result

    patch.setattr(Raft, "ready", advance_at_once)


def votes_are_not_written(patch: pytest.MonkeyPatch) -> None:
    """The term is, without the vote in it (failures A1, A2)."""

    def forgetful(
        hard_state: HardState | None, entries: list[Entry], base: tuple[int, int] | None
    ) -> Batch:
        kept = None if hard_state is None else HardState(hard_state.current_term, None)
        return Batch(kept, entries, base)

    patch.setattr(ready, "Batch", forgetful)


def reads_ask_no_majority(patch: pytest.MonkeyPatch) -> None:
    """A leader believes in itself (failures B1, F13)."""
    patch.setattr(read_index, "has_quorum", lambda _configuration, _confirmed: True)


def repeats_are_executed(patch: pytest.MonkeyPatch) -> None:
    """A request that comes twice counts twice (failure B6)."""
    patch.setattr(repeats.Repeats, "is_new", lambda _self, _source, _number: True)


def what_is_unknown_is_told_as_refused(patch: pytest.MonkeyPatch) -> None:
    """A deposed leader says ``applied: no`` (failure A9)."""
    patch.setattr(requests, "UNKNOWN", "no")


def entries_of_another_term_answer_a_request(patch: pytest.MonkeyPatch) -> None:
    """Whoever waits for an index takes what comes there, and nobody tells of lost office (A9)."""
    take = pending.ProposedTable.take

    def take_any(table: pending.ProposedTable, index: int, _term: int) -> object:
        group = table._by_index.get(index)
        return take(table, index, group.term if group else 0)

    patch.setattr(pending.ProposedTable, "take", take_any)
    patch.setattr(requests.RequestDesk, "on_leadership_lost", lambda _self: None)


def old_disk_writes_count_for_new_entries(patch: pytest.MonkeyPatch) -> None:
    """The disk's word is taken for the present log, whatever it was about (failure A10)."""

    def advance(raft: Raft, mark: PersistMark) -> None:
        raft.state.persisted_hard_state = mark.hard_state
        raft.state.persisted_index = min(mark.last_index, raft.state.log.last_index)

    patch.setattr(core.Raft, "advance", advance)


def any_log_is_good_enough_for_a_vote(patch: pytest.MonkeyPatch) -> None:
    """The restriction of §5.4.1 is gone."""
    patch.setattr(election, "_refusal", lambda _state, _index, _term: "")


def followers_commit_what_may_give_way(patch: pytest.MonkeyPatch) -> None:
    """The leader's commit index is taken over without looking at what matches."""
    advance = replication._advance_commit_to

    def hasty(state: RaftState, index: int) -> None:
        if state.leader_commit is not None:
            index = min(state.leader_commit, state.log.last_index)
        advance(state, max(index, state.commit_index))

    patch.setattr(replication, "_advance_commit_to", hasty)


HARSH = Profile(
    faults=("kill", "power", "doom", "isolate", "pause", "split"),
    fault_pause_us=(50_000, 500_000),
    election_ticks_max=20,
    disk_us=(500, 20_000),
    duplicate=50,
    reorder=100,
    clients=6,
    think_us=(0, 5_000),
    events=100_000,
    faulty_ms=3_000,
)
"""Nodes come and go, and disks are slow."""
SLOW_CLOCK = Profile(
    faults=("isolate",),
    fault_pause_us=(500_000, 900_000),
    clock_rates=(400, 1000, 1500),
    clients=12,
    think_us=(0, 2_000),
    events=100_000,
    faulty_ms=3_000,
)
"""A leader that is cut off takes long to notice."""
SLOW_DISKS = Profile(
    faults=("isolate", "cut_one_way", "transfer"),
    fault_pause_us=(50_000, 300_000),
    disk_us=(20_000, 150_000),
    clients=8,
    think_us=(0, 5_000),
    events=100_000,
    faulty_ms=3_000,
)
"""An election passes while a write is on its way."""


@pytest.mark.parametrize(
    ("plant", "profile", "first"),
    [
        (promises_leave_before_the_disk_has_them, HARSH, 1),
        (a_leader_counts_itself_before_its_disk, HARSH, 1),
        (votes_are_not_written, HARSH, 1),
        (reads_ask_no_majority, SLOW_CLOCK, 1),
        (repeats_are_executed, HARSH, 2),
        (what_is_unknown_is_told_as_refused, HARSH, 1),
        (entries_of_another_term_answer_a_request, SLOW_CLOCK, 6),
        (old_disk_writes_count_for_new_entries, SLOW_DISKS, 30),
        (any_log_is_good_enough_for_a_vote, HARSH, 10),
        (followers_commit_what_may_give_way, HARSH, 1),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_planted_bug_is_found(
    plant: Plant, profile: Profile, first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within a few seeds, by whichever check sees it first.

    ``first`` only saves time: it is a seed that found the bug once, and the others follow.
    """
    plant(monkeypatch)

    seeds = [first, *(seed for seed in range(1, SEEDS_MAX + 1) if seed != first)]
    found = next((seed for seed in seeds if is_found(seed, profile)), None)

    assert found is not None, "no seed finds it"


@pytest.mark.parametrize(
    ("profile", "seed"), [(HARSH, 1), (HARSH, 10), (SLOW_CLOCK, 7), (SLOW_DISKS, 2)]
)
def test_without_a_planted_bug_these_worlds_are_in_order(profile: Profile, seed: int) -> None:
    """What is found above is the bug, and not the world."""
    assert not is_found(seed, profile)
