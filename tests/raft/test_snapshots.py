"""Log compaction and InstallSnapshot (§7, Figure 13), one core at a time."""

from raftcache.raft.configuration import Configuration
from raftcache.raft.core import Raft, SnapshotPosition
from raftcache.raft.messages import (
    AppendEntries,
    AppendEntriesResponse,
    InstallSnapshot,
    InstallSnapshotResponse,
)
from raftcache.raft.progress import ProgressState
from raftcache.raft.types import HardState, Index, Role, Term

from .builders import (
    OPTIONS,
    THREE,
    append,
    core,
    leader,
    log_of,
    of,
    only,
    rejection,
    success,
    terms_of,
    tick,
    turn,
)


def position(index: Index, term: Term) -> SnapshotPosition:
    """Return where a snapshot stands; all three servers vote there."""
    return SnapshotPosition(index, term, Configuration(voters=THREE))


def install_message(index: Index, term: Term, *, leader_term: Term) -> InstallSnapshot:
    """Return the head of a chunk from n2."""
    return InstallSnapshot("n2", "n1", leader_term, index, term)


def follower(*terms: Term, commit: Index, term: Term) -> Raft:
    """Return n1, which follows n2 in ``term`` and knows the log to be committed up to there."""
    raft = core("n1", *terms, term=term)
    last = (len(terms), terms[-1] if terms else 0)
    turn(raft, append(term=term, prev=last, commit=commit))
    assert raft.state.commit_index == commit
    return raft


def compacted_leader() -> Raft:
    """Return n1, leading term 2 with 1@1 … 5@1, 6@2; n3 has all, n2 nothing; forgets up to 4."""
    raft = leader(1, 1, 1, 1, 1, term=1)
    turn(raft, success("n3", term=2, match_index=6, prev=5))
    raft.compact(4)
    return raft


def test_commits_wait_for_a_snapshot_only_where_too_few_others_are_heard() -> None:
    """Then it is taken without regard for others (``node/pace.py``)."""
    raft = compacted_leader()
    turn(raft, rejection("n2", term=2, prev=5, conflict=(0, 1)))
    with_n3 = raft.commits_wait_for_snapshot

    for _ in range(raft.state.options.election_ticks_min):
        raft.tick()
        raft.step(rejection("n2", term=2, prev=5, conflict=(0, 1)))

    assert raft.is_leader
    assert not with_n3
    assert raft.commits_wait_for_snapshot


def test_a_compacted_log_keeps_the_term_of_its_base() -> None:
    """The entry before the first one kept must still match (§7)."""
    raft = compacted_leader()

    log = raft.state.log
    assert (log.base_index, log.base_term, log.last_index) == (4, 1, 6)
    assert [log.term_at(index) for index in (3, 4, 5, 6)] == [None, 1, 1, 2]


def test_only_what_is_applied_and_durable_is_forgotten() -> None:
    """A snapshot holds what is committed; the rest exists nowhere else (§7)."""
    raft = follower(1, 1, 1, 1, commit=2, term=1)

    raft.compact(4)

    assert raft.state.log.base_index == 2


def test_a_follower_whose_next_entry_is_gone_is_in_need_of_a_snapshot() -> None:
    """The leader has nothing else to send it (§7)."""
    raft = compacted_leader()
    turn(raft, rejection("n2", term=2, prev=5, conflict=(0, 1)))

    out = tick(raft, 2)

    assert raft.peers_in_need_of_snapshot == ["n2"]
    beat = only([message for message in of(out, AppendEntries) if message.target == "n2"], object)
    assert (beat.prev_log_index, beat.prev_log_term, beat.entries) == (4, 1, ())


def test_heartbeats_of_a_waiting_follower_do_not_end_its_wait() -> None:
    """It hears its leader, and goes on needing the snapshot (failure D9)."""
    raft = compacted_leader()
    turn(raft, rejection("n2", term=2, prev=5, conflict=(0, 1)))

    turn(raft, rejection("n2", term=2, prev=4, conflict=(0, 1)))
    turn(raft, success("n2", term=2, match_index=0, prev=0))

    assert raft.state.progress["n2"].state is ProgressState.SNAPSHOT


def test_entries_go_on_behind_the_snapshot_once_it_is_in_force() -> None:
    """The response says what the follower has now (Figure 13)."""
    raft = compacted_leader()
    turn(raft, rejection("n2", term=2, prev=5, conflict=(0, 1)))

    out = turn(raft, InstallSnapshotResponse("n2", "n1", 2, 5))

    sent = only([message for message in of(out, AppendEntries) if message.target == "n2"], object)
    assert (sent.prev_log_index, [entry.index for entry in sent.entries]) == (5, [6])
    assert raft.peers_in_need_of_snapshot == []


def test_a_number_beyond_the_log_is_not_believed() -> None:
    """Numbers from the wire are checked."""
    raft = compacted_leader()

    turn(raft, InstallSnapshotResponse("n2", "n1", 2, 99))

    assert raft.state.progress["n2"].match_index == 0


def test_a_snapshot_replaces_a_log_that_does_not_lead_up_to_it() -> None:
    """Figure 13, rule 7: the whole log goes (failures D2, D3)."""
    raft = follower(1, 1, 1, commit=1, term=3)
    turn(raft, install_message(5, 2, leader_term=3))

    assert raft.install_snapshot(position(5, 2))
    ready = raft.ready()

    assert terms_of(raft) == []
    assert ready.base == (5, 2)
    assert (raft.state.commit_index, raft.state.last_applied) == (5, 5)
    assert ready.after_persist == [InstallSnapshotResponse("n1", "n2", 3, 5)]
    assert ready.mark is not None, "the new base must reach the disk before the leader hears of it"


def test_a_snapshot_keeps_the_entries_behind_it_where_the_log_agrees() -> None:
    """Figure 13, rule 6."""
    raft = follower(1, 1, 2, 2, commit=1, term=2)

    assert raft.install_snapshot(position(3, 2))
    ready = raft.ready()

    assert (raft.state.log.base_index, terms_of(raft)) == (3, [2])
    assert ready.base is None, "the log on disk leads up to the snapshot by itself"


def test_entries_that_the_disk_never_got_do_not_leave_a_gap_in_its_log() -> None:
    """What is compacted before it was written needs a new base on disk (failure D4)."""
    raft = follower(1, commit=1, term=1)
    raft.step(append(term=1, prev=(1, 1), terms=(1, 1, 1)))

    assert raft.install_snapshot(position(3, 1))
    ready = raft.ready()

    assert ready.base == (3, 1)
    assert [entry.index for entry in ready.entries] == [4]


def test_an_old_snapshot_changes_nothing_and_is_still_answered() -> None:
    """The log is further already; the leader must learn of it (failure D5)."""
    raft = follower(1, 1, 1, commit=3, term=1)

    assert not raft.install_snapshot(position(2, 1))

    assert terms_of(raft) == [1, 1, 1]
    assert raft.ready().after_persist == [InstallSnapshotResponse("n1", "n2", 1, 3)]


def test_an_append_that_reaches_behind_the_base_is_answered_with_the_commit_index() -> None:
    """Entries below the base are not looked at, and not appended twice (failure A6)."""
    raft = follower(1, commit=1, term=2)
    raft.install_snapshot(position(5, 2))
    turn(raft)

    out = turn(raft, append(term=2, prev=(0, 0), terms=(1, 1), commit=5))

    answer = only(out, AppendEntriesResponse)
    assert (answer.success, answer.match_index) == (True, 5)
    assert raft.state.log.last_index == 5


def test_entries_follow_the_base_of_an_installed_snapshot() -> None:
    """The base's term stands for the entry that is gone (§7)."""
    raft = follower(1, commit=1, term=2)
    raft.install_snapshot(position(5, 2))
    turn(raft)

    out = turn(raft, append(term=2, prev=(5, 2), terms=(2,), commit=5))

    assert only(out, AppendEntriesResponse).match_index == 6


def test_a_paused_state_machine_is_handed_nothing() -> None:
    """While it is restored, committed entries wait in the log."""
    raft = follower(1, commit=1, term=2)
    raft.install_snapshot(position(5, 2))
    raft.pause_apply(paused=True)

    raft.step(append(term=2, prev=(5, 2), terms=(2,), commit=6))
    held = raft.ready().committed
    raft.pause_apply(paused=False)

    assert list(held) == []
    assert [entry.index for entry in raft.ready().committed] == [6]


def test_a_leader_of_an_older_term_learns_that_its_time_is_over() -> None:
    """Figure 13, rule 1."""
    raft = core("n1", 1, term=4)

    out = turn(raft, install_message(5, 1, leader_term=3))

    assert only(out, InstallSnapshotResponse) == InstallSnapshotResponse("n1", "n2", 4, 0)


def test_a_chunk_is_a_sign_of_life_of_the_leader() -> None:
    """A long transfer is no silence (failure D10)."""
    raft = core("n1", 1, term=3)

    for _ in range(10):
        tick(raft, OPTIONS.election_ticks_min - 1)
        turn(raft, install_message(5, 3, leader_term=3))

    assert raft.state.role is Role.FOLLOWER
    assert raft.state.leader_id == "n2"


def test_a_restart_goes_on_from_the_snapshot_and_the_log_behind_it() -> None:
    """Nothing below the base is applied again (failure D13)."""
    raft = Raft(
        "n1",
        Configuration(voters=("n1",)),
        options=OPTIONS,
        random=core().state.random,
        hard_state=HardState(2, None),
        entries=log_of(2, first=6),
        snapshot=position(5, 2),
    )

    turn(raft, append(term=2, prev=(6, 2), commit=6))

    assert raft.state.configuration.voters == THREE
    assert raft.state.last_applied == 6
    assert raft.state.log.base_index == 5


def test_a_configuration_in_the_snapshot_replaces_what_the_log_had() -> None:
    """Membership comes from the snapshot, not from how the cluster began (failures C16, D6)."""
    raft = follower(1, commit=1, term=2)
    others = Configuration(voters=("n1", "n2", "n4"))

    raft.install_snapshot(SnapshotPosition(5, 2, others))

    assert raft.state.configuration == others
    assert raft.configuration_at(5) == others
