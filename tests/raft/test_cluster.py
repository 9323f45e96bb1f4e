"""Several cores together, scene by scene: what one core alone cannot show (§5, thesis §9.6)."""

from itertools import combinations, permutations

import pytest

from raftcache.raft.messages import AppendEntries, Message
from raftcache.raft.options import Options
from raftcache.raft.types import HardState, Role, ServerId

from .builders import FIVE, THREE, log_of
from .disk import Disk
from .network import Network

OPTIONS = Options(heartbeat_ticks=3, election_ticks_min=10, election_ticks_max=20)
TIMEOUT = OPTIONS.election_ticks_max


def cluster(count: int = 3, *, seed: int = 1) -> Network:
    return Network(count, seed=seed, options=OPTIONS)


def disk(*terms: int, term: int | None = None) -> Disk:
    """Return a disk with this log, in this term; nobody was voted for."""
    current_term = term if term is not None else max((0, *terms))
    return Disk(hard_state=HardState(current_term), entries=list(log_of(*terms)))


def others(network: Network, name: ServerId) -> list[ServerId]:
    return [other for other in network.configuration.voters if other != name]


def commit_of(network: Network, name: ServerId) -> int:
    return network.servers[name].raft.state.commit_index


def test_a_command_is_applied_everywhere_in_one_order() -> None:
    """§5.3: the whole way, without faults."""
    network = cluster()
    leader = network.elect()

    for data in (b"a", b"b", b"c"):
        network.propose(leader, data)
    network.settle()
    network.tick(OPTIONS.heartbeat_ticks)

    assert [network.data_applied(name) for name in THREE] == [[b"a", b"b", b"c"]] * 3


def test_nearly_equal_timeouts_do_not_split_the_votes_for_ever() -> None:
    """§5.2: five servers, a spread of a few ticks: a leader within 20 timeouts (failure A12)."""
    options = Options(heartbeat_ticks=3, election_ticks_min=10, election_ticks_max=12)

    waited = [
        Network(5, seed=seed, options=options).run_until_leader(ticks_max=20 * 12)
        for seed in range(40)
    ]

    assert sorted(waited)[len(waited) // 2] <= 3 * 12


def test_a_server_that_was_cut_off_disturbs_nobody_when_it_returns() -> None:
    """Thesis §9.6 and §4.2.3: no term rises, no leader changes (failure A13)."""
    network = cluster()
    leader = network.elect()
    term = network.servers[leader].raft.current_term
    lost = others(network, leader)[0]

    network.isolate(lost)
    network.tick(20 * TIMEOUT)
    network.heal()
    network.tick(5 * TIMEOUT)

    assert network.leader() == leader
    assert [server.raft.current_term for server in network.servers.values()] == [term] * 3
    assert network.roles()[lost] is Role.FOLLOWER


@pytest.mark.parametrize("seed", range(5))
def test_a_long_log_in_an_old_term_and_a_short_one_in_a_new_term_find_a_leader(seed: int) -> None:
    """Each refuses the other's pre-vote at first; the answer brings the term (failure A14)."""
    disks = {"n1": disk(1, 1, 2), "n2": disk(1, 1, term=9), "n3": disk()}
    network = Network(servers=disks, seed=seed, options=OPTIONS)
    network.isolate("n3")

    network.run_until_leader(ticks_max=10 * TIMEOUT)

    assert network.leader() == "n1"


def test_a_server_that_once_led_or_followed_still_votes() -> None:
    """CheckQuorum and PreVote together: an old leader's name holds no vote back (failure A16)."""
    network = cluster()
    leader = network.elect()
    network.isolate(leader)
    network.tick(2 * TIMEOUT)
    second = network.leader()
    assert second not in {None, leader}

    assert second is not None
    network.heal()
    network.isolate(second)
    network.tick(5 * TIMEOUT)

    assert network.leader() not in {None, second}


LINKS = list(permutations(THREE, 2))


@pytest.mark.parametrize("cuts", range(64))
def test_whatever_links_are_cut_one_way_a_connected_quorum_keeps_a_leader(cuts: int) -> None:
    """All 64 one-way cuts of three servers (failure A17).

    Where two servers hear each other there is a leader that commits, and once there is, elections
    end: no term rises any more.
    """
    network = cluster(seed=cuts)
    network.elect()
    network.cut = {link for number, link in enumerate(LINKS) if cuts >> number & 1}
    connected = any(
        (one, other) not in network.cut and (other, one) not in network.cut
        for one, other in combinations(THREE, 2)
    )
    if not connected:
        network.tick(10 * TIMEOUT)
        return

    network.tick(10 * TIMEOUT)
    leader = network.leader()
    assert leader is not None
    term = network.servers[leader].raft.current_term
    index = network.propose(leader, b"x")
    network.tick(10 * TIMEOUT)

    assert network.servers[leader].raft.is_leader
    assert network.servers[leader].raft.current_term == term
    assert commit_of(network, leader) >= index


def test_a_leader_that_hears_no_answers_makes_room() -> None:
    """Its heartbeats get through, so without CheckQuorum it would rule for ever (failure A18)."""
    network = cluster()
    deaf = network.elect()
    network.cut = {(other, deaf) for other in others(network, deaf)}

    network.tick(OPTIONS.election_ticks_max)
    assert not network.servers[deaf].raft.is_leader

    network.tick(5 * TIMEOUT)
    assert network.leader() in others(network, deaf)


def test_a_deposed_leader_releases_no_read() -> None:
    """It believes that it leads; nobody confirms it any more (failure B1)."""
    network = cluster()
    old = network.elect()
    network.isolate(old)
    server = network.servers[old]

    server.read("stale?")
    network.run_until(lambda: network.leader() not in {None, old}, ticks_max=5 * TIMEOUT)
    new = network.leader()
    assert new is not None
    network.propose(new, b"x")
    network.settle()
    network.heal()
    network.tick(5 * TIMEOUT)

    assert server.reads == []
    assert server.refused == ["stale?"]


def test_a_cluster_that_died_as_a_whole_has_all_it_acknowledged() -> None:
    """Term, vote and log come from the disks; no term is used twice (failure A3)."""
    network = cluster()
    for generation in range(10):
        leader = network.elect()
        network.propose(leader, f"{generation}".encode())
        network.settle()
        for name in THREE:
            network.crash(name)
        for name in THREE:
            network.restart(name)
    network.elect()

    expected = [f"{generation}".encode() for generation in range(10)]
    assert [network.data_applied(name) for name in THREE] == [expected] * 3


def test_an_entry_of_a_leader_without_a_majority_gives_way() -> None:
    """It was never acknowledged; the majority's log stands (§5.3; failure A9)."""
    network = cluster()
    old = network.elect()
    network.isolate(old)
    network.propose(old, b"lost")
    network.run_until(lambda: network.leader() not in {None, old}, ticks_max=5 * TIMEOUT)
    new = network.leader()
    assert new is not None
    network.propose(new, b"kept")
    network.settle()

    network.heal()
    network.tick(5 * TIMEOUT)

    assert network.data_applied(old) == [b"kept"]


def test_figure_8_an_older_terms_entry_on_a_majority_is_not_yet_committed() -> None:
    """§5.4.2, Figure 8 (a) to (d): had (c) counted copies, (d) would undo a commit (failure A4)."""
    disks = {
        "n1": disk(1, 2, term=3),
        "n2": disk(1, 2, term=3),
        "n3": disk(1, term=3),
        "n4": disk(1, term=3),
        "n5": disk(1, 3, term=3),
    }
    network = Network(servers=disks, options=OPTIONS)

    def carries_the_new_term(message: Message) -> bool:
        return isinstance(message, AppendEntries) and any(
            entry.term == message.term for entry in message.entries
        )

    # (c): n1 leads in term 4 and brings 2@2 to n3, a majority; its own 3@4 gets to nobody.
    network.options.append_bytes_max = 1
    network.filter = lambda message: not carries_the_new_term(message)
    network.isolate("n5")
    campaign(network, "n1")
    network.tick(3)
    assert [network.servers[name].raft.state.log.term_at(2) for name in FIVE[:3]] == [2, 2, 2]
    assert commit_of(network, "n1") < 2

    # (d): n1 dies, and n5 wins with votes of n2, n3 and n4, whose last terms are smaller.
    network.crash("n1")
    network.heal()
    network.filter = lambda _: True
    campaign(network, "n5")
    network.tick(TIMEOUT)
    assert {network.servers[name].raft.state.log.term_at(2) for name in FIVE[1:]} == {3}


def campaign(network: Network, name: ServerId) -> None:
    """Let everybody forget its leader, and this server time out until it leads."""
    for server in network.servers.values():
        server.raft.state.election_timeout_ticks = 10 * TIMEOUT
        server.raft.state.election_ticks = 0
    network.tick(OPTIONS.election_ticks_min)
    server = network.servers[name]
    for _ in range(10):
        server.raft.state.election_ticks = server.raft.state.election_timeout_ticks = TIMEOUT
        server.work(lambda raft: raft.tick())
        network.settle()
        if server.raft.is_leader:
            return
    raise AssertionError(f"{name} did not win")


def test_a_transfer_moves_the_leadership_within_a_round_trip() -> None:
    """Thesis §3.10: no timeout passes, and nobody else campaigns."""
    network = cluster()
    old = network.elect()
    target = others(network, old)[1]

    network.servers[old].work(lambda raft: raft.transfer_leadership(target))
    network.settle()

    assert network.leader() == target
    assert network.roles()[old] is Role.FOLLOWER


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_a_cluster_of_any_size_finds_a_leader_and_commits(count: int) -> None:
    """§5.2, §5.3: even sizes too, which need one vote more."""
    network = cluster(count)
    leader = network.elect()

    network.propose(leader, b"x")
    network.settle()

    assert network.data_applied(leader) == [b"x"]


@pytest.mark.parametrize("phase", range(0, OPTIONS.election_ticks_max, 2))
def test_two_leaders_at_once_last_no_longer_than_an_election_timeout(phase: int) -> None:
    """And only the newer one answers reads, whenever the older was cut off (failure B5).

    A leader that looked at its quorum only now and then would go on up to twice as long.
    """
    network = cluster(5, seed=phase)
    old = network.elect()
    network.tick(phase)
    network.isolate(old)
    server = network.servers[old]

    ticks = 0
    while server.raft.is_leader:
        server.read(f"at {ticks}")
        network.tick()
        ticks += 1
        new = network.leader()
        if new is not None and new != old:
            network.propose(new, b"elsewhere")
    network.run_until(lambda: network.leader() not in {None, old})

    assert ticks <= network.options.election_ticks_max
    assert server.reads == []
    assert len(server.refused) == ticks
