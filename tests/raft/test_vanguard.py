"""Whom a leader sends its entries first: no more servers than a majority takes."""

from raftcache.raft.core import Raft
from raftcache.raft.messages import AppendEntries, Message, TimeoutNow
from raftcache.raft.options import Options
from raftcache.raft.types import Index, ServerId

from .builders import of, persist, success, tick, turn
from .members import conf, leader, seated

OPTIONS = Options(heartbeat_ticks=10, election_ticks_min=30, election_ticks_max=30)


def settled(voters: str = "n1 n2 n3", *, learners: str = "") -> Raft:
    """Return n1, leading term 1; 1@1 was committed by the first of the others."""
    return seated(voters, learners=learners, options=OPTIONS)


def sent(messages: list[Message]) -> dict[ServerId, list[Index]]:
    """Return which entries went to whom; nobody got two messages with entries."""
    found: dict[ServerId, list[Index]] = {}
    for message in of(messages, AppendEntries):
        if message.entries:
            assert message.target not in found, messages
            found[message.target] = [entry.index for entry in message.entries]
    return found


def proposed(raft: Raft) -> dict[ServerId, list[Index]]:
    """Propose an entry; return what went to whom."""
    raft.propose(b"x")
    return sent(turn(raft))


def stored(raft: Raft, *peers: ServerId) -> dict[ServerId, list[Index]]:
    """Let servers acknowledge all of the log; return what goes to whom then."""
    index = raft.state.log.last_index
    return sent(turn(raft, *[success(peer, term=1, match_index=index) for peer in peers]))


def until_it_is_chosen_anew(raft: Raft, *peers: ServerId) -> None:
    """Let an election timeout pass in which servers are heard."""
    for _ in range(OPTIONS.election_ticks_min):
        tick(raft, 1)
        stored(raft, *peers)


def test_an_entry_goes_at_once_to_a_majority_and_to_the_others_with_the_next_tick() -> None:
    """Which then get all that was committed meanwhile, in one message."""
    raft = settled()

    first = proposed(raft)
    committed = stored(raft, "n2")
    second = proposed(raft)
    stored(raft, "n2")
    third = proposed(raft)

    assert (first, second, third) == ({"n2": [2]}, {"n2": [3]}, {"n2": [4]})
    assert committed == {}
    assert sent(tick(raft, 1)) == {"n3": [2, 3]}, "what is not committed yet stays with n2"


def test_of_five_two_others_are_sent_entries_at_once() -> None:
    assert proposed(settled("n1 n2 n3 n4 n5")) == {"n2": [2], "n3": [2]}


def test_learners_get_what_is_committed_tick_by_tick() -> None:
    """No commit waits for them (thesis §4.2.1)."""
    raft = settled(learners="n9")

    at_once = proposed(raft)
    stored(raft, "n2")

    assert at_once == {"n2": [2]}
    assert sent(tick(raft, 1)) == {"n3": [2], "n9": [2]}


def test_what_is_uncommitted_for_a_tick_goes_to_everybody() -> None:
    """Else a follower that is paused, slow, cut off or full could hold up every write."""
    raft = settled()
    proposed(raft)

    on_its_way = sent(tick(raft, 1))
    overdue = sent(tick(raft, 1))
    stored(raft, "n3")
    race = proposed(raft)
    stored(raft, "n3")

    assert on_its_way == {}, "it may have been proposed just before the tick"
    assert overdue == {"n3": [2]}
    assert race == {"n2": [3], "n3": [3]}
    assert proposed(raft) == {"n3": [4]}, "who was quicker is the vanguard now"


def test_once_in_an_election_timeout_everybody_is_sent_what_there_is() -> None:
    """So that a follower that is merely the slower one does not stay the vanguard."""
    raft = settled()
    for _ in range(OPTIONS.election_ticks_min - 1):
        proposed(raft)
        stored(raft, "n2")
        tick(raft, 1)
    stored(raft, "n2", "n3")
    tick(raft, 1)
    everybody = proposed(raft)

    stored(raft, "n3")

    assert everybody == {"n2": [31], "n3": [31]}
    assert proposed(raft) == {"n3": [32]}


def test_the_next_vanguard_is_told_by_an_entry_that_all_were_sent_alike() -> None:
    """What the old one was sent before, it acknowledges first even where it is the slower one."""
    raft = settled()
    for _ in range(OPTIONS.election_ticks_min - 1):
        proposed(raft)
        stored(raft, "n2")
        tick(raft, 1)
    ahead = proposed(raft)
    tick(raft, 1)

    stored(raft, "n2")
    both = proposed(raft)
    stored(raft, "n3")

    assert ahead == {"n2": [31]}
    assert both == {"n2": [32], "n3": [32]}
    assert proposed(raft) == {"n3": [33]}


def test_a_learner_takes_no_voters_place() -> None:
    """No commit comes of what it stores (thesis §4.2.1), however quick it is."""
    raft = settled("n1 n3 n4", learners="n2")
    until_it_is_chosen_anew(raft, "n3", "n4")
    proposed(raft)
    stored(raft, "n2")

    stored(raft, "n4")

    assert raft.state.vanguard.peers == frozenset({"n1", "n4"})


def test_a_follower_whose_process_is_gone_is_not_waited_for() -> None:
    raft = settled()
    proposed(raft)

    raft.peer_disconnected("n3")
    other = sent(turn(raft))
    raft.peer_disconnected("n2")

    assert other == {}
    assert sent(turn(raft)) == {"n3": [2]}


def test_who_is_to_lead_next_gets_everything() -> None:
    """Thesis §3.10, step 2."""
    raft = settled()
    proposed(raft)
    stored(raft, "n2")

    raft.transfer_leadership("n3")
    caught_up = sent(turn(raft))

    assert caught_up == {"n3": [2]}
    out = turn(raft, success("n3", term=1, match_index=2))
    assert [message.target for message in of(out, TimeoutNow)] == ["n3"]


def test_a_change_of_the_configuration_goes_to_everybody_and_so_does_what_follows() -> None:
    """The old vanguard may be no majority of the new configuration (§6)."""
    raft = settled()

    raft.change_configuration(conf("n1 n3 n4"))
    joint = sent(turn(raft))
    next_one = proposed(raft)

    assert set(joint) == {"n2", "n3", "n4"}
    assert set(next_one) >= {"n2", "n3"}, "n4's log is not known yet"


def test_a_leader_whose_disk_is_slow_is_no_part_of_the_vanguard() -> None:
    """Two followers commit without it (thesis §10.2.1): both are needed then."""
    raft = leader(began_with=conf("n1 n2 n3"), options=OPTIONS)
    turn(raft, *[success(peer, term=1, match_index=1) for peer in ("n2", "n3")])
    until_it_is_chosen_anew(raft, "n2", "n3")
    raft.propose(b"x")
    late = raft.ready()

    raft.step(success("n2", term=1, match_index=2))
    raft.step(success("n3", term=1, match_index=2))
    raft.ready()

    assert raft.state.commit_index == 2
    assert raft.state.vanguard.peers == frozenset({"n2", "n3"})
    persist(raft, late)


def test_a_new_leader_sends_to_everybody() -> None:
    """It knows of nobody yet who is quick."""
    raft = leader(began_with=conf("n1 n2 n3"), options=OPTIONS)

    assert raft.state.vanguard.peers is None


def test_without_it_everybody_is_sent_everything_at_once() -> None:
    options = Options(majority_first=False)

    assert proposed(seated(options=options)) == {"n2": [2], "n3": [2]}
