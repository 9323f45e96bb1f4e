"""What becomes of servers that a configuration change removes (thesis §4.2.2, §4.2.3)."""

from raftcache.raft.configuration import Configuration, Member
from raftcache.raft.membership import may_take_part
from raftcache.raft.messages import (
    AppendEntries,
    PreVote,
    PreVoteResponse,
    ReadIndex,
    RequestVote,
    RequestVoteResponse,
    TimeoutNow,
)
from raftcache.raft.types import Role

from .builders import (
    append,
    core,
    of,
    only,
    persist,
    role,
    success,
    tick,
    time_out,
    turn,
    win_pre_vote,
)
from .members import conf, everybody_has_all, leader, member, seated

GOING = conf("n2 n3", outgoing="n1 n2 n3")


def test_a_leader_that_leaves_does_not_count_itself() -> None:
    """Thesis §4.2.2: it manages a cluster that it is no part of."""
    raft = leader(1, GOING, conf("n2 n3"))

    everybody_has_all(raft, "n2")
    alone = raft.state.commit_index
    everybody_has_all(raft, "n3")

    assert alone == 0, "n1 and n2 are no majority of n2 and n3"
    assert raft.state.commit_index == raft.state.log.last_index


def test_a_leader_that_leaves_leads_until_the_change_is_committed() -> None:
    """Thesis §4.2.2: else nobody might be there to complete it."""
    raft = seated()
    raft.change_configuration(conf("n2 n3"))
    everybody_has_all(raft)

    out = everybody_has_all(raft, "n2")

    assert raft.state.configuration == conf("n2 n3")
    assert raft.is_leader
    assert of(out, TimeoutNow) == []


def test_a_removed_leader_tells_all_and_hands_over_to_a_voter() -> None:
    """Thesis §4.2.2, §3.10: all learn what is committed, and one campaigns at once."""
    raft = seated()
    raft.change_configuration(conf("n2 n3", learners="n4"))
    everybody_has_all(raft)

    out = everybody_has_all(raft, "n2", "n3")

    told = {message.target: message.leader_commit for message in of(out, AppendEntries)}
    assert told == {"n2": 3, "n3": 3, "n4": 3}
    assert only(out, TimeoutNow).target in ("n2", "n3")
    assert role(raft) is Role.FOLLOWER


def test_a_leader_made_a_learner_hands_over_too() -> None:
    """It does not vote any more, so it can't lead; it replicates as before."""
    raft = seated()
    raft.change_configuration(conf("n2 n3", learners="n1"))
    everybody_has_all(raft)

    out = everybody_has_all(raft, "n2", "n3")

    assert len(of(out, TimeoutNow)) == 1
    assert role(raft) is Role.FOLLOWER
    assert not raft.state.is_electable()


def test_a_removed_leader_takes_no_proposals_while_it_hands_over() -> None:
    """Thesis §3.10; but what it took on before is committed first, and answered."""
    raft = seated()
    raft.change_configuration(conf("n2 n3 n4"))
    everybody_has_all(raft)
    raft.propose(b"late")
    turn(raft)
    turn(raft, *[success(peer, term=1, match_index=3) for peer in ("n2", "n3")])
    waiting = (raft.is_leader, raft.accepts_proposals, raft.state.commit_index)

    out = everybody_has_all(raft, "n2", "n3")

    assert waiting == (True, False, 3)
    assert raft.state.commit_index == 4
    assert len(of(out, TimeoutNow)) == 1


def test_a_removed_leader_that_can_not_hand_over_steps_down_all_the_same() -> None:
    """Its successor takes nothing in; after an election timeout the others are on their own."""
    raft = seated()
    raft.change_configuration(conf("n2 n3 n4"))
    everybody_has_all(raft)
    raft.propose(b"late")
    turn(raft)
    turn(raft, *[success(peer, term=1, match_index=3) for peer in ("n2", "n3")])

    for _ in range(raft.state.options.election_ticks_min):
        tick(raft, 1)
        turn(raft, *[success(peer, term=1, match_index=3) for peer in ("n2", "n3")])

    assert role(raft) is Role.FOLLOWER


def test_a_removed_leader_never_campaigns_again() -> None:
    """It knows the change to be committed (failure C8)."""
    raft = seated()
    raft.change_configuration(conf("n2 n3"))
    everybody_has_all(raft)
    everybody_has_all(raft)

    out = tick(raft, 10 * raft.state.options.election_ticks_max)

    assert of(out, PreVote) == []
    assert not raft.state.is_electable()


def test_who_learns_from_others_that_it_was_removed_stands_for_no_election() -> None:
    """Thesis §4.2.3: neither by a timeout, nor by an answer that comes late, nor by order."""
    raft = core("n1")
    time_out(raft)

    raft.retire()
    out = win_pre_vote(raft)
    out += turn(raft, TimeoutNow("n2", "n1", 0))
    out += tick(raft, 10 * raft.state.options.election_ticks_max)

    assert out == []
    assert (role(raft), raft.current_term) == (Role.FOLLOWER, 0)


def test_who_learns_from_others_that_it_was_removed_asks_them_about_no_read() -> None:
    """Nobody answers it: the reads are refused, and it asks no more."""
    raft = core("n1")
    turn(raft, append("n2", term=1))
    raft.read_index("a")
    asked = of(turn(raft), ReadIndex)
    raft.read_index("b")

    raft.retire()
    ready = raft.ready()
    out = tick(raft, 10 * raft.state.options.heartbeat_ticks)

    assert len(asked) == 1
    assert sorted(ready.reads_refused) == ["a", "b"]
    assert of([*ready.messages, *out], ReadIndex) == []


def test_who_is_removed_while_its_disk_takes_its_own_vote_asks_nobody() -> None:
    """Thesis §4.2.3: the disk had the vote 1.4 s later, and the requests left (seed 1180859)."""
    raft = core("n1")
    time_out(raft)
    for voter in raft.state.peers():
        raft.step(PreVoteResponse(voter, "n1", 0, candidate_term=1, vote_granted=True))
    ready = raft.ready()
    campaigned = role(raft)

    raft.retire()
    persist(raft, ready)

    assert campaigned is Role.CANDIDATE
    assert ready.hard_state is not None
    assert turn(raft) == []


def test_an_election_that_is_over_before_the_own_vote_is_durable_asks_nobody() -> None:
    """Another leads the term by then: a late request could only disturb (§5.2)."""
    raft = core("n1")
    time_out(raft)
    for voter in raft.state.peers():
        raft.step(PreVoteResponse(voter, "n1", 0, candidate_term=1, vote_granted=True))
    ready = raft.ready()

    raft.step(append("n2", term=1))
    persist(raft, ready)

    assert of(turn(raft), RequestVote) == []


def test_who_is_about_to_be_removed_campaigns_without_counting_itself() -> None:
    """Thesis §4.2.2, Figure 4.6.

    It may be the only one with the last entry. The others, still in the joint configuration, then
    need a vote that it can't give to a shorter log.
    """
    raft = member("n1", conf("n1 n2 n3"), 1, GOING, conf("n2 n3"), term=1)
    time_out(raft)
    began = role(raft)

    turn(raft, PreVoteResponse("n2", "n1", 1, 2, vote_granted=True))
    with_own = role(raft)
    turn(raft, PreVoteResponse("n3", "n1", 1, 2, vote_granted=True))

    assert began is with_own is Role.PRE_CANDIDATE
    assert role(raft) is Role.CANDIDATE

    turn(raft, *[RequestVoteResponse(peer, "n1", 2, vote_granted=True) for peer in ("n2", "n3")])

    assert raft.is_leader


def test_a_removed_server_is_heard_until_the_change_is_committed_and_not_after() -> None:
    """Its vote, or its lead, may be needed as long; later it only disturbs (failure C9)."""
    joint = conf("n2#1 n3#1 n4#2", outgoing="n1#1 n2#1 n3#1", mark=2)
    final = conf("n2#1 n3#1 n4#2", mark=2)
    raft = member("n2#1", conf("n1#1 n2#1 n3#1", mark=1), 1, joint, final, term=1)
    before = may_take_part(raft.state, "n1#1")

    turn(raft, append("n1#1", "n2#1", term=1, prev=(3, 1), commit=3))
    leads = may_take_part(raft.state, "n1#1")
    turn(raft, append("n3#1", "n2#1", term=2, prev=(3, 1), commit=3))

    assert before
    assert leads, "its last word, TimeoutNow, is still to come"
    assert not may_take_part(raft.state, "n1#1")


def test_a_server_listens_to_members_that_it_has_not_heard_of_yet() -> None:
    """A server that lags must hear a leader that joined meanwhile: incarnations only rise."""
    began_with = Configuration(
        ("n1#1", "n2#1"),
        members=tuple(Member(f"{name}#1", name, 1, "p", "c") for name in ("n1", "n2")),
    )
    raft = member("n1#1", began_with, 1, term=1)

    heard = [
        name
        for name in (
            "n2#1",
            "n2#0",
            "n9#1",
            "n9#0",
            "n2",
            "n9#x",
            f"n9#{9 * 10**30}",
            "n2#2",
            "n9#7",
        )
        if may_take_part(raft.state, name)
    ]

    assert heard == ["n2#1", "n2#2", "n9#7"]


def test_a_removed_incarnation_stays_out_though_nobody_names_it() -> None:
    """The mark stands for all that are gone (failures C9, C10)."""
    raft = member("n1#1", conf("n1#1 n2#5", mark=5), 1, term=1)

    heard = [name for name in ("n2#1", "n3#1", "n3#5", "n3#6") if may_take_part(raft.state, name)]

    assert heard == ["n3#6"]


def test_a_server_that_has_joined_listens_to_everybody() -> None:
    """It knows of no configuration, so any incarnation may be a member."""
    raft = member("n4#2", conf(""), term=0)

    assert may_take_part(raft.state, "n1#1")
