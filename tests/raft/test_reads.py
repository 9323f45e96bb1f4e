"""Linearizable reads without a log entry: ReadIndex (thesis §6.4)."""

from raftcache.raft.configuration import Configuration
from raftcache.raft.core import Raft
from raftcache.raft.messages import AppendEntries, Message, ReadIndex
from raftcache.raft.types import Index

from .builders import FIVE, OPTIONS, append, core, leader, of, persist, rejection, success, tick

Released = list[tuple[Index, list[object]]]


def settled(voters: tuple[str, ...] = ("n1", "n2", "n3")) -> Raft:
    """Return a leader of term 2 that has committed its no-op, 2@2."""
    raft = leader(1, term=1, voters=voters)
    for voter in voters[1:]:
        raft.step(success(voter, term=2, match_index=2))
    raft.ready()
    assert raft.state.commit_index == 2
    return raft


def step(raft: Raft, *messages: Message) -> tuple[Released, list[Message]]:
    """Take messages in; return the reads released, and what is sent."""
    for message in messages:
        raft.step(message)
    ready = raft.ready()
    persist(raft, ready)
    return ready.reads_released, ready.messages


def test_a_read_waits_for_a_majority_to_confirm_the_leader() -> None:
    """Thesis §6.4, step 3: it might have been deposed without knowing (failure B1)."""
    raft = settled()

    raft.read_index("a")
    released, sent = step(raft)
    assert released == []
    assert [(one.target, one.entries, one.read_round) for one in of(sent, AppendEntries)] == [
        ("n2", (), 1),
        ("n3", (), 1),
    ]

    released, _ = step(raft, success("n2", term=2, match_index=2, read_round=1))
    assert released == [(2, ["a"])]


def test_a_read_waits_for_an_entry_of_the_own_term() -> None:
    """Thesis §6.4, step 1: until then the leader does not know what is committed (failure B2).

    The no-op is what ends the wait, even if nobody writes (failure B22).
    """
    raft = leader(1, term=1)

    raft.read_index("a")
    assert step(raft)[0] == []
    assert step(raft, success("n2", term=2, match_index=1, read_round=0))[0] == []

    released, sent = step(raft, success("n2", term=2, match_index=2))
    assert released == []
    assert {one.read_round for one in of(sent, AppendEntries)} == {1}
    assert step(raft, success("n2", term=2, match_index=2, read_round=1))[0] == [(2, ["a"])]


def test_an_acknowledgement_counts_for_its_own_round_only() -> None:
    """One of an earlier round was given before the read was asked for (failure B3)."""
    raft = settled(FIVE)
    raft.read_index("a")
    step(raft)
    step(raft, success("n2", term=2, match_index=2, read_round=1))
    assert step(raft, success("n3", term=2, match_index=2, read_round=1))[0] == [(2, ["a"])]

    raft.read_index("b")
    step(raft)
    late = [success(peer, term=2, match_index=2, read_round=1) for peer in ("n4", "n5", "n4")]
    assert step(raft, *late)[0] == []

    fresh = [success(peer, term=2, match_index=2, read_round=2) for peer in ("n4", "n4", "n5")]
    assert step(raft, fresh[0], fresh[1])[0] == [], "one voter confirms once"
    assert step(raft, fresh[2])[0] == [(2, ["b"])]


def test_all_reads_that_wait_share_the_next_round() -> None:
    """One round of messages for any number of reads, and one round at a time."""
    raft = settled()
    raft.read_index("a")
    step(raft)
    raft.read_index("b")
    raft.read_index("c")
    assert of(step(raft)[1], AppendEntries) == []

    released, sent = step(raft, success("n2", term=2, match_index=2, read_round=1))
    assert released == [(2, ["a"])]
    assert {one.read_round for one in of(sent, AppendEntries)} == {2}
    assert step(raft, success("n3", term=2, match_index=2, read_round=2))[0] == [(2, ["b", "c"])]


def test_the_read_index_is_taken_after_the_read_came_in() -> None:
    """Thesis §6.4, step 2: what was committed before the question belongs to the answer."""
    raft = settled()
    raft.read_index("a")
    step(raft)
    index = raft.propose(b"x")
    step(raft)
    step(raft, success("n2", term=2, match_index=index))
    assert raft.state.commit_index == index
    raft.read_index("b")

    released, _ = step(raft, success("n2", term=2, match_index=index, read_round=1))
    assert released == [(2, ["a"])]
    released, _ = step(raft, success("n2", term=2, match_index=index, read_round=2))
    assert released == [(index, ["b"])]


def test_a_refusal_of_entries_confirms_the_leader_too() -> None:
    """Whoever answers in this term still follows; where its log stands is another matter."""
    raft = settled(FIVE)
    raft.read_index("a")
    step(raft)
    refusal = rejection("n2", term=2, prev=9, conflict=(0, 1), read_round=1)

    step(raft, refusal)

    assert step(raft, success("n3", term=2, match_index=2, read_round=1))[0] == [(2, ["a"])]


def test_a_round_that_was_lost_is_repeated_by_the_heartbeats() -> None:
    """Every AppendEntries carries the newest round."""
    raft = settled()
    raft.read_index("a")
    step(raft)

    heartbeats = of(tick(raft, OPTIONS.heartbeat_ticks), AppendEntries)

    assert {one.read_round for one in heartbeats} == {1}


def asked(messages: list[Message]) -> list[str]:
    """Return who is asked to confirm a round."""
    return [one.target for one in of(messages, AppendEntries)]


def confirmed(raft: Raft, *peers: str) -> list[str]:
    """Let a read in, and these confirm its round; return who was asked."""
    raft.read_index("read")
    sent = step(raft)[1]
    number = raft.state.read_round
    released, _ = step(
        raft, *[success(peer, term=2, match_index=2, read_round=number) for peer in peers]
    )
    assert released == [(2, ["read"])]
    return asked(sent)


def test_no_more_are_asked_than_a_majority_takes() -> None:
    """Each one who is asked costs a message, a turn and an answer."""
    raft = settled(FIVE)

    assert confirmed(raft, "n5", "n3", "n2") == ["n2", "n3", "n4", "n5"]
    assert confirmed(raft, "n2", "n3") == ["n2", "n3"]
    assert confirmed(raft, "n2", "n3") == ["n2", "n3"]

    raft = settled()
    assert confirmed(raft, "n3") == ["n2", "n3"]
    assert confirmed(raft, "n3") == ["n3"], "the first who answered when all were asked"


def test_a_follower_that_asks_is_asked_as_well() -> None:
    """Else it would wait for a heartbeat to hear that what it may read is committed."""
    raft = settled()
    confirmed(raft, "n2")
    index = raft.propose(b"x")
    step(raft)
    step(raft, success("n2", term=2, match_index=index))

    _, sent = step(raft, ReadIndex("n3", "n1", 2, number=7))

    appends = of(sent, AppendEntries)
    assert {(one.target, one.leader_commit) for one in appends} == {("n2", index), ("n3", index)}
    assert appends[-1].target == "n3", "it is brought up to that as well (vanguard)"
    assert [entry.index for entry in appends[-1].entries] == [index]


def test_all_are_asked_where_those_first_asked_do_not_answer_in_time() -> None:
    """A follower that is paused, or behind a cut, costs a tick and not a heartbeat."""
    raft = settled()
    confirmed(raft, "n2")
    raft.read_index("a")
    assert asked(step(raft)[1]) == ["n2"]

    assert asked(tick(raft, 1)) == ["n2", "n3"]
    assert step(raft, success("n3", term=2, match_index=2, read_round=2))[0] == [(2, ["a"])]

    assert confirmed(raft, "n3") == ["n3"], "the other one is not asked again"


def test_all_are_asked_again_after_a_heartbeats_time() -> None:
    """Another may have become the quicker one."""
    raft = settled()
    confirmed(raft, "n2")
    tick(raft, OPTIONS.heartbeat_ticks)

    assert confirmed(raft, "n3") == ["n2", "n3"]
    assert confirmed(raft, "n3") == ["n3"]


def test_those_who_were_asked_by_the_last_configuration_may_not_do() -> None:
    """Enough is what the present one says (§6)."""
    raft = settled()
    confirmed(raft, "n2")
    raft.change_configuration(Configuration(("n1", "n4", "n5")))
    persist(raft, raft.ready())
    assert raft.state.configuration.is_joint
    raft.read_index("a")

    assert asked(step(raft)[1]) == ["n2", "n3", "n4", "n5"]
    assert step(raft, success("n2", term=2, match_index=2, read_round=2))[0] == []
    assert step(raft, success("n5", term=2, match_index=2, read_round=2))[0] == [(2, ["a"])]


def test_reads_are_refused_at_once_when_the_leader_loses_its_office() -> None:
    """Both those of the round under way and those that wait; nobody is left hanging."""
    raft = settled()
    raft.read_index("a")
    step(raft)
    raft.read_index("b")

    raft.step(append("n2", term=5))
    ready = raft.ready()

    assert sorted(ready.reads_refused) == ["a", "b"]
    assert ready.reads_released == []


def test_a_lone_voter_confirms_itself() -> None:
    """It is its own majority."""
    raft = core("n1", voters=("n1",))
    tick(raft, OPTIONS.election_ticks_max)

    raft.read_index("a")

    assert raft.ready().reads_released == [(1, ["a"])]


def test_rounds_of_an_earlier_office_do_not_count() -> None:
    """Their acknowledgements are of an older term (§5.1)."""
    raft = settled()
    raft.read_index("a")
    step(raft)
    step(raft, append("n2", term=5))
    assert raft.state.read_round == 0
    assert step(raft, success("n2", term=2, match_index=2, read_round=1))[0] == []
