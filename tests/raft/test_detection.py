"""A leader whose process is gone is not waited for; one that is only silent is."""

import pytest

from raftcache.raft.core import Raft
from raftcache.raft.detection import GIVE_WAY_TICKS
from raftcache.raft.messages import PreVote, PreVoteResponse, RequestVoteResponse
from raftcache.raft.types import Role, ServerId

from ..effort import scaled
from .builders import FIVE, OPTIONS, append, core, of, only, role, tick, turn, vote_request
from .network import Network
from .swarm import Swarm


def bereaved(name: ServerId = "n2", *, voters: tuple[ServerId, ...] = ("n1", "n2", "n3")) -> Raft:
    """Return a follower of n1 in term 1 that has just learned that n1's process is gone."""
    raft = core(name, 1, voters=voters)
    turn(raft, append("n1", name, term=1, prev=(1, 1)))
    assert raft.peer_disconnected("n1")
    return raft


def asked(raft: Raft) -> list[ServerId]:
    """Let the server campaign; return whom it asks."""
    raft.campaign_early()
    return [message.target for message in of(turn(raft), PreVote)]


def answer(source: ServerId, target: ServerId = "n2", **fields: bool) -> PreVoteResponse:
    fields = {"vote_granted": False, **fields}
    return PreVoteResponse(source, target, 1, candidate_term=2, **fields)  # type: ignore[arg-type]


def question(source: ServerId, target: ServerId, last: tuple[int, int] = (1, 1)) -> PreVote:
    return PreVote(source, target, 1, 2, *last)


def test_who_knows_the_leader_gone_gives_its_vote_away() -> None:
    """Stickiness (thesis §4.2.3) protects a leader that works; this one does not."""
    raft = bereaved()

    out = turn(raft, question("n3", "n2"), vote_request("n3", "n2", term=2, last=(1, 1)))

    assert only(out, PreVoteResponse).vote_granted
    assert only(out, RequestVoteResponse).vote_granted


def test_who_knows_the_leader_gone_stands_for_election_at_once() -> None:
    raft = bereaved()

    assert asked(raft) == ["n1", "n3"]
    assert role(raft) is Role.PRE_CANDIDATE
    assert raft.state.election_reason == "connection refused: n1 is gone"
    assert raft.current_term == 1


def test_another_servers_end_is_no_matter() -> None:
    """Only the leader of the current term is missed."""
    raft = core("n2", 1)
    turn(raft, append("n1", "n2", term=1, prev=(1, 1)))

    assert not raft.peer_disconnected("n3")

    assert asked(raft) == []
    assert raft.state.leader_id == "n1"


def test_a_leader_cares_for_nobodys_end() -> None:
    network = Network(3)
    leader = network.servers[network.elect()].raft

    assert not any(leader.peer_disconnected(peer) for peer in leader.state.peers())

    assert leader.is_leader


def test_a_message_of_the_leader_restores_the_trust_in_it() -> None:
    """It may have been sent before the end; then the next refusal tells so again."""
    raft = bereaved()
    turn(raft, append("n1", "n2", term=1, prev=(1, 1)))

    assert asked(raft) == []
    (refused,) = of(turn(raft, question("n3", "n2")), PreVoteResponse)
    assert (refused.vote_granted, refused.hears_leader) == (False, True)

    assert raft.peer_disconnected("n1")
    assert asked(raft) == ["n1", "n3"]


def test_a_message_of_the_leader_ends_the_campaign_too() -> None:
    raft = bereaved()
    asked(raft)

    turn(raft, append("n1", "n2", term=1, prev=(1, 1)))

    assert role(raft) is Role.FOLLOWER
    assert raft.state.leader_id == "n1"


def test_who_still_hears_the_leader_is_asked_again_at_each_tick() -> None:
    """In the same term, and only those: the others have given their word already."""
    raft = bereaved(voters=FIVE)
    asked(raft)
    turn(raft, answer("n3", hears_leader=True), answer("n4", vote_granted=True))

    asked_at_ticks = [[one.target for one in of(tick(raft, 1), PreVote)] for _ in range(2)]

    assert asked_at_ticks == [["n1", "n3", "n5"]] * 2
    assert (role(raft), raft.current_term) == (Role.PRE_CANDIDATE, 1)
    turn(raft, answer("n3", vote_granted=True))
    assert (role(raft), raft.current_term) == (Role.CANDIDATE, 2)


def test_it_goes_on_asking_until_its_election_timeout() -> None:
    """Then an ordinary attempt begins, which asks once."""
    raft = bereaved()
    asked(raft)

    asked_at_ticks = [
        len(of(tick(raft, 1), PreVote)) for _ in range(2 * OPTIONS.election_ticks_max - 1)
    ]

    ticks = OPTIONS.election_ticks_max
    assert asked_at_ticks == [2] * (ticks - 1) + [2] + [0] * (ticks - 1)
    assert raft.state.election_reason == "timeout: no leader known"


def test_a_refusal_for_another_reason_ends_the_campaign() -> None:
    """A log that is behind gets no better by asking again."""
    raft = bereaved()
    asked(raft)

    turn(raft, answer("n1"), answer("n3"))

    assert role(raft) is Role.FOLLOWER
    assert of(tick(raft, 2), PreVote) == []


def test_there_is_one_such_campaign_for_a_leader_in_a_term() -> None:
    """Whatever the hosts say, a leader that lives is disturbed once."""
    raft = bereaved()
    asked(raft)
    turn(raft, append("n1", "n2", term=1, prev=(1, 1)))

    assert not raft.peer_disconnected("n1")
    assert asked(raft) == []
    assert raft.state.leader_id is None, "votes are free all the same"

    turn(raft, append("n1", "n2", term=2, prev=(1, 1)))
    assert raft.peer_disconnected("n1")
    assert asked(raft) == ["n1", "n3"]


def test_a_learner_does_not_campaign_but_sticks_to_nobody() -> None:
    raft = core("n4", 1, voters=("n1", "n2", "n3"), learners=("n4",))
    turn(raft, append("n1", "n4", term=1, prev=(1, 1)))

    assert not raft.peer_disconnected("n1")

    assert asked(raft) == []
    assert raft.state.leader_id is None


def test_who_was_promised_a_vote_goes_first() -> None:
    """Else the two would each vote for themselves (failure A12)."""
    raft = bereaved("n2")
    turn(raft, question("n3", "n2"))

    assert asked(raft) == []
    assert of(tick(raft, GIVE_WAY_TICKS - 1), PreVote) == []
    assert [one.target for one in of(tick(raft, 1), PreVote)] == ["n1", "n3"]


@pytest.mark.parametrize("under_way", [False, True])
def test_nobody_gives_way_to_one_that_is_no_voter(under_way: bool) -> None:  # noqa: FBT001 - a parameter
    """It is heard and promised a vote, as a log that lags can't tell; but it may never win (C9)."""
    raft = bereaved("n2")
    if under_way:
        assert asked(raft) == ["n1", "n3"]

    [promise] = of(turn(raft, question("n4", "n2", last=(2, 1))), PreVoteResponse)

    assert promise.vote_granted
    if under_way:
        assert role(raft) is Role.PRE_CANDIDATE
    else:
        assert asked(raft) == ["n1", "n3"]


def test_of_two_that_ask_at_once_the_one_with_more_log_wins() -> None:
    """Equal logs: the lesser name. Both see it alike, so that exactly one gives way."""
    both = {name: bereaved(name) for name in ("n2", "n3")}
    for raft in both.values():
        asked(raft)

    for name, other in (("n2", "n3"), ("n3", "n2")):
        turn(both[name], question(other, name))

    assert [role(raft) for raft in both.values()] == [Role.PRE_CANDIDATE, Role.FOLLOWER]
    longer = question("n3", "n2", last=(2, 1))
    turn(both["n2"], longer)
    assert role(both["n2"]) is Role.FOLLOWER


def test_who_gave_way_in_vain_asks_itself() -> None:
    """The other may have died as well."""
    raft = bereaved("n3")
    asked(raft)
    turn(raft, question("n2", "n3"))

    assert [one.target for one in of(tick(raft, GIVE_WAY_TICKS), PreVote)] == ["n1", "n2"]


@pytest.mark.parametrize("seed", range(1, 6))
def test_a_cluster_replaces_a_dead_leader_without_a_timeout(seed: int) -> None:
    """Both followers find out, in the same tick: there is one election, and it is won."""
    network = Network(3, seed=seed)
    leader = network.elect()
    term = network.servers[leader].raft.current_term
    network.crash(leader)

    believe_gone(network, leader)

    assert network.leader() is not None
    assert max(one.raft.current_term for one in network.servers.values()) == term + 1


def test_a_lie_costs_an_election_and_nothing_else() -> None:
    """The leader lives and everyone is told that it does not: somebody leads on."""
    network = Network(3)
    leader = network.elect()
    network.propose(leader, b"x")
    network.settle()

    believe_gone(network, leader)
    network.elect()

    assert [network.data_applied(name) for name in network.servers] == [[b"x"]] * 3


class LyingSwarm(Swarm):
    """A swarm in which servers are told now and then that some other is gone; mostly it is not."""

    def _tick(self) -> None:
        super()._tick()
        running = self._running()
        if running and self._decide(0.3):
            gone = self.random.choice(sorted(self.network.servers))
            self.tally.add("lies")
            server = self.random.choice(running)
            server.work(lambda raft: raft.peer_disconnected(gone))
            if self._decide(0.7):
                server.work(lambda raft: raft.campaign_early())


def test_lies_break_no_promise() -> None:
    """Nothing of Raft's safety rests on what a server is told of others (Figure 3)."""
    lies = 0
    for seed in range(scaled(15)):
        try:
            lies += LyingSwarm(seed).run(800).counts.get("lies", 0)
        except Exception as failure:
            failure.add_note(f"seed {seed}: LyingSwarm({seed}).run(800)")
            raise
    assert lies >= 15


def believe_gone(network: Network, leader: ServerId) -> None:
    """Let everybody believe that the leader's process is gone, and act on it at once."""
    for server in network.servers.values():
        server.work(lambda raft: raft.peer_disconnected(leader))
        server.work(lambda raft: raft.campaign_early())
    network.settle()
