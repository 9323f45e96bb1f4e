"""When an entry is committed, and who learns of it (§5.3, §5.4.2)."""

from raftcache.raft.core import APPLY_BYTES_MAX, APPLY_ENTRIES_MAX
from raftcache.raft.messages import AppendEntries
from raftcache.raft.replication import waits_for_own_disk

from .builders import (
    OPTIONS,
    append,
    leader,
    of,
    persist,
    success,
    tick,
    turn,
)


def test_an_entry_is_committed_once_a_majority_stores_it() -> None:
    """§5.3; Figure 2, leaders; and with it all before it."""
    raft = leader(1, 1, term=1)
    index = raft.propose(b"x")
    turn(raft)
    assert raft.state.commit_index == 0

    turn(raft, success("n2", term=2, match_index=index))

    assert raft.state.commit_index == index
    assert raft.state.last_applied == index


def test_a_leader_waits_for_its_own_disk_where_nothing_else_is_missing() -> None:
    """Else the word of a follower comes anyway, and one look at the disk is enough then."""
    raft = leader(1, 1, term=1)
    index = raft.propose(b"x")
    ready = raft.ready()
    assert not waits_for_own_disk(raft.state)

    raft.step(success("n2", term=2, match_index=index))
    raft.ready()
    assert raft.state.commit_index < index
    assert waits_for_own_disk(raft.state)

    persist(raft, ready)
    raft.ready()
    assert raft.state.commit_index == index
    assert not waits_for_own_disk(raft.state)


def test_a_leader_that_is_alone_waits_for_its_own_disk() -> None:
    """Nobody else has a word to say."""
    raft = leader(1, term=1, voters=("n1",))
    raft.propose(b"x")
    raft.ready()

    assert waits_for_own_disk(raft.state)


def test_an_older_terms_entry_is_never_committed_by_counting_copies() -> None:
    """§5.4.2, Figure 8 (c): on a majority, and yet it may still be overwritten (failure A4)."""
    raft = leader(1, 2, term=3)

    turn(raft, success("n2", term=4, match_index=2))
    assert raft.state.commit_index == 0

    turn(raft, success("n2", term=4, match_index=3))
    assert raft.state.commit_index == 3, "(e): with an entry of the own term, all before it too"


def test_followers_learn_what_is_committed_from_the_next_message() -> None:
    """§5.3: leader_commit goes with every AppendEntries, heartbeats too."""
    raft = leader(1, term=1)
    turn(raft, success("n2", term=2, match_index=2))

    out = tick(raft, OPTIONS.heartbeat_ticks)

    assert {one.leader_commit for one in of(out, AppendEntries)} == {2}


def test_an_entry_lost_to_a_new_leader_is_never_handed_out() -> None:
    """A proposal is done only when it comes back at its index and in its term (failure A9)."""
    raft = leader(1, term=1)
    index = raft.propose(b"mine")
    turn(raft)

    raft.step(append("n2", term=5, prev=(1, 1), terms=(5, 5), commit=3))
    ready = raft.ready()
    persist(raft, ready)

    assert [(entry.index, entry.term) for entry in ready.committed] == [(1, 1), (2, 5), (3, 5)]
    assert all(entry.data != b"mine" for entry in ready.committed)
    assert index == 3


def test_what_is_committed_at_once_is_handed_out_in_turns() -> None:
    """A node that catches up still hears its peers between two portions."""
    raft = leader(term=1)
    sizes = [APPLY_BYTES_MAX, 10, APPLY_BYTES_MAX - 11, 2 * APPLY_BYTES_MAX, 1, *[0] * 100]
    turn(raft)
    for size in sizes:
        index = raft.propose(b"x" * size)
    turn(raft)
    raft.step(success("n2", term=2, match_index=index))

    portions: list[list[int]] = []
    while raft.has_more or not portions:
        ready = raft.ready()
        portions.append([len(entry.data) for entry in ready.committed])
        persist(raft, ready)

    assert portions[:2] == [[0, APPLY_BYTES_MAX], [10, APPLY_BYTES_MAX - 11]]
    assert portions[2] == [2 * APPLY_BYTES_MAX], "a large one alone"
    assert [len(portion) for portion in portions[3:]] == [
        APPLY_ENTRIES_MAX,
        101 - APPLY_ENTRIES_MAX,
    ]
    assert [size for portion in portions for size in portion] == [0, *sizes]
