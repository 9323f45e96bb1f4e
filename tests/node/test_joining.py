"""Nodes without state: added, wiped, living in memory. None ever votes as its former self."""

import msgspec
import pytest

from orchestrator.simulation.cluster import SimulatedCluster
from orchestrator.simulation.members import new_host, wipe
from orchestrator.simulation.process import Process
from orchestrator.simulation.profile import Profile
from raftcache.errors import StateLost
from raftcache.protocol.joining import JoinRequest, encode_join_frame

from .builders import SNAPPY, base_index, commit_index, elected, fill
from .membership import add, administer, configuration, joinable, settle

MEMORY = Profile(durability="memory")


def test_a_node_that_nobody_added_waits_and_says_so() -> None:
    """It never begins a cluster of its own."""
    cluster, leader, _ = joinable()
    member = new_host(cluster)

    cluster.start(member.node_id)
    cluster.run_ms(3_000)

    status = cluster.ask(member.node_id, "status")
    assert status["role"] == "joining"
    assert "no member n4: add it" in status["joining"]["message"]
    assert cluster.ask(member.node_id, "get", key=b"k")["error"] == "no_leader"
    assert len(configuration(cluster, leader).members) == 3


def test_a_node_may_be_started_before_it_is_added() -> None:
    cluster, leader, _ = joinable()
    member = new_host(cluster)
    cluster.start(member.node_id)
    cluster.run_ms(1_000)

    reply = administer(
        cluster,
        leader,
        "member_add",
        id=member.node_id,
        peer=member.peer_endpoint,
        client=member.client_endpoint,
    )

    assert reply["ok"], reply
    assert settle(cluster) == ["n1#1", "n2#1", "n3#1", "n4#2"]


def test_a_voter_that_lost_its_disk_comes_back_under_a_new_incarnation() -> None:
    """It never votes as its former self, which one joint change replaces (failure C10)."""
    cluster, leader, (lost, _) = joinable()
    fill(cluster, leader, 20)
    cluster.kill(lost)
    wipe(cluster, lost)

    cluster.start(lost)

    cluster.run_until(lambda: cluster.process(lost).is_open)
    assert settle(cluster) == sorted(f"{name}#{2 if name == lost else 1}" for name in cluster.names)
    cluster.elect()
    assert len(set(cluster.digests().values())) == 1


def test_a_leader_that_lost_its_disk_comes_back_too() -> None:
    """The others elect one of their own first, which lets it join (failures A8, C10)."""
    cluster, leader, _ = joinable()
    fill(cluster, leader, 20)
    cluster.kill(leader)
    wipe(cluster, leader)

    cluster.start(leader)

    cluster.run_until(lambda: cluster.process(leader).is_open)
    settle(cluster)
    cluster.elect()
    assert cluster.process(leader).server.server_id == f"{leader}#2"


def test_without_anybody_to_ask_a_node_without_state_does_not_start() -> None:
    """Failure C10."""
    cluster, _, (lost, _) = elected()
    cluster.kill(lost)
    wipe(cluster, lost)

    with pytest.raises(StateLost, match="holds no state of a node"):
        cluster.start(lost)


def test_after_another_boot_a_node_that_left_its_writes_to_the_kernel_joins_anew() -> None:
    """Under ``os`` the last vote may be lost with the host's cache (failures A2, C10)."""
    cluster, leader, (lost, _) = joinable(profile=Profile(durability="os"))
    fill(cluster, leader, 20)
    cluster.kill(lost, power=True)
    cluster.hosts[lost].boot_id = "another"

    cluster.start(lost)

    cluster.run_until(lambda: cluster.process(lost).is_open)
    settle(cluster)
    cluster.elect()
    assert cluster.process(lost).server.server_id == f"{lost}#2"


def test_under_os_a_killed_process_goes_on_as_it_was() -> None:
    cluster, leader, (killed, _) = joinable(profile=Profile(durability="os"))
    fill(cluster, leader, 20)
    cluster.kill(killed)

    cluster.start(killed)

    assert cluster.process(killed).server.server_id == f"{killed}#1"
    cluster.elect()


def test_where_a_majority_lost_its_state_nobody_joins_and_all_say_why() -> None:
    """What was committed is not known any more; nothing is made up (failures A3, C10)."""
    cluster, leader, (first, second) = joinable()
    fill(cluster, leader, 5)
    for name in (first, second):
        cluster.kill(name)
        wipe(cluster, name)

    for name in (first, second):
        cluster.start(name)
    cluster.run_ms(10_000)

    for name in cluster.names:
        (alarm,) = cluster.ask(name, "status")["alarms"]
        assert alarm.startswith("data_is_gone: "), alarm
        assert f"{min(first, second)}, {max(first, second)} lost their state" in alarm
    assert [process.name for process in cluster.running] == [leader]


def test_where_all_lost_their_state_they_say_so() -> None:
    cluster, _, _ = joinable()
    for name in cluster.names:
        cluster.kill(name)
        wipe(cluster, name)

    cluster.up()
    cluster.run_ms(5_000)

    for name in cluster.names:
        (alarm,) = cluster.ask(name, "status")["alarms"]
        assert "n1, n2, n3 lost their state" in alarm


def test_two_processes_never_share_an_incarnation() -> None:
    """The second life of a node that was wiped between its steps gets a number of its own."""
    cluster, leader, _ = joinable()
    name = add(cluster, leader)
    cluster.run_until(lambda: cluster.process(name).is_open)
    first = cluster.process(name).server.server_id
    cluster.kill(name)
    wipe(cluster, name)

    cluster.start(name)

    cluster.run_until(lambda: cluster.process(name).is_open)
    assert cluster.process(name).server.server_id > first
    settle(cluster)
    cluster.elect()


def test_a_name_that_is_alive_is_not_given_away() -> None:
    """A second process under its name, without its state, is no heir (failures C10, F5)."""
    cluster, leader, (alive, _) = joinable()
    member, about = cluster.hosts[alive].member, cluster.process(alive).server.about
    impostor = JoinRequest(
        about.cluster_id, alive, 0, "f" * 32, member.peer_endpoint, member.client_endpoint
    )

    for _ in range(10):
        cluster.process(leader).on_peer_frame(encode_join_frame(impostor))
        cluster.run_ms(100)

    assert all(member.incarnation == 1 for member in configuration(cluster, leader).members)
    cluster.kill(alive)
    cluster.run_ms(2_000)
    cluster.process(leader).on_peer_frame(encode_join_frame(impostor))
    cluster.run_ms(100)
    assert max(one.incarnation for one in configuration(cluster, leader).members) == 2


def has_joined(cluster: SimulatedCluster, name: str) -> None:
    """Let time pass until a node has its place."""
    cluster.run_until(lambda: cluster.process(name).is_open)


@pytest.mark.parametrize("profile", [MEMORY, Profile(durability="fsync")])
def test_a_learner_gets_a_snapshot_when_the_log_is_gone(profile: Profile) -> None:
    """Also from a leader that has no disk, to one that has none."""
    cluster, leader, _ = joinable(profile=_snappy(profile))
    fill(cluster, leader, 60)
    cluster.run_until(lambda: base_index(cluster, leader) > 10)

    name = add(cluster, leader)

    settle(cluster)
    cluster.elect()
    assert base_index(cluster, name) > 10
    assert len(set(cluster.digests().values())) == 1


def test_nodes_that_live_in_memory_come_back_one_after_the_other() -> None:
    """Each joins anew, under a new incarnation (failure C10)."""
    cluster, leader, _ = joinable(profile=MEMORY)
    fill(cluster, leader, 20)

    for name in cluster.names:
        cluster.kill(name)
        cluster.start(name)
        has_joined(cluster, name)
        settle(cluster)
        cluster.elect()

    found = [cluster.process(name).server.server_id for name in cluster.names]
    assert found == ["n1#2", "n2#3", "n3#4"]
    assert len(set(cluster.digests().values())) == 1
    assert commit_index(cluster, "n1") > 20


def test_what_lived_in_memory_is_gone_when_all_have_stopped() -> None:
    cluster, leader, _ = joinable(profile=MEMORY)
    fill(cluster, leader, 5)
    for name in cluster.names:
        cluster.kill(name)

    cluster.up()
    cluster.run_ms(3_000)

    assert cluster.running == []
    assert "data_is_gone" in cluster.ask("n1", "status")["alarms"][0]


@pytest.mark.parametrize("power", [False, True])
def test_a_node_that_dies_at_any_step_of_joining_goes_on(*, power: bool) -> None:
    """Each change to its disk may be the last one; it is never a voter twice (C10)."""
    steps = 0
    while join_and_die(steps, power=power):
        steps += 1

    assert steps > 8, "there were steps to die at"


def join_and_die(step: int, *, power: bool) -> bool:
    """Let a node that joins die before this change to its disk, and come back; was there one?"""
    cluster, leader, (lost, _) = joinable()
    fill(cluster, leader, 5)
    cluster.kill(lost)
    wipe(cluster, lost)
    joining = cluster.start(lost)
    dying = DieAtChange(joining, step)
    cluster.run_until(lambda: dying.has_died or joining.is_open)
    joining.doom = None
    if dying.has_died:
        if power:
            cluster.cut_power(lost)
        joining = cluster.start(lost)
        cluster.run_until(lambda: joining.is_open)
    found = settle(cluster)
    cluster.elect()
    assert len(found) == 3, found
    assert joining.server.server_id in found
    return dying.has_died


class DieAtChange:
    """Lets a process die before the change to its disk with this number, from 0."""

    def __init__(self, process: Process, number: int) -> None:
        self._left = number
        self.has_died = False
        process.doom = self

    def __call__(self, place: str) -> bool:
        """Tell whether this is the place."""
        if place.startswith("disk "):
            self.has_died = self._left == 0
            self._left -= 1
        return self.has_died


def _snappy(profile: Profile) -> Profile:
    return msgspec.structs.replace(SNAPPY, durability=profile.durability)
